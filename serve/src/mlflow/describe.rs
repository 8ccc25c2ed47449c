//! From the registry's words to MLflow's: a folded state and a manifest in, the protocol's records out. No I/O.

use std::{collections::BTreeMap, sync::Arc};

use models::{
    Manifest, ModelName, TenantName, Version,
    registry::{ModelState, State, Status, VersionState},
    store::key,
};

use super::{
    listing::Place,
    wire::{ModelVersion, RegisteredModel, RegisteredModelAlias, tags},
};

const READY: &str = "READY";
const FAILED: &str = "FAILED_REGISTRATION";
/// The only stage.
pub(super) const STAGE: &str = "None";

/// What a manifest adds to what the log says of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    gate: String,
    tags: BTreeMap<String, String>,
}

impl Described {
    pub(super) fn of(manifest: &Manifest) -> Self {
        let data = &manifest.data;
        let mut tags: BTreeMap<String, String> = [
            ("algorithm", manifest.algorithm.clone()),
            ("code_revision", manifest.code_revision.clone()),
            ("data_books", data.books.to_string()),
            ("data_interactions", data.interactions.to_string()),
            ("data_readers", data.readers.to_string()),
            ("data_sha256", data.sha256.clone()),
            ("data_source", data.source.clone()),
            ("parameters", manifest.params.to_string()),
            ("seed", manifest.seed.to_string()),
            ("trained_at", manifest.created_at.to_string()),
            ("trigger", manifest.trigger.kind.as_str().into()),
            ("trigger_id", manifest.trigger.id.clone()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        let optional = [
            ("data_from", data.from.map(|at| at.to_string())),
            ("data_to", data.to.map(|at| at.to_string())),
            ("parent", manifest.parent.map(|parent| parent.to_string())),
        ];
        tags.extend(optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        for (metric, estimate) in &manifest.metrics {
            // MLflow's names hold no @.
            let metric = metric.replace('@', "_at_");
            tags.insert(format!("metric.{metric}"), estimate.mean.to_string());
            tags.extend(estimate.se.map(|se| (format!("metric.{metric}.standard_error"), se.to_string())));
            tags.insert(format!("metric.{metric}.readers"), estimate.n.to_string());
        }
        Self { gate: manifest.gate.clone(), tags }
    }
}

/// What each version's manifest says, or why the manifest cannot be believed.
pub(super) type KnownVersions = BTreeMap<(ModelName, Version), Arc<Result<Described, String>>>;

/// One tenant's registry at one moment.
#[derive(Debug)]
pub(super) struct View {
    pub(super) tenant: TenantName,
    /// Of the tenant's root.
    pub(super) store_url: String,
    pub(super) state: Arc<State>,
    pub(super) known: KnownVersions,
}

impl View {
    /// The name a model has in the protocol.
    pub(super) fn name(&self, model: &ModelName) -> String {
        format!("{}.{model}", self.tenant)
    }

    /// Where a version's manifest is.
    fn manifest_url(&self, name: &ModelName, standing: &VersionState) -> String {
        format!("{}/{}", self.store_url, key::manifest(name, &standing.manifest_sha256))
    }

    /// The folder that holds a version's manifest: what a client can download is a folder.
    pub(super) fn folder_url(&self, name: &ModelName, standing: &VersionState) -> String {
        let manifest = self.manifest_url(name, standing);
        manifest.rsplit_once('/').map_or_else(String::new, |(folder, _)| folder.to_owned())
    }

    /// What models are sorted by. A model without versions has no times.
    pub(super) fn model_place(&self, name: &ModelName, model: &ModelState) -> Place {
        let created = model.versions.values().map(|version| version.registered_at.as_millisecond()).min();
        let updated = model.versions.values().map(updated).max();
        Place {
            name: self.name(name),
            version: 0,
            created: created.unwrap_or_default(),
            updated: updated.unwrap_or_default(),
        }
    }

    /// What versions are sorted by.
    pub(super) fn version_place(&self, name: &ModelName, version: Version, standing: &VersionState) -> Place {
        Place {
            name: self.name(name),
            version: version.get(),
            created: standing.registered_at.as_millisecond(),
            updated: updated(standing),
        }
    }

    pub(super) fn model(&self, name: &ModelName, model: &ModelState) -> RegisteredModel {
        let Place { created, updated, name: full_name, .. } = self.model_place(name, model);
        let facts = [("model", name.as_str()), ("store", &self.store_url), ("tenant", self.tenant.as_str())];
        let facts = facts.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let aliases = model.aliases.iter();
        RegisteredModel {
            name: full_name,
            creation_timestamp: created,
            last_updated_timestamp: updated,
            description: format!(
                "Model {name} of tenant {}, kept by bookloop and read only here; decisions about it are taken with \
                 `bookloop models`.",
                self.tenant
            ),
            latest_versions: self.latest(name, model).into_iter().collect(),
            tags: tags(&facts),
            aliases: aliases
                .map(|(alias, to)| RegisteredModelAlias { alias: alias.to_string(), version: to.to_string() })
                .collect(),
        }
    }

    /// The highest version that may be served.
    pub(super) fn latest(&self, name: &ModelName, model: &ModelState) -> Option<ModelVersion> {
        let newest_first = model.versions.iter().rev();
        newest_first
            .map(|(version, standing)| self.version(name, *version, model, standing))
            .find(|version| version.status == READY)
    }

    pub(super) fn version(
        &self,
        name: &ModelName,
        version: Version,
        model: &ModelState,
        standing: &VersionState,
    ) -> ModelVersion {
        let Place { created, updated, name: full_name, .. } = self.version_place(name, version, standing);
        let known = self.known.get(&(name.clone(), version));
        let described = known.map(|known| Result::as_ref(known));
        let mut facts = standing.tags.clone();
        facts.extend(described.and_then(Result::ok).into_iter().flat_map(|described| described.tags.clone()));
        let mut fact = |key: &str, value: &str| {
            facts.insert(key.to_owned(), value.to_owned());
        };
        fact("manifest_sha256", &standing.manifest_sha256);
        fact("status", standing.status.as_str());
        if let Some(approval) = &standing.approval {
            fact("approved_at", &approval.at.to_string());
            fact("approved_by", &approval.actor);
            fact("approval_reason", &approval.reason);
        }
        if let Some(held) = &standing.quarantine {
            fact("quarantine", &held.reason);
        }
        if let Some(canary) = model.canary.filter(|canary| canary.version == version) {
            fact("canary_basis_points", &canary.weight_bp.to_string());
        }
        let trouble = match (standing.status, described) {
            (Status::Revoked, _) => Some("revoked: must not be served".to_owned()),
            (Status::Tombstoned, _) => Some("tombstoned: its files will be deleted".to_owned()),
            (Status::Purged, _) => Some("purged: its files were deleted".to_owned()),
            (_, Some(Err(damage))) => Some(damage.clone()),
            _ => None,
        };
        ModelVersion {
            name: full_name,
            version: version.to_string(),
            creation_timestamp: created,
            last_updated_timestamp: updated,
            user_id: Some(standing.registered_by.clone()),
            current_stage: STAGE,
            description: described.and_then(Result::ok).map(|described| described.gate.clone()),
            source: self.manifest_url(name, standing),
            status: if trouble.is_none() { READY } else { FAILED },
            status_message: trouble,
            tags: tags(&facts),
            aliases: model
                .aliases
                .iter()
                .filter(|(_, to)| **to == version)
                .map(|(alias, _)| alias.to_string())
                .collect(),
        }
    }
}

/// When a version was last registered or approved, milliseconds since 1970.
fn updated(standing: &VersionState) -> i64 {
    let approved = standing.approval.as_ref().map(|approval| approval.at);
    approved.map_or(standing.registered_at, |at| at.max(standing.registered_at)).as_millisecond()
}
