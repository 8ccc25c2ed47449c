//! What the training data looked like: the reference that travels in a model's manifest.
//!
//! It describes the *newest* part of the training window, because that is what the model's readers do next; the older
//! part only says how fast new books appear.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use models::Catalogue;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    hash,
    statistics::{categories::Counts, two_proportions::Share},
};

/// Version of the profile's shape.
pub const PROFILE_FORMAT: u32 = 1;

/// Books kept by name.
const KEEP_BOOKS: usize = 200;
/// Subjects kept by name.
const KEEP_SUBJECTS: usize = 100;
/// Reader-days kept for the activity histogram.
const KEEP_ACTIVITY: usize = 10_000;
/// Longest newest part, in days.
const MAX_RECENT_DAYS: i32 = 28;
/// Reader-days the builder holds before it keeps only every second reader.
const MAX_READER_DAYS: usize = 4_000_000;

const SECONDS_PER_DAY: i64 = 86_400;

/// Facts of the training data. Small enough for a manifest: at most 200 books and 100 subjects by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingProfile {
    /// [`PROFILE_FORMAT`] of the writer.
    pub format: u32,
    /// End of the training data: nothing at or after it was used.
    pub trained_to: Timestamp,
    /// Oldest dated event.
    pub first: Option<Timestamp>,
    /// Newest dated event.
    pub last: Option<Timestamp>,
    /// Start of the newest part, on which the shares below rest; absent when the data has no dates.
    pub recent_from: Option<Timestamp>,
    /// Events of the whole training window.
    pub events: u64,
    /// Readers of the whole training window.
    pub readers: u64,
    /// Distinct books of the whole training window.
    pub books: u64,
    /// Books of the newest part, one event per reader and day; of undated data, all events.
    pub basket_books: Counts,
    /// First subject of those books, where the catalogue tells one.
    pub basket_subjects: Counts,
    /// Events of the newest part on books that no earlier event names; absent without dates or under four days.
    pub growth: Option<Share>,
    /// Events of a reader on a day -> how many reader-days of the newest part had that many (at most 10,000 days).
    pub activity: BTreeMap<u32, u64>,
}

impl TrainingProfile {
    /// Sha-256 of the profile as JSON, in hex: names this reference in triggers and traces.
    pub fn digest(&self) -> String {
        let bytes = serde_json::to_vec(self).expect("a profile is counts and names, which JSON can hold");
        hex(&Sha256::digest(&bytes))
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

/// Collects training interactions, in any order, into a [`TrainingProfile`].
///
/// Holds one entry per reader and day, so memory follows the data; past [`MAX_READER_DAYS`] entries it keeps every
/// second reader (by stable hash) and goes on. Which readers stay does not depend on the order of the events.
pub struct TrainingProfileBuilder<'a> {
    catalogue: &'a Catalogue,
    end: Timestamp,
    events: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    readers: HashSet<u64>,
    books: HashMap<Box<str>, usize>,
    seen: Vec<BookSeen>,
    reader_days: HashMap<(u64, i32), ReaderDay>,
    reader_mask: u64,
    max_reader_days: usize,
}

struct BookSeen {
    id: Box<str>,
    first_day: Option<i32>,
    undated: u64,
}

struct ReaderDay {
    /// The event that speaks for the reader that day: the one with the smallest hash.
    chosen: (u64, usize),
    events: u32,
}

impl<'a> TrainingProfileBuilder<'a> {
    /// Starts. `catalogue` tells the subjects; `end_of_training` is exclusive.
    pub fn new(catalogue: &'a Catalogue, end_of_training: Timestamp) -> Self {
        Self {
            catalogue,
            end: end_of_training,
            events: 0,
            first: None,
            last: None,
            readers: HashSet::new(),
            books: HashMap::new(),
            seen: Vec::new(),
            reader_days: HashMap::new(),
            reader_mask: 0,
            max_reader_days: MAX_READER_DAYS,
        }
    }

    /// Adds one interaction; events at or after the end of training are left out.
    pub fn add(&mut self, reader_id: &str, book_id: &str, at: Option<Timestamp>) {
        if at.is_some_and(|at| at >= self.end) {
            return;
        }
        let reader = hash::stable(&[reader_id]);
        self.events += 1;
        self.readers.insert(reader);
        let book = self.book(book_id);
        let Some(at) = at else {
            self.seen[book].undated += 1;
            return;
        };
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        let day = day_of(at);
        let first_day = &mut self.seen[book].first_day;
        *first_day = Some(first_day.map_or(day, |first| first.min(day)));
        if reader & self.reader_mask == 0 {
            self.add_reader_day(reader, day, book);
        }
    }

