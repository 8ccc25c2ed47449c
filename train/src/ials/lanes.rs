//! Small duals, as many at once as a vector has lanes: each lane is a row's own system, so nothing waits for anything.
//!
//! The systems of a batch are made equally large by rows of zeros, which turn the missing part of `I + HH'` into the
//! identity and change no bit of the rest. Gram matrix and Cholesky factor are one left-looking sweep: a block of
//! `I + HH'` is summed over the factors, reduced by the columns already factored, factored, and stored once.

use pulp::Simd;

use super::{
    kernel::{Buffer, Scaled, WIDE, add_inner, prefetch, side_by_side},
    row::Row,
};

/// Buffers of one thread.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// `H` of all lanes, shape `(s, width, lanes)`.
    tile: Buffer,
    /// Lower Cholesky factor with its diagonal inverted, shape `(s, s, lanes)`.
    factor: Buffer,
    /// `C^1/2 t`, shape `(s, lanes)`.
    target: Buffer,
    /// The solution `w`, shape `(s, lanes)`.
    weights: Buffer,
}

impl Lanes {
    /// Solves as many rows as `S` has lanes, or fewer, each of at most `s` pairs, `s` a multiple of four.
    #[inline(always)]
    pub(super) fn solve<S: Simd>(&mut self, simd: S, rows: &[Row<'_>], width: usize, s: usize, zeros: &[f32]) {
        let lanes = S::F32_LANES;
        self.fill(lanes, rows, width, s, zeros);
        let tile = S::as_simd_f32s(self.tile.slice(s * width * lanes)).0;
        let factor = S::as_mut_simd_f32s(self.factor.slice(s * s * lanes)).0;
        factorise(simd, tile, factor, s, width);
        let target = S::as_simd_f32s(self.target.slice(s * lanes)).0;
        let weights = S::as_mut_simd_f32s(self.weights.slice(s * lanes)).0;
        weights.copy_from_slice(target);
        solve_factored(simd, factor, weights, s);
    }

    /// Of the row in `lane` of `lanes`: puts `C^1/2 w` into `own`, and gives `t' C^1/2 w`.
    pub(super) fn answer(&mut self, lane: usize, lanes: usize, row: &Row<'_>, own: &mut Vec<f32>) -> f64 {
        let (target, weights) = (self.target.slice(row.len() * lanes), self.weights.slice(row.len() * lanes));
        let pairs = target.chunks_exact(lanes).zip(weights.chunks_exact(lanes));
        let value = pairs.clone().map(|(t, w)| f64::from(t[lane]) * f64::from(w[lane])).sum();
        own.clear();
        own.extend(pairs.enumerate().map(|(i, (_, w))| w[lane] * row.root(i)));
        value
    }

    /// Tile and targets of all lanes.
    #[inline(always)]
    fn fill(&mut self, lanes: usize, rows: &[Row<'_>], width: usize, s: usize, zeros: &[f32]) {
        let tile = self.tile.slice(s * width * lanes);
        let target = self.target.slice(s * lanes);
        let nothing = Scaled { values: zeros, factors: zeros, root: 0.0 };
        let mut from = [nothing; WIDE];
        let from = &mut from[..lanes];
        for (i, tile) in tile.chunks_exact_mut(width * lanes).enumerate() {
            rows.iter().filter(|row| i + 1 < row.len()).for_each(|row| prefetch(row.vector(i + 1)));
            for (lane, slot) in from.iter_mut().enumerate() {
                let row = rows.get(lane).filter(|row| i < row.len());
                *slot = row.map_or(nothing, |row| row.scaled(i));
                target[i * lanes + lane] = row.map_or(0.0, |row| row.root(i) * row.target(i));
            }
            side_by_side(from, tile);
        }
    }
}

/// The factor `L` of `I + HH'`, four rows by two columns at a time; `L(j, j)` is stored as its inverse.
#[inline(always)]
fn factorise<S: Simd>(simd: S, tile: &[S::f32s], factor: &mut [S::f32s], s: usize, width: usize) {
    for first in (0..s).step_by(4) {
        for column in (0..=first).step_by(2) {
            let mut block = reduced::<S, 4>(simd, tile, factor, (s, width), first, column);
            if column < first {
                finish(simd, &mut block, factor, s, column);
            } else {
                finish_diagonal(simd, &mut block);
            }
            put(&block, factor, s, first, column);
        }
        let mut block = reduced::<S, 2>(simd, tile, factor, (s, width), first + 2, first + 2);
        finish_diagonal(simd, &mut block);
        put(&block, factor, s, first + 2, first + 2);
    }
}

/// Rows `first..`, columns `column..column + 2` of `HH' - L L'` over the columns before.
#[inline(always)]
fn reduced<S: Simd, const M: usize>(
    simd: S,
    tile: &[S::f32s],
    factor: &[S::f32s],
    (s, width): (usize, usize),
    first: usize,
    column: usize,
) -> [[S::f32s; 2]; M] {
    let of_tile = |row: usize| &tile[row * width..][..width];
    let of_factor = |row: usize| &factor[row * s..][..column];
    let zero = [[simd.splat_f32s(0.0); 2]; M];
    let right = [of_tile(column), of_tile(column + 1)];
    let sums = add_inner::<S, M, false>(simd, zero, std::array::from_fn(|p| of_tile(first + p)), right);
    let right = [of_factor(column), of_factor(column + 1)];
    add_inner::<S, M, true>(simd, sums, std::array::from_fn(|p| of_factor(first + p)), right)
}

/// A block left of the diagonal: two columns of forward substitution.
#[inline(always)]
fn finish<S: Simd, const M: usize>(
    simd: S,
    block: &mut [[S::f32s; 2]; M],
    factor: &[S::f32s],
    s: usize,
    column: usize,
) {
    let (inverse, below, next) =
        (factor[column * s + column], factor[(column + 1) * s + column], factor[(column + 1) * s + column + 1]);
    for row in block {
        row[0] = simd.mul_f32s(row[0], inverse);
        row[1] = simd.mul_f32s(simd.negate_mul_add_e_f32s(row[0], below, row[1]), next);
    }
}

/// A block whose first two rows hold the diagonal, to which the one of `I + HH'` is added here.
#[inline(always)]
fn finish_diagonal<S: Simd, const M: usize>(simd: S, block: &mut [[S::f32s; 2]; M]) {
    let one = simd.splat_f32s(1.0);
    let inverse_root = |value: S::f32s| simd.div_f32s(one, simd.sqrt_f32s(value));
    let first = inverse_root(simd.add_f32s(block[0][0], one));
    for row in block.iter_mut().skip(1) {
        row[0] = simd.mul_f32s(row[0], first);
    }
    let below = block[1][0];
    let second = inverse_root(simd.negate_mul_add_e_f32s(below, below, simd.add_f32s(block[1][1], one)));
    for row in block.iter_mut().skip(2) {
        row[1] = simd.mul_f32s(simd.negate_mul_add_e_f32s(row[0], below, row[1]), second);
    }
    (block[0][0], block[1][1]) = (first, second);
}

#[inline(always)]
fn put<V: Copy, const M: usize>(block: &[[V; 2]; M], factor: &mut [V], s: usize, first: usize, column: usize) {
    for (p, row) in block.iter().enumerate() {
        factor[(first + p) * s + column..][..2].copy_from_slice(row);
    }
}

/// `L L' w = b` in place.
#[inline(always)]
fn solve_factored<S: Simd>(simd: S, factor: &[S::f32s], b: &mut [S::f32s], s: usize) {
    for j in 0..s {
        let solved = simd.mul_f32s(b[j], factor[j * s + j]);
        b[j] = solved;
        for i in j + 1..s {
            b[i] = simd.negate_mul_add_e_f32s(factor[i * s + j], solved, b[i]);
        }
    }
    for i in (0..s).rev() {
        let solved = simd.mul_f32s(b[i], factor[i * s + i]);
        b[i] = solved;
        for (value, factor) in b[..i].iter_mut().zip(&factor[i * s..i * s + i]) {
            *value = simd.negate_mul_add_e_f32s(*factor, solved, *value);
        }
    }
}
