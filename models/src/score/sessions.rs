//! Scores of session models: the votes of past sessions, which name few books of the catalogue.

use super::Asked;
use crate::{
    id::BookRow,
    sessions::{SessionScratch, Sessions},
    top_k::{Best, Scored},
};

impl Sessions {
    /// Scores of all books for several histories, one row of `n_books` after the other; zero is no evidence.
    pub(super) fn fill_scores(&self, histories: &[&[BookRow]], rows: &mut [f32]) {
        let mut scratch = SessionScratch::default();
        for (history, row) in histories.iter().zip(rows.chunks_exact_mut(self.n_books())) {
            row.fill(0.0);
            for (book, vote) in self.votes(history, &mut scratch) {
                row[book.index()] = vote;
            }
        }
    }

    /// The best books of one history, without a look at the books nobody votes for.
    pub(super) fn best_of_one(&self, asked: &Asked<'_>, scratch: &mut SessionScratch) -> Vec<Scored> {
        let mut best = Best::new(asked.query.k, self.n_books());
        for (row, score) in self.votes(asked.scored(), scratch) {
            // Votes come in no order of rows, so equals go in and the total order decides.
            let refused = score < best.bar();
            if !refused && asked.may_offer(row) {
                best.offer(Scored { row, score });
            }
        }
        best.into_list()
    }
}
