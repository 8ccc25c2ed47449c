//! The records on the streams: what the predictor served, what readers did, what the detector decided, what was sold.
//!
//! Writers and readers of a topic are different crates, so the shapes live here. Readers of these records ignore
//! members they do not know, and every member beyond the platform's own is optional on read.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use crate::id::{BookId, ReaderId, TenantName, Version};

/// The version of the record shapes below; raised when a member changes its meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// A stream of records. Keys are tenant names, so one partition holds one tenant's records in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// [`Prediction`]: one per answered recommendation.
    Predictions,
    /// [`Outcome`]: clicks and purchases that followed an answer.
    Outcomes,
    /// [`DriftNotice`]: one per feature and verdict worth telling.
    Drift,
    /// [`OrderPlaced`]: the shop's sales, from which training data is made.
    Orders,
}

impl Topic {
    /// The topic's name on the platform.
    pub fn name(self) -> &'static str {
        match self {
            Self::Predictions => "ml.predictions",
            Self::Outcomes => "ml.outcomes",
            Self::Drift => "ml.drift",
            Self::Orders => "orders.placed",
        }
    }

    /// Every topic.
    pub const ALL: [Self; 4] = [Self::Predictions, Self::Outcomes, Self::Drift, Self::Orders];
}

/// Which of the two resident versions a reader was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arm {
    /// The `production` version.
    Stable,
    /// The `staging` version while it is being tried.
    Canary,
}

impl Arm {
    /// The arm as a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
        }
    }
}

/// [`Prediction::mode`] of a reader who was to be given a list of both versions.
pub const INTERLEAVE: &str = "interleave";

/// Which model gave an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRef {
    /// Registered name.
    pub name: String,
    /// Version that scored.
    pub version: Version,
    /// Alias it was reached by.
    pub alias: String,
    /// Arm of the split.
    pub arm: Arm,
}

/// `ml.predictions`: one answered recommendation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Tenant; equals the record key.
    pub tenant: TenantName,
    /// The reader, or the session where there is none.
    pub user_id: ReaderId,
    /// Numeric context sent by the caller, unchanged.
    #[serde(default)]
    pub features: Vec<f32>,
    /// The list shown, best first.
    #[serde(deserialize_with = "text_or_number_ids")]
    pub predictions: Vec<BookId>,
    /// When it was answered.
    pub at: Timestamp,
    /// Key for removing duplicates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// [`SCHEMA_VERSION`] of the writer; 0 for writers other than bookloop.
    #[serde(default)]
    pub schema_version: u32,
    /// The request, to which outcomes are joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// W3C trace context of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What scored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRef>,
    /// Region of the predictor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Books the caller sent with the request as the reader's latest, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "text_or_number_ids")]
    pub history: Vec<BookId>,
    /// Scores of `predictions`, in the same order; absent where two models scored them, since those do not compare.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<f32>,
    /// Whether the model that scored had this reader's history from training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader_known: Option<bool>,
    /// Mean popularity percentile of the list in the scoring model's catalogue, in `[0, 1]`; absent for empty lists
    /// and for those of two models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_popularity: Option<f32>,
    /// Why the answer is not the model's first choice, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// How the reader took part in a trial, where that is not by one arm: [`INTERLEAVE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Of a list of both versions, the arm that put each book there; null where both had the book in one place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<Option<Arm>>,
}

/// What a reader did with a recommended book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeKind {
    /// Opened the book's page.
    Click,
    /// Bought it.
    Purchase,
}

/// `ml.outcomes`: a click or purchase, joined to the answer that showed the book.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Tenant; equals the record key.
    pub tenant: TenantName,
    /// The answer that showed the book.
    pub request_id: String,
    /// The reader.
    pub user_id: ReaderId,
    /// The book.
    pub item_id: BookId,
    /// What was done.
    pub kind: OutcomeKind,
    /// When.
    pub at: Timestamp,
    /// Key for removing duplicates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// [`SCHEMA_VERSION`] of the writer.
    #[serde(default)]
    pub schema_version: u32,
    /// The model whose list it was; absent when the answer was no longer remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRef>,
    /// Place in the list, from 1; absent when the book was not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
}

/// `ml.drift`: one feature's part in one verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftNotice {
    /// The feature that moved.
    pub feature: String,
    /// Its effect size: the Kolmogorov-Smirnov distance where that is the test, else the test's own effect.
    pub ks: f64,
    /// Its p-value, before correction for the family.
    pub p_value: f64,
    /// Tenant; equals the record key.
    pub tenant: TenantName,
    /// Key for removing duplicates.
    pub event_id: String,
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// The model being watched.
    pub model: String,
    /// Version whose profile is the reference.
    pub version: Version,
    /// Start of the window judged.
    pub window_from: Timestamp,
    /// End of the window judged.
    pub window_to: Timestamp,
    /// Requests in the window.
    pub window_n: u64,
    /// `watch`, `suspected` or `confirmed`.
    pub severity: String,
    /// What was done about it: `retrain-submitted`, `suppressed-cooldown`, `suppressed-in-flight`,
    /// `suppressed-persistence`, `suppressed-budget` or `error`.
    pub action: String,
    /// The Workflow or run that was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
}

/// `orders.placed`: books bought, as the shop tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderPlaced {
    /// Tenant; equals the record key.
    pub tenant_id: TenantName,
    /// Key for removing duplicates.
    pub event_id: String,
    /// The reader.
    pub user_id: ReaderId,
    /// The books.
    #[serde(deserialize_with = "text_or_number_ids")]
    pub items: Vec<BookId>,
    /// When.
    pub at: Timestamp,
    /// [`SCHEMA_VERSION`] of the writer.
    #[serde(default)]
    pub schema_version: u32,
}

/// Older publishers write book ids as JSON numbers; we write text and read both.
fn text_or_number_ids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<BookId>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Text(BookId),
        Number(i64),
    }
    Vec::<Id>::deserialize(deserializer)?
        .into_iter()
        .map(|id| match id {
            Id::Text(id) => Ok(id),
            Id::Number(number) => number.to_string().parse().map_err(serde::de::Error::custom),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platforms_own_prediction_record_is_read() {
        let record: Prediction = serde_json::from_str(
            r#"{"tenant":"acme-books","user_id":"u-17","features":[0.2,1.0],"predictions":[42,7],
                "at":"2026-03-01T02:03:04.123456789Z","something_new":{"x":1}}"#,
        )
        .expect("the platform's shape");
        assert_eq!(record.predictions[0].as_str(), "42");
        assert_eq!(record.schema_version, 0);
        assert!(record.model.is_none());
        let text = serde_json::to_string(&record).unwrap();
        assert!(!text.contains("mode") && !text.contains("teams"), "{text}");
    }

    #[test]
    fn a_list_of_both_versions_says_whose_each_place_is() {
        let record: Prediction = serde_json::from_str(
            r#"{"tenant":"acme-books","user_id":"u-17","predictions":["a","b","c"],"at":"2026-03-01T02:03:04Z",
                "mode":"interleave","teams":["canary",null,"stable"]}"#,
        )
        .unwrap();
        assert_eq!(
            (record.mode.as_deref(), record.teams.as_slice()),
            (Some(INTERLEAVE), [Some(Arm::Canary), None, Some(Arm::Stable)].as_slice())
        );
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.ends_with(r#""mode":"interleave","teams":["canary",null,"stable"]}"#), "{text}");
    }
}
