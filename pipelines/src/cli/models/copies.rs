//! `bookloop models backup` and `restore`: a registry elsewhere, and back.

use ::models::{
    Registry,
    registry::{Verification, copy},
    signature::Trust,
};
use clap::Args;
use serde_json::json;

use super::{Shared, Where, Who, keys, print};
use crate::exit;

/// Copy a tenant's registry to another store, whole or up to an entry of its log, and verify the copy.
///
/// Every byte is checked on the way. Repeating it copies what is new; interrupted, it goes on where it stopped. The copy
/// lies in the tenant's folder of the other store and opens like any registry.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Backup {
    #[command(flatten)]
    place: Where,
    /// Root of the store that takes the copy: empty for this tenant, or holding an earlier backup.
    #[arg(long, env = "BOOKLOOP_TO", value_name = "URL")]
    to: String,
    /// Last log entry to copy; the newest if not given.
    #[arg(long, env = "BOOKLOOP_AT", value_name = "ID")]
    at: Option<u64>,
}

/// Bring a backup back into an empty store, verify it, and fence it off from writers of the lost registry.
///
/// Until everything is verified the place takes no commits. Interrupted, it goes on where it stopped.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Restore {
    #[command(flatten)]
    place: Where,
    /// Root of the store that holds the backup.
    #[arg(long, env = "BOOKLOOP_FROM", value_name = "URL")]
    from: String,
    /// Last log entry to restore; the newest if not given.
    #[arg(long, env = "BOOKLOOP_AT", value_name = "ID")]
    at: Option<u64>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    trusted: keys::Trusted,
}

const EXAMPLES: &str = "\
Examples:
  bookloop models backup --store s3://models --tenant acme-books --to s3://backup/models
  bookloop models restore --store s3://models-new --tenant acme-books --from s3://backup/models --actor ana --reason 'bucket lost'
  bookloop models log --store s3://backup/models --tenant acme-books --last 20";

impl Backup {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let (from, to) = (self.place.root()?, self.place.root_in(&self.to)?);
        let copied = copy::copy(&from, &to, self.at).await?;
        let seen = Registry::verify(to.clone(), &Trust::default()).await?;
        if shared.json {
            print::json(&json!({ "copied": copied, "verified": seen }));
        } else {
            println!(
                "{} is at entry {} of {}: {} entries, {} objects and {} bytes copied",
                to.url(),
                copied.last_id,
                copied.source_last_id,
                copied.entries,
                copied.objects,
                copied.bytes
            );
        }
        sound(&seen, to.url(), shared)
    }
}

impl Restore {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let (from, to) = (self.place.root_in(&self.from)?, self.place.root()?);
        let seen = copy::restore(&from, &to, self.at, &self.trusted.trust()?, &self.who.intent()?).await?;
        let last_id = Registry::open(to.clone()).await?.state().last_id;
        if shared.json {
            print::json(&json!({ "last_id": last_id, "verified": seen }));
        } else if seen.problems.is_empty() {
            println!("{} holds entries 1 to {}; entry {last_id} is the fence", to.url(), seen.entries);
        }
        sound(&seen, to.url(), shared)
    }
}

/// Says what a verification saw; an error unless all is sound.
pub(super) fn sound(seen: &Verification, place: &str, shared: &Shared) -> anyhow::Result<()> {
    if !shared.json {
        println!(
            "verified {place}: {} log entries, {} checkpoints, {} versions, {} files, {} bytes",
            seen.entries, seen.checkpoints, seen.versions, seen.files, seen.bytes
        );
        for problem in &seen.problems {
            println!("problem: {problem}");
        }
    }
    match seen.problems.len() {
        0 => Ok(()),
        n => Err(exit::coded(exit::INTEGRITY, format!("{n} problems; {place} is not what was committed"))),
    }
}
