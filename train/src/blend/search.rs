//! Which mix ranks the window's books best, on a grid of twentieths.

use rayon::prelude::*;

use super::{AT, Choice};
use crate::{bootstrap, metrics::ndcg_at};

/// Parts a whole is cut into.
const PARTS: usize = 20;

/// One reader's candidates, by ascending row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    /// Each member's standardised scores, shape `(n_members, n_candidates)`.
    pub(super) scores: Vec<Vec<f32>>,
    /// Whether the reader took the candidate up.
    pub(super) relevant: Vec<bool>,
    /// Books the reader took up, candidates or not; at least 1.
    pub(super) n_relevant: usize,
}

impl Judged {
    /// NDCG of the best [`AT`] candidates under the mix; ties go to the lower row.
    fn ndcg(&self, parts: &[usize]) -> f64 {
        let mut mixed = vec![0.0_f32; self.relevant.len()];
        for (scores, part) in self.scores.iter().zip(parts).filter(|(_, part)| **part > 0) {
            let weight = *part as f32 / PARTS as f32;
            mixed.iter_mut().zip(scores).for_each(|(sum, score)| *sum += weight * score);
        }
        let mut order: Vec<usize> = (0..mixed.len()).collect();
        let better = |a: &usize, b: &usize| mixed[*b].total_cmp(&mixed[*a]).then(a.cmp(b));
        if order.len() > AT {
            order.select_nth_unstable_by(AT - 1, better);
            order.truncate(AT);
        }
        order.sort_unstable_by(better);
        let hits: Vec<bool> = order.into_iter().map(|place| self.relevant[place]).collect();
        ndcg_at(AT, &hits, self.n_relevant).expect("a case has at least one target")
    }
}

/// The mix with the highest mean NDCG that moves of parts between two members reach from the best member alone.
///
/// Of equally good mixes the one met first stays, and moves are tried from the smallest on, so that a mix needs more
/// than a tie to push another aside. Without cases the first member is chosen.
pub(super) fn best(cases: &[Judged], n_members: usize, seed: u64) -> Choice {
    let values = |parts: &[usize]| cases.par_iter().map(|case| case.ndcg(parts)).collect::<Vec<f64>>();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let only = |member: usize| (0..n_members).map(|other| if other == member { PARTS } else { 0 }).collect::<Vec<_>>();
    let alone: Vec<f64> = (0..n_members).map(|member| mean(&values(&only(member)))).collect();
    let champion = (1..n_members).fold(0, |best, next| if alone[next] > alone[best] { next } else { best });

    let (mut parts, mut mixed) = (only(champion), alone[champion]);
    loop {
        let mut improved = None;
        for (from, to) in (0..n_members).flat_map(|from| (0..n_members).map(move |to| (from, to))) {
            for moved in 1..=if from == to { 0 } else { parts[from] } {
                let mut next = parts.clone();
                next[from] -= moved;
                next[to] += moved;
                let ndcg = mean(&values(&next));
                if ndcg > mixed {
                    (improved, mixed) = (Some(next), ndcg);
                }
            }
        }
        match improved {
            Some(next) => parts = next,
            None => break,
        }
    }
    let pure = only(champion);
    let versus = (parts != pure).then(|| {
        let differences: Vec<f64> = values(&parts).iter().zip(values(&pure)).map(|(mix, own)| mix - own).collect();
        bootstrap::paired(&differences, seed)
    });
    let versus_best_member = versus.flatten();
    let taken = if versus_best_member.is_some_and(|versus| versus.low > 0.0) { parts } else { pure };
    let weights = taken.iter().map(|part| *part as f64 / PARTS as f64).collect();
    Choice { weights, n_readers: cases.len(), alone, mixed, versus_best_member }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader to whom each member gives these scores; the first candidate is the only right one.
    fn reader(scores: &[&[f32]]) -> Judged {
        // Enough wrong books to fill a list, so that only a first place among the named ones is worth anything.
        let scores: Vec<Vec<f32>> = scores.iter().map(|own| own.to_vec()).collect();
        let relevant = (0..scores[0].len()).map(|place| place == 0).collect();
        Judged { scores, relevant, n_relevant: 1 }
    }

    #[test]
    fn two_members_that_err_on_different_readers_are_mixed() {
        // Each is sure where it is right (5 over 0) and little mistaken where it is wrong (0 under 2).
        let (first, second) = (reader(&[&[5.0, 0.0], &[0.0, 2.0]]), reader(&[&[0.0, 2.0], &[5.0, 0.0]]));
        let cases: Vec<Judged> = (0..40).map(|i| if i % 2 == 0 { first.clone() } else { second.clone() }).collect();
        let choice = best(&cases, 2, 1);
        // Alone: half the books at place 1, half at place 2. Mixed w : 1 - w, both at 1 once 5w > 2(1 - w) and the
        // reverse: w from 0.30 to 0.70.
        let at_two = 1.0 / 3.0_f64.log2();
        assert!(choice.alone.iter().all(|alone| (alone - f64::midpoint(1.0, at_two)).abs() < 1e-12), "{choice:?}");
        assert!((choice.mixed - 1.0).abs() < 1e-12, "{choice:?}");
        // The first member is the champion of the tie, and the smallest move that does it is taken.
        assert_eq!(choice.weights, [0.7, 0.3]);
        assert!(choice.versus_best_member.unwrap().low > 0.0);
    }

    #[test]
    fn a_member_that_adds_nothing_is_dropped() {
        let cases = vec![reader(&[&[0.0, 1.0], &[1.0, 0.0]]); 40];
        let choice = best(&cases, 2, 1);
        assert_eq!((choice.weights, choice.versus_best_member), (vec![0.0, 1.0], None));
    }

    #[test]
    fn a_mix_that_may_be_luck_gives_way_to_the_best_member() {
        // One reader of forty gains: the interval of the mean holds 0.
        let mut cases = vec![reader(&[&[1.0, 0.0], &[0.0, 0.1]]); 40];
        cases[7] = reader(&[&[0.0, 1.0], &[9.0, 0.0]]);
        let choice = best(&cases, 2, 1);
        assert!(choice.mixed > choice.alone[0]);
        assert_eq!(choice.versus_best_member.unwrap().low.total_cmp(&0.0), std::cmp::Ordering::Equal);
        assert_eq!(choice.weights, [1.0, 0.0]);
    }

    #[test]
    fn three_members_are_mixed_by_moves_between_two() {
        let readers = [
            reader(&[&[5.0, 0.0], &[0.0, 1.0], &[0.0, 1.0]]),
            reader(&[&[0.0, 1.0], &[5.0, 0.0], &[0.0, 1.0]]),
            reader(&[&[0.0, 1.0], &[0.0, 1.0], &[5.0, 0.0]]),
        ];
        let cases: Vec<Judged> = (0..60).map(|i| readers[i % 3].clone()).collect();
        let choice = best(&cases, 3, 1);
        assert!((choice.mixed - 1.0).abs() < 1e-12, "{choice:?}");
        assert!((choice.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12 && choice.weights.iter().all(|w| *w > 0.0));
    }

    #[test]
    fn without_readers_the_first_member_is_chosen() {
        let choice = best(&[], 2, 1);
        assert_eq!((choice.weights, choice.n_readers), (vec![1.0, 0.0], 0));
    }
}
