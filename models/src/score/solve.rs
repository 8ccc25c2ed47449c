//! Small symmetric systems in `f64`, for fold-in: Gram matrices and Cholesky with sums of a fixed order.

#![expect(clippy::inline_always, reason = "what is inlined into `widest` is compiled for its instructions")]

use ndarray::{Array1, Array2};

use super::wide::{Work, widest};

/// Sums side by side in [`dot`]; the order of additions is a part of the result.
pub(super) const LANES: usize = 8;
/// Rows and columns of a tile of [`gram`], whose sums stay in registers while a part of `H` passes.
const TILE: (usize, usize) = (4, LANES);
/// Bytes of `H` that all tiles read before the next ones: they stay in the first cache.
const PART: usize = 12 << 10;

/// Solves `matrix x = right` for a symmetric positive definite matrix by Cholesky, overwriting both.
///
/// Only the upper triangle is read. A pivot that rounding made non-positive is taken as the smallest positive number,
/// which keeps the answer finite; with a ridge on the diagonal this does not happen in exact arithmetic.
pub fn solve_in_place(mut matrix: Array2<f64>, mut right: Array1<f64>) -> Array1<f64> {
    let a = matrix.as_slice_mut().expect("a fresh matrix is contiguous");
    let b = right.as_slice_mut().expect("a fresh vector is contiguous");
    widest(Solve { a, b });
    right
}

/// The minimiser of `|1 - H v|^2 + |v|^2` for rows `h`, shape `(s, d)` row by row: the vector `v`, shape `(d,)`.
///
/// For `s < d` by the dual `(I + H H') w = 1, v = H' w`, else by the primal `(I + H' H) v = H' 1`. `d` is a multiple of
/// [`LANES`]; columns of zeros change nothing and get zeros.
pub(super) fn ridge(h: &[f64], d: usize) -> Vec<f64> {
    assert!(d.is_multiple_of(LANES) && h.len().is_multiple_of(d), "rows are padded");
    widest(Ridge { h, d })
}

struct Solve<'a> {
    a: &'a mut [f64],
    b: &'a mut [f64],
}

impl Work for Solve<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        solve(self.a, self.b);
    }
}

struct Ridge<'a> {
    h: &'a [f64],
    d: usize,
}

impl Work for Ridge<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let (h, d) = (self.h, self.d);
        let s = h.len() / d;
        if s < d {
            let mut kernel = vec![0.0; s * s];
            for (i, row) in h.chunks_exact(d).enumerate() {
                for (value, other) in kernel[i * s + i..(i + 1) * s].iter_mut().zip(h[i * d..].chunks_exact(d)) {
                    *value = dot(row, other);
                }
                kernel[i * s + i] += 1.0;
            }
            let mut weights = vec![1.0; s];
            solve(&mut kernel, &mut weights);
            sum_of_rows(h, d, &weights)
        } else {
            let mut system = vec![0.0; d * d];
            gram(h, d, &mut system);
            (0..d).for_each(|i| system[i * d + i] += 1.0);
            let mut solution = sum_of_rows(h, d, &vec![1.0; s]);
            solve(&mut system, &mut solution);
            solution
        }
    }
}

/// `sum of weight[i] row[i]`, shape `(d,)`.
#[inline(always)]
fn sum_of_rows(h: &[f64], d: usize, weights: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; d];
    for (row, weight) in h.chunks_exact(d).zip(weights) {
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum = weight.mul_add(*value, *sum));
    }
    sum
}

/// Adds the upper triangle of `H' H` to `matrix`, shape `(d, d)`; some of what lies below it is written too.
#[inline(always)]
fn gram(h: &[f64], d: usize, matrix: &mut [f64]) {
    const { assert!(TILE.1.is_multiple_of(TILE.0), "a tile of rows lies within one of columns") };
    let n_rows = (PART / size_of::<f64>() / d).max(1);
    for part in h.chunks(n_rows * d) {
        for top in (0..d).step_by(TILE.0) {
            for left in (top / TILE.1 * TILE.1..d).step_by(TILE.1) {
                let mut sums = [[0.0; TILE.1]; TILE.0];
                for (row, sums) in sums.iter_mut().enumerate() {
                    sums.copy_from_slice(&matrix[(top + row) * d + left..][..TILE.1]);
                }
                for row in part.chunks_exact(d) {
                    let (down, across) = (&row[top..top + TILE.0], &row[left..left + TILE.1]);
                    for (sums, x) in sums.iter_mut().zip(down) {
                        for (sum, y) in sums.iter_mut().zip(across) {
                            *sum = x.mul_add(*y, *sum);
                        }
                    }
                }
                for (row, sums) in sums.iter().enumerate() {
                    matrix[(top + row) * d + left..][..TILE.1].copy_from_slice(sums);
                }
            }
        }
    }
}

