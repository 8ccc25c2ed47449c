//! The registry: versions, aliases and every decision about them, on plain object storage.
//!
//! The truth is a numbered log of immutable entries; a commit is the create-if-absent of the next number. That is the
//! one conditional write all supported stores share. A writer whose create was doubtful reads the entry back and
//! knows its own by the nonce.

mod error;
mod log;
mod publish;
mod state;
mod verify;

use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    error::Error,
    log::{Entry, FORMAT, Op, Status},
    publish::{Draft, Loaded, Published},
    state::{Approval, Canary, ModelState, State, TriggerRecord, VersionState},
    verify::Verification,
};
use crate::{
    id::{Alias, ModelName, Version},
    store::{self, Created, Store, key},
};

/// Who commits, why and when.
#[derive(Debug, Clone)]
pub struct Intent {
    /// Who decided: a person, or the name of the part that did.
    pub actor: String,
    /// Why, in a sentence.
    pub reason: String,
    /// The writer's clock.
    pub at: Timestamp,
    /// Set when the same decision may be sent twice.
    pub idempotency_key: Option<String>,
}

impl Intent {
    /// An intent without an idempotency key.
    pub fn new(actor: impl Into<String>, reason: impl Into<String>, at: Timestamp) -> Self {
        Self { actor: actor.into(), reason: reason.into(), at, idempotency_key: None }
    }

    /// The same intent, safe to send twice under `key`.
    #[must_use]
    pub fn once(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }
}

/// What a commit did.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The entry in the log, ours or the earlier one under the same idempotency key.
    pub entry: Entry,
    /// Whether it was there before.
    pub repeated: bool,
}

/// `registry.json`: who may read and write.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    format: u32,
    min_reader: u32,
    min_writer: u32,
}

/// Races lost in a row before a writer gives up.
const MAX_RACES: u32 = 64;
/// Times the same bytes are sent to the same id when the store contradicts itself.
const MAX_REPEATS: u32 = 8;
/// Entries fetched at once when many are new.
const FETCH_AHEAD: usize = 32;

/// A handle to one tenant's registry: its store, and the last state it has folded.
///
/// Cheap to share behind an `Arc`. Readers and writers use the same type; reading needs no rights to write.
#[derive(Debug)]
pub struct Registry {
    store: Store,
    state: RwLock<Arc<State>>,
    folding: tokio::sync::Mutex<()>,
}

impl Registry {
    /// Opens the registry below a tenant's root and folds its log. An empty place is an empty registry.
    pub async fn open(store: Store) -> Result<Self, Error> {
        if let Some(bytes) = store.get(key::REGISTRY).await? {
            let marker: Marker = serde_json::from_slice(&bytes).map_err(|error| Error::Corrupt {
                object: key::REGISTRY.into(),
                expected: "format, min_reader, min_writer".into(),
                found: error.to_string(),
            })?;
            if marker.min_reader > FORMAT {
                let (object, found) = (key::REGISTRY.into(), marker.min_reader);
                return Err(Error::Unsupported { object, found, supported: FORMAT });
            }
        }
        let registry = Self { store, state: RwLock::default(), folding: tokio::sync::Mutex::default() };
        registry.refresh().await?;
        Ok(registry)
    }

