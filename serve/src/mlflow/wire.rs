//! The JSON of MLflow's model registry, as its clients parse it (`mlflow/protos/model_registry.proto`).
//!
//! Fields that bookloop has no word for, such as a run's id, are left out: clients read an absent field as none.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One registered model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegisteredModel {
    /// `<tenant>.<model>`.
    pub name: String,
    /// When its first version was registered, milliseconds since 1970.
    pub creation_timestamp: i64,
    /// When one of its versions was last registered or approved, milliseconds since 1970.
    pub last_updated_timestamp: i64,
    /// Whose it is, and that it cannot be changed here.
    pub description: String,
    /// The highest version that may be served, if any: the latest of the one stage there is.
    pub latest_versions: Vec<ModelVersion>,
    /// Tenant, model and store.
    pub tags: Vec<Tag>,
    /// Where each alias points.
    pub aliases: Vec<RegisteredModelAlias>,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelVersion {
    /// `<tenant>.<model>`.
    pub name: String,
    /// Its number in decimal.
    pub version: String,
    /// When it was registered, milliseconds since 1970.
    pub creation_timestamp: i64,
    /// When it was registered or approved, whichever came last, milliseconds since 1970.
    pub last_updated_timestamp: i64,
    /// Who registered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Always `None`: aliases do what stages did.
    pub current_stage: &'static str,
    /// The gate's sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// URL of its manifest.
    pub source: String,
    /// `READY` when it may be served, else `FAILED_REGISTRATION`.
    pub status: &'static str,
    /// Why it may not be served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
    /// Its lineage, metrics and standing.
    pub tags: Vec<Tag>,
    /// The aliases that point at it.
    pub aliases: Vec<String>,
}

/// One fact by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tag {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Where one alias points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegisteredModelAlias {
    /// The alias.
    pub alias: String,
    /// The version's number in decimal.
    pub version: String,
}

/// Tags, ascending by name.
pub(super) fn tags(facts: &BTreeMap<String, String>) -> Vec<Tag> {
    facts.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() }).collect()
}

#[derive(Serialize)]
pub(super) struct OneModel {
    pub(super) registered_model: RegisteredModel,
}

#[derive(Serialize)]
pub(super) struct OneVersion {
    pub(super) model_version: ModelVersion,
}

#[derive(Serialize)]
pub(super) struct Versions {
    pub(super) model_versions: Vec<ModelVersion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_page_token: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Models {
    pub(super) registered_models: Vec<RegisteredModel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_page_token: Option<String>,
}

#[derive(Serialize)]
pub(super) struct DownloadUri {
    pub(super) artifact_uri: String,
}

/// Body of a posted `get-latest-versions`.
#[derive(Deserialize)]
pub(super) struct Latest {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) stages: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Failure<'a> {
    pub(super) error_code: &'a str,
    pub(super) message: &'a str,
}
