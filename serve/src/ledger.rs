//! Who was met, and what befell them, during one trial: what the judge's counts are made of.
//!
//! Readers are kept by number, not by name, and each counts once: a reader who fails twenty times is one failure. What is
//! written here is known to this process alone and is lost with it: a trial then goes on with what it sees from there.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use models::event::Arm;

use crate::{
    canary::SLOW,
    judge::{ArmEvidence, StepEvidence},
};

/// Readers of one trial that are kept, some 80 bytes each. Later ones count as requests only, whatever their arm.
const MAX_READERS: usize = 1_000_000;

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

/// What is known of one reader.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Step, arm and time of the first meeting: outcomes stay there.
    step: u32,
    arm: Arm,
    at: Timestamp,
    /// Whether stable, and the canary, has been met.
    met: [bool; 2],
    /// Whether a failure, a slow answer and a short list have befallen them.
    suffered: [bool; 3],
    clicked: bool,
}

#[derive(Debug, Default)]
struct Book {
    steps: Vec<StepEvidence>,
    /// Looked up, never iterated.
    readers: HashMap<u64, Seen>,
    /// Readers whose window for clicks is open, in the order they came.
    open: VecDeque<(Timestamp, u64)>,
}

/// The counts of one trial.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// How long after a reader's first meeting a click counts.
    window: SignedDuration,
    book: Mutex<Book>,
}

impl Ledger {
    pub(crate) fn new(window: SignedDuration) -> Self {
        Self { window, book: Mutex::default() }
    }

    /// Opens a step; its number.
    pub(crate) fn begin_step(&self, weight_bp: u16) -> usize {
        let mut book = self.book.lock().expect("no panic happens while this lock is held");
        book.steps.push(StepEvidence { weight_bp, ..StepEvidence::default() });
        book.steps.len() - 1
    }

    /// Counts the readers of one request of step `step`, which took `total` and ended badly if `bad`.
    pub(crate) fn exposed(&self, step: usize, exposures: &[Exposure], bad: bool, total: Duration, now: Timestamp) {
        let slow = total > SLOW;
        let mut book = self.book.lock().expect("no panic happens while this lock is held");
        for exposure in exposures {
            let bad = bad || exposure.failed;
            let counts = book.arm(step, exposure.arm);
            counts.requests += 1;
            counts.bad += u64::from(bad);
            counts.over_500ms += u64::from(slow);
            book.meet(step, exposure, bad, slow, now);
        }
    }

    /// Counts a reader's click, if it is their first and within the window after they were first met.
    pub(crate) fn clicked(&self, unit: u64, at: Timestamp) {
        let mut book = self.book.lock().expect("no panic happens while this lock is held");
        let Some(seen) = book.readers.get_mut(&unit) else { return };
        let age = at.duration_since(seen.at);
        if seen.clicked || age.is_negative() || age > self.window {
            return;
        }
        seen.clicked = true;
        let (step, arm) = (seen.step as usize, seen.arm);
        book.arm(step, arm).clicked += 1;
    }

    /// The counts of every step, with the windows that are over at `now` settled.
    pub(crate) fn read(&self, now: Timestamp) -> Vec<StepEvidence> {
        let mut book = self.book.lock().expect("no panic happens while this lock is held");
        while let Some((at, unit)) = book.open.front().copied()
            && now.duration_since(at) > self.window
        {
            book.open.pop_front();
            let Some(Seen { step, arm, clicked, .. }) = book.readers.get(&unit).copied() else { continue };
            let counts = book.arm(step as usize, arm);
            counts.settled += 1;
            counts.settled_clicked += u64::from(clicked);
        }
        book.steps.clone()
    }
}

impl Book {
    fn arm(&mut self, step: usize, arm: Arm) -> &mut ArmEvidence {
        let step = &mut self.steps[step];
        match arm {
            Arm::Stable => &mut step.stable,
            Arm::Canary => &mut step.canary,
        }
    }

