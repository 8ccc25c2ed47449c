//! The record of one run, as the loop writes it down and the page tells it. Data only.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One run of the loop from its first training to its last verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chronicle {
    /// Heading of the page.
    pub title: String,
    /// Seed of everything random.
    pub seed: u64,
    /// When the page was made, as told by the caller's clock.
    pub generated: Timestamp,
    /// The run in a few figures.
    pub summary: Summary,
    /// What happened, ascending by time.
    pub moments: Vec<Moment>,
    /// Answers by interval and version; intervals are of equal length.
    pub traffic: Vec<TrafficPoint>,
    /// The detector's evidence by window and feature.
    pub evidence: Vec<EvidencePoint>,
    /// Measured quality of versions.
    pub metrics: Vec<MetricRow>,
    /// Every move of an alias, ascending by time.
    pub aliases: Vec<AliasMove>,
    /// The canary's verdicts, ascending by time.
    pub canary: Vec<CanaryStep>,
}

/// The run in a few figures; what did not happen or could not be measured is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Requests sent by readers.
    pub requests: u64,
    /// Requests without a usable answer.
    pub failed: u64,
    /// Number of versions that answered.
    pub versions: u32,
    /// When the readers' taste changed.
    pub onset: Option<Timestamp>,
    /// First verdict of suspicion, in event time.
    pub suspected: Option<Timestamp>,
    /// The verdict that started the retrain, in event time.
    pub confirmed: Option<Timestamp>,
    /// Version made by the retrain.
    pub retrain_version: Option<u32>,
    /// Version in production at the end.
    pub production_version: Option<u32>,
    /// nDCG@10 of the first version on readers after the change, in `[0, 1]`.
    pub ndcg_before: Option<f64>,
    /// Its standard error.
    pub ndcg_before_se: Option<f64>,
    /// nDCG@10 of the retrained version on the same readers.
    pub ndcg_after: Option<f64>,
    /// Its standard error.
    pub ndcg_after_se: Option<f64>,
    /// How long the run took, in seconds of the wall clock.
    pub wall_seconds: f64,
}

/// Something worth telling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When, in event time.
    pub at: Timestamp,
    /// What sort of thing.
    pub kind: MomentKind,
    /// One sentence.
    pub text: String,
}

/// Sorts of moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MomentKind {
    /// Data was made, read or refused.
    Data,
    /// A model was trained and measured.
    Training,
    /// A version was registered or an alias moved.
    Registry,
    /// A person decided.
    Approval,
    /// The predictor started, swapped or stopped.
    Serving,
    /// The readers' world changed.
    World,
    /// The detector saw something.
    Drift,
    /// A retrain was started or held back.
    Retrain,
    /// A canary step was judged.
    Canary,
    /// A version took over production.
    Promotion,
    /// Something went wrong.
    Trouble,
}

impl MomentKind {
    /// The kind in one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Training => "training",
            Self::Registry => "registry",
            Self::Approval => "approval",
            Self::Serving => "serving",
            Self::World => "readers",
            Self::Drift => "drift",
            Self::Retrain => "retrain",
            Self::Canary => "canary",
            Self::Promotion => "promotion",
            Self::Trouble => "trouble",
        }
    }

    /// The kind as one character of normal width.
    pub fn symbol(self) -> char {
        match self {
            Self::Data => '▤',
            Self::Training => '▲',
            Self::Registry => '▪',
            Self::Approval => '✓',
            Self::Serving => '●',
            Self::World => '≈',
            Self::Drift => '◆',
            Self::Retrain => '↻',
            Self::Canary => '◐',
            Self::Promotion => '★',
            Self::Trouble => '✗',
        }
    }
}

/// Answers of one version in one interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrafficPoint {
    /// Beginning of the interval.
    pub at: Timestamp,
    /// The version that answered.
    pub version: u32,
    /// Requests it was given.
    pub requests: u64,
    /// Of those, without a usable answer.
    pub failed: u64,
    /// 99th percentile of the latency in milliseconds; `None` without answers.
    pub p99_ms: Option<f64>,
}

/// One feature in one window of the detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvidencePoint {
    /// End of the window.
    pub at: Timestamp,
    /// The feature's name.
    pub feature: String,
    /// Size of the difference from the reference, in the feature's own unit.
    pub effect: f64,
    /// Size from which on a difference matters, positive.
    pub threshold: f64,
    /// Probability of such a difference by chance; `None` where it could not be judged.
    pub p: Option<f64>,
    /// Whether the detector held it for moved, after all corrections.
    pub moved: bool,
}

/// One measurement of one version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricRow {
    /// What was measured and on whom, as in `ndcg@10 after the change`.
    pub metric: String,
    /// The version measured.
    pub version: u32,
    /// The value, not negative.
    pub value: f64,
    /// Its standard error; `None` where there is none.
    pub se: Option<f64>,
}

/// An alias was pointed at another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasMove {
    /// When.
    pub at: Timestamp,
    /// Which alias.
    pub alias: String,
    /// Version it pointed at; `None` if it was new.
    pub from: Option<u32>,
    /// Version it points at; `None` if it was removed.
    pub to: Option<u32>,
    /// Who moved it.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// One verdict on the canary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CanaryStep {
    /// When it was given.
    pub at: Timestamp,
    /// Share of readers that had the canary until then, in percent.
    pub weight_percent: f64,
    /// Requests the canary answered or failed at this weight.
    pub requests: u64,
    /// Of those, failed.
    pub failed: u64,
    /// 99th percentile of its latency in milliseconds; `None` without answers.
    pub p99_ms: Option<f64>,
    /// What was decided.
    pub verdict: String,
}
