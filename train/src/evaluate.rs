//! Full-ranking evaluation: every case gets a real list from the one scoring path, and every reader's values are kept.

mod lists;

use std::collections::HashSet;

use models::{Artifact, BookRow, Query, ReaderId, Recommendation, score::Origin};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::lists::ListQuality;
use self::lists::{ListValues, Shelf};
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

/// Readers with histories of similar length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DegreeGroup {
    /// Books of the shortest history.
    pub from: usize,
    /// Books of the longest history.
    pub to: usize,
    /// Their means.
    pub summary: Summary,
}

/// How well targets are foreseen that nobody had taken up in the training window, known to the catalogue or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColdBooks {
    /// Such targets, of all readers.
    pub n_targets: usize,
    /// Readers who took up at least one.
    pub n_readers: usize,
    /// Mean over these readers of hits among their cold targets over the number of them.
    pub recall: Estimate,
}

/// What a model is worth on a split.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Length of the lists, `k`.
    pub at: usize,
    /// All readers; `None` when none could be judged.
    pub all: Option<Summary>,
    /// Readers with a past; `None` when there are none.
    pub warm: Option<Summary>,
    /// Readers the model never saw; `None` when there are none.
    pub folded_in: Option<Summary>,
    /// All readers in four groups of similar size by the length of their history, shortest first; equal lengths stay
    /// together, so that there may be fewer.
    #[serde(default)]
    pub by_degree: Vec<DegreeGroup>,
    /// Targets nobody had taken up before; `None` when there are none.
    #[serde(default)]
    pub cold_books: Option<ColdBooks>,
    /// What the lists are like besides right or wrong.
    #[serde(default)]
    pub lists: ListQuality,
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

/// Asks `artifact` every question of `split`, with lists of `at` books: [`evaluate_at`] for one length.
pub fn evaluate(artifact: &Artifact, split: &Split, at: usize) -> Evaluation {
    evaluate_at(artifact, split, &[at]).pop().expect("one length gives one evaluation")
}

/// Asks `artifact` every question of `split` once and judges the first places of each list, for each length in `ats`.
///
/// The artifact may come from another night: books are matched by id, books it does not know leave the histories and
/// count as misses among the targets. As in serving, of long histories the newest part is scored with and all of it is
/// kept from the lists. What is answered in each place does not depend on the length asked for, so every evaluation
/// equals that of its length alone. Panics if a length is 0.
pub fn evaluate_at(artifact: &Artifact, split: &Split, ats: &[usize]) -> Vec<Evaluation> {
    assert!(ats.iter().all(|at| *at > 0), "a list of no places has no quality");
    let catalogue = artifact.catalogue();
    let rows: Vec<Option<BookRow>> =
        split.train.catalogue().books().map(|book| catalogue.row(book.item_id())).collect();
    let known = |books: &[BookRow]| books.iter().filter_map(|book| rows[book.index()]).collect::<Vec<_>>();
    let histories: Vec<Vec<BookRow>> = split.cases.iter().map(|case| known(&case.history)).collect();
    let longest = ats.iter().copied().max().unwrap_or(1);
    let query = |history| {
        let newest: &[BookRow] = if split.again { newest(history) } else { &[] };
        Query { history, k: longest, include_seen: split.again, exclude: newest }
    };
    let queries: Vec<Query<'_>> = histories.iter().map(|history| query(history)).collect();
    let answers = artifact.recommend_many(&queries);
    let shelf = Shelf::new(artifact, split);
    let asked: Vec<Asked<'_>> = split
        .cases
        .par_iter()
        .zip(&histories)
        .zip(&answers)
        .map(|((case, history), answer)| Asked {
            case,
            history,
            targets: known(&case.targets).into_iter().collect(),
            answer,
        })
        .collect();
    ats.iter().map(|at| judge_all(artifact, &shelf, &asked, *at)).collect()
}

fn newest(history: &[BookRow]) -> &[BookRow] {
    &history[history.len().saturating_sub(1)..]
}

/// A case as the artefact sees it, with the answer.
struct Asked<'a> {
    case: &'a Case,
    history: &'a [BookRow],
    targets: HashSet<BookRow>,
    answer: &'a Recommendation,
}

