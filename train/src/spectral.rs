//! Spectral filters of the reader-book graph: what is near, and what is smooth.
//!
//! With `t` the totals of readers and books, `R_ui = c_ui / sqrt(t_u t_i)` and `F = R'R`, whose eigenvalues `x` lie in
//! `[0, 1]`: `score = r D^-a h(F) D^a` for a history `r` and `D = diag(t_i)`, with the response
//! `h(x) = m(x) (x + beta [x among the q largest])`. The first summand is one step through shared readers, the second an
//! ideal low-pass (GF-CF, Shen et al. 2021, arXiv 2108.07567). `m(x) = 1 - Tx + (Tx)^2/2 - (Tx)^3/6 + (Tx)^4/24` then
//! takes back what all directions share, the top most of all: one Runge-Kutta step of size `T` of the sharpening of
//! Choi et al. 2023 (BSPM, arXiv 2211.09324). They leave `x` unframed (`a = 0`) and frame the low-pass by `a = 1/2`; one
//! frame for all ranks as well or better here, and keeps the smooth part at rank `q`.
//!
//! On the `q` leading eigenvectors the response is exact. Beyond them `m` is all but constant and is taken as the number
//! `m(x_q / 2)`, so that the rest is a multiple of the sparse `F`, of which the largest entries are kept.

mod panel;
mod svd;

use models::{Scorer, Spectral};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

pub(crate) use self::svd::SPARE;
use crate::{
    cooccurrence,
    dataset::Dataset,
    error::{Error, share},
    item_knn::check_neighbours,
    matrix::Matrix,
    popularity::check_half_life,
};

/// Settings of the spectral filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// `q`: eigenvectors held, 1 to 2048. Clipped to the rank of the data.
    pub vectors: usize,
    /// `beta`: weight of the low-pass, in `[0, 10]`.
    pub low_pass: f64,
    /// `T`: how much is sharpened, in `[0, 3]`; 0 not at all.
    pub sharpening: f64,
    /// `a`: from 0, popular books count in a history and are offered as they are, to 1: they count less and are offered
    /// more.
    pub popularity_exponent: f64,
    /// How many targets are kept for each source book of the sparse part, at least 1.
    pub neighbours: usize,
    /// Days after which an interaction counts half; only on a clock.
    pub half_life_days: Option<f64>,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            vectors: 384,
            low_pass: 0.2,
            sharpening: 1.0,
            popularity_exponent: 0.35,
            neighbours: 500,
            half_life_days: None,
        }
    }
}

impl Params {
    fn check(&self) -> Result<(), Error> {
        check_half_life(self.half_life_days)?;
        check_neighbours(self.neighbours)?;
        share("popularity_exponent", self.popularity_exponent)?;
        if !(1..=2048).contains(&self.vectors) {
            return Err(Error::Setting { field: "vectors", expected: "1 to 2048", found: self.vectors.to_string() });
        }
        if !(0.0..=10.0).contains(&self.low_pass) {
            let found = self.low_pass.to_string();
            return Err(Error::Setting { field: "low_pass", expected: "a number in [0, 10]", found });
        }
        if !(0.0..=3.0).contains(&self.sharpening) {
            let found = self.sharpening.to_string();
            return Err(Error::Setting { field: "sharpening", expected: "a number in [0, 3]", found });
        }
        Ok(())
    }
}

/// `m(x)`: what one Runge-Kutta step of size `step` of `dy/dt = -y F` leaves of eigenvalue `x`; `exp(-step x)` nearly.
///
/// In `(0, 1]` for `step x` in `[0, 2.78]`, where a step is stable.
fn sharpened(step: f64, x: f64) -> f64 {
    let z = -step * x;
    1.0 + z * (1.0 + z / 2.0 * (1.0 + z / 3.0 * (1.0 + z / 4.0)))
}

/// Normalises, finds the leading eigenvectors and shapes the response; see the module.
pub(crate) fn fit(params: &Params, dataset: &Dataset, seed: u64) -> Result<Scorer, Error> {
    params.check()?;
    let matrix = Matrix::new(dataset, params.half_life_days);
    let (of_readers, of_books) = (matrix.by_reader().totals(), matrix.by_book().totals());
    let by_reader = matrix.by_reader().mapped(|u, i, c| (f64::from(c) / (of_readers[u] * of_books[i]).sqrt()) as f32);
    let by_book = matrix.by_book().mapped(|i, u, c| (f64::from(c) / (of_readers[u] * of_books[i]).sqrt()) as f32);
    // Books nobody read have no total; their rows are empty, so any number will do.
    let raised = |total: &f64| if *total > 0.0 { total.powf(params.popularity_exponent) } else { 1.0 };
    let frame: Vec<f64> = of_books.iter().map(raised).collect();

    let eigen = svd::leading(svd::Sides { by_row: &by_reader, by_column: &by_book }, params.vectors, seed)?;
    let m = |x: f64| sharpened(params.sharpening, x);
    let beyond = m(eigen.values.last().copied().unwrap_or(0.0) / 2.0);
    let correction: Vec<f64> = eigen.values.iter().map(|x| (m(*x) - beyond) * x + params.low_pass * m(*x)).collect();

    let step = |i: usize, j: usize, f: f32| (beyond * f64::from(f) * frame[j] / frame[i]) as f32;
    let lists = cooccurrence::best_of_rows(&by_book, &by_reader, params.neighbours, step);
    let near = cooccurrence::by_source(&lists)?;
    drop(lists);
    let vectors = eigen.vectors;
    let source = |(i, k)| (f64::from(vectors[(i, k)]) * correction[k] / frame[i]) as f32;
    let sources = Array2::from_shape_fn(vectors.dim(), source);
    let mut targets = vectors;
    targets.indexed_iter_mut().for_each(|((j, _), value)| *value = (f64::from(*value) * frame[j]) as f32);
    Ok(Scorer::Spectral(Spectral::new(near, &sources, &targets)?))
}

#[cfg(test)]
mod tests;
