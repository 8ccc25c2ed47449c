//! What moves the live pointer: a look at the registry every interval, new versions loaded and rehearsed beside the old
//! ones, then one swap.
//!
//! A failed load, or a registry that does not answer, leaves what serves in place. What was replaced is freed on a
//! background thread once no request holds it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use models::{
    Artifact, Registry, Scratch, Version,
    event::Arm,
    registry::{self, ModelState},
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    canary::Step,
    current::{Resident, Snapshot},
    engine::{self, Ask, Failure},
    plan::{Plan, plan},
    service::Service,
};

/// Readers of a new model that rehearse it, besides an unknown one.
const REHEARSALS: usize = 200;
/// Looks at the registry that are skipped at most before a failed load is tried again.
const MAX_SKIPS: u32 = 64;

/// Why a version did not become resident.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("cannot be fetched, or is not what was registered")]
    Registry(#[source] registry::Error),
    #[error("fails its rehearsal: {0:?}")]
    Rehearsal(Failure),
}

/// A version that failed to load, and how many looks to wait before the next try.
#[derive(Debug, Clone, Copy)]
struct Setback {
    attempts: u32,
    skips: u32,
}

/// Keeps one predictor's live versions at what its registry says.
#[derive(Debug)]
pub struct Watcher {
    service: Arc<Service>,
    registry: Arc<Registry>,
    resident: BTreeMap<Version, (String, Arc<Artifact>)>,
    setbacks: BTreeMap<Version, Setback>,
    retired: Vec<Arc<Snapshot>>,
}

impl Watcher {
    /// A watcher that has not looked yet.
    pub fn new(service: Arc<Service>, registry: Arc<Registry>) -> Self {
        Self { service, registry, resident: BTreeMap::new(), setbacks: BTreeMap::new(), retired: Vec::new() }
    }

