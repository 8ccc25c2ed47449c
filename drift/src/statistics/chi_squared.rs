//! Chi-square test of homogeneity: were two tables of counts drawn from the same shares?
//!
//! Both rows are samples. The one-sample form, which takes the reference's shares for the truth, calls drift on one
//! window in five that has none.

use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::{Comparison, FLOOR_LEVEL, Method, Status, fisher, probability};

/// Most columns a test looks at; the rest, by pooled total, are taken together.
pub const MAX_COLUMNS: usize = 200;

/// `P(X >= x)` for a chi-square variable with `df >= 1` degrees of freedom, from the upper tail.
pub fn tail(x: f64, df: usize) -> f64 {
    probability(law(df).sf(x.max(0.0)))
}

/// The point a chi-square variable with `df >= 1` degrees of freedom exceeds with probability `upper`.
pub fn point(upper: f64, df: usize) -> f64 {
    law(df).inverse_cdf(1.0 - upper)
}

fn law(df: usize) -> ChiSquared {
    ChiSquared::new(df as f64).expect("a table with two non-empty columns has at least one degree of freedom")
}

/// Drops empty columns and pools rare ones until no expected cell is below 1 and at most one in five is below 5.
///
/// Columns are pooled in ascending order of their total over *both* rows (position breaks ties), never by the
/// reference alone, which would bias the test. The pooled column comes last. Stops at two columns. More than
/// [`MAX_COLUMNS`] are first cut to that many.
pub fn pool_rare(reference: &[u64], current: &[u64]) -> (Vec<u64>, Vec<u64>) {
    assert_eq!(reference.len(), current.len(), "both rows have the same columns");
    let mut columns: Vec<(u64, u64)> =
        reference.iter().zip(current).filter(|(a, b)| **a + **b > 0).map(|(a, b)| (*a, *b)).collect();
    columns.sort_by_key(|(a, b)| std::cmp::Reverse(a + b)); // Stable: equal totals keep their order.
    let m: u64 = columns.iter().map(|column| column.0).sum();
    let n: u64 = columns.iter().map(|column| column.1).sum();
    let smaller_share = m.min(n) as f64 / (m + n).max(1) as f64;
    let larger_share = 1.0 - smaller_share;
    let mut pooled: Option<(u64, u64)> = None;
    loop {
        let n_columns = columns.len() + usize::from(pooled.is_some());
        // Columns are in descending order, so the expected cells below a limit are the last ones.
        let below = |limit: f64| -> usize {
            [smaller_share, larger_share]
                .into_iter()
                .map(|share| {
                    let is_small = |(a, b): &(u64, u64)| ((a + b) as f64) * share < limit;
                    let named = columns.len() - columns.partition_point(|column| !is_small(column));
                    named + usize::from(pooled.as_ref().is_some_and(is_small))
                })
                .sum()
        };
        let fine = n_columns <= MAX_COLUMNS && below(1.0) == 0 && below(5.0) * 5 <= 2 * n_columns;
        if fine || n_columns <= 2 {
            break;
        }
        let (a, b) = columns.pop().expect("more than two columns, at most one of them pooled");
        let (pooled_a, pooled_b) = pooled.unwrap_or((0, 0));
        pooled = Some((pooled_a + a, pooled_b + b));
    }
    columns.into_iter().chain(pooled).unzip()
}

/// Tests whether both rows of a 2 x k table come from the same shares.
///
/// `X2 = sum (o - e)^2 / e` over both rows with `e = row total * column total / N`, after [`pool_rare`]; `df = k - 1`;
/// `p` from the upper tail. A table of two columns with an expected cell below 5 goes to Fisher's exact test. Effect:
/// Cramer's V with Bergsma's bias correction, in `[0, 1]`; floor: the V of the chi-square that chance exceeds with 0.003.
///
/// `Insufficient` when a row is empty, `Degenerate` when one column holds everything.
///
/// ```
/// let got = drift::chi_squared::homogeneity(&[50, 30, 20], &[40, 25, 35]);
/// assert!((got.statistic - 5.656_566).abs() < 1e-6 && (got.p.unwrap() - 0.059_114_3).abs() < 1e-6);
/// ```
///
/// Sources: Pearson 1900; Cochran 1954 (pooling); Bergsma 2013 (V).
pub fn homogeneity(reference: &[u64], current: &[u64]) -> Comparison {
    let (reference, current) = pool_rare(reference, current);
    of_pooled(&reference, &current)
}

