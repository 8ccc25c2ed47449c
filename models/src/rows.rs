//! Sets of books of one artefact, a bit a row: what filters come down to before anything is scored.

use std::fmt;

use crate::id::BookRow;

/// Bits of a word.
const WORD: usize = u64::BITS as usize;

/// A set of the rows below `n_books`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Bit `row % 64` of word `row / 64`; bits past the last row are zero.
    words: Vec<u64>,
    n_books: usize,
}

impl Rows {
    /// No row.
    pub fn none(n_books: usize) -> Self {
        Self { words: vec![0; n_books.div_ceil(WORD)], n_books }
    }

    /// Every row.
    pub fn all(n_books: usize) -> Self {
        let mut all = Self { words: vec![u64::MAX; n_books.div_ceil(WORD)], n_books };
        if let Some(last) = all.words.last_mut().filter(|_| !n_books.is_multiple_of(WORD)) {
            *last = (1 << (n_books % WORD)) - 1;
        }
        all
    }

    pub fn add(&mut self, row: BookRow) {
        self.words[row.index() / WORD] |= 1 << (row.index() % WORD);
    }

    pub fn remove(&mut self, row: BookRow) {
        self.words[row.index() / WORD] &= !(1 << (row.index() % WORD));
    }

    /// Keeps what the other set, of the same books, has as well.
    pub fn keep(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    pub fn has(&self, row: BookRow) -> bool {
        self.words[row.index() / WORD] >> (row.index() % WORD) & 1 == 1
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Its rows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = BookRow> {
        self.words.iter().enumerate().flat_map(|(place, word)| {
            let without_lowest = |rest: &u64| Some(rest & (rest - 1)).filter(|rest| *rest != 0);
            let each = std::iter::successors(Some(*word).filter(|word| *word != 0), without_lowest);
            each.map(move |rest| BookRow((place * WORD) as u32 + rest.trailing_zeros()))
        })
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} rows", self.len(), self.n_books)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_of_bits_is_a_set(
            n_books in 1_usize..200,
            added in prop::collection::vec(any::<u32>(), 0..60),
            removed in prop::collection::vec(any::<u32>(), 0..60),
        ) {
            let row = |number: &u32| BookRow(number % n_books as u32);
            let (mut bits, mut set) = (Rows::none(n_books), std::collections::BTreeSet::new());
            added.iter().map(row).for_each(|row| { bits.add(row); set.insert(row); });
            removed.iter().map(row).for_each(|row| { bits.remove(row); set.remove(&row); });
            prop_assert_eq!(bits.iter().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(bits.len(), set.len());
            prop_assert!((0..n_books as u32).map(BookRow).all(|row| bits.has(row) == set.contains(&row)));
            let mut all = Rows::all(n_books);
            prop_assert_eq!(all.len(), n_books);
            all.keep(&bits);
            prop_assert_eq!(all, bits);
        }
    }
}
