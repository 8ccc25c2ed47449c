//! Holm's correction: with many features watched, the smallest p-value must be surprising for its number.

/// Adjusted p-values, in the order given: `max over ranks r <= own rank of min(1, (d - r + 1) p_(r))`.
///
/// Rejecting every feature whose adjusted value is at most `alpha` keeps the chance of any false rejection at most
/// `alpha`, whatever the dependence between features. Equal values are ranked by position.
///
/// ```
/// assert_eq!(drift::holm::adjust(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
/// ```
///
/// Source: Holm 1979.
pub fn adjust(p: &[f64]) -> Vec<f64> {
    let mut ranks: Vec<usize> = (0..p.len()).collect();
    ranks.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest = 0.0_f64;
    for (rank, at) in ranks.into_iter().enumerate() {
        largest = largest.max((p[at] * (p.len() - rank) as f64).min(1.0));
        adjusted[at] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_ten_survives_holm_at_five_percent() {
        let p = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216];
        let adjusted = adjust(&p);
        assert!((adjusted[0] - 0.01).abs() < 1e-15 && (adjusted[1] - 0.072).abs() < 1e-15);
        assert_eq!(adjusted.iter().filter(|p| **p <= 0.05).count(), 1);
    }

    #[test]
    fn order_of_the_features_changes_nothing() {
        let (forth, mut back) = (adjust(&[0.2, 0.001, 0.03]), adjust(&[0.03, 0.001, 0.2]));
        back.reverse();
        assert_eq!(forth, back);
        assert!(adjust(&[]).is_empty());
    }
}
