//! Two shares: did a larger or smaller part of the readers do it than before?

use serde::{Deserialize, Serialize};

use super::{Comparison, FLOOR_LEVEL, Method, Status, fisher, inverse_sizes, normal_point, normal_tail, probability};

/// How many of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Share {
    /// Those that did.
    pub hits: u64,
    /// All.
    pub of: u64,
}

impl Share {
    /// Counts one more.
    pub fn count(&mut self, hit: bool) {
        self.hits += u64::from(hit);
        self.of += 1;
    }

    /// `hits / of`, in `[0, 1]`; `None` of nothing.
    pub fn value(self) -> Option<f64> {
        (self.of > 0).then(|| self.hits as f64 / self.of as f64)
    }

    /// Both counted together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { hits: self.hits + other.hits, of: self.of + other.of }
    }

    fn wilson(self) -> [f64; 2] {
        let (n, p) = (self.of as f64, self.hits as f64 / self.of as f64);
        let z = normal_point(0.025);
        let centre = p + z * z / (2.0 * n);
        let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z * z / n;
        [((centre - half) / scale).max(0.0), ((centre + half) / scale).min(1.0)]
    }
}

/// Which change counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A change in either direction.
    Both,
    /// Only a larger current share; a smaller one is no difference.
    Rise,
}

/// Compares two shares.
///
/// Statistic `z = (q - p) / sqrt(P (1 - P) (1/m + 1/n))` with `P` pooled; `p` from the normal law, or from Fisher's
/// exact test when an expected cell is below 5. Effect `|q - p|` (or `max(0, q - p)` for [`Side::Rise`]); floor: the
/// difference chance exceeds with 0.003; interval: Newcombe's, from Wilson's two, at 95 %.
///
/// `Insufficient` when a side is empty, `Degenerate` when everybody or nobody did on both sides.
///
/// ```
/// use drift::two_proportions::{Share, Side, compare};
/// let got = compare(Share { hits: 10, of: 100 }, Share { hits: 20, of: 100 }, Side::Both);
/// assert!((got.statistic - 1.980_295).abs() < 1e-6 && (got.p.unwrap() - 0.047_670_4).abs() < 1e-7);
/// ```
pub fn compare(reference: Share, current: Share, side: Side) -> Comparison {
    let (Some(p), Some(q)) = (reference.value(), current.value()) else {
        return Comparison::insufficient(Method::TwoProportions, reference.of, current.of);
    };
    let pooled = reference.plus(current);
    if pooled.hits == 0 || pooled.hits == pooled.of {
        return Comparison::degenerate(Method::TwoProportions, reference.of, current.of);
    }
    let share = pooled.hits as f64 / pooled.of as f64;
    let deviation = (share * (1.0 - share) * inverse_sizes(reference.of, current.of)).sqrt();
    let z = (q - p) / deviation;
    let least_expected = reference.of.min(current.of) as f64 * share.min(1.0 - share);
    let (method, chance) = if least_expected < 5.0 {
        let tails = fisher::Tails::of(reference.hits, reference.of, current.hits, current.of);
        (Method::Fisher, if side == Side::Both { tails.two_sided } else { tails.more })
    } else {
        (Method::TwoProportions, if side == Side::Both { 2.0 * normal_tail(z.abs()) } else { normal_tail(z) })
    };
    let (effect, floor_level) = match side {
        Side::Both => ((q - p).abs(), FLOOR_LEVEL / 2.0),
        Side::Rise => ((q - p).max(0.0), FLOOR_LEVEL),
    };
    let ([p_low, p_high], [q_low, q_high]) = (reference.wilson(), current.wilson());
    Comparison {
        method,
        statistic: z,
        m: reference.of,
        n: current.of,
        p: Some(probability(chance)),
        effect,
        floor: normal_point(floor_level) * deviation,
        interval: Some([(q - p) - (q - q_low).hypot(p_high - p), (q - p) + (q_high - q).hypot(p - p_low)]),
        status: Status::Ok,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(hits: u64, of: u64) -> Share {
        Share { hits, of }
    }

    #[test]
    fn the_square_of_z_is_the_chi_square_of_the_table() {
        let z = compare(share(10, 100), share(20, 100), Side::Both);
        assert!((z.statistic.powi(2) - 3.921_568_6).abs() < 5e-8);
        let [low, high] = z.interval.unwrap();
        assert!(low < 0.1 && 0.1 < high && low > -0.01 && high < 0.21, "{low} {high}");
    }

    #[test]
    fn rare_hits_are_counted_exactly() {
        let got = compare(share(2, 10), share(7, 10), Side::Rise);
        assert_eq!(got.method, Method::Fisher);
        assert!((got.p.unwrap() - 0.034_889_3).abs() < 5e-8);
    }

    #[test]
    fn a_fall_is_no_rise() {
        let got = compare(share(300, 1000), share(100, 1000), Side::Rise);
        assert!(got.effect.abs() < 1e-15 && got.p.unwrap() > 0.999);
    }

    #[test]
    fn nobody_on_both_sides_is_no_drift() {
        let got = compare(share(0, 10), share(0, 7), Side::Both);
        assert_eq!((got.status, got.p, got.effect), (Status::Degenerate, Some(1.0), 0.0));
        assert_eq!(compare(share(0, 0), share(1, 7), Side::Both).status, Status::Insufficient);
    }
}
