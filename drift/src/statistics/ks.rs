//! Two-sample Kolmogorov-Smirnov: the largest gap between two empirical distributions, and how surprising it is.
//!
//! The gap is kept as an integer until the very end, so that the exact laws never depend on a rounding.

use super::{
    Comparison, FLOOR_LEVEL, Method, Status, bins, chi_squared, inverse_sizes, probability,
    sample::{Sample, for_each_distinct},
};

/// Above this share of tied values the continuous law is too cautious, and bins take over.
pub const MAX_TIED_SHARE: f64 = 0.2;

/// The exact law is used up to this many values on the larger side.
const EXACT_MAX_SIDE: u64 = 10_000;

/// The exact law is used up to this many lattice points.
const EXACT_MAX_CELLS: u64 = 100_000_000;

/// The largest distance between the empirical distributions of two samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gap {
    /// `max |i n - j m|` over the merged samples, `i` and `j` counting values passed; an integer.
    pub h: u64,
    /// Values on the reference side.
    pub m: u64,
    /// Values on the current side.
    pub n: u64,
    /// Share of all values that have an equal among them, in `[0, 1]`.
    pub tied_share: f64,
}

impl Gap {
    /// Measures. Empty samples give a gap of zero.
    pub fn between(reference: &Sample, current: &Sample) -> Self {
        let (m, n) = (reference.len() as u64, current.len() as u64);
        let (mut i, mut j, mut h, mut tied) = (0, 0, 0, 0);
        for_each_distinct(reference, current, |_, in_reference, in_current| {
            i += in_reference;
            j += in_current;
            h = h.max((i * n).abs_diff(j * m));
            if in_reference + in_current > 1 {
                tied += in_reference + in_current;
            }
        });
        Self { h, m, n, tied_share: tied as f64 / (m + n).max(1) as f64 }
    }

    /// `D = h / (m n)`, in `[0, 1]`; 0 when a side is empty.
    pub fn distance(&self) -> f64 {
        if self.m == 0 || self.n == 0 { 0.0 } else { self.h as f64 / (self.m as f64 * self.n as f64) }
    }

    /// Chance of a gap at least this large when both samples come from one continuous distribution, exactly.
    ///
    /// For `m == n` a closed form in `O(n)`; otherwise the chance that a random lattice path from `(0, 0)` to
    /// `(m, n)` ever leaves the band `|i n - j m| < h`, summed over the points inside it. Chances are carried, not
    /// path counts, and only the chance of *leaving* is summed, so nothing overflows and small results keep their
    /// digits. Conservative where values are tied. Source: Massey 1951 (the recursion), Hodges 1958.
    ///
    /// `x = 1 2 4 7 9`, `y = 3 5 6 8 10 11`: 273 of the 462 paths leave, 0.590909.
    pub fn exact_p(&self) -> f64 {
        if self.h == 0 {
            1.0
        } else if self.m == self.n {
            exact_equal_sizes(self.n, self.h / self.n)
        } else {
            exact_lattice(self.m.max(self.n), self.m.min(self.n), self.h)
        }
    }

    /// The same chance in the limit of large samples: [`limit_p`] at `D sqrt(mn / (m + n))`.
    pub fn limit_p(&self) -> f64 {
        let (m, n) = (self.m as f64, self.n as f64);
        limit_p(self.distance() * (m * n / (m + n)).sqrt())
    }

    fn exact_is_affordable(&self) -> bool {
        self.m.max(self.n) <= EXACT_MAX_SIDE && self.m * self.n <= EXACT_MAX_CELLS
    }
}