    /// The place it is stored.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The last folded state, without asking the store.
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().expect("no panic happens while this lock is held"))
    }

    /// Folds what is new and returns the state: one small read when nothing is.
    ///
    /// On an error the last good state stays in place.
    pub async fn refresh(&self) -> Result<Arc<State>, Error> {
        let _one_at_a_time = self.folding.lock().await;
        let mut state = self.state();
        let mut batch = 1;
        loop {
            let ids = state.last_id + 1..=state.last_id + batch;
            let found: Vec<(u64, Option<Bytes>)> = futures::stream::iter(ids)
                .map(|id| async move { Ok::<_, store::Error>((id, self.store.get(&key::log(id)).await?)) })
                .buffered(FETCH_AHEAD)
                .try_collect()
                .await?;
            for (id, bytes) in found {
                let Some(bytes) = bytes else {
                    return Ok(state);
                };
                state = Arc::new(fold(&state, id, &bytes)?);
                *self.state.write().expect("no panic happens while this lock is held") = Arc::clone(&state);
            }
            batch = FETCH_AHEAD as u64;
        }
    }

    /// Every entry of the log, ascending, checked as they are read.
    pub async fn entries(&self) -> Result<Vec<Entry>, Error> {
        let last = self.refresh().await?.last_id;
        let entries = futures::stream::iter(1..=last).map(|id| self.entry(id)).buffered(FETCH_AHEAD);
        entries.try_collect().await
    }

    async fn entry(&self, id: u64) -> Result<Entry, Error> {
        let object = key::log(id);
        let missing =
            || Error::Corrupt { object: object.clone(), expected: "an entry".into(), found: "nothing".into() };
        let bytes = self.store.get(&object).await?.ok_or_else(missing)?;
        decode(&object, &bytes)
    }

    /// Commits what `plan` asks for, given the state it will be applied to.
    ///
    /// `plan` is called again with the newer state whenever another writer was first. Returns only when the entry is
    /// known to be in the log; an error means that no entry of this call is, save for [`Error::Store`], after which
    /// repeating under the same idempotency key is safe.
    pub async fn commit(
        &self,
        intent: &Intent,
        plan: impl Fn(&State) -> Result<Vec<Op>, Error>,
    ) -> Result<Receipt, Error> {
        for race in 0..MAX_RACES {
            let state = self.refresh().await?;
            if let Some(earlier) = intent.idempotency_key.as_ref().and_then(|key| state.keys.get(key)) {
                return Ok(Receipt { entry: self.entry(*earlier).await?, repeated: true });
            }
            let entry = Entry {
                format: FORMAT,
                id: state.last_id + 1,
                prev_sha256: state.last_sha256.clone(),
                nonce: uuid::Uuid::new_v4().to_string(),
                at: intent.at,
                actor: intent.actor.clone(),
                reason: intent.reason.clone(),
                idempotency_key: intent.idempotency_key.clone(),
                ops: plan(&state)?,
            };
            let bytes = Bytes::from(entry.encode());
            state.after(&entry, log::link(&bytes))?;
            if entry.id == 1 {
                self.mark().await?;
            }
            if self.append(&entry, bytes).await? {
                self.refresh().await?;
                return Ok(Receipt { entry, repeated: false });
            }
            let jitter = u64::from(entry.nonce.as_bytes()[0]) % 16;
            tokio::time::sleep(Duration::from_millis(u64::from(race.min(6)) * 4 + jitter)).await;
        }
        Err(Error::Busy { attempts: MAX_RACES })
    }

    /// Sends one entry until the log shows whose it is: ours (`true`) or another writer's (`false`).
    async fn append(&self, entry: &Entry, bytes: Bytes) -> Result<bool, Error> {
        let object = key::log(entry.id);
        let mut doubt = None;
        for _ in 0..MAX_REPEATS {
            match self.store.create(&object, bytes.clone()).await {
                Ok(Created::New) => return Ok(true),
                Ok(Created::Exists) => {}
                Err(error @ store::Error::Unavailable { .. }) => doubt = Some(error),
                Err(error) => return Err(error.into()),
            }
            match self.store.get(&object).await {
                Ok(Some(found)) => return Ok(decode(&object, &found)?.nonce == entry.nonce),
                // The store contradicts itself, or lost the write: the same bytes to the same id are safe to repeat.
                Ok(None) => {}
                Err(error @ store::Error::Unavailable { .. }) => doubt = Some(error),
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(doubt.map_or(Error::Busy { attempts: MAX_REPEATS }, Error::Store))
    }

    async fn mark(&self) -> Result<(), Error> {
        let marker = Marker { format: FORMAT, min_reader: FORMAT, min_writer: FORMAT };
        let bytes = serde_json::to_vec(&marker).expect("three numbers are JSON");
        self.store.create(key::REGISTRY, bytes.into()).await?;
        Ok(())
    }

    /// Points an alias at a version, if it still points at `expect`.
    pub async fn set_alias(
        &self,
        name: &ModelName,
        alias: &Alias,
        expect: Option<Version>,
        to: Version,
        intent: &Intent,
    ) -> Result<Receipt, Error> {
        let op = Op::AliasSet { name: name.clone(), alias: alias.clone(), expect, to };
        self.commit(intent, |_| Ok(vec![op.clone()])).await
    }

    /// Points `staging` at a version, unless it already points at a newer one.
    pub async fn stage(&self, name: &ModelName, version: Version, intent: &Intent) -> Result<Receipt, Error> {
        self.commit(intent, |state| {
            let expect = state.model(name)?.aliases.get(&Alias::staging()).copied();
            if let Some(newer) = expect.filter(|staged| *staged > version) {
                return Err(Error::Conflict {
                    what: format!("alias staging of {name}"),
                    expected: format!("at most {version}"),
                    found: newer.to_string(),
                });
            }
            Ok(vec![Op::AliasSet { name: name.clone(), alias: Alias::staging(), expect, to: version }])
        })
        .await
    }

    /// Makes a version `production` and the one before it `previous`, in one commit, and ends its trial.
    ///
    /// `expect` is the production version the decision was taken against; with `None` whatever is there is replaced,
    /// atomically. Refused unless the version was approved.
    pub async fn promote(
        &self,
        name: &ModelName,
        version: Version,
        expect: Option<Version>,
        intent: &Intent,
    ) -> Result<Receipt, Error> {
        self.commit(intent, |state| {
            let model = state.model(name)?;
            let production = model.aliases.get(&Alias::production()).copied();
            let mut ops = Vec::new();
            if let Some(old) = production.filter(|old| *old != version) {
                let expect = model.aliases.get(&Alias::previous()).copied();
                ops.push(Op::AliasSet { name: name.clone(), alias: Alias::previous(), expect, to: old });
            }
            let expect = expect.or(production);
            ops.push(Op::AliasSet { name: name.clone(), alias: Alias::production(), expect, to: version });
            ops.extend(end_trial(name, model));
            Ok(ops)
        })
        .await
    }

    /// Returns `production` to the `previous` version and ends any trial; the two aliases change places.
    pub async fn roll_back(&self, name: &ModelName, intent: &Intent) -> Result<Receipt, Error> {
        self.commit(intent, |state| {
            let model = state.model(name)?;
            let at = |alias: Alias| model.aliases.get(&alias).copied();
            let (Some(current), Some(previous)) = (at(Alias::production()), at(Alias::previous())) else {
                return Err(Error::Refused(format!("{name} has no previous production version to return to")));
            };
            let set = |alias, expect, to| Op::AliasSet { name: name.clone(), alias, expect: Some(expect), to };
            let mut ops = vec![set(Alias::production(), current, previous), set(Alias::previous(), previous, current)];
            ops.extend(end_trial(name, model));
            Ok(ops)
        })
        .await
    }
}

fn end_trial(name: &ModelName, model: &ModelState) -> Option<Op> {
    let trial = model.canary?;
    Some(Op::Canary { name: name.clone(), version: trial.version, weight_bp: 0, salt: trial.salt })
}

fn decode(object: &str, bytes: &[u8]) -> Result<Entry, Error> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let corrupt = |error: serde_json::Error| Error::Corrupt {
        object: object.into(),
        expected: "a log entry".into(),
        found: error.to_string(),
    };
    let found = serde_json::from_slice::<Format>(bytes).map_err(corrupt)?.format;
    if found > FORMAT {
        return Err(Error::Unsupported { object: object.into(), found, supported: FORMAT });
    }
    serde_json::from_slice(bytes).map_err(corrupt)
}

/// The state after entry `id` as stored: right number, unbroken chain, rules kept.
fn fold(state: &State, id: u64, bytes: &[u8]) -> Result<State, Error> {
    let object = key::log(id);
    let entry = decode(&object, bytes)?;
    let corrupt = |expected: String, found: String| Error::Corrupt { object: object.clone(), expected, found };
    if entry.id != id {
        return Err(corrupt(format!("id {id}"), format!("id {}", entry.id)));
    }
    if entry.prev_sha256 != state.last_sha256 {
        return Err(corrupt(format!("predecessor {}", state.last_sha256), entry.prev_sha256));
    }
    state
        .after(&entry, log::link(bytes))
        .map_err(|error| corrupt("a commit that keeps the rules".into(), error.to_string()))
}
