//! What the stream looked like over one window of event time.
//!
//! Tests take one event per reader, chosen by the event's hash: a reader who reloads twenty times is one reader, not
//! twenty witnesses. Volumes count every event.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use models::{
    BookId, Catalogue, Version,
    event::{Outcome, OutcomeKind, Prediction},
};
use serde::{Deserialize, Serialize};

use crate::{
    hash,
    quality::Quality,
    statistics::{categories::Counts, classifier::ReaderRow, sample::Sample, two_proportions::Share},
};

/// Readers of a window whose numbers are kept; beyond, those with the smallest hashes.
const MAX_READERS_KEPT: usize = 10_000;
/// Readers of a window kept for the classifier.
const MAX_ROWS: usize = 1000;

/// Facts of one closed window. Counts of features are readers; volumes are events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowProfile {
    /// Start, inclusive.
    pub from: Timestamp,
    /// End, exclusive.
    pub to: Timestamp,
    /// Answered requests.
    pub requests: u64,
    /// Distinct readers among them.
    pub readers: u64,
    /// Clicks.
    pub clicks: u64,
    /// Purchases.
    pub purchases: u64,
    /// Defects of the records.
    pub quality: Quality,
    /// Newest book of each reader's history, where the model knows the book.
    pub basket_books: Counts,
    /// First subject of that book, where the catalogue tells one.
    pub basket_subjects: Counts,
    /// Readers whose newest book the model does not know.
    pub unknown_books: Share,
    /// Readers the model has not seen in training.
    pub unknown_readers: Share,
    /// Requests that were clicked.
    pub clicked: Share,
    /// Requests per reader.
    pub activity: Sample,
    /// Score of the first book, of answers that were the model's first choice.
    pub top_scores: Sample,
    /// Mean popularity percentile of the list.
    pub list_popularity: Sample,
    /// Numbers for the classifier: log2 of 1 + history length, top score, list popularity, reader known.
    pub rows: Vec<ReaderRow>,
}

/// Names of the columns of [`WindowProfile::rows`].
pub const ROW_COLUMNS: [&str; 4] = ["history length (log2)", "top score", "list popularity", "reader known"];

impl WindowProfile {
    /// Several windows as one: counts add, samples join. `None` of none.
    ///
    /// A reader of two windows counts in both. The order of the windows changes nothing.
    pub fn pool(windows: &[&Self]) -> Option<Self> {
        let (first, rest) = windows.split_first()?;
        let mut pooled = (*first).clone();
        for window in rest {
            pooled.from = pooled.from.min(window.from);
            pooled.to = pooled.to.max(window.to);
            pooled.requests += window.requests;
            pooled.readers += window.readers;
            pooled.clicks += window.clicks;
            pooled.purchases += window.purchases;
            pooled.quality = pooled.quality.plus(window.quality);
            pooled.basket_books.add(&window.basket_books);
            pooled.basket_subjects.add(&window.basket_subjects);
            pooled.unknown_books = pooled.unknown_books.plus(window.unknown_books);
            pooled.unknown_readers = pooled.unknown_readers.plus(window.unknown_readers);
            pooled.clicked = pooled.clicked.plus(window.clicked);
        }
        pooled.activity = Sample::pool(windows.iter().map(|window| &window.activity));
        pooled.top_scores = Sample::pool(windows.iter().map(|window| &window.top_scores));
        pooled.list_popularity = Sample::pool(windows.iter().map(|window| &window.list_popularity));
        pooled.rows = windows.iter().flat_map(|window| window.rows.iter().cloned()).collect();
        pooled.rows.sort_by(|a, b| {
            let numbers = a.values.iter().zip(&b.values).map(|(a, b)| a.total_cmp(b));
            a.reader.cmp(&b.reader).then(numbers.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then))
        });
        Some(pooled)
    }
}

/// One window while events still arrive. Order of events does not matter, repeated events count once, and builders of
/// the same window filled from several partitions merge to what one would have held.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WindowBuilder {
    /// Event -> its reader and defects.
    events: BTreeMap<u64, Seen>,
    /// Reader -> the event that speaks for them.
    readers: BTreeMap<u64, Chosen>,
    /// Outcome -> its kind.
    outcomes: BTreeMap<u64, OutcomeKind>,
    /// Requests that were clicked, here or shortly after the window.
    clicked: BTreeSet<u64>,
    duplicates: u64,
}

