//! The best `k` of one score per book, in a total order: score down, then row up.
//!
//! Apart from `score` because every scorer shares it and it must be exact: filters are applied before selection,
//! never after, and ties never depend on the order of insertion.

use std::cmp::Ordering;

use crate::id::BookRow;

/// A book with its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Place in the artefact.
    pub row: BookRow,
    /// Finite score; comparable within one list only.
    pub score: f32,
}

impl Eq for Scored {}

impl Ord for Scored {
    /// Greater is better: higher score, then lower row. `-0.0` and `0.0` tie.
    fn cmp(&self, other: &Self) -> Ordering {
        (self.score + 0.0).total_cmp(&(other.score + 0.0)).then_with(|| other.row.cmp(&self.row))
    }
}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The best `k` of what is offered: a buffer that is cut back to `k` whenever it is full.
///
/// Most offers are refused by one comparison with [`Self::bar`], which the caller may do for many at once.
#[derive(Debug)]
pub(crate) struct Best {
    k: usize,
    held: Vec<Scored>,
    /// Length at which `held` is cut back.
    limit: usize,
    bar: f32,
}

impl Best {
    /// Of `k` places, which may be more than there are books.
    pub fn new(k: usize, n_books: usize) -> Self {
        let k = k.min(n_books);
        Self { k, held: Vec::new(), limit: 2 * k + 16, bar: if k == 0 { f32::INFINITY } else { f32::NAN } }
    }

    /// What a score must exceed to matter still; not-a-number while every score matters.
    pub fn bar(&self) -> f32 {
        self.bar
    }

    /// Offers a book, once. Where rows rise from offer to offer, a score equal to the bar never displaces.
    pub fn offer(&mut self, scored: Scored) {
        if scored.score.is_nan() || self.k == 0 {
            return;
        }
        self.held.push(scored);
        if self.held.len() == self.limit {
            self.cut();
        }
    }

    /// The best, best first; fewer when fewer were offered.
    pub fn into_list(mut self) -> Vec<Scored> {
        self.cut();
        self.held.sort_unstable_by(|a, b| b.cmp(a));
        self.held
    }

    fn cut(&mut self) {
        if self.held.len() > self.k {
            let (_, worst, _) = self.held.select_nth_unstable_by(self.k - 1, |a, b| b.cmp(a));
            self.bar = worst.score;
            self.held.truncate(self.k);
        }
    }
}

/// The best `k` rows among those `eligible`, best first; fewer when fewer are eligible.
///
/// `scores` has one value per row, shape `(n_books,)`; not-a-number is never eligible. Cost: one pass, and a constant
/// per improvement.
///
/// ```
/// use models::{BookRow, top_k::best};
/// let got = best(2, &[0.5, 0.9, 0.5, 0.9], |row| row != BookRow(3));
/// let rows: Vec<u32> = got.iter().map(|s| s.row.0).collect();
/// assert_eq!(rows, [1, 0]); // Row 3 is filtered out; rows 0 and 2 tie and the lower row wins.
/// ```
pub fn best(k: usize, scores: &[f32], eligible: impl Fn(BookRow) -> bool) -> Vec<Scored> {
    /// Scores that are compared with the bar at once.
    const RUN: usize = 16;
    let mut best = Best::new(k, scores.len());
    for (run, scores) in scores.chunks(RUN).enumerate() {
        let bar = best.bar();
        #[expect(clippy::needless_bitwise_bool, reason = "a run is compared without a branch")]
        let hopeless = scores.iter().fold(true, |all, score| all & (*score <= bar));
        if hopeless {
            continue;
        }
        for (place, &score) in scores.iter().enumerate() {
            let row = BookRow((run * RUN + place) as u32);
            let refused = score <= best.bar();
            if !refused && eligible(row) {
                best.offer(Scored { row, score });
            }
        }
    }
    best.into_list()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn selection_equals_sorting(scores in prop::collection::vec(-3i8..3, 0..60), k in 0usize..70, banned in 0u32..8) {
            let scores: Vec<f32> = scores.into_iter().map(f32::from).collect();
            let eligible = |row: BookRow| row.0 % 8 != banned;
            let mut sorted: Vec<Scored> = scores.iter().enumerate()
                .map(|(row, &score)| Scored { row: BookRow(row as u32), score })
                .filter(|s| eligible(s.row)).collect();
            sorted.sort_by(|a, b| b.cmp(a));
            sorted.truncate(k);
            prop_assert_eq!(best(k, &scores, eligible), sorted);
        }
    }

    #[test]
    fn not_a_number_is_never_recommended() {
        let rows: Vec<u32> = best(3, &[f32::NAN, 1.0, f32::NEG_INFINITY], |_| true).iter().map(|s| s.row.0).collect();
        assert_eq!(rows, [1, 2]);
    }

    #[test]
    fn minus_zero_ties_with_zero() {
        let rows: Vec<u32> = best(2, &[-0.0, 0.0, -0.0], |_| true).iter().map(|s| s.row.0).collect();
        assert_eq!(rows, [0, 1]);
    }
}
