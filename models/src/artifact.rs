//! A trained model in memory: the books it knows, how it scores them, and the histories it was trained on.
//!
//! Constructors check shapes, finiteness and row ranges once, so that scoring need not.

use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayView2};

use crate::{
    blend::Blend, catalogue::Catalogue, checks, id::BookRow, labels::Labels, readers::Readers, rows::Rows,
    rules::Filter, score::LazyCoarse, sessions::Sessions, shared::Shared, shelves::Shelves, spectral::Spectral,
};

/// Why parts do not make a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("model part {part}: expected {expected}, found {found}")]
pub struct Malformed {
    /// The part at fault, as named in the artefact's file.
    pub part: &'static str,
    /// What it should have been.
    pub expected: String,
    /// What it was.
    pub found: String,
}

#[expect(clippy::needless_pass_by_value, reason = "called with numbers and fresh texts")]
pub(crate) fn malformed(part: &'static str, expected: impl ToString, found: impl ToString) -> Malformed {
    Malformed { part, expected: expected.to_string(), found: found.to_string() }
}

/// How a model turns a history into one score per book.
#[derive(Debug, Clone)]
pub enum Scorer {
    /// Everyone gets the same scores: the artefact's popularity.
    Popularity,
    /// Item-to-item weights (item-kNN, RP3beta): scores are sums over the history's rows.
    Neighbours(Neighbours),
    /// Matrix factorisation with fold-in: scores are products with a vector solved for the history.
    Factors(Factors),
    /// A spectral filter: sparse weights and a low-rank part, both summed over the history.
    Spectral(Spectral),
    /// Session nearest neighbours: past sessions vote for the next book, whatever was clicked before.
    Sessions(Sessions),
    /// A weighted sum of other scorers.
    Blend(Blend),
}

impl Scorer {
    /// The family's name in manifests and metadata.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Popularity => "popularity",
            Self::Neighbours(_) => "neighbours",
            Self::Factors(_) => "factors",
            Self::Spectral(_) => "spectral",
            Self::Sessions(_) => "sessions",
            Self::Blend(_) => "blend",
        }
    }

    /// How many books it scores; `None` where any number will do.
    pub fn n_books(&self) -> Option<usize> {
        match self {
            Self::Popularity => None,
            Self::Neighbours(neighbours) => Some(neighbours.n_books()),
            Self::Factors(factors) => Some(factors.books().nrows()),
            Self::Spectral(spectral) => Some(spectral.near().n_books()),
            Self::Sessions(sessions) => Some(sessions.n_books()),
            Self::Blend(blend) => blend.members().iter().find_map(|member| member.scorer.n_books()),
        }
    }

    /// Whether a score of exactly zero means that there is no evidence, rather than a middling score.
    pub fn is_silent_at_zero(&self) -> bool {
        match self {
            Self::Neighbours(_) | Self::Sessions(_) => true,
            Self::Blend(blend) => blend.members().iter().all(|member| member.scorer.is_silent_at_zero()),
            Self::Popularity | Self::Factors(_) | Self::Spectral(_) => false,
        }
    }
}

/// Sparse item-to-item weights by source row: `score(j) = sum over i in history of weight(i, j)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    /// Where each source row begins in `targets`, shape `(n_books + 1,)`.
    offsets: Shared<u32>,
    /// Target rows, ascending within a source row.
    targets: Shared<BookRow>,
    /// Weight of each target, finite.
    weights: Shared<f32>,
}

impl Neighbours {
    /// Checks and wraps compressed sparse rows of a square matrix of side `n_books`.
    pub fn new(n_books: usize, offsets: Vec<u32>, targets: Vec<BookRow>, weights: Vec<f32>) -> Result<Self, Malformed> {
        Self::from_parts(n_books, offsets.into(), targets.into(), weights.into())
    }

