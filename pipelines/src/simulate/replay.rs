//! Real readers' histories replayed as days: every recorded reading is a visit that ends in that purchase.
//!
//! Records with only a rank in time are spread evenly over the days. A change of taste is made by swapping books: from
//! its time on, a turned reader's records name another book of about the same popularity, through one fixed permutation.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use jiff::Timestamp;
use models::{Book, BookId, ReaderId};
use rand::RngExt;

use super::{
    Day, Readers, Visit,
    click::clicked,
    random::{Purpose, shuffled, stream},
    rhythm,
    world::{Refused, Shift, require},
};

/// Books of neighbouring popularity rank that are swapped among themselves.
const SWAP_BLOCK: usize = 50;
/// The most books a visit tells of the reader's latest.
const LATEST: usize = 8;

/// How recorded histories become days.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayOptions {
    /// Decides times within the day, who turns, and what is swapped.
    pub seed: u64,
    /// Number of days that the records are spread over, at least 1.
    pub days: u32,
    /// Beginning of day 0.
    pub start: Timestamp,
    /// The change of taste, if there is one; it brings no new books, `new_books` is not used.
    pub shift: Option<Shift>,
}

/// Recorded readings, day by day.
#[derive(Debug)]
pub struct Replay {
    options: ReplayOptions,
    catalogue: Vec<Book>,
    /// Days still to come.
    days: VecDeque<Day>,
    /// Books that each reader reads at any time, before and after the change; looked up, never iterated.
    reads: HashMap<ReaderId, HashSet<BookId>>,
}

impl Replay {
    /// Lays out `records` of `(reader, book)`, in the order in which they happened, over the days.
    ///
    /// Books that are read but not in `catalogue` are added to it by id. A reader's second record of the same book is
    /// a visit without a purchase.
    pub fn new(
        mut catalogue: Vec<Book>,
        records: &[(ReaderId, BookId)],
        options: ReplayOptions,
    ) -> Result<Self, Refused> {
        require(options.days > 0, "days", "at least 1", &options.days)?;
        let mut counts: BTreeMap<&BookId, u32> = BTreeMap::new();
        for (_, book) in records {
            *counts.entry(book).or_default() += 1;
        }
        let listed: HashSet<BookId> = catalogue.iter().map(|book| book.item_id.clone()).collect();
        catalogue.extend(counts.keys().filter(|id| !listed.contains(**id)).map(|id| Book::bare((*id).clone())));
        let swap = swaps(options.seed, &counts);
        let mut replay = Self { options, catalogue, days: VecDeque::new(), reads: HashMap::new() };
        let turned = replay.turned(records);
        let mut latest: HashMap<ReaderId, Vec<BookId>> = HashMap::new();
        for number in 0..replay.options.days {
            let share = |day: u32| records.len() * day as usize / replay.options.days as usize;
            let today = &records[share(number)..share(number + 1)];
            let start = rhythm::day_start(replay.options.start, i64::from(number));
            let mut rng = stream(replay.options.seed, Purpose::Day, u64::from(number));
            let moments = rhythm::moments(&mut rng, start, today.len());
            let visits = moments.into_iter().zip(today).map(|(at, (reader, book))| {
                let is_turned =
                    replay.options.shift.as_ref().is_some_and(|shift| at >= shift.at) && turned.contains(reader);
                let book = if is_turned { &swap[book] } else { book };
                let is_new = replay.reads.entry(reader.clone()).or_default().insert(book.clone());
                let before = latest.entry(reader.clone()).or_default();
                let visit = Visit {
                    at,
                    reader: reader.clone(),
                    latest: before.clone(),
                    purchase: is_new.then(|| book.clone()),
                };
                before.extend(visit.purchase.clone());
                before.drain(..before.len().saturating_sub(LATEST));
                visit
            });
            let visits = visits.collect();
            replay.days.push_back(Day { number, start, visits });
        }
        Ok(replay)
    }

