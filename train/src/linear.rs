//! Symmetric matrices too large to hold twice: the lower triangle in strips of rows, inverted in place.
//!
//! Apart from the models because what is checked here is arithmetic, against `f64` and stated bounds.

mod inverse;
mod product;

use std::ops::Range;

use rayon::prelude::*;

pub(crate) use inverse::NotPositive;

/// Columns that are copied across the diagonal together: 16 values of `f32` fill a cache line.
const LINE: usize = 16;

/// A symmetric matrix of side `n`. Strip `s` holds the rows `s * side..` up to the end of its own diagonal block.
///
/// Half the memory of a square, `2 n (n + side)` bytes, and every strip is a plain row-major matrix. Blocks on the
/// diagonal are held whole.
#[derive(Debug, Clone)]
pub(crate) struct Symmetric {
    n: usize,
    /// Rows of a strip.
    side: usize,
    strips: Vec<Vec<f32>>,
}

impl Symmetric {
    /// The matrix with rows written by `fill(i, row)`, whose `row` is zero and ends somewhere behind the diagonal.
    pub(crate) fn from_rows(n: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        Self::with_strips(n, Self::side_for(n), fill)
    }

    fn with_strips(n: usize, side: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        let strip = |start: usize| {
            let end = n.min(start + side);
            let mut rows = vec![0.0; (end - start) * end];
            rows.par_chunks_mut(end).enumerate().for_each(|(row, values)| fill(start + row, values));
            rows
        };
        Self { n, side, strips: (0..n).step_by(side).map(strip).collect() }
    }

    /// Bytes of a matrix of side `n`.
    pub(crate) fn bytes(n: u64) -> u64 {
        2 * n * (n + Self::side_for(n as usize) as u64) + 64 * n
    }

    /// Bytes that inverting it takes besides: two strips in full length, and a diagonal block in `f64`.
    pub(crate) fn bytes_to_invert(n: u64) -> u64 {
        let side = Self::side_for(n as usize) as u64;
        8 * n * side + 40 * side * side
    }

    /// Rows of a strip. Larger ones are passed over less often, smaller ones waste less on the diagonal. Measured at 2,400,
    /// 9,915 and 24,915 rows.
    fn side_for(n: usize) -> usize {
        if n > 16_000 { 512 } else { 256 }
    }

    /// Number of rows.
    pub(crate) fn n(&self) -> usize {
        self.n
    }

    /// Number of strips.
    pub(crate) fn n_strips(&self) -> usize {
        self.strips.len()
    }

    /// The rows of one strip.
    pub(crate) fn rows_of(&self, strip: usize) -> Range<usize> {
        strip * self.side..self.n.min((strip + 1) * self.side)
    }

    /// The rows of one strip in full length, row-major, shape `(rows, n)`.
    pub(crate) fn full_rows(&self, strip: usize) -> Vec<f32> {
        let rows = self.rows_of(strip);
        let mut full = vec![0.0; rows.len() * self.n];
        full.par_chunks_mut(LINE * self.n).enumerate().for_each(|(group, full)| {
            let first = group * LINE;
            for (row, full) in full.chunks_mut(self.n).enumerate() {
                full[..rows.end].copy_from_slice(&self.strips[strip][(first + row) * rows.end..][..rows.end]);
            }
            let columns = full.len() / self.n;
            for below in strip + 1..self.strips.len() {
                let place = self.rows_of(below);
                for (i, values) in place.clone().zip(self.strips[below].chunks(place.end)) {
                    for (row, value) in values[rows.start + first..][..columns].iter().enumerate() {
                        full[row * self.n + i] = *value;
                    }
                }
            }
        });
        full
    }

    /// The whole matrix, row-major, shape `(n, n)`. Strips are given up as they are copied.
    pub(crate) fn into_square(mut self) -> Vec<f32> {
        let n = self.n;
        let mut square = vec![0.0; n * n];
        for strip in 0..self.strips.len() {
            let rows = self.rows_of(strip);
            let values = std::mem::take(&mut self.strips[strip]);
            let (above, own) = square.split_at_mut(rows.start * n);
            for (own, values) in own.chunks_mut(n).zip(values.chunks(rows.end)) {
                own[..rows.end].copy_from_slice(values);
            }
            above.par_chunks_mut(LINE * n).enumerate().for_each(|(group, above)| {
                let columns = above.len() / n;
                for (i, values) in rows.clone().zip(values.chunks(rows.end)) {
                    for (row, value) in values[group * LINE..][..columns].iter().enumerate() {
                        above[row * n + i] = *value;
                    }
                }
            });
        }
        square
    }
}

/// Inner product in eight lanes with a fixed order of additions; the compiler may not reorder a plain sum.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut lanes = [0.0_f32; LANES];
    let (a_whole, b_whole) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_whole.remainder().iter().zip(b_whole.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_whole.zip(b_whole) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_out_shows_the_same_matrix() {
        // Entry (i, j) is 100 times the larger plus the smaller, in strips of 20: the last holds 10 rows.
        let entry = |i: usize, j: usize| (100 * i.max(j) + i.min(j)) as f32;
        let fill = |i: usize, row: &mut [f32]| (0..row.len()).for_each(|j| row[j] = entry(i, j));
        let matrix = Symmetric::with_strips(50, 20, fill);
        assert_eq!((matrix.n_strips(), matrix.rows_of(2)), (3, 40..50));
        let want: Vec<f32> = (0..50).flat_map(|i| (0..50).map(move |j| entry(i, j))).collect();
        let rows: Vec<f32> = (0..3).flat_map(|strip| matrix.full_rows(strip)).collect();
        assert!(rows == want);
        assert!(matrix.into_square() == want);
    }
}
