//! The one scoring path: a history in, a ranked list out.
//!
//! Evaluation and serving both call [`Artifact::recommend`], so what was measured is what readers get.

use ndarray::{Array1, Array2, ArrayView1, ArrayViewMut1, Axis, linalg::general_mat_vec_mul};

use crate::{
    artifact::{Artifact, Factors, MAX_HISTORY, Neighbours, Scorer},
    blend::standard_deviation,
    id::{BookId, BookRow},
    top_k::{self, Scored},
};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The reader's books, oldest first, as rows of this artefact. See [`Artifact::history_of`]. All of them are kept
    /// from the list; the newest [`MAX_HISTORY`] are scored with.
    pub history: &'a [BookRow],
    /// How many books are wanted, at least 1.
    pub k: usize,
    /// Whether books of the history may be recommended again.
    pub include_seen: bool,
    /// Further books that must not appear.
    pub exclude: &'a [BookRow],
}

/// Where a list came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Every place was filled by the model's own scores.
    Model,
    /// The model had evidence for fewer than `k` books; the rest are the most popular ones.
    FilledFromPopularity,
    /// Nothing is known of the reader: the most popular books.
    Popularity,
}

impl Origin {
    /// The reason as it is told to callers and counted, or `None` when the model answered alone.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Model => None,
            Self::FilledFromPopularity => Some("sparse-history"),
            Self::Popularity => Some("cold-reader"),
        }
    }
}

/// A ranked list.
#[derive(Debug, Clone, PartialEq)]
pub struct Recommendation {
    /// Best first, without repeats; shorter than `k` only when fewer books are eligible.
    pub books: Vec<Scored>,
    /// Where it came from.
    pub origin: Origin,
}

/// Buffers that scoring reuses between requests of one thread.
#[derive(Debug, Default)]
pub struct Scratch {
    scores: Array1<f32>,
    blocked: Vec<bool>,
}

/// A reader's history as an artefact sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHistory {
    /// Rows, oldest first, without repeats.
    pub rows: Vec<BookRow>,
    /// Whether the artefact stored a history for this reader.
    pub reader_known: bool,
    /// How many of the books sent with the request the artefact does not know.
    pub unknown_books: usize,
}

impl Artifact {
    /// Joins the stored history of `reader` with the books sent in the request (`latest`, oldest first).
    ///
    /// A book that occurs twice keeps its newest place.
    pub fn history_of(&self, reader: Option<&str>, latest: &[BookId]) -> KnownHistory {
        let stored = reader.and_then(|reader| self.readers().history(reader));
        let sent: Vec<Option<BookRow>> = latest.iter().map(|book| self.catalogue().row(book.as_str())).collect();
        let unknown_books = sent.iter().filter(|row| row.is_none()).count();
        let mut newest_first = Vec::new();
        let mut taken = std::collections::HashSet::new();
        let all = stored.unwrap_or_default().iter().copied().chain(sent.into_iter().flatten());
        for row in all.collect::<Vec<_>>().into_iter().rev() {
            if taken.insert(row) {
                newest_first.push(row);
            }
        }
        newest_first.reverse();
        KnownHistory { rows: newest_first, reader_known: stored.is_some(), unknown_books }
    }

    /// Scores of all books for one history, shape `(n_books,)`. Zero means no evidence for neighbour models.
    ///
    /// Of a history longer than [`MAX_HISTORY`] the newest part counts.
    pub fn scores<'s>(&self, history: &[BookRow], scratch: &'s mut Scratch) -> ArrayView1<'s, f32> {
        let history = &history[history.len().saturating_sub(MAX_HISTORY)..];
        let n_books = self.catalogue().len();
        if scratch.scores.len() != n_books {
            scratch.scores = Array1::zeros(n_books);
        }
        self.score_with(self.scorer(), history, &mut scratch.scores.view_mut());
        scratch.scores.view()
    }

    fn score_with(&self, scorer: &Scorer, history: &[BookRow], scores: &mut ArrayViewMut1<'_, f32>) {
        match scorer {
            Scorer::Popularity => scores.assign(&ArrayView1::from(self.popularity())),
            Scorer::Neighbours(neighbours) => sum_rows(neighbours, history, scores),
            Scorer::Factors(factors) => {
                let reader = factors.fold_in(history);
                general_mat_vec_mul(1.0, &factors.books(), &reader, 0.0, scores);
            }
            Scorer::Spectral(spectral) => {
                sum_rows(spectral.near(), history, scores);
                general_mat_vec_mul(1.0, &spectral.targets(), &spectral.reader(history), 1.0, scores);
            }
            Scorer::Blend(blend) => {
                let mut part = Array1::zeros(scores.len());
                scores.fill(0.0);
                for member in blend.members() {
                    self.score_with(&member.scorer, history, &mut part.view_mut());
                    let spread = standard_deviation(part.iter().copied());
                    if spread > 0.0 {
                        scores.scaled_add((f64::from(member.weight) / spread) as f32, &part);
                    }
                }
            }
        }
    }

    /// The best books for a history: never an unavailable one, an excluded one or (unless asked) a seen one.
    ///
    /// An empty history gives the most popular books. Places the model has no evidence for are filled by popularity.
    pub fn recommend(&self, query: Query<'_>, scratch: &mut Scratch) -> Recommendation {
        let n_books = self.catalogue().len();
        let mut blocked = std::mem::take(&mut scratch.blocked);
        blocked.clear();
        blocked.resize(n_books, false);
        let seen: &[BookRow] = if query.include_seen { &[] } else { query.history };
        for row in seen.iter().chain(query.exclude) {
            blocked[row.index()] = true;
        }
        let sellable = |row: BookRow| !blocked[row.index()] && self.catalogue().book(row).is_available();

        let personal = !query.history.is_empty() && !matches!(self.scorer(), Scorer::Popularity);
        let mut books = Vec::new();
        if personal {
            let scores = self.scores(query.history, scratch);
            let scores = scores.as_slice().expect("scores are contiguous");
            let silent = self.scorer().is_silent_at_zero();
            books = top_k::best(query.k, scores, |row| !(silent && scores[row.index()] == 0.0) && sellable(row));
        }
        let from_model = books.len();
        if from_model < query.k {
            let taken: std::collections::HashSet<BookRow> = books.iter().map(|scored| scored.row).collect();
            let rest =
                top_k::best(query.k - from_model, self.popularity(), |row| sellable(row) && !taken.contains(&row));
            // Filled places rank below the model's own, whatever the scales: they carry the score 0.
            books.extend(rest.into_iter().map(|s| if personal { Scored { score: 0.0, ..s } } else { s }));
        }
        scratch.blocked = blocked;
        let origin = match () {
            () if matches!(self.scorer(), Scorer::Popularity) => Origin::Model,
            () if !personal => Origin::Popularity,
            () if from_model < books.len() => Origin::FilledFromPopularity,
            () => Origin::Model,
        };
        Recommendation { books, origin }
    }
}

