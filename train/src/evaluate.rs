//! Full-ranking evaluation: every case gets a real list from the one scoring path, and every reader's values are kept.

use std::collections::HashSet;

use models::{Artifact, BookRow, Query, ReaderId, Scratch, score::Origin};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    bootstrap::{self, Comparison},
    metrics::{hit_rate_at, mrr_at, ndcg_at, recall_at, recall_trunc_at},
    split::{Case, Segment, Split},
};

/// A mean over readers with its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean over readers.
    pub mean: f64,
    /// Standard deviation of the readers' values over the root of their number; `None` for a single reader.
    pub se: Option<f64>,
}

/// One reader's values, each in `[0, 1]`; see [`crate::metrics`].
#[derive(Debug, Clone, PartialEq)]
pub struct ReaderValues {
    /// Whose.
    pub reader: ReaderId,
    /// How they met the model.
    pub segment: Segment,
    /// Hits over relevant books.
    pub recall: f64,
    /// Hits over the most that fit.
    pub recall_trunc: f64,
    /// Normalised discounted cumulative gain.
    pub ndcg: f64,
    /// Reciprocal rank of the first hit.
    pub mrr: f64,
    /// Any hit.
    pub hit_rate: f64,
}

/// The means over a group of readers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Readers in the group.
    pub n_readers: usize,
    /// Hits over relevant books.
    pub recall: Estimate,
    /// Hits over the most that fit.
    pub recall_trunc: Estimate,
    /// Normalised discounted cumulative gain.
    pub ndcg: Estimate,
    /// Reciprocal rank of the first hit.
    pub mrr: Estimate,
    /// Share of readers with any hit.
    pub hit_rate: Estimate,
}

/// What a model is worth on a split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Length of the lists, `k`.
    pub at: usize,
    /// All readers; `None` when none could be judged.
    pub all: Option<Summary>,
    /// Readers with a past; `None` when there are none.
    pub warm: Option<Summary>,
    /// Readers the model never saw; `None` when there are none.
    pub folded_in: Option<Summary>,
    /// Share of the books that may be recommended which are, to anyone; in `[0, 1]`.
    pub coverage: f64,
    /// Books that may be recommended: the denominator of `coverage`.
    pub n_eligible: usize,
    /// Share of all targets that this model's catalogue does not hold; they count as misses.
    pub cold_book_share: f64,
    /// Share of lists that were filled up, or wholly made, from popularity.
    pub fallback_share: f64,
    /// Each reader's values, by ascending reader. Not stored: they would outgrow the model.
    #[serde(skip)]
    pub per_reader: Vec<ReaderValues>,
}

impl Evaluation {
    /// Mean NDCG over all readers, the number models are chosen by; `None` when none could be judged.
    pub fn ndcg(&self) -> Option<f64> {
        self.all.as_ref().map(|summary| summary.ndcg.mean)
    }

    /// NDCG of this model minus that of `other` on the readers both were judged on; `None` without any.
    ///
    /// Panics if the two were evaluated at different `k`, which have no common scale.
    pub fn compared_with(&self, other: &Self, seed: u64) -> Option<Comparison> {
        assert_eq!(self.at, other.at, "models are compared at one list length");
        let mut differences = Vec::new();
        let mut theirs = other.per_reader.iter().peekable();
        for own in &self.per_reader {
            while theirs.next_if(|their| their.reader < own.reader).is_some() {}
            if let Some(their) = theirs.next_if(|their| their.reader == own.reader) {
                differences.push(own.ndcg - their.ndcg);
            }
        }
        bootstrap::paired(&differences, seed)
    }
}

/// Asks `artifact` every question of `split`, with lists of `at` books.
///
/// The artifact may come from another night: books are matched by id, books it does not know leave the histories and
/// count as misses among the targets. As in serving, of long histories the newest part is scored with and all of it is
/// kept from the lists. Panics if `at == 0`.
pub fn evaluate(artifact: &Artifact, split: &Split, at: usize) -> Evaluation {
    assert!(at > 0, "a list of no places has no quality");
    let catalogue = artifact.catalogue();
    let rows: Vec<Option<BookRow>> =
        split.train.catalogue().books().map(|book| catalogue.row(book.item_id())).collect();
    let judged: Vec<Judged> = split
        .cases
        .par_iter()
        .map_init(Scratch::default, |scratch, case| judge(artifact, &rows, case, at, scratch))
        .collect();

    let recommended: HashSet<BookRow> = judged.iter().flat_map(|judged| judged.list.iter().copied()).collect();
    let n_eligible = catalogue.books().filter(|book| book.is_available()).count();
    let n_targets: usize = judged.iter().map(|judged| judged.n_targets).sum();
    let n_cold: usize = judged.iter().map(|judged| judged.n_cold).sum();
    let n_fallback = judged.iter().filter(|judged| judged.fallback).count();
    let n_cases = judged.len().max(1) as f64;
    let per_reader: Vec<ReaderValues> = judged.into_iter().map(|judged| judged.values).collect();
    let of = |segment: Segment| summary(per_reader.iter().filter(move |values| values.segment == segment));
    Evaluation {
        at,
        all: summary(per_reader.iter()),
        warm: of(Segment::Warm),
        folded_in: of(Segment::FoldedIn),
        coverage: recommended.len() as f64 / n_eligible.max(1) as f64,
        n_eligible,
        cold_book_share: n_cold as f64 / n_targets.max(1) as f64,
        fallback_share: n_fallback as f64 / n_cases,
        per_reader,
    }
}

