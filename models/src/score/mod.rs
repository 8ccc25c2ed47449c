//! The one scoring path: a history in, a ranked list out.
//!
//! Serving calls [`Artifact::recommend`] and evaluation [`Artifact::recommend_many`], which give the same lists bit for
//! bit, so what was measured is what readers get. A scorer says in [`Scorer::score_block`] what its scores are; factors
//! reach the same scores for the best books without computing all of them.

mod batch;
mod blend;
mod coarse;
mod factors;
mod likeness;
mod neighbours;
mod product;
mod rerank;
mod ruled;
mod sessions;
mod solve;
mod spectral;
mod wide;

use std::sync::Arc;

use ndarray::{Array1, ArrayView1};

pub(crate) use self::coarse::LazyCoarse;
pub use self::solve::solve_in_place;
use crate::{
    artifact::{Artifact, MAX_HISTORY, Scorer},
    id::{BookId, BookRow},
    rows::Rows,
    rules::Filter,
    sessions::SessionScratch,
    top_k::{self, Scored},
};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The reader's books, oldest first, as rows of this artefact. See [`Artifact::history_of`]. All of them are kept
    /// from the list; the newest [`MAX_HISTORY`] are scored with.
    pub history: &'a [BookRow],
    /// How many books are wanted, at least 1.
    pub k: usize,
    /// Whether books of the history may be recommended again.
    pub include_seen: bool,
    /// Further books that must not appear.
    pub exclude: &'a [BookRow],
}

/// Where a list came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Every place was filled by the model's own scores.
    Model,
    /// The model had evidence for fewer than `k` books; the rest are the most popular ones.
    FilledFromPopularity,
    /// Nothing is known of the reader: the most popular books.
    Popularity,
}

impl Origin {
    /// The reason as it is told to callers and counted, or `None` when the model answered alone.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Model => None,
            Self::FilledFromPopularity => Some("sparse-history"),
            Self::Popularity => Some("cold-reader"),
        }
    }
}

/// A ranked list.
#[derive(Debug, Clone, PartialEq)]
pub struct Recommendation {
    /// Best first, without repeats; shorter than `k` only when fewer books are eligible.
    pub books: Vec<Scored>,
    /// Where it came from.
    pub origin: Origin,
    /// How many places, from the first, the model's own scores filled.
    pub n_own: usize,
    /// Whether there are fewer than `k` books because rules left others out. See [`Artifact::recommend_under`].
    pub cut_short: bool,
}

impl Recommendation {
    /// Where the list's first `k` places came from: a shorter list needs less filling.
    pub fn origin_of_first(&self, k: usize) -> Origin {
        if self.origin == Origin::FilledFromPopularity && self.n_own >= k { Origin::Model } else { self.origin }
    }
}

/// Buffers that scoring reuses between requests of one thread.
#[derive(Debug, Default)]
pub struct Scratch {
    scores: Array1<f32>,
    sessions: SessionScratch,
}

/// A reader's history as an artefact sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHistory {
    /// Rows, oldest first, without repeats.
    pub rows: Vec<BookRow>,
    /// Whether the artefact stored a history for this reader.
    pub reader_known: bool,
    /// How many of the books sent with the request the artefact does not know.
    pub unknown_books: usize,
}

impl Artifact {
    /// Joins the stored history of `reader` with the books sent in the request (`latest`, oldest first).
    ///
    /// A book that occurs twice keeps its newest place.
    pub fn history_of(&self, reader: Option<&str>, latest: &[BookId]) -> KnownHistory {
        let stored = reader.and_then(|reader| self.readers().history(reader));
        let sent: Vec<Option<BookRow>> = latest.iter().map(|book| self.catalogue().row(book.as_str())).collect();
        let unknown_books = sent.iter().filter(|row| row.is_none()).count();
        let mut newest_first = Vec::new();
        let mut taken = std::collections::HashSet::new();
        let all = stored.unwrap_or_default().iter().copied().chain(sent.into_iter().flatten());
        for row in all.collect::<Vec<_>>().into_iter().rev() {
            if taken.insert(row) {
                newest_first.push(row);
            }
        }
        newest_first.reverse();
        KnownHistory { rows: newest_first, reader_known: stored.is_some(), unknown_books }
    }

