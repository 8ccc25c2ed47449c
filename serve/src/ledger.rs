//! Who was met, and what befell them, during one trial: what the judge's counts are made of.
//!
//! Readers are kept by number, not by name, and each counts once, whichever process they were sent to: a reader who fails
//! twenty times is one failure. What other processes say of a reader is joined with what was seen here, so that the
//! counts are those of one process that had seen everything.

mod fact;
mod reader;
#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use models::event::Arm;
use serde::{Deserialize, Serialize};

pub(crate) use self::fact::Fact;
use self::{
    fact::{First, Trouble, What},
    reader::{Reader, Turn},
};
use crate::{
    canary::SLOW,
    judge::{Credits, Durations, StepEvidence},
};

/// Readers of one trial that are kept, some 150 bytes each. Later ones count as requests only, whatever their arm.
const MAX_READERS: usize = 1_000_000;
/// Facts of other processes that are taken in before a request gets its turn.
const AT_ONCE: usize = 256;

/// One reader's list, as far as the trial is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exposure {
    /// The reader's number in the trial.
    pub(crate) unit: u64,
    /// The arm the split assigned.
    pub(crate) arm: Arm,
    /// Whether that arm gave no list.
    pub(crate) failed: bool,
    /// Whether the list has fewer books than were asked for.
    pub(crate) short: bool,
    /// How long scoring took.
    pub(crate) score: Duration,
}

/// Requests of one arm during one step, every one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Requests {
    pub(crate) all: u64,
    pub(crate) bad: u64,
    pub(crate) slow: u64,
}

/// Requests of stable and of the canary, by step.
pub(crate) type ByStep = Vec<[Requests; 2]>;

#[derive(Debug, Default)]
struct Book {
    /// Counts of readers. Requests are added when they are read.
    steps: Vec<StepEvidence>,
    /// Counts of readers of lists of both versions.
    credits: Credits,
    own: ByStep,
    others: BTreeMap<String, ByStep>,
    /// Looked up, never iterated.
    readers: HashMap<u64, Reader>,
    /// When readers arrived whose window for clicks may be open, the earliest on top.
    open: BinaryHeap<Reverse<(i64, u64)>>,
    /// What was seen here first and is not yet kept elsewhere for good, in the order it was seen.
    news: Vec<Fact>,
}

/// The counts of one trial.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// How long after a reader's first meeting a click counts.
    window_ms: i64,
    /// Whether other processes are told.
    tells: bool,
    book: Mutex<Book>,
}