fn sum_rows(neighbours: &Neighbours, history: &[BookRow], scores: &mut ArrayViewMut1<'_, f32>) {
    scores.fill(0.0);
    for source in history {
        let (targets, weights) = neighbours.row(*source);
        for (target, weight) in targets.iter().zip(weights) {
            scores[target.index()] += weight;
        }
    }
}

impl Factors {
    /// The reader vector of a history against these book factors, shape `(d,)`, in the eigenbasis.
    ///
    /// Minimises `sum over S of (1 - x.z_i)^2 + a0 x'diag(e)x + r |x|^2` with `r = lambda (|S| + a0 n_books)^nu`: one
    /// more reader half-epoch of training, so a training reader gets the vector training would give. With
    /// `D = diag(a0 e + r)` and the history's rows `Z_S`, shape `(s, d)`: for `s < d` the dual
    /// `(I + Z_S D^-1 Z_S') w = 1, x = D^-1 Z_S' w`, else the primal `(D + Z_S' Z_S) x = Z_S' 1`. The two are equal
    /// (push-through identity). Zero for an empty history. Repeated rows count once per occurrence.
    pub fn fold_in(&self, history: &[BookRow]) -> Array1<f32> {
        let (s, d) = (history.len(), self.d());
        if s == 0 {
            return Array1::zeros(d);
        }
        let ridge = self.objective().ridge(s as f64, self.books().nrows());
        let a0 = f64::from(self.objective().unobserved_weight);
        let diagonal = self.eigenvalues().mapv(|e| a0 * f64::from(e) + ridge);
        let rows: Vec<usize> = history.iter().map(|row| row.index()).collect();
        let z = self.books().select(Axis(0), &rows).mapv(f64::from);
        let solution = if s < d {
            let scaled = &z / &diagonal;
            let mut kernel = scaled.dot(&z.t());
            kernel.diag_mut().mapv_inplace(|value| value + 1.0);
            let weights = solve_in_place(kernel, Array1::ones(s));
            scaled.t().dot(&weights)
        } else {
            let mut system = z.t().dot(&z);
            for (value, own) in system.diag_mut().iter_mut().zip(&diagonal) {
                *value += own;
            }
            solve_in_place(system, z.sum_axis(Axis(0)))
        };
        solution.mapv(|value| value as f32)
    }
}

/// Solves `matrix x = right` for a symmetric positive definite matrix by Cholesky, overwriting both.
///
/// Only the lower triangle is read. A pivot that rounding made non-positive is taken as the smallest positive number,
/// which keeps the answer finite; with a ridge on the diagonal this does not happen in exact arithmetic.
pub fn solve_in_place(mut matrix: Array2<f64>, mut right: Array1<f64>) -> Array1<f64> {
    let n = right.len();
    let a = matrix.as_slice_mut().expect("a fresh matrix is contiguous");
    let b = right.as_slice_mut().expect("a fresh vector is contiguous");
    for i in 0..n {
        for j in 0..=i {
            let (row_i, row_j) = (&a[i * n..i * n + j], &a[j * n..j * n + j]);
            let dot: f64 = row_i.iter().zip(row_j).map(|(x, y)| x * y).sum();
            let value = a[i * n + j] - dot;
            a[i * n + j] = if i == j { value.max(f64::MIN_POSITIVE).sqrt() } else { value / a[j * n + j] };
        }
    }
    for i in 0..n {
        let dot: f64 = a[i * n..i * n + i].iter().zip(&*b).map(|(x, y)| x * y).sum();
        b[i] = (b[i] - dot) / a[i * n + i];
    }
    for i in (0..n).rev() {
        b[i] /= a[i * n + i];
        let solved = b[i];
        for (j, value) in a[i * n..i * n + i].iter().enumerate() {
            b[j] -= value * solved;
        }
    }
    right
}

#[cfg(test)]
mod tests;