#[expect(clippy::struct_excessive_bools, reason = "independent defects of one record")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    reader: u64,
    empty: bool,
    bare: bool,
    fallback: bool,
    not_finite: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Chosen {
    event: u64,
    request: Option<u64>,
    version: Option<Version>,
    book: Option<BookId>,
    book_known: bool,
    subject: Option<String>,
    history_len: u32,
    reader_known: Option<bool>,
    top_score: Option<f64>,
    list_popularity: Option<f64>,
}

impl WindowBuilder {
    /// Adds an answered request. `catalogue` is that of the watched model: it says which books are known, and their
    /// subjects.
    pub fn prediction(&mut self, prediction: &Prediction, catalogue: &Catalogue) {
        let reader = hash::stable(&[prediction.user_id.as_str()]);
        let event = event_key(prediction);
        if self.events.contains_key(&event) {
            self.duplicates += 1;
            return;
        }
        let number = |value: Option<f32>| value.map(f64::from).filter(|value| value.is_finite());
        let top_score = prediction.scores.first().copied();
        let seen = Seen {
            reader,
            empty: prediction.predictions.is_empty(),
            bare: prediction.model.is_none() || prediction.reader_known.is_none(),
            fallback: prediction.fallback.is_some(),
            not_finite: [top_score, prediction.list_popularity].iter().flatten().any(|value| !value.is_finite()),
        };
        self.events.insert(event, seen);
        if self.readers.get(&reader).is_some_and(|chosen| chosen.event <= event) {
            return;
        }
        let book = prediction.history.last();
        let row = book.and_then(|book| catalogue.row(book.as_str()));
        let chosen = Chosen {
            event,
            // Clicks on a list of two versions are no one version's.
            request: prediction
                .request_id
                .as_deref()
                .filter(|_| prediction.mode.is_none())
                .map(|id| hash::stable(&[id])),
            version: prediction.model.as_ref().map(|model| model.version),
            book: book.cloned(),
            book_known: row.is_some(),
            subject: row.and_then(|row| catalogue.book(row).subjects().next()).map(str::to_owned),
            history_len: u32::try_from(prediction.history.len()).unwrap_or(u32::MAX),
            reader_known: prediction.reader_known,
            top_score: number(top_score).filter(|_| !seen.fallback),
            list_popularity: number(prediction.list_popularity),
        };
        self.readers.insert(reader, chosen);
    }

    /// Adds a click or purchase that happened in this window.
    pub fn outcome(&mut self, outcome: &Outcome) {
        if self.outcomes.insert(outcome_key(outcome), outcome.kind).is_some() {
            self.duplicates += 1;
            return;
        }
        self.click(outcome);
    }

    /// Marks the request as clicked without counting the click's volume: it happened after this window's end.
    pub(crate) fn click(&mut self, outcome: &Outcome) {
        if outcome.kind == OutcomeKind::Click {
            self.clicked.insert(hash::stable(&[&outcome.request_id]));
        }
    }

    /// Joins another builder of the same window; events that both saw count once.
    pub fn merge(&mut self, other: Self) {
        self.duplicates += other.duplicates;
        for (event, seen) in other.events {
            self.duplicates += u64::from(self.events.insert(event, seen).is_some());
        }
        for (reader, chosen) in other.readers {
            if self.readers.get(&reader).is_none_or(|ours| chosen.event < ours.event) {
                self.readers.insert(reader, chosen);
            }
        }
        for (outcome, kind) in other.outcomes {
            self.duplicates += u64::from(self.outcomes.insert(outcome, kind).is_some());
        }
        self.clicked.extend(other.clicked);
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.outcomes.is_empty()
    }

