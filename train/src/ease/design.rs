//! The matrix that item-to-item regressions are fitted to: scaled, and centred without being filled.

use crate::{
    dataset::Dataset,
    error::Error,
    matrix::{Matrix, Rows},
    popularity::check_half_life,
};

/// How the interactions are weighted before books are regressed on books.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weighting {
    pub(crate) regularization: f64,
    pub(crate) reader_exponent: f64,
    pub(crate) normalization: f64,
    pub(crate) centred: bool,
    pub(crate) half_life_days: Option<f64>,
}

impl Weighting {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_half_life(self.half_life_days)?;
        crate::error::positive("regularization", self.regularization)?;
        crate::error::share("reader_exponent", self.reader_exponent)?;
        crate::error::share("normalization", self.normalization)?;
        Ok(())
    }
}

/// `X = (W - 1 mu') S` in parts: `W S` sparse, `mu S` apart, so that `X'X = (W S)'(W S) - m m'`.
///
/// `W` holds `c_ui / t_u^(p / 2)` with `t_u` the total of the reader's confidences; `mu` the means of its columns when
/// centred, else 0; `S` is diagonal, `s_i = v_i^(-a / 2)` with `v_i` the sum of squares of column `i` of `W - 1 mu'`.
/// `m_i = n^(1/2) mu_i s_i` for `n` readers. A column without any variation has `s_i = 0`: it says nothing.
pub(crate) struct Design {
    /// Readers as rows, books as columns, values of `W S`.
    pub(crate) by_reader: Rows,
    /// Books as rows, readers as columns.
    pub(crate) by_book: Rows,
    /// `m`, shape `(n_books,)`; zeros when not centred.
    pub(crate) means: Vec<f32>,
    /// `s`, shape `(n_books,)`.
    scales: Vec<f64>,
    /// Added to the diagonal of `X'X`.
    pub(crate) ridge: f32,
    /// Whether means were taken off.
    pub(crate) centred: bool,
}

impl Design {
    pub(crate) fn new(dataset: &Dataset, weighting: &Weighting) -> Self {
        let matrix = Matrix::new(dataset, weighting.half_life_days);
        let n_readers = matrix.by_reader().len() as f64;
        let damping: Vec<f64> =
            matrix.by_reader().totals().iter().map(|total| total.powf(-weighting.reader_exponent / 2.0)).collect();
        let weighted = |reader: usize, c: f32| f64::from(c) * damping[reader];
        let sums: Vec<(f64, f64)> = (0..matrix.by_book().len())
            .map(|book| {
                let (readers, confidences) = matrix.by_book().row(book);
                let values = readers.iter().zip(confidences).map(|(reader, c)| weighted(*reader as usize, *c));
                values.fold((0.0, 0.0), |(sum, squares), value| (sum + value, squares + value * value))
            })
            .collect();
        let off = |sum: f64| if weighting.centred { sum / n_readers.sqrt() } else { 0.0 };
        let scale = |(sum, squares): &(f64, f64)| {
            let variation = squares - off(*sum).powi(2);
            // What remains of a constant column is rounding.
            if variation > 1e-9 * squares { variation.powf(-weighting.normalization / 2.0) } else { 0.0 }
        };
        let scales: Vec<f64> = sums.iter().map(scale).collect();
        let means = sums.iter().zip(&scales).map(|((sum, _), scale)| (off(*sum) * scale) as f32).collect();
        Self {
            by_reader: matrix.by_reader().mapped(|reader, book, c| (weighted(reader, c) * scales[book]) as f32),
            by_book: matrix.by_book().mapped(|book, reader, c| (weighted(reader, c) * scales[book]) as f32),
            means,
            scales,
            ridge: weighting.regularization as f32,
            centred: weighting.centred,
        }
    }

    /// A weight between scaled columns as one between books: `b_ij s_i / s_j`, 0 where a column says nothing.
    pub(crate) fn between_books(&self, i: usize, j: usize, scaled: f32) -> f32 {
        let (from, to) = (self.scales[i], self.scales[j]);
        if to > 0.0 { (f64::from(scaled) * from / to) as f32 } else { 0.0 }
    }

    /// `|x_i|` of each column of `X`, shape `(n_books,)`.
    pub(crate) fn norms(&self) -> Vec<f32> {
        let squares = |book: usize| self.by_book.row(book).1.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
        let norm = |(book, mean): (usize, &f32)| (squares(book) - f64::from(*mean).powi(2)).max(0.0).sqrt() as f32;
        self.means.iter().enumerate().map(norm).collect()
    }

    /// Row `i` of `X'X`, added to the zeros of `row`, which may stop short.
    pub(crate) fn gram_row(&self, i: usize, row: &mut [f32]) {
        let (readers, lefts) = self.by_book.row(i);
        for (reader, left) in readers.iter().zip(lefts) {
            let (books, rights) = self.by_reader.row(*reader as usize);
            for (book, right) in books.iter().zip(rights) {
                let Some(sum) = row.get_mut(*book as usize) else { break };
                *sum += left * right;
            }
        }
        if self.centred {
            let own = self.means[i];
            row.iter_mut().zip(&self.means).for_each(|(sum, mean)| *sum -= own * mean);
        }
    }
}
