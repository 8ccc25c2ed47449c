//! The whole loop on one machine, over real HTTP: train, approve, serve, a change of taste, drift, retrain, canary,
//! promotion, with simulated readers and time wound by hand.
//!
//! Everything but the readers is the real thing: the same night, registry, predictor and detector that a cluster runs.

mod canary;
mod chronicler;
mod measure;
mod shop;
mod stage;

use std::{path::PathBuf, time::Instant};

use jiff::Timestamp;
use serde::Serialize;

use self::{chronicler::Chronicler, stage::Stage};
use crate::report::{Chronicle, Moment};

/// What to rehearse.
#[derive(Debug, Clone)]
pub struct Options {
    /// Everything random follows from it.
    pub seed: u64,
    /// Whether readers change their taste.
    pub shift: bool,
    /// A folder with real ratings (`interactions` and `items` files); a made-up shop without it.
    pub data: Option<PathBuf>,
    /// Folder for data, store and report.
    pub out: PathBuf,
}

/// When drift showed, in the readers' time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DriftTimes {
    /// Start of the first window that showed it.
    pub onset: Timestamp,
    /// End of the window in which it became suspected.
    pub suspected: Option<Timestamp>,
    /// End of the window in which it was confirmed.
    pub confirmed: Option<Timestamp>,
}

/// What came of it: the last line of `bookloop demo --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests without a good answer.
    pub failed: u64,
    /// Different versions that answered.
    pub versions: usize,
    /// When drift showed; absent when it did not.
    pub drift: Option<DriftTimes>,
    /// The version that the drift retrain made.
    pub retrain_version: Option<u32>,
    /// Shares of readers that met it on its way, in percent.
    pub canary_steps: Vec<u32>,
    /// The version in production at the end.
    pub production_version: u32,
    /// NDCG@10 of the first version on what readers bought after the retrain.
    pub ndcg_before: Option<f64>,
    /// Its standard error.
    pub ndcg_before_se: Option<f64>,
    /// NDCG@10 of the retrained version on the same readers and purchases.
    pub ndcg_after: Option<f64>,
    /// Its standard error.
    pub ndcg_after_se: Option<f64>,
    /// The paired difference: after minus before.
    pub ndcg_difference: Option<train::Comparison>,
    /// Readers it was measured on.
    pub ndcg_readers: Option<u64>,
    /// Seconds it all took.
    pub wall_seconds: f64,
    /// The report.
    pub report: PathBuf,
}

/// Receives what happens, as it happens, and how many of the planned days are over.
pub trait Audience: Sync {
    /// Something worth telling.
    fn moment(&self, moment: &Moment);
    /// A day is over.
    fn day(&self, number: u32, of: u32);
}

/// Runs the rehearsal and writes the report.
pub async fn run(options: &Options, audience: &dyn Audience) -> anyhow::Result<(Outcome, Chronicle)> {
    let begun = Instant::now();
    let mut chronicler = Chronicler::new(options.seed, audience);
    let mut stage = Stage::set(options, &mut chronicler).await?;
    stage.live(&mut chronicler).await?;
    let worth = stage.measure(&mut chronicler).await?;
    let report = options.out.join("report.html");
    let outcome = stage.outcome(worth.as_ref(), begun.elapsed().as_secs_f64(), report.clone());
    stage.close().await?;
    let chronicle = chronicler.finish(&outcome);
    let page = crate::report::html(&chronicle)?;
    std::fs::write(&report, page)?;
    Ok((outcome, chronicle))
}
