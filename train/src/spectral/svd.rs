//! The leading eigenvectors of `F = R'R` for a sparse `R`: its right singular vectors, found from random beginnings.
//!
//! Block subspace iteration (Halko, Martinsson and Tropp 2011, arXiv 0909.4061) with a Chebyshev polynomial in place of
//! plain powers: of the products with `F`, which are cheap here, it makes the most, so that the block is brought back to
//! an orthogonal basis, which is dear, only after each polynomial (Zhou et al. 2006, J. Comput. Phys. 219).

use faer::{
    Mat, MatRef, Par,
    diag::Diag,
    dyn_stack::{MemBuffer, MemStack},
    linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch},
    prelude::default,
};
use ndarray::{Array1, Array2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::panel::{gram, sparse_times, turned};
use crate::{error::Error, matrix::Rows};

/// Columns carried along beyond those that are wanted.
pub(crate) const SPARE: usize = 16;
/// Times the block is filtered by the polynomial.
const PASSES: usize = 2;
/// How much more the polynomial may raise the largest eigenvalue than those it damps: what `f32` still tells apart.
const CONTRAST: f64 = 1e5;
/// Share of the largest eigenvalue of a block's Gram matrix under which a direction is rounding noise.
const NOISE: f64 = 1e-10;

/// Eigenvalues and eigenvectors.
#[derive(Debug, Clone)]
pub(super) struct Eigen {
    /// Descending, above zero.
    pub(super) values: Vec<f64>,
    /// Orthonormal columns, shape `(n, values.len())`.
    pub(super) vectors: Array2<f32>,
}

/// Both directions of `R`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides<'a> {
    /// `R`, shape `(m, n)`.
    pub(super) by_row: &'a Rows,
    /// `R'`, shape `(n, m)`.
    pub(super) by_column: &'a Rows,
}

impl Sides<'_> {
    /// `F X`, shape `(n, width)` to `(n, width)`.
    pub(super) fn times(self, panel: &Array2<f32>) -> Array2<f32> {
        sparse_times(self.by_column, &sparse_times(self.by_row, panel))
    }
}

/// The `q` largest eigenvalues of `F` with their vectors; fewer when its rank is less.
///
/// Directions whose eigenvalue is below about `1e-5` of the largest are left out: in `f32` they are noise. `R` holds at
/// least one pair.
pub(super) fn leading(sides: Sides<'_>, q: usize, seed: u64) -> Result<Eigen, Error> {
    let (m, n) = (sides.by_row.len(), sides.by_column.len());
    let width = q.saturating_add(SPARE).min(m).min(n);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let start = Array2::from_shape_simple_fn((n, width), || StandardNormal.sample(&mut random));
    let mut block = ritz(sides, &sides.times(&start))?;
    for _ in 0..PASSES {
        // What is damped lies between zero and the least value held.
        let (most, least) = (block.values[0], block.values[block.values.len() - 1]);
        let edge = least.max(0.02 * most);
        let degree = (CONTRAST.acosh() / (2.0 * most / edge - 1.0).max(1.5).acosh()) as usize;
        block = ritz(sides, &filtered(sides, block.vectors, edge, degree))?;
    }
    block.values.truncate(q);
    let vectors = block.vectors.slice_axis(Axis(1), (..block.values.len()).into()).as_standard_layout().into_owned();
    Ok(Eigen { values: block.values, vectors })
}

/// `T(2F/edge - I) X` with the Chebyshev polynomial `T` of a degree from 1: small where eigenvalues lie in `[0, edge]`, large above.
fn filtered(sides: Sides<'_>, block: Array2<f32>, edge: f64, degree: usize) -> Array2<f32> {
    let scale = (2.0 / edge) as f32;
    let mapped = |x: &Array2<f32>| {
        let mut product = sides.times(x);
        product.zip_mut_with(x, |product, x| *product = scale * *product - x);
        product
    };
    let (mut before, mut last) = (mapped(&block), block);
    std::mem::swap(&mut before, &mut last);
    for _ in 1..degree {
        let mut next = mapped(&last);
        next.zip_mut_with(&before, |next, before| *next = 2.0 * *next - before);
        before = std::mem::replace(&mut last, next);
    }
    last
}

/// The best approximations within the span of a block (Rayleigh-Ritz).
///
/// Blocks come in as polynomials of Ritz vectors, all but orthogonal once their columns are scaled, so that one turn
/// through their Gram matrix is enough; only the random beginning is further from it, and it is turned again.
fn ritz(sides: Sides<'_>, block: &Array2<f32>) -> Result<Eigen, Error> {
    let block = turned(block, orthogonaliser(gram(block))?.view());
    let (values, turn) = eigen(&gram(&sparse_times(sides.by_row, &block)))?;
    let held = values.iter().take_while(|value| **value > NOISE * values[0]).count();
    let turn = turn.slice_axis(Axis(1), (..held).into());
    Ok(Eigen { values: values[..held].to_vec(), vectors: turned(&block, turn) })
}

