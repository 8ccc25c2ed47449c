//! The rules a commit must keep, and what it changes. Every op is judged against the state as the ops before it in the
//! same commit leave it; nothing touches the state until all of them hold.

use std::collections::BTreeMap;

use super::{
    error::Error,
    log::{Entry, Op, Status},
    state::{Approval, Canary, Quarantine, State, TrialStep, TriggerRecord, VersionState},
};
use crate::{
    id::{Alias, ModelName, Version},
    split::WHOLE_BP,
    store::key,
};

/// The longest tag key, bytes.
const MAX_TAG_KEY: usize = 128;
/// The longest tag value, bytes.
const MAX_TAG_VALUE: usize = 4096;

/// A trial with its steps.
type Trial = (Canary, Vec<TrialStep>);

/// What one entry changes: the new value of every place it touches.
#[derive(Debug, Default)]
pub(super) struct Change {
    entry_id: u64,
    key: Option<String>,
    epoch: Option<u64>,
    unknown: bool,
    versions: BTreeMap<(ModelName, Version), VersionState>,
    aliases: BTreeMap<(ModelName, Alias), Option<Version>>,
    trials: BTreeMap<ModelName, Option<Trial>>,
    triggers: BTreeMap<String, TriggerRecord>,
}

impl Change {
    /// What `entry` changes in `state`, or the first rule it breaks.
    pub(super) fn of(state: &State, entry: &Entry) -> Result<Self, Error> {
        let corrupt = |expected, found| Error::Corrupt { object: key::log(entry.id), expected, found };
        if entry.id != state.last_id + 1 {
            return Err(corrupt(format!("id {}", state.last_id + 1), format!("id {}", entry.id)));
        }
        if entry.prev_sha256 != state.last_sha256 {
            return Err(corrupt(format!("predecessor {}", state.last_sha256), entry.prev_sha256.clone()));
        }
        if entry.epoch != state.epoch {
            return Err(Error::Fenced { opened: entry.epoch, now: state.epoch });
        }
        let change = Self { entry_id: entry.id, key: entry.idempotency_key.clone(), ..Self::default() };
        let mut judge = Judge { state, entry, change };
        entry.ops.iter().try_for_each(|op| judge.admit(op))?;
        Ok(judge.change)
    }

    /// Makes it so. `sha256` is the digest of the entry's bytes.
    pub(super) fn apply(self, state: &mut State, sha256: String) {
        for ((name, version), standing) in self.versions {
            state.models.entry(name).or_default().versions.insert(version, standing);
        }
        for ((name, alias), to) in self.aliases {
            let aliases = &mut state.models.entry(name).or_default().aliases;
            match to {
                Some(to) => aliases.insert(alias, to),
                None => aliases.remove(&alias),
            };
        }
        for (name, trial) in self.trials {
            let model = state.models.entry(name).or_default();
            model.canary = trial.as_ref().map(|(canary, _)| *canary);
            model.trial_steps = trial.map(|(_, steps)| steps).unwrap_or_default();
        }
        for (id, record) in self.triggers {
            state.triggers.remember(self.entry_id, id, record);
        }
        if let Some(key) = self.key {
            state.keys.remember(self.entry_id, key, ());
        }
        state.keys.forget(self.entry_id);
        state.triggers.forget(self.entry_id);
        state.epoch = self.epoch.unwrap_or(state.epoch);
        if self.unknown && state.beyond_us.is_none() {
            state.beyond_us = Some(self.entry_id);
        }
        state.last_id = self.entry_id;
        state.last_sha256 = sha256;
    }
}

/// The state before, and what the ops so far have changed.
struct Judge<'a> {
    state: &'a State,
    entry: &'a Entry,
    change: Change,
}