    /// Scores of all books for one history, shape `(n_books,)`. Zero means no evidence for neighbour models.
    ///
    /// Of a history longer than [`MAX_HISTORY`] the newest part counts.
    pub fn scores<'s>(&self, history: &[BookRow], scratch: &'s mut Scratch) -> ArrayView1<'s, f32> {
        let n_books = self.catalogue().len();
        if scratch.scores.len() != n_books {
            scratch.scores = Array1::zeros(n_books);
        }
        let scores = scratch.scores.as_slice_mut().expect("one dimension is contiguous");
        self.scorer().score_block(self.popularity(), &[newest(history)], scores);
        scratch.scores.view()
    }

    /// The best books for a history: never an unavailable one, an excluded one or (unless asked) a seen one.
    ///
    /// An empty history gives the most popular books. Places the model has no evidence for are filled by popularity.
    pub fn recommend(&self, query: Query<'_>, scratch: &mut Scratch) -> Recommendation {
        self.answer(&Asked::new(self, query), scratch)
    }

    fn answer(&self, asked: &Asked<'_>, scratch: &mut Scratch) -> Recommendation {
        let own = asked.personal().then(|| match self.scorer() {
            Scorer::Factors(factors) => factors.best_of_one(asked),
            Scorer::Sessions(sessions) => sessions.best_of_one(asked, &mut scratch.sessions),
            _ => asked.best(self.scores(asked.query.history, scratch).as_slice().expect("scores are contiguous")),
        });
        asked.complete(own)
    }
}

impl Scorer {
    /// Scores of all books for several histories of at most [`MAX_HISTORY`] books: one row of `n_books` values after
    /// the other into `rows`. The same bits for a history whatever its neighbours in the block.
    ///
    /// `popularity` is that of the artefact. Zero means no evidence for neighbour models.
    pub(crate) fn score_block(&self, popularity: &[f32], histories: &[&[BookRow]], rows: &mut [f32]) {
        let each = histories.iter().zip(rows.chunks_exact_mut(popularity.len()));
        match self {
            Self::Popularity => each.for_each(|(_, row)| row.copy_from_slice(popularity)),
            Self::Neighbours(neighbours) => each.for_each(|(history, row)| neighbours.fill_scores(history, row)),
            Self::Factors(factors) => factors.fill_scores(histories, rows),
            Self::Spectral(spectral) => spectral.fill_scores(histories, rows),
            Self::Sessions(sessions) => sessions.fill_scores(histories, rows),
            Self::Blend(blend) => blend.fill_scores(popularity, histories, rows),
        }
    }
}

/// The part of a history that is scored with.
fn newest(history: &[BookRow]) -> &[BookRow] {
    &history[history.len().saturating_sub(MAX_HISTORY)..]
}

/// A query and what may be answered to it.
struct Asked<'a> {
    artifact: &'a Artifact,
    query: Query<'a>,
    /// Books that rules let through.
    allowed: Arc<Rows>,
    /// Books that must not appear, ascending. Few: they are looked up for books that score well, not for all.
    kept_back: Vec<BookRow>,
}

impl<'a> Asked<'a> {
    /// A query for what can be sold.
    fn new(artifact: &'a Artifact, query: Query<'a>) -> Self {
        Self::among(artifact, query, artifact.allowed(&Filter::default()))
    }

    fn among(artifact: &'a Artifact, query: Query<'a>, allowed: Arc<Rows>) -> Self {
        let seen: &[BookRow] = if query.include_seen { &[] } else { query.history };
        let mut kept_back = [seen, query.exclude].concat();
        kept_back.sort_unstable();
        Self { artifact, query, allowed, kept_back }
    }

    /// The part of the history that is scored with.
    fn scored(&self) -> &'a [BookRow] {
        newest(self.query.history)
    }

    /// Whether the model has something to say about this reader in particular.
    fn personal(&self) -> bool {
        !self.query.history.is_empty() && !matches!(self.artifact.scorer(), Scorer::Popularity)
    }

    fn may_offer(&self, row: BookRow) -> bool {
        self.allowed.has(row) && self.kept_back.binary_search(&row).is_err()
    }

    /// The best by scores of all books.
    fn best(&self, scores: &[f32]) -> Vec<Scored> {
        let silent = self.artifact.scorer().is_silent_at_zero();
        top_k::best(self.query.k, scores, |row| !(silent && scores[row.index()] == 0.0) && self.may_offer(row))
    }

    /// The answer from the model's own list, if the model was asked: places it left open are filled by popularity.
    fn complete(&self, own: Option<Vec<Scored>>) -> Recommendation {
        let personal = own.is_some();
        let mut books = own.unwrap_or_default();
        let n_own = books.len();
        if n_own < self.query.k {
            let mut taken: Vec<BookRow> = books.iter().map(|scored| scored.row).collect();
            taken.sort_unstable();
            let eligible = |row: BookRow| self.may_offer(row) && taken.binary_search(&row).is_err();
            let rest = top_k::best(self.query.k - n_own, self.artifact.popularity(), eligible);
            // Filled places rank below the model's own, whatever the scales: they carry the score 0.
            books.extend(rest.into_iter().map(|s| if personal { Scored { score: 0.0, ..s } } else { s }));
        }
        let (n_own, origin) = match () {
            () if matches!(self.artifact.scorer(), Scorer::Popularity) => (books.len(), Origin::Model),
            () if !personal => (n_own, Origin::Popularity),
            () if n_own < books.len() => (n_own, Origin::FilledFromPopularity),
            () => (n_own, Origin::Model),
        };
        Recommendation { books, origin, n_own, cut_short: false }
    }
}

#[cfg(test)]
mod tests;
