//! What every test of this crate answers with, whatever it compared.
//!
//! One shape for all of them, so that the decision on top needs no knowledge of how a number came about: a test
//! says how surprising the difference is (`p`), how large it is (`effect`), and how large pure chance makes it
//! (`floor`). The tests themselves are one file each.

use serde::{Deserialize, Serialize};

pub mod bins;
pub mod categories;
pub mod chi_squared;
pub mod classifier;
pub mod fisher;
pub mod holm;
pub mod jensen_shannon;
pub mod ks;
pub mod psi;
pub mod sample;
pub mod two_proportions;
pub mod wasserstein;

/// How a p-value, or a number without one, was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Two-sample Kolmogorov-Smirnov, exact law.
    KsExact,
    /// Two-sample Kolmogorov-Smirnov, limit law.
    KsLimit,
    /// Kolmogorov-Smirnov distance, p from chi-square over bins at the reference's quantiles: the samples are tied.
    KsBinned,
    /// Chi-square test of homogeneity.
    ChiSquared,
    /// Fisher's exact test of a 2 x 2 table.
    Fisher,
    /// Difference of two shares, normal law.
    TwoProportions,
    /// Population stability index; display only.
    Psi,
    /// Normalised first Wasserstein distance; display only.
    Wasserstein,
    /// Held-out area under the curve of a classifier that tells the two sides apart.
    Classifier,
}

impl Method {
    /// The method in words an on-call engineer knows.
    pub fn words(self) -> &'static str {
        match self {
            Self::KsExact => "KS exact",
            Self::KsLimit => "KS limit",
            Self::KsBinned => "KS, binned p",
            Self::ChiSquared => "chi-square",
            Self::Fisher => "Fisher exact",
            Self::TwoProportions => "two shares",
            Self::Psi => "PSI",
            Self::Wasserstein => "Wasserstein",
            Self::Classifier => "classifier",
        }
    }
}

/// Whether a comparison can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Tested.
    Ok,
    /// Too little data on one side; nothing was tested and `p` is absent.
    Insufficient,
    /// Nothing varies on either side and both agree; `p` is 1 and the effect 0.
    Degenerate,
}

/// The answer of one test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// How.
    pub method: Method,
    /// The statistic in the method's own unit (KS distance, chi-square, z, AUC, ...).
    pub statistic: f64,
    /// Values on the reference side.
    pub m: u64,
    /// Values on the current side.
    pub n: u64,
    /// Chance of a difference at least as large when nothing changed, in `[0, 1]`; absent when not tested.
    pub p: Option<f64>,
    /// Size of the difference, `>= 0`; 0 when there is none.
    pub effect: f64,
    /// The effect that chance alone exceeds in about 3 of 1000 windows of these sizes.
    pub floor: f64,
    /// 95 % interval of the signed difference, where the method has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// Whether to believe it.
    pub status: Status,
}

impl Comparison {
    /// Nothing could be tested.
    pub fn insufficient(method: Method, m: u64, n: u64) -> Self {
        Self {
            method,
            statistic: 0.0,
            m,
            n,
            p: None,
            effect: 0.0,
            floor: 0.0,
            interval: None,
            status: Status::Insufficient,
        }
    }

    /// Both sides are the same single value: no difference, certainly.
    pub fn degenerate(method: Method, m: u64, n: u64) -> Self {
        Self { p: Some(1.0), status: Status::Degenerate, ..Self::insufficient(method, m, n) }
    }
}

/// The level of every noise floor: chance exceeds it in 3 of 1000 windows.
pub const FLOOR_LEVEL: f64 = 0.003;

/// `1/m + 1/n`, the variance factor of a difference of two means.
pub(crate) fn inverse_sizes(m: u64, n: u64) -> f64 {
    1.0 / m as f64 + 1.0 / n as f64
}

/// A p-value pushed back into `[0, 1]` after rounding.
pub(crate) fn probability(p: f64) -> f64 {
    p.clamp(0.0, 1.0)
}

/// The point a standard normal exceeds with probability `upper`, in `(0, 0.5]`.
pub(crate) fn normal_point(upper: f64) -> f64 {
    use statrs::distribution::{ContinuousCDF, Normal};
    -Normal::standard().inverse_cdf(upper)
}

/// `P(Z >= z)` of a standard normal, from the upper tail itself.
pub(crate) fn normal_tail(z: f64) -> f64 {
    use statrs::distribution::{ContinuousCDF, Normal};
    Normal::standard().sf(z)
}
