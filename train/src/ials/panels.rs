//! Systems that conjugate gradients cannot finish, one row at a time: `I + T'T` and its Cholesky factor from panels of 16 columns.
//!
//! A panel is stored line by line, 16 numbers each, so that both sides of a product are read in storage order whatever
//! the size. As in `lanes`, a block of four rows by 16 columns is summed, reduced by the rows already factored, factored
//! and stored once. `T` is `H'` for the dual (lines run over factors) and `H` for the primal (lines run over pairs).

use pulp::Simd;

use super::{
    kernel::{Buffer, Line, Scaled, WIDE, add_products, load, side_by_side, store},
    row::Row,
};

/// Buffers of one thread.
#[derive(Debug, Default)]
pub(super) struct Panels {
    /// `T` by panels, shape `(side / 16, lines, 16)`.
    tile: Buffer,
    /// Upper Cholesky factor by panels, shape `(side / 16, side, 16)`; what lies below its diagonal means nothing.
    factor: Buffer,
    /// Inverses of its diagonal, shape `(side,)`.
    inverse: Vec<f32>,
    /// The right side, then the solution, shape `(side,)`.
    weights: Vec<f32>,
}

impl Panels {
    /// The dual `(I + HH') w = C^1/2 t`: gives `C^1/2 w` and `t' C^1/2 w`.
    #[inline(always)]
    pub(super) fn dual<S: Simd, const N: usize>(
        &mut self,
        simd: S,
        row: &Row<'_>,
        width: usize,
        zeros: &[f32],
    ) -> (&[f32], f64) {
        let (s, side) = (row.len(), row.len().next_multiple_of(WIDE));
        for (panel, part) in self.tile.slice(side * width).chunks_exact_mut(WIDE * width).enumerate() {
            let mut from = [Scaled { values: zeros, factors: zeros, root: 0.0 }; WIDE];
            for (slot, i) in from.iter_mut().zip(panel * WIDE..s) {
                *slot = row.scaled(i);
            }
            side_by_side(&from, part);
        }
        self.weights.clear();
        self.weights.extend((0..s).map(|i| row.root(i) * row.target(i)));
        self.weights.resize(side, 0.0);
        self.factorise::<S, N>(simd, s, width);
        self.solve_factored(s);
        let mut value = 0.0;
        for (i, weight) in self.weights[..s].iter_mut().enumerate() {
            *weight *= row.root(i);
            value += f64::from(row.target(i)) * f64::from(*weight);
        }
        (&self.weights[..s], value)
    }

    /// The primal `(I + H'H) v = H' C^1/2 t`: gives `v` and `|C^1/2 t|^2 - v' H' C^1/2 t`, the same least value.
    #[inline(always)]
    pub(super) fn primal<S: Simd, const N: usize>(&mut self, simd: S, row: &Row<'_>, width: usize) -> (&[f32], f64) {
        let s = row.len();
        self.weights.clear();
        self.weights.resize(width, 0.0);
        let lines = self.tile.lines(s * width / WIDE);
        let mut value = 0.0;
        for i in 0..s {
            let (root, target) = (row.root(i), row.root(i) * row.target(i));
            value += f64::from(target).powi(2);
            let vector = row.vector(i).as_chunks::<WIDE>().0.iter().zip(row.shrink.as_chunks::<WIDE>().0);
            for (panel, ((from, shrink), right)) in
                vector.zip(self.weights.as_chunks_mut::<WIDE>().0.iter_mut()).enumerate()
            {
                let line: Line = std::array::from_fn(|c| from[c] * shrink[c] * root);
                right.iter_mut().zip(&line).for_each(|(right, value)| *right += target * value);
                lines[panel * s + i] = line;
            }
        }
        let right = self.weights.clone();
        self.factorise::<S, N>(simd, width, s);
        self.solve_factored(width);
        let gain: f64 = right.iter().zip(&self.weights).map(|(b, v)| f64::from(*b) * f64::from(*v)).sum();
        (&self.weights, value - gain)
    }

