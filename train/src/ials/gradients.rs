//! Rows with many pairs by conjugate gradients, which in the eigenbasis need no more than the pairs' own vectors.
//!
//! `(I + H'H) v = H' C^1/2 t`, `x = D^-1/2 v`: the all-pairs part and the ridge are already divided out, so a step is
//! one pass over `H`, `4 s d` operations, where the exact way takes `s^2 d`. The system's eigenvalues lie above one and
//! most of them near it, so few steps do. Steps go on until the residual is so small that what is left of the
//! objective cannot be told from rounding; a row that does not get there in time is left to the exact way.

use pulp::Simd;

use super::{
    kernel::{Buffer, Line, WIDE, load, prefetch, store},
    panels::sum,
    row::Row,
};

/// Steps after which a row counts as badly conditioned.
const MOST_STEPS: usize = 24;
/// Residual over right side at which the answer of a last pass is taken. The system's eigenvalues lie above one, so `v`
/// errs by no more than this share of the right side, and the value of the objective by its square.
pub(super) const EXACT: f64 = 1e-3;
/// The same for the passes before: the next pass turns the other side and with it the answer by more than this.
pub(super) const PASSING: f64 = 1e-2;

/// Vectors that are asked for ahead of the one that is read.
const AHEAD: usize = 4;

/// Buffers of one thread.
#[derive(Debug, Default)]
pub(super) struct Gradients {
    /// `H` by rows, shape `(s, width)`, the number of rows rounded up to fours by zeros.
    tile: Buffer,
    /// `v`.
    solution: Vec<Line>,
    residual: Vec<Line>,
    direction: Vec<Line>,
    /// The direction's image under the system.
    image: Vec<Line>,
}

impl Gradients {
    /// `v` up to a residual of `enough` and the value of the row's part of the objective there, or `None` where the steps do
    /// not suffice.
    #[inline(always)]
    pub(super) fn solve<S: Simd, const N: usize>(
        &mut self,
        simd: S,
        row: &Row<'_>,
        enough: f64,
    ) -> Option<(&[Line], f64)> {
        let n_lines = row.shrink.len() / WIDE;
        let tile = self.tile.lines(row.len().next_multiple_of(4) * n_lines);
        for buffer in [&mut self.solution, &mut self.residual] {
            buffer.clear();
            buffer.resize(n_lines, [0.0; WIDE]);
        }
        let mut squares = 0.0;
        (0..row.len().min(AHEAD)).for_each(|i| prefetch(row.vector(i)));
        for (i, to) in tile.chunks_exact_mut(n_lines).enumerate() {
            if i >= row.len() {
                to.fill([0.0; WIDE]);
                continue;
            }
            if i + AHEAD < row.len() {
                prefetch(row.vector(i + AHEAD));
            }
            let (root, target) = (row.root(i), row.root(i) * row.target(i));
            squares += f64::from(target).powi(2);
            let (scale, target) = (simd.splat_f32s(root), simd.splat_f32s(target));
            let (vector, shrink) = (row.vector(i).as_chunks::<WIDE>().0, row.shrink.as_chunks::<WIDE>().0);
            for line in 0..n_lines {
                let (z, shrink) = (load::<S, N>(&vector[line]), load::<S, N>(&shrink[line]));
                let mut right = load::<S, N>(&self.residual[line]);
                let mut h = z;
                for n in 0..N {
                    h[n] = simd.mul_f32s(z[n], simd.mul_f32s(shrink[n], scale));
                    right[n] = simd.mul_add_e_f32s(target, h[n], right[n]);
                }
                store::<S, N>(&mut to[line], h);
                store::<S, N>(&mut self.residual[line], right);
            }
        }
        let tile = &*tile;
        self.direction.clone_from(&self.residual);
        let whole = dot::<S, N>(simd, &self.residual, &self.residual);
        let (mut energy, mut gain) = (whole, 0.0);
        for _ in 0..MOST_STEPS {
            self.image.clone_from(&self.direction);
            add_image::<S, N>(simd, tile, &self.direction, &mut self.image);
            let step = energy / dot::<S, N>(simd, &self.direction, &self.image);
            // The residual is orthogonal to what was gained before, so the gains add up.
            gain += step * energy;
            add_scaled::<S, N>(simd, &mut self.solution, step as f32, &self.direction);
            add_scaled::<S, N>(simd, &mut self.residual, -step as f32, &self.image);
            let left = dot::<S, N>(simd, &self.residual, &self.residual);
            if left <= enough * enough * whole {
                return Some((&self.solution, squares - gain));
            }
            turn::<S, N>(simd, &mut self.direction, (left / energy) as f32, &self.residual);
            energy = left;
        }
        None
    }
}