struct Judged {
    values: ReaderValues,
    list: Vec<BookRow>,
    n_targets: usize,
    n_cold: usize,
    fallback: bool,
}

fn judge(artifact: &Artifact, rows: &[Option<BookRow>], case: &Case, at: usize, scratch: &mut Scratch) -> Judged {
    let known = |books: &[BookRow]| books.iter().filter_map(|book| rows[book.index()]).collect::<Vec<_>>();
    let read = known(&case.history);
    let query = Query { history: &read, k: at, include_seen: false, exclude: &[] };
    let answer = artifact.recommend(query, scratch);
    let targets: HashSet<BookRow> = known(&case.targets).into_iter().collect();
    let n_targets = case.targets.len() + case.n_cold_targets;
    let list: Vec<BookRow> = answer.books.iter().map(|scored| scored.row).collect();
    let hits: Vec<bool> = list.iter().map(|row| targets.contains(row)).collect();
    let value = |metric: fn(usize, &[bool], usize) -> Option<f64>| {
        metric(at, &hits, n_targets).expect("a case has at least one target")
    };
    let values = ReaderValues {
        reader: case.reader.clone(),
        segment: case.segment,
        recall: value(recall_at),
        recall_trunc: value(recall_trunc_at),
        ndcg: value(ndcg_at),
        mrr: value(mrr_at),
        hit_rate: value(hit_rate_at),
    };
    let n_cold = n_targets - targets.len();
    Judged { values, list, n_targets, n_cold, fallback: answer.origin != Origin::Model }
}

fn summary<'a>(readers: impl Iterator<Item = &'a ReaderValues>) -> Option<Summary> {
    let readers: Vec<&ReaderValues> = readers.collect();
    let over = |value: fn(&ReaderValues) -> f64| estimate(&readers.iter().map(|r| value(r)).collect::<Vec<_>>());
    Some(Summary {
        n_readers: readers.len(),
        recall: over(|r| r.recall)?,
        recall_trunc: over(|r| r.recall_trunc)?,
        ndcg: over(|r| r.ndcg)?,
        mrr: over(|r| r.mrr)?,
        hit_rate: over(|r| r.hit_rate)?,
    })
}

/// Mean and standard error; `None` without values.
fn estimate(values: &[f64]) -> Option<Estimate> {
    let n = values.len() as f64;
    let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / n)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some(Estimate { mean, se: (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt()) })
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact in binary")]
mod tests {
    use super::*;
    use crate::{
        Algorithm,
        dataset::{TimeAxis, tests::toy},
        split,
    };

    fn popular(train: &str) -> Artifact {
        Algorithm::named("popularity").unwrap().fit(&toy(TimeAxis::None, train), 0, &|_| ()).unwrap()
    }

    const TRAIN: &str = "ann: a b | bob: a c | cy: a c | dee: d";
    const TEST: &str = "ann: c x | dee: b | zoe: a c";

    #[test]
    fn lists_are_judged_reader_by_reader() {
        let split = split::given(&toy(TimeAxis::None, TRAIN), &toy(TimeAxis::None, TEST)).unwrap();
        let got = evaluate(&popular(TRAIN), &split, 2);
        // Popular order a(3) c(2) b(1) d(1). ann sees c d: c hits, x cannot. dee sees a c: miss. zoe (read a): c b, hit.
        let recalls: Vec<f64> = got.per_reader.iter().map(|reader| reader.recall).collect();
        assert_eq!(recalls, [0.5, 0.0, 1.0]);
        let all = got.all.as_ref().unwrap();
        assert_eq!((all.n_readers, all.recall.mean, all.hit_rate.mean), (3, 0.5, 2.0 / 3.0));
        assert!((all.recall.se.unwrap() - (0.25_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(got.warm.as_ref().unwrap().recall.mean, 0.25);
        assert_eq!(got.folded_in.as_ref().unwrap().recall, Estimate { mean: 1.0, se: None });
        assert_eq!((got.coverage, got.n_eligible, got.cold_book_share), (1.0, 4, 0.25));
    }

    #[test]
    fn a_model_of_another_night_is_judged_on_the_books_it_knows() {
        let split = split::given(&toy(TimeAxis::None, TRAIN), &toy(TimeAxis::None, TEST)).unwrap();
        // This one numbers its books otherwise and has never heard of b, c and d.
        let got = evaluate(&popular("ann: 0 1 a | bob: 0"), &split, 2);
        assert_eq!(got.ndcg(), Some(0.0));
        assert_eq!(got.cold_book_share, 1.0);
    }

    #[test]
    fn models_are_compared_on_the_readers_they_share() {
        let split = split::given(&toy(TimeAxis::None, TRAIN), &toy(TimeAxis::None, TEST)).unwrap();
        let one = evaluate(&popular(TRAIN), &split, 2);
        let mut fewer = one.clone();
        fewer.per_reader.remove(1);
        let compared = one.compared_with(&fewer, 1).unwrap();
        assert_eq!((compared.n, compared.mean), (2, 0.0));
    }

    #[test]
    fn a_stored_evaluation_reads_back_without_its_readers() {
        let split = split::given(&toy(TimeAxis::None, TRAIN), &toy(TimeAxis::None, TEST)).unwrap();
        let mut evaluation = evaluate(&popular(TRAIN), &split, 2);
        let json = serde_json::to_string(&evaluation).unwrap();
        evaluation.per_reader.clear();
        assert_eq!(serde_json::from_str::<Evaluation>(&json).unwrap(), evaluation);
    }
}
