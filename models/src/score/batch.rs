//! Many queries at once: the same lists as one by one, faster.

use rayon::prelude::*;

use super::{Asked, Query, Recommendation};
use crate::{
    artifact::{Artifact, Scorer},
    id::BookRow,
};

/// Bytes of full score rows that one thread fills at a time, for scorers that need them.
const ROW_BYTES: usize = 8 << 20;
/// The most rows a thread fills at a time.
const MOST_ROWS: usize = 48;

impl Artifact {
    /// The answers [`Self::recommend`] gives to these queries, in their order and bit for bit, on all threads of the
    /// current `rayon` pool.
    ///
    /// With factor models a block of readers looks at books by falling norm, until nothing shorter can be among a reader's
    /// best `k`; other models fill full rows of scores. Memory: a few megabytes a thread beside the answers.
    pub fn recommend_many(&self, queries: &[Query<'_>]) -> Vec<Recommendation> {
        let most = match self.scorer() {
            Scorer::Factors(factors) => factors.readers_at_once(),
            _ => (ROW_BYTES / size_of::<f32>() / self.catalogue().len()).clamp(1, MOST_ROWS),
        };
        // Answers do not depend on the blocks, so that few queries may be cut to keep every thread busy.
        let length = queries.len().div_ceil(4 * rayon::current_num_threads()).clamp(1, most);
        queries.par_chunks(length).flat_map_iter(|queries| self.recommend_block(queries)).collect()
    }

    fn recommend_block(&self, queries: &[Query<'_>]) -> Vec<Recommendation> {
        let asked: Vec<Asked<'_>> = queries.iter().map(|query| Asked::new(self, *query)).collect();
        let (personal, others): (Vec<_>, Vec<_>) =
            asked.into_iter().enumerate().partition(|(_, asked)| asked.personal());
        let (places, personal): (Vec<usize>, Vec<Asked<'_>>) = personal.into_iter().unzip();
        let own = match self.scorer() {
            _ if personal.is_empty() => Vec::new(),
            Scorer::Factors(factors) => factors.best_of_many(&personal),
            scorer => {
                let n_books = self.catalogue().len();
                let histories: Vec<&[BookRow]> = personal.iter().map(Asked::scored).collect();
                let mut rows = vec![0.0; personal.len() * n_books];
                scorer.score_block(self.popularity(), &histories, &mut rows);
                personal.iter().zip(rows.chunks_exact(n_books)).map(|(asked, scores)| asked.best(scores)).collect()
            }
        };
        let answered = places.into_iter().zip(personal.iter().zip(own).map(|(asked, own)| asked.complete(Some(own))));
        let unanswered = others.iter().map(|(place, asked)| (*place, asked.complete(None)));
        let mut answers: Vec<(usize, Recommendation)> = answered.chain(unanswered).collect();
        answers.sort_unstable_by_key(|(place, _)| *place);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }
}