    pub(crate) fn from_parts(
        n_books: usize,
        offsets: Shared<u32>,
        targets: Shared<BookRow>,
        weights: Shared<f32>,
    ) -> Result<Self, Malformed> {
        checks::offsets("neighbours.offsets", n_books, &offsets, targets.len())?;
        if targets.len() != weights.len() {
            return Err(malformed("neighbours.weights", targets.len(), weights.len()));
        }
        checks::rows("neighbours.targets", n_books, &targets)?;
        checks::finite("neighbours.weights", &weights)?;
        Ok(Self { offsets, targets, weights })
    }

    /// Number of books, the matrix's side.
    pub fn n_books(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Targets and weights of one source row.
    pub fn row(&self, source: BookRow) -> (&[BookRow], &[f32]) {
        let range = self.offsets[source.index()] as usize..self.offsets[source.index() + 1] as usize;
        (&self.targets[range.clone()], &self.weights[range])
    }

    /// The three arrays as stored: offsets, targets, weights.
    pub fn parts(&self) -> (&[u32], &[BookRow], &[f32]) {
        (&self.offsets, &self.targets, &self.weights)
    }
}

/// Book factors of implicit-feedback matrix factorisation, in the eigenbasis of their own Gram matrix.
///
/// With `G = Y'Y = Q diag(e) Q'` the stored factors are `Z = YQ`. Scores do not change under the rotation, and the
/// all-pairs part of every fold-in becomes diagonal: `a0 e + r`, `r = lambda (s + a0 n_books)^nu` for a history of
/// `s` books (Rendle et al. 2021, arXiv 2110.14037, for the objective).
#[derive(Debug, Clone, PartialEq)]
pub struct Factors {
    /// Rotated book factors, shape `(n_books, d)`, row by row.
    books: Shared<f32>,
    /// Eigenvalues of the Gram matrix, shape `(d,)`, not negative.
    eigenvalues: Array1<f32>,
    /// The objective they were trained with.
    objective: Objective,
    /// What scoring derives from `books`.
    coarse: LazyCoarse,
}

/// The weights of the implicit-feedback objective that a fold-in must repeat.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Objective {
    /// Weight of every reader-book pair, `a0 > 0`.
    pub unobserved_weight: f32,
    /// Strength of the regularisation, `lambda > 0`.
    pub regularization: f32,
    /// Exponent of the frequency scaling, `nu` in `[0, 1]`.
    pub frequency_exponent: f32,
}

impl Objective {
    /// Ridge of one row: `lambda (total_weight + a0 n_other)^nu`.
    ///
    /// `total_weight` is the sum of the row's confidences (its number of pairs when they are all 1), `n_other` the
    /// size of the opposite side.
    pub fn ridge(&self, total_weight: f64, n_other: usize) -> f64 {
        let scale = total_weight + f64::from(self.unobserved_weight) * n_other as f64;
        f64::from(self.regularization) * scale.powf(f64::from(self.frequency_exponent))
    }

    fn check(self) -> Result<(), Malformed> {
        let positive = |x: f32| x.is_finite() && x > 0.0;
        if !positive(self.unobserved_weight) {
            return Err(malformed("objective.unobserved_weight", "a positive number", self.unobserved_weight));
        }
        if !positive(self.regularization) {
            return Err(malformed("objective.regularization", "a positive number", self.regularization));
        }
        if !(0.0..=1.0).contains(&self.frequency_exponent) {
            return Err(malformed("objective.frequency_exponent", "a number in [0, 1]", self.frequency_exponent));
        }
        Ok(())
    }
}

impl Factors {
    /// Checks and wraps rotated factors; see the type for what the arrays mean.
    pub fn new(books: Array2<f32>, eigenvalues: Array1<f32>, objective: Objective) -> Result<Self, Malformed> {
        let n_books = books.nrows();
        let books = if books.is_standard_layout() { books } else { books.as_standard_layout().into_owned() };
        let (mut values, skip) = books.into_raw_vec_and_offset();
        values.drain(..skip.unwrap_or(0));
        Self::from_parts(n_books, values.into(), eigenvalues, objective)
    }

