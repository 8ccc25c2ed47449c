//! `bookloop models gc`: what nothing needs any more.

use ::models::registry::Retention;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Shared, Where, duration, intent, print};

/// Delete the files of versions that nothing needs. Without --delete only tell what would be done.
///
/// Never touched: versions that an alias points at or that are on trial, pinned ones (tag `pin`), the newest of each
/// model, and whatever is younger than the grace time. A version first gets a tombstone, to which anyone may object; a later
/// run, when the grace time is over again, gives its files up. The log keeps every entry for ever.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Where,
    /// Do it.
    #[arg(long, env = "BOOKLOOP_DELETE")]
    delete: bool,
    /// Versions of each model that are kept, the newest ones, whatever points at them.
    #[arg(long, env = "BOOKLOOP_KEEP_LAST", default_value_t = 10, value_name = "N")]
    keep_last: usize,
    /// Time from registration to the tombstone, and from the tombstone to the deletion.
    #[arg(long, env = "BOOKLOOP_GRACE", default_value = "7d", value_parser = duration, value_name = "TIME")]
    grace: SignedDuration,
    /// Least age of a deleted object by the store's clock; at least 24h, longer than any upload takes.
    #[arg(long, env = "BOOKLOOP_MIN_AGE", default_value = "24h", value_parser = duration, value_name = "TIME")]
    min_age: SignedDuration,
    /// Who decides.
    #[arg(long, env = "BOOKLOOP_ACTOR", required_if_eq("delete", "true"))]
    actor: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  bookloop models gc --store file:///var/lib/bookloop --tenant acme-books
  bookloop models gc --store file:///var/lib/bookloop --tenant acme-books --keep-last 30 --grace 14d --delete --actor nightly-gc";

impl Arguments {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let Self { keep_last, grace, min_age, .. } = self;
        let retention = Retention { keep_last, grace, min_age };
        let registry = self.place.open().await?;
        let found = match &self.actor {
            Some(actor) if self.delete => {
                registry.collect(&retention, &intent(actor, "nothing needs these files")?).await?
            }
            _ => registry.collectable(&retention, Timestamp::now()).await?,
        };
        if shared.json {
            print::json(&json!({ "deleted": self.delete, "collection": found }));
            return Ok(());
        }
        let (marked, given_up, gone) = if self.delete {
            ("marked for deletion", "files given up", "deleted")
        } else {
            ("would be marked for deletion", "files would be given up", "would be deleted")
        };
        for (what, versions) in [(marked, &found.tombstoned), (given_up, &found.purged)] {
            for (name, version) in versions {
                println!("{name} version {version}: {what}");
            }
        }
        for object in &found.objects {
            println!("{object}: {gone}");
        }
        println!(
            "{} versions {marked}, {} {given_up}; {} objects, {} bytes {gone}",
            found.tombstoned.len(),
            found.purged.len(),
            found.objects.len(),
            found.bytes
        );
        Ok(())
    }
}
