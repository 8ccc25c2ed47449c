//! What lists are like besides right or wrong: rarity, concentration, variety, likeness to what was read.

use std::collections::BTreeMap;

/// Mean surprise of a list: `mean of -log2(events of the book / events of all)`, in bits, not negative.
///
/// `events` are those of each place in the training window. A book without events counts as if it had one: it cannot be
/// told how much rarer it is. `None` for an empty list or without any events.
///
/// Source: Zhou et al. 2010 (self-information), but by events and not by readers.
/// ```
/// // Shares 1/2 and 1/8 are 1 and 3 bits.
/// assert_eq!(train::metrics::novelty(&[4, 1], 8), Some(2.0));
/// ```
pub fn novelty(events: &[u64], n_events: u64) -> Option<f64> {
    let bits = |own: &u64| -((*own).max(1) as f64 / n_events as f64).log2();
    (!events.is_empty() && n_events > 0).then(|| events.iter().map(bits).sum::<f64>() / events.len() as f64)
}

/// Gini coefficient of exposure: 0 when all books are shown equally often, near 1 when one has all places.
///
/// `sum over i of (2 i - n - 1) x(i) / (n sum x)` with the counts ascending, `i` from 1; books that are never shown
/// belong to them. `None` without books or when nothing was shown.
/// ```
/// assert_eq!(train::metrics::gini(&[3, 0, 1, 0]), Some(0.625));
/// ```
pub fn gini(exposures: &[u64]) -> Option<f64> {
    let mut ascending = exposures.to_vec();
    ascending.sort_unstable();
    let (n, total) = (ascending.len() as f64, ascending.iter().sum::<u64>() as f64);
    let weighted = ascending.iter().zip(1_u32..).map(|(x, i)| (2.0 * f64::from(i) - n - 1.0) * *x as f64);
    (total > 0.0).then(|| weighted.sum::<f64>() / (n * total))
}

/// Intra-list diversity: mean over pairs of books of `1 - |A and B| / |A or B|` of their labels, in `[0, 1]`.
///
/// `labels` has the distinct labels of each place, ascending. Books without labels are left out; `None` when fewer than
/// two remain.
/// ```
/// // Pairs: {1} {1,2}: 1/2; {1} {3}: 1; {1,2} {3}: 1.
/// let got = train::metrics::diversity(&[&[1], &[1, 2], &[3], &[]]).unwrap();
/// assert!((got - 2.5 / 3.0).abs() < 1e-12);
/// ```
pub fn diversity(labels: &[&[u32]]) -> Option<f64> {
    let labelled: Vec<&[u32]> = labels.iter().copied().filter(|labels| !labels.is_empty()).collect();
    let mut sum = 0.0;
    for (place, one) in labelled.iter().enumerate() {
        for other in &labelled[..place] {
            let shared = one.iter().filter(|label| other.binary_search(label).is_ok()).count();
            sum += 1.0 - shared as f64 / (one.len() + other.len() - shared) as f64;
        }
    }
    let n_pairs = labelled.len() * labelled.len().saturating_sub(1) / 2;
    (n_pairs > 0).then(|| sum / n_pairs as f64)
}

/// Miscalibration: how far the labels of a list are from those of the history, `sum of p ln(p / (0.99 q + 0.01 p))`.
///
/// `p` is the distribution of the history's labels, `q` that of the list's; a book spreads its weight evenly over its
/// labels. In nats, in `[0, ln 100]`; 0 when they agree. `None` when either has no labels.
///
/// Source: Steck 2018, without weights by time or rank.
/// ```
/// // History: seven books of one subject and three of another; the list knows the first only.
/// let history = [&[0_u32][..]; 7].into_iter().chain([&[1][..]; 3]).collect::<Vec<_>>();
/// let got = train::metrics::miscalibration(&history, &[&[0]]).unwrap();
/// assert!((got - 1.1340).abs() < 5e-5);
/// ```
pub fn miscalibration(history: &[&[u32]], list: &[&[u32]]) -> Option<f64> {
    let (p, q) = (distribution(history)?, distribution(list)?);
    let term = |(label, p): (&u32, &f64)| p * (p / (0.99 * q.get(label).copied().unwrap_or(0.0) + 0.01 * p)).ln();
    // Equal distributions may miss zero by a rounding.
    Some(p.iter().map(term).sum::<f64>().max(0.0))
}

fn distribution(books: &[&[u32]]) -> Option<BTreeMap<u32, f64>> {
    let labelled: Vec<&[u32]> = books.iter().copied().filter(|labels| !labels.is_empty()).collect();
    let mut shares = BTreeMap::new();
    for labels in &labelled {
        for label in *labels {
            *shares.entry(*label).or_insert(0.0) += 1.0 / (labels.len() * labelled.len()) as f64;
        }
    }
    (!shares.is_empty()).then_some(shares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_judged_is_not_zero() {
        assert_eq!((novelty(&[], 5), novelty(&[1], 0)), (None, None));
        assert_eq!((gini(&[]), gini(&[0, 0])), (None, None));
        assert_eq!((diversity(&[&[1]]), diversity(&[&[1], &[]])), (None, None));
        assert_eq!((miscalibration(&[&[]], &[&[1]]), miscalibration(&[&[1]], &[&[]])), (None, None));
    }

    #[test]
    fn extremes_are_where_they_should_be() {
        assert_eq!(gini(&[2, 2, 2]), Some(0.0));
        assert_eq!(diversity(&[&[1, 2], &[1, 2]]), Some(0.0));
        assert_eq!(miscalibration(&[&[1], &[2]], &[&[1, 2]]), Some(0.0));
        let apart = miscalibration(&[&[1]], &[&[2]]).unwrap();
        assert!((apart - 100_f64.ln()).abs() < 1e-12);
        assert_eq!(novelty(&[0, 1], 4), Some(2.0), "a book without events is as rare as one with a single event");
    }
}
