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

/// Scores of the books of one panel for a block of readers, with the readers to whom one of them matters.
#[derive(Debug)]
pub(super) struct Block {
    d: usize,
    /// Readers in groups of [`READERS`]: `readers[group][factor][reader]`.
    readers: Vec<[f32; READERS]>,
    /// What a score must exceed to matter, by reader; not-a-number lets every score matter.
    bars: Vec<f32>,
    /// Scores of the panel for the readers in `reached`; others are stale.
    scores: Vec<[f32; BOOKS]>,
    /// Readers for whom at least one score is not at most the bar, ascending.
    reached: Vec<usize>,
}

impl Block {
    /// A block of readers' vectors of length `d`.
    pub fn new<'a>(d: usize, vectors: impl ExactSizeIterator<Item = &'a [f32]>) -> Self {
        let n = vectors.len();
        let groups = n.div_ceil(READERS);
        let mut readers = vec![[0.0; READERS]; groups * d];
        for (place, vector) in vectors.enumerate() {
            let group = &mut readers[place / READERS * d..][..d];
            group.iter_mut().zip(vector).for_each(|(factor, value)| factor[place % READERS] = *value);
        }
        // Nothing exceeds the bar of the places without a reader.
        let mut bars = vec![f32::INFINITY; groups * READERS];
        bars[..n].fill(f32::NAN);
        Self { d, readers, bars, scores: vec![[0.0; BOOKS]; groups * READERS], reached: Vec::new() }
    }

    /// Multiplies; then hands `look` every reader for whom a score exceeds the bar, with all scores of the panel. What
    /// it answers is the reader's new bar.
    pub fn reach(&mut self, panel: &Panel, mut look: impl FnMut(usize, &[f32; BOOKS]) -> f32) {
        self.reached.clear();
        widest(Reach { block: self, panel });
        for reader in &self.reached {
            self.bars[*reader] = look(*reader, &self.scores[*reader]);
        }
    }

    /// [`Self::reach`] for all books of `vectors`, rows of `d` values: [`BOOKS`] by [`BOOKS`] in rising order. `look` is
    /// told the first book's row first.
    pub fn reach_all(&mut self, vectors: &[f32], mut look: impl FnMut(usize, usize, &[f32; BOOKS]) -> f32) {
        let mut panel = vec![[0.0; BOOKS]; self.d];
        for (place, rows) in vectors.chunks(self.d * BOOKS).enumerate() {
            lay_out(rows.chunks_exact(self.d), &mut panel);
            self.reach(&panel, |reader, scores| look(place * BOOKS, reader, scores));
        }
    }
}

struct Reach<'a> {
    block: &'a mut Block,
    panel: &'a Panel,
}

impl Work for Reach<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Block { d, readers, bars, scores, reached } = self.block;
        let groups = readers.chunks_exact(*d).zip(bars.as_chunks::<READERS>().0);
        for (group, (readers, bars)) in groups.enumerate() {
            let sums = product(readers, self.panel);
            for (place, (sums, bar)) in sums.iter().zip(bars).enumerate() {
                // A score that is not a number matters too: it must not hide behind a comparison.
                #[expect(
                    clippy::needless_bitwise_bool,
                    clippy::neg_cmp_op_on_partial_ord,
                    reason = "all lanes are compared without a branch, and what is not a number counts"
                )]
                let matters = sums.iter().fold(false, |any, score| any | !(score <= bar));
                if matters {
                    scores[group * READERS + place] = *sums;
                    reached.push(group * READERS + place);
                }
            }
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
            let mut block = Block::new(7, readers.iter().copied());
            let mut blocked = Vec::new();
            block.reach(&panel, |reader, scores| {
                blocked.push((reader, *scores));
                f32::NAN
            });
            prop_assert_eq!(blocked.len(), n_readers, "without a bar everything matters");
            for (place, (at, scores)) in blocked.into_iter().enumerate() {
                prop_assert_eq!(place, at);
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
    fn only_readers_with_a_score_above_their_bar_are_reached() {
        // Books score 1 and 2 times the reader's only factor; bars equal, below, above and unordered.
        let mut panel = [[0.0; BOOKS]];
        lay_out([&[1.0][..], &[2.0]].into_iter(), &mut panel);
        let mut block = Block::new(1, [&[1.0][..], &[1.0], &[1.0], &[f32::NAN]].into_iter());
        block.bars[..4].copy_from_slice(&[2.0, 1.5, 3.0, 9.0]);
        let mut reached = Vec::new();
        let mut look = |reader, scores: &[f32; BOOKS]| {
            reached.push(reader);
            scores[1]
        };
        block.reach(&panel, &mut look);
        block.reach(&panel, &mut look);
        assert_eq!(reached, [1, 3, 3], "a reader's new bar counts from then on");
    }
}
