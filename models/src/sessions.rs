//! Session nearest neighbours: the index that next-click recommendations are read from.
//!
//! Vector-Multiplication-Indexed-Session kNN (Kersbergen et al., SIGMOD 2022): for the newest clicks of a session, the most
//! recent past sessions that share a book; the most alike of those vote for their books.

use std::{cmp::Reverse, collections::BinaryHeap};

use serde::{Deserialize, Serialize};

use crate::{
    artifact::{Malformed, malformed},
    checks,
    id::BookRow,
    shared::Shared,
};

/// How past sessions are found and how they vote.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Walk {
    /// The newest clicks that are looked at, 1 to [`MOST_CLICKS`].
    pub clicks: usize,
    /// The most sessions held while the clicks are walked (`m`), the newest kept; at least 1.
    pub sample: usize,
    /// The most alike sessions that vote (`k`), at least 1.
    pub neighbours: usize,
}

/// More clicks than these would let a session vote against the books it holds: its vote is `1 - 0.1 place`.
pub const MOST_CLICKS: usize = 9;

/// Past sessions by the books they hold, newest first.
///
/// A session's number is its place in time, so that the greater of two numbers is the newer session.
#[derive(Debug, Clone, PartialEq)]
pub struct Sessions {
    /// Where each session begins in `books`, shape `(n_sessions + 1,)`.
    offsets: Shared<u32>,
    /// Distinct books of each session.
    books: Shared<BookRow>,
    /// Where each book begins in `postings`, shape `(n_books + 1,)`.
    posting_offsets: Shared<u32>,
    /// Sessions that hold the book, descending.
    postings: Shared<u32>,
    /// How much a vote for each book counts, finite and above zero, shape `(n_books,)`.
    weights: Shared<f32>,
    walk: Walk,
}

/// Buffers of one thread; their size follows the index.
#[derive(Debug, Default)]
pub struct SessionScratch {
    /// The query in which a session was last held; below `query` it is not held now.
    held_in: Vec<u32>,
    query: u32,
    /// Likeness of the held sessions.
    likeness: Vec<f32>,
    /// Place of the newest click that each held session shares, 1 for the newest of all.
    place: Vec<u8>,
    /// The held sessions, oldest on top.
    oldest: BinaryHeap<Reverse<u32>>,
    alike: Vec<(f32, u32)>,
    /// Votes, one per book; zero outside `voted`.
    votes: Vec<f32>,
    voted: Vec<BookRow>,
}

impl Sessions {
    /// Checks and wraps an index of the sessions `offsets`, `books` with the postings of each of `n_books` books.
    pub fn new(
        (offsets, books): (Vec<u32>, Vec<BookRow>),
        (posting_offsets, postings): (Vec<u32>, Vec<u32>),
        weights: Vec<f32>,
        walk: Walk,
    ) -> Result<Self, Malformed> {
        Self::from_parts(
            (offsets.into(), books.into()),
            (posting_offsets.into(), postings.into()),
            weights.into(),
            walk,
        )
    }

    pub(crate) fn from_parts(
        (offsets, books): (Shared<u32>, Shared<BookRow>),
        (posting_offsets, postings): (Shared<u32>, Shared<u32>),
        weights: Shared<f32>,
        walk: Walk,
    ) -> Result<Self, Malformed> {
        let n_sessions = offsets.len().saturating_sub(1);
        let n_books = weights.len();
        checks::offsets("sessions.offsets", n_sessions, &offsets, books.len())?;
        checks::rows("sessions.books", n_books, &books)?;
        checks::offsets("sessions.posting_offsets", n_books, &posting_offsets, postings.len())?;
        if let Some(outside) = postings.iter().find(|session| **session as usize >= n_sessions) {
            return Err(malformed("sessions.postings", format!("sessions below {n_sessions}"), outside));
        }
        let lists = posting_offsets.windows(2).map(|range| &postings[range[0] as usize..range[1] as usize]);
        let rising = |pair: &[u32]| (pair[0] <= pair[1]).then(|| format!("{} before {}", pair[0], pair[1]));
        if let Some(found) = lists.flat_map(|list| list.windows(2)).find_map(rising) {
            return Err(malformed("sessions.postings", "newest first", found));
        }
        checks::finite("sessions.weights", &weights)?;
        if let Some(weight) = weights.iter().find(|weight| **weight <= 0.0) {
            return Err(malformed("sessions.weights", "positive numbers", weight));
        }
        for (part, value, most) in [
            ("sessions.clicks", walk.clicks, MOST_CLICKS),
            ("sessions.sample", walk.sample, usize::MAX),
            ("sessions.neighbours", walk.neighbours, usize::MAX),
        ] {
            if value == 0 || value > most {
                return Err(malformed(part, format!("1 to {most}"), value));
            }
        }
        Ok(Self { offsets, books, posting_offsets, postings, weights, walk })
    }

    /// Number of books that can be voted for.
    pub fn n_books(&self) -> usize {
        self.weights.len()
    }

    /// Number of past sessions.
    pub fn n_sessions(&self) -> usize {
        self.offsets.len() - 1
    }

