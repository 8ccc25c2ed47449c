//! What a trial must show, and what ends it. Fixed before it begins.

use serde::{Deserialize, Serialize};

/// The rules of one trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Chance of ever rolling back a harmless canary, over all checks together.
    pub alpha_harm: f64,
    /// Chance of ever rolling back a canary that readers of both lists do not like less, beside `alpha_harm`; nothing where
    /// nobody is given such lists.
    #[serde(default = "alpha_interleaved")]
    pub alpha_interleaved: f64,
    /// Chance that a canary which breaks a condition ever passes it.
    pub alpha_pass: f64,
    /// Chance of ever calling a sound split unsound.
    pub alpha_split: f64,
    /// Server errors, deadlines, panics and answers that stable had to give.
    pub failures: Guard,
    /// Answers after more than 0.5 s.
    pub slow: Guard,
    /// Lists of fewer books than asked for.
    pub short: Short,
    /// Time of scoring.
    pub scoring: Scoring,
    /// Clicks.
    pub clicks: Clicks,
    /// One rule per share of readers, ascending; the last is 10,000.
    pub steps: Vec<StepRule>,
}

/// A kind of bad request that has an absolute bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    /// To advance, fewer of the canary's readers than this share must be shown to meet one.
    pub bound: f64,
    /// Harm is a rate of more than so many times stable's.
    pub tolerance: f64,
    /// Its part of `alpha_harm`.
    pub weight: f64,
}

/// Lists shorter than asked for: only compared, since a small catalogue makes all of them short.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Short {
    /// Harm is a rate of more than so many times stable's.
    pub tolerance: f64,
    /// Its part of `alpha_harm`.
    pub weight: f64,
}

/// Time of scoring: only compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scoring {
    /// The quantile compared.
    pub quantile: f64,
    /// Harm is a quantile above stable's by more than this, seconds.
    pub tolerance_secs: f64,
    /// Its part of `alpha_harm`.
    pub weight: f64,
}

/// Clicks within a window after a reader's arrival.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Clicks {
    /// Harm is a rate of less than so many times stable's. At 1 any loss is harm once it is certain; what is too small to
    /// become certain is kept from promotion by the step's margin.
    pub tolerance: f64,
    /// Its part of `alpha_harm`.
    pub weight: f64,
    /// Expected share of readers who click, from which the interval's sharpness is planned.
    pub planned_rate: f64,
    /// Readers at which the interval is to be sharpest.
    pub planned_readers: u64,
}

/// When a step may be left upwards.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepRule {
    /// The canary's share of readers, basis points.
    pub weight_bp: u16,
    /// Seconds it lasts at least.
    pub least_secs: u64,
    /// Seconds after which a trial that has not passed is ended without blame.
    pub most_secs: u64,
    /// The canary's click rate must be shown to be above so many times stable's; not asked where absent.
    pub clicks_above: Option<f64>,
}

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// That of policies written down before there was one.
fn alpha_interleaved() -> f64 {
    0.01
}

impl Default for Policy {
    /// Success at least 0.999, p99 at most 0.5 s, one sound canary in a hundred rolled back, clicks not below .8 of stable's
    /// at 25 % and not below .95 at 50 %.
    fn default() -> Self {
        let step = |weight_bp, least_secs, most_secs, clicks_above| StepRule {
            weight_bp,
            least_secs,
            most_secs,
            clicks_above,
        };
        Self {
            alpha_harm: 0.01,
            alpha_interleaved: alpha_interleaved(),
            alpha_pass: 0.05,
            alpha_split: 0.001,
            failures: Guard { bound: 0.001, tolerance: 1.25, weight: 0.3 },
            slow: Guard { bound: 0.01, tolerance: 1.25, weight: 0.2 },
            short: Short { tolerance: 1.25, weight: 0.1 },
            scoring: Scoring { quantile: 0.95, tolerance_secs: 0.001, weight: 0.15 },
            clicks: Clicks { tolerance: 1.0, weight: 0.25, planned_rate: 0.05, planned_readers: 20_000 },
            steps: vec![
                step(1000, HOUR, 2 * DAY, None),
                step(2500, DAY, 7 * DAY, Some(0.8)),
                step(5000, 7 * DAY, 21 * DAY, Some(0.95)),
                step(10_000, DAY, 7 * DAY, None),
            ],
        }
    }
}

