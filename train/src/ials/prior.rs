//! The map from a book's features to the vector it should have before anyone has read it.
//!
//! Replaces `r_i |y_i|^2` by `r_i |y_i - B'g_i|^2 + lambda_B |B|^2` on the books' side. Given vectors `Y`, features `F`
//! by rows `g_i` and `W = diag(r_i)` over the books with readers, `(F'WF + lambda_B I) B = F'WY`, one system for all
//! columns of `B`, solved by conjugate gradients from the map of the pass before. Books without readers have no say:
//! their vectors are made of the map.

use ndarray::Array2;
use rayon::prelude::*;

use super::gram::Basis;
use crate::{features::Features, matrix::Rows};

/// Steps of conjugate gradients at each pass; the start is the map of the pass before, so few are enough.
const STEPS: usize = 10;

/// `B`, with what it is fitted to.
#[derive(Debug)]
pub(super) struct Prior {
    features: Features,
    /// `r_i` of books with readers, else 0, shape `(n_books,)`.
    weights: Vec<f32>,
    /// `lambda_B`.
    ridge: f32,
    /// `B`, shape `(n_features, width)`.
    map: Array2<f32>,
}

impl Prior {
    /// A map that gives every book zero. `strength` is `lambda_B` over the mean of the weights that are not zero.
    pub(super) fn new(features: Features, by_book: &Rows, ridges: &[f64], strength: f64, width: usize) -> Self {
        let read = |book: usize| by_book.degree(book) > 0;
        let weight = |(book, ridge): (usize, &f64)| if read(book) { *ridge as f32 } else { 0.0 };
        let weights: Vec<f32> = ridges.iter().enumerate().map(weight).collect();
        let n_read = (0..by_book.len()).filter(|book| read(*book)).count();
        let mean = weights.iter().copied().map(f64::from).sum::<f64>() / n_read.max(1) as f64;
        let map = Array2::zeros((features.by_feature.len(), width));
        Self { features, weights, ridge: (strength * mean) as f32, map }
    }

    /// `B'g` of every book in a basis the map has been turned to, shape `(n_books, width)`.
    pub(super) fn vectors(&self) -> Array2<f32> {
        multiplied(&self.features.by_book, &self.map)
    }

    /// Turns the map along with the vectors it speaks of.
    pub(super) fn turn(&mut self, basis: &Basis) {
        self.map = basis.turn(&self.map);
    }

    /// Moves the map towards the one that suits `books`, shape `(n_books, width)`, best.
    pub(super) fn fit(&mut self, books: &Array2<f32>) {
        let columns = |a: &Array2<f32>, b: &Array2<f32>| inner(a, b);
        let scales = self.scales();
        let scaled = |residual: &Array2<f32>| {
            let mut scaled = residual.clone();
            scaled.outer_iter_mut().zip(&scales).for_each(|(mut row, scale)| row.mapv_inplace(|value| value * scale));
            scaled
        };
        let mut residual = multiplied(&self.features.by_feature, &self.weighted(books.clone()));
        residual -= &self.applied(&self.map);
        let mut direction = scaled(&residual);
        let mut energy = columns(&residual, &direction);
        for _ in 0..STEPS {
            let image = self.applied(&direction);
            let steps = ratios(&energy, &columns(&direction, &image));
            add_columns(&mut self.map, &steps, &direction, 1.0);
            add_columns(&mut residual, &steps, &image, -1.0);
            let next = scaled(&residual);
            let next_energy = columns(&residual, &next);
            let mut ahead = next;
            add_columns(&mut ahead, &ratios(&next_energy, &energy), &direction, 1.0);
            (direction, energy) = (ahead, next_energy);
        }
    }

    /// `lambda_B |B|^2`.
    pub(super) fn value(&self) -> f64 {
        f64::from(self.ridge) * self.map.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>()
    }

    /// `(F'WF + lambda_B I) B`.
    fn applied(&self, map: &Array2<f32>) -> Array2<f32> {
        let books = self.weighted(multiplied(&self.features.by_book, map));
        let mut image = multiplied(&self.features.by_feature, &books);
        image.scaled_add(self.ridge, map);
        image
    }

    fn weighted(&self, mut books: Array2<f32>) -> Array2<f32> {
        books
            .outer_iter_mut()
            .zip(&self.weights)
            .for_each(|(mut row, weight)| row.mapv_inplace(|value| value * weight));
        books
    }

    /// Inverse diagonal of the system, shape `(n_features,)`.
    fn scales(&self) -> Vec<f32> {
        let of_feature = |feature: usize| {
            let (books, values) = self.features.by_feature.row(feature);
            let sum: f32 =
                books.iter().zip(values).map(|(book, value)| self.weights[*book as usize] * value * value).sum();
            (sum + self.ridge).recip()
        };
        (0..self.features.by_feature.len()).map(of_feature).collect()
    }
}

/// A sparse matrix times a dense one of `width` columns; each row on its own, so any number of threads agrees.
fn multiplied(rows: &Rows, matrix: &Array2<f32>) -> Array2<f32> {
    let width = matrix.ncols();
    let from = matrix.as_slice().expect("standard layout");
    let mut product = Array2::<f32>::zeros((rows.len(), width));
    let to = product.as_slice_mut().expect("a fresh matrix is contiguous");
    to.par_chunks_mut(width).enumerate().with_min_len(64).for_each(|(row, to)| {
        let (columns, values) = rows.row(row);
        for (column, factor) in columns.iter().zip(values) {
            let from = &from[*column as usize * width..][..width];
            to.iter_mut().zip(from).for_each(|(to, value)| *to += factor * value);
        }
    });
    product
}

/// Inner products of like columns, shape `(width,)`.
fn inner(a: &Array2<f32>, b: &Array2<f32>) -> Vec<f64> {
    let mut sums = vec![0.0; a.ncols()];
    for (a, b) in a.outer_iter().zip(b.outer_iter()) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += f64::from(*a) * f64::from(*b));
    }
    sums
}

/// Column by column; where nothing is left to divide by, nothing is left to do.
fn ratios(above: &[f64], below: &[f64]) -> Vec<f32> {
    above.iter().zip(below).map(|(above, below)| if *below > 0.0 { (above / below) as f32 } else { 0.0 }).collect()
}

/// `to(i, k) += sign factors(k) from(i, k)`.
fn add_columns(to: &mut Array2<f32>, factors: &[f32], from: &Array2<f32>, sign: f32) {
    for (mut to, from) in to.outer_iter_mut().zip(from.outer_iter()) {
        to.iter_mut().zip(from.iter().zip(factors)).for_each(|(to, (from, factor))| *to += sign * factor * from);
    }
}