    fn book(&mut self, book_id: &str) -> usize {
        if let Some(book) = self.books.get(book_id) {
            return *book;
        }
        let book = self.seen.len();
        self.books.insert(book_id.into(), book);
        self.seen.push(BookSeen { id: book_id.into(), first_day: None, undated: 0 });
        book
    }

    fn add_reader_day(&mut self, reader: u64, day: i32, book: usize) {
        let order = hash::mix(hash::stable(&[&self.seen[book].id]) ^ reader ^ u64::from(day.cast_unsigned()));
        self.reader_days
            .entry((reader, day))
            .and_modify(|of_day| {
                of_day.events = of_day.events.saturating_add(1);
                if order < of_day.chosen.0 {
                    of_day.chosen = (order, book);
                }
            })
            .or_insert(ReaderDay { chosen: (order, book), events: 1 });
        while self.reader_days.len() > self.max_reader_days {
            self.reader_mask = (self.reader_mask << 1) | 1;
            let mask = self.reader_mask;
            self.reader_days.retain(|(reader, _), _| reader & mask == 0);
        }
    }

    /// Ends the collection.
    ///
    /// The newest part is the last 28 days, or the last quarter of the dated range where that is shorter (at least a
    /// day). Its shares count one event per reader and day, chosen by stable hash, because the stream's tests count one
    /// per reader and window. When most events carry no date, shares are those of all undated events.
    pub fn finish(self) -> TrainingProfile {
        let undated: u64 = self.seen.iter().map(|book| book.undated).sum();
        let mut profile = TrainingProfile {
            format: PROFILE_FORMAT,
            trained_to: self.end,
            first: self.first,
            last: self.last,
            recent_from: None,
            events: self.events,
            readers: self.readers.len() as u64,
            books: self.seen.len() as u64,
            basket_books: Counts::default(),
            basket_subjects: Counts::default(),
            growth: None,
            activity: BTreeMap::new(),
        };
        let mut by_book = vec![0_u64; self.seen.len()];
        match (self.first, self.last) {
            (Some(first), Some(last)) if undated * 2 <= self.events => {
                self.count_recent(day_of(first), day_of(last), &mut by_book, &mut profile);
            }
            _ => by_book.iter_mut().zip(&self.seen).for_each(|(count, book)| *count = book.undated),
        }
        for (count, book) in by_book.into_iter().zip(&self.seen).filter(|(count, _)| *count > 0) {
            profile.basket_books.named.insert(book.id.as_ref().to_owned(), count);
            let subject = self.catalogue.row(&book.id).and_then(|row| self.catalogue.book(row).subjects().next());
            if let Some(subject) = subject {
                *profile.basket_subjects.named.entry(subject.to_owned()).or_default() += count;
            }
        }
        profile.basket_books = profile.basket_books.cut_to(KEEP_BOOKS);
        profile.basket_subjects = profile.basket_subjects.cut_to(KEEP_SUBJECTS);
        profile
    }

    fn count_recent(&self, first_day: i32, last_day: i32, by_book: &mut [u64], profile: &mut TrainingProfile) {
        let n_days = last_day - first_day + 1;
        let recent_day = last_day + 1 - (n_days / 4).clamp(1, MAX_RECENT_DAYS);
        let mut growth = Share::default();
        let mut activity: Vec<(u64, u32)> = Vec::new();
        for ((reader, day), of_day) in self.reader_days.iter().filter(|((_, day), _)| *day >= recent_day) {
            let book = of_day.chosen.1;
            by_book[book] += 1;
            growth.count(self.seen[book].first_day.is_some_and(|first| first >= recent_day));
            activity.push((hash::mix(reader ^ u64::from(day.cast_unsigned())), of_day.events));
        }
        activity.sort_unstable(); // By hash: which reader-days stay does not follow the map's order.
        activity.truncate(KEEP_ACTIVITY);
        for (_, events) in activity {
            *profile.activity.entry(events).or_default() += 1;
        }
        profile.growth = (n_days >= 4).then_some(growth);
        profile.recent_from =
            Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_secs(i64::from(recent_day) * SECONDS_PER_DAY)).ok();
    }
}

