//! Looking: what is registered, one version, the log, and whether all of it is what was committed.

use std::collections::BTreeMap;

use ::models::{
    Alias, Registry, Version,
    registry::{ModelState, Status, copy},
};
use clap::Args;
use comfy_table::Table;
use serde_json::{Value, json};

use super::{Place, Shared, Where, copies, keys::Trusted, print, replicate};

/// Every model and version with its aliases.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    place: Where,
}

/// One version: metrics, data, parameters, files.
#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    place: Place,
    /// Version number; the newest if not given.
    #[arg(long, env = "BOOKLOOP_VERSION")]
    version: Option<Version>,
}

/// Every decision, oldest first: who, when, why.
#[derive(Debug, Args)]
pub(in crate::cli) struct Log {
    #[command(flatten)]
    place: Where,
    /// Only the newest entries, this many.
    #[arg(long, env = "BOOKLOOP_LAST", value_name = "N")]
    last: Option<u64>,
}

/// Fold the whole log and hash every object again; with keys, check every signature too.
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    trusted: Trusted,
}

fn aliases_of(model: &ModelState, version: Version) -> Vec<&str> {
    model.aliases_of(version).map(Alias::as_str).collect()
}

impl List {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let registry = self.place.open().await?;
        let rows = rows(&registry).await?;
        if shared.json {
            print::json(&rows);
            return Ok(());
        }
        println!("{}", list(&rows));
        if let Some(replica) = copy::replica(registry.store()).await? {
            println!("{}", replicate::of(&replica));
        }
        Ok(())
    }
}

/// Every version of every model.
async fn rows(registry: &Registry) -> anyhow::Result<Vec<Value>> {
    let state = registry.state();
    let mut rows = Vec::new();
    for (name, model) in &state.models {
        for (version, standing) in &model.versions {
            let canary = model.canary.filter(|canary| canary.version == *version).map(|canary| canary.weight_bp);
            let mut row = json!({
                "model": name, "version": version, "aliases": aliases_of(model, *version),
                "status": standing.status.as_str(), "approved_by": standing.approval.as_ref().map(|by| &by.actor),
                "signatures": standing.signatures.len(), "tags": standing.tags, "canary_bp": canary,
                "registered_at": standing.registered_at, "quarantine": standing.quarantine.as_ref().map(|held| &held.reason),
            });
            // The manifest goes when the files are given up; the rest is in the log for ever.
            if standing.status != Status::Purged {
                let manifest = registry.manifest(name, *version).await?;
                let means = manifest.metrics.iter().map(|(metric, estimate)| (metric.as_str(), estimate.mean));
                row["metrics"] = json!(means.collect::<BTreeMap<&str, f64>>());
                row["algorithm"] = json!(manifest.algorithm);
                row["trigger"] = json!(manifest.trigger.kind);
            }
            rows.push(row);
        }
    }
    Ok(rows)
}

fn list(rows: &[Value]) -> Table {
    let head = ["model", "version", "aliases", "status", "algorithm", "ndcg", "approved by", "trigger", "registered"];
    let mut table = print::table(&head);
    for row in rows {
        let text = |field: &str| row[field].as_str().unwrap_or("-").to_owned();
        let aliases: Vec<&str> = row["aliases"].as_array().into_iter().flatten().filter_map(|a| a.as_str()).collect();
        let canary = row["canary_bp"].as_u64().map(|bp| format!(" (canary {} %)", bp / 100)).unwrap_or_default();
        let ndcg = row["metrics"].as_object().and_then(|all| all.iter().find(|(name, _)| name.starts_with("ndcg@")));
        table.add_row([
            text("model"),
            row["version"].to_string(),
            aliases.join(", ") + &canary,
            if row["quarantine"].is_string() { "quarantine".to_owned() } else { text("status") },
            text("algorithm"),
            ndcg.map_or_else(
                || "-".into(),
                |(name, value)| format!("{:.4} @{}", value.as_f64().unwrap_or(f64::NAN), &name[5..]),
            ),
            text("approved_by"),
            text("trigger"),
            row["registered_at"].as_str().and_then(|at| at.parse().ok()).map(print::moment).unwrap_or_default(),
        ]);
    }
    table
}

