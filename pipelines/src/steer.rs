//! Does what the judge says of every trial of a predictor, as often as once a second.
//!
//! Harm is ended here before it is committed anywhere: looking and committing are two tasks, so that a store that is slow
//! or away keeps nobody on a version that does harm.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use jiff::Timestamp;
use models::{ModelName, TenantName, registry::Error};
use serve::{Fleet, Running, Trial, judge::Decision};

use crate::ramp::{Moved, Ramp};

/// Time between two looks at the running trials.
const EVERY: Duration = Duration::from_secs(1);
/// Who signs.
const ACTOR: &str = "bookloop serve";

/// Follows the judge in one process.
#[derive(Debug, Default)]
pub struct Steersman {
    /// Trials that were ended here for harm, until that is in the log.
    harmful: Mutex<Vec<Trial>>,
    /// The version and share that were last said to wait for a person.
    told: Mutex<BTreeMap<(TenantName, ModelName), (u32, u16)>>,
}

impl Steersman {
    /// Looks and commits for as long as the process serves.
    pub async fn steer(&self, running: &Running) {
        let look = async {
            loop {
                tokio::time::sleep(EVERY).await;
                self.end_harmful(running.fleet());
            }
        };
        let commit = async {
            loop {
                tokio::time::sleep(EVERY).await;
                self.commit(running, Timestamp::now()).await;
            }
        };
        tokio::join!(look, commit);
    }

    /// Ends in this process every trial that has done harm, and every A/A that has found something; the next request
    /// already meets nothing of it. Asks no store.
    pub fn end_harmful(&self, fleet: &Fleet) {
        for trial in fleet.trials() {
            if !matches!(trial.experiment.judgement.decision, Decision::RollBack { .. }) {
                continue;
            }
            let service = fleet.service(trial.tenant.as_str(), trial.model.as_str());
            if service.is_some_and(|service| service.end_trial(&trial.experiment)) {
                let (tenant, model) = (&trial.tenant, &trial.model);
                tracing::warn!(%tenant, %model, version = trial.experiment.canary_version.get(), "trial ended here");
                self.harmful().push(trial);
            }
        }
    }

    /// Commits what the judge says of every trial, and what was ended for harm. What cannot be committed now is tried
    /// again the next time.
    pub async fn commit(&self, running: &Running, now: Timestamp) {
        self.end_harmful(running.fleet());
        let harmful = std::mem::take(&mut *self.harmful());
        for trial in harmful {
            if !self.follow(running, &trial, now).await {
                self.harmful().push(trial);
            }
        }
        for trial in running.fleet().trials() {
            self.follow(running, &trial, now).await;
        }
    }

    /// Commits what the judge says of one trial; says whether there is nothing left to commit.
    async fn follow(&self, running: &Running, trial: &Trial, now: Timestamp) -> bool {
        let Trial { tenant, model, experiment } = trial;
        let Some(registry) = running.registry(tenant) else { return true };
        let ramp = Ramp::new(registry, model.clone(), ACTOR);
        let (version, weight_bp) = (experiment.canary_version.get(), experiment.weight_bp);
        let (place, step) = ((tenant.clone(), model.clone()), (version, weight_bp));
        match ramp.follow(experiment, now).await {
            Ok(Moved::Stays { .. }) => {}
            Ok(Moved::AwaitsApproval) if self.told().get(&place) == Some(&step) => {}
            Ok(moved) => {
                tracing::warn!(%tenant, %model, version, weight_bp, ?moved, "trial judged");
                self.told().insert(place, step);
                running.look_now().await;
            }
            Err(error) => {
                let can_be_repeated = matches!(error, Error::Store(_));
                let error = &error as &dyn std::error::Error;
                tracing::error!(%tenant, %model, version, error, "trial not moved");
                return !can_be_repeated;
            }
        }
        true
    }

    fn harmful(&self) -> MutexGuard<'_, Vec<Trial>> {
        self.harmful.lock().expect("no panic happens while this lock is held")
    }

    fn told(&self) -> MutexGuard<'_, BTreeMap<(TenantName, ModelName), (u32, u16)>> {
        self.told.lock().expect("no panic happens while this lock is held")
    }
}
