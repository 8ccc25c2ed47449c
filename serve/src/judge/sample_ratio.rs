//! Whether readers arrive on the arms in the shares they were meant to: before that, no comparison of arms means anything.

use statrs::function::beta::ln_beta;

/// How firmly a step's share is believed in before data: the weight of so many readers.
const FIRMNESS: f64 = 1000.0;

/// Readers met for the first time during one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrivals {
    /// The canary's share of readers, in `(0, 1)`. At 1 all are the canary's, and there is nothing to test.
    pub share: f64,
    /// Of them, on the canary.
    pub canary: u64,
    /// Of them, on stable.
    pub stable: u64,
}

/// Log of the e-value against "each reader is on the canary with chance `share`", over all steps.
///
/// Per step `B(a + c, b + s) / (B(a, b) share^c (1 - share)^s)` with `a = 1000 share`, `b = 1000 (1 - share)`: the readers' likelihood with
/// the share drawn from a Beta prior around the planned one, over that with the planned one. Multiplied over steps; 0
/// without readers. Ever `ln 1000` with chance at most .001 where the split is sound, however often it is looked at.
///
/// Source: Lindon and Malek 2022 (multinomial counts), for two arms.
/// ```
/// use serve::judge::{Arrivals, log_e_split};
/// // One reader, the canary's: the prior's mean is the share itself, so one reader says nothing.
/// assert!(log_e_split(&[Arrivals { share: 0.25, canary: 1, stable: 0 }]).abs() < 1e-9);
/// ```
pub fn log_e_split(steps: &[Arrivals]) -> f64 {
    let of_step = |step: &Arrivals| {
        let (canary, stable) = (step.canary as f64, step.stable as f64);
        let (a, b) = (FIRMNESS * step.share, FIRMNESS * (1.0 - step.share));
        ln_beta(a + canary, b + stable) - ln_beta(a, b) - canary * step.share.ln() - stable * (1.0 - step.share).ln()
    };
    steps.iter().filter(|step| step.share < 1.0).map(of_step).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn e(share: f64, canary: u64, of: u64) -> f64 {
        log_e_split(&[Arrivals { share, canary, stable: of - canary }]).exp()
    }

    #[test]
    fn a_tenth_short_of_a_tenth_is_an_alarm_and_three_quarters_of_that_is_not_yet() {
        // The wanted figures have three and five digits.
        assert!((e(0.1, 1850, 20_000) / 98.8 - 1.0).abs() < 5e-4, "{}", e(0.1, 1850, 20_000));
        assert!((e(0.1, 1800, 20_000) / 12_303.0 - 1.0).abs() < 5e-5, "{}", e(0.1, 1800, 20_000));
    }

    #[test]
    fn readers_as_planned_speak_for_the_plan() {
        assert!(e(0.1, 2000, 20_000) < 1.0);
        assert!((e(0.5, 0, 0) - 1.0).abs() < 1e-9);
        assert!((e(1.0, 5000, 5000) - 1.0).abs() < 1e-9, "at 100 % there is nothing to test");
    }

    #[test]
    fn too_many_and_too_few_are_both_alarms() {
        for canary in [5_300, 4_700] {
            assert!(e(0.5, canary, 10_000) > 1000.0, "{canary}: {}", e(0.5, canary, 10_000));
        }
    }
}
