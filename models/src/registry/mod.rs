//! The registry: versions, aliases and every decision about them, on plain object storage.
//!
//! The truth is a numbered log of immutable entries; a commit is the create-if-absent of the next number. That is the
//! one conditional write all supported stores share. A writer whose create was doubtful reads the entry back and
//! knows its own by the nonce.

mod checkpoint;
mod commit;
pub mod copy;
pub mod desired;
mod diff;
mod error;
mod folder;
mod gc;
mod load;
mod log;
mod moves;
mod nonce;
mod objects;
mod publish;
mod recent;
mod rules;
mod sealed;
mod state;
mod trial;
mod verify;

use std::sync::{Arc, RwLock, atomic::AtomicU64};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use self::nonce::Nonces;
pub use self::{
    checkpoint::EVERY as CHECKPOINT_EVERY,
    commit::{Intent, Receipt},
    diff::{Diff, Overlap, Pair, diff},
    error::Error,
    folder::{Folder, ORIGIN_FILE, Origin, load_folder},
    gc::{Collection, MIN_AGE, Retention},
    load::Loaded,
    log::{Entry, FORMAT, Op, PIN, Status},
    publish::{Draft, Exported, Published},
    recent::{Recent, WINDOW},
    state::{Approval, Canary, ModelState, Quarantine, State, TrialStep, TriggerRecord, VersionState},
    verify::Verification,
};
use crate::{
    digest,
    signature::{SigningKey, Trust},
    store::{Store, key},
};

/// `registry.json`: which registry this is, and who may read and write it.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    format: u32,
    min_reader: u32,
    min_writer: u32,
    /// Random: tells two registries apart, so that no object of one passes for the other's.
    id: String,
}

/// Most entries fetched at once while catching up.
const MAX_BATCH: u64 = 64;

/// How many entries to ask for after `read` new ones. Most refreshes find none or one: those ask once or twice, since a
/// request for what does not exist costs as much as any.
fn next_batch(read: u64) -> u64 {
    match read {
        0 | 1 => 1,
        2..6 => 4,
        6..CHECKPOINT_EVERY => 16,
        _ => MAX_BATCH,
    }
}

/// A handle to one tenant's registry: its store, and the last state it has folded.
///
/// Cheap to share behind an `Arc`. Readers and writers use the same type; reading needs no rights to write.
#[derive(Debug)]
pub struct Registry {
    store: Store,
    state: RwLock<Arc<State>>,
    folding: tokio::sync::Mutex<()>,
    /// The fence epoch found at opening; a writer keeps it for life.
    epoch: u64,
    /// The newest checkpoint this handle knows of.
    last_checkpoint: AtomicU64,
    writable: tokio::sync::OnceCell<()>,
    /// Whose signatures count, and whether one is needed.
    trust: Trust,
    /// What signs the versions this handle publishes.
    signer: Option<SigningKey>,
    /// Where the nonces of its entries come from.
    nonces: Nonces,
}

impl Registry {
    /// Opens the registry below a tenant's root: newest usable checkpoint, then the log from there. An empty place is an
    /// empty registry.
    pub async fn open(store: Store) -> Result<Self, Error> {
        let mut state = State::default();
        if let Some(genesis) = genesis(&store).await? {
            state = checkpoint::newest(&store, &genesis).await?.unwrap_or_else(|| State::empty(&genesis));
        }
        let mut registry = Self::at(store, state);
        registry.epoch = registry.refresh().await?.epoch;
        Ok(registry)
    }

    /// A handle that starts from a known state.
    fn at(store: Store, state: State) -> Self {
        let (epoch, last_checkpoint) = (state.epoch, AtomicU64::new(state.last_id));
        let (state, folding) = (RwLock::new(Arc::new(state)), tokio::sync::Mutex::default());
        let (writable, trust) = (tokio::sync::OnceCell::new(), Trust::default());
        let nonces = Nonces::default();
        Self { store, state, folding, epoch, last_checkpoint, writable, trust, signer: None, nonces }
    }

