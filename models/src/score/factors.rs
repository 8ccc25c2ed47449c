//! Scores of factor models: fold-in, then inner products with the reader's vector.

use ndarray::Array1;

use super::{
    Asked,
    coarse::Search,
    product::{self, BOOKS, Block, READERS, lay_out},
    solve,
};
use crate::{
    artifact::Factors,
    id::BookRow,
    top_k::{Best, Scored},
};

/// Bytes of readers' vectors that pass the books together.
const READER_BYTES: usize = 512 * 1024;
/// Numbers below which a reader's scores are computed outright: a coarse copy would not be faster.
const FEW: usize = 1 << 15;
/// Where fewer than one book in so many is let through, only those are scored: looking at the rest costs more.
const SPARSE: usize = 8;

impl Factors {
    /// The reader vector of a history against these book factors, shape `(d,)`, in the eigenbasis.
    ///
    /// Minimises `sum over S of (1 - x.z_i)^2 + a0 x'diag(e)x + r |x|^2` with `r = lambda (|S| + a0 n_books)^nu`: one
    /// more reader half-epoch of training, so a training reader gets the vector training would give. With
    /// `D = diag(a0 e + r)`, the history's rows `Z_S`, shape `(s, d)`, and `H = Z_S D^-1/2` it is `D^-1/2 v` for the `v`
    /// that minimises `|1 - H v|^2 + |v|^2`: a system of side `s` or `d`, whichever is less. Zero for an empty history. Repeated rows
    /// count once per occurrence.
    pub fn fold_in(&self, history: &[BookRow]) -> Array1<f32> {
        let (s, d) = (history.len(), self.d());
        if s == 0 {
            return Array1::zeros(d);
        }
        let books = self.values();
        let ridge = self.objective().ridge(s as f64, books.len() / d);
        let a0 = f64::from(self.objective().unobserved_weight);
        let shrink: Vec<f64> = self.eigenvalues().iter().map(|e| (a0 * f64::from(*e) + ridge).sqrt().recip()).collect();
        let width = d.next_multiple_of(solve::LANES);
        let mut h = vec![0.0; s * width];
        for (line, row) in h.chunks_exact_mut(width).zip(history) {
            let vector = books[row.index() * d..][..d].iter().zip(&shrink);
            line.iter_mut().zip(vector).for_each(|(h, (value, shrink))| *h = f64::from(*value) * shrink);
        }
        solve::ridge(&h, width).iter().zip(&shrink).map(|(value, shrink)| (value * shrink) as f32).collect()
    }

    /// Scores of all books for several histories, one row of `n_books` after the other.
    pub(super) fn fill_scores(&self, histories: &[&[BookRow]], rows: &mut [f32]) {
        let n_books = self.values().len() / self.d();
        let readers: Vec<Array1<f32>> = histories.iter().map(|history| self.fold_in(history)).collect();
        let vectors = readers.iter().map(|reader| reader.as_slice().expect("one dimension is contiguous"));
        Block::new(self.d(), vectors).multiply(self.values(), |first, reader, scores| {
            let row = &mut rows[reader * n_books + first..(reader + 1) * n_books];
            row.iter_mut().zip(scores).for_each(|(place, score)| *place = *score);
        });
    }

    /// How many readers to pass the books together: their vectors stay in the second cache, and laying a panel out
    /// costs little beside multiplying it.
    pub(super) fn readers_at_once(&self) -> usize {
        (READER_BYTES / size_of::<f32>() / self.d()).clamp(8 * READERS, 40 * READERS)
    }

    /// The best books of one history.
    pub(super) fn best_of_one(&self, asked: &Asked<'_>) -> Vec<Scored> {
        self.best_of_many(std::slice::from_ref(asked)).pop().expect("one question has one list")
    }

    /// The best books of several histories, `k` and what is eligible given for each.
    ///
    /// By the coarse copy, all readers looking at a run of books while it lies in the cache; where few books are let
    /// through, those are scored and nothing is looked at.
    pub(super) fn best_of_many(&self, asked: &[Asked<'_>]) -> Vec<Vec<Scored>> {
        let (books, d) = (self.values(), self.d());
        let readers: Vec<Array1<f32>> = asked.iter().map(|asked| self.fold_in(asked.scored())).collect();
        let x = |place: usize| readers[place].as_slice().expect("one dimension is contiguous");
        let narrow = |asked: &Asked<'_>| {
            let few = asked.allowed.len() < books.len() / d / SPARSE;
            few.then(|| asked.allowed.iter().filter(|row| asked.may_offer(*row)).collect::<Vec<BookRow>>())
        };
        let mut candidates: Vec<Option<Vec<BookRow>>> = asked.iter().map(narrow).collect();
        if books.len() >= FEW && candidates.iter().any(Option::is_none) {
            let coarse = self.coarse().of(books, d);
            let wide = (0..asked.len()).filter(|place| candidates[*place].is_none());
            let mut searches: Vec<(usize, Search)> =
                wide.filter_map(|place| Some((place, coarse.search(x(place), asked[place].query.k)?))).collect();
            let mut looking: Vec<&mut (usize, Search)> = searches.iter_mut().collect();
            for run in coarse.runs() {
                looking.retain_mut(|(place, search)| search.look(run, |row| asked[*place].may_offer(row)));
                if looking.is_empty() {
                    break;
                }
            }
            for (place, search) in searches {
                candidates[place] = Some(search.candidates());
            }
        }
        let lists = asked.iter().zip(&candidates).enumerate();
        lists.map(|(place, (asked, candidates))| self.best_of(x(place), asked, candidates.as_deref())).collect()
    }

    /// The best of the `candidates`, all of which may be offered; of all eligible books without them.
    fn best_of(&self, x: &[f32], asked: &Asked<'_>, candidates: Option<&[BookRow]>) -> Vec<Scored> {
        let (books, d) = (self.values(), self.d());
        let n_books = books.len() / d;
        let mut best = Best::new(asked.query.k, n_books);
        let mut panel = vec![[0.0; BOOKS]; d];
        match candidates {
            Some(candidates) => {
                for rows in candidates.chunks(BOOKS) {
                    lay_out(rows.iter().map(|row| &books[row.index() * d..][..d]), &mut panel);
                    offer(&mut best, rows.iter().copied().zip(&product::of_one(x, &panel)), |_| true);
                }
            }
            None => {
                for (place, rows) in books.chunks(d * BOOKS).enumerate() {
                    lay_out(rows.chunks_exact(d), &mut panel);
                    let scores = product::of_one(x, &panel);
                    offer(&mut best, rows_from(place * BOOKS, n_books).zip(&scores), |row| asked.may_offer(row));
                }
            }
        }
        best.into_list()
    }
}

fn rows_from(first: usize, n_books: usize) -> impl Iterator<Item = BookRow> {
    (first as u32..n_books as u32).map(BookRow)
}

fn offer<'a>(best: &mut Best, scores: impl Iterator<Item = (BookRow, &'a f32)>, eligible: impl Fn(BookRow) -> bool) {
    for (row, &score) in scores {
        let refused = score <= best.bar();
        if !refused && eligible(row) {
            best.offer(Scored { row, score });
        }
    }
}
