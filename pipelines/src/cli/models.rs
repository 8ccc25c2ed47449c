//! `bookloop models`: look at the registry and decide.

use std::collections::BTreeMap;

use ::models::{
    Alias, Registry, Version,
    registry::{Intent, ModelState, Op, State},
    signature::Trust,
};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::{Place, Shared, keys, print, serve_api};
use crate::exit;

/// Look at the registry and decide: list, approve, promote, roll back.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Every model and version with its aliases.
    List(Where),
    /// One version: metrics, data, parameters, files.
    Show(Show),
    /// Every decision, oldest first: who, when, why.
    Log(Where),
    /// Record that a version is fit for production.
    Approve(Decision),
    /// Make an approved version `production`; the one before becomes `previous`.
    Promote(Promotion),
    /// Return `production` to `previous`.
    Rollback(Rollback),
    /// Point an alias at a version.
    Alias(AliasMove),
    /// Fold the whole log and hash every object again.
    Verify(Where),
    Keygen(keys::Keygen),
    ServeApi(serve_api::Arguments),
}

#[derive(Debug, Args)]
pub(super) struct Where {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    place: Place,
    /// Version number; the newest if not given.
    #[arg(long, env = "BOOKLOOP_VERSION")]
    version: Option<Version>,
}

#[derive(Debug, Clone, Args)]
struct Who {
    /// Who decides.
    #[arg(long, env = "BOOKLOOP_ACTOR")]
    actor: String,
    /// Why, in a sentence.
    #[arg(long, env = "BOOKLOOP_REASON")]
    reason: String,
}

impl Who {
    fn intent(&self) -> anyhow::Result<Intent> {
        for (flag, text) in [("--actor", &self.actor), ("--reason", &self.reason)] {
            if text.trim().is_empty() {
                return Err(exit::coded(exit::USAGE, format!("{flag} is empty")));
            }
        }
        Ok(Intent::new(&self.actor, &self.reason, Timestamp::now()))
    }
}

#[derive(Debug, Args)]
pub(super) struct Decision {
    #[command(flatten)]
    place: Place,
    /// Version number.
    #[arg(long, env = "BOOKLOOP_VERSION")]
    version: Version,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, Args)]
pub(super) struct Promotion {
    #[command(flatten)]
    decision: Decision,
    /// The production version this decision was taken against; a conflict if it has changed.
    #[arg(long, env = "BOOKLOOP_EXPECT")]
    expect: Option<Version>,
}

#[derive(Debug, Args)]
pub(super) struct Rollback {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, Args)]
pub(super) struct AliasMove {
    #[command(flatten)]
    decision: Decision,
    /// The alias: `staging`, or one of your own.
    #[arg(long, env = "BOOKLOOP_ALIAS")]
    alias: Alias,
    /// The version it points at now; it must be unset if this is not given.
    #[arg(long, env = "BOOKLOOP_EXPECT")]
    expect: Option<Version>,
}

impl Command {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        match self {
            Self::List(Where { place }) => list(&place, shared).await,
            Self::Show(show) => show.run(shared).await,
            Self::Log(Where { place }) => log(&place, shared).await,
            Self::Approve(Decision { place, version, who }) => {
                let registry = Registry::open(place.root()?).await?;
                let op = Op::Approve { name: place.model.clone(), version };
                registry.commit(&who.intent()?, |_| Ok(vec![op.clone()])).await?;
                done(shared, &place, &registry.state(), &format!("version {version} approved by {}", who.actor))
            }
            Self::Promote(Promotion { decision: Decision { place, version, who }, expect }) => {
                let registry = Registry::open(place.root()?).await?;
                registry.promote(&place.model, version, expect, &who.intent()?).await?;
                done(shared, &place, &registry.state(), &format!("version {version} is production"))
            }
            Self::Rollback(Rollback { place, who }) => {
                let registry = Registry::open(place.root()?).await?;
                registry.roll_back(&place.model, &who.intent()?).await?;
                done(shared, &place, &registry.state(), "production is back at the previous version")
            }
            Self::Alias(AliasMove { decision: Decision { place, version, who }, alias, expect }) => {
                let registry = Registry::open(place.root()?).await?;
                registry.set_alias(&place.model, &alias, expect, version, &who.intent()?).await?;
                done(shared, &place, &registry.state(), &format!("{alias} points at version {version}"))
            }
            Self::Verify(Where { place }) => verify(&place, shared).await,
            Self::Keygen(keygen) => keygen.run(shared),
            Self::ServeApi(arguments) => arguments.run().await,
        }
    }
}

