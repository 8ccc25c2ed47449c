//! Scores of neighbour models: sums of weights over a history.

use crate::{artifact::Neighbours, id::BookRow};

impl Neighbours {
    /// `score(j) = sum over i in history of weight(i, j)` into `scores`, shape `(n_books,)`; zero is no evidence.
    pub(super) fn fill_scores(&self, history: &[BookRow], scores: &mut [f32]) {
        scores.fill(0.0);
        for source in history {
            let (targets, weights) = self.row(*source);
            for (target, weight) in targets.iter().zip(weights) {
                scores[target.index()] += weight;
            }
        }
    }
}