    /// As [`Self::new`], of `n_books` rows one after the other.
    pub(crate) fn from_parts(
        n_books: usize,
        books: Shared<f32>,
        eigenvalues: Array1<f32>,
        objective: Objective,
    ) -> Result<Self, Malformed> {
        let d = eigenvalues.len();
        if d == 0 {
            return Err(malformed("factors.eigenvalues", "at least 1", 0));
        }
        if n_books.checked_mul(d) != Some(books.len()) {
            return Err(malformed("factors.books", format!("{n_books} x {d}"), books.len()));
        }
        checks::finite("factors.books", &books)?;
        checks::not_negative("factors.eigenvalues", eigenvalues.as_slice().expect("one dimension is contiguous"))?;
        objective.check()?;
        Ok(Self { books, eigenvalues, objective, coarse: LazyCoarse::default() })
    }

    /// Number of factors.
    pub fn d(&self) -> usize {
        self.eigenvalues.len()
    }

    /// Rotated book factors, shape `(n_books, d)`.
    pub fn books(&self) -> ArrayView2<'_, f32> {
        let shape = (self.books.len() / self.d(), self.d());
        ArrayView2::from_shape(shape, &self.books).expect("the number of values was checked")
    }

    /// As [`Self::books`], row by row.
    pub(crate) fn values(&self) -> &[f32] {
        &self.books
    }

    /// Where scoring keeps its coarse copy of [`Self::books`].
    pub(crate) fn coarse(&self) -> &LazyCoarse {
        &self.coarse
    }

    /// Eigenvalues of the Gram matrix of [`Self::books`], shape `(d,)`.
    pub fn eigenvalues(&self) -> &Array1<f32> {
        &self.eigenvalues
    }

    /// The objective they were trained with.
    pub fn objective(&self) -> Objective {
        self.objective
    }
}

/// The most books of one reader's history that are scored with, newest kept. Older ones are only not offered again.
pub const MAX_HISTORY: usize = 200;

/// A trained model: what is stored, verified, loaded and scored.
#[derive(Debug, Clone)]
pub struct Artifact {
    catalogue: Catalogue,
    popularity: Shared<f32>,
    /// The same values, ascending.
    sorted_popularity: Vec<f32>,
    scorer: Scorer,
    readers: Readers,
    shelves: Arc<Shelves>,
}

impl Artifact {
    /// Puts a model together, refusing parts that do not fit.
    ///
    /// `popularity` has one finite, non-negative value per book; it is the scorer of last resort.
    pub fn new(
        catalogue: Catalogue,
        popularity: Vec<f32>,
        scorer: Scorer,
        readers: Readers,
    ) -> Result<Self, Malformed> {
        Self::from_parts(catalogue, popularity.into(), scorer, readers)
    }

    pub(crate) fn from_parts(
        catalogue: Catalogue,
        popularity: Shared<f32>,
        scorer: Scorer,
        readers: Readers,
    ) -> Result<Self, Malformed> {
        let n_books = catalogue.len();
        if n_books == 0 {
            return Err(malformed("catalogue", "at least one book", 0));
        }
        if popularity.len() != n_books {
            return Err(malformed("popularity", n_books, popularity.len()));
        }
        checks::not_negative("popularity", &popularity)?;
        if let Some(side) = scorer.n_books().filter(|side| *side != n_books) {
            return Err(malformed("scorer", format!("{n_books} books"), side));
        }
        checks::rows("readers.rows", n_books, readers.parts().3)?;
        let mut sorted_popularity = popularity.to_vec();
        sorted_popularity.sort_unstable_by(f32::total_cmp);
        let shelves = Arc::default();
        Ok(Self { catalogue, popularity, sorted_popularity, scorer, readers, shelves })
    }

