//! One test of many numbers at once: can a simple classifier tell the reference's readers from the current ones?
//!
//! It sees combinations that no single feature shows. Readers are split, not rows: a reader who is in both windows
//! would otherwise be learned in one half and recognised in the other.

use linfa::{DatasetBase, traits::Fit};
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};

use super::{Comparison, FLOOR_LEVEL, Method, Status, normal_point, normal_tail, probability};
use crate::hash;

/// Numbers per reader.
pub const N_COLUMNS: usize = 4;

/// One reader's numbers in one window.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ReaderRow {
    /// Stable hash of the reader; decides the half.
    pub reader: u64,
    /// The numbers, finite, shape `(N_COLUMNS,)`.
    pub values: [f64; N_COLUMNS],
}

/// The answer of the classifier, and the number it leant on most.
#[derive(Debug, Clone, PartialEq)]
pub struct Separation {
    /// Statistic: held-out area under the curve, in `[0, 1]`; effect `max(0, 2 AUC - 1)`.
    pub comparison: Comparison,
    /// Column with the largest absolute standardised coefficient, and that coefficient (positive: larger now).
    pub strongest: Option<(usize, f64)>,
}

/// Fewest readers a side needs in each half.
const MIN_PER_HALF: usize = 50;

/// Learns on one half of the readers, tests on the other.
///
/// Logistic regression (L2 penalty 1, columns standardised by the learning half). Halves by the reader's hash, so the
/// answer is the same wherever it is computed. `p`: one-sided, Mann-Whitney with mid-ranks, `z = (AUC - 1/2) /
/// sqrt((N + 1) / (12 m n))`, `m` and `n` counted in the tested half. Floor: the effect chance exceeds with 0.003.
///
/// `Insufficient` under 50 readers a side and half or when no fit exists; `Degenerate` when no column varies.
///
/// Source: Lopez-Paz and Oquab 2017, with a single held-out half.
pub fn compare(reference: &[ReaderRow], current: &[ReaderRow]) -> Separation {
    let half = |rows: &[ReaderRow], tested: bool| -> Vec<[f64; N_COLUMNS]> {
        let mut rows: Vec<&ReaderRow> = rows.iter().filter(|row| (hash::mix(row.reader) & 1 == 1) == tested).collect();
        rows.sort_by(|a, b| a.reader.cmp(&b.reader).then_with(|| compare_rows(&a.values, &b.values)));
        rows.into_iter().map(|row| row.values).collect()
    };
    let (learn_before, learn_now) = (half(reference, false), half(current, false));
    let (test_before, test_now) = (half(reference, true), half(current, true));
    let (m, n) = (test_before.len() as u64, test_now.len() as u64);
    let none = |comparison| Separation { comparison, strongest: None };
    if [&learn_before, &learn_now, &test_before, &test_now].iter().any(|half| half.len() < MIN_PER_HALF) {
        return none(Comparison::insufficient(Method::Classifier, m, n));
    }
    let Some(scale) = Scale::of(&learn_before.iter().chain(&learn_now)) else {
        return none(Comparison::degenerate(Method::Classifier, m, n));
    };
    let Some(weights) = fit(&scale, &learn_before, &learn_now) else {
        return none(Comparison::insufficient(Method::Classifier, m, n));
    };
    let score = |rows: &[[f64; N_COLUMNS]]| -> Vec<f64> {
        rows.iter().map(|row| scale.apply(row).iter().zip(&weights).map(|(x, w)| x * w).sum()).collect()
    };
    let auc = area_under_curve(&score(&test_before), &score(&test_now));
    let deviation = ((m + n + 1) as f64 / (12.0 * m as f64 * n as f64)).sqrt();
    let strongest = (0..N_COLUMNS).rev().max_by(|a, b| weights[*a].abs().total_cmp(&weights[*b].abs()));
    Separation {
        comparison: Comparison {
            method: Method::Classifier,
            statistic: auc,
            m,
            n,
            p: Some(probability(normal_tail((auc - 0.5) / deviation))),
            effect: (2.0 * auc - 1.0).max(0.0),
            floor: 2.0 * normal_point(FLOOR_LEVEL) * deviation,
            interval: None,
            status: Status::Ok,
        },
        strongest: strongest.map(|column| (column, weights[column])),
    }
}

fn compare_rows(a: &[f64; N_COLUMNS], b: &[f64; N_COLUMNS]) -> std::cmp::Ordering {
    a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
}

/// Mean and deviation per column; a column without spread is switched off.
struct Scale {
    mean: [f64; N_COLUMNS],
    per_unit: [f64; N_COLUMNS],
}

