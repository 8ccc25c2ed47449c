//! What the shares are chosen on: the newest part of the data or what stands in for it, books at random, or strangers.
//!
//! Of a reader's books a few picked at random leave their nearest companions behind in the history, which favours models
//! of near neighbours; a future does not do so, because books are taken up in spells. Without time a whole spell is
//! therefore held out: one book of the reader and those of their books that are most alike to it.

use std::collections::HashSet;

use models::BookRow;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{Window, choose::MAX_CASES};
use crate::{
    dataset::{Dataset, TimeAxis},
    error::Error,
    matrix::Matrix,
    split::{self, Split},
};

/// The share of a stranger's books that is folded in.
const INPUT_SHARE: f64 = 0.8;

/// The window with about `share` of the interactions or readers, in `(0, 1)`.
pub(super) fn of(dataset: &Dataset, window: Window, share: f64, seed: u64) -> Result<Split, Error> {
    match window {
        Window::Newest => newest(dataset, share, seed),
        Window::AtRandom => split::random_by_reader(dataset, seed, share),
        Window::Readers => {
            let n_readers = ((dataset.readers().len() as f64 * share).round() as usize).clamp(1, MAX_CASES);
            split::strangers(dataset, seed, n_readers, INPUT_SHARE)
        }
    }
}

fn newest(dataset: &Dataset, share: f64, seed: u64) -> Result<Split, Error> {
    let by_time = match dataset.axis() {
        TimeAxis::None => None,
        TimeAxis::Clock | TimeAxis::Order => split::global_time(dataset, share).ok(),
    };
    by_time.map_or_else(|| spells(dataset, share, seed), Ok)
}

/// Holds out `share` of each reader's distinct books, rounded: a random one and those nearest to it by the cosine of
/// their readers, ties to the lower row. At least one book of each reader stays.
fn spells(dataset: &Dataset, share: f64, seed: u64) -> Result<Split, Error> {
    let matrix = Matrix::new(dataset, None);
    let n_readers = matrix.by_reader().len();
    let spell = |marked: &mut Vec<bool>, reader: usize| spell_of(&matrix, reader, share, seed, marked);
    let held_out: Vec<HashSet<BookRow>> =
        (0..n_readers).into_par_iter().map_init(|| vec![false; n_readers], spell).collect();
    let is_held_out = |reader: u32, book: BookRow| held_out[reader as usize].contains(&book);
    let future = dataset.filtered(|row| is_held_out(row.reader, row.book));
    split::given(&dataset.filtered(|row| !is_held_out(row.reader, row.book)), &future)
}

/// The books of one reader's spell. `marked` holds a place for each reader, none of them marked, and is given back so.
fn spell_of(matrix: &Matrix, reader: usize, share: f64, seed: u64, marked: &mut [bool]) -> HashSet<BookRow> {
    let (books, _) = matrix.by_reader().row(reader);
    let n_held_out = ((books.len() as f64 * share).round() as usize).min(books.len().saturating_sub(1));
    if n_held_out == 0 {
        return HashSet::new();
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(reader as u64);
    // High bits of a product: an even choice of a place up to n / 2^32.
    let first = books[((u64::from(random.next_u32()) * books.len() as u64) >> 32) as usize];
    let readers_of = |book: u32| matrix.by_book().row(book as usize).0;
    for other in readers_of(first) {
        marked[*other as usize] = true;
    }
    // The squared cosine but for a factor that all share; the first book, alike to itself, comes first.
    let likeness = |book: u32| {
        let shared = readers_of(book).iter().filter(|other| marked[**other as usize]).count();
        if book == first { f64::INFINITY } else { (shared * shared) as f64 / readers_of(book).len() as f64 }
    };
    let mut ranked: Vec<(f64, u32)> = books.iter().map(|book| (likeness(*book), *book)).collect();
    for other in readers_of(first) {
        marked[*other as usize] = false;
    }
    ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    ranked.into_iter().take(n_held_out).map(|(_, book)| BookRow(book)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::tests::toy;

    #[test]
    fn without_time_a_spell_of_like_books_is_held_out() {
        // Two kinds of books, which only ann and bob mix: whichever book is drawn, its kind goes. Readers of one book
        // lose none, so that no book is unknown.
        let dataset = toy(
            TimeAxis::None,
            "ann: a1 a2 a3 b1 b2 b3 | bob: a1 a2 a3 b1 b2 b3 | cy: a1 a2 a3 | dee: a1 a2 a3 | eve: b1 b2 b3 | flo: b1 b2 b3 \
             | p: a1 | q: a2 | r: a3 | s: b1 | t: b2 | u: b3",
        );
        for seed in 0..5 {
            let split = of(&dataset, Window::Newest, 0.5, seed).unwrap();
            for reader in ["ann", "bob"] {
                let case = split.cases.iter().find(|case| case.reader.as_str() == reader).unwrap();
                let kinds = |rows: &[BookRow]| {
                    let ids = rows.iter().map(|row| split.train.catalogue().book(*row).item_id()[..1].to_owned());
                    ids.collect::<HashSet<_>>()
                };
                assert_eq!((case.targets.len(), case.n_cold_targets, case.history.len()), (3, 0, 3));
                assert_eq!((kinds(&case.targets).len(), kinds(&case.history).len()), (1, 1));
                assert!(kinds(&case.targets).is_disjoint(&kinds(&case.history)));
            }
        }
    }

    #[test]
    fn books_at_random_and_whole_readers_are_held_out_where_asked() {
        let shelves: Vec<String> = (0..10).map(|reader| format!("r{reader}: a b c d e f g h i j")).collect();
        let dataset = toy(TimeAxis::Order, &shelves.join(" | "));
        // Two books of each reader, though there is time.
        let split = of(&dataset, Window::AtRandom, 0.2, 1).unwrap();
        assert_eq!(split.cases.len(), 10);
        assert!(split.cases.iter().all(|case| (case.targets.len(), case.history.len()) == (2, 8)));
        // Two readers of ten, with eight books of ten folded in; the past does not know them.
        let split = of(&dataset, Window::Readers, 0.2, 1).unwrap();
        assert_eq!((split.cases.len(), split.train.readers().len()), (2, 8));
        assert!(split.cases.iter().all(|case| (case.targets.len(), case.history.len()) == (2, 8)));
        assert!(split.cases.iter().all(|case| !split.train.readers().contains(&case.reader)));
    }

    #[test]
    fn a_reader_keeps_a_book_and_time_goes_first() {
        assert!(matches!(
            of(&toy(TimeAxis::None, "ann: a | bob: a"), Window::Newest, 0.9, 1),
            Err(Error::CannotSplit(_))
        ));
        let split = of(&toy(TimeAxis::None, "ann: a b | bob: a b"), Window::Newest, 0.9, 1).unwrap();
        assert!(split.cases.iter().all(|case| case.history.len() == 1));
        let timed = of(&toy(TimeAxis::Order, "ann: a b c d | bob: a b c d"), Window::Newest, 0.25, 1).unwrap();
        assert_eq!(timed.cut, Some(4));
    }
}
