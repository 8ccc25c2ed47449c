//! Deleting what nothing needs: first a tombstone that anyone may object to, after a grace time the entry that gives the
//! files up, and only then the objects.
//!
//! The entry comes before the deletion, not after: whether a version is given up is decided in the log, where a rival
//! decision to keep it would be seen. A collector that dies in between leaves objects without a reference, which the
//! next one removes.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{Error, Intent, ModelState, Op, Registry, State, Status};
use crate::{
    id::{Alias, ModelName, Version},
    store::{Listed, key},
};

/// The least age of an object that may be deleted: longer than any upload takes from its first file to its commit.
pub const MIN_AGE: SignedDuration = SignedDuration::from_hours(24);
/// Checkpoints that are kept. Older ones only help a reader that is given an old hint.
const KEEP_CHECKPOINTS: usize = 4;

/// What is kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// The newest versions of every model, whatever points at them.
    pub keep_last: usize,
    /// From registration to the tombstone, and from the tombstone to the deletion.
    pub grace: SignedDuration,
    /// Least age of an object by the store's clock; at least [`MIN_AGE`].
    pub min_age: SignedDuration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep_last: 10, grace: SignedDuration::from_hours(7 * 24), min_age: MIN_AGE }
    }
}

/// What a collection did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Collection {
    /// Versions that get a tombstone.
    pub tombstoned: Vec<(ModelName, Version)>,
    /// Versions whose grace time is over and whose files are given up.
    pub purged: Vec<(ModelName, Version)>,
    /// Objects deleted: files of purged versions, left-overs of runs that died, old checkpoints, evidence of trials that
    /// are over.
    pub objects: Vec<String>,
    /// Their size in bytes.
    pub bytes: u64,
}

impl Registry {
    /// What [`Registry::collect`] would do at `now`, without doing it.
    pub async fn collectable(&self, retention: &Retention, now: Timestamp) -> Result<Collection, Error> {
        check(retention)?;
        let state = self.refresh().await?;
        let (tombstoned, purged) = (unneeded(&state, retention, now), ripe(&state, retention, now));
        let gone: BTreeSet<_> = purged.iter().cloned().collect();
        let doomed = self.unreferenced(&state, &gone, retention, now).await?;
        let bytes = doomed.iter().map(|object| object.bytes).sum();
        Ok(Collection { tombstoned, purged, objects: doomed.into_iter().map(|object| object.key).collect(), bytes })
    }

    /// Tombstones versions nothing needs, gives up those whose grace is over, and deletes objects without a reference.
    ///
    /// `intent.at` is the time by which ages are judged. Repeating is safe at any point.
    pub async fn collect(&self, retention: &Retention, intent: &Intent) -> Result<Collection, Error> {
        check(retention)?;
        let now = intent.at;
        let mut done = Collection::default();
        let state = self.refresh().await?;
        if !unneeded(&state, retention, now).is_empty() || !ripe(&state, retention, now).is_empty() {
            let receipt = self
                .commit(intent, |state| {
                    let marks = unneeded(state, retention, now).into_iter();
                    let ripe = ripe(state, retention, now).into_iter();
                    let marks = marks.map(|(name, version)| Op::Tombstone { name, version });
                    Ok(marks.chain(ripe.map(|(name, version)| Op::Purged { name, version })).collect())
                })
                .await?;
            for op in receipt.entry.ops {
                match op {
                    Op::Tombstone { name, version } => done.tombstoned.push((name, version)),
                    Op::Purged { name, version } => done.purged.push((name, version)),
                    _ => {}
                }
            }
        }
        let state = self.refresh().await?;
        for object in self.unreferenced(&state, &BTreeSet::new(), retention, now).await? {
            // An upload that found the object there has written it again, which shows in its age.
            let still_old = self.store.head(&object.key).await?.is_some_and(|found| is_old(&found, retention, now));
            if still_old {
                self.store.delete(&object.key).await?;
                done.bytes += object.bytes;
                done.objects.push(object.key);
            }
        }
        Ok(done)
    }

