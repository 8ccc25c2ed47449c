//! How alike two lists are.

use std::collections::HashSet;

/// Persistence of [`rbo`]: how likely one who reads a list goes on to the next place.
pub const PERSISTENCE: f64 = 0.9;

/// Share of the books of either list that are in both: `|A and B| / |A or B|`, 0 to 1. `None` for two empty lists.
///
/// No list holds a book twice.
pub fn jaccard(a: &[&str], b: &[&str]) -> Option<f64> {
    let first: HashSet<_> = a.iter().collect();
    let both = b.iter().filter(|book| first.contains(book)).count();
    let either = a.len() + b.len() - both;
    (either > 0).then(|| both as f64 / either as f64)
}

/// Rank-biased overlap of two lists, best first, 0 to 1: agreement at the top weighs most. `None` for two empty lists.
///
/// `(1 - p) sum over d = 1 .. k of p^(d-1) X_d / d + p^k X_k / k` with `p` the [`PERSISTENCE`], `X_d` the number of books
/// common to the first `d` places and `k` the longer length: what is beyond the lists is taken to agree as far as the
/// lists do (Webber, Moffat and Zobel 2010, extrapolated form).
pub fn rbo(a: &[&str], b: &[&str]) -> Option<f64> {
    let k = a.len().max(b.len());
    if k == 0 {
        return None;
    }
    let (mut seen_a, mut seen_b) = (HashSet::<&str>::new(), HashSet::<&str>::new());
    let (mut common, mut weight, mut sum) = (0_usize, 1.0, 0.0);
    for d in 1..=k {
        let (left, right) = (a.get(d - 1), b.get(d - 1));
        match (left, right) {
            (Some(left), Some(right)) if left == right => common += 1,
            _ => {
                common += usize::from(left.is_some_and(|book| seen_b.contains(book)));
                common += usize::from(right.is_some_and(|book| seen_a.contains(book)));
            }
        }
        seen_a.extend(left);
        seen_b.extend(right);
        sum += weight * common as f64 / d as f64;
        weight *= PERSISTENCE;
    }
    Some((1.0 - PERSISTENCE) * sum + weight * common as f64 / k as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Option<f64>, expected: f64) {
        assert!((found.unwrap() - expected).abs() < 1e-12, "{found:?} is not {expected}");
    }

    #[test]
    fn equal_lists_agree_and_disjoint_ones_do_not() {
        close(rbo(&["a", "b", "c"], &["a", "b", "c"]), 1.0);
        close(jaccard(&["a", "b"], &["b", "a"]), 1.0);
        close(rbo(&["a", "b"], &["c", "d"]), 0.0);
        close(jaccard(&["a", "b"], &["c"]), 0.0);
        assert_eq!((rbo(&[], &[]), jaccard(&[], &[])), (None, None));
        close(rbo(&["a"], &[]), 0.0);
    }

    /// By hand: swapped, X = 0, 2: .1 (0 + .9) + .81; same first, X = 1, 1: .1 (1 + .9 / 2) + .81 / 2.
    #[test]
    fn the_top_weighs_most() {
        close(rbo(&["a", "b"], &["b", "a"]), 0.9);
        close(rbo(&["a", "b"], &["a", "c"]), 0.55);
        close(rbo(&["b", "a"], &["c", "a"]), 0.1 * 0.9 * 0.5 + 0.81 * 0.5);
        close(jaccard(&["a", "b"], &["a", "c"]), 1.0 / 3.0);
    }

    /// X = 1, 1: one place is missing on one side. .1 (1 + .9 / 2) + .81 / 2.
    #[test]
    fn a_shorter_list_has_no_more_to_agree_with() {
        close(rbo(&["a", "b"], &["a"]), 0.55);
        close(jaccard(&["a", "b"], &["a"]), 0.5);
    }
}
