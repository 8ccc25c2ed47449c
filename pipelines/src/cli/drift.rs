//! `bookloop drift`: watch the stream, or compare two windows once.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ::drift::{Policy, TrainingProfile, WindowBuilder, WindowProfile, WindowSpec, assess};
use ::models::{
    Alias, Catalogue, Registry, Version,
    event::{Prediction, Topic},
};
use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::{Place, Shared, asked_to_stop, pipelines::Cluster, print, stream};
use crate::{
    exit,
    trigger::Trigger,
    watch::{Settings, Watch},
};

/// Has the readers' world changed? Watch the stream, or compare two windows once.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Judge every window of the stream, and start a retrain when a change is confirmed.
    Watch(WatchArguments),
    /// Compare recorded predictions with the training data of a version, or with other predictions.
    Assess(AssessArguments),
}

#[derive(Debug, Args)]
pub(super) struct WatchArguments {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    stream: stream::Stream,
    #[command(flatten)]
    cluster: Cluster,
    /// Length of a window in seconds of event time.
    #[arg(long, env = "BOOKLOOP_WINDOW_SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..))]
    window_seconds: u32,
    /// How long late records are waited for, in seconds of event time.
    #[arg(long, env = "BOOKLOOP_LATENESS_SECONDS", default_value_t = 600)]
    lateness_seconds: u32,
    /// JSON file with the numbers of the decision (min_readers, alpha, rules, ...) that differ from the defaults.
    #[arg(long, env = "BOOKLOOP_POLICY", value_name = "FILE")]
    policy: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct AssessArguments {
    #[command(flatten)]
    place: Place,
    /// NDJSON file of prediction records: the window to judge.
    #[arg(long, env = "BOOKLOOP_CURRENT", value_name = "FILE")]
    current: PathBuf,
    /// NDJSON file of prediction records to compare with, instead of the version's training data.
    #[arg(long, env = "BOOKLOOP_REFERENCE", value_name = "FILE")]
    reference: Option<PathBuf>,
    /// Version whose catalogue and training data are the reference; the one in production if not given.
    #[arg(long, env = "BOOKLOOP_VERSION")]
    version: Option<Version>,
    /// JSON file with the numbers of the decision that differ from the defaults.
    #[arg(long, env = "BOOKLOOP_POLICY", value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl Command {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        match self {
            Self::Watch(arguments) => arguments.run(shared).await,
            Self::Assess(arguments) => arguments.run(shared).await,
        }
    }
}

fn policy(file: Option<&PathBuf>) -> anyhow::Result<Policy> {
    let Some(file) = file else { return Ok(Policy::default()) };
    let bad = |problem: String| exit::coded(exit::BAD_INPUT, format!("{}: {problem}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| bad(error.to_string()))?;
    let policy: Policy = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    policy.check().map_err(|error| bad(error.to_string()))?;
    Ok(policy)
}

impl WatchArguments {
    async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let Place { tenant, model, .. } = self.place.clone();
        let root = self.place.root()?;
        let registry = Arc::new(Registry::open(root.clone()).await?);
        let runner = self.cluster.runner(&tenant).await?;
        let trigger = Arc::new(Trigger::new(Arc::clone(&registry), runner));
        let consumer = self
            .stream
            .consumer(&root, &format!("bookloop-drift-{model}"), &[Topic::Predictions, Topic::Outcomes])
            .await?;
        let producer = self.stream.producer(&root, &stream::process_name("drift"))?;
        let windows = WindowSpec { length_secs: self.window_seconds, lateness_secs: self.lateness_seconds };
        let settings = Settings { tenant, model, policy: policy(self.policy.as_ref())?, windows };
        let mut watch = Watch::start(settings, root, registry, consumer, producer, trigger, Timestamp::now()).await?;
        eprintln!("watching version {}", watch.detector().version());
        let mut stop = std::pin::pin!(asked_to_stop());
        loop {
            tokio::select! {
                () = &mut stop => return Ok(()),
                judged = watch.step(Timestamp::now(), Duration::from_secs(2)) => match judged {
                    Ok(judgements) => judgements.iter().for_each(|judgement| {
                        if shared.json {
                            print::json(&judgement.verdict);
                        } else {
                            println!("{} {}", judgement.verdict.from, judgement.verdict.sentence);
                        }
                    }),
                    Err(error) => {
                        // What failed is repeated from stored state; readers of the log see why.
                        tracing::error!(error = format!("{error:#}"), "could not judge; trying again");
                        tokio::time::sleep(Duration::from_secs(5)).await;
                    }
                },
            }
        }
    }
}

impl AssessArguments {
    async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let policy = policy(self.policy.as_ref())?;
        let registry = Registry::open(self.place.root()?).await?;
        let state = registry.state();
        let model = state.model(&self.place.model)?;
        let production = model.aliases.get(&Alias::production()).copied();
        let version = self.version.or(production).ok_or_else(|| {
            exit::coded(exit::BAD_INPUT, format!("no version of {} is in production; give --version", self.place.model))
        })?;
        let loaded = registry.load(&self.place.model, version).await?;
        let catalogue = loaded.artifact.catalogue();
        let current = window(&self.current, catalogue, version)?;
        let assessment = match &self.reference {
            Some(file) => {
                let reference = window(file, catalogue, version)?;
                assess(::drift::Reference::window(&reference), &current, &policy)
            }
            None => {
                let profile: TrainingProfile = serde_json::from_value(loaded.manifest.profile.clone())
                    .context("the version's drift profile cannot be read")?;
                assess(::drift::Reference::training(&profile), &current, &policy)
            }
        };
        if shared.json {
            print::json(&assessment);
        } else {
            println!("{assessment}");
        }
        Ok(())
    }
}

/// All records of a file as one window.
fn window(file: &PathBuf, catalogue: &Catalogue, version: Version) -> anyhow::Result<WindowProfile> {
    let bad = |line: usize, problem: String| {
        exit::coded(
            exit::BAD_INPUT,
            format!("{} line {line}: expected a prediction record, found {problem}", file.display()),
        )
    };
    let text = std::fs::read_to_string(file)
        .map_err(|error| exit::coded(exit::BAD_INPUT, format!("{}: {error}", file.display())))?;
    let mut builder = WindowBuilder::default();
    let (mut from, mut to) = (None::<Timestamp>, None::<Timestamp>);
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let record: Prediction = serde_json::from_str(line).map_err(|error| bad(number + 1, error.to_string()))?;
        from = Some(from.map_or(record.at, |from| from.min(record.at)));
        to = Some(to.map_or(record.at, |to| to.max(record.at)));
        builder.prediction(&record, catalogue);
    }
    match (from, to) {
        (Some(from), Some(to)) => Ok(builder.close(from, to, version)),
        _ => Err(exit::coded(exit::BAD_INPUT, format!("{}: no records", file.display()))),
    }
}