/// [`homogeneity`] of columns that [`pool_rare`] gave.
pub(crate) fn of_pooled(reference: &[u64], current: &[u64]) -> Comparison {
    let (m, n) = (reference.iter().sum::<u64>(), current.iter().sum::<u64>());
    if m == 0 || n == 0 {
        return Comparison::insufficient(Method::ChiSquared, m, n);
    }
    let k = reference.len();
    if k < 2 {
        return Comparison::degenerate(Method::ChiSquared, m, n);
    }
    let (m_f, n_f) = (m as f64, n as f64);
    let total = m_f + n_f;
    let mut statistic = 0.0;
    let mut least_expected = f64::INFINITY;
    for (a, b) in reference.iter().zip(current) {
        let column = (a + b) as f64;
        let (expect_a, expect_b) = (m_f * column / total, n_f * column / total);
        statistic += (*a as f64 - expect_a).powi(2) / expect_a + (*b as f64 - expect_b).powi(2) / expect_b;
        least_expected = least_expected.min(expect_a).min(expect_b);
    }
    let (method, p) = if k == 2 && least_expected < 5.0 {
        (Method::Fisher, fisher::Tails::of(reference[0], m, current[0], n).two_sided)
    } else {
        (Method::ChiSquared, tail(statistic, k - 1))
    };
    Comparison {
        method,
        statistic,
        m,
        n,
        p: Some(p),
        effect: cramers_v(statistic, k, total),
        floor: cramers_v(point(FLOOR_LEVEL, k - 1), k, total),
        interval: None,
        status: Status::Ok,
    }
}

/// Bias-corrected Cramer's V of a 2 x k table with `total` counts, in `[0, 1]`.
fn cramers_v(statistic: f64, k: usize, total: f64) -> f64 {
    let k = k as f64;
    let phi = (statistic / total - (k - 1.0) / (total - 1.0)).max(0.0);
    let columns = k - (k - 1.0).powi(2) / (total - 1.0);
    let rows = 2.0 - 1.0 / (total - 1.0);
    let shape = (columns - 1.0).min(rows - 1.0);
    if shape > 0.0 { (phi / shape).sqrt().min(1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64) {
        assert!((got - want).abs() < 5e-8, "got {got}, want {want}");
    }

    #[test]
    fn three_columns_by_hand() {
        let got = homogeneity(&[50, 30, 20], &[40, 25, 35]);
        close(got.statistic, 5.656_565_7);
        close(got.p.unwrap(), 0.059_114_3);
        close(got.effect, 0.135_368_6);
    }

    #[test]
    fn a_two_by_two_table_by_hand() {
        let got = homogeneity(&[90, 10], &[80, 20]);
        close(got.statistic, 3.921_568_6);
        close(got.p.unwrap(), 0.047_670_4);
    }

    #[test]
    fn small_two_by_two_tables_are_counted_exactly() {
        let got = homogeneity(&[2, 8], &[7, 3]);
        assert_eq!(got.method, Method::Fisher);
        close(got.p.unwrap(), 0.069_778_5);
    }

    #[test]
    fn rare_columns_are_pooled_by_their_total_over_both_rows() {
        // Totals 4, 3 and 1 are expected below 5 in both rows and go together: then one column in five is, which is fine.
        let (a, b) = pool_rare(&[50, 25, 20, 20, 4, 0, 0], &[50, 25, 20, 20, 0, 3, 1]);
        assert_eq!((a, b), (vec![50, 25, 20, 20, 4], vec![50, 25, 20, 20, 4]));
        // One column in three is too many; it joins the next rarest.
        let (a, b) = pool_rare(&[50, 10, 4], &[50, 10, 4]);
        assert_eq!((a, b), (vec![50, 14], vec![50, 14]));
    }

    #[test]
    fn columns_nobody_uses_change_nothing() {
        assert_eq!(homogeneity(&[50, 0, 30, 20], &[40, 0, 25, 35]), homogeneity(&[50, 30, 20], &[40, 25, 35]));
    }

    #[test]
    fn more_than_two_hundred_columns_are_cut_to_two_hundred() {
        let wide = vec![50; 300];
        let (a, _) = pool_rare(&wide, &wide);
        assert_eq!((a.len(), a[199]), (200, 50 * 101));
    }

    #[test]
    fn one_column_is_no_drift() {
        let got = homogeneity(&[10, 0], &[20, 0]);
        assert_eq!((got.status, got.p, got.effect), (Status::Degenerate, Some(1.0), 0.0));
        assert_eq!(homogeneity(&[0, 0], &[20, 0]).status, Status::Insufficient);
    }
}
