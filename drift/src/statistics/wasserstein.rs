//! First Wasserstein distance in units of the reference's spread: how far, on average, a value had to move. For
//! display beside a test; it has no exact law of its own.

use super::{
    Comparison, FLOOR_LEVEL, Method, Status, inverse_sizes, normal_point,
    sample::{Sample, for_each_distinct},
};

/// `integral |F - G| dt` divided by the reference's population standard deviation.
///
/// Statistic: the distance in the values' own unit, `>= 0`. Effect: that over the standard deviation, which counts as
/// at least `max(1e-9, 0.001 |median|)`. Floor: a cautious bound on the effect under no change, `2.97 sqrt(1/m + 1/n)
/// integral sqrt(H (1 - H)) dt` in the same unit with `H` the pooled distribution (all gaps large at once). No
/// p-value. `Insufficient` when a side is empty, `Degenerate` when all values are one.
///
/// Source: Vallender 1974.
pub fn compare(reference: &Sample, current: &Sample) -> Comparison {
    let (m, n) = (reference.len() as u64, current.len() as u64);
    let (Some(median), Some(deviation)) = (reference.median(), reference.standard_deviation()) else {
        return Comparison::insufficient(Method::Wasserstein, m, n);
    };
    if n == 0 {
        return Comparison::insufficient(Method::Wasserstein, m, n);
    }
    let (mut f, mut g, mut distance, mut spread) = (0, 0, 0.0, 0.0);
    let mut before: Option<f64> = None;
    for_each_distinct(reference, current, |value, in_reference, in_current| {
        if let Some(before) = before {
            let (f, g) = (f as f64 / m as f64, g as f64 / n as f64);
            let pooled = (f * m as f64 + g * n as f64) / (m + n) as f64;
            distance += (f - g).abs() * (value - before);
            spread += (pooled * (1.0 - pooled)).max(0.0).sqrt() * (value - before);
        }
        f += in_reference;
        g += in_current;
        before = Some(value);
    });
    if spread <= 0.0 {
        return Comparison { p: None, ..Comparison::degenerate(Method::Wasserstein, m, n) };
    }
    let unit = deviation.max(1e-9).max(1e-3 * median.abs());
    Comparison {
        method: Method::Wasserstein,
        statistic: distance,
        m,
        n,
        p: None,
        effect: distance / unit,
        floor: normal_point(FLOOR_LEVEL / 2.0) * inverse_sizes(m, n).sqrt() * spread / unit,
        interval: None,
        status: Status::Ok,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_against_six_by_hand() {
        let x = Sample::new(vec![1.0, 2.0, 4.0, 7.0, 9.0]).unwrap();
        let y = Sample::new(vec![3.0, 5.0, 6.0, 8.0, 10.0, 11.0]).unwrap();
        let got = compare(&x, &y);
        assert!((got.statistic - 2.566_666_7).abs() < 5e-8, "{}", got.statistic);
        assert!((got.effect - 2.566_666_7 / 3.006_659_3).abs() < 5e-8, "{}", got.effect);
    }

    #[test]
    fn a_shift_of_everything_is_the_shift() {
        let x = Sample::new(vec![0.0, 2.0]).unwrap();
        let y = Sample::new(vec![3.0, 5.0]).unwrap();
        assert!((compare(&x, &y).effect - 3.0).abs() < 1e-12);
    }

    #[test]
    fn one_constant_is_no_drift() {
        let x = Sample::new(vec![4.0; 9]).unwrap();
        let got = compare(&x, &x);
        assert_eq!((got.status, got.effect), (Status::Degenerate, 0.0));
    }
}
