//! The commit log's entries: what one commit says, and the bytes it is stored as.
//!
//! Entry `n` is the object `log/<n>`; each names the digest of the one before, so no past can be changed unnoticed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    digest,
    id::{Alias, ModelName, Version},
    manifest::TriggerKind,
    split::Salt,
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
    /// sha256 of the bytes of entry `id - 1`, hex; empty for the first.
    pub prev_sha256: String,
    /// Drawn once per attempt to commit: tells a writer its own entry from another's.
    pub nonce: String,
    /// The writer's clock, for people only: order is the id's.
    pub at: Timestamp,
    /// Who decided.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Repeating a commit under the same key changes nothing and returns the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// What changes, all or nothing.
    pub ops: Vec<Op>,
}

impl Entry {
    /// The entry's bytes: one line of JSON.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an entry has no maps with odd keys")
    }
}

/// Digest by which the next entry names this one's bytes.
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
    /// A version may or may no longer be served.
    Status {
        /// Model.
        name: ModelName,
        /// Version.
        version: Version,
        /// New status.
        status: Status,
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
}

/// Whether a version may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// May be pointed at and served.
    Active,
    /// Kept for the record; takes no new alias.
    Archived,
    /// Must not be served.
    Revoked,
}
