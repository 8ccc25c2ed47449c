//! `bookloop train`: one nightly run, or one step of it.

use std::path::PathBuf;

use ::models::{
    Registry, TenantName,
    manifest::{Trigger, TriggerKind},
};
use ::train::{Recipe, TimeAxis, line_up};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::json;

use super::{Place, Shared, keys, print};
use crate::{
    exit,
    night::{Judged, Night, SnapshotFacts, memory_at_hand, object},
    progress::Progress,
    step::Step,
};

/// One training run: read, fit the line-up, evaluate, gate, register, set `staging`.
///
/// Reads interactions (CSV, NDJSON or Parquet, also .gz and .zst; a file, a folder, or a store URL) with the columns
/// user_id (or session_id), item_id and optionally timestamp, order, weight, rating. Bad rows are set aside in the
/// run's folder; above --max-bad-share the run stops with exit code 12 and registers nothing.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Train these tenants one after the other; {tenant} in --interactions and --items stands for each one's name. A failure
    /// does not stop the others; the exit code is that of the first.
    #[arg(long, env = "BOOKLOOP_EACH_TENANT", value_delimiter = ',', conflicts_with = "tenant", value_name = "TENANT")]
    each_tenant: Vec<TenantName>,
    /// File, folder or store URL of interactions; may be given several times.
    #[arg(long, env = "BOOKLOOP_INTERACTIONS", required = true, value_delimiter = ',', value_name = "PLACE")]
    interactions: Vec<String>,
    /// File, folder or store URL of the catalogue (item_id, title, authors, ...).
    #[arg(long, env = "BOOKLOOP_ITEMS", value_name = "PLACE")]
    items: Option<String>,
    #[command(flatten)]
    reading: Reading,
    /// File with a recipe that `bookloop evaluate --tune --recipe-out` wrote, tried besides the usual ones; may be given
    /// several times.
    #[arg(long = "recipe", env = "BOOKLOOP_RECIPE", value_delimiter = ',', value_name = "FILE")]
    recipes: Vec<PathBuf>,
    /// Share of the newest interactions that judge a first model.
    #[arg(long, env = "BOOKLOOP_TEST_SHARE", default_value_t = 0.2)]
    test_share: f64,
    /// Length of the evaluated lists.
    #[arg(long, env = "BOOKLOOP_AT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    at: u32,
    /// The least NDCG that is acceptable; below it the run ends with exit code 10.
    #[arg(long, env = "BOOKLOOP_MIN_EVAL_SCORE", default_value_t = 0.0)]
    min_eval_score: f64,
    /// Memory the run may take, as in 6GiB; recipes that might need more are left out. [default: nine tenths of the
    /// container's limit or the machine's memory]
    #[arg(long, env = "BOOKLOOP_MEMORY", value_name = "BYTES", value_parser = super::bytes)]
    memory: Option<u64>,
    /// Seed of everything random.
    #[arg(long, env = "BOOKLOOP_SEED", default_value_t = 7)]
    seed: u64,
    /// Name of the run; repeating a run under its name is safe. [default: drawn from the time]
    #[arg(long, env = "BOOKLOOP_RUN")]
    run: Option<String>,
    /// Do only this step of the run.
    #[arg(long, env = "BOOKLOOP_STEP", requires = "run")]
    step: Option<Step>,
    /// What started the run.
    #[arg(long, env = "BOOKLOOP_TRIGGER_KIND", default_value = "manual")]
    trigger_kind: Kind,
    /// Id of what started it. [default: the run's name]
    #[arg(long, env = "BOOKLOOP_TRIGGER_ID")]
    trigger_id: Option<String>,
    #[command(flatten)]
    sign_with: keys::SignWith,
}

const EXAMPLES: &str = "\
Examples:
  bookloop train --interactions sales.csv.gz --items books.csv.gz --store file:///var/lib/bookloop --tenant acme-books
  bookloop train --interactions sales.csv.gz --recipe ials-tuned.json --store file:///var/lib/bookloop
  bookloop train --each-tenant acme-books,nord-books --interactions 's3://sales/{tenant}/' --store s3://models
  bookloop train --interactions clicks/ --store file:///var/lib/bookloop --run nightly-2026-03-01 --step snapshot";

/// How rows are judged when they are read.
#[derive(Debug, Clone, Args)]
pub(super) struct Reading {
    /// Leave out rows rated below this; 0 keeps them all. Rows without a rating are kept.
    #[arg(long, env = "BOOKLOOP_MIN_RATING", default_value_t = 4.0)]
    pub(super) min_rating: f64,
    /// Share of bad rows above which reading stops.
    #[arg(long, env = "BOOKLOOP_MAX_BAD_SHARE", default_value_t = 0.01)]
    pub(super) max_bad_share: f64,
}

impl Reading {
    /// The rating below which rows are left out, if any is.
    pub(super) fn least_rating(&self) -> Option<f64> {
        (self.min_rating > 0.0).then_some(self.min_rating)
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Nightly,
    Drift,
    Manual,
}

impl From<Kind> for TriggerKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Nightly => Self::Nightly,
            Kind::Drift => Self::Drift,
            Kind::Manual => Self::Manual,
        }
    }
}