impl Policy {
    /// Every rule that cannot hold, one sentence each; empty when all can.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let shares = [
            ("alpha_harm", self.alpha_harm),
            ("alpha_interleaved", self.alpha_interleaved),
            ("alpha_pass", self.alpha_pass),
            ("alpha_split", self.alpha_split),
            ("failures.bound", self.failures.bound),
            ("slow.bound", self.slow.bound),
            ("scoring.quantile", self.scoring.quantile),
            ("clicks.planned_rate", self.clicks.planned_rate),
        ];
        for (name, value) in shares.into_iter().filter(|(_, value)| !(*value > 0.0 && *value < 1.0)) {
            problems.push(format!("{name}: expected more than 0 and less than 1, found {value}"));
        }
        let weights =
            [self.failures.weight, self.slow.weight, self.short.weight, self.scoring.weight, self.clicks.weight];
        let sum: f64 = weights.iter().sum();
        // The sum of a few decimal fractions may miss 1 by a rounding.
        if sum.is_nan() || sum > 1.0 + 1e-9 || weights.iter().any(|weight| *weight < 0.0) {
            problems.push(format!("weights: expected none below 0 and a sum of at most 1, found {weights:?}"));
        }
        let tolerances = [self.failures.tolerance, self.slow.tolerance, self.short.tolerance, self.clicks.tolerance];
        if !tolerances.iter().all(|tolerance| *tolerance > 0.0 && tolerance.is_finite()) {
            problems.push(format!("tolerances: expected all above 0, found {tolerances:?}"));
        }
        let ends = self.steps.last().is_some_and(|step| step.weight_bp == 10_000);
        if !ends || !self.steps.is_sorted_by(|a, b| a.weight_bp < b.weight_bp) {
            let found: Vec<u16> = self.steps.iter().map(|step| step.weight_bp).collect();
            problems.push(format!("steps: expected ascending shares up to 10000, found {found:?}"));
        }
        problems
    }

    /// The rule of a share of readers: of the highest step not above it, or of the first.
    pub fn rule(&self, weight_bp: u16) -> Option<&StepRule> {
        self.steps.iter().rfind(|step| step.weight_bp <= weight_bp).or(self.steps.first())
    }

    /// The step after a share of readers, basis points; `None` after the last.
    ///
    /// ```
    /// let policy = serve::judge::Policy::default();
    /// let next = [0, 1000, 2500, 5000, 10_000].map(|weight| policy.next_step(weight));
    /// assert_eq!(next, [Some(1000), Some(2500), Some(5000), Some(10_000), None]);
    /// ```
    pub fn next_step(&self, weight_bp: u16) -> Option<u16> {
        self.steps.iter().map(|step| step.weight_bp).find(|step| *step > weight_bp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_named_at_once() {
        let mut policy = Policy::default();
        assert_eq!(policy.problems(), Vec::<String>::new());
        policy.alpha_harm = 0.0;
        policy.failures.weight = 0.4;
        policy.clicks.tolerance = 0.0;
        policy.steps.pop();
        assert_eq!(
            policy.problems(),
            [
                "alpha_harm: expected more than 0 and less than 1, found 0",
                "weights: expected none below 0 and a sum of at most 1, found [0.4, 0.2, 0.1, 0.15, 0.25]",
                "tolerances: expected all above 0, found [1.25, 1.25, 1.25, 0.0]",
                "steps: expected ascending shares up to 10000, found [1000, 2500, 5000]",
            ]
        );
    }

    #[test]
    fn a_share_between_two_steps_keeps_the_rule_of_the_lower() {
        let policy = Policy::default();
        let at = |weight_bp| policy.rule(weight_bp).unwrap().weight_bp;
        assert_eq!([1, 1000, 3000, 10_000].map(at), [1000, 1000, 2500, 10_000]);
    }
}
