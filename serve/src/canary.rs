//! A running trial as one process sees it: the step it is in, and what its judge says.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use models::{Version, split::Salt};
use serde::Serialize;

use crate::{
    judge::{Evidence, Judgement, Policy, StepEvidence, judge},
    ledger::Ledger,
};

/// Answers slower than this, from the last byte of the request on, are counted as slow.
pub const SLOW: Duration = Duration::from_millis(500);

/// One step of one trial in this process. Steps of one trial share a ledger; another version, salt or stable model is
/// another trial.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) version: Version,
    pub(crate) salt: Salt,
    pub(crate) weight_bp: u16,
    pub(crate) since: Timestamp,
    /// The trial's counts.
    pub(crate) ledger: Arc<Ledger>,
    /// This step's place in them.
    pub(crate) number: usize,
}

impl Step {
    /// The first step of a trial seen here.
    pub(crate) fn first(
        version: Version,
        salt: Salt,
        weight_bp: u16,
        since: Timestamp,
        window: SignedDuration,
    ) -> Self {
        Self::on(Arc::new(Ledger::new(window)), version, salt, weight_bp, since)
    }

    /// The same trial at another share.
    pub(crate) fn next(&self, weight_bp: u16, since: Timestamp) -> Self {
        Self::on(Arc::clone(&self.ledger), self.version, self.salt, weight_bp, since)
    }

    fn on(ledger: Arc<Ledger>, version: Version, salt: Salt, weight_bp: u16, since: Timestamp) -> Self {
        let number = ledger.begin_step(weight_bp);
        Self { version, salt, weight_bp, since, ledger, number }
    }

    /// Whether this is a step of the trial of `version` under `salt`.
    pub(crate) fn is_of(&self, version: Version, salt: Salt) -> bool {
        (self.version, self.salt) == (version, salt)
    }

    /// Everything counted so far.
    pub(crate) fn evidence(&self, now: Timestamp) -> Evidence {
        let lasted = now.duration_since(self.since).as_secs().max(0) as u64;
        Evidence { steps: self.ledger.read(now), step_secs: lasted }
    }
}

/// The trial as it stands in this process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Experiment {
    /// Rises with every change of versions or weight.
    pub epoch: u64,
    /// The version in production.
    pub stable_version: Version,
    /// The version on trial.
    pub canary_version: Version,
    /// Its share of readers, basis points.
    pub weight_bp: u16,
    /// When this step began here.
    pub since: Timestamp,
    /// What the judge says, and on what.
    #[serde(flatten)]
    pub judgement: Judgement,
}

impl Experiment {
    /// A step's trial as it stands at `now`, under `policy`.
    pub(crate) fn of(step: &Step, epoch: u64, stable_version: Version, policy: &Policy, now: Timestamp) -> Self {
        Self {
            epoch,
            stable_version,
            canary_version: step.version,
            weight_bp: step.weight_bp,
            since: step.since,
            judgement: judge(&step.evidence(now), policy),
        }
    }

    /// Counts of the running step.
    pub fn step(&self) -> StepEvidence {
        self.judgement.numbers.evidence.steps.last().cloned().unwrap_or_default()
    }
}
