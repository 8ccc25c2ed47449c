//! Who took up which book, when: the one shape of the data between reading and fitting.
//!
//! Rows are kept in a total order that does not depend on how the input was ordered, so equal data give equal models.

use std::collections::HashMap;

use models::{Book, BookId, BookRef, BookRow, Catalogue, ReaderId};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// What the `at` of an interaction means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeAxis {
    /// Milliseconds since the Unix epoch.
    Clock,
    /// A rank in time without a clock: later is larger, distances mean nothing.
    Order,
    /// No time: every `at` is 0.
    None,
}

impl TimeAxis {
    /// The axis in words, for messages and metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Order => "order",
            Self::None => "none",
        }
    }
}

/// One reader took up one book.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interaction {
    /// The reader's place in [`Dataset::readers`].
    pub reader: u32,
    /// The book's row in [`Dataset::catalogue`].
    pub book: BookRow,
    /// When, on the data set's axis.
    pub at: i64,
    /// How much it counts, finite and above zero; 1 unless the data say otherwise.
    pub weight: f32,
}

/// Interactions with the readers and books they speak of. Built by [`Builder`].
#[derive(Debug, Clone)]
pub struct Dataset {
    readers: Vec<ReaderId>,
    catalogue: Catalogue,
    /// Whether a book comes from a list of books, by row; the others are known only because someone read them.
    listed: Vec<bool>,
    interactions: Vec<Interaction>,
    axis: TimeAxis,
}

impl Dataset {
    /// The readers, ascending.
    pub fn readers(&self) -> &[ReaderId] {
        &self.readers
    }

    /// The books: those that were listed and those that were read.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The interactions, ascending by `(at, reader, book)`, which is unique.
    pub fn interactions(&self) -> &[Interaction] {
        &self.interactions
    }

    /// What `at` means.
    pub fn axis(&self) -> TimeAxis {
        self.axis
    }

    /// The newest `at`; `None` without interactions.
    pub fn newest(&self) -> Option<i64> {
        self.interactions.last().map(|last| last.at)
    }

    /// The oldest `at`; `None` without interactions.
    pub fn oldest(&self) -> Option<i64> {
        self.interactions.first().map(|first| first.at)
    }

    /// The books that came from a list of books, by row; those known only from interactions are left out.
    pub fn listed_books(&self) -> impl Iterator<Item = BookRef<'_>> {
        self.catalogue.books().zip(&self.listed).filter(|(_, listed)| **listed).map(|(book, _)| book)
    }

    /// Each reader's distinct books, oldest first; a repeated book stands at its newest place. Shape `(n_readers,)`.
    pub fn histories(&self) -> Vec<Vec<BookRow>> {
        let mut histories = vec![Vec::new(); self.readers.len()];
        for interaction in self.interactions.iter().rev() {
            histories[interaction.reader as usize].push(interaction.book);
        }
        let mut taken_by = vec![u32::MAX; self.catalogue.len()];
        for (reader, history) in histories.iter_mut().enumerate() {
            history.retain(|book| std::mem::replace(&mut taken_by[book.index()], reader as u32) != reader as u32);
            history.reverse();
        }
        histories
    }

    /// SHA-256 of the interactions in canonical text, in hex: names the data a model was trained on.
    ///
    /// One line `reader TAB book TAB at TAB weight` per interaction, ordered by `(at, reader, book)`, after a line
    /// with the axis. Ids hold no control characters, so no two data sets share a text.
    pub fn digest(&self) -> String {
        use std::fmt::Write as _;
        let mut hasher = Sha256::new();
        hasher.update(format!("axis={}\n", self.axis.name()));
        let mut line = String::new();
        for row in &self.interactions {
            line.clear();
            let (reader, book) = (&self.readers[row.reader as usize], self.catalogue.book(row.book).item_id());
            writeln!(line, "{reader}\t{book}\t{}\t{}", row.at, row.weight).expect("writing to a string cannot fail");
            hasher.update(line.as_bytes());
        }
        hex::encode(hasher.finalize())
    }

    /// The data set of the interactions that `keep` accepts: readers and unlisted books without any are forgotten.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(&Interaction) -> bool) -> Self {
        let mut builder = Builder::new(self.axis);
        builder.list(self.listed_books().map(BookRef::to_book));
        for row in self.interactions.iter().filter(|row| keep(row)) {
            let book = &self.catalogue.book(row.book).to_id();
            builder.add(&self.readers[row.reader as usize], book, row.at, row.weight);
        }
        builder.finish().0
    }
}

