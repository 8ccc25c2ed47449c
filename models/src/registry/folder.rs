//! A version as a plain folder, as `bookloop fetch` and `bookloop models export` write it and KServe mounts it: what lies
//! where, and loading it without a registry, believed no sooner than one that comes from there.

use std::{io, path::Path, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Error, Exported, load, publish::read_manifest};
use crate::{
    artifact::Artifact,
    digest,
    id::{TenantName, Version},
    manifest::Manifest,
    mapped,
    signature::{MANIFEST_FILE, Trust},
    store::{self, key},
};

/// The file of a folder that says where the version came from.
pub const ORIGIN_FILE: &str = "origin.json";

/// Where a folder's version came from. A version's number is its log's, so neither manifest nor signature knows it.
///
/// Nobody vouches for it: whoever can write the folder can change it. It names what is answered, and decides nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Whose registry.
    pub tenant: TenantName,
    /// The version's number there.
    pub version: Version,
    /// Digest of the manifest it was written beside, hex: with another one it is refused.
    pub manifest_sha256: String,
}

/// A version loaded from a folder.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where it came from, if the folder says so.
    pub origin: Option<Origin>,
    /// What is known about it.
    pub manifest: Manifest,
    /// Digest of the manifest's bytes, hex.
    pub manifest_sha256: String,
    /// The model.
    pub artifact: Arc<Artifact>,
}

impl Exported {
    /// The files of a folder that holds this version, by relative path; the manifest last, so that a folder with a
    /// manifest is whole.
    pub fn in_folder(&self, tenant: &TenantName, version: Version) -> Vec<(String, Bytes)> {
        let manifest_sha256 = digest::sha256(&self.manifest);
        let origin = Origin { tenant: tenant.clone(), version, manifest_sha256 };
        let origin = serde_json::to_vec(&origin).expect("an origin has no maps with odd keys");
        let signatures = self.signatures.iter().enumerate().map(|(n, bytes)| (key::signature_file(n), bytes.clone()));
        let mut files: Vec<_> = signatures.chain(self.files.iter().cloned()).collect();
        files.push((ORIGIN_FILE.to_owned(), origin.into()));
        files.push((MANIFEST_FILE.to_owned(), self.manifest.clone()));
        files
    }
}

/// Loads the version in a folder: manifest, signatures against `trust`, the model's digest against the manifest, the
/// model. Files that the manifest does not list are not looked at.
///
/// The model's file is mapped: it must not change while the model is in use, see [`crate::Store::map`]. Blocks on the
/// disk. [`Error::NotFound`] where there is no manifest or no model, as in a folder that nobody finished.
pub fn load_folder(folder: &Path, trust: &Trust) -> Result<Folder, Error> {
    let missing = |file: &str| Error::NotFound(format!("{file} in {}", folder.display()));
    let bytes = read(folder, MANIFEST_FILE)?.ok_or_else(|| missing(MANIFEST_FILE))?;
    let manifest_sha256 = digest::sha256(&bytes);
    let manifest = read_manifest(MANIFEST_FILE, &bytes)?;
    let mut bundles = Vec::new();
    while let Some(bundle) = read(folder, &key::signature_file(bundles.len()))? {
        bundles.push(bundle);
    }
    load::vouched(trust, &manifest.name, &manifest, &manifest_sha256, &bundles)?;
    let origin = read(folder, ORIGIN_FILE)?.map(|bytes| origin(&bytes, &manifest_sha256)).transpose()?;
    let file = load::model_file(&manifest)?;
    let model = read(folder, &file.path)?.ok_or_else(|| missing(&file.path))?;
    let (found, artifact) = load::hash_and_decode(&model);
    if found != file.sha256 {
        return Err(Error::Corrupt { object: file.path.clone(), expected: file.sha256.clone(), found });
    }
    let version = || origin.as_ref().map_or_else(|| "of no number".to_owned(), |origin| origin.version.to_string());
    let artifact =
        artifact.map_err(|source| Error::Format { name: manifest.name.to_string(), version: version(), source })?;
    Ok(Folder { origin, manifest, manifest_sha256, artifact: Arc::new(artifact) })
}

/// An origin that was written beside this manifest.
fn origin(bytes: &[u8], manifest_sha256: &str) -> Result<Origin, Error> {
    let corrupt =
        |expected: &str, found: String| Error::Corrupt { object: ORIGIN_FILE.into(), expected: expected.into(), found };
    let origin: Origin =
        serde_json::from_slice(bytes).map_err(|error| corrupt("tenant, version and manifest", error.to_string()))?;
    if origin.manifest_sha256 != manifest_sha256 {
        let expected = format!("the manifest beside it, {manifest_sha256}");
        return Err(corrupt(&expected, origin.manifest_sha256));
    }
    Ok(origin)
}

fn read(folder: &Path, file: &str) -> Result<Option<Bytes>, Error> {
    let failed = |source: io::Error| {
        let key = folder.join(file).display().to_string();
        Error::Store(store::Error::Unavailable { operation: "read", key, source: source.into() })
    };
    mapped::file(&folder.join(file)).map_err(failed)
}
