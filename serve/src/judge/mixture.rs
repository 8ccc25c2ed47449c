//! The difference of two rates with an interval that holds at every look at once, for people to read.
//!
//! Decisions on clicks are taken by [`super::log_e_ratio`], which needs no minimum of data; this one is asymptotic.

use statrs::distribution::{ContinuousCDF, Normal};

/// Readers of an arm below which nothing is said.
const LEAST_READERS: u64 = 200;
/// Readers with, and without, the event on an arm below which nothing is said.
const LEAST_EVENTS: u64 = 20;

/// Readers of both arms first met during one step, and those of them with the event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Readers on stable.
    pub stable: u64,
    /// Of them, with the event.
    pub stable_events: u64,
    /// Readers on the canary.
    pub canary: u64,
    /// Of them, with the event.
    pub canary_events: u64,
}

/// A difference of rates, canary minus stable, and the variance of its estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Estimate.
    pub delta: f64,
    /// Its variance, positive.
    pub variance: f64,
}

/// The difference over all steps, never pooled: rates may change between steps in which the arms have other shares.
///
/// Per step `delta = p_c - p_s` and `V = p_c (1 - p_c) / n_c + p_s (1 - p_s) / n_s`; over steps both are combined with weights
/// `n_c n_s / (n_c + n_s)`. `None` until both arms have 200 readers, 20 of them with the event and 20 without: before that
/// the variance is not known well enough.
pub fn difference(steps: &[Rates]) -> Option<Difference> {
    let sum = |of: fn(&Rates) -> u64| steps.iter().map(of).sum::<u64>();
    let enough = |n: u64, events: u64| n >= LEAST_READERS && events >= LEAST_EVENTS && n - events >= LEAST_EVENTS;
    if !enough(sum(|r| r.stable), sum(|r| r.stable_events)) || !enough(sum(|r| r.canary), sum(|r| r.canary_events)) {
        return None;
    }
    let (mut weights, mut delta, mut variance) = (0.0, 0.0, 0.0);
    for step in steps.iter().filter(|step| step.stable > 0 && step.canary > 0) {
        let (n_s, n_c) = (step.stable as f64, step.canary as f64);
        let (p_s, p_c) = (step.stable_events as f64 / n_s, step.canary_events as f64 / n_c);
        let weight = n_c * n_s / (n_c + n_s);
        weights += weight;
        delta += weight * (p_c - p_s);
        variance += weight * weight * (p_c * (1.0 - p_c) / n_c + p_s * (1.0 - p_s) / n_s);
    }
    (variance > 0.0).then(|| Difference { delta: delta / weights, variance: variance / (weights * weights) })
}

/// The mixing variance that is sharpest where the estimate's variance is `planned`, for a two-sided level `alpha`.
///
/// `tau2 = planned K`, `K = 2 ln(1 / alpha) + ln(1 + 2 ln(1 / alpha))`. Chosen before data, or the levels do not hold; ten times
/// too large costs little, ten times too small much. For a one-sided level give `2 alpha`.
///
/// Source: Johari, Koomen, Pekelis and Walsh 2022.
/// ```
/// assert!((serve::judge::mixing_variance(1.0, 0.05) - 7.936).abs() < 5e-4);
/// ```
pub fn mixing_variance(planned: f64, alpha: f64) -> f64 {
    let twice = -2.0 * alpha.ln();
    planned * (twice + twice.ln_1p())
}

impl Difference {
    /// Log of the mixture likelihood ratio against "no difference":
    /// `sqrt(V / (V + tau2)) exp(tau2 delta^2 / (2 V (V + tau2)))`.
    ///
    /// Source: Robbins 1970; Johari et al. 2022.
    pub fn log_e(&self, tau2: f64) -> f64 {
        let (v, sum) = (self.variance, self.variance + tau2);
        0.5 * (v / sum).ln() + tau2 * self.delta * self.delta / (2.0 * v * sum)
    }

