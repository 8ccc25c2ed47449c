//! A model's books by what they have in common: what filters and caps look things up in.
//!
//! Everything here follows from the catalogue and is made when it is first asked for, so that a shop that filters by
//! nothing pays for nothing. Clones of a model share it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, OnceLock},
};

use crate::{
    catalogue::{BookRef, Catalogue},
    id::BookRow,
    labels::Labels,
    rows::Rows,
    rules::Filter,
};

/// Filters whose books are remembered: shops ask with the same few again and again.
const KEPT_FILTERS: usize = 32;

/// See the module. The catalogue given to its functions must be the same each time.
#[derive(Debug, Default)]
pub(crate) struct Shelves {
    available: OnceLock<Arc<Rows>>,
    authors: OnceLock<Labels>,
    series: OnceLock<Labels>,
    subjects: OnceLock<Labels>,
    languages: OnceLock<Labels>,
    /// The filters asked for last, the newest in front.
    kept: Mutex<VecDeque<(Filter, Arc<Rows>)>>,
}

impl Shelves {
    /// The books a filter lets through.
    pub fn allowed(&self, catalogue: &Catalogue, filter: &Filter) -> Arc<Rows> {
        let available = || self.available.get_or_init(|| Arc::new(available(catalogue)));
        if *filter == Filter::default() {
            return Arc::clone(available());
        }
        let mut kept = self.kept.lock().expect("no panic happens while this lock is held");
        if let Some(place) = kept.iter().position(|(known, _)| known == filter) {
            let found = kept.remove(place).expect("the place was found just now");
            let rows = Arc::clone(&found.1);
            kept.push_front(found);
            return rows;
        }
        drop(kept);
        let rows = Arc::new(self.let_through(catalogue, filter, available()));
        let mut kept = self.kept.lock().expect("no panic happens while this lock is held");
        kept.truncate(KEPT_FILTERS - 1);
        kept.push_front((filter.clone(), Arc::clone(&rows)));
        rows
    }

    /// Finds out about these books what `others` were asked about theirs.
    pub fn follow(&self, catalogue: &Catalogue, others: &Self) {
        if others.authors.get().is_some() {
            self.authors(catalogue);
        }
        if others.series.get().is_some() {
            self.series(catalogue);
        }
        if others.subjects.get().is_some() {
            self.subjects(catalogue);
        }
        if others.languages.get().is_some() {
            self.languages(catalogue);
        }
    }

    fn let_through(&self, catalogue: &Catalogue, filter: &Filter, available: &Rows) -> Rows {
        let Filter { include_unavailable, languages, exclude_authors, exclude_subjects } = filter;
        let n_books = catalogue.len();
        let mut rows = if *include_unavailable { Rows::all(n_books) } else { available.clone() };
        if !languages.is_empty() {
            let mut spoken = Rows::none(n_books);
            let wanted = |tag: &str| languages.iter().any(|range| is_within(tag, range));
            self.languages(catalogue).books_where(wanted).for_each(|row| spoken.add(row));
            rows.keep(&spoken);
        }
        for author in exclude_authors {
            self.authors(catalogue).books(author).iter().for_each(|row| rows.remove(*row));
        }
        for subject in exclude_subjects {
            self.subjects(catalogue).books(subject).iter().for_each(|row| rows.remove(*row));
        }
        rows
    }

    pub fn authors(&self, catalogue: &Catalogue) -> &Labels {
        self.authors.get_or_init(|| named(catalogue, BookRef::authors))
    }

    pub fn subjects(&self, catalogue: &Catalogue) -> &Labels {
        self.subjects.get_or_init(|| named(catalogue, BookRef::subjects))
    }

    /// Series as titles tell them, see [`series_of`].
    pub fn series(&self, catalogue: &Catalogue) -> &Labels {
        self.series.get_or_init(|| named(catalogue, |book| book.series().into_iter()))
    }

    fn languages(&self, catalogue: &Catalogue) -> &Labels {
        self.languages.get_or_init(|| named(catalogue, |book| book.language().into_iter()))
    }
}

fn available(catalogue: &Catalogue) -> Rows {
    let mut rows = Rows::none(catalogue.len());
    let sold = catalogue.books().zip(0..).filter(|(book, _)| book.is_available());
    sold.for_each(|(_, row)| rows.add(BookRow(row)));
    rows
}

fn named<'a, N: Iterator<Item = &'a str>>(catalogue: &'a Catalogue, names: impl Fn(BookRef<'a>) -> N) -> Labels {
    let pairs = catalogue.books().zip(0..).flat_map(|(book, row)| names(book).map(move |name| (BookRow(row), name)));
    Labels::collect(catalogue.len(), pairs)
}

