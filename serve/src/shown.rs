//! What V2 shows of server and model, whichever door asks.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use models::Version;

use crate::{
    current::Snapshot,
    error::{Refusal, cut},
    fleet::{Fleet, Tenant},
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

/// A row of the repository's index: a version in memory, or a model without one.
pub(crate) struct Listed {
    pub(crate) name: String,
    /// Empty where none is in memory.
    pub(crate) version: String,
    pub(crate) state: &'static str,
    pub(crate) reason: String,
}

impl Service {
    /// Refuses versions that are not resident, a model that is not in memory, and everything while traffic should not
    /// come here.
    pub(crate) fn check_ready(&self, version: Option<&str>) -> Result<(), Refusal> {
        let snapshot = self.snapshot().ok_or_else(|| self.not_ready())?;
        version.map_or(Ok(()), |text| self.resident_version(&snapshot, text).map(drop))?;
        if self.state().is_ready() { Ok(()) } else { Err(self.not_ready()) }
    }

    /// The metadata of a version, production's without one.
    pub(crate) fn shown(&self, snapshot: &Snapshot, version: Option<&str>) -> Result<Shown, Refusal> {
        let shown = match version {
            Some(text) => {
                let version = self.resident_version(snapshot, text)?;
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

    /// Resident versions, or the model without one; only what is ready if so asked.
    fn index(&self, ready_only: bool) -> Vec<Listed> {
        let is_ready = self.state().is_ready();
        let (state, reason) = if is_ready { ("READY", String::new()) } else { ("UNAVAILABLE", self.why()) };
        let row = |version: String| Listed { name: self.model.to_string(), version, state, reason: reason.clone() };
        match self.snapshot() {
            _ if ready_only && !is_ready => Vec::new(),
            Some(snapshot) => snapshot.residents().map(|resident| row(resident.version.to_string())).collect(),
            None => vec![row(String::new())],
        }
    }

    /// Counts of the resident versions, or of the one asked for.
    fn counted(&self, version: Option<&str>) -> Result<Vec<(Version, Counts)>, Refusal> {
        let snapshot = self.snapshot().ok_or_else(|| self.not_ready())?;
        let versions: Vec<Version> = match version {
            Some(text) => vec![self.resident_version(&snapshot, text)?],
            None => snapshot.residents().map(|resident| resident.version).collect(),
        };
        Ok(versions.into_iter().map(|version| (version, self.statistics.of(version))).collect())
    }
}

impl Tenant {
    /// The index of the tenant's models.
    pub(crate) fn index(&self, ready_only: bool) -> Vec<Listed> {
        self.desks().flat_map(|desk| desk.service.index(ready_only)).collect()
    }

    /// Name, version and counts of a model's resident versions, or of every model that is in memory.
    pub(crate) fn counted(
        &self,
        name: Option<&str>,
        version: Option<&str>,
    ) -> Result<Vec<(String, String, Counts)>, Refusal> {
        let named = |service: &Service, counted: Vec<(Version, Counts)>| {
            let name = service.model.to_string();
            counted.into_iter().map(move |(version, counts)| (name.clone(), version.to_string(), counts))
        };
        if let Some(name) = name {
            let service = &self.model(name)?.service;
            return Ok(named(service, service.counted(version)?).collect());
        }
        let in_memory = self.desks().filter_map(|desk| Some((&*desk.service, desk.service.counted(None).ok()?)));
        Ok(in_memory.flat_map(|(service, counted)| named(service, counted)).collect())
    }
}

impl Fleet {
    /// What loading and unloading where readers are is told.
    pub(crate) fn refuse_repository(&self, headers: &HeaderMap, name: &str) -> Refusal {
        self.desk(headers, Some(name)).err().unwrap_or_else(|| Refusal::Decided { model: cut(name) })
    }
}
