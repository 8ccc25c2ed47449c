//! Random streams by purpose: every part of the simulation draws from its own, so that none can disturb another.
//!
//! Apart from the world because reproducibility rests on this one rule: a stream is named by seed, purpose and number,
//! never by how many draws came before it.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a stream is drawn for.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
pub(super) enum Purpose {
    /// Titles, authors, prices and popularity of the books.
    Catalogue = 1,
    /// What the change of taste does: the permutation, the new order of popularity.
    Shift = 2,
    /// One reader's taste; the number is the reader's.
    Reader = 3,
    /// One day's visits; the number is the day's.
    Day = 4,
    /// One look at one list; the number is a digest of request and list.
    Click = 5,
    /// One day before day 0; the number is how many days before.
    Earlier = 6,
}

/// The stream of one purpose and number under one seed.
pub(super) fn stream(seed: u64, purpose: Purpose, number: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
    key[16..24].copy_from_slice(&number.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// An index drawn with probability `weight / sum of weights`; `None` if no weight is positive.
pub(super) fn weighted(rng: &mut ChaCha8Rng, weights: &[f64]) -> Option<usize> {
    let total: f64 = weights.iter().sum();
    if total <= 0.0 {
        return None;
    }
    let mut left = rng.random::<f64>() * total;
    let mut last = None;
    for (index, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
        left -= weight;
        last = Some(index);
        if left < 0.0 {
            break;
        }
    }
    // Rounding can leave a crumb past the end; it belongs to the last positive weight.
    last
}

/// A random order of `0..n` (Fisher and Yates).
pub(super) fn shuffled(rng: &mut ChaCha8Rng, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for end in (1..n).rev() {
        order.swap(end, below(rng, end + 1));
    }
    order
}

/// A whole number in `0..n`, every one as likely; `n` at least 1.
pub(super) fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    // Drawn as 32 bits so that the same seed means the same world on every machine.
    rng.random_range(0..n as u32) as usize
}

/// One of a list that is not empty.
pub(super) fn one_of<'a, T: ?Sized>(rng: &mut ChaCha8Rng, list: &[&'a T]) -> &'a T {
    list[below(rng, list.len())]
}

/// Natural exponent of a normal draw: positive, median 1, `sigma` the spread of its logarithm.
pub(super) fn log_normal(rng: &mut ChaCha8Rng, sigma: f64) -> f64 {
    use rand_distr::{Distribution, StandardNormal};
    let normal: f64 = StandardNormal.sample(rng);
    (sigma * normal).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_purpose_and_number_and_by_nothing_else() {
        let draw = |seed, purpose, number| stream(seed, purpose, number).random::<u64>();
        assert_eq!(draw(7, Purpose::Day, 3), draw(7, Purpose::Day, 3));
        assert_ne!(draw(7, Purpose::Day, 3), draw(8, Purpose::Day, 3));
        assert_ne!(draw(7, Purpose::Day, 3), draw(7, Purpose::Reader, 3));
        assert_ne!(draw(7, Purpose::Day, 3), draw(7, Purpose::Day, 4));
    }

    #[test]
    fn weights_are_shares() {
        let mut rng = stream(1, Purpose::Day, 0);
        let mut counts = [0; 4];
        for _ in 0..10_000 {
            counts[weighted(&mut rng, &[1.0, 0.0, 3.0, 0.0]).unwrap()] += 1;
        }
        assert_eq!((counts[1], counts[3]), (0, 0));
        // 10 000 draws at one quarter: standard deviation 43.
        assert!((2_300..2_700).contains(&counts[0]), "{counts:?}");
        assert_eq!(weighted(&mut rng, &[0.0, 0.0]), None);
    }

    #[test]
    fn a_shuffle_loses_nothing() {
        let mut order = shuffled(&mut stream(1, Purpose::Day, 0), 50);
        assert_ne!(order, (0..50).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }
}
