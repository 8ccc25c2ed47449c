//! Starting from an earlier model, so that the nightly fit needs a few passes only.
//!
//! A stored model holds the books' vectors and nothing of the readers', which is enough: a pass begins with the readers.
//! Its basis is its own, but any basis will do as a start, since the first thing done is a rotation.

use models::{Artifact, BookRow, Factors, Scorer};
use ndarray::{Array2, s};

use crate::{dataset::Dataset, matrix::Matrix};

/// Least share of the pairs whose books the earlier model must know.
const LEAST_KNOWN: f64 = 0.5;

/// Overwrites the cold start of the books that `previous` knows; whether it knows enough to call the start warm.
///
/// Where the lengths differ, the directions with the largest eigenvalues are kept, and the rest stays as it was. Books
/// that are new keep their small random start, and so do those that only enter the shop tonight with their readers.
pub(super) fn start(
    vectors: &mut Array2<f32>,
    d: usize,
    previous: &Artifact,
    dataset: &Dataset,
    matrix: &Matrix,
) -> bool {
    let Some(factors) = factors(previous.scorer()) else { return false };
    let known: Vec<(usize, BookRow)> = (dataset.catalogue().books().enumerate())
        .filter(|(book, _)| matrix.by_book().degree(*book) > 0)
        .filter_map(|(book, entry)| previous.catalogue().row(entry.item_id()).map(|row| (book, row)))
        .collect();
    let n_known: usize = known.iter().map(|(book, _)| matrix.by_book().degree(*book)).sum();
    if (n_known as f64) < LEAST_KNOWN * matrix.n_pairs() as f64 {
        return false;
    }
    // Eigenvalues ascend, so the last columns carry the most.
    let kept = d.min(factors.d());
    let from = factors.books();
    for (book, row) in known {
        let own = from.slice(s![row.index(), factors.d() - kept..]);
        // A book nobody had read before is zero there, and two zeros never part.
        if own.iter().any(|value| *value != 0.0) {
            vectors.slice_mut(s![book, ..kept]).assign(&own);
        }
    }
    true
}

/// The vectors of an earlier model, its own or those of a member.
fn factors(scorer: &Scorer) -> Option<&Factors> {
    match scorer {
        Scorer::Factors(factors) => Some(factors),
        Scorer::Blend(blend) => blend.members().iter().find_map(|member| factors(&member.scorer)),
        Scorer::Popularity | Scorer::Neighbours(_) | Scorer::Spectral(_) | Scorer::Sessions(_) => None,
    }
}
