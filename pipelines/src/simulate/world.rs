//! The simulated shop itself: who comes, when, and what they buy, day after day.
//!
//! Purchases never depend on what was recommended, so the same seed is the same history whatever served it.

use std::collections::BTreeSet;

use jiff::{Timestamp, tz::TimeZone};
use models::{Book, BookId, ReaderId};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Poisson};

use super::{
    Day, Readers, Visit,
    books::Shelves,
    click::clicked,
    genres::GENRES,
    random::{Purpose, stream, weighted},
    rhythm,
    taste::{Taste, Turn},
};

/// Share of visits that end in a purchase.
const PURCHASE_SHARE: f64 = 0.6;
/// Days that the shop had been open before day 0, so that readers come with books they have bought and their latest
/// eight do not grow before everyone's eyes.
const EARLIER_DAYS: u32 = 21;
/// The most books a visit tells of the reader's latest.
const LATEST: usize = 8;

/// A change of taste.
#[derive(Debug, Clone, PartialEq)]
pub struct Shift {
    /// When readers turn.
    pub at: Timestamp,
    /// Share of readers that turn, in `[0, 1]`.
    pub reader_share: f64,
    /// Books that are published for the occasion and read by nobody before.
    pub new_books: usize,
}

impl Shift {
    /// A change that nobody can miss: seven readers in ten turn, 80 new books.
    pub fn strong(at: Timestamp) -> Self {
        Self { at, reader_share: 0.7, new_books: 80 }
    }
}

/// What to simulate.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldOptions {
    /// Everything follows from it.
    pub seed: u64,
    /// Books on sale from the first day.
    pub n_books: usize,
    /// Readers at any time, bots included.
    pub n_readers: usize,
    /// Genres, 2 to 12.
    pub genres: usize,
    /// Visits of an average day.
    pub visits_per_day: f64,
    /// Beginning of day 0.
    pub start: Timestamp,
    /// The change of taste, if there is one.
    pub shift: Option<Shift>,
    /// Share of bots among the readers, in `[0, 1)`.
    pub bot_share: f64,
    /// Share of readers that leave each day, each replaced by a new reader, in `[0, 1)`.
    pub new_reader_share_per_day: f64,
}

impl WorldOptions {
    /// A shop of 1500 books and 1200 readers without a change of taste.
    pub fn small(seed: u64, start: Timestamp) -> Self {
        Self {
            seed,
            n_books: 1_500,
            n_readers: 1_200,
            genres: GENRES.len(),
            visits_per_day: 1_500.0,
            start,
            shift: None,
            bot_share: 0.002,
            new_reader_share_per_day: 0.002,
        }
    }
}

/// An option no world can be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("simulation {option}: expected {expected}, found {found}")]
pub struct Refused {
    /// The option's name.
    pub option: &'static str,
    /// What would be accepted.
    pub expected: &'static str,
    /// What was given.
    pub found: String,
}

pub(super) fn require(
    ok: bool,
    option: &'static str,
    expected: &'static str,
    found: &dyn ToString,
) -> Result<(), Refused> {
    if ok { Ok(()) } else { Err(Refused { option, expected, found: found.to_string() }) }
}

impl WorldOptions {
    fn check(&self) -> Result<(), Refused> {
        require((2..=GENRES.len()).contains(&self.genres), "genres", "2 to 12", &self.genres)?;
        require(
            (self.genres..=90_000).contains(&self.n_books),
            "n_books",
            "at least one a genre, at most 90000",
            &self.n_books,
        )?;
        require((1..=1_000_000).contains(&self.n_readers), "n_readers", "1 to 1000000", &self.n_readers)?;
        require(
            (1.0..=1e6).contains(&self.visits_per_day),
            "visits_per_day",
            "a number from 1 to 1000000",
            &self.visits_per_day,
        )?;
        let share = |x: f64| (0.0..1.0).contains(&x);
        require(share(self.bot_share), "bot_share", "a share in [0, 1)", &self.bot_share)?;
        let leaving = self.new_reader_share_per_day;
        require(share(leaving), "new_reader_share_per_day", "a share in [0, 1)", &leaving)?;
        if let Some(shift) = &self.shift {
            require(
                (0.0..=1.0).contains(&shift.reader_share),
                "reader_share",
                "a share in [0, 1]",
                &shift.reader_share,
            )?;
            require(shift.new_books <= 9_000, "new_books", "at most 9000", &shift.new_books)?;
        }
        Ok(())
    }
}

/// One place among the shop's readers: when a reader leaves, a new one takes it.
#[derive(Debug)]
struct Seat {
    number: u64,
    id: ReaderId,
    taste: Taste,
    /// Everything bought, by index.
    bought: BTreeSet<u32>,
    /// The last few bought, oldest first.
    latest: Vec<u32>,
}

/// A bookshop that can be asked for its days in order.
#[derive(Debug)]
pub struct World {
    options: WorldOptions,
    shelves: Shelves,
    turn: Turn,
    seats: Vec<Seat>,
    /// Number that the next new reader gets.
    next_reader: u64,
    next_day: u32,
}