/// Compares two samples of one number.
///
/// Statistic and effect are the distance `D` in `[0, 1]`. `p` is two-sided: exact where affordable, else the limit
/// law. When more than [`MAX_TIED_SHARE`] of all values have an equal, `p` comes from a chi-square test over bins at
/// the reference's quantiles ([`Method::KsBinned`]); the distance stays the effect. Floor: `sqrt(ln(2 / 0.003) / 2 *
/// (1/m + 1/n))`, the gap that the limit law exceeds with chance 0.003.
///
/// `Insufficient` when a side is empty, `Degenerate` when all values of both sides are one value.
pub fn two_sample(reference: &Sample, current: &Sample) -> Comparison {
    let gap = Gap::between(reference, current);
    if gap.m == 0 || gap.n == 0 {
        return Comparison::insufficient(Method::KsExact, gap.m, gap.n);
    }
    let constant = gap.h == 0 && reference.values()[0] >= reference.values()[reference.len() - 1];
    if constant {
        return Comparison::degenerate(Method::KsExact, gap.m, gap.n);
    }
    let (method, p) = if gap.tied_share > MAX_TIED_SHARE {
        let (reference, current) = bins::count(reference, current);
        (Method::KsBinned, chi_squared::homogeneity(&reference, &current).p.unwrap_or(1.0))
    } else if gap.exact_is_affordable() {
        (Method::KsExact, gap.exact_p())
    } else {
        (Method::KsLimit, gap.limit_p())
    };
    Comparison {
        method,
        statistic: gap.distance(),
        m: gap.m,
        n: gap.n,
        p: Some(probability(p)),
        effect: gap.distance(),
        floor: ((2.0 / FLOOR_LEVEL).ln() / 2.0 * inverse_sizes(gap.m, gap.n)).sqrt(),
        interval: None,
        status: Status::Ok,
    }
}

/// Kolmogorov's limit law: `P(sqrt(mn/N) D >= lambda)`, in `[0, 1]`; 1 for `lambda <= 0`.
///
/// `2 sum (-1)^(i-1) exp(-2 i^2 lambda^2)`, and below 1.18, where that series cancels, the dual
/// `1 - sqrt(2 pi) / lambda * sum exp(-(2i-1)^2 pi^2 / (8 lambda^2))`.
///
/// ```
/// assert!((drift::ks::limit_p(1.401_298) - 0.039_394_3).abs() < 1e-6);
/// ```
pub fn limit_p(lambda: f64) -> f64 {
    if lambda <= 0.0 {
        return 1.0;
    }
    if lambda < 1.18 {
        let exponent = -(std::f64::consts::PI / lambda).powi(2) / 8.0;
        let sum: f64 = (1..=20).map(|i| (exponent * f64::from(2 * i - 1).powi(2)).exp()).sum();
        probability(1.0 - std::f64::consts::TAU.sqrt() / lambda * sum)
    } else {
        let term = |i: i32| (-2.0 * f64::from(i * i) * lambda * lambda).exp();
        probability(2.0 * (1..=10).rev().map(|i| if i % 2 == 1 { term(i) } else { -term(i) }).sum::<f64>())
    }
}

/// Reflection principle as one nested product, innermost first; `gap` is `D n`, an integer from 1 to `n`.
fn exact_equal_sizes(n: u64, gap: u64) -> f64 {
    let mut p = 0.0;
    for r in (0..=n / gap).rev() {
        let mut ratio = 1.0;
        for j in 0..gap {
            ratio *= (n - r * gap).saturating_sub(j) as f64 / (n + r * gap + j + 1) as f64;
        }
        p = ratio * (1.0 - p);
    }
    2.0 * p
}

