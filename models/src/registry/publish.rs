//! A version's way in: files, manifest and signature first, then the commit that makes them a version.

use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::{Error, Intent, ModelState, Op, Receipt, Registry, objects};
use crate::{
    digest,
    id::Version,
    manifest::{FileRef, Manifest},
    signature,
    store::{Created, key},
};

/// A file found in the store that is older than this is written again when it is published: a collector goes by age.
const WRITTEN_AGAIN_AFTER: SignedDuration = SignedDuration::from_hours(12);

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

/// A version as it travels outside a registry: everything that was stored, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The manifest's bytes.
    pub manifest: Bytes,
    /// Signature bundles, oldest first.
    pub signatures: Vec<Bytes>,
    /// Files by relative path.
    pub files: Vec<(String, Bytes)>,
}

impl Registry {
    /// Uploads a version's files and manifest, then commits its registration. No alias moves.
    ///
    /// Where the handle has a key the manifest, which names every file's digest, is signed. Until the commit no reader sees
    /// anything; a run that dies before it leaves only unreferenced objects, which a repeated run finds and uses.
    pub async fn publish(&self, draft: Draft, intent: &Intent) -> Result<Published, Error> {
        let Draft { mut manifest, files } = draft;
        let described = |(path, bytes): &(String, Bytes)| FileRef {
            path: path.clone(),
            sha256: digest::sha256(bytes),
            bytes: bytes.len() as u64,
        };
        manifest.files = files.iter().map(described).collect();
        manifest.check().map_err(Error::Refused)?;
        let bytes = Bytes::from(serde_json::to_vec_pretty(&manifest).expect("a manifest has no maps with odd keys"));
        let sign = |key| signature::sign(key, &manifest, &bytes).map(Bytes::from);
        let signatures =
            self.signer.as_ref().map(sign).transpose().map_err(|error| Error::Refused(error.to_string()))?;
        let signatures = signatures.into_iter().collect();
        self.register(&manifest, &Exported { manifest: bytes, signatures, files }, intent).await
    }

    /// Registers a version that was exported from another registry, with the same bytes and the next number here.
    ///
    /// Refused unless manifest and files agree and the signatures satisfy this registry's policy. A version whose manifest
    /// is registered already is returned as it is.
    pub async fn import(&self, version: &Exported, intent: &Intent) -> Result<Published, Error> {
        let manifest = read_manifest("manifest.json", &version.manifest)?;
        let sha256 = digest::sha256(&version.manifest);
        let given: Vec<FileRef> = version
            .files
            .iter()
            .map(|(path, bytes)| FileRef {
                path: path.clone(),
                sha256: digest::sha256(bytes),
                bytes: bytes.len() as u64,
            })
            .collect();
        for listed in &manifest.files {
            let found = given.iter().find(|file| file.path == listed.path);
            if found != Some(listed) {
                return Err(Error::Corrupt {
                    object: listed.path.clone(),
                    expected: listed.sha256.clone(),
                    found: found.map_or_else(|| "no such file".into(), |found| found.sha256.clone()),
                });
            }
        }
        if let Some(extra) = given.iter().find(|file| manifest.file(&file.path).is_none()) {
            return Err(Error::Refused(format!("{} is not listed in the manifest", extra.path)));
        }
        self.vouched(&manifest.name, &manifest, &sha256, &version.signatures)?;
        let state = self.refresh().await?;
        let versions = state.models.get(&manifest.name).into_iter().flat_map(|model| &model.versions);
        for (number, standing) in versions {
            if standing.manifest_sha256 == sha256 {
                return Err(Error::Refused(format!("it is version {number} of {} already", manifest.name)));
            }
        }
        let intent = intent.clone().once(format!("import-{sha256}"));
        self.register(&manifest, version, &intent).await
    }

    /// Uploads and commits.
    async fn register(&self, manifest: &Manifest, version: &Exported, intent: &Intent) -> Result<Published, Error> {
        let begun = std::time::Instant::now();
        let manifest_sha256 = digest::sha256(&version.manifest);
        let name = &manifest.name;
        let mut stored: Vec<(String, &Bytes)> = Vec::new();
        for file in &manifest.files {
            let (_, bytes) =
                version.files.iter().find(|(path, _)| *path == file.path).expect("every listed file was given");
            stored.push((key::blob(&file.sha256), bytes));
        }
        for (number, signature) in version.signatures.iter().enumerate() {
            stored.push((key::signature(name, &manifest_sha256, number), signature));
        }
        stored.push((key::manifest(name, &manifest_sha256), &version.manifest));
        let uploads = stored.iter().map(|(object, bytes)| self.upload(object, bytes, intent.at));
        futures::future::try_join_all(uploads).await?;
        let receipt = self
            .commit(intent, |state| {
                let version_number = state.models.get(name).map_or(Version::FIRST, ModelState::next_version);
                let mut signatures = version.signatures.iter().map(|bytes| digest::sha256(bytes));
                let register = Op::Register {
                    name: name.clone(),
                    version: version_number,
                    manifest_sha256: manifest_sha256.clone(),
                    signature_sha256: signatures.next(),
                };
                let sign =
                    |signature_sha256| Op::Sign { name: name.clone(), version: version_number, signature_sha256 };
                Ok(std::iter::once(register).chain(signatures.map(sign)).collect())
            })
            .await?;
        if begun.elapsed() > Duration::from_hours(1) {
            // Slow enough for a collector to have judged by a state without this version: whatever it took comes back.
            for (object, bytes) in &stored {
                objects::create(&self.store, object, bytes).await?;
            }
        }
        let registered = receipt.entry.ops.iter().find_map(|op| match op {
            Op::Register { version, .. } => Some(*version),
            _ => None,
        });
        let version = registered.ok_or_else(|| {
            Error::Refused(format!("idempotency key {:?} was used for another commit", receipt.entry.idempotency_key))
        })?;
        Ok(Published { version, receipt })
    }

    /// Creates an object. One that was there already is written once more if it is old enough to look abandoned.
    async fn upload(&self, object: &str, bytes: &Bytes, now: Timestamp) -> Result<(), Error> {
        if objects::create(&self.store, object, bytes).await? == Created::New {
            return Ok(());
        }
        let found = self.store.head(object).await?;
        if found.is_some_and(|found| now.duration_since(found.modified) > WRITTEN_AGAIN_AFTER) {
            self.store.put(object, bytes.clone()).await?;
        }
        Ok(())
    }
}

/// A manifest's bytes, read and checked in itself.
pub(super) fn read_manifest(object: &str, bytes: &[u8]) -> Result<Manifest, Error> {
    let corrupt = |found: String| Error::Corrupt { object: object.into(), expected: "a manifest".into(), found };
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| corrupt(error.to_string()))?;
    manifest.check().map_err(corrupt)?;
    Ok(manifest)
}
