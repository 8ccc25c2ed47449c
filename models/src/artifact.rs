//! A trained model in memory: the books it knows, how it scores them, and the histories it was trained on.
//!
//! Constructors check shapes, finiteness and row ranges once, so that scoring need not.

use std::collections::HashMap;

use ndarray::{Array1, Array2};

use crate::{
    book::Catalogue,
    id::{BookRow, ReaderId},
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
}

impl Scorer {
    /// The family's name in manifests and metadata.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Popularity => "popularity",
            Self::Neighbours(_) => "neighbours",
            Self::Factors(_) => "factors",
        }
    }
}

/// Sparse item-to-item weights by source row: `score(j) = sum over i in history of weight(i, j)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    /// Where each source row begins in `targets`, shape `(n_books + 1,)`.
    offsets: Vec<u32>,
    /// Target rows, ascending within a source row.
    targets: Vec<BookRow>,
    /// Weight of each target, finite.
    weights: Vec<f32>,
}

impl Neighbours {
    /// Checks and wraps compressed sparse rows of a square matrix of side `n_books`.
    pub fn new(n_books: usize, offsets: Vec<u32>, targets: Vec<BookRow>, weights: Vec<f32>) -> Result<Self, Malformed> {
        check_offsets("neighbours.offsets", n_books, &offsets, targets.len())?;
        if targets.len() != weights.len() {
            return Err(malformed("neighbours.weights", targets.len(), weights.len()));
        }
        check_rows("neighbours.targets", n_books, &targets)?;
        check_finite("neighbours.weights", &weights)?;
        Ok(Self { offsets, targets, weights })
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
    /// Rotated book factors, shape `(n_books, d)`.
    pub(crate) books: Array2<f32>,
    /// Eigenvalues of the Gram matrix, shape `(d,)`, not negative.
    pub(crate) eigenvalues: Array1<f32>,
    /// The objective they were trained with.
    pub(crate) objective: Objective,
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
        if books.ncols() != eigenvalues.len() || eigenvalues.is_empty() {
            return Err(malformed(
                "factors.eigenvalues",
                format!("{} and at least 1", books.ncols()),
                eigenvalues.len(),
            ));
        }
        let books = if books.is_standard_layout() { books } else { books.as_standard_layout().into_owned() };
        check_finite("factors.books", books.as_slice().expect("standard layout is contiguous"))?;
        check_finite("factors.eigenvalues", eigenvalues.as_slice().expect("one dimension is contiguous"))?;
        if let Some(negative) = eigenvalues.iter().find(|e| **e < 0.0) {
            return Err(malformed("factors.eigenvalues", "no negative value", negative));
        }
        objective.check()?;
        Ok(Self { books, eigenvalues, objective })
    }

    /// Number of factors.
    pub fn d(&self) -> usize {
        self.eigenvalues.len()
    }
}

/// Histories of the readers a model was trained on: known rows, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Readers {
    ids: Vec<ReaderId>,
    places: HashMap<ReaderId, u32>,
    offsets: Vec<u32>,
    rows: Vec<BookRow>,
}

/// The most books of one reader's history that are scored with, newest kept. Older ones are only not offered again.
pub const MAX_HISTORY: usize = 200;

impl Readers {
    /// Collects histories; the order of readers is kept. Of readers given twice the later history is the one found.
    pub fn new(histories: impl IntoIterator<Item = (ReaderId, Vec<BookRow>)>) -> Self {
        let mut readers = Self { offsets: vec![0], ..Self::default() };
        for (id, history) in histories {
            readers.rows.extend_from_slice(&history);
            readers.offsets.push(readers.rows.len() as u32);
            readers.places.insert(id.clone(), readers.ids.len() as u32);
            readers.ids.push(id);
        }
        readers
    }

    /// Number of readers.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether none are known.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// A reader's stored history, oldest first; `None` for a reader the model has not seen.
    pub fn history(&self, reader: &str) -> Option<&[BookRow]> {
        self.places.get(reader).map(|place| self.at(*place as usize).1)
    }

    /// All readers with their histories, in stored order.
    pub fn iter(&self) -> impl Iterator<Item = (&ReaderId, &[BookRow])> {
        (0..self.len()).map(|place| self.at(place))
    }

    fn at(&self, place: usize) -> (&ReaderId, &[BookRow]) {
        (&self.ids[place], &self.rows[self.offsets[place] as usize..self.offsets[place + 1] as usize])
    }
}

/// A trained model: what is stored, verified, loaded and scored.
#[derive(Debug, Clone)]
pub struct Artifact {
    catalogue: Catalogue,
    popularity: Vec<f32>,
    percentiles: Vec<f32>,
    scorer: Scorer,
    readers: Readers,
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
        let n_books = catalogue.len();
        if n_books == 0 {
            return Err(malformed("catalogue", "at least one book", 0));
        }
        if popularity.len() != n_books {
            return Err(malformed("popularity", n_books, popularity.len()));
        }
        check_finite("popularity", &popularity)?;
        if let Some(negative) = popularity.iter().find(|p| **p < 0.0) {
            return Err(malformed("popularity", "no negative value", negative));
        }
        let side = match &scorer {
            Scorer::Popularity => n_books,
            Scorer::Neighbours(neighbours) => neighbours.offsets.len() - 1,
            Scorer::Factors(factors) => factors.books.nrows(),
        };
        if side != n_books {
            return Err(malformed("scorer", format!("{n_books} books"), side));
        }
        check_rows("readers.rows", n_books, &readers.rows)?;
        let percentiles = percentiles(&popularity);
        Ok(Self { catalogue, popularity, percentiles, scorer, readers })
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
        self.percentiles[row.index()]
    }

    /// How it scores.
    pub fn scorer(&self) -> &Scorer {
        &self.scorer
    }

    /// The readers it was trained on.
    pub fn readers(&self) -> &Readers {
        &self.readers
    }
}

fn percentiles(popularity: &[f32]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..popularity.len()).collect();
    order.sort_by(|a, b| popularity[*a].total_cmp(&popularity[*b]));
    let mut result = vec![0.0; popularity.len()];
    let n = popularity.len() as f32;
    let mut start = 0;
    while start < order.len() {
        let ties = order[start..]
            .iter()
            .take_while(|row| popularity[**row].total_cmp(&popularity[order[start]]).is_eq())
            .count();
        for row in &order[start..start + ties] {
            result[*row] = (start as f32 + ties as f32 / 2.0) / n;
        }
        start += ties;
    }
    result
}

fn check_offsets(part: &'static str, n_rows: usize, offsets: &[u32], n_entries: usize) -> Result<(), Malformed> {
    if offsets.len() != n_rows + 1 {
        return Err(malformed(part, n_rows + 1, offsets.len()));
    }
    let rising = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    if !rising || offsets[0] != 0 || offsets[n_rows] as usize != n_entries {
        return Err(malformed(part, format!("rising from 0 to {n_entries}"), "something else"));
    }
    Ok(())
}

fn check_rows(part: &'static str, n_books: usize, rows: &[BookRow]) -> Result<(), Malformed> {
    match rows.iter().find(|row| row.index() >= n_books) {
        Some(row) => Err(malformed(part, format!("rows below {n_books}"), row.0)),
        None => Ok(()),
    }
}

fn check_finite(part: &'static str, values: &[f32]) -> Result<(), Malformed> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(malformed(part, "finite numbers", value)),
        None => Ok(()),
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
        assert_eq!(percentiles(&[5.0, 1.0, 1.0, 9.0]), [0.625, 0.25, 0.25, 0.875]);
    }
}
