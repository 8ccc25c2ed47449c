//! Simulated readers: who visits the shop, what they buy, what they click, all of it from a seed.
//!
//! - [`Readers`]: what the loop needs from readers. [`World`] makes them up, [`Replay`] replays people's real histories.
//! - [`write_history`]: their first days as training data. [`Driver`]: their visits as requests to a predictor.
//!
//! Purchases never depend on recommendations; clicks are a pure function of seed, request and list.

mod books;
mod click;
mod genres;
mod history;
mod http;
mod random;
mod replay;
mod rhythm;
mod taste;
mod world;

use jiff::{SignedDuration, Timestamp};
use models::{Book, BookId, ReaderId};

pub use history::{Written, write, write_history};
pub use http::{
    Answer, Driver, DriverOptions, Pace,
    report::{Answered, DriveReport},
};
pub use replay::{Replay, ReplayOptions};
pub use world::{Refused, Shift, World, WorldOptions};

/// One reader coming by once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub reader: ReaderId,
    /// Up to 8 books the reader bought last before this visit, oldest first.
    pub latest: Vec<BookId>,
    /// What the visit ended in, if it did.
    pub purchase: Option<BookId>,
}

/// One day of visits, ascending by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// Days since the beginning, from 0.
    pub number: u32,
    /// The day's first moment.
    pub start: Timestamp,
    /// Everyone who came.
    pub visits: Vec<Visit>,
}

/// The visits of one hour of a day.
#[derive(Debug, Clone, Copy)]
pub struct Tick<'a> {
    /// Number of the day.
    pub day: u32,
    /// Beginning of the hour.
    pub start: Timestamp,
    /// Place of the first visit in its day, from 0.
    pub first: usize,
    /// The visits, at least one.
    pub visits: &'a [Visit],
}

impl Tick<'_> {
    /// The visits with their request ids: `sim-<day>-<place in the day>`.
    pub fn requests(&self) -> impl Iterator<Item = (String, &Visit)> {
        self.visits.iter().enumerate().map(|(i, visit)| (format!("sim-{}-{}", self.day, self.first + i), visit))
    }
}

impl Day {
    /// The day cut into hours; hours without visits are left out.
    pub fn ticks(&self) -> impl Iterator<Item = Tick<'_>> {
        let hour = |visit: &Visit| visit.at.duration_since(self.start).as_hours();
        let mut first = 0;
        self.visits.chunk_by(move |a, b| hour(a) == hour(b)).map(move |visits| {
            let start = self.start + SignedDuration::from_hours(hour(&visits[0]));
            let tick = Tick { day: self.number, start, first, visits };
            first += visits.len();
            tick
        })
    }
}

/// What the loop asks of readers, made up or real.
pub trait Readers: Send + Sync {
    /// Every book of the shop, those that appear later included.
    fn catalogue(&self) -> &[Book];

    /// The next day; `None` when there are no more.
    fn next_day(&mut self) -> Option<Day>;

    /// The place, from 0, of the book that `reader` opens in a list shown at `at`; `None` if they open none.
    ///
    /// A pure function of its arguments and the seed.
    fn click(&self, reader: &ReaderId, list: &[BookId], request_id: &str, at: Timestamp) -> Option<usize>;
}
