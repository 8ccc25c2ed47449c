//! Paired bootstrap: is one model better than another on the same readers, or was it luck?

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Resamples drawn.
pub const RESAMPLES: usize = 10_000;
/// Resamples that share one stream of random numbers; fixed, so that threads cannot change the result.
const PER_STREAM: usize = 100;

/// The mean of paired differences with its uncertainty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Readers in common.
    pub n: usize,
    /// Mean difference.
    pub mean: f64,
    /// Lower end of the 95 % percentile interval.
    pub low: f64,
    /// Upper end of the 95 % percentile interval.
    pub high: f64,
    /// Two-sided p that the mean is 0.
    pub p: f64,
}

/// Bootstraps the mean of `differences`, one per reader; `None` when there are none.
///
/// Readers are drawn with replacement [`RESAMPLES`] times. The interval runs from the 2.5 to the 97.5 percentile of
/// the resampled means, `p = 2 min(tail)` with `tail = (c + 1) / (B + 1)`, at most 1. Unit: that of the differences,
/// which must be finite. The same differences and seed give the same answer.
pub fn paired(differences: &[f64], seed: u64) -> Option<Comparison> {
    if differences.is_empty() {
        return None;
    }
    let n = differences.len();
    let streams = 0..(RESAMPLES / PER_STREAM) as u64;
    let mut means: Vec<f64> =
        streams.into_par_iter().flat_map_iter(|stream| resampled(differences, seed, stream)).collect();
    means.sort_unstable_by(f64::total_cmp);
    let tail = |count: usize| (count + 1) as f64 / (RESAMPLES + 1) as f64;
    let not_above = means.partition_point(|mean| *mean <= 0.0);
    let not_below = RESAMPLES - means.partition_point(|mean| *mean < 0.0);
    Some(Comparison {
        n,
        mean: differences.iter().sum::<f64>() / n as f64,
        low: means[RESAMPLES / 40],
        high: means[RESAMPLES - 1 - RESAMPLES / 40],
        p: (2.0 * tail(not_above).min(tail(not_below))).min(1.0),
    })
}

/// Holm's correction for several comparisons at once: adjusted p, in the order given.
///
/// The `i`-th smallest of `m` is multiplied by `m - i + 1`, is at least the one before it and at most 1. Rejecting where
/// the adjusted p is below a level keeps the chance of any false rejection below it, however the tests depend on each
/// other. Values must be in `[0, 1]`. Source: Holm 1979.
/// ```
/// let got = train::bootstrap::holm(&[0.01, 0.04, 0.03]);
/// assert!(got.iter().zip([0.03, 0.06, 0.06]).all(|(got, want)| (got - want).abs() < 1e-12));
/// ```
pub fn holm(ps: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|a, b| ps[*a].total_cmp(&ps[*b]));
    let mut adjusted = vec![0.0; ps.len()];
    let mut before = 0.0_f64;
    for (place, test) in order.into_iter().enumerate() {
        before = before.max((ps[test] * (ps.len() - place) as f64).min(1.0));
        adjusted[test] = before;
    }
    adjusted
}

fn resampled(differences: &[f64], seed: u64, stream: u64) -> Vec<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream);
    let n = differences.len();
    let draw = |random: &mut ChaCha8Rng| {
        // High bits of a product: an even choice of `0..n` up to n / 2^32.
        let place = (u64::from(random.next_u32()) * n as u64) >> 32;
        differences[place as usize]
    };
    (0..PER_STREAM).map(|_| (0..n).map(|_| draw(&mut random)).sum::<f64>() / n as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_differences_give_the_shares_of_all_their_resamples() {
        // Of all 5^5 = 3125 resamples a share of 0.0790 has a mean of at most 0; 10,000 draws are off by 0.0027.
        let got = paired(&[0.1, 0.0, 0.2, -0.1, 0.3], 1).unwrap();
        assert!((got.mean - 0.1).abs() < 1e-12);
        assert!((got.p - 2.0 * 0.0790).abs() < 4.0 * 2.0 * 0.0027, "{got:?}");
        assert!(got.low < 0.0 && got.high > 0.2, "{got:?}");
    }

    #[test]
    fn equal_models_do_not_differ() {
        let got = paired(&[0.0; 40], 9).unwrap();
        assert_eq!((got.low, got.high, got.p), (0.0, 0.0, 1.0));
        assert_eq!(paired(&[], 9), None);
    }

    #[test]
    fn corrected_ps_never_shrink_nor_pass_one() {
        assert_eq!(holm(&[]), Vec::<f64>::new());
        assert_eq!(holm(&[0.25]), [0.25]);
        assert_eq!(holm(&[0.75, 0.125, 0.5, 0.125]), [1.0, 0.5, 1.0, 0.5]);
    }

    #[test]
    fn swapping_the_models_mirrors_the_answer() {
        let differences: Vec<f64> = (0..50).map(|i| f64::from(i % 7) - 2.5).collect();
        let negated: Vec<f64> = differences.iter().map(|d| -d).collect();
        let (one, other) = (paired(&differences, 3).unwrap(), paired(&negated, 3).unwrap());
        assert_eq!((one.mean, one.low, one.high, one.p), (-other.mean, -other.high, -other.low, other.p));
        assert!(paired(&differences, 4).unwrap() != one, "another seed draws other readers");
    }
}
