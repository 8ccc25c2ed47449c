//! iALS: matrix factorisation for implicit feedback by alternating exact least squares.
//!
//! The objective is that of Rendle et al. 2021 (arXiv 2110.14037) with frequency-scaled regularisation:
//! `sum over pairs of c (1 - x.y)^2 + a0 sum over all of (x.y)^2 + sum of ridge |x|^2 + sum of ridge |y|^2`.
//! Each half-epoch rotates the fixed side into the eigenbasis of its own Gram matrix, where the all-pairs part is a
//! diagonal, and then solves the rows of the other side exactly and independently; see `ials/solve.rs`.
//!
//! Confidences `c` other than 1 (weights, half-lives) shape the book vectors only: a fold-in at request time counts each
//! book of the history once, so fold-in equals training exactly when all confidences are 1.

#![expect(
    clippy::inline_always,
    reason = "a kernel is compiled for the vectors of its caller only where it is inlined"
)]
#![expect(clippy::needless_range_loop, reason = "kernels count lanes and columns of several arrays at once")]

mod gradients;
mod gram;
mod kernel;
mod lanes;
mod panels;
mod prior;
mod row;
mod solve;
mod warm;

use models::{Artifact, Factors, Objective, Scorer};
use ndarray::{Array2, Axis, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};

use self::{
    gradients::{EXACT, PASSING},
    kernel::WIDE,
    prior::Prior,
    solve::{HalfEpoch, Solved},
};
use crate::{
    algorithm::Progress,
    dataset::Dataset,
    error::{Error, positive, share},
    features::Features,
    matrix::{Matrix, Rows},
    popularity::check_half_life,
};

/// Settings of iALS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Length of the vectors, 1 to 1024. Clipped to the number of books or readers, whichever is less.
    pub factors: usize,
    /// Passes over both sides, at least 1.
    pub epochs: usize,
    /// `a0`: weight of every reader-book pair; `None` takes it from the data, see [`weight_for`].
    pub unobserved_weight: Option<f64>,
    /// `lambda`: strength of the regularisation.
    pub regularization: f64,
    /// `nu`: how the ridge grows with a row's evidence, 0 (not) to 1 (in proportion).
    pub frequency_exponent: f64,
    /// Days after which an interaction counts half; only on a clock.
    pub half_life_days: Option<f64>,
    /// Whether books start from what the catalogue says of them (authors, subjects, series, words of the title, language,
    /// decade), through a map that is learned along: then books without any reader have vectors too.
    pub features: bool,
    /// `lambda_B`: strength of the map's own regularisation, in units of the books' mean ridge.
    pub feature_regularization: f64,
    /// Passes when the fit starts from an earlier model of the same books, at least 1.
    pub warm_epochs: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            factors: 192,
            epochs: 10,
            unobserved_weight: None,
            regularization: 0.006,
            frequency_exponent: 1.0,
            half_life_days: None,
            features: false,
            feature_regularization: 1.0,
            warm_epochs: 3,
        }
    }
}

impl Params {
    fn objective(&self, matrix: &Matrix) -> Result<Objective, Error> {
        for (field, value, most) in
            [("factors", self.factors, 1024), ("epochs", self.epochs, 1000), ("warm_epochs", self.warm_epochs, 1000)]
        {
            if value == 0 || value > most {
                let expected = if field == "factors" { "1 to 1024" } else { "1 to 1000" };
                return Err(Error::Setting { field, expected, found: value.to_string() });
            }
        }
        positive("feature_regularization", self.feature_regularization)?;
        let unobserved_weight = self.unobserved_weight.unwrap_or_else(|| weight_for(matrix));
        Ok(Objective {
            unobserved_weight: positive("unobserved_weight", unobserved_weight)? as f32,
            regularization: positive("regularization", self.regularization)? as f32,
            frequency_exponent: share("frequency_exponent", self.frequency_exponent)? as f32,
        })
    }
}

/// The weight of every pair that suits a matrix: `15 n_pairs / (n_readers n_books)`, in `[0.001, 0.5]`.
///
/// Under it all the books weigh 15 times a reader's mean history, whatever the size of the catalogue. A coarse grid on
/// four sets was best between 5 and 27 times, at its edge on the two dense ones; a fixed 0.01, which suits sparse
/// check-ins, gave 0.128 NDCG where 0.3 gave 0.231 on dense ratings. A rule of thumb, not an optimum.
pub fn weight_for(matrix: &Matrix) -> f64 {
    let n_cells = matrix.by_reader().len() as f64 * matrix.by_book().len() as f64;
    (15.0 * matrix.n_pairs() as f64 / n_cells.max(1.0)).clamp(0.001, 0.5)
}

/// One side's vectors with what the other side's solve needs of them.
#[derive(Debug)]
struct Side {
    /// Vectors in the eigenbasis of their Gram matrix, shape `(n, width)`; the width is `d` rounded up to whole lines.
    vectors: Array2<f32>,
    /// Eigenvalues of the Gram matrix, shape `(width,)`, not negative, zero beyond `d`.
    eigenvalues: Vec<f64>,
    /// The same as the solvers use them.
    weights: Vec<f32>,
}