impl Ledger {
    pub(crate) fn new(window: SignedDuration, tells: bool) -> Self {
        Self { window_ms: i64::try_from(window.as_millis()).unwrap_or(i64::MAX), tells, book: Mutex::default() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no panic happens while this lock is held")
    }

    /// Opens a step; its number.
    pub(crate) fn begin_step(&self, weight_bp: u16) -> usize {
        let mut book = self.book();
        book.steps.push(StepEvidence { weight_bp, ..StepEvidence::default() });
        book.own.push(Default::default());
        book.steps.len() - 1
    }

    /// How many steps there are.
    pub(crate) fn n_steps(&self) -> usize {
        self.book().steps.len()
    }

    /// Counts the readers of one request of step `step`, which took `total` and ended badly if `bad`.
    pub(crate) fn exposed(&self, step: usize, exposures: &[Exposure], bad: bool, total: Duration, now: Timestamp) {
        let slow = total > SLOW;
        let mut book = self.book();
        for exposure in exposures {
            let bad = bad || exposure.failed;
            let requests = &mut book.own[step][usize::from(exposure.arm == Arm::Canary)];
            requests.all += 1;
            requests.bad += u64::from(bad);
            requests.slow += u64::from(slow);
            let known = book.readers.get(&exposure.unit).copied().unwrap_or_default();
            let first = First { bad, slow, bucket: Durations::bucket(exposure.score) as u8 };
            let happened = [
                (!known.has_met(exposure.arm)).then_some(What::Met(first)),
                new(bad, &known, Trouble::Failed),
                new(slow, &known, Trouble::Slow),
                new(exposure.short, &known, Trouble::Short),
            ];
            for what in happened.into_iter().flatten() {
                let (unit, arm, at_ms) = (exposure.unit, exposure.arm, now.as_millisecond());
                book.see(&Fact { unit, step: step as u16, arm, at_ms, what }, self.window_ms, self.tells);
            }
        }
    }

    /// Counts a reader's click, if it is their first and within the window after they were first met.
    pub(crate) fn clicked(&self, unit: u64, at: Timestamp) {
        let mut book = self.book();
        let Some(reader) = book.readers.get(&unit).filter(|reader| !reader.has_clicked()) else { return };
        let at_ms = at.as_millisecond();
        if reader.arrived_ms().is_some_and(|arrived| (0..=self.window_ms).contains(&(at_ms - arrived))) {
            let fact = Fact { unit, step: 0, arm: Arm::Stable, at_ms, what: What::Clicked };
            book.see(&fact, self.window_ms, self.tells);
        }
    }

    /// Counts readers who were given lists of both versions during step `step`. They are on no arm.
    pub(crate) fn drafted(&self, step: usize, units: &[u64], at: Timestamp) {
        let mut book = self.book();
        for unit in units {
            if book.readers.get(unit).is_none_or(|reader| !reader.is_drafted()) {
                let (arm, at_ms) = (Arm::Stable, at.as_millisecond());
                let fact = Fact { unit: *unit, step: step as u16, arm, at_ms, what: What::Drafted };
                book.see(&fact, self.window_ms, self.tells);
            }
        }
    }

    /// Credits a side whose book a reader clicked on such a list, answered at `answered`, if it is their first click on a
    /// book of either side and within the window after that answer.
    pub(crate) fn credited(&self, unit: u64, team: Arm, answered: Timestamp, at: Timestamp) {
        let waited = at.as_millisecond() - answered.as_millisecond();
        let mut book = self.book();
        let is_first = book.readers.get(&unit).is_none_or(|reader| !reader.is_credited());
        if is_first && (0..=self.window_ms).contains(&waited) {
            let fact = Fact { unit, step: 0, arm: team, at_ms: at.as_millisecond(), what: What::Credited };
            book.see(&fact, self.window_ms, self.tells);
        }
    }

    /// What readers of lists of both versions clicked so far, over all steps.
    pub(crate) fn credits(&self) -> Credits {
        self.book().credits
    }

    /// Takes in what another process says: all its requests, and facts of its readers. Repeating changes nothing.
    ///
    /// `requests` and every fact are of steps that are open here.
    pub(crate) fn hear(&self, process: &str, requests: ByStep, facts: &[Fact]) {
        for facts in facts.chunks(AT_ONCE) {
            let mut book = self.book();
            for fact in facts {
                book.see(fact, self.window_ms, false);
            }
        }
        self.book().others.insert(process.to_owned(), requests);
    }

    /// All requests seen here, and what was first seen here and is not yet kept for good.
    pub(crate) fn news(&self) -> (ByStep, Vec<Fact>) {
        let book = self.book();
        (book.own.clone(), book.news.clone())
    }

    /// The first `n` of the news, if there are so many.
    pub(crate) fn oldest_news(&self, n: usize) -> Option<Vec<Fact>> {
        self.book().news.get(..n).map(<[Fact]>::to_vec)
    }

    /// Drops the first `n` of the news: they are kept for good.
    pub(crate) fn drop_news(&self, n: usize) {
        self.book().news.drain(..n);
    }

    /// The counts of every step, with the windows that are over at `now` settled.
    pub(crate) fn read(&self, now: Timestamp) -> Vec<StepEvidence> {
        let mut book = self.book();
        while let Some(Reverse((at_ms, unit))) = book.open.peek().copied()
            && now.as_millisecond() - at_ms > self.window_ms
        {
            book.open.pop();
            book.change(unit, self.window_ms, |reader| reader.settled = true);
        }
        let mut steps = book.steps.clone();
        for requests in std::iter::once(&book.own).chain(book.others.values()) {
            for (step, [stable, canary]) in steps.iter_mut().zip(requests) {
                for (counts, requests) in [(&mut step.stable, stable), (&mut step.canary, canary)] {
                    counts.requests += requests.all;
                    counts.bad += requests.bad;
                    counts.over_500ms += requests.slow;
                }
            }
        }
        steps
    }
}

/// A trouble that has befallen a reader for the first time.
fn new(happened: bool, known: &Reader, trouble: Trouble) -> Option<What> {
    (happened && !known.has_suffered(trouble)).then_some(What::Suffered(trouble))
}

impl Book {
    /// Takes in one fact; it is news if so said.
    fn see(&mut self, fact: &Fact, window_ms: i64, is_news: bool) {
        if !self.readers.contains_key(&fact.unit) && self.readers.len() >= MAX_READERS {
            return;
        }
        let before = self.readers.get(&fact.unit).and_then(Reader::arrived_ms);
        let after = self.change(fact.unit, window_ms, |reader| reader.learn(fact)).arrived_ms();
        if let Some(arrived) = after.filter(|_| after != before) {
            self.open.push(Reverse((arrived, fact.unit)));
        }
        if is_news {
            self.news.push(*fact);
        }
    }

    /// Changes what is known of a reader, and the counts with it.
    fn change(&mut self, unit: u64, window_ms: i64, change: impl FnOnce(&mut Reader)) -> Reader {
        let reader = self.readers.entry(unit).or_default();
        let before = *reader;
        change(reader);
        if before != *reader {
            before.count(&mut self.steps, window_ms, Turn::Take);
            reader.count(&mut self.steps, window_ms, Turn::Add);
            before.count_credit(&mut self.credits, Turn::Take);
            reader.count_credit(&mut self.credits, Turn::Add);
        }
        *reader
    }
}
