//! EASE by local regressions: each book regressed on the books nearest to it, for catalogues too large for one inverse.
//!
//! The weights into one book are those of the inverse of its own block of the Gram matrix (Steck 2019, arXiv
//! 1905.03375 for the regression, "Markov random fields for collaborative filtering" for the blocks). Blocks are summed from the readers of their books, so the Gram
//! matrix of the whole catalogue is never held.

mod block;

use models::{Scorer, top_k::Scored};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::block::Block;
use crate::{
    cooccurrence,
    dataset::Dataset,
    ease::{
        design::{Design, Weighting},
        keep,
    },
    error::Error,
    item_knn::check_neighbours,
};

/// Settings of EASE by local regressions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Strength of the ridge, `lambda > 0`. Without normalisation its unit is readers: a source with fewer counts little.
    pub regularization: f64,
    /// How many sources each book is regressed on, those with the largest cosine; at least 1.
    pub candidates: usize,
    /// How many of them are kept, the largest weights of either sign; at least 1.
    pub neighbours: usize,
    /// How much less a reader of many books counts for each, `p` in `[0, 1]`: 0 not at all, 1 as one book in all.
    pub reader_exponent: f64,
    /// How far popular books are scaled down, `a` in `[0, 1]`: 0 not at all, 1 to equal variation. A source with `v`
    /// readers then meets the ridge `lambda v^a`.
    pub normalization: f64,
    /// Whether each book is seen against its share of readers.
    pub centred: bool,
    /// Days after which an interaction counts half; only on a clock.
    pub half_life_days: Option<f64>,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            regularization: 30.0,
            candidates: 100,
            neighbours: 100,
            reader_exponent: 0.0,
            normalization: 0.3,
            centred: false,
            half_life_days: None,
        }
    }
}

impl Params {
    fn weighting(&self) -> Weighting {
        Weighting {
            regularization: self.regularization,
            reader_exponent: self.reader_exponent,
            normalization: self.normalization,
            centred: self.centred,
            half_life_days: self.half_life_days,
        }
    }
}

/// For each book `j`, with `N` its nearest books: `b = (X_N' X_N + lambda I)^-1 X_N' x_j`, scaled back to books.
///
/// `X` as in [`ease`](crate::ease). Nearest are the books with the largest `|x_i' x_j| / (|x_i| |x_j|)` among those with
/// a common reader. With all books near, this is EASE. Cost: `n_books candidates^3 / 3` operations and the sums over
/// readers, `4 candidates^2` bytes a thread beside the data and the model.
pub(crate) fn fit(params: &Params, dataset: &Dataset) -> Result<Scorer, Error> {
    check_neighbours(params.neighbours)?;
    if params.candidates == 0 {
        return Err(Error::Setting { field: "candidates", expected: "at least 1", found: "0".to_owned() });
    }
    let weighting = params.weighting();
    weighting.check()?;
    let design = Design::new(dataset, &weighting);
    let norms = design.norms();
    let cosine = |i: usize, j: usize, shared: f32| {
        let (norm, inner) = (norms[i] * norms[j], shared - design.means[i] * design.means[j]);
        if norm > 0.0 { inner.abs() / norm } else { 0.0 }
    };
    let nearest = cooccurrence::best_of_rows(&design.by_book, &design.by_reader, params.candidates, cosine);
    let squares: Vec<f32> = norms.iter().map(|norm| norm * norm).collect();
    let regress = |block: &mut Block, (j, near): (usize, &Vec<Scored>)| -> Result<Vec<Scored>, Error> {
        let mut books: Vec<u32> = near.iter().map(|scored| scored.row.0).collect();
        books.sort_unstable();
        let mut weights = block.regress(&design, &squares, &books, j).map_err(|_| Error::Setting {
            field: "regularization",
            expected: "a ridge that single precision can tell from zero beside the readers of the most popular book",
            found: params.regularization.to_string(),
        })?;
        weights.iter_mut().zip(&books).for_each(|(w, i)| *w = design.between_books(*i as usize, j, *w));
        Ok(keep::largest(&weights, usize::MAX, params.neighbours, &mut block.keys)
            .into_iter()
            .map(|scored| Scored { row: models::BookRow(books[scored.row.index()]), ..scored })
            .collect())
    };
    let lists: Result<Vec<_>, Error> = nearest
        .par_iter()
        .enumerate()
        .map_init(|| Block::new(design.by_reader.len()), |block, target| regress(block, target))
        .collect();
    Ok(Scorer::Neighbours(cooccurrence::by_target(&lists?)?))
}

#[cfg(test)]
mod tests;