    /// Ends the window.
    ///
    /// What depends on the model (known readers, scores, popularity, clicks) is taken from answers of `watched` only,
    /// so a canary's lists do not blur its neighbour's; records that name no model count as the watched one's.
    pub fn close(self, from: Timestamp, to: Timestamp, watched: Version) -> WindowProfile {
        let mut requests_of: BTreeMap<u64, u32> = BTreeMap::new();
        let mut quality = Quality { duplicates: self.duplicates, ..Quality::default() };
        for seen in self.events.values() {
            *requests_of.entry(seen.reader).or_default() += 1;
            quality.empty_lists += u64::from(seen.empty);
            quality.bare_records += u64::from(seen.bare);
            quality.fallbacks += u64::from(seen.fallback);
            quality.not_finite += u64::from(seen.not_finite);
        }
        let kept = |numbers: Vec<f64>| Sample::new(numbers).expect("numbers were checked to be finite when added");
        // Readers are ordered by their hash, so the first ones are a sample that any partition would choose.
        let activity = requests_of.values().take(MAX_READERS_KEPT).map(|requests| f64::from(*requests)).collect();
        let of_kind = |kind| self.outcomes.values().filter(|outcome| **outcome == kind).count() as u64;
        let mut profile = WindowProfile {
            from,
            to,
            requests: self.events.len() as u64,
            readers: self.readers.len() as u64,
            clicks: of_kind(OutcomeKind::Click),
            purchases: of_kind(OutcomeKind::Purchase),
            quality,
            basket_books: Counts::default(),
            basket_subjects: Counts::default(),
            unknown_books: Share::default(),
            unknown_readers: Share::default(),
            clicked: Share::default(),
            activity: kept(activity),
            top_scores: Sample::default(),
            list_popularity: Sample::default(),
            rows: Vec::new(),
        };
        let (mut scores, mut popularity) = (Vec::new(), Vec::new());
        for (reader, chosen) in &self.readers {
            chosen.count_basket(&mut profile);
            if chosen.version.is_some_and(|version| version != watched) {
                continue;
            }
            if let Some(known) = chosen.reader_known {
                profile.unknown_readers.count(!known);
            }
            if let Some(request) = chosen.request {
                profile.clicked.count(self.clicked.contains(&request));
            }
            scores.extend(chosen.top_score);
            popularity.extend(chosen.list_popularity);
            if profile.rows.len() < MAX_ROWS {
                profile.rows.extend(chosen.row(*reader));
            }
        }
        scores.truncate(MAX_READERS_KEPT);
        popularity.truncate(MAX_READERS_KEPT);
        profile.top_scores = kept(scores);
        profile.list_popularity = kept(popularity);
        profile
    }
}

impl Chosen {
    fn count_basket(&self, profile: &mut WindowProfile) {
        let Some(book) = &self.book else { return };
        profile.unknown_books.count(!self.book_known);
        if self.book_known {
            profile.basket_books.count(book.as_str());
        }
        if let Some(subject) = &self.subject {
            profile.basket_subjects.count(subject);
        }
    }

    fn row(&self, reader: u64) -> Option<ReaderRow> {
        let history = (1.0 + f64::from(self.history_len)).log2();
        let known = f64::from(u8::from(self.reader_known?));
        Some(ReaderRow { reader, values: [history, self.top_score?, self.list_popularity?, known] })
    }
}

/// What makes an answer itself: its event id, else its request id, else reader, time and list.
fn event_key(prediction: &Prediction) -> u64 {
    match (&prediction.event_id, &prediction.request_id) {
        (Some(id), _) => hash::stable(&["event", id]),
        (None, Some(id)) => hash::stable(&["request", id]),
        (None, None) => {
            let at = prediction.at.to_string();
            let mut parts = vec!["record", prediction.user_id.as_str(), &at];
            parts.extend(prediction.predictions.iter().map(BookId::as_str));
            hash::stable(&parts)
        }
    }
}

fn outcome_key(outcome: &Outcome) -> u64 {
    if let Some(id) = &outcome.event_id {
        return hash::stable(&["event", id]);
    }
    let kind = if outcome.kind == OutcomeKind::Click { "click" } else { "purchase" };
    hash::stable(&["outcome", &outcome.request_id, outcome.item_id.as_str(), kind])
}
