//! One half-epoch: the exact least-squares vector of every row, given the other side in its eigenbasis.
//!
//! With `D = diag(a0 e + r)`, confidences `C` and the row's vectors `Z_S`, the answer solves
//! `(D + Z_S' C Z_S) x = Z_S' C 1`. Put `H = C^1/2 Z_S D^-1/2`, shape `(s, d)`. Then with `b = C^1/2 1`
//! - for `s < d` the dual: `(I + H H') w = b`, `x = D^-1/2 H' w`, a system of side `s`;
//! - otherwise the primal: `(I + H' H) v = H' b`, `x = D^-1/2 v`, a system of side `d`.
//!
//! Both are equal by the push-through identity, and their condition is bounded by how much the evidence exceeds the
//! prior, whatever the scale of the factors, which is what makes `f32` enough.

use models::Objective;
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut2, linalg::general_mat_mul, linalg::general_mat_vec_mul};
use rayon::prelude::*;

use super::Side;
use crate::matrix::Rows;

/// Vectors of all rows against the `fixed` side, shape `(n_rows, d)`; zero for rows without pairs.
pub(super) fn rows(rows: &Rows, fixed: &Side, ridges: &[f64], objective: Objective) -> Array2<f32> {
    let d = fixed.eigenvalues.len();
    let mut solved = Array2::<f32>::zeros((rows.len(), d));
    let vectors = solved.as_slice_mut().expect("a fresh matrix is contiguous");
    vectors.par_chunks_mut(d).enumerate().with_min_len(4).for_each_init(Scratch::default, |scratch, (row, x)| {
        let (columns, confidences) = rows.row(row);
        if !columns.is_empty() {
            scratch.solve(fixed, columns, confidences, ridges[row], objective, x);
        }
    });
    solved
}

/// Buffers of one thread.
#[derive(Default)]
struct Scratch {
    /// `D^-1/2`, length `d`.
    shrink: Vec<f32>,
    /// `H` by rows, length `s d`.
    tile: Vec<f32>,
    /// `C^1/2 1`, length `s`.
    target: Vec<f32>,
    /// The system's matrix, then its Cholesky factor.
    system: Vec<f32>,
    /// Its right side, then its solution.
    right: Vec<f32>,
}

impl Scratch {
    fn solve(&mut self, fixed: &Side, columns: &[u32], c: &[f32], ridge: f64, objective: Objective, x: &mut [f32]) {
        let (s, d) = (columns.len(), x.len());
        let a0 = f64::from(objective.unobserved_weight);
        self.shrink.clear();
        self.shrink.extend(fixed.eigenvalues.iter().map(|e| (a0 * e + ridge).sqrt().recip() as f32));
        self.target.clear();
        self.target.extend(c.iter().map(|c| c.sqrt()));
        self.fill_tile(fixed, columns);
        let tile = ArrayView2::from_shape((s, d), &self.tile).expect("the tile holds s rows of d");
        let target = ArrayView1::from(&self.target[..]);
        let side = s.min(d);
        self.system.resize(side * side, 0.0);
        let mut system = ArrayViewMut2::from_shape((side, side), &mut self.system).expect("the system is side x side");
        let mut x_view = ndarray::ArrayViewMut1::from(&mut *x);
        if s < d {
            general_mat_mul(1.0, &tile, &tile.t(), 0.0, &mut system);
            self.right.clear();
            self.right.extend_from_slice(&self.target);
            solve_one_plus(&mut self.system, &mut self.right);
            general_mat_vec_mul(1.0, &tile.t(), &ArrayView1::from(&self.right[..]), 0.0, &mut x_view);
        } else {
            general_mat_mul(1.0, &tile.t(), &tile, 0.0, &mut system);
            general_mat_vec_mul(1.0, &tile.t(), &target, 0.0, &mut x_view);
            solve_one_plus(&mut self.system, x);
        }
        x.iter_mut().zip(&self.shrink).for_each(|(x, shrink)| *x *= shrink);
    }

    fn fill_tile(&mut self, fixed: &Side, columns: &[u32]) {
        let d = self.shrink.len();
        let vectors = fixed.vectors.as_slice().expect("vectors are in standard layout");
        self.tile.clear();
        for (column, root) in columns.iter().zip(&self.target) {
            let vector = &vectors[*column as usize * d..][..d];
            self.tile.extend(vector.iter().zip(&self.shrink).map(|(value, shrink)| value * shrink * root));
        }
    }
}

/// Solves `(I + matrix) x = right` in place by Cholesky; `matrix` is positive semi-definite, so every pivot is >= 1.
fn solve_one_plus(matrix: &mut [f32], right: &mut [f32]) {
    let n = right.len();
    for i in 0..n {
        let (above, row_i) = matrix.split_at_mut(i * n);
        for j in 0..i {
            let row_j = &above[j * n..j * n + n];
            row_i[j] = (row_i[j] - dot(&row_i[..j], &row_j[..j])) * row_j[j];
        }
        // The diagonal holds the pivot's reciprocal: the sweeps below multiply instead of dividing.
        row_i[i] = (1.0 + row_i[i] - dot(&row_i[..i], &row_i[..i])).max(1.0).sqrt().recip();
    }
    for i in 0..n {
        right[i] = (right[i] - dot(&matrix[i * n..i * n + i], &right[..i])) * matrix[i * n + i];
    }
    for i in (0..n).rev() {
        right[i] *= matrix[i * n + i];
        let solved = right[i];
        let (before, _) = right.split_at_mut(i);
        before.iter_mut().zip(&matrix[i * n..i * n + i]).for_each(|(value, factor)| *value -= factor * solved);
    }
}

/// Inner product in eight lanes with a fixed order of additions; the compiler may not reorder a plain sum.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut lanes = [0.0_f32; LANES];
    let (a_whole, b_whole) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_whole.remainder().iter().zip(b_whole.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_whole.zip(b_whole) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    let half = |lanes: &[f32]| (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    half(&lanes[..4]) + half(&lanes[4..]) + rest
}
