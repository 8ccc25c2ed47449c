//! Whether the canary takes longer to score than stable, from counts in buckets.
//!
//! Scoring is all that differs between the arms of one process: queue, network and neighbours are shared. So the time of
//! scoring is compared, and whole answers are only held to their bound.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bound::{log_e_above, log_e_below};

/// Upper edges of duration buckets, seconds. The platform's 0.5 s is one of them, so that "share above 0.5 s" is exact.
pub const EDGES_SECS: [f64; 22] = [
    0.0001, 0.000_15, 0.000_25, 0.0004, 0.0006, 0.001, 0.0015, 0.0025, 0.004, 0.006, 0.01, 0.015, 0.025, 0.04, 0.06,
    0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// Durations counted by bucket: at most the first edge, at most the second and so on, and above the last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durations([u64; EDGES_SECS.len() + 1]);

impl Durations {
    /// How many buckets there are.
    pub(crate) const BUCKETS: usize = EDGES_SECS.len() + 1;

    /// Counts one.
    pub fn record(&mut self, duration: Duration) {
        self.0[Self::bucket(duration)] += 1;
    }

    /// The bucket of a duration, below [`Durations::BUCKETS`].
    pub(crate) fn bucket(duration: Duration) -> usize {
        let seconds = duration.as_secs_f64();
        EDGES_SECS.partition_point(|edge| *edge < seconds)
    }

    /// The count of one bucket.
    pub(crate) fn count_mut(&mut self, bucket: usize) -> &mut u64 {
        &mut self.0[bucket]
    }

    /// All counted.
    pub fn n(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many took longer than edge number `edge`.
    pub fn above(&self, edge: usize) -> u64 {
        self.0[edge + 1..].iter().sum()
    }

    /// The counts of two together.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(&other.0) {
            *count += more;
        }
    }

    /// Edges between which the quantile lies at every look at once with chance at least `1 - alpha`, seconds; `None` where a
    /// side is not known yet.
    ///
    /// The upper one is the first edge at which "at least `1 - quantile` take longer" is rejected at `alpha / 2`, the lower one
    /// the last at which "at most so many take longer" is. Of the edges on the wrong side of the true quantile the nearest
    /// one is the easiest to reject, counts above an edge falling with the edge, so no correction for many edges is
    /// needed.
    pub fn quantile(&self, quantile: f64, alpha: f64) -> (Option<f64>, Option<f64>) {
        let (n, tail, needed) = (self.n(), 1.0 - quantile, (2.0 / alpha).ln());
        let edges = 0..EDGES_SECS.len();
        let low = edges.clone().rev().find(|edge| log_e_above(self.above(*edge), n, tail) >= needed);
        let high = edges.clone().find(|edge| log_e_below(self.above(*edge), n, tail) >= needed);
        (low.map(|edge| EDGES_SECS[edge]), high.map(|edge| EDGES_SECS[edge]))
    }
}

/// Log of the e-value against "the canary's quantile is at most stable's plus `tolerance_secs`".
///
/// For an edge `i` let `S_i` be the e-value against "stable's quantile is above edge `i`" and `C_i` that against "the
/// canary's is at most edge `j`", `j` the first edge at or above edge `i` plus the tolerance. The result is
/// `ln(max over i of min(S_i, C_i) / 2)`, at most 0 without data.
///
/// It is below a true e-value: let `k` be the last edge below stable's true quantile. Up to `k`, `S_i <= S_k`, as more
/// of stable's durations are above a lower edge; beyond `k`, `C_i <= C_(k+1)` for the same reason. So the maximum is at most
/// `S_k + C_(k+1)`, and under the null both of these are e-values, of which half the sum is one.
///
/// Both histograms count every reader once; `quantile` is in `(0, 1)`.
pub fn log_e_slower(stable: &Durations, canary: &Durations, quantile: f64, tolerance_secs: f64) -> f64 {
    let tail = 1.0 - quantile;
    let (n_s, n_c) = (stable.n(), canary.n());
    let at = |edge: usize| {
        let raised = EDGES_SECS[edge] + tolerance_secs;
        let beyond = EDGES_SECS.partition_point(|other| *other < raised);
        let slower = (beyond < EDGES_SECS.len()).then(|| log_e_above(canary.above(beyond), n_c, tail))?;
        Some(slower.min(log_e_below(stable.above(edge), n_s, tail)))
    };
    let most = (0..EDGES_SECS.len()).filter_map(at).fold(f64::NEG_INFINITY, f64::max);
    most - std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n` durations, all of so many milliseconds.
    fn all(n: u64, ms: u64) -> Durations {
        let mut durations = Durations::default();
        (0..n).for_each(|_| durations.record(Duration::from_millis(ms)));
        durations
    }

    #[test]
    fn an_edge_belongs_to_the_bucket_below_it() {
        let mut durations = all(1, 500);
        durations.record(Duration::from_millis(501));
        let half_second = EDGES_SECS.iter().position(|edge| *edge >= 0.5).unwrap();
        assert_eq!((durations.above(half_second), durations.above(half_second - 1), durations.n()), (1, 2, 2));
    }

    #[test]
    fn a_quantile_is_bracketed_once_there_is_enough_data() {
        assert_eq!(all(0, 2).quantile(0.95, 0.05), (None, None));
        assert_eq!(
            all(3, 2).quantile(0.95, 0.05),
            (Some(0.0015), None),
            "three above 1.5 ms are more than a twentieth"
        );
        // 2 ms lies in the bucket from 1.5 to 2.5 ms.
        assert_eq!(all(200, 2).quantile(0.95, 0.05), (Some(0.0015), Some(0.0025)));
    }

    #[test]
    fn slower_by_more_than_the_tolerance_is_shown_and_by_less_is_not() {
        let stable = all(400, 2);
        let e = |canary: &Durations| log_e_slower(&stable, canary, 0.95, 0.001);
        assert!(e(&all(20, 7)) > 100f64.ln(), "{}", e(&all(20, 7)));
        // 3 ms is above 2.5 ms, but 2.5 ms plus the tolerance is 4 ms by the edges.
        assert!(e(&all(400, 3)) < 0.0);
        assert!(e(&all(400, 2)) < 0.0);
        assert!(e(&all(0, 2)) < 0.0);
        assert!(log_e_slower(&all(0, 2), &all(400, 700), 0.95, 0.001) < 0.0, "slower than nothing is not slower");
    }
}
