//! Population stability index, with the value that chance alone gives it. For display beside a test, never to decide:
//! its customary levels 0.1 and 0.25 ignore how much data there was.

use super::{Comparison, Method, Status, chi_squared, inverse_sizes};

/// `sum (q - p) ln(q / p)` over categories, with half a count added to each (Jeffreys) before shares are taken.
///
/// `reference` and `current` have one entry per category, shape `(k,)`. Statistic: the index, `>= 0`. Effect: what is
/// left of it after `(k - 1)(1/m + 1/n)`, its mean when nothing changed, or 0. Floor: the same excess at the 95 % point of
/// the no-change law. No p-value. `Insufficient` when a side is empty, `Degenerate` for fewer than two categories.
///
/// ```
/// let got = drift::psi::compare(&[40, 40, 20, 0], &[30, 30, 30, 10]);
/// assert!((got.statistic - 0.3930).abs() < 5e-5);
/// ```
///
/// Source: Yurdakul 2018 for the no-change law.
pub fn compare(reference: &[u64], current: &[u64]) -> Comparison {
    assert_eq!(reference.len(), current.len(), "both sides have the same categories");
    let (m, n) = (reference.iter().sum::<u64>(), current.iter().sum::<u64>());
    if m == 0 || n == 0 {
        return Comparison::insufficient(Method::Psi, m, n);
    }
    let k = reference.len();
    if k < 2 {
        return Comparison { p: None, ..Comparison::degenerate(Method::Psi, m, n) };
    }
    let smoothed = |count: u64, total: u64| (count as f64 + 0.5) / (total as f64 + k as f64 / 2.0);
    let index: f64 = reference
        .iter()
        .zip(current)
        .map(|(a, b)| {
            let (p, q) = (smoothed(*a, m), smoothed(*b, n));
            (q - p) * (q / p).ln()
        })
        .sum();
    let (mean, point) = (null_mean(k, m, n), null_point(k, m, n));
    Comparison {
        method: Method::Psi,
        statistic: index,
        m,
        n,
        p: None,
        effect: (index - mean).max(0.0),
        floor: point - mean,
        interval: None,
        status: Status::Ok,
    }
}

/// Mean of the index when nothing changed, `(k - 1)(1/m + 1/n)`.
pub fn null_mean(k: usize, m: u64, n: u64) -> f64 {
    (k as f64 - 1.0) * inverse_sizes(m, n)
}

/// The index that chance exceeds in 5 of 100 windows, for `k >= 2` categories.
pub fn null_point(k: usize, m: u64, n: u64) -> f64 {
    chi_squared::point(0.05, k - 1) * inverse_sizes(m, n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_category_is_smoothed_by_half_a_count() {
        assert!((compare(&[40, 40, 20, 0], &[30, 30, 30, 10]).statistic - 0.3930).abs() < 5e-5);
    }

    #[test]
    fn smoothing_vanishes_in_large_counts() {
        let million = 1_000_000;
        let got = compare(&[50 * million, 30 * million, 20 * million], &[40 * million, 25 * million, 35 * million]);
        assert!((got.statistic - 0.115_372_8).abs() < 5e-7, "{}", got.statistic);
    }

    #[test]
    fn the_customary_level_is_noise_for_three_hundred_readers() {
        assert!((null_point(10, 338, 338) - 0.1).abs() < 5e-4);
    }
}