fn aliases_of(model: &ModelState, version: Version) -> Vec<&str> {
    model.aliases_of(version).map(Alias::as_str).collect()
}

async fn list(place: &Place, shared: &Shared) -> anyhow::Result<()> {
    let registry = Registry::open(place.root()?).await?;
    let state = registry.state();
    let mut rows = Vec::new();
    for (name, model) in &state.models {
        for (version, standing) in &model.versions {
            let manifest = registry.manifest(name, *version).await?;
            let metrics: BTreeMap<&str, f64> =
                manifest.metrics.iter().map(|(metric, estimate)| (metric.as_str(), estimate.mean)).collect();
            let canary = model.canary.filter(|canary| canary.version == *version).map(|canary| canary.weight_bp);
            rows.push(json!({
                "model": name, "version": version, "aliases": aliases_of(model, *version),
                "status": standing.status.as_str(), "approved_by": standing.approval.as_ref().map(|by| &by.actor),
                "algorithm": manifest.algorithm, "metrics": metrics, "canary_bp": canary,
                "registered_at": standing.registered_at, "trigger": manifest.trigger.kind,
            }));
        }
    }
    if shared.json {
        print::json(&rows);
        return Ok(());
    }
    let mut table =
        print::table(&["model", "version", "aliases", "algorithm", "ndcg", "approved by", "trigger", "registered"]);
    for row in &rows {
        let text = |field: &str| row[field].as_str().unwrap_or("-").to_owned();
        let aliases: Vec<&str> = row["aliases"].as_array().into_iter().flatten().filter_map(|a| a.as_str()).collect();
        let canary = row["canary_bp"].as_u64().map(|bp| format!(" (canary {} %)", bp / 100)).unwrap_or_default();
        let ndcg = row["metrics"].as_object().and_then(|all| all.iter().find(|(name, _)| name.starts_with("ndcg@")));
        table.add_row([
            text("model"),
            row["version"].to_string(),
            aliases.join(", ") + &canary,
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
    println!("{table}");
    Ok(())
}

impl Show {
    async fn run(self, shared: &Shared) -> anyhow::Result<()> {
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
                "approved_by": standing.approval.as_ref().map(|by| &by.actor), "manifest": manifest,
            }));
            return Ok(());
        }
        let mut table = print::table(&["", &format!("{} version {version}", place.model)]);
        let mut row = |what: &str, value: String| {
            table.add_row([what.to_owned(), value]);
        };
        row("aliases", aliases_of(model, version).join(", "));
        row("status", standing.status.as_str().to_owned());
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
        row("parent", manifest.parent.map_or_else(|| "-".into(), |parent| parent.to_string()));
        for file in &manifest.files {
            row(&file.path, format!("{} bytes, sha256 {}", file.bytes, file.sha256));
        }
        println!("{table}");
        Ok(())
    }
}

async fn log(place: &Place, shared: &Shared) -> anyhow::Result<()> {
    let entries = Registry::open(place.root()?).await?.entries().await?;
    if shared.json {
        print::json(&entries);
        return Ok(());
    }
    let mut table = print::table(&["id", "at", "actor", "what", "why"]);
    for entry in entries {
        let ops: Vec<String> = entry.ops.iter().map(ToString::to_string).collect();
        table.add_row([
            entry.id.to_string(),
            print::moment(entry.at),
            entry.actor.clone(),
            ops.join("\n"),
            entry.reason.clone(),
        ]);
    }
    println!("{table}");
    Ok(())
}

async fn verify(place: &Place, shared: &Shared) -> anyhow::Result<()> {
    let seen = Registry::verify(place.root()?, &Trust::default()).await?;
    if shared.json {
        print::json(&seen);
    } else {
        println!(
            "{} log entries, {} versions, {} files, {} bytes",
            seen.entries, seen.versions, seen.files, seen.bytes
        );
        seen.problems.iter().for_each(|problem| println!("problem: {problem}"));
    }
    if seen.problems.is_empty() {
        return Ok(());
    }
    Err(exit::coded(
        exit::INTEGRITY,
        format!("{} problems; the registry is not what was committed", seen.problems.len()),
    ))
}

fn done(shared: &Shared, place: &Place, state: &State, sentence: &str) -> anyhow::Result<()> {
    let model = state.model(&place.model)?;
    if shared.json {
        print::json(&json!({ "id": state.last_id, "model": place.model, "aliases": model.aliases }));
    } else {
        println!("{}: {sentence}", place.model);
    }
    Ok(())
}
