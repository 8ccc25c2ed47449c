//! The retrained version's way to production: 10, 25, 50, 100 % of readers, then a person's word.

use jiff::Timestamp;
use models::{Version, digest::sha256, split::Salt};
use serve::judge::{Guard, Policy, Scoring, StepRule};

use super::{
    chronicler::Chronicler,
    stage::{Stage, promote},
};
use crate::{ramp::Moved, report::MomentKind};

/// What 1,200 readers can show in a day or two: at 10 % some 85 of them meet the canary, so that failures of one in twenty
/// can be ruled out and those of one in a thousand cannot. That clicks are no worse takes more readers than there are; a
/// loss still ends the trial, and whether to go on is the person's decision at its end. Scoring is compared to 50 ms, since
/// eight readers at once and whatever else the machine does share two cores.
pub(super) fn policy() -> Policy {
    let day = 24 * 3600;
    let step = |weight_bp| StepRule { weight_bp, least_secs: day / 2, most_secs: 14 * day, clicks_above: None };
    let sound = Policy::default();
    Policy {
        failures: Guard { bound: 0.05, ..sound.failures },
        slow: Guard { bound: 0.05, ..sound.slow },
        scoring: Scoring { tolerance_secs: 0.05, ..sound.scoring },
        steps: vec![step(1000), step(2500), step(5000), step(10_000)],
        ..sound
    }
}

impl Stage {
    pub(super) async fn begin_canary(
        &mut self,
        now: Timestamp,
        version: Version,
        chronicler: &mut Chronicler<'_>,
    ) -> anyhow::Result<()> {
        let first = policy().next_step(0).expect("there is a first step");
        // One trial, one salt: it follows from the seed and the version, so that a rehearsal can be repeated.
        let digest = sha256(format!("canary {} {version}", self.options.seed).as_bytes());
        let salt: Salt = digest.parse().expect("a digest is 64 hex digits");
        let reason = "the gate was passed";
        self.ramp.begin(version, first, salt, reason, now).await?;
        self.stepped(now, version, first, reason, chronicler).await;
        Ok(())
    }

    /// Has the running trial judged, and does what the judge says.
    pub(super) async fn step_canary(&mut self, now: Timestamp, chronicler: &mut Chronicler<'_>) -> anyhow::Result<()> {
        let Some(experiment) = self.running.experiment() else { return Ok(()) };
        let (version, counts) = (experiment.canary_version, experiment.step().canary);
        let seen = format!("{} readers new to it, {} requests, {} failed", counts.met, counts.requests, counts.bad);
        chronicler.canary(now, &experiment);
        match self.ramp.follow(&experiment, now).await? {
            Moved::Stays { why } => {
                let share = experiment.weight_bp / 100;
                chronicler.tell(now, MomentKind::Canary, format!("canary stays at {share} %: {why}"));
            }
            Moved::RolledBack { why } => {
                self.running.look_now().await;
                chronicler.tell(now, MomentKind::Canary, format!("canary rolled back, in quarantine: {why}"));
            }
            Moved::Expired { why } | Moved::Alarmed { why } => {
                self.running.look_now().await;
                chronicler.tell(now, MomentKind::Canary, format!("canary ended: {why}"));
            }
            Moved::Clean => self.running.look_now().await,
            Moved::To(next) => self.stepped(now, version, next, &seen, chronicler).await,
            Moved::AwaitsApproval => {
                let reason = format!("every canary step passed; the last: {seen}");
                promote(&self.registry, &self.model, version, &reason, now).await?;
                self.running.look_now().await;
                let what = format!("version {version} approved and in production; {} is previous", self.first_version);
                chronicler.tell(now, MomentKind::Promotion, what);
                chronicler.aliases(&self.registry).await?;
            }
        }
        Ok(())
    }

    /// The trial has a new share of readers.
    async fn stepped(
        &mut self,
        now: Timestamp,
        version: Version,
        weight_bp: u16,
        reason: &str,
        chronicler: &mut Chronicler<'_>,
    ) {
        self.running.look_now().await;
        let percent = u32::from(weight_bp / 100);
        self.canary_steps.push(percent);
        chronicler.tell(now, MomentKind::Canary, format!("version {version} to {percent} % of readers: {reason}"));
    }
}