    /// Counts a reader for what happened to them for the first time.
    fn meet(&mut self, step: usize, exposure: &Exposure, bad: bool, slow: bool, now: Timestamp) {
        let Exposure { unit, arm, short, score, .. } = *exposure;
        let known = self.readers.get(&unit).copied();
        if known.is_none() && self.readers.len() >= MAX_READERS {
            return;
        }
        let arrives = Seen { step: step as u32, arm, at: now, met: [false; 2], suffered: [false; 3], clicked: false };
        let mut seen = known.unwrap_or(arrives);
        let here = usize::from(arm == Arm::Canary);
        let counts = self.arm(step, arm);
        counts.arrived += u64::from(known.is_none());
        if !seen.met[here] {
            counts.met += 1;
            counts.met_bad += u64::from(bad);
            counts.met_slow += u64::from(slow);
            counts.scoring.record(score);
        }
        let firsts = [(bad, &mut counts.failed), (slow, &mut counts.slow), (short, &mut counts.short)];
        for ((happened, count), before) in firsts.into_iter().zip(&mut seen.suffered) {
            *count += u64::from(happened && !*before);
            *before |= happened;
        }
        seen.met[here] = true;
        self.readers.insert(unit, seen);
        if known.is_none() {
            self.open.push_back((now, unit));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(60 * minute).unwrap()
    }

    fn ledger() -> Ledger {
        let ledger = Ledger::new(SignedDuration::from_mins(30));
        ledger.begin_step(1000);
        ledger
    }

    fn meets(unit: u64, arm: Arm) -> Exposure {
        Exposure { unit, arm, failed: false, short: false, score: Duration::from_micros(120) }
    }

    /// `requests arrived met failed slow clicked/settled_clicked/settled` of an arm.
    fn told(counts: &ArmEvidence) -> String {
        let ArmEvidence { requests, arrived, met, failed, slow, clicked, settled, settled_clicked, .. } = counts;
        format!("{requests} {arrived} {met} {failed} {slow} {clicked}/{settled_clicked}/{settled}")
    }

    #[test]
    fn a_reader_who_comes_and_fails_often_is_one_reader_and_one_failure() {
        let ledger = ledger();
        let fast = Duration::from_millis(3);
        ledger.exposed(0, &[meets(1, Arm::Canary), meets(2, Arm::Stable)], false, fast, at(0));
        for minute in 1..5 {
            ledger.exposed(0, &[meets(1, Arm::Canary)], true, Duration::from_millis(501), at(minute));
        }
        let step = &ledger.read(at(5))[0];
        assert_eq!((told(&step.canary), told(&step.stable)), ("5 1 1 1 1 0/0/0".into(), "1 1 1 0 0 0/0/0".into()));
        assert_eq!((step.canary.bad, step.canary.over_500ms), (4, 4), "requests are counted one by one");
        assert_eq!((step.canary.met_bad, step.canary.met_slow), (0, 0), "the first request was sound");
        assert_eq!((step.canary.scoring.n(), step.canary.scoring.above(0), step.canary.scoring.above(1)), (1, 1, 0));
    }

    #[test]
    fn a_reader_moved_by_a_greater_share_is_met_anew_and_keeps_the_arm_of_arrival_for_clicks() {
        let ledger = ledger();
        let fast = Duration::from_millis(3);
        ledger.exposed(0, &[meets(1, Arm::Stable)], false, fast, at(0));
        let second = ledger.begin_step(2500);
        ledger.exposed(second, &[meets(1, Arm::Canary)], false, fast, at(10));
        ledger.clicked(1, at(20));
        let steps = ledger.read(at(20));
        assert_eq!(
            (told(&steps[0].stable), told(&steps[1].canary)),
            ("1 1 1 0 0 1/0/0".into(), "1 0 1 0 0 0/0/0".into())
        );
    }

    #[test]
    fn a_click_counts_once_within_the_window_and_a_reader_is_settled_after_it() {
        let ledger = ledger();
        let fast = Duration::from_millis(3);
        ledger.exposed(0, &[meets(1, Arm::Canary), meets(2, Arm::Canary)], false, fast, at(10));
        ledger.clicked(1, at(9));
        ledger.clicked(3, at(11));
        ledger.clicked(2, at(41));
        assert_eq!(told(&ledger.read(at(40))[0].canary), "2 2 2 0 0 0/0/0", "before, unknown, too late");
        ledger.clicked(1, at(40));
        ledger.clicked(1, at(40));
        assert_eq!(told(&ledger.read(at(40))[0].canary), "2 2 2 0 0 1/0/0", "windows are open");
        assert_eq!(told(&ledger.read(at(41))[0].canary), "2 2 2 0 0 1/1/2");
    }
}
