//! A version's way in and out: blobs and manifest first, then the commit that makes them a version; on the way out
//! every digest is checked before a byte is believed.

use std::sync::Arc;

use bytes::Bytes;

use super::{Error, Intent, Op, Receipt, Registry};
use crate::{
    artifact::Artifact,
    digest, format,
    id::{ModelName, Version},
    manifest::{FileRef, MODEL_FILE, Manifest},
    store::{Created, key},
};

/// A version that is about to be registered.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its manifest; `files` is filled in when it is published.
    pub manifest: Manifest,
    /// Its files by relative path.
    pub files: Vec<(String, Bytes)>,
}

/// A version that was registered.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its number.
    pub version: Version,
    /// The commit; `repeated` when an earlier run under the same idempotency key had done it.
    pub receipt: Receipt,
}

/// A version fetched, checked and decoded.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Its number.
    pub version: Version,
    /// What is known about it.
    pub manifest: Arc<Manifest>,
    /// The model.
    pub artifact: Arc<Artifact>,
}

impl Registry {
    /// Uploads a version's files and manifest, then commits its registration. No alias moves.
    ///
    /// Until the commit no reader sees anything; a run that dies before it leaves only unreferenced objects, which a
    /// repeated run finds and uses.
    pub async fn publish(&self, draft: Draft, intent: &Intent) -> Result<Published, Error> {
        let Draft { mut manifest, files } = draft;
        manifest.files = Vec::with_capacity(files.len());
        for (path, bytes) in files {
            let sha256 = digest::sha256(&bytes);
            manifest.files.push(FileRef { path, sha256: sha256.clone(), bytes: bytes.len() as u64 });
            self.upload(&key::blob(&sha256), bytes).await?;
        }
        let bytes = Bytes::from(serde_json::to_vec_pretty(&manifest).expect("a manifest has no maps with odd keys"));
        let manifest_sha256 = digest::sha256(&bytes);
        let name = manifest.name.clone();
        self.upload(&key::manifest(&name, &manifest_sha256), bytes).await?;
        let receipt = self
            .commit(intent, |state| {
                let version = state.models.get(&name).map_or(Version::FIRST, super::ModelState::next_version);
                Ok(vec![Op::Register { name: name.clone(), version, manifest_sha256: manifest_sha256.clone() }])
            })
            .await?;
        let registered = receipt.entry.ops.iter().find_map(|op| match op {
            Op::Register { version, .. } => Some(*version),
            _ => None,
        });
        let version = registered.ok_or_else(|| {
            Error::Refused(format!("idempotency key {:?} was used for another commit", receipt.entry.idempotency_key))
        })?;
        Ok(Published { version, receipt })
    }

    /// Creates an immutable object; one that exists must hold the same bytes.
    async fn upload(&self, object: &str, bytes: Bytes) -> Result<(), Error> {
        if self.store.create(object, bytes.clone()).await? == Created::New {
            return Ok(());
        }
        let found = self.store.get(object).await?;
        if found.as_ref() == Some(&bytes) {
            return Ok(());
        }
        let found = found.map_or_else(|| "nothing".into(), |found| digest::sha256(&found));
        Err(Error::Corrupt { object: object.into(), expected: digest::sha256(&bytes), found })
    }

    /// A version's manifest, checked against the log.
    pub async fn manifest(&self, name: &ModelName, version: Version) -> Result<Manifest, Error> {
        let sha256 = self.state().model(name)?.version(name, version)?.manifest_sha256.clone();
        let object = key::manifest(name, &sha256);
        let bytes = self.checked(&object, &sha256).await?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Corrupt {
            object,
            expected: "a manifest".into(),
            found: error.to_string(),
        })
    }

    /// Fetches a version, checks manifest and file digests, and decodes the model.
    ///
    /// From a store on this machine the model's file is mapped, not read into memory: see [`crate::Store::map`].
    /// Revoked versions are refused. Works from the last folded state: call [`Registry::refresh`] for the newest.
    pub async fn load(&self, name: &ModelName, version: Version) -> Result<Loaded, Error> {
        if self.state().model(name)?.version(name, version)?.status == super::Status::Revoked {
            return Err(Error::Refused(format!("version {version} of {name} is revoked")));
        }
        let manifest = self.manifest(name, version).await?;
        let file = manifest.file(MODEL_FILE).ok_or_else(|| Error::Corrupt {
            object: format!("manifest of version {version} of {name}"),
            expected: MODEL_FILE.into(),
            found: "no such file".into(),
        })?;
        let object = key::blob(&file.sha256);
        let corrupt = |found: String| Error::Corrupt { object: object.clone(), expected: file.sha256.clone(), found };
        let bytes = self.store.map(&object).await?.ok_or_else(|| corrupt("nothing".into()))?;
        let (found, artifact) = tokio::task::spawn_blocking(move || hash_and_decode(&bytes))
            .await
            .expect("decoding returns errors instead of panicking");
        if found != file.sha256 {
            return Err(corrupt(found));
        }
        let artifact = artifact.map_err(|source| Error::Format {
            name: name.to_string(),
            version: version.to_string(),
            source,
        })?;
        Ok(Loaded { version, manifest: Arc::new(manifest), artifact: Arc::new(artifact) })
    }

    /// An object's bytes, if they have the digest they should have.
    pub(super) async fn checked(&self, object: &str, sha256: &str) -> Result<Bytes, Error> {
        let corrupt = |found: String| Error::Corrupt { object: object.into(), expected: sha256.into(), found };
        let bytes = self.store.get(object).await?.ok_or_else(|| corrupt("nothing".into()))?;
        let found = digest::sha256(&bytes);
        if found == sha256 { Ok(bytes) } else { Err(corrupt(found)) }
    }
}

/// The digest of a model's bytes and, as far as they are one, the model: side by side, because each takes about as long.
///
/// The model must not be used before the digest is known to be the right one.
fn hash_and_decode(bytes: &Bytes) -> (String, Result<Artifact, format::Error>) {
    std::thread::scope(|scope| {
        let hashing = scope.spawn(|| digest::sha256(bytes));
        let artifact = format::decode(bytes);
        (hashing.join().expect("hashing cannot fail"), artifact)
    })
}
