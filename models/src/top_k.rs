//! The best `k` of one score per book, in a total order: score down, then row up.
//!
//! Apart from `score.rs` because every scorer shares it and it must be exact: filters are applied before selection,
//! never after, and ties never depend on the order of insertion.

use std::{cmp::Ordering, collections::BinaryHeap};

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

/// The best `k` rows among those `eligible`, best first; fewer when fewer are eligible.
///
/// `scores` has one value per row, shape `(n_books,)`; not-a-number is never eligible. Cost: one pass, and `log k`
/// per improvement.
///
/// ```
/// use models::{BookRow, top_k::best};
/// let got = best(2, &[0.5, 0.9, 0.5, 0.9], |row| row != BookRow(3));
/// let rows: Vec<u32> = got.iter().map(|s| s.row.0).collect();
/// assert_eq!(rows, [1, 0]); // Row 3 is filtered out; rows 0 and 2 tie and the lower row wins.
/// ```
pub fn best(k: usize, scores: &[f32], eligible: impl Fn(BookRow) -> bool) -> Vec<Scored> {
    if k == 0 {
        return Vec::new();
    }
    let mut heap: BinaryHeap<std::cmp::Reverse<Scored>> = BinaryHeap::with_capacity(k.min(scores.len()) + 1);
    for (row, &score) in scores.iter().enumerate() {
        let candidate = Scored { row: BookRow(row as u32), score };
        if heap.len() == k {
            // Rows come in rising order, so an equal score never displaces.
            let worst = heap.peek().expect("k > 0 candidates are held").0;
            if score <= worst.score {
                continue;
            }
        }
        if score.is_nan() || !eligible(candidate.row) {
            continue;
        }
        heap.push(std::cmp::Reverse(candidate));
        if heap.len() > k {
            heap.pop();
        }
    }
    let mut list: Vec<Scored> = heap.into_iter().map(|reversed| reversed.0).collect();
    list.sort_unstable_by(|a, b| b.cmp(a));
    list
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
