//! Copying a registry: a backup, a restore and a reader region's replica are the same act, every byte checked on the way.
//!
//! Files first, then manifests, then the log in order: at any moment the copy is a registry as of some entry. An
//! interrupted copy continues where it stopped.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Error, Intent, Op, Receipt, Registry, State, Status, Verification, genesis,
    log::{Entry, link},
    objects, sealed,
};
use crate::{
    signature::Trust,
    store::{Store, key},
};

/// What a copy did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// Id of the last entry the copy holds.
    pub last_id: u64,
    /// Id of the last entry the source held when it was asked.
    pub source_last_id: u64,
    /// Entries copied by this call.
    pub entries: u64,
    /// Manifests, signatures and files copied by this call.
    pub objects: u64,
    /// Bytes of those.
    pub bytes: u64,
}

/// `replica.json`: this place follows another registry and takes no commits of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    format: u32,
    /// What it follows.
    pub source: String,
    /// The last entry it holds.
    pub last_id: u64,
    /// When it last held everything its source did.
    pub in_step_at: Timestamp,
}

/// Copies what `to` lacks of the registry in `from`, up to entry `until` or to its end.
///
/// `to` must be empty or an earlier copy: a history that parted from the source's is [`Error::Corrupt`] and stays as it
/// is. Files of versions that the source has purged are not copied.
pub async fn copy(from: &Store, to: &Store, until: Option<u64>) -> Result<Copied, Error> {
    let source = Registry::open(from.clone()).await?;
    let source_state = source.state();
    let last = until.unwrap_or(source_state.last_id);
    if last > source_state.last_id {
        return Err(Error::NotFound(format!(
            "entry {last}; the log of {} ends at {}",
            from.url(),
            source_state.last_id
        )));
    }
    let Some(marker) = from.get(key::REGISTRY).await? else {
        return Err(Error::NotFound(format!("a registry at {}", from.url())));
    };
    if let Some(other) = genesis(to).await?
        && other != source_state.genesis_sha256
    {
        return Err(Error::Refused(format!("{} holds another registry than {}", to.url(), from.url())));
    }
    objects::create(to, key::REGISTRY, &marker).await?;
    let target = Registry::open(to.clone()).await?;
    let mut state = State::clone(&target.state());
    let mut copied = Copied { last_id: state.last_id, source_last_id: source_state.last_id, ..Copied::default() };
    if state.last_id > last {
        return Err(Error::Refused(format!("{} is at entry {}, beyond {last}", to.url(), state.last_id)));
    }
    check_common_past(from, &state, to).await?;
    for id in state.last_id + 1..=last {
        let object = key::log(id);
        let understand = |bytes: bytes::Bytes| Entry::decode(id, &bytes).map(|entry| (entry, bytes));
        let read = objects::read(from, &object, understand).await?;
        let (entry, bytes) = read.ok_or_else(|| Error::NotFound(format!("{object} at {}", from.url())))?;
        super::fold(&mut state, &entry, link(&bytes))?;
        copy_objects(from, to, &entry, &source_state, &mut copied).await?;
        objects::create(to, &object, &bytes).await?;
        copied.entries += 1;
        copied.last_id = id;
    }
    if copied.entries > 0 {
        super::checkpoint::write(to, &state).await?;
    }
    Ok(copied)
}

/// The newest entry both hold must be the same one.
async fn check_common_past(from: &Store, state: &State, to: &Store) -> Result<(), Error> {
    if state.last_id == 0 {
        return Ok(());
    }
    let object = key::log(state.last_id);
    let found = from.get(&object).await?.map_or_else(|| "nothing".into(), |bytes| link(&bytes));
    if found == state.last_sha256 {
        return Ok(());
    }
    let object = format!("{object}, in which {} and {} part", from.url(), to.url());
    Err(Error::Corrupt { object, expected: state.last_sha256.clone(), found })
}

