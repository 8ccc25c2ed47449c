//! Every metric: name, unit and labels. Seconds and bytes; counters end in `_total`; every label is bounded.
//!
//! All names begin with `bookloop_` and carry the label `model`. The label `version` is bounded by forgetting: series of
//! a version that left go away once [`KEPT_VERSIONS`] others have been live since.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use models::{Version, event::Arm};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};

use crate::{current::Snapshot, event_log::EventCounts, health::State, judge::EDGES_SECS, shadow::ShadowSeries};

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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    version: String,
    arm: &'static str,
    protocol: &'static str,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ArmLabels {
    version: String,
    arm: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FallbackLabels {
    version: String,
    arm: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InfoLabels {
    version: String,
    digest: String,
    role: &'static str,
}

/// One label of a closed set.
pub(crate) type One = [(&'static str, &'static str); 1];

/// One request on one arm, as it is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scored {
    pub(crate) version: Version,
    pub(crate) arm: Arm,
    pub(crate) total: Duration,
    pub(crate) score: Duration,
}

/// What is only read when somebody asks.
pub(crate) struct Readings {
    pub(crate) state: State,
    pub(crate) staleness: Duration,
    pub(crate) popular_only: bool,
    pub(crate) weight_bp: u16,
    pub(crate) permits_in_use: usize,
    pub(crate) events: EventCounts,
    pub(crate) shadow_dropped: u64,
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
    shed: Family<One, Counter>,
    inflight: Gauge,
    permits: Gauge,
    state: Family<One, Gauge>,
    staleness: Gauge<f64, AtomicU64>,
    kill_switch: Gauge,
    weight: Gauge<f64, AtomicU64>,
    epoch: Gauge,
    model_info: Family<InfoLabels, Gauge>,
    swaps: Family<One, Counter>,
    offered: Counter,
    delivered: Counter,
    dropped: Family<One, Counter>,
    queue: Gauge,
    outcomes: Family<One, Counter>,
    shadow: ShadowSeries,
    shadow_dropped: Counter,
    /// Versions whose series exist, the one that was live last at the end.
    kept: Mutex<VecDeque<Version>>,
}

pub(crate) fn durations() -> Histogram {
    Histogram::new(EDGES_SECS)
}

