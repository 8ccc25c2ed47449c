//! What moves a live pointer: a look at the registry, new versions loaded and rehearsed beside the old ones, then one
//! swap.
//!
//! A failed load, or a registry that does not answer, leaves what serves in place. What was replaced is freed on a
//! background thread once no request holds it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use models::{
    Artifact, Registry, Scratch, Version,
    event::Arm,
    manifest::{MODEL_FILE, Manifest},
    registry::{self, ModelState},
};

use crate::{
    budget::{Held, NoRoom},
    canary::{Experiment, Setting, Step},
    current::{Resident, Snapshot},
    engine::{self, Ask, Failure},
    fleet::{Fleet, Shelf},
    plan::{Plan, plan},
    service::Service,
};

/// Readers of a new model that rehearse it, besides an unknown one.
const REHEARSALS: usize = 200;
/// Looks at the registry that are skipped at most before a failed load is tried again.
const MAX_SKIPS: u32 = 64;
/// What a model that nobody has asked for says of itself.
pub(crate) const NOT_ASKED_FOR: &str = "it is loaded when it is asked for";

/// Why a version did not become resident.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("cannot be fetched, or is not what was registered")]
    Registry(#[source] registry::Error),
    #[error("fails its rehearsal: {0:?}")]
    Rehearsal(Failure),
    #[error("has no room: {0}")]
    NoRoom(NoRoom),
}

/// A version that failed to load, and how many looks to wait before the next try.
#[derive(Debug, Clone, Copy)]
struct Setback {
    attempts: u32,
    skips: u32,
}

/// A version in memory.
#[derive(Debug)]
struct Loaded {
    digest: String,
    artifact: Arc<Artifact>,
    held: Held,
}

/// What the next snapshot must know of the one before.
#[derive(Debug)]
struct Before {
    epoch: u64,
    stable: Version,
    canary: Option<Version>,
    step: Option<Arc<Step>>,
}

impl Before {
    fn of(snapshot: &Snapshot) -> Self {
        let canary = snapshot.canary.as_ref().map(|canary| canary.version);
        Self { epoch: snapshot.epoch, stable: snapshot.stable.version, canary, step: snapshot.step.clone() }
    }
}

/// Keeps one model's live versions at what its registry says.
#[derive(Debug)]
pub struct Watcher {
    service: Arc<Service>,
    shelf: Arc<Shelf>,
    /// Who makes room for what is loaded.
    fleet: Weak<Fleet>,
    resident: BTreeMap<Version, Loaded>,
    setbacks: BTreeMap<Version, Setback>,
    retired: Vec<Arc<Snapshot>>,
    /// Versions that left, until nobody holds them.
    leaving: Vec<Loaded>,
    /// The last snapshot, while none is live: a trial that is let go with its model is the same trial afterwards.
    parted: Option<Before>,
}

impl Watcher {
    /// A watcher that has not looked yet, for a service that stands alone.
    pub fn new(service: Arc<Service>, registry: Arc<Registry>) -> Self {
        Self::within(Weak::new(), service, Shelf::new(registry))
    }

    /// The same for one model of a fleet.
    pub(crate) fn within(fleet: Weak<Fleet>, service: Arc<Service>, shelf: Arc<Shelf>) -> Self {
        let (resident, setbacks) = (BTreeMap::new(), BTreeMap::new());
        let (retired, leaving) = (Vec::new(), Vec::new());
        Self { service, shelf, fleet, resident, setbacks, retired, leaving, parted: None }
    }

    /// One look: folds what is new in the registry and brings memory to it.
    pub async fn look(&mut self) {
        self.look_within(Duration::ZERO).await;
    }