    /// The same handle under a signature policy: what it does not vouch for is neither loaded nor pointed at.
    #[must_use]
    pub fn trusting(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// The same handle, signing what it publishes where a key is given.
    #[must_use]
    pub fn signing(mut self, key: Option<SigningKey>) -> Self {
        self.signer = key;
        self
    }

    /// The same handle with the nonces of its entries, and the waits they decide, drawn from a seed: a run that must be
    /// repeatable. Two handles of one registry must never be given the same seed.
    #[must_use]
    pub fn drawing(mut self, seed: u64) -> Self {
        self.nonces = Nonces::seeded(seed);
        self
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
        if self.state().genesis_sha256.is_empty() {
            match genesis(&self.store).await? {
                Some(genesis) => self.change(|state| *state = State::empty(&genesis)),
                None => return Ok(self.state()),
            }
        }
        let mut read = 0;
        loop {
            let batch = next_batch(read);
            let next = self.state().last_id + 1;
            let found: Vec<Option<(Entry, Bytes)>> = futures::stream::iter(next..next + batch)
                .map(|id| objects::entry(&self.store, id))
                .buffered(MAX_BATCH as usize)
                .try_collect()
                .await?;
            // Entries behind the first missing one are another batch's: they may have been written since.
            let known: Vec<(Entry, Bytes)> = found.into_iter().map_while(|entry| entry).collect();
            let end = (known.len() as u64) < batch;
            if !known.is_empty() {
                self.change(|state| known.into_iter().try_for_each(|(entry, bytes)| fold(state, &entry, &bytes)))?;
            }
            if end {
                return Ok(self.state());
            }
            read += batch;
        }
    }

    /// Changes the state in place, or a copy if someone still looks at it.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.write().expect("no panic happens while this lock is held");
        change(Arc::make_mut(&mut state))
    }

    /// Every entry of the log, ascending, checked as they are read.
    pub async fn entries(&self) -> Result<Vec<Entry>, Error> {
        self.entries_from(1).await
    }

    /// The entries from number `first` on, ascending, checked as they are read.
    pub async fn entries_from(&self, first: u64) -> Result<Vec<Entry>, Error> {
        let last = self.refresh().await?.last_id;
        let entries = futures::stream::iter(first.max(1)..=last).map(|id| self.entry(id));
        entries.buffered(MAX_BATCH as usize).try_collect().await
    }

    async fn entry(&self, id: u64) -> Result<Entry, Error> {
        let object = key::log(id);
        let missing =
            || Error::Corrupt { object: object.clone(), expected: "an entry".into(), found: "nothing".into() };
        objects::entry(&self.store, id).await?.map(|(entry, _)| entry).ok_or_else(missing)
    }

    /// Makes an empty place a registry; whoever is first decides which.
    async fn found(&self) -> Result<(), Error> {
        let id = uuid::Uuid::new_v4().to_string();
        let marker = Marker { format: FORMAT, min_reader: FORMAT, min_writer: FORMAT, id };
        objects::settle(&self.store, key::REGISTRY, &sealed::seal(&marker)).await.map(drop)
    }

    /// Whether this build may write here: asked of the store once, before the first commit.
    async fn check_writable(&self) -> Result<(), Error> {
        if let Some(replica) = copy::replica(&self.store).await? {
            let (here, source) = (self.store.url(), replica.source);
            return Err(Error::Refused(format!("{here} is a replica of {source}; write there, or take over here")));
        }
        self.check_store().await
    }

    /// Whether the registry's format and the store let this build write.
    async fn check_store(&self) -> Result<(), Error> {
        let newest = match read_marker(&self.store).await? {
            Some((marker, _)) => marker.min_writer,
            None => FORMAT,
        };
        if newest > FORMAT {
            return Err(Error::Unsupported { object: key::REGISTRY.into(), found: newest, supported: FORMAT });
        }
        Ok(self.store.probe().await?)
    }
}

async fn read_marker(store: &Store) -> Result<Option<(Marker, String)>, Error> {
    let understand = |bytes: Bytes| {
        let marker: Marker = sealed::unseal(key::REGISTRY, &bytes, u32::MAX)?;
        Ok((marker, digest::sha256(&bytes)))
    };
    objects::read(store, key::REGISTRY, understand).await
}

/// Digest of the registry's marker, where there is one this build may read.
async fn genesis(store: &Store) -> Result<Option<String>, Error> {
    let Some((marker, sha256)) = read_marker(store).await? else { return Ok(None) };
    if marker.min_reader > FORMAT {
        let (object, found) = (key::REGISTRY.into(), marker.min_reader);
        return Err(Error::Unsupported { object, found, supported: FORMAT });
    }
    Ok(Some(sha256))
}

/// Folds one entry that was read: a rule it breaks is damage, since no writer of ours would have written it.
fn fold(state: &mut State, entry: &Entry, bytes: &[u8]) -> Result<(), Error> {
    state.advance(entry, log::link(bytes)).map_err(|error| match error {
        corrupt @ Error::Corrupt { .. } => corrupt,
        broken => Error::Corrupt {
            object: key::log(entry.id),
            expected: "a commit that keeps the rules".into(),
            found: broken.to_string(),
        },
    })
}