impl Show {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let Self { place, version } = self;
        let registry = Registry::open(place.root()?).await?;
        let state = registry.state();
        let model = state.model(&place.model)?;
        let newest = model.versions.last_key_value().map(|(version, _)| *version);
        let version = version.or(newest).unwrap_or(Version::FIRST);
        let standing = model.version(&place.model, version)?;
        let manifest = registry.manifest(&place.model, version).await?;
        if shared.json {
            print::json(&json!({
                "version": version, "aliases": aliases_of(model, version), "status": standing.status.as_str(),
                "approved_by": standing.approval.as_ref().map(|by| &by.actor), "tags": standing.tags,
                "quarantine": standing.quarantine, "signatures": standing.signatures.len(), "manifest_sha256": standing.manifest_sha256,
                "manifest": manifest,
            }));
            return Ok(());
        }
        let mut table = print::table(&["", &format!("{} version {version}", place.model)]);
        let mut row = |what: &str, value: String| {
            table.add_row([what.to_owned(), value]);
        };
        row("aliases", aliases_of(model, version).join(", "));
        row("status", standing.status.as_str().to_owned());
        row("signatures", standing.signatures.len().to_string());
        for (tag, value) in &standing.tags {
            row(&format!("tag {tag}"), value.clone());
        }
        if let Some(held) = &standing.quarantine {
            row("quarantine", format!("{} at {}: {}", held.actor, print::moment(held.at), held.reason));
        }
        if let Some(by) = &standing.approval {
            row("approved", format!("{} at {}: {}", by.actor, print::moment(by.at), by.reason));
        }
        row("trained", print::moment(manifest.created_at));
        row("trigger", format!("{} ({})", manifest.trigger.kind.as_str(), manifest.trigger.id));
        row("algorithm", format!("{} {}", manifest.algorithm, manifest.params));
        for (metric, estimate) in &manifest.metrics {
            let se = estimate.se.map(|se| format!(" ± {se:.4}")).unwrap_or_default();
            row(metric, format!("{:.4}{se} (standard error, {} readers)", estimate.mean, estimate.n));
        }
        row("gate", manifest.gate.clone());
        let data = &manifest.data;
        row(
            "data",
            format!(
                "{}: {} interactions, {} readers, {} books",
                data.source, data.interactions, data.readers, data.books
            ),
        );
        if let (Some(from), Some(to)) = (data.from, data.to) {
            row("data range", format!("{} to {}", print::moment(from), print::moment(to)));
        }
        row("data sha256", data.sha256.clone());
        row("seed", manifest.seed.to_string());
        row("code", manifest.code_revision.clone());
        row("manifest sha256", standing.manifest_sha256.clone());
        row("parent", manifest.parent.map_or_else(|| "-".into(), |parent| parent.to_string()));
        for file in &manifest.files {
            row(&file.path, format!("{} bytes, sha256 {}", file.bytes, file.sha256));
        }
        println!("{table}");
        Ok(())
    }
}

impl Log {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let registry = self.place.open().await?;
        let first = self.last.map_or(1, |last| (registry.state().last_id + 1).saturating_sub(last).max(1));
        let entries = registry.entries_from(first).await?;
        if shared.json {
            print::json(&entries);
            return Ok(());
        }
        let mut table = print::table(&["id", "at", "actor", "what", "why"]);
        for entry in entries {
            let ops: Vec<String> = entry.ops.iter().map(ToString::to_string).collect();
            let approval = entry.approval.map(|approval| format!(" ({approval})")).unwrap_or_default();
            let at = print::moment(entry.at);
            table.add_row([entry.id.to_string(), at, entry.actor, ops.join("\n"), entry.reason + &approval]);
        }
        println!("{table}");
        Ok(())
    }
}

impl Verify {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let root = self.place.root()?;
        let seen = Registry::verify(root.clone(), &self.trusted.trust()?).await?;
        if shared.json {
            print::json(&seen);
        }
        copies::sound(&seen, root.url(), shared)
    }
}