/// Copies what an entry refers to.
async fn copy_objects(
    from: &Store,
    to: &Store,
    entry: &Entry,
    source: &State,
    copied: &mut Copied,
) -> Result<(), Error> {
    let mut move_over = async |object: String, sha256: &str| {
        let bytes = objects::checked(from, &object, sha256).await?;
        objects::create(to, &object, &bytes).await?;
        copied.objects += 1;
        copied.bytes += bytes.len() as u64;
        Ok::<_, Error>(bytes)
    };
    for op in &entry.ops {
        let (Op::Register { name, version, .. } | Op::Sign { name, version, .. }) = op else { continue };
        let standing = source.model(name)?.version(name, *version)?;
        if standing.status == Status::Purged {
            continue;
        }
        for (number, sha256) in standing.signatures.iter().enumerate() {
            move_over(key::signature(name, &standing.manifest_sha256, number), sha256).await?;
        }
        if let Op::Register { manifest_sha256, .. } = op {
            let place = key::manifest(name, manifest_sha256);
            let bytes = objects::checked(from, &place, manifest_sha256).await?;
            for file in &super::publish::read_manifest(&place, &bytes)?.files {
                move_over(key::blob(&file.sha256), &file.sha256).await?;
            }
            move_over(place, manifest_sha256).await?;
        }
    }
    Ok(())
}

/// Copies a backup up to entry `at` into an empty place, verifies it, and sets a fence, so that writers which still hold
/// the lost registry cannot write to this one.
pub async fn restore(
    backup: &Store,
    to: &Store,
    at: Option<u64>,
    trust: &Trust,
    intent: &Intent,
) -> Result<Verification, Error> {
    if !to.list(key::LOG).await?.is_empty() {
        return Err(Error::Refused(format!("{} is not empty; a restore goes to an empty place", to.url())));
    }
    copy(backup, to, at).await?;
    let seen = Registry::verify(to.clone(), trust).await?;
    if seen.problems.is_empty() {
        Registry::open(to.clone()).await?.fence(intent).await?;
    }
    Ok(seen)
}

/// Brings a replica up to its source, and notes how far it is.
///
/// Refused where `to` is a registry that is no replica: it would have writers of its own.
pub async fn follow(from: &Store, to: &Store, now: Timestamp) -> Result<Copied, Error> {
    if replica(to).await?.is_none() {
        if genesis(to).await?.is_some() {
            return Err(Error::Refused(format!("{} is a registry of its own, not a replica", to.url())));
        }
        note(from, to, 0, now).await?;
    }
    let copied = copy(from, to, None).await?;
    // A take-over removes the note: whoever took over has the last word.
    if replica(to).await?.is_none() {
        return Err(Error::Refused(format!("{} was taken over and follows no more", to.url())));
    }
    note(from, to, copied.last_id, now).await?;
    Ok(copied)
}

async fn note(from: &Store, to: &Store, last_id: u64, now: Timestamp) -> Result<(), Error> {
    let note = Replica { format: super::FORMAT, source: from.url().into(), last_id, in_step_at: now };
    Ok(to.put(key::REPLICA, sealed::seal(&note)).await?)
}

/// What this place follows, if it is a replica.
pub async fn replica(store: &Store) -> Result<Option<Replica>, Error> {
    let understand = |bytes: bytes::Bytes| sealed::unseal(key::REPLICA, &bytes, super::FORMAT);
    objects::read(store, key::REPLICA, understand).await
}

/// Makes a replica a registry that takes commits: fenced, so that the old place's writers cannot follow it here.
pub async fn take_over(store: &Store, intent: &Intent) -> Result<Receipt, Error> {
    if replica(store).await?.is_none() {
        return Err(Error::Refused(format!("{} is not a replica", store.url())));
    }
    store.delete(key::REPLICA).await?;
    Registry::open(store.clone()).await?.fence(intent).await
}

impl Registry {
    /// Ends the right to write of every handle opened before, this one included.
    pub async fn fence(&self, intent: &Intent) -> Result<Receipt, Error> {
        self.commit(intent, |state| Ok(vec![Op::Fence { epoch: state.epoch + 1 }])).await
    }
}
