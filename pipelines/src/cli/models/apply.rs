//! `bookloop models apply`: aliases as a reviewed file wants them.

use std::{collections::BTreeMap, path::PathBuf};

use ::models::{
    Registry, Store, TenantName,
    registry::desired::{Applied, Desired, DesiredAlias},
};
use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Shared, keys, print};
use crate::{desired, exit};

/// Point aliases where a reviewed file says, each with the version it was at when the file was written.
///
/// Every line is checked before the first commit. Applying a file twice changes nothing; a line whose alias has moved
/// elsewhere since is a conflict (exit code 11), and a rollback stands until the file is edited.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Arguments {
    /// The file, as in models.yaml.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Root of the store: file:///folder, memory://name, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.
    #[arg(long, env = "BOOKLOOP_STORE", value_name = "URL")]
    store: String,
    /// Who applies it.
    #[arg(long, env = "BOOKLOOP_ACTOR", required_unless_present = "dry_run")]
    actor: Option<String>,
    /// Only tell what would be done.
    #[arg(long, env = "BOOKLOOP_DRY_RUN")]
    dry_run: bool,
    #[command(flatten)]
    trusted: keys::Trusted,
}

const EXAMPLES: &str = "\
Examples:
  bookloop models apply models.yaml --store s3://models --dry-run
  bookloop models apply models.yaml --store s3://models --actor gitops

models.yaml:
  apiVersion: bookloop/v1
  models:
  - tenant: acme-books
    name: recommender
    alias: production
    version: 12
    digest: sha256:…        # as `models show` tells it: manifest sha256
    expect: 11              # what the alias points at now; leave out if it is unset
    reason: weekly
    ticket: OPS-412";

impl Arguments {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let file = self.file.display().to_string();
        let text = std::fs::read_to_string(&self.file)
            .map_err(|error| exit::coded(exit::BAD_INPUT, format!("{file}: {error}")))?;
        let desired = desired::parse(&file, &text)?;
        let actor = match &self.actor {
            Some(actor) if actor.trim().is_empty() => return Err(exit::coded(exit::USAGE, "--actor is empty")),
            actor => actor.as_deref().filter(|_| !self.dry_run),
        };
        let trust = self.trusted.trust()?;
        let store = Store::open(&self.store)?;
        let mut registries = BTreeMap::new();
        for line in &desired.models {
            if !registries.contains_key(&line.tenant) {
                let registry = Registry::open(store.tenant(&line.tenant)).await?.trusting(trust.clone());
                registries.insert(line.tenant.clone(), registry);
            }
        }
        let mut rows = check(&file, &desired, &registries).await?;
        let mut outcome = Ok(());
        if let Some(actor) = actor {
            outcome = apply(&file, &desired, &registries, actor, &mut rows).await;
        }
        if shared.json {
            print::json(&rows);
        } else {
            for row in &rows {
                println!("{}", in_words(row));
            }
        }
        outcome
    }
}

/// What each line would do; every line that cannot be applied is told before the first of them is the error.
async fn check(
    file: &str,
    desired: &Desired,
    registries: &BTreeMap<TenantName, Registry>,
) -> anyhow::Result<Vec<Value>> {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for (place, line) in desired.models.iter().enumerate() {
        match registries[&line.tenant].check_line(line).await {
            Ok(there) => rows.push(row(line, if there { "unchanged" } else { "would move" }, None)),
            Err(error) => problems.push(anyhow::Error::from(error).context(named(file, place, line))),
        }
    }
    let mut problems = problems.into_iter();
    let Some(first) = problems.next() else { return Ok(rows) };
    for problem in problems {
        eprintln!("error: {}", super::super::in_words(&problem));
    }
    Err(first.context("nothing was applied"))
}

/// Applies the lines in order and notes in `rows` what each did.
async fn apply(
    file: &str,
    desired: &Desired,
    registries: &BTreeMap<TenantName, Registry>,
    actor: &str,
    rows: &mut [Value],
) -> anyhow::Result<()> {
    for (place, line) in desired.models.iter().enumerate() {
        let applied = registries[&line.tenant].apply(line, actor, Timestamp::now()).await;
        rows[place] = match applied.with_context(|| named(file, place, line))? {
            Applied::Unchanged => row(line, "unchanged", None),
            Applied::Moved(receipt) => row(line, "moved", Some(receipt.entry.id)),
        };
    }
    Ok(())
}

fn named(file: &str, place: usize, line: &DesiredAlias) -> String {
    format!("{file}: models[{place}], {}/{} {}", line.tenant, line.name, line.alias)
}

fn row(line: &DesiredAlias, outcome: &str, id: Option<u64>) -> Value {
    json!({
        "tenant": line.tenant, "model": line.name, "alias": line.alias, "version": line.version,
        "expect": line.expect, "outcome": outcome, "id": id,
    })
}

fn in_words(row: &Value) -> String {
    let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let place = format!("{}/{} {}", text("tenant"), text("model"), text("alias"));
    let from = row["expect"].as_u64().map(|from| format!(" from {from}")).unwrap_or_default();
    match text("outcome").as_str() {
        "unchanged" => format!("{place}: unchanged at {}", row["version"]),
        outcome => format!("{place}: {outcome}{from} to {}", row["version"]),
    }
}