    /// The books, by row.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Popularity of each book, by row: decayed counts, see the training manifest for the half-life.
    pub fn popularity(&self) -> &[f32] {
        &self.popularity
    }

    /// Share of books that are less popular, counting ties half, by row; in `[0, 1)`.
    pub fn popularity_percentile(&self, row: BookRow) -> f32 {
        let own = self.popularity[row.index()];
        let below = self.sorted_popularity.partition_point(|other| other.total_cmp(&own).is_lt());
        let ties = self.sorted_popularity[below..].partition_point(|other| other.total_cmp(&own).is_eq());
        (below as f32 + ties as f32 / 2.0) / self.sorted_popularity.len() as f32
    }

    /// How it scores.
    pub fn scorer(&self) -> &Scorer {
        &self.scorer
    }

    /// The readers it was trained on.
    pub fn readers(&self) -> &Readers {
        &self.readers
    }

    /// Finds out about its books what `other` was asked about its own by way of rules, so that the first questions to a
    /// model that takes another's place need not wait for that. Changes no answer.
    pub fn prepare_as(&self, other: &Self) {
        self.shelves.follow(&self.catalogue, &other.shelves);
    }

    /// The books a filter lets through.
    pub(crate) fn allowed(&self, filter: &Filter) -> Arc<Rows> {
        self.shelves.allowed(&self.catalogue, filter)
    }

    pub(crate) fn authors(&self) -> &Labels {
        self.shelves.authors(&self.catalogue)
    }

    pub(crate) fn series(&self) -> &Labels {
        self.shelves.series(&self.catalogue)
    }

    pub(crate) fn subjects(&self) -> &Labels {
        self.shelves.subjects(&self.catalogue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Book;

    fn books(n: usize) -> Catalogue {
        Catalogue::new((0..n).map(|i| Book::bare(format!("b{i}").parse().unwrap())))
    }

    #[test]
    fn parts_of_different_sizes_are_refused() {
        let refused = Artifact::new(books(3), vec![1.0; 2], Scorer::Popularity, Readers::new([])).unwrap_err();
        assert_eq!(refused.to_string(), "model part popularity: expected 3, found 2");
        let row_out_of_range = Neighbours::new(2, vec![0, 1, 1], vec![BookRow(2)], vec![1.0]).unwrap_err();
        assert_eq!(row_out_of_range.part, "neighbours.targets");
        let nan = Neighbours::new(2, vec![0, 1, 1], vec![BookRow(1)], vec![f32::NAN]).unwrap_err();
        assert_eq!(nan.expected, "finite numbers");
    }

    #[test]
    fn percentiles_count_ties_half() {
        let model = Artifact::new(books(4), vec![5.0, 1.0, 1.0, 9.0], Scorer::Popularity, Readers::new([])).unwrap();
        let got = [0, 1, 2, 3].map(|row| model.popularity_percentile(BookRow(row)));
        assert_eq!(got.to_vec(), vec![0.625, 0.25, 0.25, 0.875]);
    }

    #[test]
    fn factors_are_kept_row_by_row_however_they_came() {
        let objective = Objective { unobserved_weight: 0.1, regularization: 0.2, frequency_exponent: 1.0 };
        let by_columns = ndarray::array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]].reversed_axes();
        let mut cut = ndarray::array![[9.0, 9.0], [1.0, 4.0], [2.0, 5.0], [3.0, 6.0]];
        cut.slice_collapse(ndarray::s![1.., ..]);
        for books in [by_columns, cut] {
            let factors = Factors::new(books, ndarray::array![1.0, 2.0], objective).unwrap();
            assert_eq!(factors.books(), ndarray::array![[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]);
        }
        let wrong = Factors::new(Array2::zeros((2, 3)), Array1::zeros(2), objective).unwrap_err();
        assert_eq!(wrong.to_string(), "model part factors.books: expected 2 x 2, found 6");
    }
}