    /// Old objects that no version of `state` refers to, save those in `gone`, checkpoints that are not among the newest,
    /// and what was counted in trials that are over.
    async fn unreferenced(
        &self,
        state: &State,
        gone: &BTreeSet<(ModelName, Version)>,
        retention: &Retention,
        now: Timestamp,
    ) -> Result<Vec<Listed>, Error> {
        let mut needed = BTreeSet::new();
        for (name, model) in &state.models {
            for (version, standing) in &model.versions {
                if standing.status == Status::Purged || gone.contains(&(name.clone(), *version)) {
                    continue;
                }
                needed.insert(key::manifest(name, &standing.manifest_sha256));
                needed
                    .extend((0..standing.signatures.len()).map(|n| key::signature(name, &standing.manifest_sha256, n)));
                let manifest = self.manifest_of(name, standing).await?;
                needed.extend(manifest.files.iter().map(|file| key::blob(&file.sha256)));
            }
        }
        let mut doomed = Vec::new();
        for folder in [key::BLOBS, key::MODELS] {
            let listed = self.store.list(folder).await?.into_iter();
            doomed.extend(listed.filter(|object| !needed.contains(&object.key) && is_old(object, retention, now)));
        }
        let checkpoints = self.store.list(key::CHECKPOINTS).await?.into_iter().rev();
        let numbered = checkpoints.filter(|object| key::number(&object.key).is_some());
        doomed.extend(numbered.skip(KEEP_CHECKPOINTS).filter(|object| is_old(object, retention, now)));
        let running: Vec<String> = state.models.iter().filter_map(|(name, model)| running_trial(name, model)).collect();
        let counted = self.store.list(key::TRIALS).await?.into_iter();
        let over = counted.filter(|object| !running.iter().any(|folder| object.key.starts_with(folder.as_str())));
        doomed.extend(over.filter(|object| is_old(object, retention, now)));
        Ok(doomed)
    }
}

/// The folder of the evidence of a model's running trial, with its slash.
fn running_trial(name: &ModelName, model: &ModelState) -> Option<String> {
    let (canary, production) = (model.canary?, model.aliases.get(&Alias::production())?);
    let began = model.trial_steps.first()?.since;
    let trial = key::trial_name(canary.version, *production, &canary.salt, began);
    Some(format!("{}/", key::trial(name, &trial)))
}

fn check(retention: &Retention) -> Result<(), Error> {
    if retention.min_age < MIN_AGE {
        return Err(Error::Refused(format!("min-age {:#}: expected at least {MIN_AGE:#}", retention.min_age)));
    }
    if retention.grace.is_negative() {
        return Err(Error::Refused(format!("grace {:#}: expected 0 or more", retention.grace)));
    }
    Ok(())
}

fn is_old(object: &Listed, retention: &Retention, now: Timestamp) -> bool {
    now.duration_since(object.modified) >= retention.min_age
}

/// Versions that nothing points at, nobody pinned, and that are neither young nor among the newest.
fn unneeded(state: &State, retention: &Retention, now: Timestamp) -> Vec<(ModelName, Version)> {
    let of_model = |(name, model): (&ModelName, &ModelState)| {
        let old = model.versions.iter().rev().skip(retention.keep_last).filter(|(version, standing)| {
            standing.tombstoned_at.is_none()
                && standing.status != Status::Purged
                && !model.is_held(**version)
                && now.duration_since(standing.registered_at) >= retention.grace
        });
        let mut versions: Vec<_> = old.map(|(version, _)| (name.clone(), *version)).collect();
        versions.reverse();
        versions
    };
    state.models.iter().flat_map(of_model).collect()
}

/// Versions whose tombstone is older than the grace time.
fn ripe(state: &State, retention: &Retention, now: Timestamp) -> Vec<(ModelName, Version)> {
    let of_model = |(name, model): (&ModelName, &ModelState)| {
        let over = model.versions.iter().filter(|(version, standing)| {
            standing.status != Status::Purged
                && !model.is_held(**version)
                && standing.tombstoned_at.is_some_and(|at| now.duration_since(at) >= retention.grace)
        });
        over.map(|(version, _)| (name.clone(), *version)).collect::<Vec<_>>()
    };
    state.models.iter().flat_map(of_model).collect()
}
