//! Reading everything back: the whole log folded again from its first entry, every checkpoint compared with that fold,
//! every manifest and file hashed again.

use std::collections::BTreeMap;

use super::{Error, Registry, State, Status, VersionState, checkpoint, genesis, objects};
use crate::{
    id::{ModelName, Version},
    manifest::Manifest,
    signature::Trust,
    store::{Store, key},
};

/// What a full verification saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verification {
    /// Log entries whose chain and rules hold.
    pub entries: u64,
    /// Checkpoints that equal the fold of the log.
    pub checkpoints: u64,
    /// Versions whose manifest matches the log.
    pub versions: u64,
    /// Versions whose files were deleted on purpose.
    pub purged: u64,
    /// Files whose bytes match their manifest.
    pub files: u64,
    /// Their size together.
    pub bytes: u64,
    /// Everything that does not match, a sentence each. Empty means sound.
    pub problems: Vec<String>,
}

impl Registry {
    /// Folds the log from its start and hashes every object it refers to, under a signature policy.
    ///
    /// Returns what is wrong instead of stopping at the first problem; an error means that the store did not answer.
    pub async fn verify(store: Store, trust: &Trust) -> Result<Verification, Error> {
        let mut seen = Verification::default();
        let genesis = match genesis(&store).await {
            Ok(genesis) => genesis,
            Err(error) => return seen.noting(error).map(|()| seen),
        };
        let Some(genesis) = genesis else {
            if !store.list(key::LOG).await?.is_empty() {
                seen.problems.push(format!("{} is missing, yet there is a log", key::REGISTRY));
            }
            return Ok(seen);
        };
        let mut state = State::empty(&genesis);
        let stored = checkpoints(&store, &mut seen).await?;
        // The same batches as any reader, so that a long log does not need to fit in memory at once.
        let folded = fold_all(&store, &mut state, &stored, &mut seen).await;
        if let Err(error) = folded {
            seen.noting(error)?;
        }
        seen.entries = state.last_id;
        beyond_the_end(&store, state.last_id, &mut seen).await?;
        let registry = Self::at(store, state).trusting(trust.clone());
        registry.check_versions(&mut seen).await?;
        Ok(seen)
    }

    async fn check_versions(&self, seen: &mut Verification) -> Result<(), Error> {
        for (name, model) in &self.state().models {
            for (version, standing) in &model.versions {
                if standing.status == Status::Purged {
                    seen.purged += 1;
                    continue;
                }
                match self.check_version(name, standing).await {
                    Ok(manifest) => self.check_files(*version, &manifest, seen).await?,
                    Err(error @ Error::Store(_)) => return Err(error),
                    Err(error) => seen.problems.push(format!("{name} version {version}: {error}")),
                }
            }
        }
        Ok(())
    }

    /// The manifest, if it and its signatures are what was committed and the policy vouches for them.
    async fn check_version(&self, name: &ModelName, standing: &VersionState) -> Result<Manifest, Error> {
        let manifest = self.manifest_of(name, standing).await?;
        let bundles = self.signatures_of(name, standing).await?;
        self.vouched(name, &manifest, &standing.manifest_sha256, &bundles)?;
        Ok(manifest)
    }

    async fn check_files(&self, version: Version, manifest: &Manifest, seen: &mut Verification) -> Result<(), Error> {
        seen.versions += 1;
        for file in &manifest.files {
            match objects::checked(&self.store, &key::blob(&file.sha256), &file.sha256).await {
                Ok(bytes) => {
                    seen.files += 1;
                    seen.bytes += bytes.len() as u64;
                }
                Err(error @ Error::Store(_)) => return Err(error),
                Err(error) => {
                    seen.problems.push(format!("{} version {version}, {}: {error}", manifest.name, file.path));
                }
            }
        }
        Ok(())
    }
}

impl Verification {
    /// Notes a problem with what is stored; passes on that the store did not answer.
    fn noting(&mut self, error: Error) -> Result<(), Error> {
        if matches!(error, Error::Store(_)) {
            return Err(error);
        }
        self.problems.push(error.to_string());
        Ok(())
    }
}

/// Every stored checkpoint's bytes by entry.
async fn checkpoints(store: &Store, seen: &mut Verification) -> Result<BTreeMap<u64, bytes::Bytes>, Error> {
    let mut stored = BTreeMap::new();
    for object in store.list(key::CHECKPOINTS).await? {
        if object.key == key::LAST_CHECKPOINT {
            if checkpoint::hinted(store).await?.is_none() {
                seen.problems.push(format!("{} cannot be read", key::LAST_CHECKPOINT));
            }
            continue;
        }
        match (key::number(&object.key), store.get(&object.key).await?) {
            (Some(id), Some(bytes)) => drop(stored.insert(id, bytes)),
            _ => seen.problems.push(format!("{} is not a checkpoint", object.key)),
        }
    }
    Ok(stored)
}

async fn fold_all(
    store: &Store,
    state: &mut State,
    stored: &BTreeMap<u64, bytes::Bytes>,
    seen: &mut Verification,
) -> Result<(), Error> {
    use futures::{StreamExt, TryStreamExt};
    let entries =
        futures::stream::iter(1_u64..).map(|id| objects::entry(store, id)).buffered(super::MAX_BATCH as usize);
    let mut entries = std::pin::pin!(entries);
    while let Some(Some((entry, bytes))) = entries.try_next().await? {
        super::fold(state, &entry, &bytes)?;
        if let Some(bytes) = stored.get(&entry.id) {
            if checkpoint::is_of(state, bytes) {
                seen.checkpoints += 1;
            } else {
                let reason = checkpoint::decode(entry.id, &state.genesis_sha256, bytes)
                    .map_or_else(|error| error.to_string(), |_| "is not what the log adds up to".into());
                seen.problems.push(format!("{}: {reason}", key::checkpoint(entry.id)));
            }
        }
    }
    let later = stored.range(state.last_id + 1..).next();
    seen.problems.extend(later.map(|(id, _)| format!("{} is beyond the log's end", key::checkpoint(*id))));
    Ok(())
}

/// Entries beyond a hole would never be folded: a listing must end where the fold did.
async fn beyond_the_end(store: &Store, last_id: u64, seen: &mut Verification) -> Result<(), Error> {
    let listed = store.list(key::LOG).await?;
    let beyond = listed.iter().filter(|object| object.key > key::log(last_id));
    seen.problems.extend(beyond.map(|object| format!("{} follows a missing entry {}", object.key, last_id + 1)));
    Ok(())
}
