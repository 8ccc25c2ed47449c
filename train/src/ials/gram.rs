//! The Gram matrix of one side, and the rotation into its eigenbasis.

use linfa_linalg::eigh::Eigh;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::Side;
use crate::error::Error;

/// Rows of a tile that is widened to `f64` at a time.
const TILE_ROWS: usize = 512;
/// Partial sums, whatever the number of threads: the order of the additions, and so the bytes, stays the same.
const PARTS: usize = 16;

/// `V'V` of vectors `V`, shape `(n, d)` to `(d, d)`, accumulated in `f64`.
pub(super) fn gram(vectors: ArrayView2<'_, f32>) -> Array2<f64> {
    let (n, d) = vectors.dim();
    let per_part = n.div_ceil(PARTS).max(1);
    let parts: Vec<Array2<f64>> = (0..n.div_ceil(per_part))
        .into_par_iter()
        .map(|part| {
            let rows = vectors.slice_axis(Axis(0), (part * per_part..n.min((part + 1) * per_part)).into());
            let mut sum = Array2::zeros((d, d));
            for tile in rows.axis_chunks_iter(Axis(0), TILE_ROWS) {
                let tile = tile.mapv(f64::from);
                ndarray::linalg::general_mat_mul(1.0, &tile.t(), &tile, 1.0, &mut sum);
            }
            sum
        })
        .collect();
    parts.into_iter().fold(Array2::zeros((d, d)), |sum, part| sum + part)
}

/// The vectors in the eigenbasis of their Gram matrix: inner products do not change, the Gram matrix is diagonal.
pub(super) fn rotated(vectors: &Array2<f32>) -> Result<Side, Error> {
    let gram = gram(vectors.view());
    let (eigenvalues, basis) = gram.eigh().map_err(|error| Error::Eigen(error.to_string()))?;
    let basis = basis.mapv(|value| value as f32);
    let mut turned = Array2::zeros(vectors.dim());
    let tile_len = TILE_ROWS * basis.ncols();
    turned.as_slice_mut().expect("a fresh matrix is contiguous").par_chunks_mut(tile_len).enumerate().for_each(
        |(tile, turned)| {
            let rows = turned.len() / basis.ncols();
            let from = vectors.slice_axis(Axis(0), (tile * TILE_ROWS..tile * TILE_ROWS + rows).into());
            let mut to = ArrayViewMut2::from_shape((rows, basis.ncols()), turned).expect("a tile holds whole rows");
            ndarray::linalg::general_mat_mul(1.0, &from, &basis, 0.0, &mut to);
        },
    );
    // Rounding can push a vanishing eigenvalue below zero.
    Ok(Side { vectors: turned, eigenvalues: eigenvalues.iter().map(|e| e.max(0.0)).collect() })
}
