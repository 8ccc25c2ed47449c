//! `bookloop models`: look at the registry, decide, and care for what is stored.

mod apply;
mod copies;
mod decide;
mod diff;
mod folder;
mod gc;
mod look;
mod replicate;
mod trial;

use ::models::{
    ModelName, Registry, Store, TenantName, Version,
    registry::{Intent, State},
    store,
};
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use serde_json::json;

use super::{Place, Shared, keys, print, serve_api};
use crate::exit;

/// Look at the registry, decide, and care for what is stored.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Command {
    List(look::List),
    Show(look::Show),
    Log(look::Log),
    Diff(diff::Arguments),
    Verify(look::Verify),
    Approve(decide::Approval),
    Promote(decide::Promotion),
    Rollback(decide::Rollback),
    Alias(decide::AliasMove),
    Revoke(decide::Revocation),
    Trial(trial::Trial),
    Release(trial::Release),
    Tag(decide::Tagging),
    Sign(decide::Signing),
    Apply(apply::Arguments),
    Gc(gc::Arguments),
    Export(folder::Export),
    Import(folder::Import),
    Backup(copies::Backup),
    Restore(copies::Restore),
    Replicate(replicate::Arguments),
    Keygen(keys::Keygen),
    ServeApi(serve_api::Arguments),
}

const EXAMPLES: &str = "\
Examples:
  bookloop models list --store file:///var/lib/bookloop --tenant acme-books
  bookloop models diff --store file:///var/lib/bookloop --tenant acme-books --from 3 --to 4
  bookloop models promote --store file:///var/lib/bookloop --tenant acme-books --version 4 --expect 3 --actor ana --reason 'better for new readers'
  bookloop models gc --store file:///var/lib/bookloop --tenant acme-books
  bookloop models backup --store file:///var/lib/bookloop --tenant acme-books --to s3://elsewhere/backup";

/// A tenant's registry as a whole.
#[derive(Debug, Clone, Args)]
struct Where {
    /// Root of the store: file:///folder, memory://name, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.
    #[arg(long, env = "BOOKLOOP_STORE", value_name = "URL")]
    store: String,
    /// Tenant: 3 to 40 of a-z, 0-9 and -.
    #[arg(long, env = "BOOKLOOP_TENANT", default_value = "shared")]
    tenant: TenantName,
}

impl Where {
    /// The tenant's root in the store.
    fn root(&self) -> Result<Store, store::Error> {
        self.root_in(&self.store)
    }

    /// The same tenant's root in another store.
    fn root_in(&self, url: &str) -> Result<Store, store::Error> {
        Ok(Store::open(url)?.tenant(&self.tenant))
    }

    /// The tenant's registry.
    fn open(&self) -> impl Future<Output = anyhow::Result<Registry>> {
        let root = self.root();
        async { Ok(Registry::open(root?).await?) }
    }
}

/// Who decides, and why: both are kept in the log for ever.
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
        intent(&self.actor, &self.reason)
    }
}

/// An intent of now; neither text may be empty.
fn intent(actor: &str, reason: &str) -> anyhow::Result<Intent> {
    for (flag, text) in [("--actor", actor), ("--reason", reason)] {
        if text.trim().is_empty() {
            return Err(exit::coded(exit::USAGE, format!("{flag} is empty")));
        }
    }
    Ok(Intent::new(actor, reason, Timestamp::now()))
}

/// A decision about one version.
#[derive(Debug, Args)]
struct Decision {
    #[command(flatten)]
    place: Place,
    /// Version number.
    #[arg(long, env = "BOOKLOOP_VERSION")]
    version: Version,
    #[command(flatten)]
    who: Who,
}

impl Command {
    /// Whether it goes on until it is asked to stop.
    pub(super) fn is_service(&self) -> bool {
        matches!(self, Self::ServeApi(_) | Self::Replicate(_))
    }

    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run(shared).await,
            Self::Show(show) => show.run(shared).await,
            Self::Log(log) => log.run(shared).await,
            Self::Diff(arguments) => arguments.run(shared).await,
            Self::Verify(verify) => verify.run(shared).await,
            Self::Approve(approval) => approval.run(shared).await,
            Self::Promote(promotion) => promotion.run(shared).await,
            Self::Rollback(rollback) => rollback.run(shared).await,
            Self::Alias(alias) => alias.run(shared).await,
            Self::Revoke(revocation) => revocation.run(shared).await,
            Self::Trial(trial) => trial.run(shared).await,
            Self::Release(release) => release.run(shared).await,
            Self::Tag(tagging) => tagging.run(shared).await,
            Self::Sign(signing) => signing.run(shared).await,
            Self::Apply(arguments) => arguments.run(shared).await,
            Self::Gc(arguments) => arguments.run(shared).await,
            Self::Export(export) => export.run(shared).await,
            Self::Import(import) => import.run(shared).await,
            Self::Backup(backup) => backup.run(shared).await,
            Self::Restore(restore) => restore.run(shared).await,
            Self::Replicate(arguments) => arguments.run(shared).await,
            Self::Keygen(keygen) => keygen.run(shared),
            Self::ServeApi(arguments) => arguments.run().await,
        }
    }
}

/// Says what a commit did, and where the model's aliases point now.
fn done(shared: &Shared, model: &ModelName, state: &State, sentence: &str) -> anyhow::Result<()> {
    let aliases = &state.model(model)?.aliases;
    if shared.json {
        print::json(&json!({ "id": state.last_id, "model": model, "aliases": aliases }));
    } else {
        println!("{model}: {sentence}");
    }
    Ok(())
}

/// A length of time as people write it: `90s`, `24h`, `7d`, `1d 12h`, also `P7D`. Days have 24 hours; weeks and what is
/// longer are not accepted, and neither are negative ones.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let expected = || "expected a length of time, as in 90s, 24h or 7d".to_owned();
    let span: Span = text.parse().map_err(|_| expected())?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| expected())?;
    if length.is_negative() { Err(expected()) } else { Ok(length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        for (text, seconds) in [("5s", 5), ("24h", 86_400), ("7d", 604_800), ("1d 12h", 129_600), ("P2D", 172_800)] {
            assert_eq!(duration(text), Ok(SignedDuration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "7", "soon", "-7d", "1 month", "7d ago"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
