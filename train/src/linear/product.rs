//! Large products in single precision: the one place where `gemm` is called, whose interface is pointers.
//!
//! On the panels of a sweep it takes three quarters of the time of `faer`'s own products, which with `std` go another way.

#![expect(unsafe_code, reason = "the library takes pointers and strides, whose bounds no type can say")]

use faer::{MatMut, MatRef};
use gemm::{Parallelism, gemm};

/// `to += factor left right`, on the calling thread.
///
/// # Panics
///
/// Where the shapes do not fit.
#[expect(clippy::needless_pass_by_value, reason = "a view that may be written through is given away for the call")]
pub(super) fn add_product(to: MatMut<'_, f32>, left: MatRef<'_, f32>, right: MatRef<'_, f32>, factor: f32) {
    let (rows, columns, inner) = (to.nrows(), to.ncols(), left.ncols());
    assert_eq!((left.nrows(), right.nrows(), right.ncols()), (rows, inner, columns), "shapes of a product");
    let (to_across, to_down) = (to.col_stride(), to.row_stride());
    // SAFETY: `gemm` reads `left` at (i, k), `right` at (k, j) and reads and writes `to` at (i, j) for i < rows, j < columns
    // and k < inner, each at the strides of its view. The shapes agree, so all of these lie within the views, which are
    // borrowed for the call, `to` alone for writing. The numbers are initialised, as every view's are.
    unsafe {
        gemm(
            rows,
            columns,
            inner,
            to.as_ptr_mut(),
            to_across,
            to_down,
            true,
            left.as_ptr(),
            left.col_stride(),
            left.row_stride(),
            right.as_ptr(),
            right.col_stride(),
            right.row_stride(),
            1.0,
            factor,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_layout_of_small_whole_numbers_is_exact() {
        // Sums of at most 9 products of at most 6 x 6 are exact in single precision.
        let number = |seed: usize, i: usize, j: usize| ((i * 5 + j * 3 + seed) % 13) as f32 - 6.0;
        for (rows, inner, columns) in [(1, 1, 1), (3, 9, 4), (17, 5, 33), (40, 8, 70), (2, 0, 2)] {
            let stored = |seed, rows: usize, columns: usize| -> Vec<f32> {
                (0..rows).flat_map(|i| (0..columns).map(move |j| number(seed, i, j))).collect()
            };
            let (left, turned, right) = (stored(1, rows, inner), stored(1, inner, rows), stored(2, inner, columns));
            let plain = MatRef::from_row_major_slice(&left, rows, inner);
            let turned = MatRef::from_row_major_slice(&turned, inner, rows).transpose();
            for left in [plain, turned] {
                let mut to = stored(3, rows, columns);
                let right = MatRef::from_row_major_slice(&right, inner, columns);
                add_product(MatMut::from_row_major_slice_mut(&mut to, rows, columns), left, right, -2.0);
                for i in 0..rows {
                    for j in 0..columns {
                        let product: f32 = (0..inner).map(|k| left[(i, k)] * right[(k, j)]).sum();
                        assert_eq!(
                            to[i * columns + j].total_cmp(&(number(3, i, j) - 2.0 * product)),
                            std::cmp::Ordering::Equal
                        );
                    }
                }
            }
        }
    }
}
