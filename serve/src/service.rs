//! One predictor's state, and the path every recommendation takes whichever door it came through.
//!
//! Admission is the door's; here the snapshot is taken once, each reader is answered on their arm, and what was answered
//! is remembered and offered to the stream.

use std::{
    cell::RefCell,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use models::{
    Artifact, BookId, ReaderId, Scratch, Version,
    event::{Arm, ModelRef, Outcome, OutcomeKind, Prediction, SCHEMA_VERSION},
    split,
    stream::Producer,
};

use crate::{
    admit::Admission,
    canary::Experiment,
    config::{MAX_LISTED, Options},
    current::{Assignment, Current, Resident, Snapshot},
    engine::{self, Answer, Ask, Fallback},
    error::{Refusal, cut},
    event_log::EventLog,
    health::{Health, State},
    ledger::Exposure,
    metrics::{Metrics, Protocol, Readings, Scored},
    outcomes::{Answers, Shown},
    shadow::Shadow,
    statistics::{Done, Statistics},
};

/// Readers answered between two looks at the deadline and two turns of the run queue.
const CHUNK: usize = 16;

thread_local! {
    /// Scoring buffers of this worker.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// One predictor. Shared by both doors, the watcher and the server.
#[derive(Debug)]
pub struct Service {
    pub(crate) options: Options,
    pub(crate) current: Current,
    pub(crate) admission: Admission,
    pub(crate) metrics: Metrics,
    pub(crate) statistics: Statistics,
    pub(crate) events: EventLog,
    pub(crate) answers: Answers,
    pub(crate) health: Health,
    /// Where requests are scored by the next version too, if they are.
    pub(crate) shadow: Option<Shadow>,
    /// Inference requests answered with 200, for the sampled log.
    pub(crate) answered: AtomicU64,
}

/// What is known of one request besides its questions.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) request_id: String,
    pub(crate) traceparent: Option<String>,
    pub(crate) deadline: Instant,
}

/// What a request did on the arms, for metrics, the experiment's counts and the log.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) protocol: Protocol,
    /// When the whole request had arrived: a client's slow sending is not the model's slowness.
    pub(crate) received: Instant,
    /// When its questions were understood, and when the last was answered.
    pub(crate) scoring: Option<(Instant, Instant)>,
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    pub(crate) stable: ArmUse,
    pub(crate) canary: ArmUse,
    /// Readers the split assigned, while a trial runs.
    pub(crate) exposed: Vec<Exposure>,
}

/// One arm's part in a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ArmUse {
    /// Readers assigned to it.
    pub(crate) readers: u32,
    /// Time spent scoring for its readers.
    pub(crate) score: Duration,
    /// Whether it was of no use to one of them.
    pub(crate) failed: bool,
}

impl Trace {
    pub(crate) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            received: Instant::now(),
            scoring: None,
            snapshot: None,
            stable: ArmUse::default(),
            canary: ArmUse::default(),
            exposed: Vec::new(),
        }
    }

    fn arm(&mut self, arm: Arm) -> &mut ArmUse {
        match arm {
            Arm::Stable => &mut self.stable,
            Arm::Canary => &mut self.canary,
        }
    }

    /// The arms that were touched.
    pub(crate) fn arms(&self) -> impl Iterator<Item = (Arm, &ArmUse)> {
        [(Arm::Stable, &self.stable), (Arm::Canary, &self.canary)].into_iter().filter(|(_, used)| used.readers > 0)
    }
}

/// Questions with their answers, and the snapshot that gave them.
pub(crate) struct Answered {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) rows: Vec<(Ask, Answer)>,
}

impl Answered {
    /// The version that scored a row.
    pub(crate) fn served(&self, answer: &Answer) -> &Resident {
        self.snapshot.resident(answer.served)
    }

