//! The simulated shop's books: what the catalogue says of them, and what readers make of them.
//!
//! Within a genre books fall into groups (a series, a circle of authors) and popularity follows a power law. The change
//! of taste regroups and reorders every genre and opens the wave of new books, so what was learnt before it no longer holds.

use std::collections::{BTreeSet, HashMap};

use models::{Book, BookId};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{
    genres::{GENRES, GIVEN, Genre, SURNAME_HEADS, SURNAME_TAILS},
    random::{Purpose, below, one_of, shuffled, stream, weighted},
};

/// Popularity of the book of rank `r` (from 0) in its genre: `(r + RANK_OFFSET)^-RANK_EXPONENT`.
///
/// Flat enough that readers who have bought the best-known books do not turn to visibly lesser ones.
const RANK_EXPONENT: f64 = 0.7;
/// Flattens the very head, so that the first book of a genre is not a genre of its own.
const RANK_OFFSET: f64 = 5.0;
/// Books in one group, about.
const GROUP_SIZE: usize = 20;

/// Before or after the change of taste.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fashion {
    Old,
    New,
}

/// What readers of one fashion make of a book.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// Group within the genre.
    pub(super) group: u32,
    /// Popularity, not negative, comparable within a genre; 0 where the book is not read at all.
    pub(super) weight: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) genre: usize,
    pub(super) is_new: bool,
    old: Standing,
    new: Standing,
}

impl Place {
    pub(super) fn standing(&self, fashion: Fashion) -> Standing {
        match fashion {
            Fashion::Old => self.old,
            Fashion::New => self.new,
        }
    }
}

/// All books with their places; indices are positions in the catalogue.
#[derive(Debug)]
pub(super) struct Shelves {
    pub(super) books: Vec<Book>,
    pub(super) places: Vec<Place>,
    /// Indices of each genre's books.
    pub(super) by_genre: Vec<Vec<u32>>,
    /// Indices of the wave of new books.
    pub(super) wave: Vec<u32>,
    pub(super) n_groups: usize,
    by_id: HashMap<BookId, u32>,
}

impl Shelves {
    /// `n_books` that are always there and `n_new` that arrive with the change of taste, published in `new_year`.
    pub(super) fn new(seed: u64, n_genres: usize, n_books: usize, n_new: usize, new_year: i32) -> Self {
        let n_groups = (n_books / n_genres / GROUP_SIZE).max(2);
        let mut writer = Writer::new(stream(seed, Purpose::Catalogue, 0), n_genres, n_groups, new_year);
        let genre_weights: Vec<f64> = (0..n_genres).map(genre_size).collect();
        let mut shelves = Self {
            books: Vec::with_capacity(n_books + n_new),
            places: Vec::with_capacity(n_books + n_new),
            by_genre: vec![Vec::new(); n_genres],
            wave: Vec::with_capacity(n_new),
            n_groups,
            by_id: HashMap::new(),
        };
        for index in 0..n_books + n_new {
            // The first few books give every genre one; the rest follow the genres' sizes.
            let mut drawn = || weighted(&mut writer.rng, &genre_weights).expect("genre weights are positive");
            let genre = if index < n_genres { index } else { drawn() };
            let group = below(&mut writer.rng, n_groups);
            let is_new = index >= n_books;
            let book = writer.book(index, genre, group, is_new);
            let standing = Standing { group: group as u32, weight: 0.0 };
            shelves.by_id.insert(book.item_id.clone(), index as u32);
            shelves.books.push(book);
            shelves.places.push(Place { genre, is_new, old: standing, new: standing });
            shelves.by_genre[genre].push(index as u32);
            if is_new {
                shelves.wave.push(index as u32);
            }
        }
        shelves.rank(seed);
        shelves
    }

    pub(super) fn index(&self, id: &BookId) -> Option<usize> {
        self.by_id.get(id).map(|index| *index as usize)
    }

    /// Gives every genre two orders of popularity and a second grouping.
    fn rank(&mut self, seed: u64) {
        let mut old = stream(seed, Purpose::Catalogue, 1);
        let mut new = stream(seed, Purpose::Shift, 0);
        for genre in &self.by_genre {
            let present: Vec<u32> = genre.iter().copied().filter(|i| !self.places[*i as usize].is_new).collect();
            for (rank, place) in shuffled(&mut old, present.len()).into_iter().enumerate() {
                self.places[present[place] as usize].old.weight = popularity(rank);
            }
            for (rank, place) in shuffled(&mut new, genre.len()).into_iter().enumerate() {
                let standing = &mut self.places[genre[place] as usize].new;
                *standing = Standing { group: below(&mut new, self.n_groups) as u32, weight: popularity(rank) };
            }
        }
    }
}

/// Relative size of a genre, in books and in readers: the first is four times the twelfth.
pub(super) fn genre_size(genre: usize) -> f64 {
    1.0 / (genre as f64 + 3.5)
}

fn popularity(rank: usize) -> f64 {
    (rank as f64 + RANK_OFFSET).powf(-RANK_EXPONENT)
}

/// Writes the catalogue's entries: no title twice, two or three authors to a group.
struct Writer {
    rng: ChaCha8Rng,
    titles: BTreeSet<String>,
    /// Authors by genre and group.
    authors: Vec<Vec<Vec<String>>>,
    new_year: i32,
}

