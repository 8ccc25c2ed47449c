//! Trials by hand: a share of readers for a version, and the way out of quarantine.

use ::models::{
    Alias, Registry,
    registry::{Canary, Error},
    split::Salt,
};
use clap::Args;

use super::{Decision, Shared, done};
use crate::exit;

/// Give a version a share of readers, change it, or end its trial with 0.
///
/// With --aa the version in production is tried against itself, under a salt of its own: what is found then is a fault of
/// the measuring. An A/A goes nowhere; it ends with an alarm, or when everything that a step must show is shown.
#[derive(Debug, Args)]
#[command(after_help = TRIAL_EXAMPLES)]
pub(in crate::cli) struct Trial {
    #[command(flatten)]
    decision: Decision,
    /// Share of readers in percent; 0 ends the trial.
    #[arg(long, env = "BOOKLOOP_PERCENT", value_parser = clap::value_parser!(u16).range(0..=100))]
    percent: u16,
    /// Try the version in production against itself; run before a first trial.
    #[arg(long, env = "BOOKLOOP_AA")]
    aa: bool,
}

const TRIAL_EXAMPLES: &str = "\
Examples:
  bookloop models trial --store file:///models --version 4 --percent 10 --actor ana --reason 'passed the gate'
  bookloop models trial --store file:///models --version 4 --percent 0 --actor ana --reason 'holidays'
  bookloop models trial --store file:///models --version 3 --percent 50 --aa --actor ana --reason 'a new balancer'";

/// Let a version out of quarantine: it may be tried again.
#[derive(Debug, Args)]
pub(in crate::cli) struct Release {
    #[command(flatten)]
    decision: Decision,
}

impl Trial {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let Decision { place, version, who } = self.decision;
        let registry = Registry::open(place.root()?).await?;
        let (intent, weight_bp) = (who.intent()?, self.percent * 100);
        let production = registry.state().model(&place.model)?.aliases.get(&Alias::production()).copied();
        let is_production = production == Some(version);
        if weight_bp > 0 && self.aa != is_production {
            let why = if self.aa { "not in production" } else { "in production; --aa tries it against itself" };
            return Err(Error::Refused(format!("version {version} is {why}")).into());
        }
        if self.aa && !(1..100).contains(&self.percent) {
            return Err(Error::Refused(format!(
                "an A/A has two sides: expected 1 to 99 percent, found {}",
                self.percent
            ))
            .into());
        }
        let running = registry.state().model(&place.model)?.canary.filter(|trial| trial.version == version);
        let sentence = match (running, weight_bp) {
            (None, 0) => return Err(Error::Refused(format!("version {version} is not on trial")).into()),
            (None, _) => {
                let trial = Canary { version, weight_bp, salt: draw()? };
                registry.begin_trial(&place.model, trial, &intent).await?;
                format!("version {version} to {} % of readers", self.percent)
            }
            (Some(trial), _) => {
                registry.step_trial(&place.model, trial, weight_bp, &intent).await?;
                match weight_bp {
                    0 => format!("trial of version {version} ended"),
                    _ => format!("version {version} to {} % of readers", self.percent),
                }
            }
        };
        done(shared, &place.model, &registry.state(), &sentence)
    }
}

/// A new trial's salt.
fn draw() -> anyhow::Result<Salt> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| exit::coded(exit::UNAVAILABLE, format!("no random numbers: {error}")))?;
    Ok(Salt::new(bytes))
}

impl Release {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let Decision { place, version, who } = self.decision;
        let registry = Registry::open(place.root()?).await?;
        registry.release(&place.model, version, &who.intent()?).await?;
        done(shared, &place.model, &registry.state(), &format!("version {version} released by {}", who.actor))
    }
}