    /// The upper factor of `I + T'T` of `side` columns, whose panels have `lines` lines each, 16 rows at a time.
    #[inline(always)]
    fn factorise<S: Simd, const N: usize>(&mut self, simd: S, side: usize, lines: usize) {
        let n_panels = side.div_ceil(WIDE);
        let height = n_panels * WIDE;
        let tile = &*self.tile.lines(n_panels * lines);
        let factor = self.factor.lines(n_panels * height);
        self.inverse.clear();
        self.inverse.resize(height, 1.0);
        for own in 0..n_panels {
            let top = own * WIDE;
            let fours = (side - top).div_ceil(4).min(4);
            // All of `T'T` less the rows above these sixteen, while the two panels are at hand.
            for panel in own..n_panels {
                for four in 0..fours {
                    let zero = [[simd.splat_f32s(0.0); N]; 4];
                    let of_tile = |panel: usize| &tile[panel * lines..][..lines];
                    let of_factor = |panel: usize| &factor[panel * height..][..top];
                    let sums = add_products::<S, N, false>(simd, zero, of_tile(own), four, of_tile(panel));
                    let sums = add_products::<S, N, true>(simd, sums, of_factor(own), four, of_factor(panel));
                    put::<S, N>(&mut factor[panel * height + top + 4 * four..], sums);
                }
            }
            // Then each four rows less those before them among the sixteen; the diagonal's panel comes first.
            let mut triangles = [[[0.0_f32; 4]; 4]; 4];
            for panel in own..n_panels {
                for four in 0..fours {
                    let first = top + 4 * four;
                    let of_factor = |panel: usize| &factor[panel * height + top..panel * height + first];
                    let raw = get::<S, N>(&factor[panel * height + first..]);
                    let mut sums = add_products::<S, N, true>(simd, raw, of_factor(own), four, of_factor(panel));
                    for q in 0..4 {
                        reduce(simd, &mut sums, &triangles[four], q);
                        if panel == own {
                            self.inverse[first + q] = (1.0 + at::<S, N>(sums[q])[4 * four + q]).sqrt().recip();
                        }
                        scale::<S, N>(simd, &mut sums[q], self.inverse[first + q]);
                        if panel == own {
                            triangles[four][q].copy_from_slice(&at::<S, N>(sums[q])[4 * four..4 * four + 4]);
                        }
                    }
                    put::<S, N>(&mut factor[panel * height + first..], sums);
                }
            }
        }
    }

    /// `U'U w = b` in place, for `side` rows.
    #[inline(always)]
    fn solve_factored(&mut self, side: usize) {
        let n_panels = side.div_ceil(WIDE);
        let height = n_panels * WIDE;
        let factor = &*self.factor.lines(n_panels * height);
        let b = self.weights.as_chunks_mut::<WIDE>().0;
        for i in 0..side {
            let (own, c) = (i / WIDE, i % WIDE);
            let solved = b[own][c] * self.inverse[i];
            b[own][c] = solved;
            let line = &factor[own * height + i];
            for c in c + 1..WIDE {
                b[own][c] -= line[c] * solved;
            }
            for (panel, b) in b.iter_mut().enumerate().skip(own + 1) {
                b.iter_mut().zip(&factor[panel * height + i]).for_each(|(b, value)| *b -= value * solved);
            }
        }
        for i in (0..side).rev() {
            let (own, c) = (i / WIDE, i % WIDE);
            let mut sums = [0.0_f32; WIDE];
            for (panel, b) in b.iter().enumerate().skip(own + 1) {
                let line = &factor[panel * height + i];
                for c in 0..WIDE {
                    sums[c] += line[c] * b[c];
                }
            }
            let line = &factor[own * height + i];
            for c in c + 1..WIDE {
                sums[c] += line[c] * b[own][c];
            }
            b[own][c] = (b[own][c] - sum(&sums)) * self.inverse[i];
        }
    }
}

