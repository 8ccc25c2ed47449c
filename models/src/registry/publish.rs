//! A version's way in: files, manifest and signature first, then the commit that makes them a version.

use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::{Error, Intent, ModelState, Op, Receipt, Registry, Status, objects};
use crate::{
    digest,
    id::{Alias, ModelName, Version},
    manifest::{FileRef, Manifest},
    signature::{self, SigningKey},
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
    /// Uploads a version's files and manifest, then commits its registration. No alias moves: see [`Self::publish_staged`].
    ///
    /// Where the handle has a key the manifest, which names every file's digest, is signed. Until the commit no reader sees
    /// anything; a run that dies before it leaves only unreferenced objects, which a repeated run finds and uses.
    pub async fn publish(&self, draft: Draft, intent: &Intent) -> Result<Published, Error> {
        let (manifest, version) = self.sealed(draft)?;
        self.register(&manifest, &version, None, intent).await
    }

    /// As [`Self::publish`], and the same commit points `staging` at the version: nobody sees one without the other.
    ///
    /// The version is the newest there is when the commit is taken, so a late run never takes `staging` back.
    pub async fn publish_staged(&self, draft: Draft, intent: &Intent) -> Result<Published, Error> {
        let (manifest, version) = self.sealed(draft)?;
        self.register(&manifest, &version, Some(&Alias::staging()), intent).await
    }

    /// A draft with its manifest filled in and, where the handle has a key, signed.
    fn sealed(&self, draft: Draft) -> Result<(Manifest, Exported), Error> {
        let Draft { mut manifest, files } = draft;
        manifest.files = files.iter().map(described).collect();
        manifest.check().map_err(Error::Refused)?;
        let bytes = Bytes::from(serde_json::to_vec_pretty(&manifest).expect("a manifest has no maps with odd keys"));
        let sign = |key| signature::sign(key, &manifest, &bytes).map(Bytes::from);
        let signatures =
            self.signer.as_ref().map(sign).transpose().map_err(|error| Error::Refused(error.to_string()))?;
        let signatures = signatures.into_iter().collect();
        Ok((manifest, Exported { manifest: bytes, signatures, files }))
    }

    /// Registers a version of `name` that was exported from another registry, with the same bytes and the next number here.
    ///
    /// Refused unless the manifest is one of `name`, manifest and files agree, and the signatures satisfy this registry's
    /// policy; and where its manifest is registered already, save under a version whose files were given up.
    pub async fn import(&self, name: &ModelName, version: &Exported, intent: &Intent) -> Result<Published, Error> {
        let manifest = read_manifest(signature::MANIFEST_FILE, &version.manifest)?;
        if manifest.name != *name {
            return Err(Error::Refused(format!("it is a version of {}, not of {name}", manifest.name)));
        }
        let sha256 = digest::sha256(&version.manifest);
        check_files(&manifest, version)?;
        self.vouched(name, &manifest, &sha256, &version.signatures)?;
        let state = self.refresh().await?;
        let versions = state.models.get(name).into_iter().flat_map(|model| &model.versions);
        let mut given_up = 0;
        for (number, standing) in versions.filter(|(_, standing)| standing.manifest_sha256 == sha256) {
            if standing.status != Status::Purged {
                return Err(Error::Refused(format!("it is version {number} of {name} already")));
            }
            given_up += 1;
        }
        let intent = intent.clone().once(format!("import-{sha256}-{given_up}"));
        self.register(&manifest, version, None, &intent).await
    }

    /// Adds a signature to a version, as after a change of keys. The signatures it has stay, and so does its number.
    ///
    /// Refused where the policy does not vouch for the version, so that a new key says no more than the old one did. A
    /// conflict while another signature of it is on its way; one whose writer died is in the way until a collector has
    /// taken it.
    pub async fn sign(
        &self,
        name: &ModelName,
        version: Version,
        key: &SigningKey,
        intent: &Intent,
    ) -> Result<Receipt, Error> {
        let state = self.refresh().await?;
        let standing = state.model(name)?.version(name, version)?;
        if matches!(standing.status, Status::Revoked | Status::Purged) {
            return Err(Error::Refused(format!("version {version} of {name} is {}", standing.status.as_str())));
        }
        let place = key::manifest(name, &standing.manifest_sha256);
        let bytes = objects::checked(&self.store, &place, &standing.manifest_sha256).await?;
        let manifest = read_manifest(&place, &bytes)?;
        let bundles = self.signatures_of(name, standing).await?;
        self.vouched(name, &manifest, &standing.manifest_sha256, &bundles)?;
        let bundle = signature::sign(key, &manifest, &bytes).map_err(|error| Error::Refused(error.to_string()))?;
        let (bundle, signature_sha256) = (Bytes::from(bundle.clone()), digest::sha256(&bundle));
        let number = standing.signatures.len();
        if standing.signatures.contains(&signature_sha256) {
            return Err(Error::Refused(format!("key {} has signed version {version} of {name}", key.key_id())));
        }
        let in_the_way = |found: String| Error::Conflict {
            what: format!("signature {} of version {version} of {name}", number + 1),
            expected: signature_sha256.clone(),
            found,
        };
        let object = key::signature(name, &standing.manifest_sha256, number);
        self.upload(&object, &bundle, intent.at).await.map_err(|error| match error {
            Error::Corrupt { found, .. } => in_the_way(found),
            error => error,
        })?;
        self.commit(intent, |state| {
            let signed = &state.model(name)?.version(name, version)?.signatures;
            match signed.get(number) {
                Some(found) if *found != signature_sha256 => Err(in_the_way(found.clone())),
                _ => Ok(vec![Op::Sign { name: name.clone(), version, signature_sha256: signature_sha256.clone() }]),
            }
        })
        .await
    }

    /// Uploads and commits; with `alias`, the version is also what it points at from then on.
    async fn register(
        &self,
        manifest: &Manifest,
        version: &Exported,
        alias: Option<&Alias>,
        intent: &Intent,
    ) -> Result<Published, Error> {
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
        let renewed = futures::future::try_join_all(uploads).await?.contains(&true);
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
                let point = alias.map(|alias| {
                    let expect = state.models.get(name).and_then(|model| model.aliases.get(alias)).copied();
                    Op::AliasSet { name: name.clone(), alias: alias.clone(), expect, to: version_number }
                });
                Ok(std::iter::once(register).chain(signatures.map(sign)).chain(point).collect())
            })
            .await?;
        if renewed || begun.elapsed() > Duration::from_hours(1) {
            // A collector may have judged by a state without this version, or been about to delete what was old: whatever
            // it took comes back.
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

    /// Creates an object. One that was there already is written once more if it is old enough to look abandoned; whether
    /// it was.
    async fn upload(&self, object: &str, bytes: &Bytes, now: Timestamp) -> Result<bool, Error> {
        if objects::create(&self.store, object, bytes).await? == Created::New {
            return Ok(false);
        }
        let found = self.store.head(object).await?;
        let old = found.is_some_and(|found| now.duration_since(found.modified) > WRITTEN_AGAIN_AFTER);
        if old {
            self.store.put(object, bytes.clone()).await?;
        }
        Ok(old)
    }
}

/// Whether a version's files are the listed ones, no more and no less.
fn check_files(manifest: &Manifest, version: &Exported) -> Result<(), Error> {
    let given: Vec<FileRef> = version.files.iter().map(described).collect();
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
    Ok(())
}

fn described((path, bytes): &(String, Bytes)) -> FileRef {
    FileRef { path: path.clone(), sha256: digest::sha256(bytes), bytes: bytes.len() as u64 }
}

/// A manifest's bytes, read and checked in itself.
pub(super) fn read_manifest(object: &str, bytes: &[u8]) -> Result<Manifest, Error> {
    let corrupt = |found: String| Error::Corrupt { object: object.into(), expected: "a manifest".into(), found };
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| corrupt(error.to_string()))?;
    manifest.check().map_err(corrupt)?;
    Ok(manifest)
}