/// Puts a metric into the registry and keeps a handle to it.
pub(crate) fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// All metrics of a process that serves `model`.
    pub fn new(model: &str) -> Self {
        let labels = [("model".into(), model.to_owned().into())];
        let mut to = Registry::with_prefix_and_labels("bookloop", labels.into_iter());
        let r = &mut to;
        let histogram = || Family::new_with_constructor(durations as fn() -> Histogram);
        Self {
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
            staleness: add(r, "registry_staleness_seconds", "Time the registry has not answered", Gauge::default()),
            kill_switch: add(r, "kill_switch", "1 while everyone gets popular books", Gauge::default()),
            weight: add(r, "experiment_weight_ratio", "Share of readers that meet the canary", Gauge::default()),
            epoch: add(r, "experiment_epoch", "Number of the live snapshot", Gauge::default()),
            model_info: add(r, "model_info", "1 for each resident version", Family::default()),
            swaps: add(r, "swaps", "Versions brought in, or failed to load", Family::default()),
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
            shadow: ShadowSeries::register(r),
            shadow_dropped: add(
                r,
                "shadow_dropped",
                "Requests that were not scored twice because too many waited",
                Counter::default(),
            ),
            kept: Mutex::default(),
            registry: to,
        }
    }

    /// A request that reached a model, once per arm it touched.
    pub(crate) fn scored(&self, scored: Scored, protocol: Protocol, code: u16) {
        let Scored { version, arm, total, score } = scored;
        let labels = ArmLabels { version: version.to_string(), arm: arm.as_str() };
        self.durations.get_or_create(&labels).observe(total.as_secs_f64());
        self.score_durations.get_or_create(&labels).observe(score.as_secs_f64());
        let ArmLabels { version, arm } = labels;
        self.requests.get_or_create(&RequestLabels { version, arm, protocol: protocol.as_str(), code }).inc();
    }

    /// A request that was refused before it reached a model.
    pub(crate) fn refused(&self, protocol: Protocol, code: u16, kind: &'static str) {
        let labels = RequestLabels { version: "none".into(), arm: "none", protocol: protocol.as_str(), code };
        self.requests.get_or_create(&labels).inc();
        let reason = match kind {
            "shed" => "room",
            "deadline" => "deadline",
            _ => return,
        };
        self.shed.get_or_create(&[("reason", reason)]).inc();
    }

    pub(crate) fn fell_back(&self, version: Version, arm: Arm, reason: &'static str) {
        let labels = FallbackLabels { version: version.to_string(), arm: arm.as_str(), reason };
        self.fallbacks.get_or_create(&labels).inc();
    }

    pub(crate) fn empty_list(&self, version: Version, arm: Arm) {
        self.empty_lists.get_or_create(&ArmLabels { version: version.to_string(), arm: arm.as_str() }).inc();
    }

    pub(crate) fn outcome(&self, joined: bool) {
        self.outcomes.get_or_create(&[("joined", if joined { "yes" } else { "no" })]).inc();
    }

    /// The series of a version that nobody meets yet.
    pub(crate) fn shadow(&self) -> ShadowSeries {
        self.shadow.clone()
    }

    /// A request in flight, until the guard is dropped.
    pub(crate) fn enter(&self) -> InFlight {
        self.inflight.inc();
        InFlight(self.inflight.clone())
    }

    pub(crate) fn load_failed(&self) {
        self.swaps.get_or_create(&[("result", "failed")]).inc();
    }

    /// A new snapshot is live.
    pub(crate) fn swapped(&self, snapshot: &Snapshot) {
        self.swaps.get_or_create(&[("result", "ok")]).inc();
        self.epoch.set(snapshot.epoch as i64);
        self.model_info.clear();
        for resident in snapshot.residents() {
            let digest = resident.digest.chars().take(12).collect();
            let labels = InfoLabels { version: resident.version.to_string(), digest, role: resident.alias() };
            self.model_info.get_or_create(&labels).set(1);
        }
        let mut kept = self.kept.lock().expect("no panic happens while this lock is held");
        for resident in snapshot.residents() {
            kept.retain(|version| *version != resident.version);
            kept.push_back(resident.version);
        }
        while kept.len() > KEPT_VERSIONS {
            if let Some(version) = kept.pop_front() {
                self.forget(version);
            }
        }
    }

    fn forget(&self, version: Version) {
        use crate::engine::Fallback as F;
        for arm in [Arm::Stable, Arm::Canary].map(Arm::as_str) {
            let labels = ArmLabels { version: version.to_string(), arm };
            self.durations.remove(&labels);
            self.score_durations.remove(&labels);
            self.empty_lists.remove(&labels);
            for protocol in Protocol::ALL.map(Protocol::as_str) {
                for code in SCORED_CODES {
                    self.requests.remove(&RequestLabels { version: version.to_string(), arm, protocol, code });
                }
            }
            for reason in F::ALL.map(F::as_str) {
                self.fallbacks.remove(&FallbackLabels { version: version.to_string(), arm, reason });
            }
        }
    }

    /// The exposition in `OpenMetrics` text.
    pub(crate) fn text(&self, readings: &Readings) -> String {
        for state in State::ALL {
            self.state.get_or_create(&[("state", state.as_str())]).set(i64::from(state == readings.state));
        }
        self.staleness.set(readings.staleness.as_secs_f64());
        self.kill_switch.set(i64::from(readings.popular_only));
        self.weight.set(f64::from(readings.weight_bp) / 10_000.0);
        self.permits.set(readings.permits_in_use as i64);
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
        store(&self.shadow_dropped, readings.shadow_dropped);
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
mod tests {
    use super::*;

    fn live(number: u32) -> Snapshot {
        let artifact = models::Artifact::new(
            models::Catalogue::new([models::Book::bare("a".parse().unwrap())]),
            vec![1.0],
            models::Scorer::Popularity,
            models::Readers::new([]),
        );
        let stable = crate::current::Resident {
            version: number.try_into().unwrap(),
            arm: Arm::Stable,
            digest: "0123456789abcdef".into(),
            artifact: std::sync::Arc::new(artifact.unwrap()),
        };
        Snapshot { epoch: u64::from(number), stable, canary: None, step: None }
    }

    fn read(metrics: &Metrics) -> String {
        metrics.text(&Readings {
            state: State::Ready,
            staleness: Duration::ZERO,
            popular_only: false,
            weight_bp: 2500,
            permits_in_use: 0,
            events: EventCounts { offered: 3, delivered: 2, queued: 1, ..EventCounts::default() },
            shadow_dropped: 5,
        })
    }

    fn answered(metrics: &Metrics, number: u32) {
        let (total, score) = (Duration::from_millis(500), Duration::from_micros(90));
        let scored = Scored { version: number.try_into().unwrap(), arm: Arm::Stable, total, score };
        metrics.scored(scored, Protocol::V1, 200);
    }

    #[test]
    fn names_units_and_labels_are_those_of_the_dashboards() {
        let metrics = Metrics::new("recommender");
        metrics.swapped(&live(7));
        answered(&metrics, 7);
        let text = read(&metrics);
        for line in [
            r#"bookloop_requests_total{model="recommender",version="7",arm="stable",protocol="v1",code="200"} 1"#,
            r#"bookloop_request_duration_seconds_bucket{model="recommender",le="0.25",version="7",arm="stable"} 0"#,
            r#"bookloop_request_duration_seconds_bucket{model="recommender",le="0.5",version="7",arm="stable"} 1"#,
            r#"bookloop_model_info{model="recommender",version="7",digest="0123456789ab",role="production"} 1"#,
            r#"bookloop_state{model="recommender",state="ready"} 1"#,
            r#"bookloop_experiment_weight_ratio{model="recommender"} 0.25"#,
            r#"bookloop_events_offered_total{model="recommender"} 3"#,
            r#"bookloop_event_queue_length{model="recommender"} 1"#,
            r#"bookloop_shadow_dropped_total{model="recommender"} 5"#,
        ] {
            assert!(text.lines().any(|found| found == line), "missing {line} in\n{text}");
        }
    }

    #[test]
    fn series_of_long_gone_versions_go_away() {
        let metrics = Metrics::new("recommender");
        for number in 1..=KEPT_VERSIONS as u32 + 1 {
            metrics.swapped(&live(number));
            answered(&metrics, number);
        }
        let text = read(&metrics);
        assert!(!text.contains(r#"version="1""#), "the oldest of 17 is forgotten");
        assert!(text.contains(r#"version="2""#));
    }
}