impl World {
    /// Draws books and readers, and opens the shop three weeks before day 0. The first `bot_share` of the readers, rounded, are bots and stay for ever.
    pub fn new(options: WorldOptions) -> Result<Self, Refused> {
        options.check()?;
        let (n_new, year) = match &options.shift {
            Some(shift) => (shift.new_books, shift.at.to_zoned(TimeZone::UTC).year()),
            None => (0, options.start.to_zoned(TimeZone::UTC).year()),
        };
        let shelves = Shelves::new(options.seed, options.genres, options.n_books, n_new, i32::from(year));
        let turn = Turn::new(options.genres, options.shift.as_ref().map_or(0.0, |s| s.reader_share));
        let n_bots = (options.bot_share * options.n_readers as f64).round() as u64;
        let seat = |number: u64| {
            let taste =
                if number < n_bots { Taste::Bot } else { Taste::of_reader(options.seed, number, &shelves, &turn) };
            Seat::new(number, taste)
        };
        let seats: Vec<Seat> = (0..options.n_readers as u64).map(seat).collect();
        let mut world = Self { next_reader: seats.len() as u64, options, shelves, turn, seats, next_day: 0 };
        for before in (1..=EARLIER_DAYS).rev() {
            let rng = stream(world.options.seed, Purpose::Earlier, u64::from(before));
            world.day(rng, rhythm::day_start(world.options.start, -i64::from(before)));
        }
        Ok(world)
    }

    fn day(&mut self, mut rng: ChaCha8Rng, start: Timestamp) -> Vec<Visit> {
        let rng = &mut rng;
        self.turn_over(rng);
        let expected = self.options.visits_per_day * rhythm::busyness(start);
        let n_visits: f64 = Poisson::new(expected).expect("checked to be positive and finite").sample(rng);
        let moments = rhythm::moments(rng, start, n_visits as usize);
        let activity: Vec<f64> = self.seats.iter().map(|seat| seat.taste.activity()).collect();
        let mut visits = Vec::with_capacity(moments.len());
        for at in moments {
            let seat = weighted(rng, &activity).expect("every reader comes by at times");
            visits.push(self.visit(rng, seat, at));
        }
        visits
    }

    fn is_shifted(&self, at: Timestamp) -> bool {
        self.options.shift.as_ref().is_some_and(|shift| at >= shift.at)
    }

    /// Lets some readers leave and as many new ones come.
    fn turn_over(&mut self, rng: &mut ChaCha8Rng) {
        for seat in &mut self.seats {
            if matches!(seat.taste, Taste::Bot) || rng.random::<f64>() >= self.options.new_reader_share_per_day {
                continue;
            }
            let taste = Taste::of_reader(self.options.seed, self.next_reader, &self.shelves, &self.turn);
            *seat = Seat::new(self.next_reader, taste);
            self.next_reader += 1;
        }
    }

    fn visit(&mut self, rng: &mut ChaCha8Rng, seat: usize, at: Timestamp) -> Visit {
        let shifted = self.is_shifted(at);
        let seat = &mut self.seats[seat];
        let id = |index: &u32| self.shelves.books[*index as usize].item_id.clone();
        let latest = seat.latest.iter().map(id).collect();
        let wants = rng.random::<f64>() < PURCHASE_SHARE;
        let chosen =
            wants.then(|| seat.taste.choose(rng, &self.shelves, shifted, |book| seat.bought.contains(&book))).flatten();
        if let Some(book) = chosen {
            seat.bought.insert(book);
            seat.latest.push(book);
            if seat.latest.len() > LATEST {
                seat.latest.remove(0);
            }
        }
        Visit { at, reader: seat.id.clone(), latest, purchase: chosen.as_ref().map(id) }
    }
}

impl Seat {
    fn new(number: u64, taste: Taste) -> Self {
        let id = format!("reader-{number:06}").parse().expect("letters, a dash and digits are an id");
        Self { number, id, taste, bought: BTreeSet::new(), latest: Vec::new() }
    }
}

impl Readers for World {
    fn catalogue(&self) -> &[Book] {
        &self.shelves.books
    }

    fn next_day(&mut self) -> Option<Day> {
        let number = self.next_day;
        self.next_day += 1;
        let start = rhythm::day_start(self.options.start, i64::from(number));
        let visits = self.day(stream(self.options.seed, Purpose::Day, u64::from(number)), start);
        Some(Day { number, start, visits })
    }

    fn click(&self, reader: &ReaderId, list: &[BookId], request_id: &str, at: Timestamp) -> Option<usize> {
        // Readers who have left still have the taste they came with.
        let number: u64 = reader.as_str().strip_prefix("reader-")?.parse().ok()?;
        let seated = self.seats.get(number as usize).filter(|seat| seat.number == number);
        let drawn;
        let taste = if let Some(seat) = seated {
            &seat.taste
        } else {
            drawn = Taste::of_reader(self.options.seed, number, &self.shelves, &self.turn);
            &drawn
        };
        let shifted = self.is_shifted(at);
        let appeal =
            |book: &BookId| self.shelves.index(book).map_or(0.0, |index| taste.appeal(index, &self.shelves, shifted));
        clicked(self.options.seed, list, request_id, appeal)
    }
}

#[cfg(test)]
mod tests;