impl Judge<'_> {
    fn admit(&mut self, op: &Op) -> Result<(), Error> {
        match op {
            Op::Register { name, version, manifest_sha256, signature_sha256 } => {
                expect_equal(format!("next version of {name}"), version, &self.next_version(name))?;
                let mut fresh = VersionState::new(manifest_sha256, self.entry.at, &self.entry.actor);
                fresh.signatures.extend(signature_sha256.clone());
                self.change.versions.insert((name.clone(), *version), fresh);
            }
            Op::Sign { name, version, signature_sha256 } => {
                let standing = self.version_mut(name, *version)?;
                if !standing.signatures.contains(signature_sha256) {
                    standing.signatures.push(signature_sha256.clone());
                }
            }
            Op::Approve { name, version } => {
                let (actor, reason, at) = (self.entry.actor.clone(), self.entry.reason.clone(), self.entry.at);
                self.active_mut(name, *version)?.approval = Some(Approval { actor, reason, at });
            }
            Op::AliasSet { name, alias, expect, to } => {
                let approved = self.active_mut(name, *to)?.approval.is_some();
                if *alias == Alias::production() {
                    if !approved {
                        return Err(Error::Refused(format!(
                            "version {to} of {name} is not approved; `models approve` records who and why"
                        )));
                    }
                    self.expect_free(name, *to)?;
                    self.compare_anew(name, *to);
                }
                self.expect_alias(name, alias, *expect)?;
                self.change.aliases.insert((name.clone(), alias.clone()), Some(*to));
            }
            Op::AliasDelete { name, alias, expect } => {
                self.expect_alias(name, alias, Some(*expect))?;
                self.change.aliases.insert((name.clone(), alias.clone()), None);
            }
            Op::Tag { name, version, key, value } => self.tag(name, *version, key, value.as_deref())?,
            Op::Status { name, version, status } => self.set_status(name, *version, *status)?,
            Op::Tombstone { name, version } => {
                self.expect_unheld(name, *version)?;
                let at = self.entry.at;
                let standing = self.version_mut(name, *version)?;
                if matches!(standing.status, Status::Tombstoned | Status::Purged) {
                    return Err(is(name, *version, standing.status));
                }
                standing.tombstoned_at = Some(at);
                // A revoked version stays revoked: it must not return to service by way of its tombstone.
                if standing.status != Status::Revoked {
                    standing.status = Status::Tombstoned;
                }
            }
            Op::Purged { name, version } => {
                let standing = self.version_mut(name, *version)?;
                if standing.tombstoned_at.is_none() {
                    return Err(Error::Refused(format!("version {version} of {name} has no tombstone")));
                }
                standing.status = Status::Purged;
            }
            Op::Canary { name, version, weight_bp, salt } => {
                self.set_share(name, Canary { version: *version, weight_bp: *weight_bp, salt: *salt })?;
            }
            Op::Quarantine { name, version, artifact_sha256 } => self.quarantine(name, *version, artifact_sha256)?,
            Op::Release { name, version } => {
                let standing = self.version_mut(name, *version)?;
                if standing.quarantine.take().is_none() {
                    return Err(Error::Refused(format!("version {version} of {name} is not in quarantine")));
                }
            }
            Op::Trigger { name, trigger_id, workflow, .. } => {
                let earlier = self.change.triggers.get(trigger_id).or_else(|| self.state.triggers.get(trigger_id));
                if let Some(earlier) = earlier {
                    return Err(Error::Conflict {
                        what: format!("trigger {trigger_id} of {name}"),
                        expected: "not yet recorded".into(),
                        found: earlier.workflow.clone(),
                    });
                }
                let record = TriggerRecord { workflow: workflow.clone(), at: self.entry.at };
                self.change.triggers.insert(trigger_id.clone(), record);
            }
            Op::Fence { epoch } => {
                let now = self.change.epoch.unwrap_or(self.state.epoch);
                if *epoch <= now {
                    return Err(Error::Conflict {
                        what: "fence epoch".into(),
                        expected: format!("above {now}"),
                        found: epoch.to_string(),
                    });
                }
                self.change.epoch = Some(*epoch);
            }
            Op::Unknown => self.change.unknown = true,
        }
        Ok(())
    }

    fn set_status(&mut self, name: &ModelName, version: Version, status: Status) -> Result<(), Error> {
        if matches!(status, Status::Tombstoned | Status::Purged) {
            return Err(Error::Refused(format!("status {} is set by collecting garbage only", status.as_str())));
        }
        let standing = self.version_mut(name, version)?;
        let ends_here = match standing.status {
            Status::Revoked | Status::Purged => true,
            // Either someone objects to the deletion, or it goes on.
            Status::Tombstoned => status == Status::Archived,
            Status::Active | Status::Archived => false,
        };
        if ends_here && standing.status != status {
            return Err(is(name, version, standing.status));
        }
        standing.status = status;
        if status == Status::Active {
            standing.tombstoned_at = None;
            return Ok(());
        }
        if let Some(alias) = self.alias_of(name, version) {
            return Err(Error::Refused(format!(
                "version {version} of {name} is pointed at by {alias}; move the alias first"
            )));
        }
        if self.trial(name).is_some_and(|(canary, _)| canary.version == version) {
            self.change.trials.insert(name.clone(), None);
        }
        Ok(())
    }

    /// Begins, moves or ends a trial.
    fn set_share(&mut self, name: &ModelName, canary: Canary) -> Result<(), Error> {
        let Canary { version, weight_bp, .. } = canary;
        if weight_bp > WHOLE_BP {
            return Err(Error::Refused(format!("canary weight {weight_bp} is above {WHOLE_BP} basis points")));
        }
        self.active_mut(name, version)?;
        if weight_bp > 0 {
            self.expect_free(name, version)?;
        }
        let trial = (weight_bp > 0).then(|| self.stepped(name, canary));
        self.change.trials.insert(name.clone(), trial);
        Ok(())
    }

    /// Holds a version back from readers, and ends its trial.
    fn quarantine(&mut self, name: &ModelName, version: Version, artifact_sha256: &str) -> Result<(), Error> {
        if self.alias(name, &Alias::production()) == Some(version) {
            return Err(Error::Refused(format!("version {version} of {name} is in production; roll it back first")));
        }
        let (actor, reason, at) = (self.entry.actor.clone(), self.entry.reason.clone(), self.entry.at);
        let quarantine = Quarantine { artifact_sha256: artifact_sha256.into(), actor, reason, at };
        self.version_mut(name, version)?.quarantine = Some(quarantine);
        if self.trial(name).is_some_and(|(canary, _)| canary.version == version) {
            self.change.trials.insert(name.clone(), None);
        }
        Ok(())
    }

    fn expect_free(&mut self, name: &ModelName, version: Version) -> Result<(), Error> {
        match &self.version_mut(name, version)?.quarantine {
            None => Ok(()),
            Some(Quarantine { reason, .. }) => Err(Error::Refused(format!(
                "version {version} of {name} is in quarantine ({reason}); `models release` records who lets it out and why"
            ))),
        }
    }

    fn tag(&mut self, name: &ModelName, version: Version, key: &str, value: Option<&str>) -> Result<(), Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if key.is_empty() || key.len() > MAX_TAG_KEY || !key.chars().all(plain) {
            return Err(Error::Refused(format!(
                "tag key {key:?}: expected 1 to {MAX_TAG_KEY} letters, digits, '-', '_', '.' or '/'"
            )));
        }
        let standing = self.version_mut(name, version)?;
        match value {
            Some(value) if value.len() > MAX_TAG_VALUE => {
                let found = value.len();
                return Err(Error::Refused(format!(
                    "tag {key}: expected at most {MAX_TAG_VALUE} bytes, found {found}"
                )));
            }
            Some(value) => standing.tags.insert(key.into(), value.into()),
            None => standing.tags.remove(key),
        };
        Ok(())
    }

    fn next_version(&self, name: &ModelName) -> Version {
        let of_this_model = (name.clone(), Version::FIRST)..=(name.clone(), Version::MAX);
        let newest = self.change.versions.range(of_this_model).next_back().map(|((_, version), _)| *version);
        let before = self.state.models.get(name).and_then(|model| model.versions.last_key_value());
        let last = newest.max(before.map(|(version, _)| *version));
        last.map_or(Version::FIRST, Version::next)
    }

    fn version_mut(&mut self, name: &ModelName, version: Version) -> Result<&mut VersionState, Error> {
        let place = (name.clone(), version);
        if !self.change.versions.contains_key(&place) {
            let standing = self.state.model(name)?.version(name, version)?.clone();
            self.change.versions.insert(place.clone(), standing);
        }
        Ok(self.change.versions.get_mut(&place).expect("it was found or just put there"))
    }

    fn active_mut(&mut self, name: &ModelName, version: Version) -> Result<&mut VersionState, Error> {
        let standing = self.version_mut(name, version)?;
        if standing.status == Status::Active { Ok(standing) } else { Err(is(name, version, standing.status)) }
    }

    fn alias(&self, name: &ModelName, alias: &Alias) -> Option<Version> {
        let before = || self.state.models.get(name).and_then(|model| model.aliases.get(alias)).copied();
        self.change.aliases.get(&(name.clone(), alias.clone())).copied().unwrap_or_else(before)
    }

    /// One of the aliases that point at a version.
    fn alias_of(&self, name: &ModelName, version: Version) -> Option<Alias> {
        let before = self.state.models.get(name).into_iter().flat_map(|model| model.aliases.keys());
        let changed = self.change.aliases.keys().filter(|(of, _)| of == name).map(|(_, alias)| alias);
        before.chain(changed).find(|alias| self.alias(name, alias) == Some(version)).cloned()
    }

    fn trial(&self, name: &ModelName) -> Option<Trial> {
        let before = || {
            let model = self.state.models.get(name)?;
            Some((model.canary?, model.trial_steps.clone()))
        };
        self.change.trials.get(name).cloned().unwrap_or_else(before)
    }

    /// A trial with one more step, unless its share is what it was. Another version or salt is another trial.
    fn stepped(&self, name: &ModelName, canary: Canary) -> Trial {
        let running = self.trial(name).filter(|(old, _)| (old.version, old.salt) == (canary.version, canary.salt));
        let mut steps = running.map(|(_, steps)| steps).unwrap_or_default();
        if steps.last().is_none_or(|step| step.weight_bp != canary.weight_bp) {
            steps.push(TrialStep { weight_bp: canary.weight_bp, since: self.entry.at });
        }
        (canary, steps)
    }

    /// A trial against another version in production begins again at its share.
    fn compare_anew(&mut self, name: &ModelName, production: Version) {
        if let Some((canary, _)) = self.trial(name)
            && self.alias(name, &Alias::production()) != Some(production)
        {
            let steps = vec![TrialStep { weight_bp: canary.weight_bp, since: self.entry.at }];
            self.change.trials.insert(name.clone(), Some((canary, steps)));
        }
    }

    fn expect_alias(&self, name: &ModelName, alias: &Alias, expect: Option<Version>) -> Result<(), Error> {
        let show = |version: Option<Version>| version.map_or_else(|| "unset".to_owned(), |version| version.to_string());
        expect_equal(format!("alias {alias} of {name}"), &show(expect), &show(self.alias(name, alias)))
    }

    fn expect_unheld(&mut self, name: &ModelName, version: Version) -> Result<(), Error> {
        let pinned = self.version_mut(name, version)?.tags.contains_key(super::log::PIN);
        let on_trial = self.trial(name).is_some_and(|(canary, _)| canary.version == version);
        let holder = match self.alias_of(name, version) {
            Some(alias) => format!("pointed at by {alias}"),
            None if on_trial => "on trial".into(),
            None if pinned => "pinned".into(),
            None => return Ok(()),
        };
        Err(Error::Refused(format!("version {version} of {name} is {holder}")))
    }
}

fn is(name: &ModelName, version: Version, status: Status) -> Error {
    Error::Refused(format!("version {version} of {name} is {}", status.as_str()))
}

fn expect_equal<T: PartialEq + std::fmt::Display>(what: String, expected: &T, found: &T) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Conflict { what, expected: expected.to_string(), found: found.to_string() })
}