    /// The same, where what the registry said not longer ago than `at_most` is new enough.
    pub(crate) async fn look_within(&mut self, at_most: Duration) {
        let is_live = self.service.current.is_live();
        if !is_live {
            self.service.health.loading();
            if self.setbacks.is_empty() {
                self.service.health.trouble(None);
            }
        }
        match self.shelf.state(at_most).await {
            Ok(state) => {
                if self.service.health.registry_answered(true) {
                    tracing::info!(tenant = %self.service.tenant, "registry answers again");
                }
                let model = state.models.get(&self.service.model);
                if model.is_none_or(|model| plan(model).stable.is_none()) && !is_live {
                    self.service.health.trouble(Some("its registry has no version in production".into()));
                }
                if let Some(model) = model {
                    self.follow(model).await;
                }
            }
            Err(error) => {
                if !is_live {
                    self.service.health.trouble(Some("its registry does not answer".into()));
                }
                if self.service.health.registry_answered(false) {
                    let error = &*error as &dyn std::error::Error;
                    tracing::error!(tenant = %self.service.tenant, error, "registry does not answer; what is live stays");
                }
            }
        }
        self.free_retired().await;
    }

    /// Whether a version failed to load and its time to be tried again has not come.
    pub(crate) fn is_set_back(&self) -> bool {
        self.setbacks.values().any(|setback| setback.skips > 0)
    }

    /// Takes every version out of memory; requests that hold one go on.
    pub(crate) async fn let_go(&mut self, why: &str) {
        if let Some(live) = self.service.withdraw() {
            self.parted = Some(Before::of(&live));
            self.retired.push(live);
        }
        self.leaving.extend(std::mem::take(&mut self.resident).into_values());
        self.setbacks.clear();
        self.service.health.loads_failed(false);
        self.service.health.trouble(Some(why.to_owned()));
        self.free_retired().await;
    }

    async fn follow(&mut self, model: &ModelState) {
        let plan = plan(model);
        let wanted: Vec<Version> = plan.stable.into_iter().chain(plan.staging).collect();
        self.setbacks.retain(|version, _| wanted.contains(version));
        for version in &wanted {
            self.bring(*version, &model.versions[version].manifest_sha256).await;
        }
        let whole = wanted.iter().all(|version| self.resident.contains_key(version));
        self.service.health.loads_failed(!whole);
        if !self.put(plan) {
            return;
        }
        let live = self.service.current.get();
        let is_live =
            |version: &Version| live.iter().any(|live| live.residents().any(|resident| resident.version == *version));
        let gone = self.resident.extract_if(.., |version, _| !is_live(version));
        self.leaving.extend(gone.map(|(_, loaded)| loaded));
    }

    /// Puts the snapshot that follows from the plan in place; says whether there was one.
    fn put(&mut self, plan: Plan) -> bool {
        let service = Arc::clone(&self.service);
        // Nobody ends a trial between the look at what is live and the swap.
        let ended = service.turn();
        let old = service.current.get();
        let Some(snapshot) = self.next_snapshot(plan, old.as_deref(), ended.as_ref()) else { return false };
        self.parted = None;
        service.health.trouble(None);
        self.retired.extend(service.publish(snapshot));
        true
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
        // Whatever of our own can be freed makes room.
        self.free_retired().await;
        match self.load(version).await {
            Ok((artifact, held)) => {
                self.setbacks.remove(&version);
                self.resident.insert(version, Loaded { digest: digest.to_owned(), artifact, held });
            }
            Err(error) => {
                let attempts = self.setbacks.get(&version).map_or(1, |setback| setback.attempts + 1);
                let skips = 1_u32.checked_shl(attempts - 1).unwrap_or(MAX_SKIPS).min(MAX_SKIPS);
                // Room may be there a moment later.
                if !matches!(error, LoadError::NoRoom(NoRoom::InUse)) {
                    self.setbacks.insert(version, Setback { attempts, skips });
                }
                self.service.metrics.load_failed();
                self.service.health.trouble(Some(format!("version {version} {error}")));
                let (tenant, model, version) = (&self.service.tenant, &self.service.model, version.get());
                let error = &error as &dyn std::error::Error;
                tracing::error!(%tenant, %model, version, attempts, error, "load failed");
            }
        }
        self.count_bytes();
    }

