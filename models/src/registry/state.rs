//! What the log adds up to. No I/O: the same fold runs in writers, readers and tests.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    error::Error,
    log::{Entry, PIN, Status},
    recent::Recent,
    rules::Change,
};
use crate::{
    id::{Alias, ModelName, Version},
    split::Salt,
};

/// Everything the registry knows after some log entry.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Digest of `registry.json`, which tells registries apart; empty where nothing was ever written.
    pub genesis_sha256: String,
    /// Id of the last folded entry; 0 for an empty log.
    pub last_id: u64,
    /// Digest of that entry's bytes; the genesis digest for an empty log.
    pub last_sha256: String,
    /// Rises with every fence.
    pub epoch: u64,
    /// The first entry with an op this build does not know. It may be read past, not written after.
    pub beyond_us: Option<u64>,
    /// Models by name.
    pub models: BTreeMap<ModelName, ModelState>,
    /// Idempotency keys of the newest entries.
    pub(super) keys: Recent<()>,
    /// Retrains asked for in the newest entries, by trigger id.
    pub triggers: Recent<TriggerRecord>,
}

/// One registered model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelState {
    /// Versions, ascending, without gaps from 1.
    pub versions: BTreeMap<Version, VersionState>,
    /// Where each alias points.
    pub aliases: BTreeMap<Alias, Version>,
    /// The version on trial, if any.
    pub canary: Option<Canary>,
    /// The steps of its trial against the version that is in production, the running one last; empty without a trial.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trial_steps: Vec<TrialStep>,
}

/// One version's standing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionState {
    /// Digest of its manifest.
    pub manifest_sha256: String,
    /// Digests of its signature bundles, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<String>,
    /// Whether it may be served.
    pub status: Status,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// By whom.
    pub registered_by: String,
    /// Who found it fit for production, if anyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Why it meets no reader until a person has released it, while it is in quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Quarantine>,
    /// When its files were marked for deletion, while they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tombstoned_at: Option<Timestamp>,
}

impl VersionState {
    /// A version as it stands right after its registration, unsigned.
    pub fn new(manifest_sha256: &str, at: Timestamp, by: &str) -> Self {
        Self {
            manifest_sha256: manifest_sha256.into(),
            signatures: Vec::new(),
            status: Status::Active,
            registered_at: at,
            registered_by: by.into(),
            approval: None,
            tags: BTreeMap::new(),
            quarantine: None,
            tombstoned_at: None,
        }
    }
}

/// A person's word for a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// Harm that a version did on trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Digest of its model file: the same model under another number is held back too.
    pub artifact_sha256: String,
    /// Who, or what, found it.
    pub actor: String,
    /// What it did.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// A version that part of the readers meets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Canary {
    /// Which.
    pub version: Version,
    /// Share of readers in basis points, above 0.
    pub weight_bp: u16,
    /// Key of the split.
    pub salt: Salt,
}

/// One step of a trial, as every process that follows the log sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialStep {
    /// Share of readers in basis points, above 0.
    pub weight_bp: u16,
    /// When it began, by the clock of who committed it.
    pub since: Timestamp,
}

/// A retrain that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TriggerRecord {
    /// The Workflow or run that does it.
    pub workflow: String,
    /// When it was recorded.
    pub at: Timestamp,
}

impl State {
    /// The state of a registry in which nothing was committed yet.
    pub fn empty(genesis_sha256: &str) -> Self {
        Self { genesis_sha256: genesis_sha256.into(), last_sha256: genesis_sha256.into(), ..Self::default() }
    }

    /// A model's state, or the error that says there is none.
    pub fn model(&self, name: &ModelName) -> Result<&ModelState, Error> {
        self.models.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.models.keys().map(ModelName::as_str).collect();
            Error::NotFound(format!("model {name}; known: [{}]", known.join(", ")))
        })
    }

    /// Moves to the state after `entry`, whose stored bytes have the digest `sha256`. All ops hold or none is applied.
    pub fn advance(&mut self, entry: &Entry, sha256: String) -> Result<(), Error> {
        let change = Change::of(self, entry)?;
        change.apply(self, sha256);
        Ok(())
    }

    /// Whether `entry` may follow: right place, unbroken chain, current epoch, rules kept.
    pub fn accepts(&self, entry: &Entry) -> Result<(), Error> {
        Change::of(self, entry).map(drop)
    }
}

impl ModelState {
    /// The number the next registered version gets.
    pub fn next_version(&self) -> Version {
        self.versions.last_key_value().map_or(Version::FIRST, |(last, _)| last.next())
    }

    /// A version's standing, or the error that says there is none.
    pub fn version(&self, name: &ModelName, version: Version) -> Result<&VersionState, Error> {
        self.versions.get(&version).ok_or_else(|| {
            let last = self.versions.last_key_value().map_or_else(|| "none".into(), |(last, _)| last.to_string());
            Error::NotFound(format!("version {version} of {name}; the highest is {last}"))
        })
    }

    /// The aliases that point at a version, in order.
    pub fn aliases_of(&self, version: Version) -> impl Iterator<Item = &Alias> {
        self.aliases.iter().filter(move |(_, to)| **to == version).map(|(alias, _)| alias)
    }

    /// Whether a version is needed: pointed at, on trial, or pinned.
    pub fn is_held(&self, version: Version) -> bool {
        self.aliases_of(version).next().is_some()
            || self.canary.is_some_and(|canary| canary.version == version)
            || self.versions.get(&version).is_some_and(|standing| standing.tags.contains_key(PIN))
    }
}