/// Whether a language tag is the range or a part of it, whatever the case: `en-US` is within `en`, `eng` is not.
///
/// Basic filtering of RFC 4647, 3.3.1; catalogues also write `en_US`.
fn is_within(tag: &str, range: &str) -> bool {
    let (tag, range) = (tag.as_bytes(), range.as_bytes());
    let begins = tag.get(..range.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(range));
    begins && tag.get(range.len()).is_none_or(|next| matches!(next, b'-' | b'_'))
}

/// The series a title ends with, where it ends as in `Catching Fire (The Hunger Games, #2)`.
pub(crate) fn series_of(title: &str) -> Option<&str> {
    let (_, last) = title.trim_end().strip_suffix(')')?.rsplit_once('(')?;
    let (name, number) = last.split_once('#')?;
    let name = name.trim_end().trim_end_matches(',').trim();
    (!name.is_empty() && number.starts_with(|first: char| first.is_ascii_digit())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Book;

    #[test]
    fn a_series_is_what_stands_before_the_number_at_the_end_of_a_title() {
        for (title, series) in [
            ("Catching Fire (The Hunger Games, #2)", Some("The Hunger Games")),
            ("A Game of Thrones (A Song of Ice and Fire #1) ", Some("A Song of Ice and Fire")),
            ("The Lightning Thief (Percy Jackson, #1; Camp Half-Blood, #1)", Some("Percy Jackson")),
            ("Emma", None),
            ("Emma (Penguin Classics)", None),
            ("Emma (#1)", None),
            ("Emma (The #Best)", None),
            (")", None),
        ] {
            assert_eq!(series_of(title), series, "{title}");
        }
    }

    #[test]
    fn a_language_range_covers_its_regions_and_nothing_else() {
        for (tag, range, within) in [
            ("en", "en", true),
            ("EN-us", "en", true),
            ("en_GB", "EN", true),
            ("eng", "en", false),
            ("en", "en-US", false),
            ("de", "en", false),
        ] {
            assert_eq!(is_within(tag, range), within, "{tag} in {range}");
        }
    }

    fn shop() -> Catalogue {
        let book = |id: &str, language: Option<&str>, author: &str, subject: &str, available| Book {
            language: language.map(str::to_owned),
            authors: vec![author.into()],
            subjects: vec![subject.into()],
            available,
            ..Book::bare(id.parse().unwrap())
        };
        Catalogue::new([
            book("a", Some("en"), "Austen", "love", true),
            book("b", Some("en-GB"), "Herbert", "space", false),
            book("c", None, "Herbert", "space", true),
            book("d", Some("de"), "Mann", "love", true),
        ])
    }

    #[test]
    fn filters_let_through_what_their_words_say() {
        let (shelves, shop) = (Shelves::default(), shop());
        let through = |filter: &Filter| shelves.allowed(&shop, filter).iter().map(|row| row.0).collect::<Vec<_>>();
        let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(through(&Filter::default()), [0, 2, 3]);
        let everything = Filter { include_unavailable: true, ..Filter::default() };
        assert_eq!(through(&everything), [0, 1, 2, 3]);
        assert_eq!(through(&Filter { languages: texts(&["en"]), ..everything.clone() }), [0, 1]);
        assert_eq!(through(&Filter { languages: texts(&["fr", "de", "EN"]), ..Filter::default() }), [0, 3]);
        assert_eq!(through(&Filter { exclude_authors: texts(&["Austen", "Mann"]), ..Filter::default() }), [2]);
        assert_eq!(through(&Filter { exclude_subjects: texts(&["love", "sea"]), ..everything }), [1, 2]);
    }

    #[test]
    fn one_follows_another_in_what_it_was_asked_and_in_nothing_else() {
        let (old, new, shop) = (Shelves::default(), Shelves::default(), shop());
        old.authors(&shop);
        old.languages(&shop);
        new.follow(&shop, &old);
        let made = [&new.authors, &new.series, &new.subjects, &new.languages].map(|kind| kind.get().is_some());
        assert_eq!(made, [true, false, false, true]);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_never_mixed_up() {
        let (shelves, shop) = (Shelves::default(), shop());
        for round in 0..2 {
            for number in 0..2 * KEPT_FILTERS {
                let author = if number % 2 == 0 { "Austen" } else { "Mann" };
                let filter = Filter { exclude_authors: vec![author.into(), number.to_string()], ..Filter::default() };
                let left: Vec<u32> = shelves.allowed(&shop, &filter).iter().map(|row| row.0).collect();
                assert_eq!(left, if number % 2 == 0 { [2, 3] } else { [0, 2] }, "round {round}, {number}");
                assert_eq!(shelves.allowed(&shop, &filter).len(), 2, "as remembered");
            }
        }
        assert_eq!(shelves.kept.lock().unwrap().len(), KEPT_FILTERS);
    }
}