/// Chance that a path leaves the band, by rows of the lattice; `m >= n >= 1`, `h >= 1`.
fn exact_lattice(m: u64, n: u64, h: u64) -> f64 {
    // left[j]: chance that a random path to (i, j) has been outside the band, 1 for points outside themselves.
    let mut left = vec![1.0_f64; n as usize + 1];
    let mut first_before = 0;
    for i in 0..=m {
        // Points inside the band: i n - h < j m < i n + h.
        let first = if i * n < h { 0 } else { (i * n - h) / m + 1 };
        let last = ((i * n + h - 1) / m).min(n);
        for j in first_before..first.min(n + 1) {
            left[j as usize] = 1.0;
        }
        first_before = first;
        for j in first..=last {
            let at = j as usize;
            left[at] = if i + j == 0 {
                0.0
            } else {
                let from_below = if j == 0 { 0.0 } else { j as f64 * left[at - 1] };
                let from_left = if i == 0 { 0.0 } else { i as f64 * left[at] };
                (from_left + from_below) / (i + j) as f64
            };
        }
    }
    left[n as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(values: &[f64]) -> Sample {
        Sample::new(values.to_vec()).unwrap()
    }

    fn close(got: f64, want: f64, tolerance: f64) {
        assert!((got - want).abs() <= tolerance, "got {got}, want {want}");
    }

    #[test]
    fn five_against_six_is_counted_path_by_path() {
        let got = two_sample(&sample(&[1.0, 2.0, 4.0, 7.0, 9.0]), &sample(&[3.0, 5.0, 6.0, 8.0, 10.0, 11.0]));
        assert_eq!(got.method, Method::KsExact);
        close(got.statistic, 13.0 / 30.0, 1e-15);
        close(got.p.unwrap(), 273.0 / 462.0, 1e-14);
        let gap = Gap { h: 13, m: 5, n: 6, tied_share: 0.0 };
        close(gap.limit_p(), 0.68509, 5e-6);
    }

    #[test]
    fn ten_against_ten_at_six_tenths() {
        close(Gap { h: 60, m: 10, n: 10, tied_share: 0.0 }.exact_p(), 0.052_447_6, 5e-8);
    }

    #[test]
    fn both_exact_laws_agree_on_equal_sizes() {
        for (n, gap) in [(1, 1), (4, 4), (10, 6), (25, 7), (300, 41), (300, 140)] {
            let (closed, counted) = (exact_equal_sizes(n, gap), exact_lattice(n, n, gap * n));
            assert!((closed - counted).abs() <= 1e-10 * counted, "n={n} gap={gap}: {closed} {counted}");
        }
    }

    #[test]
    fn large_samples_use_the_limit_law() {
        close(Gap { h: 72_000, m: 1000, n: 1200, tied_share: 0.0 }.limit_p(), 0.039_394_3, 5e-8);
        // The exact law of the same gap is a little below its limit.
        let exact = Gap { h: 72_000, m: 1000, n: 1200, tied_share: 0.0 }.exact_p();
        assert!(exact < 0.039_394_3 && exact > 0.036, "{exact}");
    }

    #[test]
    fn the_two_series_of_the_limit_law_meet() {
        close(limit_p(1.18 - 1e-9), limit_p(1.18), 1e-8);
        close(limit_p(1.3581), 0.05, 1e-5);
        close(limit_p(0.05), 1.0, 0.0);
    }

    #[test]
    fn separated_samples_leave_two_paths() {
        // 3 against 2, nothing shared: only 2 of the 10 orders are as extreme.
        let got = two_sample(&sample(&[1.0, 2.0, 3.0]), &sample(&[7.0, 8.0]));
        close(got.p.unwrap(), 0.2, 1e-15);
    }

    #[test]
    fn heavy_ties_are_judged_in_bins() {
        let ones_and_twos = |ones: usize, twos: usize| sample(&[vec![1.0; ones], vec![2.0; twos]].concat());
        let got = two_sample(&ones_and_twos(90, 10), &ones_and_twos(80, 20));
        assert_eq!(got.method, Method::KsBinned);
        close(got.effect, 0.1, 1e-15);
        close(got.p.unwrap(), 0.047_670_4, 5e-8); // The 2 x 2 chi-square of the same counts.
    }

    #[test]
    fn one_constant_is_no_drift_and_two_constants_are() {
        let same = two_sample(&sample(&[3.0; 20]), &sample(&[3.0; 30]));
        assert_eq!((same.status, same.p, same.effect), (Status::Degenerate, Some(1.0), 0.0));
        let moved = two_sample(&sample(&[3.0; 20]), &sample(&[4.0; 30]));
        assert!(moved.p.unwrap() < 1e-10 && moved.effect > 0.999);
    }

    #[test]
    fn an_empty_side_is_not_judged() {
        let got = two_sample(&sample(&[]), &sample(&[1.0]));
        assert_eq!((got.status, got.p), (Status::Insufficient, None));
    }
}
