//! Jensen-Shannon distance, base 2: how far apart two sets of shares are, on a scale from 0 to 1.

use super::{FLOOR_LEVEL, chi_squared, inverse_sizes};

/// Jensen-Shannon *distance* of two count vectors, base 2: `sqrt((KL(p||M) + KL(q||M)) / 2)`, `M = (p + q) / 2`.
///
/// `reference` and `current` have one entry per category, shape `(k,)`. In `[0, 1]`: 0 for equal shares, 1 for
/// disjoint ones. Zero counts need no smoothing. `None` when a side sums to 0. Source: Lin 1991; his divergence is
/// the square of ours.
///
/// ```
/// let got = drift::jensen_shannon::distance(&[50, 30, 20], &[40, 25, 35]).unwrap();
/// assert!((got - 0.143_530_1).abs() < 1e-7);
/// ```
pub fn distance(reference: &[u64], current: &[u64]) -> Option<f64> {
    let (m, n) = (reference.iter().sum::<u64>() as f64, current.iter().sum::<u64>() as f64);
    if m <= 0.0 || n <= 0.0 {
        return None;
    }
    // x log2(x / middle), 0 at x = 0.
    let part = |x: f64, middle: f64| if x > 0.0 { x * (x / middle).log2() } else { 0.0 };
    let divergence: f64 = reference
        .iter()
        .zip(current)
        .map(|(a, b)| {
            let (p, q) = (*a as f64 / m, *b as f64 / n);
            let middle = f64::midpoint(p, q);
            f64::midpoint(part(p, middle), part(q, middle))
        })
        .sum();
    Some(divergence.clamp(0.0, 1.0).sqrt())
}

/// The distance that two samples of the same `k` shares exceed with chance 0.003.
///
/// Under no change the divergence in nats is about `(1/m + 1/n) / 8` times a chi-square with `k - 1` degrees of
/// freedom (`1 / (4 n)` times it for equal sizes). 0 for `k < 2`; at most 1.
pub fn floor(k: usize, m: u64, n: u64) -> f64 {
    if k < 2 || m == 0 || n == 0 {
        return 0.0;
    }
    let nats = inverse_sizes(m, n) / 8.0 * chi_squared::point(FLOOR_LEVEL, k - 1);
    (nats / std::f64::consts::LN_2).min(1.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_divergence_is_known_in_bits() {
        let got = distance(&[50, 30, 20], &[40, 25, 35]).unwrap();
        assert!((got.powi(2) - 0.020_600_9).abs() < 5e-8, "{got}");
    }

    #[test]
    fn disjoint_shares_are_one_apart_and_equal_shares_none() {
        assert_eq!(distance(&[5, 0], &[0, 9]), Some(1.0));
        assert_eq!(distance(&[5, 10], &[1, 2]), Some(0.0));
        assert_eq!(distance(&[0, 0], &[1, 2]), None);
    }

    #[test]
    fn four_times_the_readers_halve_the_floor() {
        assert!((floor(12, 4000, 2000) * 2.0 - floor(12, 1000, 500)).abs() < 1e-12);
    }
}
