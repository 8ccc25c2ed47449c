//! The Gram matrix of one side, and the rotation into its eigenbasis.

use faer::{
    Mat, MatRef, Par,
    diag::Diag,
    dyn_stack::{MemBuffer, MemStack},
    linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch},
    prelude::default,
};
use ndarray::Array2;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{
    Side,
    kernel::{Buffer, Line, Scaled, WIDE, side_by_side},
    panels::{add_gram, multiply},
};
use crate::error::Error;

/// Rows of a tile that is summed in `f32` before it is added in `f64`.
const TILE_ROWS: usize = 256;
/// Partial sums, whatever the number of threads: the order of the additions, and so the bytes, stays the same.
const PARTS: usize = 16;

/// `V'V` of vectors `V`, shape `(n, width)`: the upper triangle of a `(width, width)` matrix, row by row.
pub(super) fn gram(vectors: &Array2<f32>) -> Vec<f64> {
    let (n, width) = vectors.dim();
    let values = vectors.as_slice().expect("vectors are in standard layout");
    let per_part = n.div_ceil(PARTS).max(1);
    let parts: Vec<Vec<f64>> = values
        .par_chunks(per_part * width)
        .map(|rows| {
            let (mut sum, mut tile) = (vec![0.0; width * width], Buffer::default());
            for rows in rows.chunks(TILE_ROWS * width) {
                let n_rows = rows.len() / width;
                let tile = tile.lines(n_rows * width / WIDE);
                for (i, row) in rows.chunks_exact(width).enumerate() {
                    for (panel, line) in row.as_chunks::<WIDE>().0.iter().enumerate() {
                        tile[panel * n_rows + i] = *line;
                    }
                }
                Arch::new().dispatch(AddGram { tile, width, sum: &mut sum });
            }
            sum
        })
        .collect();
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_else(|| vec![0.0; width * width]);
    for part in parts {
        total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
    }
    total
}

/// The vectors in the eigenbasis of their Gram matrix: inner products do not change, the Gram matrix is diagonal.
///
/// `vectors` has shape `(n, width)`, of which the first `d` columns are used and the others are zero, as in the answer.
pub(super) fn rotated(vectors: Array2<f32>, d: usize) -> Result<(Side, Basis), Error> {
    let basis = Basis::of(&gram(&vectors), d, vectors.ncols())?;
    let side = Side::new(basis.turn(vectors), basis.eigenvalues.clone());
    Ok((side, basis))
}

/// The eigenvectors of a Gram matrix.
#[derive(Debug)]
pub(super) struct Basis {
    /// Eigenvectors as columns, by panels, shape `(width / 16, width, 16)`.
    panels: Vec<Line>,
    /// Eigenvalues, ascending, not negative, then zeros up to the width.
    eigenvalues: Vec<f64>,
}

impl Basis {
    /// From the upper triangle of the leading `(d, d)` part. On one thread, so that its bytes are always the same.
    fn of(gram: &[f64], d: usize, width: usize) -> Result<Self, Error> {
        let mirrored = MatRef::from_row_major_slice_with_stride(gram, d, d, width).transpose();
        let (mut values, mut vectors) = (Diag::<f64>::zeros(d), Mat::<f64>::zeros(d, d));
        let scratch = self_adjoint_evd_scratch::<f64>(d, ComputeEigenvectors::Yes, Par::Seq, default());
        let mut memory = MemBuffer::new(scratch);
        let stack = MemStack::new(&mut memory);
        self_adjoint_evd(mirrored, values.as_mut(), Some(vectors.as_mut()), Par::Seq, stack, default())
            .map_err(|error| Error::Eigen(format!("{error:?}")))?;
        let mut panels = vec![[0.0; WIDE]; width / WIDE * width];
        for j in 0..d {
            for i in 0..d {
                panels[j / WIDE * width + i][j % WIDE] = vectors[(i, j)] as f32;
            }
        }
        // Rounding can push a vanishing eigenvalue below zero.
        let mut eigenvalues: Vec<f64> = values.column_vector().iter().map(|e| e.max(0.0)).collect();
        eigenvalues.resize(width, 0.0);
        Ok(Self { panels, eigenvalues })
    }

    /// Rows of `vectors`, shape `(n, width)`, in this basis.
    pub(super) fn turn(&self, mut vectors: Array2<f32>) -> Array2<f32> {
        let width = vectors.ncols();
        let (ones, zeros) = (vec![1.0; width], vec![0.0; width]);
        let tiles = vectors.as_slice_mut().expect("vectors are in standard layout").par_chunks_mut(WIDE * width);
        tiles.with_min_len(4).for_each_init(Buffer::default, |buffer, rows| {
            Arch::new().dispatch(Turn { rows, ones: &ones, zeros: &zeros, panels: &self.panels, buffer });
        });
        vectors
    }
}

struct AddGram<'a> {
    tile: &'a [Line],
    width: usize,
    sum: &'a mut [f64],
}

impl WithSimd for AddGram<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => add_gram::<S, 1>(simd, self.tile, self.width, self.sum),
            8 => add_gram::<S, 2>(simd, self.tile, self.width, self.sum),
            4 => add_gram::<S, 4>(simd, self.tile, self.width, self.sum),
            _ => add_gram::<S, WIDE>(simd, self.tile, self.width, self.sum),
        }
    }
}

struct Turn<'a> {
    /// Up to 16 rows, turned in place.
    rows: &'a mut [f32],
    ones: &'a [f32],
    zeros: &'a [f32],
    panels: &'a [Line],
    buffer: &'a mut Buffer,
}

impl WithSimd for Turn<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.ones.len();
        let mut from = [Scaled { values: self.zeros, factors: self.ones, root: 1.0 }; WIDE];
        from.iter_mut().zip(self.rows.chunks_exact(width)).for_each(|(slot, row)| slot.values = row);
        side_by_side(&from, self.buffer.slice(width * WIDE));
        let turned = &*self.buffer.lines(width);
        match S::F32_LANES {
            16 => multiply::<S, 1>(simd, turned, self.panels, self.rows),
            8 => multiply::<S, 2>(simd, turned, self.panels, self.rows),
            4 => multiply::<S, 4>(simd, turned, self.panels, self.rows),
            _ => multiply::<S, WIDE>(simd, turned, self.panels, self.rows),
        }
    }
}