/// `B` so that `XB` has orthonormal columns, from the Gram matrix of `X`; dependent columns leave.
fn orthogonaliser(mut gram: Array2<f64>) -> Result<Array2<f64>, Error> {
    let scales: Array1<f64> = gram.diag().mapv(|square| if square > 0.0 { square.sqrt().recip() } else { 0.0 });
    gram.indexed_iter_mut().for_each(|((i, j), value)| *value *= scales[i] * scales[j]);
    let (values, mut basis) = eigen(&gram)?;
    let held = values.iter().take_while(|value| **value > NOISE * values[0]).count();
    basis.indexed_iter_mut().for_each(|((i, j), value)| *value *= scales[i] / values[j].max(NOISE).sqrt());
    Ok(basis.slice_axis(Axis(1), (..held).into()).into_owned())
}

/// Eigenvalues, descending, and eigenvectors as columns. On one thread, so that the bytes are always the same.
fn eigen(matrix: &Array2<f64>) -> Result<(Vec<f64>, Array2<f64>), Error> {
    let n = matrix.nrows();
    let entries = matrix.as_slice().expect("small matrices are in standard layout");
    let (mut values, mut vectors) = (Diag::<f64>::zeros(n), Mat::<f64>::zeros(n, n));
    let mut memory = MemBuffer::new(self_adjoint_evd_scratch::<f64>(n, ComputeEigenvectors::Yes, Par::Seq, default()));
    let (matrix, stack) = (MatRef::from_row_major_slice(entries, n, n), MemStack::new(&mut memory));
    self_adjoint_evd(matrix, values.as_mut(), Some(vectors.as_mut()), Par::Seq, stack, default())
        .map_err(|error| Error::Eigen(format!("{error:?}")))?;
    let descending = (0..n).rev().map(|place| values.column_vector()[place]).collect();
    Ok((descending, Array2::from_shape_fn((n, n), |(i, j)| vectors[(i, n - 1 - j)])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dataset::{TimeAxis, tests::toy},
        matrix::Matrix,
    };

    fn check(matrix: &Matrix, q: usize) -> Eigen {
        let sides = Sides { by_row: matrix.by_reader(), by_column: matrix.by_book() };
        let got = leading(sides, q, 1).unwrap();
        // Each vector is one of F's, and they are orthonormal; both to some roundings of f32.
        let image = sides.times(&got.vectors);
        for ((row, column), value) in image.indexed_iter() {
            let want = got.values[column] as f32 * got.vectors[(row, column)];
            assert!((value - want).abs() < 1e-5 * got.values[0] as f32, "{row} {column}: {value} {want}");
        }
        for ((i, j), value) in gram(&got.vectors).indexed_iter() {
            assert!((value - f64::from(u8::from(i == j))).abs() < 1e-5, "{i} {j}: {value}");
        }
        got
    }

    #[test]
    fn disjoint_shelves_have_their_sizes_as_eigenvalues() {
        // Two readers of the same three books: 2 x 3. One reader of two books: 2. One of one: 1. The rest is zero.
        let matrix = Matrix::new(&toy(TimeAxis::None, "r1: A B C | r2: A B C | r3: D E | r4: F"), None);
        let got = check(&matrix, 6);
        assert_eq!(got.values.iter().map(|value| (value * 1e5).round() / 1e5).collect::<Vec<_>>(), [6.0, 2.0, 1.0]);
        assert!((got.vectors[(0, 0)].abs() - (1.0_f32 / 3.0).sqrt()).abs() < 1e-6);
        assert_eq!(check(&matrix, 2).values.len(), 2);
    }

    #[test]
    fn the_leading_part_of_a_larger_matrix_is_found_from_any_beginning() {
        // 200 readers of 90 books, of whom one in seven is held by each: more books than the block has columns.
        let shelf = |reader: usize| {
            let held = (0..90).filter(|book| (reader * 31 + book * 17 + reader * book) % 7 == reader % 3);
            format!("r{reader}: {}", held.map(|book| format!("b{book}")).collect::<Vec<_>>().join(" "))
        };
        let text: Vec<String> = (0..200).map(shelf).collect();
        let matrix = Matrix::new(&toy(TimeAxis::None, &text.join(" | ")), None);
        let sides = Sides { by_row: matrix.by_reader(), by_column: matrix.by_book() };
        let (one, other) = (check(&matrix, 4), leading(sides, 4, 2).unwrap());
        for (a, b) in one.values.iter().zip(&other.values) {
            assert!((a - b).abs() < 1e-6 * one.values[0], "{a} {b}");
        }
    }
}
