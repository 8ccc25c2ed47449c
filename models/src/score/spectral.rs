//! Scores of spectral filters: what is near, plus an inner product with the reader's vector.

use super::product::Block;
use crate::{id::BookRow, spectral::Spectral};

impl Spectral {
    /// Scores of all books for several histories, one row of `n_books` after the other.
    pub(super) fn fill_scores(&self, histories: &[&[BookRow]], rows: &mut [f32]) {
        let n_books = self.near().n_books();
        for (history, row) in histories.iter().zip(rows.chunks_exact_mut(n_books)) {
            self.near().fill_scores(history, row);
        }
        let readers: Vec<_> = histories.iter().map(|history| self.reader(history)).collect();
        let vectors = readers.iter().map(|reader| reader.as_slice().expect("one dimension is contiguous"));
        let targets = self.targets().to_slice().expect("targets are kept row by row");
        Block::new(self.q(), vectors).multiply(targets, |first, reader, scores| {
            let row = &mut rows[reader * n_books + first..(reader + 1) * n_books];
            row.iter_mut().zip(scores).for_each(|(place, score)| *place += score);
        });
    }
}
