//! A version's way through its trial: what the judge says becomes a commit, with the numbers it was said on.
//!
//! Upwards one step at a time, and never into production: that takes a person. Downwards at once: a version that did harm
//! meets nobody from the next request on, and stays in quarantine until a person releases it.

use std::sync::Arc;

use jiff::Timestamp;
use models::{
    ModelName, Registry, Version,
    registry::{Canary, Error, Intent},
    split::Salt,
};
use serve::{Experiment, judge::Decision};

/// Moves the trials of one model.
#[derive(Debug, Clone)]
pub struct Ramp {
    registry: Arc<Registry>,
    model: ModelName,
    actor: String,
}

/// What became of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// Its share stays.
    Stays {
        /// What is missing.
        why: String,
    },
    /// It has a greater share, basis points.
    To(u16),
    /// It has passed every step; a person decides.
    AwaitsApproval,
    /// It did harm: nobody meets it, and it is in quarantine.
    RolledBack {
        /// Which harm.
        why: String,
    },
    /// An A/A found something where nothing is, and is over: what it found is a fault of the measuring.
    Alarmed {
        /// What.
        why: String,
    },
    /// An A/A has shown everything that a step must show, found nothing, and is over.
    Clean,
    /// Its time was over: nobody meets it, and it may be tried again.
    Expired {
        /// What was missing.
        why: String,
    },
}

impl Ramp {
    /// A mover that signs its commits as `actor`.
    pub fn new(registry: Arc<Registry>, model: ModelName, actor: impl Into<String>) -> Self {
        Self { registry, model, actor: actor.into() }
    }

    /// Begins a version's trial at a share of readers, under a salt drawn for it alone.
    pub async fn begin(
        &self,
        version: Version,
        weight_bp: u16,
        salt: Salt,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let intent = Intent::new(&self.actor, reason, now);
        self.registry.begin_trial(&self.model, Canary { version, weight_bp, salt }, &intent).await.map(drop)
    }

    /// Does what the judge says of a trial, once, however many processes do so: a trial that has moved on since it was
    /// judged stays as it is, and of two commits of one decision one counts.
    pub async fn follow(&self, experiment: &Experiment, now: Timestamp) -> Result<Moved, Error> {
        let intent = |reason: String| {
            let numbers = serde_json::to_value(experiment).expect("counts and tests are JSON");
            Intent::new(&self.actor, reason, now).given(numbers)
        };
        let (version, judgement) = (experiment.canary_version, &experiment.judgement);
        let next = match &judgement.decision {
            Decision::Hold { why } => return Ok(Moved::Stays { why: why.clone() }),
            Decision::RollBack { .. } | Decision::Advance if experiment.aa => Some(0),
            // Harm is undone whatever the share has become meanwhile.
            Decision::RollBack { why } => {
                let held = self.registry.quarantine(&self.model, version, &intent(format!("rolled back: {why}"))).await;
                return match held {
                    // Another process has found the same.
                    Ok(_) | Err(Error::Conflict { .. }) => Ok(Moved::RolledBack { why: why.clone() }),
                    Err(error) => Err(error),
                };
            }
            Decision::Expire { .. } => Some(0),
            Decision::Advance => judgement.numbers.policy.next_step(experiment.weight_bp),
        };
        let Some(next) = next else { return Ok(Moved::AwaitsApproval) };
        let state = self.registry.refresh().await?;
        let judged = |trial: &Canary| (trial.version, trial.weight_bp) == (version, experiment.weight_bp);
        let Some(trial) = state.model(&self.model)?.canary.filter(judged) else {
            return Ok(moved_on());
        };
        let reason = match &judgement.decision {
            Decision::Expire { why } => format!("expired: {why}"),
            Decision::RollBack { why } => format!("A/A alarm: {why}"),
            _ if experiment.aa => "A/A clean".to_owned(),
            _ => format!("every condition of {} % is shown", experiment.weight_bp / 100),
        };
        match self.registry.step_trial(&self.model, trial, next, &intent(reason.clone())).await {
            Ok(_) => Ok(match &judgement.decision {
                Decision::RollBack { why } => Moved::Alarmed { why: why.clone() },
                Decision::Expire { .. } => Moved::Expired { why: reason },
                _ if experiment.aa => Moved::Clean,
                _ => Moved::To(next),
            }),
            Err(Error::Conflict { .. }) => Ok(moved_on()),
            Err(error) => Err(error),
        }
    }
}

fn moved_on() -> Moved {
    Moved::Stays { why: "it has moved on since it was judged".to_owned() }
}
