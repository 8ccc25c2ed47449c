//! What the detector says about a window: to the on-call engineer in a sentence, to machines in full.

use std::fmt;

use jiff::Timestamp;
use models::{
    ModelName, TenantName, Version,
    event::{DriftNotice, SCHEMA_VERSION},
};
use serde::{Deserialize, Serialize};

use crate::{
    assess::Reading,
    hash,
    persistence::{Episode, Severity},
    quality::Incident,
};

/// Whether a window was judged, and how far things have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Not judged: too few readers, or not this version's window. Nothing was remembered.
    Insufficient,
    /// Not judged: its records are broken.
    Incident,
    /// Judged.
    #[serde(untagged)]
    Judged(Severity),
}

impl Standing {
    /// The word in metrics and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insufficient => "insufficient",
            Self::Incident => "incident",
            Self::Judged(severity) => severity.as_str(),
        }
    }
}

/// Why a retrain was not asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Suppression {
    /// Broken records, in this window or too recently.
    DataIncident,
    /// Not confirmed yet.
    Persistence,
    /// The service's error budget is frozen.
    BudgetFrozen,
    /// A retrain is running.
    InFlight {
        /// Its name.
        run: String,
    },
    /// Too soon after the last trigger or promotion.
    CoolDown {
        /// When the wait ends.
        until: Timestamp,
    },
    /// The week's triggers are used up.
    WeeklyBudget,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Nothing moved.
    Nothing,
    /// Something moved, and no retrain is asked for.
    Suppressed(Suppression),
    /// Retrain. The same drift gives the same name, so that asking twice starts one run.
    Retrain {
        /// 32 hex digits.
        trigger_id: String,
    },
}

/// What became of a [`Action::Retrain`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submission {
    /// A run of this name was started, or found running under the trigger's name.
    Started(String),
    /// It could not be started.
    Failed,
    /// Nobody tried: the verdict asked for nothing.
    NotTried,
}

/// One feature's part in the verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureVerdict {
    /// The measurement.
    pub reading: Reading,
    /// How far this feature has come.
    pub severity: Severity,
    /// Its run, as in `4 of the last 5 windows`.
    pub run: String,
}

/// The detector's answer to one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The model watched.
    pub model: ModelName,
    /// Its version.
    pub version: Version,
    /// Digest of the training profile that was the reference.
    pub reference: String,
    /// Start of the window.
    pub from: Timestamp,
    /// End of the window.
    pub to: Timestamp,
    /// Requests in it.
    pub requests: u64,
    /// Readers in it.
    pub readers: u64,
    /// How far things have come.
    pub standing: Standing,
    /// What is to be done.
    pub action: Action,
    /// Why, for a person.
    pub sentence: String,
    /// Feature by feature; empty when the window was not judged.
    pub features: Vec<FeatureVerdict>,
    /// Defects of the records.
    pub incidents: Vec<Incident>,
    /// The change under way, if any.
    pub episode: Option<Episode>,
}

impl Verdict {
    /// The trigger's name, when a retrain is asked for.
    pub fn trigger_id(&self) -> Option<&str> {
        match &self.action {
            Action::Retrain { trigger_id } => Some(trigger_id),
            Action::Nothing | Action::Suppressed(_) => None,
        }
    }

    /// The records for `ml.drift`: one per feature at `watch` or beyond. Ids depend on model, version, window and
    /// feature alone, so a repeated window repeats its ids.
    pub fn notices(&self, tenant: &TenantName, submission: &Submission) -> Vec<DriftNotice> {
        let window_from = self.from.to_string();
        let worth_telling = self.features.iter().filter(|feature| feature.severity > Severity::Steady);
        worth_telling
            .map(|feature| {
                let name = feature.reading.feature.as_str();
                let identity = [
                    tenant.as_str(),
                    self.model.as_str(),
                    &self.version.to_string(),
                    &self.reference,
                    &window_from,
                    name,
                ];
                DriftNotice {
                    feature: name.to_owned(),
                    ks: feature.reading.test.effect,
                    p_value: feature.reading.test.p.unwrap_or(1.0),
                    tenant: tenant.clone(),
                    event_id: format!("drift-{:016x}", hash::stable(&identity)),
                    schema_version: SCHEMA_VERSION,
                    model: self.model.as_str().to_owned(),
                    version: self.version,
                    window_from: self.from,
                    window_to: self.to,
                    window_n: self.requests,
                    severity: feature.severity.as_str().to_owned(),
                    action: self.action.word(submission).to_owned(),
                    workflow: match (submission, self.trigger_id()) {
                        (Submission::Started(run), Some(_)) => Some(run.clone()),
                        _ => None,
                    },
                }
            })
            .collect()
    }
}

impl Action {
    /// The action in the stream's closed vocabulary, which has no word for broken data: that is an `error`.
    fn word(&self, submission: &Submission) -> &'static str {
        match (self, submission) {
            (Self::Retrain { .. }, Submission::Started(_)) => "retrain-submitted",
            (Self::Retrain { .. }, Submission::Failed | Submission::NotTried)
            | (Self::Suppressed(Suppression::DataIncident), _) => "error",
            (Self::Nothing | Self::Suppressed(Suppression::Persistence), _) => "suppressed-persistence",
            (Self::Suppressed(Suppression::BudgetFrozen | Suppression::WeeklyBudget), _) => "suppressed-budget",
            (Self::Suppressed(Suppression::InFlight { .. }), _) => "suppressed-in-flight",
            (Self::Suppressed(Suppression::CoolDown { .. }), _) => "suppressed-cooldown",
        }
    }
}

impl fmt::Display for Action {
    /// The end of a sentence: what is done, and why not if not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing to do"),
            Self::Retrain { .. } => f.write_str("retrain"),
            Self::Suppressed(Suppression::DataIncident) => {
                f.write_str("no retrain, records were broken and clean windows must pass first")
            }
            Self::Suppressed(Suppression::Persistence) => f.write_str("no retrain yet, it has not lasted long enough"),
            Self::Suppressed(Suppression::BudgetFrozen) => f.write_str("no retrain, the error budget is frozen"),
            Self::Suppressed(Suppression::InFlight { run }) => write!(f, "no retrain, {run} is running"),
            Self::Suppressed(Suppression::CoolDown { until }) => write!(f, "no retrain, cooling down until {until}"),
            Self::Suppressed(Suppression::WeeklyBudget) => f.write_str("no retrain, this week's triggers are used up"),
        }
    }
}