/// Collects interactions in any order.
#[derive(Debug)]
pub struct Builder {
    axis: TimeAxis,
    readers: Numbers<ReaderId>,
    books: Numbers<BookId>,
    listed: Vec<Book>,
    interactions: Vec<Interaction>,
}

impl Builder {
    /// An empty data set on an axis.
    pub fn new(axis: TimeAxis) -> Self {
        Self {
            axis,
            readers: Numbers::default(),
            books: Numbers::default(),
            listed: Vec::new(),
            interactions: Vec::new(),
        }
    }

    /// Adds books to the catalogue, read or not. Of books with equal ids the last one listed wins.
    pub fn list(&mut self, books: impl IntoIterator<Item = Book>) {
        self.listed.extend(books);
    }

    /// Adds one interaction. Without an axis `at` is taken as 0. Panics if `weight` is not finite and above zero.
    pub fn add(&mut self, reader: &ReaderId, book: &BookId, at: i64, weight: f32) {
        assert!(weight.is_finite() && weight > 0.0, "interaction weights are checked where they are read: {weight}");
        let at = if self.axis == TimeAxis::None { 0 } else { at };
        let (reader, book) = (self.readers.number(reader), BookRow(self.books.number(book)));
        self.interactions.push(Interaction { reader, book, at, weight });
    }

    /// Sorts and numbers everything; the second value is how many exact repeats of `(reader, book, at)` were dropped.
    ///
    /// Of repeats the heaviest is kept, so that the order of the input cannot matter.
    pub fn finish(self) -> (Dataset, u64) {
        let (readers, reader_places) = self.readers.sorted();
        let (read_books, _) = self.books.sorted();
        let listed_ids: std::collections::HashSet<BookId> =
            self.listed.iter().map(|book| book.item_id.clone()).collect();
        let bare = read_books.iter().filter(|id| !listed_ids.contains(*id)).cloned().map(Book::bare);
        let catalogue = Catalogue::new(self.listed.into_iter().chain(bare));
        let listed = catalogue.books().map(|book| listed_ids.contains(book.item_id())).collect();
        let mut book_rows = vec![BookRow(0); read_books.len()];
        for (id, number) in &self.books.numbers {
            book_rows[*number as usize] = catalogue.row(id.as_str()).expect("every book read is in the catalogue");
        }
        let mut interactions = self.interactions;
        for row in &mut interactions {
            row.reader = reader_places[row.reader as usize];
            row.book = book_rows[row.book.index()];
        }
        interactions.sort_unstable_by(|a, b| {
            (a.at, a.reader, a.book).cmp(&(b.at, b.reader, b.book)).then(b.weight.total_cmp(&a.weight))
        });
        let n_before = interactions.len();
        interactions.dedup_by_key(|row| (row.at, row.reader, row.book));
        let repeats = (n_before - interactions.len()) as u64;
        (Dataset { readers, catalogue, listed, interactions, axis: self.axis }, repeats)
    }
}

/// Ids by order of first sight.
#[derive(Debug)]
struct Numbers<Id> {
    numbers: HashMap<Id, u32>,
}

impl<Id> Default for Numbers<Id> {
    fn default() -> Self {
        Self { numbers: HashMap::new() }
    }
}

impl<Id: Clone + Ord + std::hash::Hash> Numbers<Id> {
    fn number(&mut self, id: &Id) -> u32 {
        if let Some(number) = self.numbers.get(id) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(id.clone(), number);
        number
    }

