//! The retrained version's way to production: 10, 25, 50, 100 % of readers, then a person's word.

use jiff::Timestamp;
use models::{
    Version,
    digest::sha256,
    registry::{Intent, Op},
    split::Salt,
};
use serve::{StepPolicy, StepVerdict, judge, next_step};

use super::{
    chronicler::Chronicler,
    stage::{ACTOR, Stage, promote},
};
use crate::report::MomentKind;

/// A day at 10 % of a small shop is some 150 requests.
const POLICY: StepPolicy = StepPolicy { min_requests: 100, one_bad_in: 1000, one_slow_in: 100, tolerated: 2 };

impl Stage {
    pub(super) async fn begin_canary(
        &mut self,
        now: Timestamp,
        version: Version,
        chronicler: &mut Chronicler<'_>,
    ) -> anyhow::Result<()> {
        let first = next_step(0).expect("there is a first step");
        self.set_weight(now, version, first, "the gate was passed", chronicler).await
    }

    /// Judges the day's step of a running trial, and takes the next one.
    pub(super) async fn step_canary(&mut self, now: Timestamp, chronicler: &mut Chronicler<'_>) -> anyhow::Result<()> {
        let Some(experiment) = self.running.experiment() else { return Ok(()) };
        let (version, weight) = (experiment.canary_version, experiment.weight_bp);
        let counts = experiment.canary;
        let verdict = judge(&counts, &POLICY);
        let seen = format!("{} requests, {} bad, {} over 0.5 s", counts.requests, counts.bad, counts.over_500ms);
        chronicler.canary(now, (version, weight), &counts, &verdict);
        match verdict {
            StepVerdict::Hold { why } => {
                chronicler.tell(now, MomentKind::Canary, format!("canary stays at {} %: {why}", weight / 100));
                Ok(())
            }
            StepVerdict::RollBack { why } => {
                let intent = Intent::new(ACTOR, format!("rolled back: {why}"), now);
                self.registry.commit(&intent, |_| Ok(vec![self.weight_op(version, 0)])).await?;
                self.running.look_now().await;
                chronicler.tell(now, MomentKind::Canary, format!("canary rolled back: {why}"));
                Ok(())
            }
            StepVerdict::Advance => match next_step(weight) {
                Some(next) => self.set_weight(now, version, next, &seen, chronicler).await,
                None => {
                    let reason = format!("every canary step passed; the last: {seen}");
                    promote(&self.registry, &self.model, version, &reason, now).await?;
                    self.running.look_now().await;
                    let what =
                        format!("version {version} approved and in production; {} is previous", self.first_version);
                    chronicler.tell(now, MomentKind::Promotion, what);
                    chronicler.aliases(&self.registry).await
                }
            },
        }
    }

    async fn set_weight(
        &mut self,
        now: Timestamp,
        version: Version,
        weight_bp: u16,
        reason: &str,
        chronicler: &mut Chronicler<'_>,
    ) -> anyhow::Result<()> {
        let intent = Intent::new(ACTOR, reason, now);
        self.registry.commit(&intent, |_| Ok(vec![self.weight_op(version, weight_bp)])).await?;
        self.running.look_now().await;
        let percent = u32::from(weight_bp / 100);
        self.canary_steps.push(percent);
        chronicler.tell(now, MomentKind::Canary, format!("version {version} to {percent} % of readers: {reason}"));
        Ok(())
    }

    fn weight_op(&self, version: Version, weight_bp: u16) -> Op {
        // One trial, one salt: it follows from the seed and the version, so that a rehearsal can be repeated.
        let digest = sha256(format!("canary {} {version}", self.options.seed).as_bytes());
        let salt: Salt = digest.parse().expect("a digest is 64 hex digits");
        Op::Canary { name: self.model.clone(), version, weight_bp, salt }
    }
}
