//! What the members say of a window's readers, reduced to the books any of them would list.

use models::{Artifact, Scratch, blend::standard_deviation, top_k};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::search::Judged;
use crate::split::{Case, Split};

/// Readers drawn at most.
pub(super) const MAX_CASES: usize = 5_000;
/// Books taken of each member's list.
pub(super) const CANDIDATES: usize = 200;

/// Scores of the candidates of each case, in the order of the split's cases.
///
/// Candidates are the union of each member's best unread books; a book outside all of them is taken as not listed.
/// Cases without a history are left out: all of them get the most popular books, whatever the mix.
pub(super) fn candidates(models: &[Artifact], split: &Split, seed: u64) -> Vec<Judged> {
    let mut cases: Vec<&Case> = split.cases.iter().filter(|case| !case.history.is_empty()).collect();
    if cases.len() > MAX_CASES {
        cases.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        cases.truncate(MAX_CASES);
        cases.sort_unstable_by(|a, b| a.reader.cmp(&b.reader));
    }
    let scratch = || (Scratch::default(), Vec::new());
    cases.into_par_iter().map_init(scratch, |(scratch, scores), case| judged(models, case, scratch, scores)).collect()
}

fn judged(models: &[Artifact], case: &Case, scratch: &mut Scratch, scores: &mut Vec<f32>) -> Judged {
    scores.clear();
    let mut rows = Vec::new();
    let mut seen = case.history.clone();
    seen.sort_unstable();
    let n_books = models.first().map_or(0, |model| model.catalogue().len());
    for model in models {
        let own = scores.len();
        scores.extend(model.scores(&case.history, scratch));
        let spread = standard_deviation(&scores[own..]);
        let scale = if spread > 0.0 { (1.0 / spread) as f32 } else { 0.0 };
        scores[own..].iter_mut().for_each(|score| *score *= scale);
        let silent = model.scorer().is_silent_at_zero();
        let best = top_k::best(CANDIDATES, &scores[own..], |row| {
            !(silent && scores[own + row.index()] == 0.0)
                && model.catalogue().book(row).is_available()
                && seen.binary_search(&row).is_err()
        });
        rows.extend(best.into_iter().map(|scored| scored.row));
    }
    rows.sort_unstable();
    rows.dedup();
    let of_member = |member: usize| rows.iter().map(|row| scores[member * n_books + row.index()]).collect();
    Judged {
        scores: (0..models.len()).map(of_member).collect(),
        relevant: rows.iter().map(|row| case.targets.contains(row)).collect(),
        n_relevant: case.targets.len() + case.n_cold_targets,
    }
}
