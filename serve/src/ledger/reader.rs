//! What is known of one reader, and what that adds to the counts.
//!
//! Of two reports of one thing the earlier holds, so what is known does not depend on the order in which reports come,
//! nor on how often one comes.

use models::event::Arm;

use super::fact::{Fact, First, Trouble, What};
use crate::judge::{ArmEvidence, Credits, StepEvidence};

/// What is known of one reader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reader {
    /// Their first requests on stable and on the canary.
    met: [Option<Met>; 2],
    /// Where the first failure, slow answer and short list fell.
    suffered: [Option<(u16, Arm)>; 3],
    clicked_ms: Option<i64>,
    /// Whether they were given a list of both versions.
    drafted: bool,
    /// Their first click on a book of one side of such a list, and whose it was.
    credit: Option<(i64, Arm)>,
    /// Whether their window for clicks is over.
    pub(super) settled: bool,
}

/// A first request on an arm. The earlier is the lesser; steps come first, since no two clocks agree on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Met {
    step: u16,
    at_ms: i64,
    first: First,
}

/// Whether counts are added or taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Add,
    Take,
}

impl Turn {
    fn one(self, count: &mut u64, happened: bool) {
        match self {
            Self::Add => *count += u64::from(happened),
            Self::Take => *count -= u64::from(happened),
        }
    }
}

fn side(arm: Arm) -> usize {
    usize::from(arm == Arm::Canary)
}

fn of(steps: &mut [StepEvidence], step: u16, arm: Arm) -> &mut ArmEvidence {
    let step = &mut steps[usize::from(step)];
    match arm {
        Arm::Stable => &mut step.stable,
        Arm::Canary => &mut step.canary,
    }
}

impl Reader {
    /// Takes in one more fact.
    pub(super) fn learn(&mut self, fact: &Fact) {
        match fact.what {
            What::Met(first) => {
                let (met, held) = (Met { step: fact.step, at_ms: fact.at_ms, first }, &mut self.met[side(fact.arm)]);
                *held = Some(held.map_or(met, |held| held.min(met)));
            }
            What::Suffered(trouble) => {
                let held = &mut self.suffered[trouble as usize];
                if held.is_none_or(|(step, _)| fact.step < step) {
                    *held = Some((fact.step, fact.arm));
                }
            }
            What::Clicked => {
                self.clicked_ms = Some(self.clicked_ms.map_or(fact.at_ms, |held| held.min(fact.at_ms)));
            }
            What::Drafted => self.drafted = true,
            What::Credited => {
                let credit = (fact.at_ms, fact.arm);
                self.credit = Some(self.credit.map_or(credit, |held| held.min(credit)));
            }
        }
    }

    /// Whether a first request on an arm is known.
    pub(super) fn has_met(&self, arm: Arm) -> bool {
        self.met[side(arm)].is_some()
    }

    pub(super) fn has_suffered(&self, trouble: Trouble) -> bool {
        self.suffered[trouble as usize].is_some()
    }

    pub(super) fn has_clicked(&self) -> bool {
        self.clicked_ms.is_some()
    }

    /// Whether a list of both versions is known.
    pub(super) fn is_drafted(&self) -> bool {
        self.drafted
    }

    pub(super) fn is_credited(&self) -> bool {
        self.credit.is_some()
    }

    /// Adds what is known of the reader's lists of both versions to the counts, or takes it back. A credit counts once
    /// the list is known.
    pub(super) fn count_credit(&self, credits: &mut Credits, turn: Turn) {
        turn.one(&mut credits.readers, self.drafted);
        let is_for = |arm| self.drafted && self.credit.is_some_and(|(_, credited)| credited == arm);
        turn.one(&mut credits.wins, is_for(Arm::Canary));
        turn.one(&mut credits.losses, is_for(Arm::Stable));
    }

    /// Where and when the reader came to the trial.
    fn arrival(&self) -> Option<(Arm, Met)> {
        let [stable, canary] = self.met;
        let both = [stable.map(|met| (Arm::Stable, met)), canary.map(|met| (Arm::Canary, met))];
        both.into_iter().flatten().min_by_key(|(_, met)| *met)
    }

    /// When the reader came to the trial, milliseconds since 1970.
    pub(super) fn arrived_ms(&self) -> Option<i64> {
        self.arrival().map(|(_, met)| met.at_ms)
    }

    /// Adds what is known of the reader to the counts, or takes it back. A click counts within `window_ms` after arrival.
    pub(super) fn count(&self, steps: &mut [StepEvidence], window_ms: i64, turn: Turn) {
        for (arm, met) in [Arm::Stable, Arm::Canary].into_iter().zip(self.met) {
            let Some(Met { step, first, .. }) = met else { continue };
            let counts = of(steps, step, arm);
            turn.one(&mut counts.met, true);
            turn.one(&mut counts.met_bad, first.bad);
            turn.one(&mut counts.met_slow, first.slow);
            turn.one(counts.scoring.count_mut(first.bucket.into()), true);
        }
        for (trouble, suffered) in [Trouble::Failed, Trouble::Slow, Trouble::Short].into_iter().zip(self.suffered) {
            let Some((step, arm)) = suffered else { continue };
            let counts = of(steps, step, arm);
            let count = match trouble {
                Trouble::Failed => &mut counts.failed,
                Trouble::Slow => &mut counts.slow,
                Trouble::Short => &mut counts.short,
            };
            turn.one(count, true);
        }
        let Some((arm, Met { step, at_ms, .. })) = self.arrival() else { return };
        let counts = of(steps, step, arm);
        let clicked = self.clicked_ms.is_some_and(|clicked| (0..=window_ms).contains(&(clicked - at_ms)));
        turn.one(&mut counts.arrived, true);
        turn.one(&mut counts.clicked, clicked);
        turn.one(&mut counts.settled, self.settled);
        turn.one(&mut counts.settled_clicked, self.settled && clicked);
    }
}
