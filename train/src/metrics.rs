//! Ranking metrics at `k`: one definition each.
//!
//! All take the places of a list as hits and misses, best first, and `n_relevant`, the number of books the reader
//! really took up. Ranks past the end of the list are misses. All are `None` when `n_relevant` is 0: undefined, which
//! is not zero. All panic if `k == 0`. Source for the names: Herlocker et al. 2004; Järvelin and Kekäläinen 2002.
//! Metrics of what lists are like, whether or not they hit, take other things and say so.

mod lists;

pub use self::lists::{diversity, gini, miscalibration, novelty};

/// Share of the relevant books among the first `k`: `hits / n_relevant`, in `[0, 1]`.
///
/// Cannot reach 1 when more than `k` books are relevant; see [`recall_trunc_at`].
/// ```
/// // Hits at ranks 2 and 4, three relevant.
/// let got = train::metrics::recall_at(5, &[false, true, false, true, false], 3);
/// assert_eq!(got, Some(2.0 / 3.0));
/// ```
pub fn recall_at(k: usize, hits: &[bool], n_relevant: usize) -> Option<f64> {
    (check(k, n_relevant) > 0).then(|| n_hits(k, hits) as f64 / n_relevant as f64)
}

/// Recall with the best possible as its unit: `hits / min(k, n_relevant)`, in `[0, 1]`.
/// ```
/// let hits = [true, true, false, false, false]; // Eight relevant, of which five fit.
/// assert_eq!(train::metrics::recall_trunc_at(5, &hits, 8), Some(0.4));
/// ```
pub fn recall_trunc_at(k: usize, hits: &[bool], n_relevant: usize) -> Option<f64> {
    (check(k, n_relevant) > 0).then(|| n_hits(k, hits) as f64 / k.min(n_relevant) as f64)
}

/// Normalised discounted cumulative gain, binary relevance, in `[0, 1]`.
///
/// `sum over rank 1..=k of hit(rank) / log2(rank + 1)`, divided by the same sum with `min(k, n_relevant)` hits in front.
/// ```
/// // Hits at ranks 1 and 3, two relevant: (1 + 1/2) / (1 + 1/log2(3)).
/// let got = train::metrics::ndcg_at(3, &[true, false, true], 2).unwrap();
/// assert!((got - 1.5 / (1.0 + 1.0 / 3f64.log2())).abs() < 1e-12);
/// ```
pub fn ndcg_at(k: usize, hits: &[bool], n_relevant: usize) -> Option<f64> {
    if check(k, n_relevant) == 0 {
        return None;
    }
    let gain = |rank: usize| 1.0 / ((rank + 1) as f64).log2();
    let found: f64 = first(k, hits).iter().zip(1..).filter(|(hit, _)| **hit).map(|(_, rank)| gain(rank)).sum();
    let best: f64 = (1..=k.min(n_relevant)).map(gain).sum();
    Some(found / best)
}

/// Reciprocal rank of the first hit among the first `k`, 0 without one; in `[0, 1]`.
/// ```
/// assert_eq!(train::metrics::mrr_at(5, &[false, true, true], 4), Some(0.5));
/// ```
pub fn mrr_at(k: usize, hits: &[bool], n_relevant: usize) -> Option<f64> {
    let place = first(k, hits).iter().position(|hit| *hit);
    (check(k, n_relevant) > 0).then(|| place.map_or(0.0, |place| 1.0 / (place + 1) as f64))
}

/// Whether there is any hit among the first `k`: 1 or 0.
/// ```
/// assert_eq!(train::metrics::hit_rate_at(1, &[false, true], 1), Some(0.0));
/// ```
pub fn hit_rate_at(k: usize, hits: &[bool], n_relevant: usize) -> Option<f64> {
    (check(k, n_relevant) > 0).then(|| f64::from(u8::from(n_hits(k, hits) > 0)))
}

fn check(k: usize, n_relevant: usize) -> usize {
    assert!(k > 0, "a list of no places has no quality");
    n_relevant
}

fn first(k: usize, hits: &[bool]) -> &[bool] {
    &hits[..k.min(hits.len())]
}

fn n_hits(k: usize, hits: &[bool]) -> usize {
    first(k, hits).iter().filter(|hit| **hit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// List A to E, held out B, D and F: hits at ranks 2 and 4 of three relevant.
    const HITS: [bool; 5] = [false, true, false, true, false];

    #[test]
    fn the_textbook_list_has_the_textbook_values() {
        let close = |got: Option<f64>, want: f64| assert!((got.unwrap() - want).abs() < 5e-5, "{got:?} {want}");
        close(recall_at(5, &HITS, 3), 0.6667);
        close(ndcg_at(5, &HITS, 3), 0.4982);
        close(mrr_at(5, &HITS, 3), 0.5);
        close(hit_rate_at(5, &HITS, 3), 1.0);
        close(recall_at(5, &HITS, 8), 0.25);
        close(recall_trunc_at(5, &HITS, 8), 0.4);
    }

    #[test]
    fn only_the_first_k_places_count() {
        assert_eq!(recall_at(1, &HITS, 3), Some(0.0));
        assert_eq!(mrr_at(3, &HITS, 3), Some(0.5));
        assert_eq!(ndcg_at(2, &[true, true, true], 9), Some(1.0));
    }

    #[test]
    fn nothing_relevant_is_undefined() {
        for metric in [recall_at, recall_trunc_at, ndcg_at, mrr_at, hit_rate_at] {
            assert_eq!(metric(3, &HITS, 0), None);
        }
    }
}
