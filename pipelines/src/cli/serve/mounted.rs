//! A version that lies in a folder, in place of a registry: what it is called there, and whether the flags agree.

use std::path::Path;

use ::models::{
    ModelName, TenantName, Version,
    manifest::MODEL_FILE,
    registry::{Folder, ORIGIN_FILE, load_folder},
    signature::{MANIFEST_FILE, Trust},
};
use ::serve::ModelSource;

use super::selection::shared;
use crate::exit;

/// A folder's version, checked and in memory.
#[derive(Debug)]
pub(super) struct Mount {
    /// Whose readers are answered: as the flags say, else whom it came from, else everyone.
    pub(super) tenant: TenantName,
    /// As its manifest says.
    pub(super) model: ModelName,
    /// The version.
    pub(super) source: ModelSource,
}

impl Mount {
    /// Loads the version in `folder`. What the flags name must be what the folder names; what the folder does not know
    /// they must name.
    pub(super) fn open(
        folder: &Path,
        trust: &Trust,
        tenant: Option<TenantName>,
        model: Option<ModelName>,
        version: Option<Version>,
    ) -> anyhow::Result<Self> {
        let Folder { origin, manifest, manifest_sha256, artifact } = load_folder(folder, trust)?;
        let place = folder.display();
        if let Some(model) = model.filter(|model| *model != manifest.name) {
            let what = format!("{place}/{MANIFEST_FILE}: expected model {model}, found {}", manifest.name);
            return Err(exit::coded(exit::BAD_INPUT, what));
        }
        let number = match (version, origin.as_ref().map(|origin| origin.version)) {
            (Some(asked), Some(found)) if asked != found => {
                let what = format!("{place}/{ORIGIN_FILE}: expected version {asked}, found {found}");
                return Err(exit::coded(exit::BAD_INPUT, what));
            }
            (asked, found) => asked.or(found).ok_or_else(|| {
                let what = format!("{place}: expected {ORIGIN_FILE} or --model-version, found neither");
                exit::coded(exit::BAD_INPUT, what)
            })?,
        };
        let bytes = manifest.file(MODEL_FILE).map_or(0, |file| file.bytes);
        let source = ModelSource::Fixed { version: number, digest: manifest_sha256, bytes, artifact };
        let tenant = tenant.or(origin.map(|origin| origin.tenant)).unwrap_or_else(shared);
        Ok(Self { tenant, model: manifest.name, source })
    }
}
