//! One training run, step by step: what the local runner calls in a row and Argo calls pod by pod.
//!
//! Steps hand their results on through the store, in the run's own folder. Each step reads what the one before wrote
//! and can be repeated at any time: the same inputs give the same objects.

mod evaluate;
mod fit;
mod memory;
mod register;
mod snapshot;

use bytes::Bytes;
use jiff::Timestamp;
use models::{ModelName, Registry, Store, manifest::Trigger, store::key};
use serde::{Serialize, de::DeserializeOwned};
use train::{Recipe, Stage};

pub use self::{
    evaluate::{Judged, Row},
    fit::{Cut, Fitted},
    memory::memory_at_hand,
    snapshot::SnapshotFacts,
};
use crate::{exit, step::Step};

/// The settings of one run.
#[derive(Debug, Clone)]
pub struct Night {
    /// The tenant's root.
    pub root: Store,
    /// The model to train.
    pub model: ModelName,
    /// Name of this run; the same run repeated has the same name.
    pub run: String,
    /// Files, folders or store URLs of interactions.
    pub interactions: Vec<String>,
    /// File, folder or store URL of the catalogue.
    pub items: Option<String>,
    /// Rows rated below this are left out.
    pub min_rating: Option<f64>,
    /// Share of bad rows above which the run stops.
    pub max_bad_share: f64,
    /// Recipes that are tried besides the usual ones, each name once.
    pub recipes: Vec<Recipe>,
    /// Share of the newest interactions that judge a first model.
    pub test_share: f64,
    /// Length of the evaluated lists.
    pub at: usize,
    /// Bytes of memory the run may take. Recipes that might need more are left out, and told.
    pub memory: u64,
    /// The least NDCG that is acceptable.
    pub min_eval_score: f64,
    /// Seed of everything random.
    pub seed: u64,
    /// What started the run.
    pub trigger: Trigger,
    /// Revision of this code.
    pub code_revision: String,
    /// The run's time.
    pub now: Timestamp,
}

/// What a run tells while it works.
#[derive(Debug)]
pub enum Note<'a> {
    /// A step begins.
    Step(Step),
    /// A recipe of the line-up moves on.
    Recipe(&'a Recipe, Stage<'a>),
    /// A sentence worth reading.
    Said(String),
}

/// Receives [`Note`]s.
pub type Listener<'a> = dyn Fn(Note<'_>) + Send + Sync + 'a;

impl Night {
    /// Runs every step in order.
    pub async fn all(&self, registry: &Registry, listener: &Listener<'_>) -> anyhow::Result<()> {
        for step in Step::ALL {
            self.step(step, registry, listener).await?;
        }
        Ok(())
    }

    /// Runs one step.
    pub async fn step(&self, step: Step, registry: &Registry, listener: &Listener<'_>) -> anyhow::Result<()> {
        listener(Note::Step(step));
        match step {
            Step::Snapshot => self.snapshot(listener).await,
            Step::Fit => self.fit(registry, listener).await,
            Step::Evaluate => self.evaluate(registry, listener).await,
            Step::Refit => self.refit(listener).await,
            Step::Register => self.register(registry, listener).await,
        }
    }

    /// The run's result of one kind, as an earlier step wrote it.
    pub async fn result<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<T> {
        let bytes = self.read(name).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| exit::coded(exit::INTEGRITY, format!("run {}: {name}: {error}", self.run)))
    }

    async fn read(&self, name: &str) -> anyhow::Result<Bytes> {
        let object = self.object(name);
        self.root.get(&object).await?.ok_or_else(|| {
            exit::coded(exit::BAD_INPUT, format!("run {} has no {name}; run the earlier steps first", self.run))
        })
    }

    async fn write(&self, name: &str, bytes: impl Into<Bytes>) -> anyhow::Result<()> {
        Ok(self.root.put(&self.object(name), bytes.into()).await?)
    }

    async fn write_json(&self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec_pretty(value).expect("results have no maps with odd keys");
        self.write(name, bytes).await
    }

    fn object(&self, name: &str) -> String {
        format!("{}/{name}", key::run(&self.run))
    }
}

/// Where the steps leave their results.
pub mod object {
    /// What was read.
    pub const SNAPSHOT: &str = "snapshot.json";
    /// The accepted interactions.
    pub const INTERACTIONS: &str = "interactions.parquet";
    /// The catalogue.
    pub const BOOKS: &str = "books.ndjson";
    /// Rows that were refused, one a line.
    pub const QUARANTINE: &str = "quarantine.ndjson";
    /// What was fitted, and how past and future were divided.
    pub const FITTED: &str = "fitted.json";
    /// What each candidate is worth, and what the gate decided.
    pub const JUDGED: &str = "judged.json";
    /// The winner, fitted to everything.
    pub const MODEL: &str = "model.safetensors";
    /// The training data's drift profile.
    pub const PROFILE: &str = "profile.json";
    /// The version that came of it.
    pub const REGISTERED: &str = "registered.json";

    /// A candidate fitted to the past.
    pub fn candidate(recipe: &str) -> String {
        format!("candidates/{recipe}.safetensors")
    }

    /// From what and how it was fitted; written after it.
    pub fn fitted_one(recipe: &str) -> String {
        format!("candidates/{recipe}.json")
    }
}

/// Runs heavy arithmetic without stalling the other tasks of the runtime.
fn heavy<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}
