//! Whether a share is below, or above, a fixed bound: the exact binomial tests that may be looked at after every reader.

use super::events::log_mean_exp;

/// Alternatives below the bound, as parts of it.
const BELOW: [f64; 4] = [0.0, 0.1, 0.25, 0.5];

/// Alternatives above the bound, as multiples of the hazard `-ln(1 - bound)`, so that all of them stay shares.
const ABOVE: [f64; 7] = [1.25, 1.5, 2.0, 4.0, 10.0, 30.0, 100.0];

/// Log of the e-value against "at least `bound` of readers are bad", from `bad` of `n`.
///
/// The likelihood at each share of [`bound * {0, .1, .25, .5}`](self) over that at `bound`, averaged: 0 without readers, so
/// nothing is shown by silence. Ever `ln 20` with chance at most .05 where the null holds. `bound` is in `(0, 1)`, and
/// `bad <= n`.
///
/// Source: test martingales of Ville 1939 with a simple mixture; compare Waudby-Smith and Ramdas 2024.
/// ```
/// // (1 - 0) / (1 - .5) = 2 for each good reader under the first alternative, then .95, .875 and .75 over .5.
/// let got = serve::judge::log_e_below(0, 2, 0.5);
/// let want = (4.0 + 1.9f64.powi(2) + 1.75f64.powi(2) + 1.5f64.powi(2)) / 4.0;
/// assert!((got - want.ln()).abs() < 1e-12);
/// ```
pub fn log_e_below(bad: u64, n: u64, bound: f64) -> f64 {
    log_mean_exp(BELOW.iter().map(|part| log_ratio(bad, n, bound * part, bound)))
}

/// Log of the e-value against "at most `bound` of readers are bad", from `bad` of `n`.
///
/// As [`log_e_below`], with the alternatives `1 - (1 - bound)^m`, `m` from 1.25 to 100.
pub fn log_e_above(bad: u64, n: u64, bound: f64) -> f64 {
    log_mean_exp(ABOVE.iter().map(|m| log_ratio(bad, n, 1.0 - (1.0 - bound).powf(*m), bound)))
}

/// Log likelihood ratio of `bad` of `n` between two shares. 0 bad readers are possible at a share of 0, and 0 good ones at 1,
/// to which the furthest alternative of a great bound rounds.
fn log_ratio(bad: u64, n: u64, share: f64, bound: f64) -> f64 {
    let of_bad = if bad == 0 { 0.0 } else { bad as f64 * (share.ln() - bound.ln()) };
    let of_good = if bad == n { 0.0 } else { (n - bad) as f64 * ((-share).ln_1p() - (-bound).ln_1p()) };
    of_bad + of_good
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_record_passes_after_as_many_readers_as_published() {
        for (bound, needed) in [(0.001, 3556), (0.01, 354)] {
            let e = |n| log_e_below(0, n, bound).exp();
            assert!(e(needed - 1) < 20.0 && e(needed) >= 20.0, "{bound}: {} {}", e(needed - 1), e(needed));
        }
    }

    #[test]
    fn a_record_at_the_bound_shows_nothing() {
        assert!(log_e_below(10, 1000, 0.01) < 0.0);
        assert!(log_e_above(10, 1000, 0.01) < 0.0);
        assert!(log_e_below(0, 0, 0.001).abs() < 1e-15 && log_e_above(0, 0, 0.001).abs() < 1e-15);
    }

    /// `1 - .1^100` is 1: under it a good reader cannot be, and no reader says nothing.
    #[test]
    fn a_great_bound_is_a_test_like_any_other() {
        assert!(log_e_above(0, 0, 0.9).abs() < 1e-15);
        assert!(log_e_above(5, 5, 0.9) > 0.0 && log_e_above(1, 2, 0.9) < 0.0);
    }

    #[test]
    fn two_failures_of_two_are_more_than_a_thousandth() {
        // (1 - .999^100) / .001 = 95.2 under the furthest alternative alone, squared and divided by seven: 1295.
        assert!((1295.0..1500.0).contains(&log_e_above(2, 2, 0.001).exp()), "{}", log_e_above(2, 2, 0.001).exp());
        assert!(log_e_above(0, 2, 0.001) < 0.0);
    }

    #[test]
    fn more_bad_readers_speak_less_for_below_and_more_for_above() {
        for bad in 0..50 {
            assert!(log_e_below(bad + 1, 50, 0.05) < log_e_below(bad, 50, 0.05));
            assert!(log_e_above(bad + 1, 50, 0.05) > log_e_above(bad, 50, 0.05));
        }
    }
}
