//! The objective's value without ever scoring all pairs.

use models::Objective;
use ndarray::Array2;
use rayon::prelude::*;

use super::{Side, gram::gram, solve::dot};
use crate::matrix::{Matrix, Rows};

/// Readers per partial sum; fixed, so that the sum does not depend on the number of threads.
const PART: usize = 1024;

/// `sum of c (1 - x.y)^2 + a0 <X'X, Y'Y> + sum of ridge |x|^2 + sum of ridge |y|^2`.
///
/// `readers` and `books` stand in one basis, shapes `(n_readers, d)` and `(n_books, d)`; that of the readers is the
/// eigenbasis of `X'X`, so only the diagonal of `Y'Y` meets it.
pub(super) fn of(
    matrix: &Matrix,
    readers: &Side,
    books: &Array2<f32>,
    (reader_ridges, book_ridges): (&[f64], &[f64]),
    objective: Objective,
) -> f64 {
    let evidence = evidence(matrix.by_reader(), &readers.vectors, books);
    let all_pairs: f64 = gram(books.view()).diag().iter().zip(&readers.eigenvalues).map(|(g, e)| g * e).sum();
    let ridge = norms(&readers.vectors, reader_ridges) + norms(books, book_ridges);
    evidence + f64::from(objective.unobserved_weight) * all_pairs + ridge
}

fn evidence(by_reader: &Rows, readers: &Array2<f32>, books: &Array2<f32>) -> f64 {
    let d = books.ncols();
    let (x, y) = (readers.as_slice().expect("standard layout"), books.as_slice().expect("standard layout"));
    let of_reader = |reader: usize| -> f64 {
        let (columns, confidences) = by_reader.row(reader);
        let own = &x[reader * d..][..d];
        let misfit = |book: u32| f64::from(1.0 - dot(own, &y[book as usize * d..][..d]));
        columns.iter().zip(confidences).map(|(book, c)| f64::from(*c) * misfit(*book).powi(2)).sum()
    };
    let starts: Vec<usize> = (0..by_reader.len()).step_by(PART).collect();
    let parts: Vec<f64> =
        starts.into_par_iter().map(|start| (start..by_reader.len().min(start + PART)).map(of_reader).sum()).collect();
    parts.into_iter().sum()
}

fn norms(vectors: &Array2<f32>, ridges: &[f64]) -> f64 {
    let squared = |row: ndarray::ArrayView1<'_, f32>| row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
    vectors.outer_iter().zip(ridges).map(|(row, ridge)| ridge * squared(row)).sum()
}
