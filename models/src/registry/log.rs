//! The commit log's entries: what one commit says, and the bytes it is stored as.
//!
//! Entry `n` is the object `log/<n>`; each names the digest of the one before, and the first that of the registry's
//! marker, so no past can be changed unnoticed.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Error, sealed};
use crate::{
    digest,
    id::{Alias, ModelName, Version},
    manifest::TriggerKind,
    split::Salt,
    store::key,
};

/// The log format this build reads and writes.
pub const FORMAT: u32 = 1;

/// One commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// Place in the log, from 1, without gaps.
    pub id: u64,
    /// sha256 of the stored bytes of entry `id - 1`, hex; for the first, of `registry.json`.
    pub prev_sha256: String,
    /// Program and version that wrote it.
    pub writer: String,
    /// The fence epoch the writer had seen when it opened the registry.
    pub epoch: u64,
    /// Drawn once per attempt to commit: tells a writer its own entry from another's.
    pub nonce: String,
    /// The writer's clock, for people only: order is the id's.
    pub at: Timestamp,
    /// Who decided.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The change, ticket or review under which it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// Repeating a commit under the same key changes nothing and returns the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// What the decision was taken on, where a program took it: enough to take it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<serde_json::Value>,
    /// What changes, all or nothing.
    pub ops: Vec<Op>,
}

impl Entry {
    /// The stored bytes: one line of JSON that holds its own digest.
    pub fn encode(&self) -> Bytes {
        sealed::seal(self)
    }

    /// Reads entry `id`, refusing bytes that are damaged, of another place, or of a newer format.
    pub fn decode(id: u64, bytes: &[u8]) -> Result<Self, Error> {
        let object = key::log(id);
        let entry: Self = sealed::unseal(&object, bytes, FORMAT)?;
        if entry.id != id {
            return Err(Error::Corrupt { object, expected: format!("id {id}"), found: format!("id {}", entry.id) });
        }
        Ok(entry)
    }
}

/// Digest by which the next entry names these stored bytes.
pub fn link(bytes: &[u8]) -> String {
    digest::sha256(bytes)
}

/// One change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// A version comes into being.
    Register {
        /// Model.
        name: ModelName,
        /// The model's highest version so far plus one.
        version: Version,
        /// Digest of the manifest, which lists all files.
        manifest_sha256: String,
        /// Digest of the signature bundle, where the publisher signs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature_sha256: Option<String>,
    },
    /// A further signature of a version, as after a change of keys.
    Sign {
        /// Model.
        name: ModelName,
        /// Version.
        version: Version,
        /// Digest of the signature bundle.
        signature_sha256: String,
    },
    /// A person finds a version fit for production.
    Approve {
        /// Model.
        name: ModelName,
        /// Version.
        version: Version,
    },
    /// An alias moves, if it is where the writer believed it to be.
    AliasSet {
        /// Model.
        name: ModelName,
        /// Alias.
        alias: Alias,
        /// Where it must point before; `None`: nowhere.
        expect: Option<Version>,
        /// Where it points after.
        to: Version,
    },
    /// An alias goes away.
    AliasDelete {
        /// Model.
        name: ModelName,
        /// Alias.
        alias: Alias,
        /// Where it must point before.
        expect: Version,
    },
    /// A note on a version is set or, without a value, removed.
    Tag {
        /// Model.
        name: ModelName,
        /// Version.
        version: Version,
        /// Name of the note; [`PIN`] keeps the version's files from being deleted.
        key: String,
        /// Its text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    },
    /// A version may or may no longer be served.
    Status {
        /// Model.
        name: ModelName,
        /// Version.
        version: Version,
        /// New status: active, archived or revoked.
        status: Status,
    },
    /// A version's files will be deleted once its grace time is over.
    Tombstone {
        /// Model.
        name: ModelName,
        /// Version.
        version: Version,
    },
    /// A version's files are being deleted. It stays in the log for ever.
    Purged {
        /// Model.
        name: ModelName,
        /// Version.
        version: Version,
    },
    /// The share of readers that meet a version changes; 0 ends the trial.
    Canary {
        /// Model.
        name: ModelName,
        /// The version on trial.
        version: Version,
        /// Share of readers in basis points.
        weight_bp: u16,
        /// Key of the split; constant during one trial.
        salt: Salt,
    },
    /// A version did harm on trial: it meets no reader until a person has released it.
    Quarantine {
        /// Model.
        name: ModelName,
        /// Version.
        version: Version,
        /// Digest of its model file, so that the same model does not come back under another number.
        artifact_sha256: String,
    },
    /// A person lets a version out of quarantine.
    Release {
        /// Model.
        name: ModelName,
        /// Version.
        version: Version,
    },
    /// A retrain was asked for, once per id.
    Trigger {
        /// Model.
        name: ModelName,
        /// Unique per cause.
        trigger_id: String,
        /// What kind of cause.
        kind: TriggerKind,
        /// The Workflow or run that does it.
        workflow: String,
    },
    /// Writers that opened the registry before this entry may write no more.
    Fence {
        /// Higher than any epoch before.
        epoch: u64,
    },
    /// An op of a newer build: this one may read on, but must not write.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register { name, version, .. } => write!(f, "{name}: version {version} registered"),
            Self::Sign { name, version, .. } => write!(f, "{name}: version {version} signed"),
            Self::Approve { name, version } => write!(f, "{name}: version {version} approved"),
            Self::AliasSet { name, alias, expect: Some(from), to } => write!(f, "{name}: {alias} {from} -> {to}"),
            Self::AliasSet { name, alias, expect: None, to } => write!(f, "{name}: {alias} -> {to}"),
            Self::AliasDelete { name, alias, expect } => write!(f, "{name}: {alias} removed from {expect}"),
            Self::Tag { name, version, key, value: Some(value) } => {
                write!(f, "{name}: version {version} tagged {key}={value}")
            }
            Self::Tag { name, version, key, value: None } => write!(f, "{name}: version {version} untagged {key}"),
            Self::Status { name, version, status } => write!(f, "{name}: version {version} {}", status.as_str()),
            Self::Tombstone { name, version } => write!(f, "{name}: version {version} marked for deletion"),
            Self::Purged { name, version } => write!(f, "{name}: files of version {version} deleted"),
            Self::Canary { name, version, weight_bp: 0, .. } => write!(f, "{name}: trial of version {version} ended"),
            Self::Canary { name, version, weight_bp, .. } => {
                write!(f, "{name}: version {version} to {} % of readers", f64::from(*weight_bp) / 100.0)
            }
            Self::Quarantine { name, version, .. } => write!(f, "{name}: version {version} in quarantine"),
            Self::Release { name, version } => write!(f, "{name}: version {version} released from quarantine"),
            Self::Trigger { name, kind, workflow, .. } => write!(f, "{name}: {} retrain {workflow}", kind.as_str()),
            Self::Fence { epoch } => write!(f, "fence: writers from before epoch {epoch} may write no more"),
            Self::Unknown => f.write_str("an op of a newer build"),
        }
    }
}

/// The tag whose presence keeps a version's files from being deleted.
pub const PIN: &str = "pin";

/// Whether a version may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// May be pointed at and served.
    Active,
    /// Kept for the record; takes no new alias.
    Archived,
    /// Must not be served, ever again.
    Revoked,
    /// Its files will be deleted; returns to [`Status::Active`] if someone objects in time.
    Tombstoned,
    /// Its files are gone.
    Purged,
}

impl Status {
    /// The status in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Archived => "archived",
            Self::Revoked => "revoked",
            Self::Tombstoned => "tombstoned",
            Self::Purged => "purged",
        }
    }
}
