//! What is known of a trial: counts by step and arm. Enough to repeat every decision, and addable over processes.

use serde::{Deserialize, Serialize};

use super::{latency::Durations, preference::Credits};

/// Everything the judge is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The steps so far, the running one last.
    pub steps: Vec<StepEvidence>,
    /// Readers who are on no arm because they were given lists of both versions, over all steps: the coin that drafts
    /// such a list knows no shares.
    #[serde(default)]
    pub interleaved: Credits,
    /// How long the running step has lasted, seconds.
    pub step_secs: u64,
}

/// Counts of one step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEvidence {
    /// The canary's share of readers, basis points.
    pub weight_bp: u16,
    /// Counts of stable.
    pub stable: ArmEvidence,
    /// Counts of the canary.
    pub canary: ArmEvidence,
}

/// Counts of one arm during one step. A reader, unless said otherwise, is counted at most once in the whole trial, on the
/// arm the split assigned, whichever version answered and whichever process was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmEvidence {
    /// Requests, every one.
    pub requests: u64,
    /// Of those, failed: server errors, deadlines, and answers another arm had to give.
    pub bad: u64,
    /// Of those, answered after more than 0.5 s.
    pub over_500ms: u64,
    /// Readers first met on this trial.
    pub arrived: u64,
    /// Readers first met on this arm. Beside the arrived, those that a greater share moved here.
    pub met: u64,
    /// Of those, readers whose first request here failed.
    pub met_bad: u64,
    /// Of those, readers whose first request here took more than 0.5 s.
    pub met_slow: u64,
    /// Of those, how long their first list took to score.
    pub scoring: Durations,
    /// Readers whose first failure fell here.
    pub failed: u64,
    /// Readers whose first answer after more than 0.5 s fell here.
    pub slow: u64,
    /// Readers whose first list of fewer books than asked for fell here.
    pub short: u64,
    /// Of the arrived, readers who clicked within the window after their arrival, so far.
    pub clicked: u64,
    /// Of the arrived, readers whose window is over.
    pub settled: u64,
    /// Of those, readers who clicked within it.
    pub settled_clicked: u64,
}

impl ArmEvidence {
    /// The counts of two processes together.
    pub fn merge(&mut self, other: &Self) {
        let Self { requests, bad, over_500ms, arrived, met, met_bad, met_slow, failed, slow, short, .. } = other;
        self.requests += requests;
        self.bad += bad;
        self.over_500ms += over_500ms;
        self.arrived += arrived;
        self.met += met;
        self.met_bad += met_bad;
        self.met_slow += met_slow;
        self.scoring.merge(&other.scoring);
        self.failed += failed;
        self.slow += slow;
        self.short += short;
        self.clicked += other.clicked;
        self.settled += other.settled;
        self.settled_clicked += other.settled_clicked;
    }
}

impl StepEvidence {
    /// The canary's share of readers, `[0, 1]`.
    pub fn share(&self) -> f64 {
        f64::from(self.weight_bp) / 10_000.0
    }

    /// Whether stable had readers too.
    pub fn compares(&self) -> bool {
        self.weight_bp < 10_000
    }
}

impl Evidence {
    /// Counts of an arm over all steps.
    pub fn total(&self, arm: fn(&StepEvidence) -> &ArmEvidence) -> ArmEvidence {
        let mut total = ArmEvidence::default();
        self.steps.iter().for_each(|step| total.merge(arm(step)));
        total
    }

    /// The running step's share, basis points; 0 without a step.
    pub fn weight_bp(&self) -> u16 {
        self.steps.last().map_or(0, |step| step.weight_bp)
    }
}