/// `image += H'H direction`, four rows of `H` at a time: each row is read twice while it is near.
#[inline(always)]
fn add_image<S: Simd, const N: usize>(simd: S, tile: &[Line], direction: &[Line], image: &mut [Line]) {
    let n_lines = direction.len();
    for rows in tile.chunks_exact(4 * n_lines) {
        let rows: [&[Line]; 4] = std::array::from_fn(|r| &rows[r * n_lines..][..n_lines]);
        let mut sums = [[simd.splat_f32s(0.0); N]; 4];
        for line in 0..n_lines {
            let direction = load::<S, N>(&direction[line]);
            for r in 0..4 {
                let h = load::<S, N>(&rows[r][line]);
                for n in 0..N {
                    sums[r][n] = simd.mul_add_e_f32s(h[n], direction[n], sums[r][n]);
                }
            }
        }
        let mut factors = [simd.splat_f32s(0.0); 4];
        for r in 0..4 {
            let mut each = [0.0; WIDE];
            store::<S, N>(&mut each, sums[r]);
            factors[r] = simd.splat_f32s(sum(&each));
        }
        for line in 0..n_lines {
            let mut to = load::<S, N>(&image[line]);
            for r in 0..4 {
                let h = load::<S, N>(&rows[r][line]);
                for n in 0..N {
                    to[n] = simd.mul_add_e_f32s(factors[r], h[n], to[n]);
                }
            }
            store::<S, N>(&mut image[line], to);
        }
    }
}

/// Inner product; sixteen sums, added in a fixed order.
#[inline(always)]
fn dot<S: Simd, const N: usize>(simd: S, a: &[Line], b: &[Line]) -> f64 {
    let mut sums = [simd.splat_f32s(0.0); N];
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (load::<S, N>(a), load::<S, N>(b));
        for n in 0..N {
            sums[n] = simd.mul_add_e_f32s(a[n], b[n], sums[n]);
        }
    }
    let mut each = [0.0; WIDE];
    store::<S, N>(&mut each, sums);
    f64::from(sum(&each))
}

/// `to += factor from`.
#[inline(always)]
fn add_scaled<S: Simd, const N: usize>(simd: S, to: &mut [Line], factor: f32, from: &[Line]) {
    let factor = simd.splat_f32s(factor);
    for (to, from) in to.iter_mut().zip(from) {
        let (mut sums, from) = (load::<S, N>(to), load::<S, N>(from));
        for n in 0..N {
            sums[n] = simd.mul_add_e_f32s(factor, from[n], sums[n]);
        }
        store::<S, N>(to, sums);
    }
}

/// `to = factor to + from`.
#[inline(always)]
fn turn<S: Simd, const N: usize>(simd: S, to: &mut [Line], factor: f32, from: &[Line]) {
    let factor = simd.splat_f32s(factor);
    for (to, from) in to.iter_mut().zip(from) {
        let (mut values, from) = (load::<S, N>(to), load::<S, N>(from));
        for n in 0..N {
            values[n] = simd.mul_add_e_f32s(factor, values[n], from[n]);
        }
        store::<S, N>(to, values);
    }
}
