//! Every metric: name, unit and labels. Seconds and bytes; counters end in `_total`; every label is bounded.
//!
//! All names begin with `bookloop_`. What belongs to a model carries the labels `tenant` and `model`, of served ones
//! only; what belongs to the process has neither. The label `version` is bounded by forgetting: series of a version that
//! left go away once [`KEPT_VERSIONS`] others of its model have been live since.

mod interleave;
mod labels;
mod model;
mod shadow;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use models::{ModelName, TenantName, Version};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};

use self::labels::{ArmLabels, FallbackLabels, InfoLabels, JoinedLabels, Of, RequestLabels, ResultLabels, ShedLabels};
pub(crate) use self::{model::ModelMetrics, shadow::ShadowSeries};
use crate::{
    event_log::EventCounts,
    health::State,
    judge::{EDGES_SECS, Preference},
};

/// Versions whose series are kept.
pub const KEPT_VERSIONS: usize = 16;

/// The door a request came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `/v1/...:predict`.
    V1,
    /// `/v2/.../infer`.
    V2,
    /// `ModelInfer` of gRPC.
    Grpc,
    /// `/recommend`.
    Plain,
    /// Anything else, such as an unknown path.
    Other,
}

impl Protocol {
    const ALL: [Self; 5] = [Self::V1, Self::V2, Self::Grpc, Self::Plain, Self::Other];

    /// The door as a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::Grpc => "grpc",
            Self::Plain => "plain",
            Self::Other => "other",
        }
    }
}

/// Codes that a request which reached a model can end with.
const SCORED_CODES: [u16; 3] = [200, 500, 504];

/// One label of a closed set.
type One = [(&'static str, &'static str); 1];

/// One request on one arm, or its part for readers of both, as it is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scored {
    pub(crate) version: Version,
    /// An arm's word, or that of lists of both.
    pub(crate) arm: &'static str,
    pub(crate) total: Duration,
    pub(crate) score: Duration,
}

/// What of the process is only read when somebody asks.
pub(crate) struct Readings {
    pub(crate) state: State,
    pub(crate) popular_only: bool,
    pub(crate) permits_in_use: usize,
    pub(crate) model_bytes: u64,
    pub(crate) events: EventCounts,
}

/// The same of one model.
pub(crate) struct ModelReadings {
    /// Weight and number of the live snapshot, if there is one.
    pub(crate) live: Option<(u16, u64)>,
    /// What readers of lists of both versions click, while there are any.
    pub(crate) preference: Option<Preference>,
    pub(crate) is_ready: bool,
    pub(crate) staleness: Duration,
    pub(crate) bytes: u64,
}

/// The metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<ArmLabels, Histogram, fn() -> Histogram>,
    score_durations: Family<ArmLabels, Histogram, fn() -> Histogram>,
    fallbacks: Family<FallbackLabels, Counter>,
    empty_lists: Family<ArmLabels, Counter>,
    shed: Family<ShedLabels, Counter>,
    inflight: Gauge,
    permits: Gauge,
    state: Family<One, Gauge>,
    kill_switch: Gauge,
    model_bytes_held: Gauge,
    model_ready: Family<Of, Gauge>,
    model_bytes: Family<Of, Gauge>,
    staleness: Family<Of, Gauge<f64, AtomicU64>>,
    weight: Family<Of, Gauge<f64, AtomicU64>>,
    epoch: Family<Of, Gauge>,
    model_info: Family<InfoLabels, Gauge>,
    swaps: Family<ResultLabels, Counter>,
    exchanges: Family<ResultLabels, Counter>,
    ended: Family<ResultLabels, Counter>,
    offered: Counter,
    delivered: Counter,
    dropped: Family<One, Counter>,
    queue: Gauge,
    outcomes: Family<JoinedLabels, Counter>,
    shadow: shadow::Families,
    interleaved: interleave::Families,
    nobody: Of,
}

fn durations() -> Histogram {
    Histogram::new(EDGES_SECS)
}