/// Stands for the tenant's name in a place.
const TENANT: &str = "{tenant}";

impl Arguments {
    /// Every tenant in turn: one that fails does not keep the others from their night, and the first failure is the outcome.
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let recipes = recipes(&self.recipes)?;
        if self.each_tenant.is_empty() {
            return self.train(self.place.tenant.clone(), recipes, now, shared).await;
        }
        if self.each_tenant.len() > 1 && !self.interactions.iter().all(|place| place.contains(TENANT)) {
            let words =
                format!("--interactions: expected {TENANT} in each place, so that no tenant learns from another");
            return Err(exit::coded(exit::USAGE, words));
        }
        let mut failures = Vec::new();
        for tenant in &self.each_tenant {
            if let Err(error) = self.train(tenant.clone(), recipes.clone(), now, shared).await {
                tracing::error!(%tenant, error = format!("{error:#}"), "the night of a tenant failed");
                failures.push((tenant, error));
            }
        }
        let (n_failed, n_tenants) = (failures.len(), self.each_tenant.len());
        match failures.into_iter().next() {
            None => Ok(()),
            Some((tenant, error)) => {
                Err(error.context(format!("{n_failed} of {n_tenants} tenants failed, first {tenant}")))
            }
        }
    }

    /// One tenant's run.
    async fn train(
        &self,
        tenant: TenantName,
        recipes: Vec<Recipe>,
        now: Timestamp,
        shared: &Shared,
    ) -> anyhow::Result<()> {
        let of_tenant = |place: &String| place.replace(TENANT, tenant.as_str());
        let place = Place { tenant: tenant.clone(), ..self.place.clone() };
        let root = place.root()?;
        let registry = Registry::open(root.clone()).await?.signing(self.sign_with.key()?);
        let run = self.run.clone().unwrap_or_else(|| format!("run-{}", now.as_millisecond()));
        let night = Night {
            root,
            model: place.model,
            interactions: self.interactions.iter().map(of_tenant).collect(),
            items: self.items.as_ref().map(of_tenant),
            min_rating: self.reading.least_rating(),
            max_bad_share: self.reading.max_bad_share,
            recipes,
            test_share: self.test_share,
            at: self.at as usize,
            memory: self.memory.unwrap_or_else(memory_at_hand),
            min_eval_score: self.min_eval_score,
            seed: self.seed,
            trigger: Trigger {
                kind: self.trigger_kind.into(),
                id: self.trigger_id.clone().unwrap_or_else(|| run.clone()),
            },
            code_revision: crate::REVISION.to_owned(),
            now,
            run,
        };
        let progress = Progress::new(shared.json);
        if !self.each_tenant.is_empty() {
            progress.say(&format!("tenant {tenant}"));
        }
        let outcome = match self.step {
            Some(step) => night.step(step, &registry, &|note| progress.note(&note)).await,
            None => night.all(&registry, &|note| progress.note(&note)).await,
        };
        progress.finish();
        let judged = matches!(self.step, None | Some(Step::Evaluate));
        if judged && let Ok(judged) = night.result::<Judged>(object::JUDGED).await {
            report(&night, &tenant, &judged, shared).await?;
        }
        outcome
    }
}

/// The recipes in files, whose names must be their own.
fn recipes(paths: &[PathBuf]) -> anyhow::Result<Vec<Recipe>> {
    let usual = line_up(TimeAxis::Clock);
    let mut recipes: Vec<Recipe> = Vec::new();
    for path in paths {
        let bad = |message: String| exit::coded(exit::BAD_INPUT, format!("{}: {message}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        let recipe: Recipe = serde_json::from_str(&text).map_err(|error| bad(format!("expected a recipe: {error}")))?;
        let plain = recipe.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if recipe.name.is_empty() || !plain {
            return Err(bad(format!("name: expected a-z, 0-9 and -, found {:?}", recipe.name)));
        }
        if usual.iter().chain(&recipes).any(|other| other.name == recipe.name) {
            return Err(bad(format!("name: {:?} is another recipe's", recipe.name)));
        }
        recipes.push(recipe);
    }
    Ok(recipes)
}

async fn report(night: &Night, tenant: &TenantName, judged: &Judged, shared: &Shared) -> anyhow::Result<()> {
    let facts: SnapshotFacts = night.result(object::SNAPSHOT).await?;
    let version = night.version().await.ok();
    if shared.json {
        print::json(&json!({
            "tenant": tenant, "run": night.run, "version": version, "published": judged.decision.publishes(),
            "chosen": judged.chosen, "gate": judged.decision, "data": facts, "models": judged.rows,
        }));
        return Ok(());
    }
    println!("{}", print::evaluations(judged));
    println!("{} readers judged; chosen: {}", judged.cases, judged.chosen.name);
    if let Some(version) = version {
        println!("{} version {version} is registered and staging points at it. Next:", night.model);
        println!(
            "  bookloop models approve --version {version} --actor YOU --reason WHY   (with the same --store, --tenant, --model)"
        );
        println!("  bookloop models promote --version {version} --actor YOU --reason WHY");
    }
    Ok(())
}
