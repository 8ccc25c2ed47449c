//! EASE: every book regressed on all others at once, in closed form (Steck 2019, arXiv 1905.03375).
//!
//! With `normalization` and `centred` it is the Markov random field of the same author (Steck 2019, "Markov random
//! fields for collaborative filtering") on its dense pattern. [`ease_sparse`](crate::ease_sparse) regresses each book on its nearest ones only and needs no inverse.

mod dense;
pub(crate) mod design;
pub(crate) mod keep;

use models::Scorer;
use serde::{Deserialize, Serialize};

pub(crate) use self::dense::MAX_SIDE;
use self::design::{Design, Weighting};
use crate::{cooccurrence, dataset::Dataset, error::Error, item_knn::check_neighbours};

/// Settings of EASE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Strength of the ridge, `lambda > 0`. Without normalisation its unit is readers: a source with fewer counts little.
    pub regularization: f64,
    /// How many sources are kept for each target book, the largest weights of either sign; at least 1.
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

/// `B = S Bn S^-1`, where `Bn` minimises `|X - X Bn|^2 + lambda |Bn|^2` with a zero diagonal.
///
/// `Bn_ij = -P_ij / P_jj`, `P = (X'X + lambda I)^-1`; see [`Design`] for `X` and `S`, which with exponents of 0
/// are the confidences and the identity. The ridge acts on scaled columns: with `normalization` near 1 it is of the
/// order of 1, without it of 100.
pub(crate) fn fit(params: &Params, dataset: &Dataset) -> Result<Scorer, Error> {
    check_neighbours(params.neighbours)?;
    let weighting = params.weighting();
    weighting.check()?;
    let lists = dense::weights(&Design::new(dataset, &weighting), params.neighbours)?;
    Ok(Scorer::Neighbours(cooccurrence::by_target(&lists)?))
}

#[cfg(test)]
mod tests;