/// Cholesky from the upper triangle, row by row, each taken off all rows below; then both substitutions.
#[inline(always)]
fn solve(a: &mut [f64], b: &mut [f64]) {
    let n = b.len();
    for k in 0..n {
        let (above, below) = a.split_at_mut((k + 1) * n);
        let row = &mut above[k * n..];
        let pivot = row[k].max(f64::MIN_POSITIVE).sqrt();
        row[k..].iter_mut().for_each(|value| *value /= pivot);
        row[k] = pivot;
        for (i, lower) in below.chunks_exact_mut(n).enumerate().map(|(place, lower)| (k + 1 + place, lower)) {
            // From the beginning of the line of `i`: what lies before the diagonal is never read.
            let start = i / LANES * LANES;
            take_off(&mut lower[start..], row[i], &row[start..]);
        }
    }
    for k in 0..n {
        b[k] /= a[k * n + k];
        let solved = b[k];
        b[k + 1..].iter_mut().zip(&a[k * n + k + 1..]).for_each(|(after, value)| *after -= value * solved);
    }
    for k in (0..n).rev() {
        b[k] = (b[k] - dot(&a[k * n + k + 1..(k + 1) * n], &b[k + 1..])) / a[k * n + k];
    }
}

/// `to -= factor from`.
#[inline(always)]
fn take_off(to: &mut [f64], factor: f64, from: &[f64]) {
    let ((to, to_rest), (from, from_rest)) = (to.as_chunks_mut::<LANES>(), from.as_chunks::<LANES>());
    for (to, from) in to.iter_mut().zip(from) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = (-factor).mul_add(*from, *to);
        }
    }
    to_rest.iter_mut().zip(from_rest).for_each(|(to, from)| *to = (-factor).mul_add(*from, *to));
}

#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane = a.mul_add(*b, *lane);
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    let [p, q, r, s, t, u, v, w] = lanes;
    ((p + t) + (r + v)) + ((q + u) + (s + w)) + rest
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zeros_beside_a_history_change_nothing() {
        // One column, rows 1 and 2: v = 3 / (1 + 1 + 4). More rows than columns, then fewer.
        let padded = |n_rows: usize| {
            let mut h = vec![0.0; n_rows * LANES];
            (h[0], h[LANES]) = (1.0, 2.0);
            ridge(&h, LANES)
        };
        for n_rows in [2, 9] {
            let v = padded(n_rows);
            assert!((v[0] - 0.5).abs() < 1e-12 && v[1..].iter().all(|value| *value == 0.0), "{v:?}");
        }
    }

    #[test]
    fn the_solver_solves() {
        let x = solve_in_place(array![[4.0, 2.0], [2.0, 5.0]], array![8.0, 12.0]);
        assert!((x[0] - 1.0).abs() < 1e-12 && (x[1] - 2.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn dual_and_primal_solve_the_same_equations(values in prop::collection::vec(-1.0_f64..1.0, 0..800), lines in 1_usize..4) {
            let d = lines * LANES;
            let h = &values[..values.len() / d * d];
            let v = ridge(h, d);
            // (I + H'H) v = H' 1, checked term by term: at most 100 terms of size one, conditioned by at most 801.
            let residuals: Vec<f64> = h.chunks_exact(d).map(|row| 1.0 - row.iter().zip(&v).map(|(h, v)| h * v).sum::<f64>()).collect();
            for (j, value) in v.iter().enumerate() {
                let right: f64 = h.chunks_exact(d).zip(&residuals).map(|(row, r)| row[j] * r).sum();
                prop_assert!((value - right).abs() < 1e-10, "{value} {right}");
            }
        }
    }
}