fn judge_all(artifact: &Artifact, shelf: &Shelf, asked: &[Asked<'_>], at: usize) -> Evaluation {
    let judged: Vec<Judged> = asked.par_iter().map(|asked| judge(shelf, asked, at)).collect();
    let mut exposures = vec![0_u64; artifact.catalogue().len()];
    for scored in asked.iter().flat_map(|asked| asked.answer.books.iter().take(at)) {
        exposures[scored.row.index()] += 1;
    }
    let books = artifact.catalogue().books().zip(exposures);
    let exposures: Vec<u64> = books.filter(|(book, _)| book.is_available()).map(|(_, exposure)| exposure).collect();
    let n_recommended = exposures.iter().filter(|exposure| **exposure > 0).count();
    let n_targets: usize = judged.iter().map(|judged| judged.n_targets).sum();
    let n_unknown: usize = judged.iter().map(|judged| judged.n_unknown).sum();
    let n_fallback = judged.iter().filter(|judged| judged.fallback).count();
    let n_cases = judged.len().max(1) as f64;
    let list_values: Vec<ListValues> = judged.iter().map(|judged| judged.list).collect();
    let cold_books = cold_books(&judged);
    let lengths: Vec<usize> = asked.iter().map(|asked| asked.case.history.len()).collect();
    let per_reader: Vec<ReaderValues> = judged.into_iter().map(|judged| judged.values).collect();
    let of = |segment: Segment| summary(per_reader.iter().filter(move |values| values.segment == segment));
    Evaluation {
        at,
        all: summary(per_reader.iter()),
        warm: of(Segment::Warm),
        folded_in: of(Segment::FoldedIn),
        by_degree: by_degree(&lengths, &per_reader),
        cold_books,
        lists: Shelf::summary(&list_values, &exposures),
        coverage: n_recommended as f64 / exposures.len().max(1) as f64,
        n_eligible: exposures.len(),
        cold_book_share: n_unknown as f64 / n_targets.max(1) as f64,
        fallback_share: n_fallback as f64 / n_cases,
        per_reader,
    }
}

struct Judged {
    values: ReaderValues,
    list: ListValues,
    n_targets: usize,
    /// Targets the artefact's catalogue does not hold.
    n_unknown: usize,
    /// Targets nobody took up in the training window, and how many of them were hit.
    cold: (usize, usize),
    fallback: bool,
}

fn judge(shelf: &Shelf, asked: &Asked<'_>, at: usize) -> Judged {
    let Asked { case, history, targets, answer } = asked;
    let n_targets = case.targets.len() + case.n_cold_targets;
    let list: Vec<BookRow> = answer.books.iter().take(at).map(|scored| scored.row).collect();
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
    let n_cold = case.n_cold_targets + targets.iter().filter(|row| shelf.is_cold(**row)).count();
    let n_cold_hits = list.iter().zip(&hits).filter(|(row, hit)| **hit && shelf.is_cold(**row)).count();
    Judged {
        values,
        list: shelf.judge(history, &list),
        n_targets,
        n_unknown: n_targets - targets.len(),
        cold: (n_cold, n_cold_hits),
        fallback: answer.origin_of_first(at) != Origin::Model,
    }
}

fn cold_books(judged: &[Judged]) -> Option<ColdBooks> {
    let cold = judged.iter().map(|judged| judged.cold).filter(|(n, _)| *n > 0);
    let recalls: Vec<f64> = cold.clone().map(|(n, hits)| hits as f64 / n as f64).collect();
    Some(ColdBooks { n_targets: cold.map(|(n, _)| n).sum(), n_readers: recalls.len(), recall: estimate(&recalls)? })
}

fn by_degree(lengths: &[usize], readers: &[ReaderValues]) -> Vec<DegreeGroup> {
    const GROUPS: usize = 4;
    let mut ascending = lengths.to_vec();
    ascending.sort_unstable();
    // The longest history of each group; equal lengths make some groups one.
    let mut ends: Vec<usize> = (1..=GROUPS)
        .filter_map(|i| (ascending.len() * i).div_ceil(GROUPS).checked_sub(1))
        .map(|at| ascending[at])
        .collect();
    ends.dedup();
    let mut groups = Vec::new();
    for (place, to) in ends.iter().copied().enumerate() {
        let inside = |length: usize| length <= to && (place == 0 || length > ends[place - 1]);
        let members = lengths.iter().zip(readers).filter(|(length, _)| inside(**length));
        let from = members.clone().map(|(length, _)| *length).min();
        if let (Some(from), Some(summary)) = (from, summary(members.map(|(_, values)| values))) {
            groups.push(DegreeGroup { from, to, summary });
        }
    }
    groups
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
mod tests;
