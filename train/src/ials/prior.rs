//! The map from a book's features to the vector it should have before anyone has read it.
//!
//! Replaces `r_i |y_i|^2` by `r_i |y_i - B'g_i|^2 + lambda_B |B|^2` on the books' side. Given vectors `Y`, features `F`
//! by rows `g_i` and `W = diag(r_i)` over the books with readers, `(F'WF + lambda_B I) B = F'WY`, one system for all
//! columns of `B`, solved by conjugate gradients from the map of the pass before. Books without readers have no say, and
//! get `B'g` in the end: the usual answer to an empty row, `r (a0 E + r)^-1 B'g`, holds their missing readers against
//! them, which for a book that came in today says nothing.

use ndarray::Array2;
use rayon::prelude::*;

use super::gram::Basis;
use crate::{features::Features, matrix::Rows};

/// Steps of conjugate gradients at each pass; the start is the map of the pass before, so few are enough.
const STEPS: usize = 10;
/// Rows of a part of a sum.
const PART: usize = 1024;

/// `B`, with what it is fitted to.
#[derive(Debug)]
pub(super) struct Prior {
    by_book: Rows,
    /// `F'W`: features as rows; books without readers weigh nothing.
    weighted: Rows,
    /// Inverse diagonal of the system, shape `(n_features,)`.
    scales: Vec<f32>,
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
        let ridge = (strength * mean) as f32;
        let weighted = features.by_feature.mapped(|_, book, value| value * weights[book]);
        let scale = |feature: usize| {
            let (with_weights, values) = (weighted.row(feature).1, features.by_feature.row(feature).1);
            (with_weights.iter().zip(values).map(|(weighted, value)| weighted * value).sum::<f32>() + ridge).recip()
        };
        let scales = (0..weighted.len()).map(scale).collect();
        let map = Array2::zeros((weighted.len(), width));
        Self { by_book: features.by_book, weighted, scales, ridge, map }
    }

    /// `B'g` of every book in a basis the map has been turned to, shape `(n_books, width)`.
    pub(super) fn vectors(&self) -> Array2<f32> {
        multiplied(&self.by_book, &self.map)
    }

    /// Turns the map along with the vectors it speaks of.
    pub(super) fn turn(&mut self, basis: &Basis) {
        self.map = basis.turn(std::mem::take(&mut self.map));
    }

    /// Moves the map towards the one that suits `books`, shape `(n_books, width)`, best.
    pub(super) fn fit(&mut self, books: &Array2<f32>) {
        let mut residual = multiplied(&self.weighted, books);
        residual -= &self.applied(&self.map);
        let mut direction = self.scaled(&residual);
        let mut energy = inner(&residual, &direction);
        for _ in 0..STEPS {
            let image = self.applied(&direction);
            let steps = ratios(&energy, &inner(&direction, &image));
            add_columns(&mut self.map, &steps, &direction, 1.0);
            add_columns(&mut residual, &steps, &image, -1.0);
            let mut next = self.scaled(&residual);
            let next_energy = inner(&residual, &next);
            add_columns(&mut next, &ratios(&next_energy, &energy), &direction, 1.0);
            (direction, energy) = (next, next_energy);
        }
    }

    /// `lambda_B |B|^2`.
    pub(super) fn value(&self) -> f64 {
        f64::from(self.ridge) * self.map.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>()
    }

    /// `(F'WF + lambda_B I) B`.
    fn applied(&self, map: &Array2<f32>) -> Array2<f32> {
        let mut image = multiplied(&self.weighted, &multiplied(&self.by_book, map));
        image.scaled_add(self.ridge, map);
        image
    }

    /// Row by row over the diagonal.
    fn scaled(&self, residual: &Array2<f32>) -> Array2<f32> {
        let mut scaled = residual.clone();
        scaled.outer_iter_mut().zip(&self.scales).for_each(|(mut row, scale)| row *= *scale);
        scaled
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

/// Inner products of like columns, shape `(width,)`, in parts whose number does not depend on the threads.
fn inner(a: &Array2<f32>, b: &Array2<f32>) -> Vec<f64> {
    let width = a.ncols();
    let part = PART * width;
    let (a, b) = (a.as_slice().expect("standard layout"), b.as_slice().expect("standard layout"));
    let parts: Vec<Vec<f64>> = (a.par_chunks(part).zip(b.par_chunks(part)))
        .map(|(a, b)| {
            let mut sums = vec![0.0; width];
            for (a, b) in a.chunks_exact(width).zip(b.chunks_exact(width)) {
                sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += f64::from(*a) * f64::from(*b));
            }
            sums
        })
        .collect();
    let mut total = vec![0.0; width];
    for part in parts {
        total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
    }
    total
}

/// Column by column; where nothing is left to divide by, nothing is left to do.
fn ratios(above: &[f64], below: &[f64]) -> Vec<f32> {
    above.iter().zip(below).map(|(above, below)| if *below > 0.0 { (above / below) as f32 } else { 0.0 }).collect()
}

/// `to(i, k) += sign factors(k) from(i, k)`.
fn add_columns(to: &mut Array2<f32>, factors: &[f32], from: &Array2<f32>, sign: f32) {
    let part = PART * factors.len();
    let to = to.as_slice_mut().expect("standard layout").par_chunks_mut(part);
    to.zip(from.as_slice().expect("standard layout").par_chunks(part)).for_each(|(to, from)| {
        for (to, from) in to.chunks_exact_mut(factors.len()).zip(from.chunks_exact(factors.len())) {
            to.iter_mut().zip(from.iter().zip(factors)).for_each(|(to, (from, factor))| *to += sign * factor * from);
        }
    });
}
