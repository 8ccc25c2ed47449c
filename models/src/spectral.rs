//! Sparse weights plus a part of low rank: what spectral filters of the reader-book graph come down to.
//!
//! Apart from `artifact.rs` because a filter is two models in one, and each half keeps its own promises.

use ndarray::{Array1, Array2, ArrayView2};

use crate::{
    artifact::{Malformed, Neighbours, malformed},
    checks,
    id::BookRow,
    shared::Shared,
};

/// A linear model of full reach: `score(j) = sum over i in history of [weight(i, j) + source_i . target_j]`.
///
/// The sparse weights hold what is near in the graph, the low-rank part the smooth rest, which reaches every book. No
/// part of it is fitted to a reader: a new reader is a history like any other (Shen et al. 2021, arXiv 2108.07567).
#[derive(Debug, Clone, PartialEq)]
pub struct Spectral {
    near: Neighbours,
    /// Shape `(n_books, q)`, row by row.
    sources: Shared<f32>,
    /// Shape `(n_books, q)`, row by row.
    targets: Shared<f32>,
    q: usize,
}

impl Spectral {
    /// Checks and wraps; both matrices have shape `(n_books, q)`, `q` at least 1, and finite values.
    pub fn new(near: Neighbours, sources: &Array2<f32>, targets: &Array2<f32>) -> Result<Self, Malformed> {
        let rows = |matrix: &Array2<f32>| matrix.iter().copied().collect::<Vec<f32>>().into();
        if sources.dim() != targets.dim() {
            return Err(malformed(
                "spectral.targets",
                format!("{:?}", sources.shape()),
                format!("{:?}", targets.shape()),
            ));
        }
        Self::from_parts(near, rows(sources), rows(targets), sources.ncols())
    }

    pub(crate) fn from_parts(
        near: Neighbours,
        sources: Shared<f32>,
        targets: Shared<f32>,
        q: usize,
    ) -> Result<Self, Malformed> {
        if q == 0 {
            return Err(malformed("spectral.sources", "at least 1 column", 0));
        }
        let n_books = near.n_books();
        for (part, values) in [("spectral.sources", &sources), ("spectral.targets", &targets)] {
            if n_books.checked_mul(q) != Some(values.len()) {
                return Err(malformed(part, format!("{n_books} x {q}"), values.len()));
            }
            checks::finite(part, values)?;
        }
        Ok(Self { near, sources, targets, q })
    }

    /// The sparse weights.
    pub fn near(&self) -> &Neighbours {
        &self.near
    }

    /// Rank of the smooth part.
    pub fn q(&self) -> usize {
        self.q
    }

    /// What each book of a history adds to the reader's vector, shape `(n_books, q)`.
    pub fn sources(&self) -> ArrayView2<'_, f32> {
        self.shaped(&self.sources)
    }

    /// What each book answers to the reader's vector, shape `(n_books, q)`.
    pub fn targets(&self) -> ArrayView2<'_, f32> {
        self.shaped(&self.targets)
    }

    fn shaped<'a>(&self, values: &'a [f32]) -> ArrayView2<'a, f32> {
        ArrayView2::from_shape((self.near.n_books(), self.q), values).expect("the number of values was checked")
    }

    /// The reader's vector: the sum of the history's sources, shape `(q,)`; books are added in the order given.
    pub fn reader(&self, history: &[BookRow]) -> Array1<f32> {
        let mut reader = Array1::zeros(self.q);
        for book in history {
            reader += &self.sources().row(book.index());
        }
        reader
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn near() -> Neighbours {
        Neighbours::new(2, vec![0, 1, 1], vec![BookRow(1)], vec![0.5]).unwrap()
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let refused = Spectral::new(near(), &array![[1.0], [2.0]], &array![[1.0, 0.0], [2.0, 0.0]]).unwrap_err();
        assert_eq!(refused.to_string(), "model part spectral.targets: expected [2, 1], found [2, 2]");
        let refused = Spectral::new(near(), &array![[1.0]], &array![[2.0]]).unwrap_err();
        assert_eq!(refused.to_string(), "model part spectral.sources: expected 2 x 1, found 1");
        let refused = Spectral::new(near(), &array![[1.0], [2.0]], &array![[1.0], [f32::NAN]]).unwrap_err();
        assert_eq!((refused.part, refused.expected.as_str()), ("spectral.targets", "finite numbers"));
        assert!(Spectral::new(near(), &Array2::zeros((2, 0)), &Array2::zeros((2, 0))).is_err());
    }

    #[test]
    fn a_reader_is_the_sum_of_what_they_read() {
        let sources = array![[1.0, 2.0], [10.0, 20.0]];
        let model = Spectral::new(near(), &sources, &array![[0.0, 1.0], [1.0, 0.0]]).unwrap();
        assert_eq!(model.reader(&[BookRow(1), BookRow(0)]), array![11.0, 22.0]);
        assert_eq!(model.reader(&[]), array![0.0, 0.0]);
    }
}