impl Side {
    fn new(vectors: Array2<f32>, eigenvalues: Vec<f64>) -> Self {
        let weights = eigenvalues.iter().map(|e| *e as f32).collect();
        Self { vectors, eigenvalues, weights }
    }

    fn width(&self) -> usize {
        self.eigenvalues.len()
    }
}

/// Alternates until the passes are done; the books are solved last, then rotated once more and stored.
///
/// `previous` is an earlier model: if it holds vectors of the books of most pairs, they are the start, and
/// `warm_epochs` passes are enough. The objective is always that of the data and settings given.
pub(crate) fn fit(
    params: &Params,
    previous: Option<&Artifact>,
    dataset: &Dataset,
    seed: u64,
    progress: &dyn Fn(Progress),
) -> Result<Scorer, Error> {
    check_half_life(params.half_life_days)?;
    let matrix = Matrix::new(dataset, params.half_life_days);
    let objective = params.objective(&matrix)?;
    let d = params.factors.min(matrix.by_reader().len()).min(matrix.by_book().len());
    let mut unsorted = start(matrix.by_book(), d, seed);
    let warm = previous.is_some_and(|previous| warm::start(&mut unsorted, d, previous, dataset, &matrix));
    let epochs = if warm { params.warm_epochs } else { params.epochs };

    let (matrix, book_of_place) = matrix.by_degree();
    let first = unsorted.select(Axis(0), &book_of_place.iter().map(|book| *book as usize).collect::<Vec<_>>());
    drop(unsorted);
    let width = first.ncols();
    let unobserved_weight = f64::from(objective.unobserved_weight);
    let reader_ridges = ridges(objective, matrix.by_reader(), matrix.by_book().len());
    let book_ridges = ridges(objective, matrix.by_book(), matrix.by_reader().len());
    let mut prior = params.features.then(|| {
        let features = Features::of(dataset.catalogue(), &book_of_place);
        Prior::new(features, matrix.by_book(), &book_ridges, params.feature_regularization, width)
    });
    // The first vectors after a cold start say little that features could explain.
    let map_from = if warm { 1 } else { 2 };
    let (mut books, _) = gram::rotated(first, d)?;
    let mut readers = Array2::zeros((matrix.by_reader().len(), width));
    for epoch in 1..=epochs {
        let enough = if epoch < epochs { PASSING } else { EXACT };
        let solve = |rows: &Rows, fixed: &Side, ridges: &[f64], priors: Option<&Array2<f32>>, into: Array2<f32>| {
            HalfEpoch { rows, fixed, ridges, unobserved_weight, priors, enough }.solve(into)
        };
        let Solved { vectors, ridge, .. } = solve(matrix.by_reader(), &books, &reader_ridges, None, readers);
        let (fixed, basis) = gram::rotated(vectors, d)?;
        let guesses = prior.as_mut().map(|prior| {
            prior.turn(&basis);
            prior.vectors()
        });
        let solved = solve(matrix.by_book(), &fixed, &book_ridges, guesses.as_ref(), books.vectors);
        let map_value = prior.as_ref().map_or(0.0, Prior::value);
        let (rotated, basis) = gram::rotated(solved.vectors, d)?;
        (books, readers) = (rotated, fixed.vectors);
        if let Some(prior) = &mut prior {
            prior.turn(&basis);
            if epoch >= map_from.min(epochs - 1) {
                prior.fit(&books.vectors);
            }
        }
        progress(Progress { epoch, epochs, loss: solved.value + ridge + map_value });
    }
    // Books without readers took no part so far, nor do their missing pairs count against them.
    if let Some(prior) = &prior {
        let guesses = prior.vectors();
        for (book, mut vector) in books.vectors.outer_iter_mut().enumerate() {
            if matrix.by_book().degree(book) == 0 {
                vector.assign(&guesses.row(book));
            }
        }
    }
    let mut vectors = Array2::zeros((books.vectors.nrows(), d));
    for (place, book) in book_of_place.iter().enumerate() {
        vectors.row_mut(*book as usize).assign(&books.vectors.slice(s![place, ..d]));
    }
    let eigenvalues = books.eigenvalues[..d].iter().map(|e| *e as f32).collect();
    Ok(Scorer::Factors(Factors::new(vectors, eigenvalues, objective)?))
}

/// The ridge of each row, shape `(n_rows,)`.
fn ridges(objective: Objective, rows: &Rows, n_other: usize) -> Vec<f64> {
    rows.totals().into_iter().map(|total| objective.ridge(total, n_other)).collect()
}

/// Starting vectors: `N(0, 0.1 / sqrt(d))` in the first `d` columns; books without readers start and stay at zero, or
/// they would enter the Gram.
fn start(by_book: &Rows, d: usize, seed: u64) -> Array2<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let normal = Normal::new(0.0, 0.1 / (d as f64).sqrt()).expect("a positive spread is a distribution");
    let mut vectors = Array2::zeros((by_book.len(), d.next_multiple_of(WIDE)));
    for (book, mut vector) in vectors.outer_iter_mut().enumerate() {
        if by_book.degree(book) > 0 {
            vector.iter_mut().take(d).for_each(|value: &mut f32| *value = normal.sample(&mut random) as f32);
        }
    }
    vectors
}

#[cfg(test)]
mod tests;
