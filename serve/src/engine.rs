//! The room: a question and a snapshot in, an answer out. Knows no transport, no clock, no queue.
//!
//! A canary that panics or scores something that is not a number costs the reader nothing: the same question is
//! answered by stable, marked as a fallback, and charged to the canary.

mod both;

use std::panic::{AssertUnwindSafe, catch_unwind};

use models::{
    Artifact, BookId, BookRow, Query, ReaderId, Recommendation, Rules, Scratch,
    event::Arm,
    score::{KnownHistory, Origin},
    top_k::Scored,
};

pub use self::both::both;
use crate::{
    current::{Assignment, Resident, Snapshot},
    draft::Place,
};

/// The word for a list of both versions, beside those for one arm's.
pub const INTERLEAVED: &str = "interleaved";

/// One question.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ask {
    /// Who asks; decides the arm and brings the stored history.
    pub reader: Option<ReaderId>,
    /// A book to which similar ones are wanted; it joins the history as the newest.
    pub book: Option<BookId>,
    /// How many books, from 1.
    pub k: usize,
    /// The reader's latest books, oldest first.
    pub history: Vec<BookId>,
    /// Books that must not appear.
    pub exclude: Vec<BookId>,
    /// Whether books of the history may be recommended again.
    pub include_seen: bool,
    /// Numeric context, recorded and not scored.
    pub features: Vec<f32>,
    /// Which books may be listed, how many by one author, how unlike.
    pub rules: Rules,
}

/// Why an answer is not the assigned model's own first choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// Nothing is known of the reader: the most popular books.
    ColdReader,
    /// Nothing is known of the book asked about: the most popular books.
    UnknownBook,
    /// The model had too little evidence for the whole list; popular books fill it.
    SparseHistory,
    /// Filters or caps left fewer books than were asked for.
    FilteredOut,
    /// An operator turned the kill switch: the most popular books.
    KillSwitch,
    /// The canary panicked; stable answered.
    CanaryPanicked,
    /// The canary scored something that is not a number; stable answered.
    CanaryNotFinite,
    /// No time was left for the canary's part of a list of both; stable answered.
    CanaryLate,
    /// The canary had no book for its part of a list of both; stable answered.
    CanaryEmpty,
}

impl Fallback {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::ColdReader,
        Self::UnknownBook,
        Self::SparseHistory,
        Self::FilteredOut,
        Self::KillSwitch,
        Self::CanaryPanicked,
        Self::CanaryNotFinite,
        Self::CanaryLate,
        Self::CanaryEmpty,
    ];

    /// As told to callers, written into records and counted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ColdReader => "cold-reader",
            Self::UnknownBook => "unknown-book",
            Self::SparseHistory => "sparse-history",
            Self::FilteredOut => "filtered-out",
            Self::KillSwitch => "kill-switch",
            Self::CanaryPanicked => "canary-panicked",
            Self::CanaryNotFinite => "canary-not-finite",
            Self::CanaryLate => "canary-late",
            Self::CanaryEmpty => "canary-empty",
        }
    }

    /// Whether the canary is to blame.
    pub fn is_canary_failure(self) -> bool {
        matches!(self, Self::CanaryPanicked | Self::CanaryNotFinite | Self::CanaryLate | Self::CanaryEmpty)
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The arm the reader was given.
    pub assigned: Assignment,
    /// The arm that answered.
    pub served: Arm,
    /// The list, best first; rows of the served arm's artefact, of a drafted list those of each place's side.
    pub books: Vec<Scored>,
    /// Why it is not the assigned model's first choice, if it is not.
    pub fallback: Option<Fallback>,
    /// Whether the model that answered has this reader's history from training; `None` without a reader.
    pub reader_known: Option<bool>,
    /// Mean popularity percentile of the list in the served catalogue, `[0, 1]`; `None` for an empty list, and for a
    /// drafted one.
    pub list_popularity: Option<f32>,
    /// Whether a list of both versions was to be given.
    pub interleaved: bool,
    /// Whose each place is, of a list drafted from those of both versions; such a list is served by stable.
    pub draft: Option<Vec<Place>>,
}

impl Answer {
    /// What callers are told of whose list it is.
    pub fn variant(&self) -> &'static str {
        if self.draft.is_some() { INTERLEAVED } else { self.served.as_str() }
    }
}

/// Why an artefact gave no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It panicked.
    Panicked,
    /// A score of the list is infinite or not a number.
    NotFinite,
}

impl Failure {
    fn fallback(self) -> Fallback {
        match self {
            Self::Panicked => Fallback::CanaryPanicked,
            Self::NotFinite => Fallback::CanaryNotFinite,
        }
    }
}