    /// How sessions are found and how they vote.
    pub fn walk(&self) -> Walk {
        self.walk
    }

    /// The sessions as stored: where each begins, and their books.
    pub fn sessions(&self) -> (&[u32], &[BookRow]) {
        (&self.offsets, &self.books)
    }

    /// The postings as stored: where each book's begin, and the sessions.
    pub fn postings(&self) -> (&[u32], &[u32]) {
        (&self.posting_offsets, &self.postings)
    }

    /// How much a vote for each book counts, shape `(n_books,)`.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    fn books_of(&self, session: u32) -> &[BookRow] {
        &self.books[self.offsets[session as usize] as usize..self.offsets[session as usize + 1] as usize]
    }

    fn sessions_with(&self, book: BookRow) -> &[u32] {
        &self.postings[self.posting_offsets[book.index()] as usize..self.posting_offsets[book.index() + 1] as usize]
    }

    /// The books that past sessions vote for after `clicks` (oldest first, repeats allowed), with their votes.
    ///
    /// `vote(j) = sum over neighbours n that hold j of (1 - 0.1 p_n) likeness_n weight_j`: `likeness` adds, for every
    /// distinct click that the session shares, `(c - age) / d` with `c` the clicks looked at, `d` the distinct ones among
    /// them and `age` 0 for the newest; `p` is the place of the newest shared click, 1 for the newest of all. A repeated
    /// click counts at its newest place. Each book comes once, in the order of the first vote; all votes are above zero.
    pub fn votes<'s>(
        &self,
        clicks: &[BookRow],
        scratch: &'s mut SessionScratch,
    ) -> impl Iterator<Item = (BookRow, f32)> + use<'s> {
        let newest = &clicks[clicks.len().saturating_sub(self.walk.clicks)..];
        self.find(newest, scratch);
        scratch.vote(self);
        let SessionScratch { votes, voted, .. } = scratch;
        voted.iter().map(|book| (*book, votes[book.index()]))
    }

    /// Walks the clicks backwards and holds the newest sessions that share one.
    fn find(&self, clicks: &[BookRow], scratch: &mut SessionScratch) {
        scratch.begin(self);
        let repeated = |age: usize| clicks[clicks.len() - age..].contains(&clicks[clicks.len() - 1 - age]);
        let distinct = (0..clicks.len()).filter(|age| !repeated(*age)).count();
        for age in (0..clicks.len()).filter(|age| !repeated(*age)) {
            let nearness = (clicks.len() - age) as f32 / distinct as f32;
            for session in self.sessions_with(clicks[clicks.len() - 1 - age]) {
                if scratch.held_in[*session as usize] == scratch.query {
                    scratch.likeness[*session as usize] += nearness;
                    continue;
                }
                if scratch.oldest.len() == self.walk.sample {
                    let mut oldest = scratch.oldest.peek_mut().expect("a full sample holds sessions");
                    // Postings come newest first: nothing newer follows.
                    if oldest.0 > *session {
                        break;
                    }
                    scratch.held_in[oldest.0 as usize] = 0;
                    *oldest = Reverse(*session);
                } else {
                    scratch.oldest.push(Reverse(*session));
                }
                scratch.held_in[*session as usize] = scratch.query;
                scratch.likeness[*session as usize] = nearness;
                scratch.place[*session as usize] = age as u8 + 1;
            }
        }
    }
}

impl SessionScratch {
    /// Makes room for an index and forgets the last query.
    fn begin(&mut self, index: &Sessions) {
        for book in self.voted.drain(..) {
            self.votes[book.index()] = 0.0;
        }
        self.oldest.clear();
        if self.held_in.len() != index.n_sessions() || self.votes.len() != index.n_books() || self.query == u32::MAX {
            self.held_in = vec![0; index.n_sessions()];
            self.likeness = vec![0.0; index.n_sessions()];
            self.place = vec![0; index.n_sessions()];
            self.votes = vec![0.0; index.n_books()];
            self.query = 0;
        }
        self.query += 1;
    }

    /// Lets the most alike of the held sessions vote. Equally alike: the newer first.
    fn vote(&mut self, index: &Sessions) {
        self.alike.clear();
        self.alike.extend(self.oldest.drain().map(|Reverse(session)| (self.likeness[session as usize], session)));
        let most_alike_first = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1));
        if self.alike.len() > index.walk.neighbours {
            self.alike.select_nth_unstable_by(index.walk.neighbours - 1, most_alike_first);
            self.alike.truncate(index.walk.neighbours);
        }
        // Sums of floats depend on their order, and the heap's is none.
        self.alike.sort_unstable_by(most_alike_first);
        for (likeness, session) in &self.alike {
            let voice = (1.0 - 0.1 * f32::from(self.place[*session as usize])) * likeness;
            for book in index.books_of(*session) {
                let vote = &mut self.votes[book.index()];
                if *vote == 0.0 {
                    self.voted.push(*book);
                }
                *vote += voice * index.weights[book.index()];
            }
        }
    }
}

#[cfg(test)]
mod tests;