/// Days since 1970-01-01 UTC.
fn day_of(at: Timestamp) -> i32 {
    i32::try_from(at.as_second().div_euclid(SECONDS_PER_DAY)).expect("jiff's years end at 9999, which is few days")
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::Book;

    #[expect(clippy::unnecessary_wraps, reason = "the builder takes dates that may be absent")]
    fn day(day: i64) -> Option<Timestamp> {
        Some(Timestamp::from_second(day * SECONDS_PER_DAY + 100).unwrap())
    }

    fn catalogue() -> Catalogue {
        Catalogue::new(["dune", "emma"].into_iter().map(|id| {
            let mut book = Book::bare(id.parse().unwrap());
            book.subjects = if id == "dune" { vec!["space".into(), "desert".into()] } else { vec!["love".into()] };
            book
        }))
    }

    fn build(events: &[(&str, &str, Option<Timestamp>)]) -> TrainingProfile {
        let catalogue = catalogue();
        let mut builder = TrainingProfileBuilder::new(&catalogue, day(20).unwrap());
        for (reader, book, at) in events {
            builder.add(reader, book, *at);
        }
        builder.finish()
    }

    #[test]
    fn shares_are_those_of_the_newest_quarter() {
        // Days 0..=7: the newest quarter is days 6 and 7.
        let got = build(&[
            ("ann", "emma", day(0)),
            ("ann", "dune", day(6)),
            ("bob", "dune", day(7)),
            ("bob", "new", day(6)),
            ("cid", "late", day(20)),
        ]);
        assert_eq!(got.basket_books.named, BTreeMap::from([("dune".into(), 2), ("new".into(), 1)]));
        assert_eq!(got.basket_subjects.named, BTreeMap::from([("space".into(), 2)]));
        assert_eq!((got.events, got.readers, got.books), (4, 2, 3));
        // Neither dune nor the new book is named before day 6.
        assert_eq!(got.growth, Some(Share { hits: 3, of: 3 }));
        assert_eq!(got.recent_from, Some(Timestamp::from_second(6 * SECONDS_PER_DAY).unwrap()));
    }

    #[test]
    fn a_busy_reader_counts_once_a_day() {
        let got = build(&[
            ("ann", "dune", day(0)),
            ("ann", "dune", day(0)),
            ("ann", "emma", day(0)),
            ("bob", "emma", day(0)),
        ]);
        assert_eq!(got.basket_books.total(), 2);
        assert_eq!(got.activity, BTreeMap::from([(1, 1), (3, 1)]));
        assert_eq!(got.growth, None);
    }

    #[test]
    fn undated_data_still_tells_shares() {
        let got = build(&[("ann", "dune", None), ("bob", "dune", None), ("bob", "emma", None)]);
        assert_eq!(got.basket_books.named, BTreeMap::from([("dune".into(), 2), ("emma".into(), 1)]));
        assert_eq!((got.growth, got.recent_from, got.first), (None, None, None));
    }

    #[test]
    fn order_of_the_interactions_changes_no_byte() {
        let events: Vec<_> =
            (0..500_i64).map(|i| (format!("r{}", i * 7 % 60), format!("b{}", i * i % 97), day(i % 19))).collect();
        let profile = |events: &[(String, String, Option<Timestamp>)], max_reader_days: usize| {
            let catalogue = catalogue();
            let mut builder = TrainingProfileBuilder::new(&catalogue, day(20).unwrap());
            builder.max_reader_days = max_reader_days;
            for (reader, book, at) in events {
                builder.add(reader, book, *at);
            }
            serde_json::to_string(&builder.finish()).unwrap()
        };
        let mut back = events.clone();
        back.reverse();
        assert_eq!(profile(&events, 1000), profile(&back, 1000));
        // With only room for some of the readers, too.
        assert_eq!(profile(&events, 50), profile(&back, 50));
        assert_ne!(profile(&events, 1000), profile(&events, 50));
    }

    #[test]
    fn a_profile_of_many_books_fits_a_manifest() {
        let catalogue = Catalogue::default();
        let mut builder = TrainingProfileBuilder::new(&catalogue, day(20).unwrap());
        for i in 0..30_000_i64 {
            builder.add(&format!("reader-{i}"), &format!("{:0>60}", i % 5000), day(i % 19));
        }
        let profile = builder.finish();
        let json = serde_json::to_string(&profile).unwrap();
        assert!(json.len() < 200_000, "{}", json.len());
        assert_eq!(serde_json::from_str::<TrainingProfile>(&json).unwrap().digest(), profile.digest());
        assert_eq!(profile.basket_books.named.len(), 200);
    }
}
