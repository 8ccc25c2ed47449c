//! Which of a target's weights are stored: the largest by magnitude, since a negative weight is information too.

use models::{BookRow, top_k::Scored};

/// The `k` largest of `weights` by magnitude without zeros and without `own`, of equal ones the lower row; unordered.
///
/// `keys` is a buffer. What is not finite would come first; it is for the caller to have none.
pub(crate) fn largest(weights: &[f32], own: usize, k: usize, keys: &mut Vec<u64>) -> Vec<Scored> {
    keys.clear();
    // Bits of numbers that are not negative are ordered as the numbers; turned over, the largest comes first.
    let key = |row: usize, weight: f32| u64::from(!weight.abs().to_bits()) << 32 | row as u64;
    keys.extend(
        weights.iter().enumerate().filter(|(row, weight)| **weight != 0.0 && *row != own).map(|(row, w)| key(row, *w)),
    );
    if keys.len() > k && k > 0 {
        keys.select_nth_unstable(k - 1);
        keys.truncate(k);
    }
    keys.iter().map(|key| *key as u32).map(|row| Scored { row: BookRow(row), score: weights[row as usize] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_weights_of_either_sign_are_kept() {
        let mut kept = largest(&[0.5, -2.0, 0.0, 9.0, 0.5, -0.1], 3, 2, &mut Vec::new());
        kept.sort_by_key(|scored| scored.row);
        let kept: Vec<(u32, f32)> = kept.iter().map(|scored| (scored.row.0, scored.score)).collect();
        assert_eq!(kept, [(0, 0.5), (1, -2.0)]); // Row 0 before row 4: equal weights.
    }
}