    /// The ids ascending, and for each old number its place among them.
    fn sorted(&self) -> (Vec<Id>, Vec<u32>) {
        let mut ids: Vec<(&Id, u32)> = self.numbers.iter().map(|(id, number)| (id, *number)).collect();
        ids.sort_unstable();
        let mut places = vec![0; ids.len()];
        for (place, (_, number)) in ids.iter().enumerate() {
            places[*number as usize] = place as u32;
        }
        (ids.into_iter().map(|(id, _)| id.clone()).collect(), places)
    }
}

/// The data set without interactions is an error to whoever wants to learn from it.
pub(crate) fn check_not_empty(dataset: &Dataset) -> Result<(), Error> {
    if dataset.interactions().is_empty() { Err(Error::NothingToLearn) } else { Ok(()) }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact in binary")]
pub(crate) mod tests {
    use super::*;

    /// Reads `"ann: dune emma | bob: dune"`; with an axis, each reader's books are one unit apart from 1 on.
    pub(crate) fn toy(axis: TimeAxis, text: &str) -> Dataset {
        let mut builder = Builder::new(axis);
        for reader in text.split('|') {
            let (id, books) = reader.split_once(':').expect("reader: books");
            for (at, book) in books.split_whitespace().enumerate() {
                builder.add(&id.trim().parse().unwrap(), &book.parse().unwrap(), at as i64 + 1, 1.0);
            }
        }
        builder.finish().0
    }

    fn titles(dataset: &Dataset, rows: &[BookRow]) -> Vec<String> {
        rows.iter().map(|row| dataset.catalogue().book(*row).item_id().to_owned()).collect()
    }

    #[test]
    fn the_order_of_the_input_does_not_matter() {
        let rows = [("bob", "emma", 5, 1.0), ("ann", "dune", 3, 1.0), ("bob", "dune", 5, 2.0), ("bob", "dune", 5, 3.0)];
        let build = |order: [usize; 4]| {
            let mut builder = Builder::new(TimeAxis::Clock);
            for (reader, book, at, weight) in order.map(|place| rows[place]) {
                builder.add(&reader.parse().unwrap(), &book.parse().unwrap(), at, weight);
            }
            builder.finish()
        };
        let (first, repeats) = build([0, 1, 2, 3]);
        let (second, _) = build([3, 2, 0, 1]);
        assert_eq!(repeats, 1);
        assert_eq!(first.interactions(), second.interactions());
        assert_eq!(first.interactions()[1].weight, 3.0, "the heaviest of the repeats is kept");
        assert_eq!(first.digest(), second.digest());
    }

    #[test]
    fn a_history_is_oldest_first_and_a_repeat_counts_at_its_newest_place() {
        let dataset = toy(TimeAxis::Order, "ann: dune emma dune ulysses | bob: emma");
        let histories = dataset.histories();
        assert_eq!(titles(&dataset, &histories[0]), ["emma", "dune", "ulysses"]);
        assert_eq!(titles(&dataset, &histories[1]), ["emma"]);
    }

    #[test]
    fn filtering_forgets_unlisted_books_and_keeps_listed_ones() {
        let mut builder = Builder::new(TimeAxis::Order);
        builder.list([Book::bare("listed".parse().unwrap())]);
        builder.add(&"ann".parse().unwrap(), &"old".parse().unwrap(), 1, 1.0);
        builder.add(&"bob".parse().unwrap(), &"new".parse().unwrap(), 2, 1.0);
        let past = builder.finish().0.filtered(|row| row.at < 2);
        let books: Vec<&str> = past.catalogue().books().map(BookRef::item_id).collect();
        assert_eq!(books, ["listed", "old"]);
        assert_eq!(past.readers().len(), 1);
    }

    #[test]
    fn another_weight_is_another_digest() {
        let with = |weight| {
            let mut builder = Builder::new(TimeAxis::None);
            builder.add(&"ann".parse().unwrap(), &"dune".parse().unwrap(), 0, weight);
            builder.finish().0.digest()
        };
        assert_ne!(with(1.0), with(2.0));
        assert_eq!(with(1.0).len(), 64);
    }
}
