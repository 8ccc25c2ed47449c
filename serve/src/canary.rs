//! What is counted on each arm during a step of a canary, and the rule that lets the step advance.
//!
//! The rule reads exact counts of this process, not quantile estimates: "p99 at most 0.5 s" is "at most 1 in 100 above
//! 0.5 s". Without data it never advances.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use models::{Version, split::Salt};
use serde::{Deserialize, Serialize};

/// The shares of readers a canary passes through, in basis points.
pub const STEPS_BP: [u16; 4] = [1000, 2500, 5000, 10_000];

/// Answers slower than this, from the last byte of the request on, are counted as slow.
pub const SLOW: Duration = Duration::from_millis(500);

/// The step after a weight, `None` after the last.
///
/// ```
/// assert_eq!([0, 1000, 2500, 5000, 10_000].map(serve::next_step), [Some(1000), Some(2500), Some(5000), Some(10_000), None]);
/// ```
pub fn next_step(weight_bp: u16) -> Option<u16> {
    STEPS_BP.into_iter().find(|step| *step > weight_bp)
}

/// Requests of one arm during one step. Failures are charged to the arm a reader was assigned to, whoever answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStats {
    /// Requests assigned to the arm by the split.
    pub requests: u64,
    /// Of those, not answered by the arm: server errors, deadlines, and answers another arm had to give.
    pub bad: u64,
    /// Of those, slower than 0.5 s.
    pub over_500ms: u64,
}

/// Live counters behind [`StepStats`].
#[derive(Debug, Default)]
pub(crate) struct ArmCounters {
    requests: AtomicU64,
    bad: AtomicU64,
    over_500ms: AtomicU64,
}

impl ArmCounters {
    pub(crate) fn record(&self, bad: bool, total: Duration) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bad.fetch_add(u64::from(bad), Ordering::Relaxed);
        self.over_500ms.fetch_add(u64::from(total > SLOW), Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> StepStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StepStats { requests: read(&self.requests), bad: read(&self.bad), over_500ms: read(&self.over_500ms) }
    }
}

/// One step of one canary in this process: counting begins anew when version, salt or weight change.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) version: Version,
    pub(crate) salt: Salt,
    pub(crate) weight_bp: u16,
    pub(crate) since: Timestamp,
    pub(crate) stable: ArmCounters,
    pub(crate) canary: ArmCounters,
}

impl Step {
    pub(crate) fn new(version: Version, salt: Salt, weight_bp: u16, since: Timestamp) -> Self {
        Self { version, salt, weight_bp, since, stable: ArmCounters::default(), canary: ArmCounters::default() }
    }

    pub(crate) fn is(&self, version: Version, salt: Salt, weight_bp: u16) -> bool {
        (self.version, self.salt, self.weight_bp) == (version, salt, weight_bp)
    }
}

/// What a step must show before it advances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepPolicy {
    /// Requests on the canary below which nothing advances.
    pub min_requests: u64,
    /// At most one bad request in this many.
    pub one_bad_in: u64,
    /// At most one slow request in this many.
    pub one_slow_in: u64,
    /// So many bad, or slow, requests never roll back by themselves, however few requests there were.
    pub tolerated: u64,
}

impl Default for StepPolicy {
    /// Success at least 0.999, p99 at most 0.5 s, 300 requests, 2 failures tolerated.
    fn default() -> Self {
        Self { min_requests: 300, one_bad_in: 1000, one_slow_in: 100, tolerated: 2 }
    }
}

/// What a step has come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum StepVerdict {
    /// Every condition is shown to hold.
    Advance,
    /// Not shown yet.
    Hold {
        /// What is missing.
        why: String,
    },
    /// A condition is broken beyond what waiting could mend.
    RollBack {
        /// Which.
        why: String,
    },
}

/// Judges the canary's counts of one step.
///
/// A count breaks its condition when it exceeds both what is tolerated and its share of `max(requests, min_requests)`,
/// so that a canary that fails at once is rolled back without waiting for the minimum.
pub fn judge(canary: &StepStats, policy: &StepPolicy) -> StepVerdict {
    let StepStats { requests, bad, over_500ms } = *canary;
    let conditions = [("bad", bad, policy.one_bad_in), ("slow", over_500ms, policy.one_slow_in)];
    let exceeds = |count: u64, one_in: u64, of: u64| u128::from(count) * u128::from(one_in) > u128::from(of);
    for (what, count, one_in) in conditions {
        if count > policy.tolerated && exceeds(count, one_in, requests.max(policy.min_requests)) {
            let why = format!("{count} of {requests} requests {what}, at most 1 in {one_in} allowed");
            return StepVerdict::RollBack { why };
        }
    }
    if requests < policy.min_requests || requests == 0 {
        return StepVerdict::Hold { why: format!("{requests} of {} requests seen", policy.min_requests) };
    }
    for (what, count, one_in) in conditions {
        if exceeds(count, one_in, requests) {
            let why = format!("{count} of {requests} requests {what}, too few requests to show at most 1 in {one_in}");
            return StepVerdict::Hold { why };
        }
    }
    StepVerdict::Advance
}

/// The canary as it stands in this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Experiment {
    /// Rises with every change of versions or weight.
    pub epoch: u64,
    /// The version in production.
    pub stable_version: Version,
    /// The version on trial.
    pub canary_version: Version,
    /// Its share of readers, basis points.
    pub weight_bp: u16,
    /// When this step began here.
    pub since: Timestamp,
    /// Counts of the stable arm.
    pub stable: StepStats,
    /// Counts of the canary arm.
    pub canary: StepStats,
    /// [`judge`] under the default policy.
    #[serde(flatten)]
    pub verdict: StepVerdict,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(requests: u64, bad: u64, over_500ms: u64) -> String {
        match judge(&StepStats { requests, bad, over_500ms }, &StepPolicy::default()) {
            StepVerdict::Advance => "advance".into(),
            StepVerdict::Hold { why } => format!("hold: {why}"),
            StepVerdict::RollBack { why } => format!("roll back: {why}"),
        }
    }

    #[test]
    fn no_data_never_advances() {
        assert_eq!(judged(0, 0, 0), "hold: 0 of 300 requests seen");
        let nothing_asked = StepPolicy { min_requests: 0, ..StepPolicy::default() };
        assert!(matches!(judge(&StepStats::default(), &nothing_asked), StepVerdict::Hold { .. }));
    }

    #[test]
    fn a_clean_step_advances_at_the_minimum() {
        assert_eq!(judged(299, 0, 0), "hold: 299 of 300 requests seen");
        assert_eq!(judged(300, 0, 3), "advance");
    }

    #[test]
    fn few_failures_hold_until_enough_requests_outweigh_them() {
        assert_eq!(judged(300, 1, 0), "hold: 1 of 300 requests bad, too few requests to show at most 1 in 1000");
        assert_eq!(judged(1000, 1, 0), "advance");
        assert_eq!(judged(1999, 2, 0), "hold: 2 of 1999 requests bad, too few requests to show at most 1 in 1000");
    }

    #[test]
    fn the_third_failure_rolls_back_at_once() {
        assert_eq!(judged(3, 3, 0), "roll back: 3 of 3 requests bad, at most 1 in 1000 allowed");
        assert_eq!(judged(3000, 3, 0), "advance");
        assert_eq!(judged(4, 0, 4), "roll back: 4 of 4 requests slow, at most 1 in 100 allowed");
        assert_eq!(judged(3, 0, 3), "hold: 3 of 300 requests seen", "three slow of 300 would still pass");
    }
}
