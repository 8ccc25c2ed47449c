//! Decisions about versions, each one commit with its actor and reason.

use ::models::{
    Alias, Registry, Version,
    registry::{Op, Status},
};
use clap::Args;

use super::{Decision, Place, Shared, Who, done, keys};
use crate::exit;

/// Record that a version is fit for production.
#[derive(Debug, Args)]
pub(in crate::cli) struct Approval {
    #[command(flatten)]
    decision: Decision,
}

/// Make an approved version `production`; the one before becomes `previous`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Promotion {
    #[command(flatten)]
    decision: Decision,
    /// The production version this decision was taken against; a conflict if it has changed.
    #[arg(long, env = "BOOKLOOP_EXPECT")]
    expect: Option<Version>,
    #[command(flatten)]
    trusted: keys::Trusted,
}

/// Return `production` to `previous`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Rollback {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    who: Who,
}

/// Point an alias at a version.
#[derive(Debug, Args)]
pub(in crate::cli) struct AliasMove {
    #[command(flatten)]
    decision: Decision,
    /// The alias: `staging`, or one of your own.
    #[arg(long, env = "BOOKLOOP_ALIAS")]
    alias: Alias,
    /// The version it points at now; it must be unset if this is not given.
    #[arg(long, env = "BOOKLOOP_EXPECT")]
    expect: Option<Version>,
    #[command(flatten)]
    trusted: keys::Trusted,
}

/// Forbid that a version is served, for ever. Aliases must have left it.
#[derive(Debug, Args)]
pub(in crate::cli) struct Revocation {
    #[command(flatten)]
    decision: Decision,
}

/// Set or remove a note on a version. The note `pin` keeps its files from being deleted.
#[derive(Debug, Args)]
#[command(after_help = TAG_EXAMPLES)]
pub(in crate::cli) struct Tagging {
    #[command(flatten)]
    decision: Decision,
    /// Name of the note: 1 to 128 of A-Z, a-z, 0-9 and -_./
    #[arg(long, env = "BOOKLOOP_KEY")]
    key: String,
    /// Its text.
    #[arg(long, env = "BOOKLOOP_VALUE", required_unless_present = "remove", conflicts_with = "remove")]
    value: Option<String>,
    /// Remove the note.
    #[arg(long, env = "BOOKLOOP_REMOVE")]
    remove: bool,
}

const TAG_EXAMPLES: &str = "\
Examples:
  bookloop models tag --store file:///models --version 4 --key pin --value 'audit 2026' --actor ana --reason 'asked for by the auditors'
  bookloop models tag --store file:///models --version 4 --key pin --remove --actor ana --reason 'audit is over'";

/// Add a signature to a version, as when keys change: both the old and the new key then vouch for it.
#[derive(Debug, Args)]
#[command(after_help = SIGN_EXAMPLES)]
pub(in crate::cli) struct Signing {
    #[command(flatten)]
    decision: Decision,
    #[command(flatten)]
    sign_with: keys::SignWith,
    #[command(flatten)]
    trusted: keys::Trusted,
}

const SIGN_EXAMPLES: &str = "\
Examples:
  bookloop models sign --store file:///models --version 4 --signing-key new.pem --trusted-key old.pem.pub --actor ana --reason 'keys of 2027'";

impl Approval {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let Decision { place, version, who } = self.decision;
        let registry = Registry::open(place.root()?).await?;
        let op = Op::Approve { name: place.model.clone(), version };
        registry.commit(&who.intent()?, |_| Ok(vec![op.clone()])).await?;
        done(shared, &place.model, &registry.state(), &format!("version {version} approved by {}", who.actor))
    }
}

impl Promotion {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let Decision { place, version, who } = self.decision;
        let registry = Registry::open(place.root()?).await?.trusting(self.trusted.trust()?);
        registry.promote(&place.model, version, self.expect, &who.intent()?).await?;
        done(shared, &place.model, &registry.state(), &format!("version {version} is production"))
    }
}

impl Rollback {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let Self { place, who } = self;
        let registry = Registry::open(place.root()?).await?;
        registry.roll_back(&place.model, &who.intent()?).await?;
        done(shared, &place.model, &registry.state(), "production is back at the previous version")
    }
}

impl AliasMove {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let Decision { place, version, who } = self.decision;
        let registry = Registry::open(place.root()?).await?.trusting(self.trusted.trust()?);
        registry.set_alias(&place.model, &self.alias, self.expect, version, &who.intent()?).await?;
        done(shared, &place.model, &registry.state(), &format!("{} points at version {version}", self.alias))
    }
}

impl Revocation {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let Decision { place, version, who } = self.decision;
        let registry = Registry::open(place.root()?).await?;
        let op = Op::Status { name: place.model.clone(), version, status: Status::Revoked };
        registry.commit(&who.intent()?, |_| Ok(vec![op.clone()])).await?;
        done(shared, &place.model, &registry.state(), &format!("version {version} is revoked"))
    }
}

impl Tagging {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let Decision { place, version, who } = self.decision;
        let registry = Registry::open(place.root()?).await?;
        let op = Op::Tag { name: place.model.clone(), version, key: self.key, value: self.value };
        registry.commit(&who.intent()?, |_| Ok(vec![op.clone()])).await?;
        let done_what = op.to_string();
        let sentence = done_what.split_once(": ").map_or(done_what.as_str(), |(_, what)| what);
        done(shared, &place.model, &registry.state(), sentence)
    }
}

impl Signing {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let Decision { place, version, who } = self.decision;
        let Some(key) = self.sign_with.key()? else {
            return Err(exit::coded(exit::USAGE, "--signing-key is missing"));
        };
        let registry = Registry::open(place.root()?).await?.trusting(self.trusted.trust()?);
        registry.sign(&place.model, version, &key, &who.intent()?).await?;
        done(shared, &place.model, &registry.state(), &format!("version {version} signed by key {}", key.key_id()))
    }
}
