//! `bookloop models replicate`: a reader region's copy kept in step, and made the registry when the other is lost.

use std::time::Duration;

use ::models::{
    Store,
    registry::{
        Error,
        copy::{self, Copied},
    },
};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{super::asked_to_stop, Shared, Where, duration, intent, print};
use crate::exit;

/// The longest wait between two rounds while something is away.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Keep a copy of a tenant's registry in step with it, every byte checked; or take over with the copy.
///
/// A service: it outlives the absence of either store, tells each round's registry_replica_lag_seconds and last entry in
/// its log, and ends on SIGTERM. The copy takes no commits until `--take-over` is run on it. Stop this service and block
/// writes to the old registry before that.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("act").required(true).args(["to", "status", "take_over"]))]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Where,
    /// Root of the store that holds the copy, in the tenant's folder.
    #[arg(long, env = "BOOKLOOP_TO", value_name = "URL")]
    to: Option<String>,
    /// Time between two rounds.
    #[arg(long, env = "BOOKLOOP_INTERVAL", default_value = "5s", value_parser = duration, value_name = "TIME")]
    interval: SignedDuration,
    /// One round only.
    #[arg(long, env = "BOOKLOOP_ONCE", requires = "to")]
    once: bool,
    /// Tell what the copy in --store follows and how far it is.
    #[arg(long, env = "BOOKLOOP_STATUS")]
    status: bool,
    /// Make the copy in --store a registry of its own; it follows no more.
    #[arg(long, env = "BOOKLOOP_TAKE_OVER", requires = "actor", requires = "reason")]
    take_over: bool,
    /// Who decides to take over.
    #[arg(long, env = "BOOKLOOP_ACTOR")]
    actor: Option<String>,
    /// Why to take over, in a sentence.
    #[arg(long, env = "BOOKLOOP_REASON")]
    reason: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  bookloop models replicate --store s3://models-us --tenant acme-books --to s3://models-eu
  bookloop models replicate --store s3://models-eu --tenant acme-books --status
  bookloop models replicate --store s3://models-eu --tenant acme-books --take-over --actor ana --reason 'us-east is lost'";

impl Arguments {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let here = self.place.root()?;
        if self.status {
            return status(&here, shared).await;
        }
        if let (true, Some(actor), Some(reason)) = (self.take_over, &self.actor, &self.reason) {
            let receipt = copy::take_over(&here, &intent(actor, reason)?).await?;
            if shared.json {
                print::json(&json!({ "id": receipt.entry.id }));
            } else {
                println!("{} is a registry of its own; entry {} is the fence", here.url(), receipt.entry.id);
            }
            return Ok(());
        }
        let to = self.place.root_in(self.to.as_deref().unwrap_or_default())?;
        if self.once {
            let copied = copy::follow(&here, &to, Timestamp::now()).await?;
            if shared.json {
                print::json(&copied);
            } else {
                println!("{} is in step at entry {}: {}", to.url(), copied.last_id, in_words(&copied));
            }
            return Ok(());
        }
        let interval = Duration::try_from(self.interval).unwrap_or_default().max(Duration::from_millis(1));
        tokio::select! {
            ended = keep_in_step(&here, &to, interval) => ended,
            () = asked_to_stop() => Ok(()),
        }
    }
}

/// Follows until that makes no sense any more.
async fn keep_in_step(from: &Store, to: &Store, interval: Duration) -> anyhow::Result<()> {
    let mut wait = interval;
    loop {
        let outcome = copy::follow(from, to, Timestamp::now()).await;
        match outcome {
            Ok(copied) => {
                wait = interval;
                tracing::info!(
                    registry_replica_lag_seconds = lag(to).await,
                    last_id = copied.last_id,
                    entries = copied.entries,
                    bytes = copied.bytes,
                    replica = to.url(),
                    "in step"
                );
            }
            Err(error) if may_pass(&error) => {
                wait = (wait * 2).min(LONGEST_WAIT.max(interval));
                tracing::warn!(
                    registry_replica_lag_seconds = lag(to).await,
                    error = &error as &dyn std::error::Error,
                    replica = to.url(),
                    retry_in_seconds = wait.as_secs_f64(),
                    "not in step"
                );
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(wait).await;
    }
}

/// Whether waiting can help: someone may repair what is damaged or missing, and a store may come back.
fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Store(_) | Error::Busy { .. } | Error::Corrupt { .. } | Error::NotFound(_))
}

/// Seconds since the copy held everything its source did; `None` if it never did, or cannot be asked.
async fn lag(to: &Store) -> Option<f64> {
    let at = copy::replica(to).await.ok().flatten()?.in_step_at?;
    Some(Timestamp::now().duration_since(at).as_secs_f64().max(0.0))
}

async fn status(here: &Store, shared: &Shared) -> anyhow::Result<()> {
    let Some(replica) = copy::replica(here).await? else {
        return Err(exit::coded(exit::BAD_INPUT, format!("{} is not a replica", here.url())));
    };
    let lag = lag(here).await;
    if shared.json {
        print::json(&json!({ "replica": replica, "registry_replica_lag_seconds": lag }));
        return Ok(());
    }
    println!("{}", of(&replica));
    if let Some(lag) = lag {
        println!("registry_replica_lag_seconds {lag:.0}");
    }
    Ok(())
}

/// What a replica follows, in a sentence.
pub(super) fn of(replica: &copy::Replica) -> String {
    match replica.in_step_at {
        Some(at) => {
            format!("replica of {}, in step as of {} at entry {}", replica.source, print::moment(at), replica.last_id)
        }
        None => format!("replica of {}, not yet in step", replica.source),
    }
}

fn in_words(copied: &Copied) -> String {
    format!("{} entries, {} objects and {} bytes copied", copied.entries, copied.objects, copied.bytes)
}
