//! Tall matrices of a few hundred columns: products with the sparse side, Gram matrices, changes of basis.
//!
//! Work is cut into tiles whose borders do not depend on the number of threads, and each tile is summed by one thread,
//! so that the bytes are always the same.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, linalg::general_mat_mul};
use rayon::prelude::*;

use crate::matrix::Rows;

/// Rows of one tile of a dense product.
const TILE_ROWS: usize = 256;
/// Rows of one tile of a sparse product: short, because rows differ in their number of pairs.
const SPARSE_TILE_ROWS: usize = 32;
/// Partial sums of a Gram matrix.
const PARTS: usize = 16;

/// Rows against a panel: shapes `(n_rows, n)` and `(n, width)` to `(n_rows, width)`.
pub(super) fn sparse_times(rows: &Rows, panel: &Array2<f32>) -> Array2<f32> {
    let width = panel.ncols();
    let from = panel.as_slice().expect("panels are in standard layout");
    let mut product = Array2::zeros((rows.len(), width));
    let to = product.as_slice_mut().expect("a fresh matrix is contiguous");
    to.par_chunks_mut(SPARSE_TILE_ROWS * width).enumerate().for_each(|(tile, to)| {
        for (place, sum) in to.chunks_exact_mut(width).enumerate() {
            let (columns, values) = rows.row(tile * SPARSE_TILE_ROWS + place);
            for (column, value) in columns.iter().zip(values) {
                let line = &from[*column as usize * width..][..width];
                sum.iter_mut().zip(line).for_each(|(sum, x)| *sum += value * x);
            }
        }
    });
    product
}

/// `X'X` in `f64`, shape `(n, width)` to `(width, width)`.
pub(super) fn gram(panel: &Array2<f32>) -> Array2<f64> {
    let (n, width) = panel.dim();
    let per_part = n.div_ceil(PARTS).max(1);
    let parts: Vec<Array2<f64>> = (0..n.div_ceil(per_part))
        .into_par_iter()
        .map(|part| {
            let rows = panel.slice_axis(Axis(0), (part * per_part..n.min((part + 1) * per_part)).into());
            let mut sum = Array2::zeros((width, width));
            for tile in rows.axis_chunks_iter(Axis(0), TILE_ROWS) {
                let tile = tile.mapv(f64::from);
                general_mat_mul(1.0, &tile.t(), &tile, 1.0, &mut sum);
            }
            sum
        })
        .collect();
    parts.into_iter().fold(Array2::zeros((width, width)), |sum, part| sum + part)
}

/// `X B`, shapes `(n, width)` and `(width, new_width)` to `(n, new_width)`.
pub(super) fn turned(panel: &Array2<f32>, basis: ArrayView2<'_, f64>) -> Array2<f32> {
    let (basis, n) = (basis.mapv(|value| value as f32), panel.nrows());
    let width = basis.ncols();
    let mut product = Array2::zeros((n, width));
    let to = product.as_slice_mut().expect("a fresh matrix is contiguous");
    to.par_chunks_mut((TILE_ROWS * width).max(1)).enumerate().for_each(|(tile, to)| {
        let rows = to.len() / width;
        let from = panel.slice_axis(Axis(0), (tile * TILE_ROWS..tile * TILE_ROWS + rows).into());
        let mut to = ArrayViewMut2::from_shape((rows, width), to).expect("a tile holds whole rows");
        general_mat_mul(1.0, &from, &basis, 0.0, &mut to);
    });
    product
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::{
        dataset::{TimeAxis, tests::toy},
        matrix::Matrix,
    };

    #[test]
    fn products_are_those_of_the_full_matrices() {
        let matrix = Matrix::new(&toy(TimeAxis::None, "r1: A B | r2: B C"), None);
        let panel = array![[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]];
        assert_eq!(sparse_times(matrix.by_reader(), &panel), array![[3.0, 30.0], [6.0, 60.0]]);
        assert_eq!(gram(&panel), array![[21.0, 210.0], [210.0, 2100.0]]);
        assert_eq!(turned(&panel, array![[1.0], [0.5]].view()), array![[6.0], [12.0], [24.0]]);
    }

    #[test]
    fn tiles_meet_without_a_gap() {
        // Row r holds r and 1: the Gram matrix holds sums of squares, of numbers, and the count.
        let n = 2 * PARTS * TILE_ROWS + 7;
        let panel = Array2::from_shape_fn((n, 2), |(row, column)| if column == 0 { (row % 8) as f32 } else { 1.0 });
        let sum = |power: u32| (0..n).map(|row| ((row % 8) as f64).powi(power as i32)).sum::<f64>();
        assert_eq!(gram(&panel), array![[sum(2), sum(1)], [sum(1), n as f64]]);
        let halved = turned(&panel, array![[0.5], [0.0]].view());
        assert!(halved.iter().enumerate().all(|(row, half)| (2.0 * half).to_bits() == ((row % 8) as f32).to_bits()));
    }
}