    /// Log of the one-sided ratio against "the canary's rate is not lower":
    /// `2 e phi(-delta tau / sqrt(V (V + tau2)))`, `e` that of [`Difference::log_e`] and `phi` the normal distribution function.
    ///
    /// Source: the normal mixtures of Howard, Ramdas et al. 2021.
    pub fn log_e_lower(&self, tau2: f64) -> f64 {
        let z = -self.delta * tau2.sqrt() / (self.variance * (self.variance + tau2)).sqrt();
        // The tail underflows to 0 only where the ratio is far below 1 anyway.
        self.log_e(tau2) + std::f64::consts::LN_2 + Normal::standard().cdf(z).ln()
    }

    /// The interval that holds the true difference at every look at once with chance at least `1 - alpha`:
    /// `delta ± sqrt(V (V + tau2) / tau2 ln((V + tau2) / (V alpha^2)))`.
    pub fn interval(&self, tau2: f64, alpha: f64) -> (f64, f64) {
        let (v, sum) = (self.variance, self.variance + tau2);
        let half = (v * sum / tau2 * (sum / (v * alpha * alpha)).ln()).sqrt();
        (self.delta - half, self.delta + half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: Rates = Rates { stable: 27_000, stable_events: 1350, canary: 3000, canary_events: 102 };
    /// A rate of .05 with 2,000 and 18,000 readers.
    const PLANNED: f64 = 0.05 * 0.95 * (1.0 / 2000.0 + 1.0 / 18_000.0);

    fn near(found: f64, wanted: f64, digits: i32) {
        assert!((found / wanted - 1.0).abs() < 0.5 * 10f64.powi(1 - digits), "{found} for {wanted}");
    }

    #[test]
    fn the_worked_example_comes_out_to_its_digits() {
        let found = difference(&[EXAMPLE]).unwrap();
        near(found.delta, -0.016, 12);
        near(found.variance, 1.270_726e-5, 7);
        near(PLANNED, 2.638_889e-5, 7);
        let two_sided = mixing_variance(PLANNED, 0.05);
        near(two_sided, 2.094_263e-4, 7);
        near(found.log_e(two_sided), 8.0662, 5);
        let harm = mixing_variance(PLANNED, 0.02);
        near(harm, 2.639_292e-4, 7);
        near(found.log_e_lower(harm), 8.7632, 5);
        let (low, high) = found.interval(two_sided, 0.05);
        near(low, -0.02692, 4);
        near(high, -0.00508, 3);
    }

    #[test]
    fn little_data_says_nothing() {
        assert_eq!(difference(&[]), None);
        assert_eq!(difference(&[Rates { canary_events: 19, ..EXAMPLE }]), None);
        assert_eq!(difference(&[Rates { canary: 199, canary_events: 50, ..EXAMPLE }]), None);
        assert_eq!(difference(&[Rates { stable_events: 26_990, ..EXAMPLE }]), None);
    }

    #[test]
    fn steps_with_other_rates_and_shares_do_not_look_like_a_difference() {
        // .04 at 10 %, then .07 at 50 %, the same on both arms; pooled it would be .0643 against .0475.
        let first = Rates { stable: 9000, stable_events: 360, canary: 1000, canary_events: 40 };
        let second = Rates { stable: 3000, stable_events: 210, canary: 3000, canary_events: 210 };
        assert!(difference(&[first, second]).unwrap().delta.abs() < 1e-15);
    }

    #[test]
    fn a_rise_is_no_evidence_of_a_fall() {
        let risen = Difference { delta: 0.016, variance: 1.27e-5 };
        // 2 sqrt(V / (V + tau2)) phi(z) / (z phi'(0)) is .039 at z = 4.4: 2 * .216 / (4.4 * 2.51).
        assert!((risen.log_e_lower(2.6e-4) - 0.039f64.ln()).abs() < 0.1);
        assert!(risen.log_e(2.6e-4) > 5.0);
    }
}
