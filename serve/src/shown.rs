//! What V2 shows of server and model, whichever door asks.

use std::collections::BTreeMap;

use models::Version;

use crate::{
    error::{Refusal, cut},
    service::Service,
    statistics::Counts,
};

/// The server's name.
pub(crate) const NAME: &str = "bookloop";
/// Its version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What it speaks beyond the core of the protocol.
pub(crate) const EXTENSIONS: [&str; 4] = ["binary_tensor_data", "model_repository_index", "parameters", "statistics"];

/// A model's metadata, without its tensors.
pub(crate) struct Shown {
    pub(crate) versions: Vec<String>,
    pub(crate) platform: String,
    pub(crate) properties: BTreeMap<String, String>,
}

impl Service {
    /// Refuses other models, versions that are not resident, and everything before a model is.
    pub(crate) fn check_resident(&self, name: &str, version: Option<&str>) -> Result<(), Refusal> {
        self.check_model(name)?;
        let snapshot = self.ready_snapshot()?;
        version.map_or(Ok(()), |text| self.resident_version(&snapshot, text).map(drop))
    }

    /// The same, and while traffic should not come here.
    pub(crate) fn check_ready(&self, name: &str, version: Option<&str>) -> Result<(), Refusal> {
        self.check_resident(name, version)?;
        if self.state().is_ready() { Ok(()) } else { Err(Refusal::NotReady(self.options.model.clone())) }
    }

    /// The metadata of a version, production's without one.
    pub(crate) fn shown(&self, name: &str, version: Option<&str>) -> Result<Shown, Refusal> {
        self.check_model(name)?;
        let snapshot = self.ready_snapshot()?;
        let shown = match version {
            Some(text) => {
                let version = self.resident_version(&snapshot, text)?;
                snapshot.residents().find(|resident| resident.version == version).unwrap_or(&snapshot.stable)
            }
            None => &snapshot.stable,
        };
        Ok(Shown {
            versions: snapshot.residents().map(|resident| resident.version.to_string()).collect(),
            platform: format!("bookloop_{}", shown.artifact.scorer().family()),
            properties: [("books".to_owned(), shown.artifact.catalogue().len().to_string())].into(),
        })
    }

    /// State and reason of every resident version in the repository's index.
    pub(crate) fn index_state(&self) -> (&'static str, &'static str) {
        let state = self.state();
        if state.is_ready() { ("READY", "") } else { ("UNAVAILABLE", state.as_str()) }
    }

    /// Resident versions; none while they are not ready and only ready ones are asked for.
    pub(crate) fn index(&self, ready_only: bool) -> Vec<String> {
        let snapshot = self.snapshot().filter(|_| !ready_only || self.state().is_ready());
        snapshot.map_or_else(Vec::new, |snapshot| {
            snapshot.residents().map(|resident| resident.version.to_string()).collect()
        })
    }

    /// Counts of the resident versions, or of the one asked for.
    pub(crate) fn counted(&self, name: Option<&str>, version: Option<&str>) -> Result<Vec<(String, Counts)>, Refusal> {
        name.map_or(Ok(()), |name| self.check_model(name))?;
        let snapshot = self.ready_snapshot()?;
        let versions: Vec<Version> = match version {
            Some(text) => vec![self.resident_version(&snapshot, text)?],
            None => snapshot.residents().map(|resident| resident.version).collect(),
        };
        Ok(versions.into_iter().map(|version| (version.to_string(), self.statistics.of(version))).collect())
    }

    /// What loading and unloading by hand is told.
    pub(crate) fn refuse_repository(&self, name: &str) -> Refusal {
        self.check_model(name).err().unwrap_or_else(|| Refusal::Decided { model: cut(name) })
    }
}
