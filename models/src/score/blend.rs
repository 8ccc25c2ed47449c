//! Scores of blends: the members' scores, each divided by its spread, summed by weight.

use crate::{
    blend::{Blend, standard_deviation},
    id::BookRow,
};

impl Blend {
    /// Scores of all books for several histories, one row of `n_books` after the other.
    pub(super) fn fill_scores(&self, popularity: &[f32], histories: &[&[BookRow]], rows: &mut [f32]) {
        let n_books = popularity.len();
        let mut part = vec![0.0; rows.len()];
        rows.fill(0.0);
        for member in self.members() {
            member.scorer.score_block(popularity, histories, &mut part);
            for (row, part) in rows.chunks_exact_mut(n_books).zip(part.chunks_exact(n_books)) {
                let spread = standard_deviation(part);
                if spread > 0.0 {
                    let scale = (f64::from(member.weight) / spread) as f32;
                    row.iter_mut().zip(part).for_each(|(sum, score)| *sum += scale * score);
                }
            }
        }
    }
}
