//! A version's way out: manifest against the log, signature against the policy, files against the manifest, in this
//! order, before a byte is believed.

use std::sync::Arc;

use bytes::Bytes;

use super::{Error, Exported, Registry, State, Status, VersionState, objects, publish::read_manifest};
use crate::{
    artifact::Artifact,
    digest, format,
    id::{ModelName, Version},
    manifest::{FileRef, MODEL_FILE, Manifest},
    signature::Trust,
    store::key,
};

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
    /// A version's manifest, checked against the log.
    pub async fn manifest(&self, name: &ModelName, version: Version) -> Result<Manifest, Error> {
        self.manifest_of(name, self.state().model(name)?.version(name, version)?).await
    }

    /// The manifest of a version as it stands.
    pub(super) async fn manifest_of(&self, name: &ModelName, standing: &VersionState) -> Result<Manifest, Error> {
        let object = key::manifest(name, &standing.manifest_sha256);
        let bytes = objects::checked(&self.store, &object, &standing.manifest_sha256).await?;
        read_manifest(&object, &bytes)
    }

    /// A version's signature bundles, checked against the log.
    pub(super) async fn signatures_of(&self, name: &ModelName, standing: &VersionState) -> Result<Vec<Bytes>, Error> {
        let mut bundles = Vec::new();
        for (number, sha256) in standing.signatures.iter().enumerate() {
            let object = key::signature(name, &standing.manifest_sha256, number);
            bundles.push(objects::checked(&self.store, &object, sha256).await?);
        }
        Ok(bundles)
    }

    /// Whether the policy lets a version with these signature bundles be used. One that is good is enough.
    pub(super) fn vouched(
        &self,
        name: &ModelName,
        manifest: &Manifest,
        manifest_sha256: &str,
        bundles: &[Bytes],
    ) -> Result<(), Error> {
        vouched(&self.trust, name, manifest, manifest_sha256, bundles)
    }

    /// Whether a version satisfies the signature policy, from what the store holds.
    pub async fn check_signature(&self, name: &ModelName, version: Version) -> Result<(), Error> {
        self.check_signature_in(&self.state(), name, version).await
    }

    /// As [`Self::check_signature`], of a version that `state` knows.
    pub(super) async fn check_signature_in(
        &self,
        state: &State,
        name: &ModelName,
        version: Version,
    ) -> Result<(), Error> {
        let standing = state.model(name)?.version(name, version)?;
        let manifest = self.manifest_of(name, standing).await?;
        let bundles = self.signatures_of(name, standing).await?;
        self.vouched(name, &manifest, &standing.manifest_sha256, &bundles)
    }

    /// Fetches a version, checks manifest, signature and file digests, and decodes the model.
    ///
    /// From a store on this machine the model's file is mapped, not read into memory: see [`crate::Store::map`]. Versions
    /// that are revoked, or whose files are given up, are refused. Works from the last folded state: call
    /// [`Registry::refresh`] for the newest.
    pub async fn load(&self, name: &ModelName, version: Version) -> Result<Loaded, Error> {
        let state = self.state();
        let standing = state.model(name)?.version(name, version)?;
        if matches!(standing.status, Status::Revoked | Status::Tombstoned | Status::Purged) {
            return Err(Error::Refused(format!("version {version} of {name} is {}", standing.status.as_str())));
        }
        let manifest = self.manifest_of(name, standing).await?;
        let bundles = self.signatures_of(name, standing).await?;
        self.vouched(name, &manifest, &standing.manifest_sha256, &bundles)?;
        let file = model_file(&manifest)?;
        let object = key::blob(&file.sha256);
        let artifact = self.decoded(&object, &file.sha256).await?.map_err(|source| Error::Format {
            name: name.to_string(),
            version: version.to_string(),
            source,
        })?;
        Ok(Loaded { version, manifest: Arc::new(manifest), artifact: Arc::new(artifact) })
    }

    /// The model of an object that has the digest it should have.
    async fn decoded(&self, object: &str, sha256: &str) -> Result<Result<Artifact, format::Error>, Error> {
        let corrupt = |found: String| Error::Corrupt { object: object.into(), expected: sha256.into(), found };
        let mut attempt = 1;
        loop {
            let bytes = self.store.map(object).await?.ok_or_else(|| corrupt("nothing".into()))?;
            let (found, artifact) = tokio::task::spawn_blocking(move || hash_and_decode(&bytes))
                .await
                .expect("decoding returns errors instead of panicking");
            if found == sha256 {
                return Ok(artifact);
            }
            if attempt == objects::MAX_READS {
                return Err(corrupt(found));
            }
            attempt += 1;
        }
    }

    /// A version as it is stored, checked byte for byte. What is revoked does not leave, nor what is no longer there.
    pub async fn export(&self, name: &ModelName, version: Version) -> Result<Exported, Error> {
        let state = self.state();
        let standing = state.model(name)?.version(name, version)?;
        if matches!(standing.status, Status::Revoked | Status::Purged) {
            return Err(Error::Refused(format!("version {version} of {name} is {}", standing.status.as_str())));
        }
        let object = key::manifest(name, &standing.manifest_sha256);
        let bytes = objects::checked(&self.store, &object, &standing.manifest_sha256).await?;
        let manifest = read_manifest(&object, &bytes)?;
        let signatures = self.signatures_of(name, standing).await?;
        self.vouched(name, &manifest, &standing.manifest_sha256, &signatures)?;
        let mut files = Vec::new();
        for file in &manifest.files {
            let bytes = objects::checked(&self.store, &key::blob(&file.sha256), &file.sha256).await?;
            files.push((file.path.clone(), bytes));
        }
        Ok(Exported { manifest: bytes, signatures, files })
    }
}

/// Whether `trust` lets a version with these signature bundles, oldest first, be used. One that is good is enough.
pub(super) fn vouched(
    trust: &Trust,
    name: &ModelName,
    manifest: &Manifest,
    manifest_sha256: &str,
    bundles: &[Bytes],
) -> Result<(), Error> {
    let check = |bundle: Option<&[u8]>| {
        let refused = |source| Error::Unvouched { name: name.to_string(), source };
        trust.check(bundle, manifest, manifest_sha256).map(drop).map_err(refused)
    };
    if bundles.is_empty() {
        return check(None);
    }
    // The newest first: it is the one that a change of keys added.
    let mut verdict = Ok(());
    for bundle in bundles.iter().rev() {
        verdict = check(Some(bundle));
        if verdict.is_ok() {
            break;
        }
    }
    verdict
}

/// The listed file that holds the model.
pub(super) fn model_file(manifest: &Manifest) -> Result<&FileRef, Error> {
    manifest.file(MODEL_FILE).ok_or_else(|| Error::Corrupt {
        object: format!("manifest of {}", manifest.name),
        expected: MODEL_FILE.into(),
        found: "no such file".into(),
    })
}

/// The digest of a model's bytes and, as far as they are one, the model: side by side, because each takes about as long.
///
/// The model must not be used before the digest is known to be the right one.
pub(super) fn hash_and_decode(bytes: &Bytes) -> (String, Result<Artifact, format::Error>) {
    std::thread::scope(|scope| {
        let hashing = scope.spawn(|| digest::sha256(bytes));
        let artifact = format::decode(bytes);
        (hashing.join().expect("hashing cannot fail"), artifact)
    })
}
