//! Small symmetric systems in `f64`, for fold-in: Gram matrices and Cholesky with sums of a fixed order.

#![expect(clippy::inline_always, reason = "what is inlined into `widest` is compiled for its instructions")]

use ndarray::{Array1, Array2};

use super::wide::{Work, widest};

/// Sums side by side in [`dot`]; the order of additions is a part of the result.
const LANES: usize = 8;
/// Rows that [`add_outer`] takes at once, so that a value of the matrix is read and written once for all of them.
const ROWS: usize = 4;

/// Solves `matrix x = right` for a symmetric positive definite matrix by Cholesky, overwriting both.
///
/// Only the lower triangle is read. A pivot that rounding made non-positive is taken as the smallest positive number,
/// which keeps the answer finite; with a ridge on the diagonal this does not happen in exact arithmetic.
pub fn solve_in_place(mut matrix: Array2<f64>, mut right: Array1<f64>) -> Array1<f64> {
    let a = matrix.as_slice_mut().expect("a fresh matrix is contiguous");
    let b = right.as_slice_mut().expect("a fresh vector is contiguous");
    widest(Solve { a, b });
    right
}

/// The minimiser of `|1 - H v|^2 + |v|^2` for rows `h`, shape `(s, d)` row by row: the vector `v`, shape `(d,)`.
///
/// For `s < d` by the dual `(I + H H') w = 1, v = H' w`, else by the primal `(I + H' H) v = H' 1`.
pub(super) fn ridge(h: &[f64], d: usize) -> Vec<f64> {
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
                for (value, other) in kernel[i * s..=i * s + i].iter_mut().zip(h.chunks_exact(d)) {
                    *value = dot(row, other);
                }
                kernel[i * s + i] += 1.0;
            }
            let mut weights = vec![1.0; s];
            solve(&mut kernel, &mut weights);
            sum_of_rows(h, d, &weights)
        } else {
            let mut system = vec![0.0; d * d];
            let mut rows = h.chunks_exact(ROWS * d);
            for four in &mut rows {
                let (first, rest) = four.split_at(d);
                let (second, rest) = rest.split_at(d);
                let (third, fourth) = rest.split_at(d);
                add_outer([first, second, third, fourth], &mut system);
            }
            rows.remainder().chunks_exact(d).for_each(|row| add_outer([row], &mut system));
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
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
    }
    sum
}

/// Adds `sum of row row'` to the lower triangle of a square matrix.
#[inline(always)]
fn add_outer<const N: usize>(rows: [&[f64]; N], matrix: &mut [f64]) {
    let d = rows[0].len();
    for i in 0..d {
        let own: [f64; N] = std::array::from_fn(|n| rows[n][i]);
        let rows: [&[f64]; N] = std::array::from_fn(|n| &rows[n][..=i]);
        for (j, value) in matrix[i * d..=i * d + i].iter_mut().enumerate() {
            let mut sum = *value;
            for n in 0..N {
                sum += own[n] * rows[n][j];
            }
            *value = sum;
        }
    }
}

#[inline(always)]
fn solve(a: &mut [f64], b: &mut [f64]) {
    let n = b.len();
    for i in 0..n {
        for j in 0..=i {
            let value = a[i * n + j] - dot(&a[i * n..i * n + j], &a[j * n..j * n + j]);
            a[i * n + j] = if i == j { value.max(f64::MIN_POSITIVE).sqrt() } else { value / a[j * n + j] };
        }
    }
    for i in 0..n {
        b[i] = (b[i] - dot(&a[i * n..i * n + i], &b[..i])) / a[i * n + i];
    }
    for i in (0..n).rev() {
        b[i] /= a[i * n + i];
        let solved = b[i];
        b.iter_mut().zip(&a[i * n..i * n + i]).for_each(|(before, value)| *before -= value * solved);
    }
}

#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
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
    fn the_solver_solves() {
        let x = solve_in_place(array![[4.0, 2.0], [2.0, 5.0]], array![8.0, 12.0]);
        assert!((x[0] - 1.0).abs() < 1e-12 && (x[1] - 2.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn dual_and_primal_solve_the_same_equations(values in prop::collection::vec(-1.0_f64..1.0, 0..200), d in 1_usize..13) {
            let h = &values[..values.len() / d * d];
            let v = ridge(h, d);
            // (I + H'H) v = H' 1, checked term by term: at most 200 terms of size one, conditioned by at most 201.
            let residuals: Vec<f64> = h.chunks_exact(d).map(|row| 1.0 - row.iter().zip(&v).map(|(h, v)| h * v).sum::<f64>()).collect();
            for (j, value) in v.iter().enumerate() {
                let right: f64 = h.chunks_exact(d).zip(&residuals).map(|(row, r)| row[j] * r).sum();
                prop_assert!((value - right).abs() < 1e-10, "{value} {right}");
            }
        }
    }
}