    /// Versions that scored, ascending without repeats.
    pub(crate) fn versions(&self) -> Vec<Version> {
        let mut versions: Vec<Version> = self.rows.iter().map(|(_, answer)| self.served(answer).version).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    /// The same, comma separated.
    pub(crate) fn versions_text(&self) -> String {
        self.versions().iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

impl Service {
    /// A predictor without a model: live, not ready. Must be called within a tokio runtime.
    pub fn new(options: Options, producer: Arc<dyn Producer>) -> Arc<Self> {
        let events = EventLog::start(options.events, producer);
        let current = Current::default();
        current.turn_popular_only(options.popular_only);
        let metrics = Metrics::new(options.model.as_str());
        Arc::new(Self {
            current,
            admission: Admission::new(options.limits.in_flight),
            shadow: (options.shadow_bp > 0).then(|| Shadow::start(options.shadow_bp, metrics.shadow())),
            metrics,
            statistics: Statistics::default(),
            answers: Answers::new(options.remember),
            health: Health::new(),
            answered: AtomicU64::new(0),
            events,
            options,
        })
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
            model = %self.options.model,
            epoch = snapshot.epoch,
            production = snapshot.stable.version.get(),
            staging = snapshot.canary.as_ref().map(|canary| canary.version.get()),
            weight_bp = snapshot.weight_bp(),
            "versions swapped"
        );
        let before = self.current.swap(snapshot);
        self.health.model_is_live();
        before
    }

    /// The live snapshot, if a model is ready.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.current.get()
    }

    /// What the process is doing.
    pub fn state(&self) -> State {
        self.health.state(self.current.get().is_some())
    }

    /// Turns the kill switch: while it is on, everyone gets the popular books of production and no request is evidence
    /// in an experiment. Holds from the next request on, in this process.
    pub fn turn_popular_only(&self, on: bool) {
        if self.current.turn_popular_only(on) != on {
            tracing::warn!(model = %self.options.model, on, "kill switch turned");
        }
    }

    /// The canary as it stands in this process, if one runs.
    pub fn experiment(&self) -> Option<Experiment> {
        self.current.get()?.experiment(&self.options.policy, self.options.clock.now())
    }

    /// The way to the stream.
    pub fn events(&self) -> &EventLog {
        &self.events
    }

    /// All metrics as `OpenMetrics` text.
    pub fn metrics_text(&self) -> String {
        self.metrics.text(&Readings {
            state: self.state(),
            staleness: self.health.staleness(),
            popular_only: self.current.popular_only(),
            weight_bp: self.current.get().map_or(0, |snapshot| snapshot.weight_bp()),
            permits_in_use: self.admission.in_use(),
            events: self.events.counts(),
            shadow_dropped: self.shadow.as_ref().map_or(0, Shadow::dropped),
        })
    }

    /// Refuses names other than the one model's.
    pub(crate) fn check_model(&self, name: &str) -> Result<(), Refusal> {
        if name == self.options.model.as_str() {
            return Ok(());
        }
        Err(Refusal::UnknownModel { found: cut(name), known: self.options.model.clone() })
    }

    /// The live snapshot, or the refusal that says there is none.
    pub(crate) fn ready_snapshot(&self) -> Result<Arc<Snapshot>, Refusal> {
        self.current.get().ok_or_else(|| Refusal::NotReady(self.options.model.clone()))
    }

    /// A version as written in a path, if it is resident.
    pub(crate) fn resident_version(&self, snapshot: &Snapshot, text: &str) -> Result<Version, Refusal> {
        let asked = text.parse::<Version>().ok().filter(|version| snapshot.pinned(*version).is_some());
        asked.ok_or_else(|| Refusal::UnknownVersion {
            found: cut(text),
            model: self.options.model.clone(),
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
        let snapshot = self.ready_snapshot()?;
        let pinned = match version {
            Some(text) => snapshot.pinned(self.resident_version(&snapshot, text)?),
            None => None,
        };
        trace.snapshot = Some(Arc::clone(&snapshot));
        let popular_only = self.current.popular_only();
        let shadow = self.shadow.as_ref().filter(|shadow| {
            pinned.is_none() && !popular_only && shadow.wants(self.options.tenant.as_str(), &call.request_id)
        });
        let mut rows = Vec::with_capacity(asks.len());
        for (place, ask) in asks.into_iter().enumerate() {
            if place > 0 && place % CHUNK == 0 {
                tokio::task::yield_now().await;
            }
            if place % CHUNK == 0 && Instant::now() >= call.deadline {
                return Err(Refusal::Deadline);
            }
            let assigned = match pinned {
                _ if popular_only => Assignment { arm: Arm::Stable, counted: false },
                Some(pinned) => pinned,
                None => snapshot.assign(self.options.tenant.as_str(), ask.reader.as_ref()),
            };
            let started = Instant::now();
            let answer = SCRATCH.with_borrow_mut(|scratch| {
                if popular_only {
                    engine::popular(&snapshot, &ask, scratch)
                } else {
                    engine::answer(&snapshot, assigned, &ask, scratch)
                }
            });
            let score = started.elapsed();
            let used = trace.arm(assigned.arm);
            used.readers += 1;
            used.score += score;
            let answered = answer.as_ref().ok();
            let failed = answered.is_none_or(|it| it.fallback.is_some_and(Fallback::is_canary_failure));
            used.failed |= failed;
            if assigned.counted
                && let (Some(salt), Some(reader)) = (snapshot.salt(), &ask.reader)
            {
                trace.exposed.push(Exposure {
                    unit: split::unit(&salt, self.options.tenant.as_str(), reader.as_str()),
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
                shadow.offer(&snapshot, &ask, &answer, score);
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
        let at = self.options.clock.now();
        let mut shown = Vec::with_capacity(answered.rows.len());
        for (index, (ask, answer)) in answered.rows.iter().enumerate() {
            let assigned = answered.snapshot.resident(answer.assigned.arm);
            if let Some(reason) = answer.fallback {
                self.metrics.fell_back(assigned.version, assigned.arm, reason.as_str());
            }
            if answer.books.is_empty() {
                self.metrics.empty_list(assigned.version, assigned.arm);
            }
            let record = self.record(call, answered.served(answer), ask, answer, (index, at));
            shown.push(Shown {
                reader: record.user_id.clone(),
                model: record.model.clone().expect("records of our own name their model"),
                books: record.predictions.clone(),
            });
            self.events.prediction(record);
        }
        if !shown.is_empty() {
            self.answers.remember(&call.request_id, at, shown);
        }
    }

    fn record(
        &self,
        call: &Call,
        served: &Resident,
        ask: &Ask,
        answer: &Answer,
        (index, at): (usize, Timestamp),
    ) -> Prediction {
        let catalogue = served.artifact.catalogue();
        let predictions: Vec<BookId> = answer.books.iter().map(|scored| catalogue.book(scored.row).to_id()).collect();
        // Who has no name is a session of this one request.
        let session = || call.request_id.parse::<ReaderId>().expect("request ids are 1 to 128 visible characters");
        Prediction {
            tenant: self.options.tenant.clone(),
            user_id: ask.reader.clone().unwrap_or_else(session),
            features: ask.features.clone(),
            predictions,
            at,
            event_id: Some(format!("{}/{index}", call.request_id)),
            schema_version: SCHEMA_VERSION,
            request_id: Some(call.request_id.clone()),
            traceparent: call.traceparent.clone(),
            model: Some(ModelRef {
                name: self.options.model.to_string(),
                version: served.version,
                alias: served.alias().into(),
                arm: served.arm,
            }),
            region: self.options.region.clone(),
            history: ask.history.iter().chain(&ask.book).cloned().collect(),
            scores: answer.books.iter().map(|scored| scored.score).collect(),
            reader_known: answer.reader_known,
            list_popularity: answer.list_popularity,
            fallback: answer.fallback.map(|reason| reason.as_str().to_owned()),
        }
    }

    /// Counts a finished inference request on every arm it touched, or as refused.
    pub(crate) fn finished(&self, trace: &Trace, code: u16, kind: &'static str, total: Duration) {
        let Some(snapshot) = trace.snapshot.as_ref().filter(|_| trace.arms().next().is_some()) else {
            if code >= 400 {
                self.metrics.refused(trace.protocol, code, kind);
            }
            return;
        };
        for (arm, used) in trace.arms() {
            let version = snapshot.resident(arm).version;
            self.metrics.scored(Scored { version, arm, total, score: used.score }, trace.protocol, code);
            let at_ms = u64::try_from(self.options.clock.now().as_millisecond()).unwrap_or(0);
            let (readers, is_success) = (used.readers.into(), code < 400 && !used.failed);
            self.statistics.count(version, &Done { readers, is_success, total, score: used.score, at_ms });
        }
        if let Some(step) = snapshot.step.as_ref().filter(|_| !trace.exposed.is_empty()) {
            step.ledger.exposed(step.number, &trace.exposed, code >= 500, total, self.options.clock.now());
        }
    }

    /// Tells the running trial of a click that was joined to an answer.
    pub(crate) fn acted(&self, outcome: &Outcome) {
        let Some(snapshot) = self.current.get().filter(|_| outcome.kind == OutcomeKind::Click) else { return };
        if let Some(step) = &snapshot.step {
            let unit = split::unit(&step.salt, outcome.tenant.as_str(), outcome.user_id.as_str());
            step.ledger.clicked(unit, outcome.at);
        }
    }
}