    async fn load(&self, version: Version) -> Result<(Arc<Artifact>, Held), LoadError> {
        let (service, registry) = (&self.service, self.shelf.registry());
        let process = &service.process;
        let mut held = None;
        if let (Some(_), Some(fleet)) = (process.budget.limit(), self.fleet.upgrade()) {
            let manifest = registry.manifest(&service.model, version).await.map_err(LoadError::Registry)?;
            held = Some(fleet.make_room(file_bytes(&manifest), service).await.map_err(LoadError::NoRoom)?);
        }
        let _turn = process.loads.acquire().await.expect("nobody closes it");
        let loaded = registry.load(&service.model, version).await.map_err(LoadError::Registry)?;
        let held = held.or_else(|| process.budget.take(file_bytes(&loaded.manifest)));
        let held = held.ok_or(LoadError::NoRoom(NoRoom::InUse))?;
        if !service.current.is_live() {
            service.health.warming();
        }
        let artifact = Arc::clone(&loaded.artifact);
        let live = service.current.get();
        let rehearsed = tokio::task::spawn_blocking(move || {
            if let Some(live) = live {
                artifact.prepare_as(&live.stable.artifact);
            }
            rehearse(&artifact)
        });
        let rehearsed = rehearsed.await;
        rehearsed.expect("a rehearsal catches panics").map_err(LoadError::Rehearsal)?;
        Ok((loaded.artifact, held))
    }

    /// The snapshot that follows from the plan and what is resident; `None` when nothing changes or nothing can serve.
    ///
    /// `ended` is a trial that was ended here: it does not run again, whatever the plan says.
    fn next_snapshot(&self, plan: Plan, old: Option<&Snapshot>, ended: Option<&Experiment>) -> Option<Snapshot> {
        let as_arm = |version: Version, arm| {
            let loaded = self.resident.get(&version)?;
            Some(Resident { version, arm, digest: loaded.digest.clone(), artifact: Arc::clone(&loaded.artifact) })
        };
        // Without a loadable production version the last one keeps answering.
        let stable = plan
            .stable
            .and_then(|version| as_arm(version, Arm::Stable))
            .or_else(|| old.map(|old| old.stable.clone()))?;
        let trial = plan.trial.filter(|trial| !trial.is_aa || plan.stable == Some(stable.version));
        let twin = trial.as_ref().filter(|trial| trial.is_aa).map(|_| stable.version);
        let staging = plan.staging.filter(|version| *version != stable.version);
        let canary = twin.or(staging).and_then(|version| as_arm(version, Arm::Canary));
        let live = old.map(Before::of);
        let before = live.as_ref().or(self.parted.as_ref());
        let step = trial.zip(canary.as_ref()).and_then(|(trial, canary)| {
            let setting = Setting {
                model: &self.service.model,
                stable: stable.version,
                version: canary.version,
                options: self.service.options(),
            };
            let running = before.and_then(|before| before.step.as_ref());
            Step::of(&trial, &setting, running).filter(|step| ended.is_none_or(|ended| ended.trial != step.name))
        });
        let unchanged = live.as_ref().is_some_and(|live| {
            let same_step = match (&live.step, &step) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (None, None) => true,
                _ => false,
            };
            same_step && (live.stable, live.canary) == (stable.version, canary.as_ref().map(|canary| canary.version))
        });
        let epoch = before.map_or(1, |before| before.epoch + 1);
        (!unchanged).then_some(Snapshot { epoch, stable, canary, step })
    }

    /// Frees what was replaced and no request holds, off the runtime's workers: a model is hundreds of megabytes.
    pub(crate) async fn free_retired(&mut self) {
        let snapshots: Vec<_> = self.retired.extract_if(.., |snapshot| Arc::strong_count(snapshot) == 1).collect();
        drop(snapshots);
        let free: Vec<Loaded> =
            self.leaving.extract_if(.., |loaded| Arc::strong_count(&loaded.artifact) == 1).collect();
        if !free.is_empty() {
            tokio::task::spawn_blocking(move || drop(free)).await.expect("freeing memory does not panic");
        }
        self.count_bytes();
    }

    fn count_bytes(&self) {
        let bytes = self.resident.values().chain(&self.leaving).map(|loaded| loaded.held.bytes()).sum();
        self.service.bytes.store(bytes, Ordering::Relaxed);
    }
}

/// What loading a version takes.
pub(crate) fn file_bytes(manifest: &Manifest) -> u64 {
    manifest.file(MODEL_FILE).map_or(0, |file| file.bytes)
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