/// Puts a metric into the registry and keeps a handle to it.
fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// All metrics of a process.
    pub(crate) fn new() -> Arc<Self> {
        let mut to = Registry::with_prefix("bookloop");
        let r = &mut to;
        let histogram = || Family::new_with_constructor(durations as fn() -> Histogram);
        Arc::new(Self {
            requests: add(
                r,
                "requests",
                "Requests by version and arm; version none never reached a model",
                Family::default(),
            ),
            durations: add(r, "request_duration_seconds", "From the last byte of a request to its answer", histogram()),
            score_durations: add(r, "score_duration_seconds", "Scoring alone, all readers of a request", histogram()),
            fallbacks: add(r, "fallback", "Answers that were not the assigned model's first choice", Family::default()),
            empty_lists: add(r, "empty_lists", "Answers without any book", Family::default()),
            shed: add(r, "shed", "Requests refused before scoring", Family::default()),
            inflight: add(r, "inflight", "Requests being worked on", Gauge::default()),
            permits: add(r, "permits_in_use", "Places taken in the room for requests in flight", Gauge::default()),
            state: add(r, "state", "1 for the current state", Family::default()),
            kill_switch: add(r, "kill_switch", "1 while everyone gets popular books", Gauge::default()),
            model_bytes_held: add(r, "model_bytes_held", "Bytes of all loaded model files", Gauge::default()),
            model_ready: add(r, "model_ready", "1 while a version of the model answers", Family::default()),
            model_bytes: add(r, "model_bytes", "Bytes of the model's loaded files", Family::default()),
            staleness: add(r, "registry_staleness_seconds", "Time the registry has not answered", Family::default()),
            weight: add(r, "experiment_weight_ratio", "Share of readers that meet the canary", Family::default()),
            epoch: add(r, "experiment_epoch", "Number of the live snapshot", Family::default()),
            model_info: add(r, "model_info", "1 for each resident version", Family::default()),
            swaps: add(r, "swaps", "Versions brought in, failed to load, or let go", Family::default()),
            ended: add(
                r,
                "trials_ended",
                "Trials ended here at once, for harm or an alarm in an A/A",
                Family::default(),
            ),
            exchanges: add(
                r,
                "trial_exchanges",
                "Rounds of evidence told to other processes and heard",
                Family::default(),
            ),
            offered: add(r, "events_offered", "Records given to the event log", Counter::default()),
            delivered: add(r, "events_delivered", "Records the stream took", Counter::default()),
            dropped: add(r, "events_dropped", "Records that never reached the stream", Family::default()),
            queue: add(r, "event_queue_length", "Records waiting for the stream", Gauge::default()),
            outcomes: add(
                r,
                "outcomes",
                "Clicks and purchases, by whether their answer was remembered",
                Family::default(),
            ),
            shadow: shadow::Families::register(r),
            interleaved: interleave::Families::register(r),
            nobody: Of { tenant: "none".into(), model: "none".into() },
            registry: to,
        })
    }

    /// The metrics of one model of this process.
    pub(crate) fn of(self: &Arc<Self>, tenant: &TenantName, model: &ModelName) -> ModelMetrics {
        ModelMetrics::new(Arc::clone(self), tenant, model)
    }

    /// A request that was refused before anyone knew which model it was for.
    pub(crate) fn refused(&self, protocol: Protocol, code: u16, kind: &'static str) {
        self.refused_by(&self.nobody, protocol, code, kind);
    }

    fn refused_by(&self, of: &Of, protocol: Protocol, code: u16, kind: &'static str) {
        let (of, protocol) = (of.clone(), protocol.as_str());
        let labels = RequestLabels { of, version: "none".into(), arm: "none", protocol, code };
        self.requests.get_or_create(&labels).inc();
        let reason = match kind {
            "shed" => "room",
            "tenant-shed" => "tenant",
            "deadline" => "deadline",
            _ => return,
        };
        self.shed.get_or_create(&ShedLabels { of: labels.of, reason }).inc();
    }

    /// An outcome whose answer no model remembers.
    pub(crate) fn outcome_of_nobody(&self) {
        self.outcomes.get_or_create(&JoinedLabels { of: self.nobody.clone(), joined: "no" }).inc();
    }

    /// A request in flight, until the guard is dropped.
    pub(crate) fn enter(&self) -> InFlight {
        self.inflight.inc();
        InFlight(self.inflight.clone())
    }

    /// The exposition in `OpenMetrics` text.
    pub(crate) fn text(&self, readings: &Readings) -> String {
        for state in State::ALL {
            self.state.get_or_create(&[("state", state.as_str())]).set(i64::from(state == readings.state));
        }
        self.kill_switch.set(i64::from(readings.popular_only));
        self.permits.set(readings.permits_in_use as i64);
        self.model_bytes_held.set(readings.model_bytes as i64);
        let events = readings.events;
        let store = |counter: &Counter, value| counter.inner().store(value, Ordering::Relaxed);
        store(&self.offered, events.offered);
        store(&self.delivered, events.delivered);
        for (reason, value) in [
            ("full", events.dropped_full),
            ("encode", events.dropped_encode),
            ("broker", events.dropped_broker),
            ("shutdown", events.dropped_shutdown),
        ] {
            store(&self.dropped.get_or_create(&[("reason", reason)]), value);
        }
        self.queue.set(events.queued as i64);
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }
}

/// Counts one request as in flight while it lives.
pub(crate) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests;