/// Takes the rows before `q` of a block of four out of row `q`.
#[inline(always)]
fn reduce<S: Simd, const N: usize>(simd: S, sums: &mut [[S::f32s; N]; 4], triangle: &[[f32; 4]; 4], q: usize) {
    for p in 0..q {
        let factor = simd.splat_f32s(triangle[p][q]);
        for n in 0..N {
            sums[q][n] = simd.negate_mul_add_e_f32s(factor, sums[p][n], sums[q][n]);
        }
    }
}

#[inline(always)]
fn scale<S: Simd, const N: usize>(simd: S, values: &mut [S::f32s; N], factor: f32) {
    let factor = simd.splat_f32s(factor);
    for value in values {
        *value = simd.mul_f32s(*value, factor);
    }
}

/// The numbers in vectors.
#[inline(always)]
fn at<S: Simd, const N: usize>(vectors: [S::f32s; N]) -> Line {
    let mut line = [0.0; WIDE];
    store::<S, N>(&mut line, vectors);
    line
}

/// The first four lines.
#[inline(always)]
fn get<S: Simd, const N: usize>(lines: &[Line]) -> [[S::f32s; N]; 4] {
    [load::<S, N>(&lines[0]), load::<S, N>(&lines[1]), load::<S, N>(&lines[2]), load::<S, N>(&lines[3])]
}

/// The other way round.
#[inline(always)]
fn put<S: Simd, const N: usize>(lines: &mut [Line], sums: [[S::f32s; N]; 4]) {
    for (line, sums) in lines.iter_mut().zip(sums) {
        store::<S, N>(line, sums);
    }
}

/// A sum of 16 in a fixed order.
#[inline(always)]
pub(super) fn sum(line: &Line) -> f32 {
    let mut left = *line;
    for half in [8, 4, 2, 1] {
        for c in 0..half {
            left[c] += left[c + half];
        }
    }
    left[0]
}

/// The Gram matrix's share of some rows: `sum(i, j) += sum over lines of tile(line, i) tile(line, j)` for `j >= i`,
/// shape `(width, width)`; products of up to `lines` terms are summed in `f32`, then added in `f64`.
#[inline(always)]
pub(super) fn add_gram<S: Simd, const N: usize>(simd: S, tile: &[Line], width: usize, sum: &mut [f64]) {
    let lines = tile.len() * WIDE / width;
    for first in (0..width).step_by(4) {
        for panel in first / WIDE..width / WIDE {
            let (left, right) = (&tile[first / WIDE * lines..][..lines], &tile[panel * lines..][..lines]);
            let zero = [[simd.splat_f32s(0.0); N]; 4];
            let sums = add_products::<S, N, false>(simd, zero, left, first % WIDE / 4, right);
            for (q, sums) in sums.into_iter().enumerate() {
                let mut line = [0.0; WIDE];
                store::<S, N>(&mut line, sums);
                let to = &mut sum[(first + q) * width + panel * WIDE..][..WIDE];
                to.iter_mut().zip(line).for_each(|(to, value)| *to += f64::from(value));
            }
        }
    }
}

/// Sixteen rows times a matrix given by panels: `to(r, j) = sum over k of from(r, k) matrix(k, j)`.
///
/// `turned` is the sixteen rows side by side, shape `(width, 16)`; `matrix` has `width / 16` panels of `width` lines;
/// `to` may hold fewer than sixteen rows.
#[inline(always)]
pub(super) fn multiply<S: Simd, const N: usize>(simd: S, turned: &[Line], matrix: &[Line], to: &mut [f32]) {
    let width = turned.len();
    for (panel, right) in matrix.chunks_exact(width).enumerate() {
        for (four, to) in to.chunks_mut(4 * width).enumerate() {
            let zero = [[simd.splat_f32s(0.0); N]; 4];
            let sums = add_products::<S, N, false>(simd, zero, turned, four, right);
            for (to, sums) in to.chunks_exact_mut(width).zip(sums) {
                store::<S, N>(&mut to.as_chunks_mut::<WIDE>().0[panel], sums);
            }
        }
    }
}
