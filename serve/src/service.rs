//! One model's state, and the path every recommendation takes whichever door it came through.
//!
//! Admission is the door's; here the snapshot is taken once, each reader is answered on their arm, and what was answered
//! is remembered and offered to the stream.

use std::{
    cell::RefCell,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use models::{
    Artifact, BookId, ModelName, ReaderId, Scratch, TenantName, Version,
    event::{Arm, INTERLEAVE, ModelRef, Prediction, SCHEMA_VERSION},
    split,
};

use crate::{
    admit::Admission,
    call::{Answered, Call, Trace},
    canary::Experiment,
    config::{MAX_LISTED, Options},
    current::{Assignment, Current, Resident, Snapshot},
    engine::{self, Answer, Ask, Fallback},
    error::{Refusal, cut},
    event_log::EventLog,
    health::{Health, State},
    ledger::Exposure,
    metrics::{ModelMetrics, ModelReadings, Scored},
    outcomes::{Answers, Shown},
    process::Process,
    shadow::Compared,
    statistics::{Done, Statistics},
};

/// Readers answered between two looks at the deadline and two turns of the run queue.
const CHUNK: usize = 16;

thread_local! {
    /// Scoring buffers of this worker.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// One model of one tenant: what belongs to it, and the path to its answers. Shared by the doors and its watcher.
#[derive(Debug)]
pub struct Service {
    pub(crate) process: Arc<Process>,
    pub(crate) tenant: TenantName,
    pub(crate) model: ModelName,
    pub(crate) current: Current,
    pub(crate) admission: Admission,
    pub(crate) metrics: ModelMetrics,
    pub(crate) statistics: Statistics,
    pub(crate) answers: Answers,
    pub(crate) health: Health,
    /// How the next version compares, where it scores requests too.
    pub(crate) compared: Arc<Compared>,
    /// The last trial that was ended here before the registry said so. Whoever puts another snapshot in place holds it.
    ended: Mutex<Option<Experiment>>,
    /// Bytes of its files that are loaded.
    pub(crate) bytes: AtomicU64,
    /// When it was last asked for, by [`Process::age_ms`].
    used_ms: AtomicU64,
}

impl Service {
    /// A model's place in a process, empty. `admission` is its tenant's.
    pub(crate) fn new(process: &Arc<Process>, tenant: &TenantName, model: &ModelName, admission: Admission) -> Self {
        let metrics = process.metrics.of(tenant, model);
        Self {
            current: Current::default(),
            admission,
            compared: Arc::new(Compared::new(metrics.shadow())),
            metrics,
            statistics: Statistics::default(),
            answers: Answers::new(process.options.remember),
            health: Health::new(),
            ended: Mutex::default(),
            bytes: AtomicU64::new(0),
            used_ms: AtomicU64::new(0),
            process: Arc::clone(process),
            tenant: tenant.clone(),
            model: model.clone(),
        }
    }

    /// Settings of the process.
    pub(crate) fn options(&self) -> &Options {
        &self.process.options
    }

    /// Somebody asks for the model.
    pub(crate) fn touch(&self) {
        self.used_ms.store(self.process.age_ms(), Ordering::Relaxed);
    }

    /// When somebody last did, milliseconds since the process began.
    pub(crate) fn used_ms(&self) -> u64 {
        self.used_ms.load(Ordering::Relaxed)
    }

    /// Serves one fixed model as production, without a registry.
    pub fn install(&self, version: Version, artifact: Arc<Artifact>) {
        let stable = Resident { version, arm: Arm::Stable, digest: String::new(), artifact };
        let epoch = self.current.get().map_or(1, |old| old.epoch + 1);
        self.publish(Snapshot { epoch, ..Snapshot::fixed(stable) });
    }

    /// Makes a snapshot live; returns the one before.
    pub(crate) fn publish(&self, snapshot: Snapshot) -> Option<Arc<Snapshot>> {
        self.metrics.swapped(&snapshot);
        tracing::info!(
            tenant = %self.tenant,
            model = %self.model,
            epoch = snapshot.epoch,
            production = snapshot.stable.version.get(),
            staging = snapshot.canary.as_ref().map(|canary| canary.version.get()),
            weight_bp = snapshot.weight_bp(),
            "versions swapped"
        );
        let before = self.current.swap(snapshot);
        self.process.life.model_is_live(&self.tenant, &self.model);
        before
    }

    /// Lets the live snapshot go; requests that hold it go on.
    pub(crate) fn withdraw(&self) -> Option<Arc<Snapshot>> {
        let before = self.current.take()?;
        self.metrics.let_go();
        tracing::info!(tenant = %self.tenant, model = %self.model, epoch = before.epoch, "versions let go");
        Some(before)
    }

    /// The live snapshot, if a model is ready.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.current.get()
    }

    /// What the model is doing.
    pub fn state(&self) -> State {
        self.health.state(self.current.is_live(), self.process.life.is_leaving())
    }

    /// What keeps the model from answering, in words fit for a client.
    pub(crate) fn why(&self) -> String {
        self.health.why().unwrap_or_else(|| self.state().as_str().to_owned())
    }

    /// The last trial that was ended here before the registry said so, and the right to put a snapshot in place.
    pub(crate) fn turn(&self) -> MutexGuard<'_, Option<Experiment>> {
        self.ended.lock().expect("no panic happens while this lock is held")
    }

    /// Ends a trial in this process: from the next request on nobody here meets its version, whatever the registry says
    /// and whether it answers. `experiment` is how it stood; says whether it was running.
    pub fn end_trial(&self, experiment: &Experiment) -> bool {
        let mut ended = self.turn();
        let Some(live) = self.current.get() else { return false };
        if live.step.as_ref().is_none_or(|step| step.name != experiment.trial) {
            return false;
        }
        *ended = Some(experiment.clone());
        self.metrics.trial_ended(if live.is_aa() { "aa-alarm" } else { "harm" });
        let (stable, canary) = (live.stable.clone(), live.canary.clone());
        // What it replaces holds the same versions, so nothing is freed here.
        drop(self.publish(Snapshot { epoch: live.epoch + 1, stable, canary, step: None }));
        true
    }

    /// The last trial that was ended here before the registry said so, as it stood then.
    pub fn ended(&self) -> Option<Experiment> {
        self.turn().clone()
    }

    /// The running trial as it stands, if one runs.
    pub fn experiment(&self) -> Option<Experiment> {
        self.current.get()?.experiment(&self.options().policy, self.options().clock.now())
    }

    /// The way to the stream.
    pub fn events(&self) -> &EventLog {
        &self.process.events
    }

    /// Takes down for the metrics what is only read when somebody asks.
    pub(crate) fn read_metrics(&self) {
        self.metrics.read(&ModelReadings {
            live: self.current.get().map(|live| (live.weight_bp(), live.epoch)),
            preference: self.preference(),
            is_ready: self.state().is_ready(),
            staleness: self.health.staleness(),
            bytes: self.bytes.load(Ordering::Relaxed),
        });
    }

    /// The refusal that says that nothing is live.
    pub(crate) fn not_ready(&self) -> Refusal {
        Refusal::NotReady { model: self.model.clone(), why: self.why() }
    }

    /// A version as written in a path, if it is resident.
    pub(crate) fn resident_version(&self, snapshot: &Snapshot, text: &str) -> Result<Version, Refusal> {
        let asked = text.parse::<Version>().ok().filter(|version| snapshot.pinned(*version).is_some());
        asked.ok_or_else(|| Refusal::UnknownVersion {
            found: cut(text),
            model: self.model.clone(),
            resident: snapshot.residents().map(|resident| resident.version).collect(),
        })
    }

    /// Answers every question, all from one snapshot, or none. `version` pins one as written in a path.
    pub(crate) async fn recommend(
        &self,
        call: &Call,
        asks: Vec<Ask>,
        version: Option<&str>,
        trace: &mut Trace,
    ) -> Result<Answered, Refusal> {
        let understood = Instant::now();
        let listed: usize = asks.iter().map(|ask| ask.k).sum();
        if listed > MAX_LISTED {
            return Err(Refusal::bad(format!("expected at most {MAX_LISTED} books in all lists, found {listed}")));
        }
        // What came first holds where the model was let go meanwhile.
        let snapshot = self.current.get().or(trace.snapshot.take()).ok_or_else(|| self.not_ready())?;
        let pinned = match version {
            Some(text) => snapshot.pinned(self.resident_version(&snapshot, text)?),
            None => None,
        };
        trace.snapshot = Some(Arc::clone(&snapshot));
        let popular_only = self.process.popular_only();
        let shadow =
            self.process.shadow.as_ref().filter(|shadow| {
                pinned.is_none() && !popular_only && shadow.wants(self.tenant.as_str(), &call.request_id)
            });
        let mut rows = Vec::with_capacity(asks.len());
        for (place, ask) in asks.into_iter().enumerate() {
            if place > 0 && place % CHUNK == 0 {
                tokio::task::yield_now().await;
            }
            if place % CHUNK == 0 && Instant::now() >= call.deadline {
                return Err(Refusal::Deadline);
            }
            let interleaves = pinned.is_none()
                && !popular_only
                && snapshot.interleaves(self.tenant.as_str(), ask.reader.as_ref(), self.options().interleave_bp);
            let assigned = match pinned {
                _ if popular_only || interleaves => Assignment { arm: Arm::Stable, counted: false },
                Some(pinned) => pinned,
                None => snapshot.assign(self.tenant.as_str(), ask.reader.as_ref()),
            };
            let started = Instant::now();
            let answer = SCRATCH.with_borrow_mut(|scratch| {
                if popular_only {
                    engine::popular(&snapshot, &ask, scratch)
                } else if interleaves {
                    self.interleaved(call, &snapshot, (place, &ask), scratch)
                } else {
                    engine::answer(&snapshot, assigned, &ask, scratch)
                }
            });
            let score = started.elapsed();
            let used = if interleaves { &mut trace.interleaved } else { trace.arm(assigned.arm) };
            used.readers += 1;
            used.score += score;
            let answered = answer.as_ref().ok();
            let fell =
                |it: &Answer| assigned.arm == Arm::Canary && it.fallback.is_some_and(Fallback::is_canary_failure);
            let failed = answered.is_none_or(fell);
            used.failed |= failed;
            if assigned.counted
                && let (Some(salt), Some(reader)) = (snapshot.salt(), &ask.reader)
            {
                trace.exposed.push(Exposure {
                    unit: split::unit(&salt, self.tenant.as_str(), reader.as_str()),
                    arm: assigned.arm,
                    failed,
                    short: answered.is_some_and(|it| it.books.len() < ask.k),
                    score,
                });
            }
            let answer = answer.map_err(|failure| {
                tracing::error!(
                    version = snapshot.resident(assigned.arm).version.get(),
                    ?failure,
                    "model cannot score"
                );
                Refusal::Bug
            })?;
            if let Some(shadow) = shadow {
                shadow.offer(&self.compared, &snapshot, &ask, &answer, score);
            }
            rows.push((ask, answer));
        }
        trace.scoring = Some((understood, Instant::now()));
        let answered = Answered { snapshot, rows };
        self.tell(call, &answered);
        Ok(answered)
    }

    /// Remembers and records what was answered.
    fn tell(&self, call: &Call, answered: &Answered) {
        let at = self.options().clock.now();
        let mut shown = Vec::with_capacity(answered.rows.len());
        let drafted = self.drafted(answered, at);
        for ((index, (ask, answer)), teams) in answered.rows.iter().enumerate().zip(drafted) {
            let assigned = answered.snapshot.resident(answer.assigned.arm);
            if let Some(reason) = answer.fallback {
                let blamed = if reason.is_canary_failure() { Arm::Canary } else { assigned.arm };
                let blamed = answered.snapshot.resident(blamed);
                self.metrics.fell_back(blamed.version, blamed.arm, reason.as_str());
            }
            if answer.books.is_empty() {
                self.metrics.empty_list(assigned.version, assigned.arm);
            }
            let record = self.record(call, answered, ask, answer, (index, at));
            shown.push(Shown {
                reader: record.user_id.clone(),
                model: record.model.clone().expect("records of our own name their model"),
                books: record.predictions.clone(),
                teams,
            });
            self.process.events.prediction(record);
        }
        if !shown.is_empty() {
            self.answers.remember(&call.request_id, at, shown);
        }
    }

    fn record(
        &self,
        call: &Call,
        answered: &Answered,
        ask: &Ask,
        answer: &Answer,
        (index, at): (usize, Timestamp),
    ) -> Prediction {
        let served = answered.served(answer);
        let predictions: Vec<BookId> = answered.listed(answer).map(|(book, _)| book.to_id()).collect();
        let draft = answer.draft.as_deref();
        // Who has no name is a session of this one request.
        let session = || call.request_id.parse::<ReaderId>().expect("request ids are 1 to 128 visible characters");
        Prediction {
            tenant: self.tenant.clone(),
            user_id: ask.reader.clone().unwrap_or_else(session),
            features: ask.features.clone(),
            predictions,
            at,
            event_id: Some(format!("{}/{index}", call.request_id)),
            schema_version: SCHEMA_VERSION,
            request_id: Some(call.request_id.clone()),
            traceparent: call.traceparent.clone(),
            model: Some(ModelRef {
                name: self.model.to_string(),
                version: served.version,
                alias: answered.snapshot.alias(served.arm).into(),
                arm: served.arm,
            }),
            region: self.options().region.clone(),
            history: ask.history.iter().chain(&ask.book).cloned().collect(),
            scores: answer.books.iter().filter(|_| draft.is_none()).map(|scored| scored.score).collect(),
            reader_known: answer.reader_known,
            list_popularity: answer.list_popularity,
            fallback: answer.fallback.map(|reason| reason.as_str().to_owned()),
            mode: answer.interleaved.then(|| INTERLEAVE.to_owned()),
            teams: draft.unwrap_or_default().iter().map(|place| place.team).collect(),
        }
    }

    /// Counts a finished inference request on every arm it touched, or as refused.
    pub(crate) fn finished(&self, trace: &Trace, code: u16, kind: &'static str, total: Duration) {
        let Some(snapshot) = trace.snapshot.as_ref().filter(|_| trace.parts().next().is_some()) else {
            if code >= 400 {
                self.metrics.refused(trace.protocol, code, kind);
            }
            return;
        };
        for (word, arm, used) in trace.parts() {
            let version = snapshot.resident(arm).version;
            self.metrics.scored(Scored { version, arm: word, total, score: used.score }, trace.protocol, code);
            let at_ms = u64::try_from(self.options().clock.now().as_millisecond()).unwrap_or(0);
            let (readers, is_success) = (used.readers.into(), code < 400 && !used.failed);
            self.statistics.count(version, &Done { readers, is_success, total, score: used.score, at_ms });
        }
        if let Some(step) = snapshot.step.as_ref().filter(|_| !trace.exposed.is_empty()) {
            step.ledger.exposed(step.number, &trace.exposed, code >= 500, total, self.options().clock.now());
        }
    }
}