    /// Looks at once, then every interval and whenever asked, until told to stop. Askers are told when their look is done.
    pub async fn run(mut self, mut looks: mpsc::Receiver<oneshot::Sender<()>>, mut stop: watch::Receiver<bool>) {
        let mut interval = tokio::time::interval(self.service.options.poll_interval);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let asker = tokio::select! {
                _ = interval.tick() => None,
                Some(asker) = looks.recv() => Some(asker),
                _ = stop.changed() => return,
            };
            self.look().await;
            if let Some(asker) = asker {
                // An asker that left does not need to know.
                let _left = asker.send(());
            }
        }
    }

    /// One look: folds what is new in the registry and brings memory to it.
    pub async fn look(&mut self) {
        if self.service.current.get().is_none() {
            self.service.health.loading();
        }
        match self.registry.refresh().await {
            Ok(state) => {
                if self.service.health.registry_answered(true) {
                    tracing::info!("registry answers again");
                }
                if let Some(model) = state.models.get(&self.service.options.model) {
                    self.follow(model).await;
                }
            }
            Err(error) => {
                if self.service.health.registry_answered(false) {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "registry does not answer; what is live stays");
                }
            }
        }
        self.free_retired();
    }

    async fn follow(&mut self, model: &ModelState) {
        let plan = plan(model);
        let wanted: Vec<Version> = plan.stable.into_iter().chain(plan.staging).collect();
        self.setbacks.retain(|version, _| wanted.contains(version));
        for version in wanted {
            self.bring(version, &model.versions[&version].manifest_sha256).await;
        }
        self.service.health.loads_failed(!self.setbacks.is_empty());
        let old = self.service.current.get();
        let Some(snapshot) = self.next_snapshot(plan, old.as_deref()) else { return };
        self.retired.extend(self.service.publish(snapshot));
        let live = self.service.current.get();
        self.resident.retain(|version, _| live.iter().any(|live| live.residents().any(|r| r.version == *version)));
    }

    /// Makes a version resident, unless it is, or failed too recently.
    async fn bring(&mut self, version: Version, digest: &str) {
        if self.resident.contains_key(&version) {
            return;
        }
        if let Some(setback) = self.setbacks.get_mut(&version)
            && setback.skips > 0
        {
            setback.skips -= 1;
            return;
        }
        match self.load(version).await {
            Ok(artifact) => {
                self.setbacks.remove(&version);
                self.resident.insert(version, (digest.to_owned(), artifact));
            }
            Err(error) => {
                let attempts = self.setbacks.get(&version).map_or(1, |setback| setback.attempts + 1);
                let skips = 1_u32.checked_shl(attempts - 1).unwrap_or(MAX_SKIPS).min(MAX_SKIPS);
                self.setbacks.insert(version, Setback { attempts, skips });
                self.service.metrics.load_failed();
                let error = &error as &dyn std::error::Error;
                tracing::error!(model = %self.service.options.model, version = version.get(), attempts, error, "load failed");
            }
        }
    }

    async fn load(&self, version: Version) -> Result<Arc<Artifact>, LoadError> {
        let loaded = self.registry.load(&self.service.options.model, version).await.map_err(LoadError::Registry)?;
        if self.service.current.get().is_none() {
            self.service.health.warming();
        }
        let artifact = Arc::clone(&loaded.artifact);
        let live = self.service.current.get();
        let rehearsed = tokio::task::spawn_blocking(move || {
            if let Some(live) = live {
                artifact.prepare_as(&live.stable.artifact);
            }
            rehearse(&artifact)
        });
        let rehearsed = rehearsed.await;
        rehearsed.expect("a rehearsal catches panics").map_err(LoadError::Rehearsal)?;
        Ok(loaded.artifact)
    }

    /// The snapshot that follows from the plan and what is resident; `None` when nothing changes or nothing can serve.
    fn next_snapshot(&self, plan: Plan, old: Option<&Snapshot>) -> Option<Snapshot> {
        let as_arm = |version: Version, arm| {
            let (digest, artifact) = self.resident.get(&version)?;
            Some(Resident { version, arm, digest: digest.clone(), artifact: Arc::clone(artifact) })
        };
        // Without a loadable production version the last one keeps answering.
        let stable = plan
            .stable
            .and_then(|version| as_arm(version, Arm::Stable))
            .or_else(|| old.map(|old| old.stable.clone()))?;
        let canary =
            plan.staging.filter(|version| *version != stable.version).and_then(|version| as_arm(version, Arm::Canary));
        let step = plan.trial.zip(canary.as_ref()).map(|(trial, canary)| {
            let (version, salt, weight_bp) = (canary.version, trial.salt, trial.weight_bp);
            // Counting starts again also when stable moved: its side of the comparison is another model then.
            let running = old.filter(|old| old.stable.version == stable.version).and_then(|old| old.step.as_ref());
            let (now, window) = (self.service.options.clock.now(), self.service.options.click_window);
            match running.filter(|step| step.is_of(version, salt)) {
                Some(step) if step.weight_bp == weight_bp => Arc::clone(step),
                Some(step) => Arc::new(step.next(weight_bp, now)),
                None => Arc::new(Step::first(version, salt, weight_bp, now, window)),
            }
        });
        let versions =
            |stable: &Resident, canary: &Option<Resident>| (stable.version, canary.as_ref().map(|c| c.version));
        let unchanged = old.is_some_and(|old| {
            let same_step = match (&old.step, &step) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (None, None) => true,
                _ => false,
            };
            same_step && versions(&old.stable, &old.canary) == versions(&stable, &canary)
        });
        (!unchanged).then(|| Snapshot { epoch: old.map_or(1, |old| old.epoch + 1), stable, canary, step })
    }

    /// Frees replaced snapshots that no request holds, off the runtime's workers: a model is hundreds of megabytes.
    fn free_retired(&mut self) {
        let (free, held): (Vec<_>, Vec<_>) =
            self.retired.drain(..).partition(|snapshot| Arc::strong_count(snapshot) == 1);
        self.retired = held;
        if !free.is_empty() {
            tokio::task::spawn_blocking(move || drop(free));
        }
    }
}

/// Real recommendations before the first reader's: an unknown reader, then known ones spread over the model's readers.
///
/// Touches every page that scoring needs and fails on a model that cannot score.
pub(crate) fn rehearse(artifact: &Artifact) -> Result<(), Failure> {
    let mut scratch = Scratch::default();
    let n_readers = artifact.readers().len();
    let every = n_readers.div_ceil(REHEARSALS).max(1);
    let known = (0..n_readers).step_by(every).map(|place| Some(artifact.readers().id(place)));
    for reader in std::iter::once(None).chain(known) {
        let ask = Ask { reader, k: 10, ..Ask::default() };
        engine::list(artifact, &ask, &mut scratch)?;
    }
    Ok(())
}

/// Asks a running watcher to look now and waits until it has.
pub(crate) async fn look_now(looks: &mpsc::Sender<oneshot::Sender<()>>) {
    let (asker, done) = oneshot::channel();
    if looks.send(asker).await.is_ok() {
        // A watcher that stopped meanwhile looks no more; there is nothing to wait for.
        let _stopped = tokio::time::timeout(Duration::from_mins(1), done).await;
    }
}
