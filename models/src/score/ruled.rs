//! Lists under rules: filters inside the scan, then caps and diversity over as many candidates as they need.

use std::sync::Arc;

use super::{
    Asked, Origin, Query, Recommendation, Scratch,
    likeness::Likeness,
    rerank::{self, Cap},
};
use crate::{artifact::Artifact, rows::Rows, rules::Rules, top_k::Scored};

/// Candidates per place of a list, to begin with.
const CANDIDATES: usize = 5;
/// Growth of the candidates while caps leave places open.
const GROWTH: usize = 4;

impl Artifact {
    /// The best books for a history that obey the rules. By default the list of [`Self::recommend`].
    ///
    /// Filters are applied before selection, so `k` books come back whenever `k` are let through; the popular books that
    /// fill open places obey them too. Caps and diversity choose from the `5 k` best, more where caps leave places open,
    /// and keep the model's own books before popular ones; scores stay what the model said, so that with diversity they
    /// need not fall from place to place.
    pub fn recommend_under(&self, query: Query<'_>, rules: &Rules, scratch: &mut Scratch) -> Recommendation {
        let allowed = self.allowed(&rules.filter);
        let mut answer = if rules.rearrange() {
            self.rearranged(query, rules, &allowed, scratch)
        } else {
            self.answer(&Asked::among(self, query, allowed), scratch)
        };
        answer.cut_short = answer.books.len() < query.k && answer.books.len() < self.without_rules(query);
        answer
    }

    /// How many books could be listed if there were no rules.
    fn without_rules(&self, query: Query<'_>) -> usize {
        let asked = Asked::new(self, Query { k: 0, ..query });
        let mut kept_back = asked.kept_back;
        kept_back.dedup();
        asked.allowed.len() - kept_back.iter().filter(|row| asked.allowed.has(**row)).count()
    }

    fn rearranged(
        &self,
        query: Query<'_>,
        rules: &Rules,
        allowed: &Arc<Rows>,
        scratch: &mut Scratch,
    ) -> Recommendation {
        let of_authors = rules.max_per_author.map(|most| Cap { most, labels: self.authors() });
        let of_series = rules.max_per_series.map(|most| Cap { most, labels: self.series() });
        let caps: Vec<Cap<'_>> = of_authors.into_iter().chain(of_series).collect();
        let n_books = self.catalogue().len();
        let candidates = query.k.saturating_mul(CANDIDATES);
        let most = if rules.diversity > 0.0 { candidates } else { query.k };
        let mut wanted = candidates.min(n_books);
        let (listed, places) = loop {
            let listed = self.answer(&Asked::among(self, Query { k: wanted, ..query }, Arc::clone(allowed)), scratch);
            let places = rerank::under_caps(&listed.books, most, &caps);
            if places.len() >= query.k || listed.books.len() < wanted || wanted == n_books {
                break (listed, places);
            }
            wanted = wanted.saturating_mul(GROWTH).min(n_books);
        };
        let mut books: Vec<Scored> = places.iter().map(|place| listed.books[*place]).collect();
        let mut n_own = places.partition_point(|place| *place < listed.n_own);
        if rules.diversity > 0.0 {
            let (own, rest) = books.split_at(n_own);
            let own: Vec<f32> = own.iter().map(|book| book.score).collect();
            let rest: Vec<f32> = rest.iter().map(|book| self.popularity()[book.row.index()]).collect();
            let likeness = Likeness::new(self, &books);
            let order = rerank::diverse(query.k, [&own, &rest], rules.diversity, |a, b| likeness.of(a, b));
            books = order.iter().map(|place| books[*place]).collect();
        }
        books.truncate(query.k);
        n_own = n_own.min(books.len());
        let origin = match listed.origin {
            Origin::FilledFromPopularity if n_own == books.len() => Origin::Model,
            origin => origin,
        };
        Recommendation { books, origin, n_own, cut_short: false }
    }
}

#[cfg(test)]
mod tests;
