//! The score of factors: inner products of readers and books, every one with the same bits wherever it is computed.
//!
//! `score = fma(x[d-1], y[d-1], ... fma(x[1], y[1], fma(x[0], y[0], 0)))`: one chain of fused multiply-adds in the order
//! of the factors. The lanes of a vector are books and readers, never factors, so a block of many readers, one reader
//! alone and a plain loop round alike, and a batch cannot rank near ties otherwise than a single request.

#![expect(clippy::inline_always, reason = "what is inlined into `widest` is compiled for its instructions")]

use super::wide::{Work, widest};

/// Books side by side: two registers of AVX2.
pub(super) const BOOKS: usize = 16;
/// Readers side by side: with [`BOOKS`], 12 of AVX2's 16 registers hold sums.
pub(super) const READERS: usize = 6;

/// One factor of the books of a panel.
pub(super) type Panel = [[f32; BOOKS]];

/// Lays rows of factors side by side, `panel[factor][book]`; places without a row are zero.
pub(super) fn lay_out<'a>(rows: impl Iterator<Item = &'a [f32]>, panel: &mut Panel) {
    let mut n = 0;
    for row in rows {
        for (factor, value) in panel.iter_mut().zip(row) {
            factor[n] = *value;
        }
        n += 1;
    }
    if n < BOOKS {
        for factor in panel {
            factor[n..].fill(0.0);
        }
    }
}

/// Scores of [`BOOKS`] books for one reader.
pub(super) fn of_one(reader: &[f32], panel: &Panel) -> [f32; BOOKS] {
    let [scores] = widest(Product { readers: reader.as_chunks::<1>().0, panel });
    scores
}

struct Product<'a, const R: usize> {
    /// One factor of `R` readers after the other.
    readers: &'a [[f32; R]],
    panel: &'a Panel,
}

impl<const R: usize> Work for Product<'_, R> {
    type Output = [[f32; BOOKS]; R];

    #[inline(always)]
    fn run(self) -> Self::Output {
        product(self.readers, self.panel)
    }
}

#[inline(always)]
fn product<const R: usize>(readers: &[[f32; R]], panel: &Panel) -> [[f32; BOOKS]; R] {
    let mut sums = [[0.0_f32; BOOKS]; R];
    for (x, y) in readers.iter().zip(panel) {
        for (sums, x) in sums.iter_mut().zip(x) {
            for (sum, y) in sums.iter_mut().zip(y) {
                *sum = x.mul_add(*y, *sum);
            }
        }
    }
    sums
}

/// Readers' vectors that meet the books together.
#[derive(Debug)]
pub(super) struct Block {
    d: usize,
    n_readers: usize,
    /// Readers in groups of [`READERS`]: `readers[group][factor][reader]`.
    readers: Vec<[f32; READERS]>,
    /// Scores of one panel, by reader.
    scores: Vec<[f32; BOOKS]>,
}

impl Block {
    /// A block of vectors of length `d`.
    pub fn new<'a>(d: usize, vectors: impl ExactSizeIterator<Item = &'a [f32]>) -> Self {
        let n_readers = vectors.len();
        let groups = n_readers.div_ceil(READERS);
        let mut readers = vec![[0.0; READERS]; groups * d];
        for (place, vector) in vectors.enumerate() {
            let group = &mut readers[place / READERS * d..][..d];
            group.iter_mut().zip(vector).for_each(|(factor, value)| factor[place % READERS] = *value);
        }
        Self { d, n_readers, readers, scores: vec![[0.0; BOOKS]; groups * READERS] }
    }

    /// Scores of all books of `vectors`, rows of `d` values, for every reader: `take` gets the row of the first of
    /// [`BOOKS`] books, the reader's place and the scores. Rows rise; places beyond the last book have score 0.
    pub fn multiply(&mut self, vectors: &[f32], mut take: impl FnMut(usize, usize, &[f32; BOOKS])) {
        let mut panel = vec![[0.0; BOOKS]; self.d];
        for (place, rows) in vectors.chunks(self.d * BOOKS).enumerate() {
            lay_out(rows.chunks_exact(self.d), &mut panel);
            widest(Products { block: self, panel: &panel });
            let scores = self.scores[..self.n_readers].iter().enumerate();
            scores.for_each(|(reader, scores)| take(place * BOOKS, reader, scores));
        }
    }
}

struct Products<'a> {
    block: &'a mut Block,
    panel: &'a Panel,
}

impl Work for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Block { d, readers, scores, .. } = self.block;
        for (readers, scores) in readers.chunks_exact(*d).zip(scores.as_chunks_mut::<READERS>().0) {
            *scores = product(readers, self.panel);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chain(x: &[f32], y: &[f32]) -> f32 {
        x.iter().zip(y).fold(0.0, |sum, (x, y)| x.mul_add(*y, sum))
    }

    proptest! {
        #[test]
        fn every_way_of_multiplying_gives_the_same_bits(
            values in prop::collection::vec(-9.0_f32..9.0, 40 * 7),
            n_readers in 1_usize..14,
            n_books in 1_usize..=BOOKS,
        ) {
            let rows: Vec<&[f32]> = values.chunks_exact(7).collect();
            let (readers, books) = (&rows[..n_readers], &rows[20..20 + n_books]);
            let mut panel = [[7.0; BOOKS]; 7];
            lay_out(books.iter().copied(), &mut panel);
            let mut blocked = Vec::new();
            let mut block = Block::new(7, readers.iter().copied());
            block.multiply(&books.concat(), |first, reader, scores| blocked.push((first, reader, *scores)));
            prop_assert_eq!(blocked.len(), n_readers);
            for (place, (first, reader, scores)) in blocked.into_iter().enumerate() {
                prop_assert_eq!((first, reader), (0, place));
                let alone = of_one(readers[place], &panel);
                let plain = Product { readers: readers[place].as_chunks::<1>().0, panel: &panel }.run()[0];
                for (book, y) in books.iter().enumerate() {
                    let want = chain(readers[place], y).to_bits();
                    let got = [scores[book], alone[book], plain[book]].map(f32::to_bits);
                    prop_assert_eq!(got, [want; 3]);
                    let exact: f64 = readers[place].iter().zip(*y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
                    // Seven roundings of sums of at most 7 * 81.
                    prop_assert!((f64::from(scores[book]) - exact).abs() <= 7.0 * 567.0 * 2.0_f64.powi(-24));
                }
            }
        }
    }

    #[test]
    fn books_meet_readers_panel_by_panel() {
        // Book b is (b, 1); readers (1, 0), (0, 1): scores b and 1.
        let books: Vec<f32> = (0..BOOKS + 2).flat_map(|book| [book as f32, 1.0]).collect();
        let mut met = Vec::new();
        Block::new(2, [&[1.0, 0.0][..], &[0.0, 1.0]].into_iter())
            .multiply(&books, |first, reader, scores| met.push((first, reader, scores[1], scores[2])));
        assert_eq!(met, [(0, 0, 1.0, 2.0), (0, 1, 1.0, 1.0), (BOOKS, 0, 17.0, 0.0), (BOOKS, 1, 1.0, 0.0)]);
    }
}