impl Writer {
    fn new(mut rng: ChaCha8Rng, n_genres: usize, n_groups: usize, new_year: i32) -> Self {
        let mut names = BTreeSet::new();
        let mut circle = || (0..3).map(|_| new_name(&mut rng, &mut names)).collect();
        let authors = (0..n_genres).map(|_| (0..n_groups).map(|_| circle()).collect()).collect();
        Self { rng, titles: BTreeSet::new(), authors, new_year }
    }

    fn book(&mut self, index: usize, genre: usize, group: usize, is_new: bool) -> Book {
        let grammar = &GENRES[genre];
        let age = (self.rng.random::<f64>().powi(3) * 70.0) as i32;
        let language = match below(&mut self.rng, 100) {
            0..88 => "en",
            88..93 => "de",
            93..97 => "fr",
            _ => "es",
        };
        let circle = &self.authors[genre][group];
        let author = circle[below(&mut self.rng, circle.len())].clone();
        let price = f64::from(5 + below(&mut self.rng, 28) as u32) + 0.99;
        Book {
            title: Some(self.title(grammar)),
            authors: vec![author],
            subjects: vec![grammar.name.into(), grammar.shelves[group % grammar.shelves.len()].into()],
            language: Some(language.into()),
            year: Some(if is_new { self.new_year } else { self.new_year - 1 - age }),
            price: Some(price),
            ..Book::bare(format!("book-{:05}", index + 1).parse().expect("letters, a dash and digits are an id"))
        }
    }

    fn title(&mut self, grammar: &Genre) -> String {
        let mut title = String::new();
        for _ in 0..40 {
            let pattern = one_of(&mut self.rng, grammar.patterns);
            title = as_title(
                &pattern
                    .replace("{a}", one_of(&mut self.rng, grammar.a))
                    .replace("{b}", one_of(&mut self.rng, grammar.b))
                    .replace("{c}", one_of(&mut self.rng, grammar.c)),
            );
            if self.titles.insert(title.clone()) {
                return title;
            }
        }
        // A shop larger than the grammar's patience sells sequels.
        let sequel =
            (2..=u32::MAX).map(|part| format!("{title}, Part {part}")).find(|title| !self.titles.contains(title));
        let sequel = sequel.expect("numbers do not run out");
        self.titles.insert(sequel.clone());
        sequel
    }
}

/// A capital in front, and `An` where the next word begins with a vowel.
fn as_title(words: &str) -> String {
    let mut words = words.to_owned();
    if let Some(rest) = words.strip_prefix("A ")
        && rest.starts_with(['A', 'E', 'I', 'O'])
    {
        words = format!("An {rest}");
    }
    let head = words.remove(0).to_ascii_uppercase();
    words.insert(0, head);
    words
}

fn new_name(rng: &mut ChaCha8Rng, taken: &mut BTreeSet<String>) -> String {
    let mut name = String::new();
    for _ in 0..40 {
        let given = one_of(rng, &GIVEN);
        name = format!("{given} {}{}", one_of(rng, &SURNAME_HEADS), one_of(rng, &SURNAME_TAILS));
        if taken.insert(name.clone()) {
            break;
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn titles_are_unique_even_in_a_large_shop() {
        let shelves = Shelves::new(7, 12, 9_000, 100, 2026);
        let titles: BTreeSet<_> = shelves.books.iter().map(|book| book.title.clone().unwrap()).collect();
        assert_eq!(titles.len(), 9_100);
    }

    #[test]
    fn titles_tell_their_genre() {
        let shelves = Shelves::new(7, 12, 1_500, 80, 2026);
        let lines = shelves.books.iter().step_by(190).take(8).map(|book| {
            let Book { title, authors, subjects, year, .. } = book;
            format!("{} | {} | {} | {}\n", title.as_deref().unwrap(), authors[0], subjects.join(" > "), year.unwrap())
        });
        expect![[r"
            Silence for a Bookbinder | Noor Stellaro | Literary Fiction > Family Novels | 2019
            My Parliament Years | Tamsin Tivick | Biography > Political Lives | 2025
            What the Translator Kept | Osric Stellvane | Literary Fiction > Family Novels | 1968
            A Cascade for the Hollow | Sunniva Stellvane | Science Fiction > Machine Minds | 2005
            The Clockmaker's Ledger | Sunniva Brackvane | Literary Fiction > Island Novels | 2025
            The Lagoon Towns by Slow Train | Noor Yarwick | Travel > Cities | 2025
            The Last Net Mender of Marrow Street | Sunniva Brackvane | Literary Fiction > Island Novels | 2023
            Crystals That Never Sleep | Tobin Pellington | Popular Science > Astronomy | 2002
        "]]
        .assert_eq(&lines.collect::<String>());
    }

    #[test]
    fn new_books_have_no_standing_before_the_change() {
        let shelves = Shelves::new(7, 12, 300, 30, 2026);
        let (mut old, mut new) = (0, 0);
        for place in &shelves.places {
            old += usize::from(place.standing(Fashion::Old).weight > 0.0);
            new += usize::from(place.standing(Fashion::New).weight > 0.0);
        }
        assert_eq!((old, new, shelves.wave.len()), (300, 330, 30));
    }
}
