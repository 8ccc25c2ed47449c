//! Reading everything back: the whole log folded again, every manifest and file hashed again.

use super::{Error, Registry};
use crate::{id::Version, manifest::Manifest, store::key};

/// What a full verification saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verification {
    /// Log entries whose chain and rules hold.
    pub entries: u64,
    /// Versions whose manifest matches the log.
    pub versions: u64,
    /// Files whose bytes match their manifest.
    pub files: u64,
    /// Their size together.
    pub bytes: u64,
    /// Everything that does not match, a sentence each. Empty means sound.
    pub problems: Vec<String>,
}

impl Registry {
    /// Folds the log from its start and hashes every object it refers to.
    ///
    /// Returns what is wrong instead of stopping at the first problem; an error means that the store did not answer.
    pub async fn verify(store: crate::store::Store) -> Result<Verification, Error> {
        let mut seen = Verification::default();
        let registry = match Self::open(store).await {
            Ok(registry) => registry,
            Err(error @ Error::Store(_)) => return Err(error),
            Err(error) => {
                seen.problems.push(error.to_string());
                return Ok(seen);
            }
        };
        let state = registry.state();
        seen.entries = state.last_id;
        registry.check_for_gap(state.last_id, &mut seen).await?;
        for (name, model) in &state.models {
            for version in model.versions.keys() {
                match registry.manifest(name, *version).await {
                    Ok(manifest) => registry.check_files(*version, &manifest, &mut seen).await?,
                    Err(error @ Error::Store(_)) => return Err(error),
                    Err(error) => seen.problems.push(format!("{name} version {version}: {error}")),
                }
            }
        }
        Ok(seen)
    }

    /// Entries beyond a hole would never be folded: a listing must end where the fold did.
    async fn check_for_gap(&self, last_id: u64, seen: &mut Verification) -> Result<(), Error> {
        let listed = self.store.list(key::LOG).await?;
        let beyond = listed.iter().filter(|object| object.key > key::log(last_id));
        seen.problems.extend(beyond.map(|object| format!("{} follows a missing entry {}", object.key, last_id + 1)));
        Ok(())
    }

    async fn check_files(&self, version: Version, manifest: &Manifest, seen: &mut Verification) -> Result<(), Error> {
        seen.versions += 1;
        for file in &manifest.files {
            match self.checked(&key::blob(&file.sha256), &file.sha256).await {
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
