//! A running trial: the step it is in, and what its judge says of everything that all its processes saw.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use models::{ModelName, Version, split::Salt, store::key};
use serde::Serialize;

use crate::{
    config::Options,
    exchange::{Exchange, Heard},
    judge::{Decision, Evidence, Judgement, Policy, StepEvidence, judge, judge_aa},
    ledger::Ledger,
    plan::Trial,
};

/// Answers slower than this, from the last byte of the request on, are counted as slow.
pub const SLOW: Duration = Duration::from_millis(500);

/// One step of one trial in this process. Steps of one trial share a ledger; another version, salt or stable model is
/// another trial.
#[derive(Debug)]
pub(crate) struct Step {
    /// The trial's name, the same in every process.
    pub(crate) name: String,
    pub(crate) salt: Salt,
    version: Version,
    pub(crate) weight_bp: u16,
    since: Timestamp,
    /// The trial's counts.
    pub(crate) ledger: Arc<Ledger>,
    /// How they come to be those of every process, where it tells them.
    pub(crate) exchange: Option<Arc<Exchange>>,
    /// This step's place in them: the same in every process, since the log tells the steps.
    pub(crate) number: usize,
}

/// What a trial runs within.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) model: &'a ModelName,
    pub(crate) stable: Version,
    pub(crate) version: Version,
    pub(crate) options: &'a Options,
}

impl Step {
    /// The running step of a trial: `running` itself, the one after it, or the first that is seen here. `None` for a
    /// trial without a step.
    pub(crate) fn of(trial: &Trial, setting: &Setting<'_>, running: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let Setting { model, stable, version, options } = *setting;
        let (first, last) = (trial.steps.first()?, trial.steps.last()?);
        // The name tells trials apart by everything that is compared, and by when that began.
        let name = key::trial_name(version, stable, &trial.salt, first.since);
        let running = running.filter(|step| step.name == name);
        if let Some(running) = running.filter(|step| step.number + 1 == trial.steps.len()) {
            return Some(Arc::clone(running));
        }
        let shared = running.map(|step| (Arc::clone(&step.ledger), step.exchange.clone()));
        let (ledger, exchange) = shared.unwrap_or_else(|| {
            let exchange = options.process.clone().map(|process| Exchange::new(key::trial(model, &name), process));
            (Arc::new(Ledger::new(options.click_window, exchange.is_some())), exchange.map(Arc::new))
        });
        for step in trial.steps.iter().skip(ledger.n_steps()) {
            ledger.begin_step(step.weight_bp);
        }
        let (number, weight_bp, since) = (trial.steps.len() - 1, last.weight_bp, last.since);
        Some(Arc::new(Self { name, salt: trial.salt, version, weight_bp, since, ledger, exchange, number }))
    }

    /// Everything counted so far, by this process and those it has heard.
    fn evidence(&self, now: Timestamp) -> Evidence {
        let lasted = now.duration_since(self.since).as_secs().max(0) as u64;
        Evidence { steps: self.ledger.read(now), interleaved: self.ledger.credits(), step_secs: lasted }
    }
}

/// A trial as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Experiment {
    /// Its name: the folder of its evidence in the store.
    pub trial: String,
    /// Rises with every change of versions or weight.
    pub epoch: u64,
    /// The version in production.
    pub stable_version: Version,
    /// The version on trial.
    pub canary_version: Version,
    /// Whether that is the version in production, tried against itself: it goes nowhere, and what is found is an alarm.
    pub aa: bool,
    /// Its share of readers, basis points.
    pub weight_bp: u16,
    /// When this step began, as the log says.
    pub since: Timestamp,
    /// Processes whose counts these are, this one and those that have left included.
    pub processes: usize,
    /// Whether the counts of the others could be read when they were last looked for. Nothing advances and nothing ends
    /// by time until they can; harm that was seen is harm.
    pub whole: bool,
    /// What the judge says, and on what.
    #[serde(flatten)]
    pub judgement: Judgement,
}

impl Experiment {
    /// A step's trial as it stands at `now`, under `policy`.
    pub(crate) fn of(step: &Step, epoch: u64, stable_version: Version, policy: &Policy, now: Timestamp) -> Self {
        let alone = Heard { processes: 1, whole: true };
        let Heard { processes, whole } = step.exchange.as_ref().map_or(alone, |exchange| exchange.heard());
        let aa = step.version == stable_version;
        let evidence = step.evidence(now);
        let mut judgement = if aa { judge_aa(&evidence, policy) } else { judge(&evidence, policy) };
        if !whole && matches!(judgement.decision, Decision::Advance | Decision::Expire { .. }) {
            judgement.decision = Decision::Hold { why: "what other processes saw cannot be read".to_owned() };
        }
        Self {
            trial: step.name.clone(),
            epoch,
            stable_version,
            canary_version: step.version,
            aa,
            weight_bp: step.weight_bp,
            since: step.since,
            processes,
            whole,
            judgement,
        }
    }

    /// Counts of the running step.
    pub fn step(&self) -> StepEvidence {
        self.judgement.numbers.evidence.steps.last().cloned().unwrap_or_default()
    }
}
