//! What the log adds up to, and the rules a commit must keep. No I/O: the same fold runs in writers, readers and tests.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    error::Error,
    log::{Entry, Op, Status},
};
use crate::{
    id::{Alias, ModelName, Version},
    split::{Salt, WHOLE_BP},
};

/// Everything the registry knows after some log entry.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Id of the last folded entry; 0 for an empty log.
    pub last_id: u64,
    /// Digest of that entry's bytes.
    pub last_sha256: String,
    /// Models by name.
    pub models: BTreeMap<ModelName, ModelState>,
    /// Entry by idempotency key.
    pub(super) keys: BTreeMap<String, u64>,
    /// Retrains asked for, by trigger id.
    pub triggers: BTreeMap<String, TriggerRecord>,
}

/// One registered model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelState {
    /// Versions, ascending, without gaps from 1.
    pub versions: BTreeMap<Version, VersionState>,
    /// Where each alias points.
    pub aliases: BTreeMap<Alias, Version>,
    /// The version on trial, if any.
    pub canary: Option<Canary>,
}

/// One version's standing.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionState {
    /// Digest of its manifest.
    pub manifest_sha256: String,
    /// Whether it may be served.
    pub status: Status,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// Who found it fit for production, if anyone.
    pub approval: Option<Approval>,
}

/// A person's word for a version.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// A version that part of the readers meets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Canary {
    /// Which.
    pub version: Version,
    /// Share of readers in basis points, above 0.
    pub weight_bp: u16,
    /// Key of the split.
    pub salt: Salt,
}

/// A retrain that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerRecord {
    /// The Workflow or run that does it.
    pub workflow: String,
    /// When it was recorded.
    pub at: Timestamp,
}

impl State {
    /// A model's state, or the error that says there is none.
    pub fn model(&self, name: &ModelName) -> Result<&ModelState, Error> {
        self.models.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.models.keys().map(ModelName::as_str).collect();
            Error::NotFound(format!("model {name}; known: [{}]", known.join(", ")))
        })
    }

    /// The state after `entry`, whose stored bytes have the digest `sha256`. All ops hold or none is applied.
    pub fn after(&self, entry: &Entry, sha256: String) -> Result<Self, Error> {
        let mut next = self.clone();
        for op in &entry.ops {
            next.apply(op, entry)?;
        }
        if let Some(key) = &entry.idempotency_key {
            next.keys.insert(key.clone(), entry.id);
        }
        next.last_id = entry.id;
        next.last_sha256 = sha256;
        Ok(next)
    }

    fn apply(&mut self, op: &Op, entry: &Entry) -> Result<(), Error> {
        match op {
            Op::Register { name, version, manifest_sha256 } => {
                let model = self.models.entry(name.clone()).or_default();
                let next = model.next_version();
                expect_equal(format!("next version of {name}"), version, &next)?;
                let (manifest_sha256, registered_at) = (manifest_sha256.clone(), entry.at);
                let fresh = VersionState { manifest_sha256, status: Status::Active, registered_at, approval: None };
                model.versions.insert(*version, fresh);
            }
            Op::Approve { name, version } => {
                let (actor, reason) = (entry.actor.clone(), entry.reason.clone());
                let found = self.version_mut(name, *version)?;
                if found.status != Status::Active {
                    return Err(Error::Refused(format!("version {version} of {name} is {:?}", found.status)));
                }
                found.approval = Some(Approval { actor, reason, at: entry.at });
            }
            Op::AliasSet { name, alias, expect, to } => {
                let approved = {
                    let target = self.version_mut(name, *to)?;
                    if target.status != Status::Active {
                        return Err(Error::Refused(format!("version {to} of {name} is {:?}", target.status)));
                    }
                    target.approval.is_some()
                };
                if *alias == Alias::production() && !approved {
                    return Err(Error::Refused(format!(
                        "version {to} of {name} is not approved; `models approve` records who and why"
                    )));
                }
                let model = self.model_mut(name)?;
                model.expect_alias(name, alias, *expect)?;
                model.aliases.insert(alias.clone(), *to);
            }
            Op::AliasDelete { name, alias, expect } => {
                let model = self.model_mut(name)?;
                model.expect_alias(name, alias, Some(*expect))?;
                model.aliases.remove(alias);
            }
            Op::Status { name, version, status } => {
                self.version_mut(name, *version)?.status = *status;
                if *status != Status::Active {
                    let model = self.model_mut(name)?;
                    if let Some((alias, _)) = model.aliases.iter().find(|(_, pointed)| *pointed == version) {
                        return Err(Error::Refused(format!(
                            "version {version} of {name} is pointed at by {alias}; move the alias first"
                        )));
                    }
                    if model.canary.is_some_and(|canary| canary.version == *version) {
                        model.canary = None;
                    }
                }
            }
            Op::Canary { name, version, weight_bp, salt } => {
                if *weight_bp > WHOLE_BP {
                    return Err(Error::Refused(format!("canary weight {weight_bp} is above {WHOLE_BP} basis points")));
                }
                if self.version_mut(name, *version)?.status != Status::Active {
                    return Err(Error::Refused(format!("version {version} of {name} is not active")));
                }
                let model = self.model_mut(name)?;
                let trial = Canary { version: *version, weight_bp: *weight_bp, salt: *salt };
                model.canary = (*weight_bp > 0).then_some(trial);
            }
            Op::Trigger { name, trigger_id, workflow, .. } => {
                if let Some(earlier) = self.triggers.get(trigger_id) {
                    return Err(Error::Conflict {
                        what: format!("trigger {trigger_id} of {name}"),
                        expected: "not yet recorded".into(),
                        found: earlier.workflow.clone(),
                    });
                }
                let record = TriggerRecord { workflow: workflow.clone(), at: entry.at };
                self.triggers.insert(trigger_id.clone(), record);
            }
        }
        Ok(())
    }

    fn model_mut(&mut self, name: &ModelName) -> Result<&mut ModelState, Error> {
        self.model(name)?;
        Ok(self.models.get_mut(name).expect("it was just found"))
    }

    fn version_mut(&mut self, name: &ModelName, version: Version) -> Result<&mut VersionState, Error> {
        let model = self.model_mut(name)?;
        model.version(name, version)?;
        Ok(model.versions.get_mut(&version).expect("it was just found"))
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

    fn expect_alias(&self, name: &ModelName, alias: &Alias, expect: Option<Version>) -> Result<(), Error> {
        let show = |version: Option<Version>| version.map_or_else(|| "unset".to_owned(), |version| version.to_string());
        let found = self.aliases.get(alias).copied();
        expect_equal(format!("alias {alias} of {name}"), &show(expect), &show(found))
    }
}

fn expect_equal<T: PartialEq + std::fmt::Display>(what: String, expected: &T, found: &T) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Conflict { what, expected: expected.to_string(), found: found.to_string() })
}