    /// The readers that turn, drawn one by one in the order of their ids.
    fn turned(&self, records: &[(ReaderId, BookId)]) -> HashSet<ReaderId> {
        let share = self.options.shift.as_ref().map_or(0.0, |shift| shift.reader_share);
        let mut readers: Vec<&ReaderId> = records.iter().map(|(reader, _)| reader).collect();
        readers.sort_unstable();
        readers.dedup();
        let mut rng = stream(self.options.seed, Purpose::Shift, 1);
        readers.into_iter().filter(|_| rng.random::<f64>() < share).cloned().collect()
    }
}

/// A permutation of the books that moves each within its block of neighbouring popularity ranks.
fn swaps(seed: u64, counts: &BTreeMap<&BookId, u32>) -> HashMap<BookId, BookId> {
    let mut ranked: Vec<(&BookId, u32)> = counts.iter().map(|(book, count)| (*book, *count)).collect();
    ranked.sort_by_key(|(book, count)| (std::cmp::Reverse(*count), *book));
    let mut rng = stream(seed, Purpose::Shift, 0);
    let mut swaps = HashMap::new();
    for block in ranked.chunks(SWAP_BLOCK) {
        // A circle through the shuffled block leaves no book in its place, unless it is alone.
        let circle = shuffled(&mut rng, block.len());
        for (place, book) in circle.iter().enumerate() {
            let next = circle[(place + 1) % circle.len()];
            swaps.insert(block[*book].0.clone(), block[next].0.clone());
        }
    }
    swaps
}

impl Readers for Replay {
    fn catalogue(&self) -> &[Book] {
        &self.catalogue
    }

    fn next_day(&mut self) -> Option<Day> {
        self.days.pop_front()
    }

    /// A reader opens what they have read or will read, and hardly anything else.
    fn click(&self, reader: &ReaderId, list: &[BookId], request_id: &str, _: Timestamp) -> Option<usize> {
        let reads = self.reads.get(reader);
        let appeal = |book: &BookId| if reads.is_some_and(|reads| reads.contains(book)) { 0.5 } else { 0.02 };
        clicked(self.options.seed, list, request_id, appeal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 40 readers in turn, each reading 30 of 100 books.
    fn records() -> Vec<(ReaderId, BookId)> {
        let record = |i: usize| {
            let (reader, nth) = (i % 40, i / 40);
            let book = (reader * 7 + nth * nth) % 100;
            (format!("r{reader}").parse().unwrap(), format!("b{book}").parse().unwrap())
        };
        (0..1_200).map(record).collect()
    }

    fn replay(shift: Option<&str>) -> Replay {
        let start = "2026-01-05T00:00:00Z".parse().unwrap();
        let shift = shift.map(|at| Shift { new_books: 0, ..Shift::strong(at.parse().unwrap()) });
        Replay::new(Vec::new(), &records(), ReplayOptions { seed: 7, days: 7, start, shift }).unwrap()
    }

    fn all(mut replay: Replay) -> Vec<Day> {
        std::iter::from_fn(|| replay.next_day()).collect()
    }

    #[test]
    fn every_record_is_a_visit_and_no_book_is_bought_twice() {
        let days = all(replay(Some("2026-01-08T00:00:00Z")));
        assert_eq!(days.iter().map(|day| day.visits.len()).sum::<usize>(), 1_200);
        let mut bought = HashSet::new();
        for visit in days.iter().flat_map(|day| &day.visits) {
            assert!(visit.latest.len() <= 8);
            assert!(visit.latest.iter().all(|book| bought.contains(&(visit.reader.clone(), book.clone()))));
            if let Some(book) = &visit.purchase {
                assert!(bought.insert((visit.reader.clone(), book.clone())), "{book} again");
            }
        }
    }

    #[test]
    fn a_change_of_taste_changes_nothing_before_it_and_much_after() {
        let (still, turned) = (all(replay(None)), all(replay(Some("2026-01-08T00:00:00Z"))));
        assert_eq!(still[..3], turned[..3]);
        let differ = still[3..].iter().zip(&turned[3..]).flat_map(|(a, b)| a.visits.iter().zip(&b.visits));
        let differ = differ.filter(|(a, b)| a.purchase != b.purchase).count();
        assert!(differ > 300, "{differ} of 686 visits");
    }
}