/// Answers one question on its assigned arm, or on stable where the canary fails.
///
/// A pinned question (not counted, on the canary) names its version, so it fails instead of falling back.
pub fn answer(snapshot: &Snapshot, assigned: Assignment, ask: &Ask, scratch: &mut Scratch) -> Result<Answer, Failure> {
    let resident = snapshot.resident(assigned.arm);
    match list(&resident.artifact, ask, scratch) {
        Ok(listed) => Ok(finish(resident, assigned, ask, listed, None)),
        Err(failure) if assigned.arm == Arm::Canary && assigned.counted => {
            let listed = list(&snapshot.stable.artifact, ask, scratch)?;
            Ok(finish(&snapshot.stable, assigned, ask, listed, Some(failure.fallback())))
        }
        Err(failure) => Err(failure),
    }
}

/// Answers one question by popularity alone, on stable and counted in no experiment: what the kill switch asks for.
///
/// Rules, exclusions and seen books are honoured as ever.
pub fn popular(snapshot: &Snapshot, ask: &Ask, scratch: &mut Scratch) -> Result<Answer, Failure> {
    let assigned = Assignment { arm: Arm::Stable, counted: false };
    let listed = listed(&snapshot.stable.artifact, ask, By::Popularity, scratch)?;
    Ok(finish(&snapshot.stable, assigned, ask, listed, Some(Fallback::KillSwitch)))
}

/// What ranks a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Model,
    Popularity,
}

/// A list as one artefact gives it.
pub(crate) fn list(
    artifact: &Artifact,
    ask: &Ask,
    scratch: &mut Scratch,
) -> Result<(KnownHistory, Recommendation), Failure> {
    listed(artifact, ask, By::Model, scratch)
}

fn listed(
    artifact: &Artifact,
    ask: &Ask,
    by: By,
    scratch: &mut Scratch,
) -> Result<(KnownHistory, Recommendation), Failure> {
    guarded(scratch, |scratch| {
        let known = match &ask.book {
            None => artifact.history_of(ask.reader.as_ref().map(ReaderId::as_str), &ask.history),
            Some(book) => {
                let latest: Vec<BookId> = ask.history.iter().chain([book]).cloned().collect();
                artifact.history_of(ask.reader.as_ref().map(ReaderId::as_str), &latest)
            }
        };
        let mut exclude: Vec<BookRow> =
            ask.exclude.iter().filter_map(|book| artifact.catalogue().row(book.as_str())).collect();
        let mut history = known.rows.as_slice();
        if by == By::Popularity {
            // Without a history to score with, every model answers by popularity.
            exclude.extend(history.iter().filter(|_| !ask.include_seen));
            history = &[];
        }
        let query = Query { history, k: ask.k, include_seen: ask.include_seen, exclude: &exclude };
        let listed = artifact.recommend_under(query, &ask.rules, scratch);
        (known, listed)
    })
}

/// Runs one scoring, turning a panic or a non-finite score into a value. Buffers are thrown away after a panic.
fn guarded(
    scratch: &mut Scratch,
    score: impl FnOnce(&mut Scratch) -> (KnownHistory, Recommendation),
) -> Result<(KnownHistory, Recommendation), Failure> {
    let Ok(listed) = catch_unwind(AssertUnwindSafe(|| score(scratch))) else {
        *scratch = Scratch::default();
        return Err(Failure::Panicked);
    };
    if listed.1.books.iter().all(|scored| scored.score.is_finite()) { Ok(listed) } else { Err(Failure::NotFinite) }
}

fn finish(
    served: &Resident,
    assigned: Assignment,
    ask: &Ask,
    (known, listed): (KnownHistory, Recommendation),
    failure: Option<Fallback>,
) -> Answer {
    let own = match listed.origin {
        // What is missing from the list matters more than where the rest of it came from.
        _ if listed.cut_short => Some(Fallback::FilteredOut),
        Origin::Model => None,
        Origin::FilledFromPopularity => Some(Fallback::SparseHistory),
        Origin::Popularity if ask.reader.is_none() && ask.book.is_some() => Some(Fallback::UnknownBook),
        Origin::Popularity => Some(Fallback::ColdReader),
    };
    let percentiles = listed.books.iter().map(|scored| served.artifact.popularity_percentile(scored.row));
    let n = listed.books.len();
    Answer {
        assigned,
        served: served.arm,
        fallback: failure.or(own),
        reader_known: ask.reader.is_some().then_some(known.reader_known),
        list_popularity: (n > 0).then(|| percentiles.sum::<f32>() / n as f32),
        books: listed.books,
        interleaved: false,
        draft: None,
    }
}

#[cfg(test)]
mod tests;