impl Scale {
    fn of<'a>(rows: &(impl Iterator<Item = &'a [f64; N_COLUMNS]> + Clone)) -> Option<Self> {
        let n = rows.clone().count() as f64;
        let mut scale = Self { mean: [0.0; N_COLUMNS], per_unit: [0.0; N_COLUMNS] };
        for column in 0..N_COLUMNS {
            let mean = rows.clone().map(|row| row[column]).sum::<f64>() / n;
            let variance = rows.clone().map(|row| (row[column] - mean).powi(2)).sum::<f64>() / n;
            scale.mean[column] = mean;
            if variance.sqrt() > 1e-9 * mean.abs().max(1e-9) {
                scale.per_unit[column] = 1.0 / variance.sqrt();
            }
        }
        scale.per_unit.iter().any(|unit| *unit > 0.0).then_some(scale)
    }

    fn apply(&self, row: &[f64; N_COLUMNS]) -> [f64; N_COLUMNS] {
        std::array::from_fn(|column| (row[column] - self.mean[column]) * self.per_unit[column])
    }
}

/// Weights whose larger scores mean "current"; `None` when the optimiser gives up.
fn fit(scale: &Scale, before: &[[f64; N_COLUMNS]], now: &[[f64; N_COLUMNS]]) -> Option<[f64; N_COLUMNS]> {
    let flat: Vec<f64> = before.iter().chain(now).flat_map(|row| scale.apply(row)).collect();
    let n_rows = before.len() + now.len();
    let records = Array2::from_shape_vec((n_rows, N_COLUMNS), flat).expect("every row has N_COLUMNS numbers");
    let is_current = Array1::from_iter((0..n_rows).map(|row| row >= before.len()));
    let model = LogisticRegression::default().alpha(1.0).fit(&DatasetBase::new(records, is_current)).ok()?;
    // The library calls the more frequent class positive; turn the weights so that positive means current.
    let sign = if model.labels().pos.class { 1.0 } else { -1.0 };
    let weights: [f64; N_COLUMNS] = std::array::from_fn(|column| sign * model.params()[column]);
    weights.iter().all(|weight| weight.is_finite()).then_some(weights)
}

/// Chance that a current score exceeds a reference score, ties counted half: Mann-Whitney `U / (m n)`.
///
/// ```
/// assert_eq!(drift::classifier::area_under_curve(&[1.0, 2.0], &[2.0, 3.0]), 3.5 / 4.0);
/// ```
pub fn area_under_curve(reference: &[f64], current: &[f64]) -> f64 {
    let mut pooled: Vec<(f64, bool)> =
        reference.iter().map(|x| (*x, false)).chain(current.iter().map(|y| (*y, true))).collect();
    pooled.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut passed, mut wins) = (0_u64, 0.0);
    for tied in pooled.chunk_by(|a, b| a.0 >= b.0) {
        let in_current = tied.iter().filter(|(_, is_current)| *is_current).count() as u64;
        let in_reference = tied.len() as u64 - in_current;
        wins += in_current as f64 * (passed as f64 + in_reference as f64 / 2.0);
        passed += in_reference;
    }
    wins / (reference.len() as f64 * current.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 400 readers; the second number is `shift` plus a sawtooth, the others do not tell.
    fn rows(from: u64, shift: f64) -> Vec<ReaderRow> {
        (from..from + 400)
            .map(|reader| {
                let saw = (reader % 7) as f64;
                ReaderRow { reader, values: [(reader % 5) as f64, saw + shift, 1.0, (reader % 2) as f64] }
            })
            .collect()
    }

    #[test]
    fn the_number_that_moved_is_named() {
        let got = compare(&rows(0, 0.0), &rows(1000, 4.0));
        assert_eq!(got.strongest.map(|(column, weight)| (column, weight > 0.0)), Some((1, true)));
        assert!(got.comparison.effect > 0.6 && got.comparison.p.unwrap() < 1e-9, "{got:?}");
    }

    #[test]
    fn a_window_against_itself_shows_nothing() {
        let got = compare(&rows(0, 0.0), &rows(0, 0.0)).comparison;
        assert!((got.statistic - 0.5).abs() < 1e-9 && got.effect < got.floor);
    }

    #[test]
    fn order_of_the_readers_changes_no_bit() {
        let mut back = rows(1000, 1.0);
        back.reverse();
        assert_eq!(compare(&rows(0, 0.0), &back), compare(&rows(0, 0.0), &rows(1000, 1.0)));
    }

    #[test]
    fn few_readers_are_not_judged() {
        assert_eq!(compare(&rows(0, 0.0)[..90], &rows(0, 0.0)).comparison.status, Status::Insufficient);
    }

    #[test]
    fn an_area_of_58_percent_in_two_hundred_each_is_p_0_0028() {
        let z = (0.58 - 0.5) / (401.0 / (12.0 * 200.0 * 200.0_f64)).sqrt();
        assert!((normal_tail(z) - 0.002_821_6).abs() < 5e-8);
    }
}
