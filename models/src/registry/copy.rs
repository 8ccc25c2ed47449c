//! Copying a registry: a backup, a restore and a reader region's replica are the same act, every byte checked on the way.
//!
//! Files first, then manifests, then the log in order: at any moment the copy is a registry as of some entry. An
//! interrupted copy continues where it stopped.

use bytes::Bytes;
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
    /// When it last held everything its source did; absent until it first does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_step_at: Option<Timestamp>,
}

/// Copies what `to` lacks of the registry in `from`, up to entry `until` or to its end.
///
/// `to` must be empty or an earlier copy: a history that parted from the source's is [`Error::Corrupt`] and stays as it
/// is. Files of versions that the source has purged are copied as far as they are still there.
pub async fn copy(from: &Store, to: &Store, until: Option<u64>) -> Result<Copied, Error> {
    if from.url() == to.url() {
        return Err(Error::Refused(format!("{} cannot be a copy of itself", to.url())));
    }
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
        let read = objects::entry(from, id).await?;
        let (entry, bytes) = read.ok_or_else(|| Error::NotFound(format!("{object} at {}", from.url())))?;
        super::fold(&mut state, &entry, &bytes)?;
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

/// Copies what an entry refers to. `source` is the newest state of the registry it is copied from.
async fn copy_objects(
    from: &Store,
    to: &Store,
    entry: &Entry,
    source: &State,
    copied: &mut Copied,
) -> Result<(), Error> {
    for op in &entry.ops {
        let (Op::Register { name, version, .. } | Op::Sign { name, version, .. }) = op else { continue };
        let standing = source.model(name)?.version(name, *version)?;
        let mut carrier = Carrier { from, to, given_up: standing.status == Status::Purged, copied: &mut *copied };
        let signature = |number| key::signature(name, &standing.manifest_sha256, number);
        match op {
            Op::Register { manifest_sha256, signature_sha256, .. } => {
                if let Some(sha256) = signature_sha256 {
                    carrier.carry(signature(0), sha256).await?;
                }
                let place = key::manifest(name, manifest_sha256);
                let Some(bytes) = carrier.fetch(&place, manifest_sha256).await? else { continue };
                for file in &super::publish::read_manifest(&place, &bytes)?.files {
                    carrier.carry(key::blob(&file.sha256), &file.sha256).await?;
                }
                carrier.put(&place, &bytes).await?;
            }
            Op::Sign { signature_sha256, .. } => {
                if let Some(number) = standing.signatures.iter().position(|sha256| sha256 == signature_sha256) {
                    carrier.carry(signature(number), signature_sha256).await?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Takes the objects of one version over.
struct Carrier<'a> {
    from: &'a Store,
    to: &'a Store,
    /// The source has given the version's files up: what is gone is gone on purpose.
    given_up: bool,
    copied: &'a mut Copied,
}

impl Carrier<'_> {
    async fn carry(&mut self, object: String, sha256: &str) -> Result<(), Error> {
        let Some(bytes) = self.fetch(&object, sha256).await? else { return Ok(()) };
        self.put(&object, &bytes).await
    }

    /// The object, checked; `None` if it is gone on purpose.
    async fn fetch(&self, object: &str, sha256: &str) -> Result<Option<Bytes>, Error> {
        if self.given_up && self.from.head(object).await?.is_none() {
            return Ok(None);
        }
        objects::checked(self.from, object, sha256).await.map(Some)
    }

    async fn put(&mut self, object: &str, bytes: &Bytes) -> Result<(), Error> {
        objects::create(self.to, object, bytes).await?;
        self.copied.objects += 1;
        self.copied.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// Copies a backup up to entry `at` into an empty place, verifies it, and sets a fence, so that writers which still hold
/// the lost registry cannot write to this one.
///
/// Until then the place counts as a replica of the backup and takes no commits; an interrupted restore goes on where it
/// stopped. Where the verification finds problems the place stays like that.
pub async fn restore(
    backup: &Store,
    to: &Store,
    at: Option<u64>,
    trust: &Trust,
    intent: &Intent,
) -> Result<Verification, Error> {
    let goes_on = replica(to).await?.is_some_and(|begun| begun.source == backup.url() && begun.in_step_at.is_none());
    if !goes_on {
        if genesis(to).await?.is_some() || !to.list(key::LOG).await?.is_empty() {
            return Err(Error::Refused(format!("{} is not empty; a restore goes to an empty place", to.url())));
        }
        note(backup, to, 0, None).await?;
    }
    copy(backup, to, at).await?;
    let seen = Registry::verify(to.clone(), trust).await?;
    if seen.problems.is_empty() {
        take_over(to, intent).await?;
    }
    Ok(seen)
}

/// Brings a replica up to its source, and notes how far it is.
///
/// Refused where `to` is a registry that is no replica, or no longer one: it has writers of its own.
pub async fn follow(from: &Store, to: &Store, now: Timestamp) -> Result<Copied, Error> {
    if replica(to).await?.is_none() {
        if genesis(to).await?.is_some() {
            return Err(Error::Refused(format!("{} is a registry of its own, not a replica", to.url())));
        }
        note(from, to, 0, None).await?;
    }
    let copied = copy(from, to, None).await?;
    note(from, to, copied.last_id, Some(now)).await?;
    // A take-over sets its fence before it removes the note, so one that this note came after shows here.
    let next = key::log(copied.last_id + 1);
    if let Some(entry) = to.get(&next).await?
        && from.get(&next).await? != Some(entry)
    {
        to.delete(key::REPLICA).await?;
        return Err(Error::Refused(format!("{} was taken over and follows no more", to.url())));
    }
    Ok(copied)
}

async fn note(from: &Store, to: &Store, last_id: u64, in_step_at: Option<Timestamp>) -> Result<(), Error> {
    let note = Replica { format: super::FORMAT, source: from.url().into(), last_id, in_step_at };
    Ok(to.put(key::REPLICA, sealed::seal(&note)).await?)
}

/// What this place follows, if it is a replica.
pub async fn replica(store: &Store) -> Result<Option<Replica>, Error> {
    let understand = |bytes: Bytes| sealed::unseal(key::REPLICA, &bytes, super::FORMAT);
    objects::read(store, key::REPLICA, understand).await
}

/// Makes a replica a registry that takes commits: fenced, so that the old place's writers cannot follow it here.
///
/// The fence comes first: interrupted, the place is still a replica, and taking over again is safe.
pub async fn take_over(store: &Store, intent: &Intent) -> Result<Receipt, Error> {
    if replica(store).await?.is_none() {
        return Err(Error::Refused(format!("{} is not a replica", store.url())));
    }
    let mut registry = Registry::open(store.clone()).await?;
    if registry.state().genesis_sha256.is_empty() {
        return Err(Error::Refused(format!("{} holds nothing of its source yet", store.url())));
    }
    registry.check_store().await?;
    registry.writable = tokio::sync::OnceCell::new_with(Some(()));
    let receipt = registry.fence(intent).await?;
    store.delete(key::REPLICA).await?;
    Ok(receipt)
}

impl Registry {
    /// Ends the right to write of every handle opened before, this one included.
    pub async fn fence(&self, intent: &Intent) -> Result<Receipt, Error> {
        self.commit(intent, |state| Ok(vec![Op::Fence { epoch: state.epoch + 1 }])).await
    }
}
