//! Past and future: what a model may learn from, and what it is asked to foresee.
//!
//! Whatever is counted, numbered or weighted later is computed from [`Split::train`], which holds nothing of the future:
//! not even the books that nobody had read yet, unless a list of books named them.

use std::collections::HashSet;

use models::{BookRow, ReaderId};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{
    dataset::{Dataset, Interaction, TimeAxis},
    error::{Error, share},
};

/// How a reader meets the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    /// The model was trained on their history.
    Warm,
    /// The model never saw them; the older half of their books is folded in, the newer half is to be foreseen.
    FoldedIn,
}

/// One question to a model, with its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Whose lists are judged.
    pub reader: ReaderId,
    /// How they meet the model.
    pub segment: Segment,
    /// Distinct rows of the training catalogue, oldest first.
    pub history: Vec<BookRow>,
    /// Rows of the training catalogue the reader took up later, none of them in the history.
    pub targets: Vec<BookRow>,
    /// Books taken up later that the training catalogue does not hold. They stay in the denominator as misses.
    pub n_cold_targets: usize,
}

/// Training data and the cases that judge what was learned from them.
#[derive(Debug, Clone)]
pub struct Split {
    /// The past. Its catalogue is what was known then.
    pub train: Dataset,
    /// The future, by ascending reader; never empty.
    pub cases: Vec<Case>,
    /// The first `at` of the future, when there is a time axis.
    pub cut: Option<i64>,
    /// Whether the books of a history, save the newest, may be recommended again, as they may in sessions.
    pub again: bool,
}

/// Cuts at a point in time, so that about `test_share` of the interactions lie after it.
///
/// All interactions of equal time stand on one side. Readers with a past are judged on the books they first took up
/// after the cut; readers without one, on the newer half of theirs when they have at least two.
pub fn global_time(dataset: &Dataset, test_share: f64) -> Result<Split, Error> {
    share("test_share", test_share)?;
    if dataset.axis() == TimeAxis::None {
        return Err(Error::CannotSplit("the interactions have no time".to_owned()));
    }
    let rows = dataset.interactions();
    let oldest = dataset.oldest().ok_or(Error::NothingToLearn)?;
    let wanted = ((rows.len() as f64 * (1.0 - test_share)) as usize).min(rows.len() - 1);
    // When the wanted place falls among the oldest, the cut moves up to the next time there is.
    let cut = rows[wanted..]
        .iter()
        .map(|row| row.at)
        .find(|at| *at > oldest)
        .ok_or_else(|| Error::CannotSplit("all interactions happened at the same time".to_owned()))?;
    at_time(dataset, cut)
}

/// Cuts so that everything from `cut` on, on the data set's own time axis, is the future; see [`global_time`].
pub fn at_time(dataset: &Dataset, cut: i64) -> Result<Split, Error> {
    if dataset.axis() == TimeAxis::None {
        return Err(Error::CannotSplit("the interactions have no time".to_owned()));
    }
    let train = dataset.filtered(|row| row.at < cut);
    if train.interactions().is_empty() {
        return Err(Error::CannotSplit("nothing happened before the cut".to_owned()));
    }
    let cases = cases(&train, dataset, |row| row.at >= cut);
    checked(Split { train, cases, cut: Some(cut), again: false })
}

/// Takes a split that others made: `train` is the past, `test` the future.
///
/// Readers of `test` that `train` does not know are judged on the newer half of their books (without a time axis: on
/// every other book by id).
pub fn given(train: &Dataset, test: &Dataset) -> Result<Split, Error> {
    if train.interactions().is_empty() {
        return Err(Error::NothingToLearn);
    }
    let cut = if test.axis() == TimeAxis::None { None } else { test.oldest() };
    checked(Split { train: train.clone(), cases: cases(train, test, |_| true), cut, again: false })
}

/// Holds out a random `test_share` of each reader's distinct books, for data without time.
///
/// At least one book of each reader stays; readers of whom nothing is held out are not judged. Repeats of a held-out
/// book leave with it.
pub fn random_by_reader(dataset: &Dataset, seed: u64, test_share: f64) -> Result<Split, Error> {
    share("test_share", test_share)?;
    let held_out: Vec<HashSet<BookRow>> = dataset
        .histories()
        .into_iter()
        .enumerate()
        .map(|(reader, mut books)| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(reader as u64);
            books.sort_unstable();
            books.shuffle(&mut random);
            let n_test = (books.len() as f64 * test_share).round() as usize;
            books.truncate(n_test.min(books.len().saturating_sub(1)));
            books.into_iter().collect()
        })
        .collect();
    let is_test = |row: &Interaction| held_out[row.reader as usize].contains(&row.book);
    let train = dataset.filtered(|row| !is_test(row));
    let cases = cases(&train, dataset, is_test);
    checked(Split { train, cases, cut: None, again: false })
}

/// The splits of [`held_out_readers`]: one past, two sets of readers it never saw.
#[derive(Debug, Clone)]
pub struct HeldOut {
    /// For choosing settings.
    pub validation: Split,
    /// For reporting, once.
    pub test: Split,
}

/// Holds out whole readers, `n_validation` and `n_test` of them: strong generalisation, as on goodbooks-10k.
///
/// The other readers are the past. Of each held-out reader's distinct books a random `input_share`, rounded, is folded
/// in, oldest first, and the rest is to be foreseen; both parts get at least one book, so only readers of two or more
/// can be held out. Cases are [`Segment::FoldedIn`]. Books that no reader of the past took up leave the inputs and stay
/// among the targets as misses. Both splits hold the same past.
///
/// Source for the protocol: Liang et al. 2018, arXiv 1802.05814, 80 % of each reader as input.
pub fn held_out_readers(
    dataset: &Dataset,
    seed: u64,
    n_validation: usize,
    n_test: usize,
    input_share: f64,
) -> Result<HeldOut, Error> {
    let [validation, test] = hold_out(dataset, seed, [n_validation, n_test], input_share)?;
    Ok(HeldOut { validation, test })
}

/// One set of readers held out as by [`held_out_readers`].
pub(crate) fn strangers(dataset: &Dataset, seed: u64, n_readers: usize, input_share: f64) -> Result<Split, Error> {
    let [split] = hold_out(dataset, seed, [n_readers], input_share)?;
    Ok(split)
}

fn hold_out<const N: usize>(
    dataset: &Dataset,
    seed: u64,
    sizes: [usize; N],
    input_share: f64,
) -> Result<[Split; N], Error> {
    share("input_share", input_share)?;
    let histories = dataset.histories();
    let mut readers: Vec<usize> = (0..histories.len()).filter(|reader| histories[*reader].len() > 1).collect();
    let n_held_out = sizes.iter().sum::<usize>();
    if readers.len() < n_held_out || histories.len() <= n_held_out {
        let wanted = sizes.map(|size| size.to_string()).join(" and ");
        let found = format!("{} readers of at least two books, {} in all", readers.len(), histories.len());
        return Err(Error::CannotSplit(format!("{wanted} readers are wanted of {found}")));
    }
    readers.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    readers.truncate(n_held_out);
    let held_out: HashSet<u32> = readers.iter().map(|reader| *reader as u32).collect();
    let train = dataset.filtered(|row| !held_out.contains(&row.reader));
    let rows: Vec<Option<BookRow>> =
        dataset.catalogue().books().map(|book| train.catalogue().row(book.item_id())).collect();
    let case = |reader: usize| {
        let history = &histories[reader];
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(reader as u64 + 1);
        let mut shuffled = history.clone();
        shuffled.sort_unstable();
        shuffled.shuffle(&mut random);
        let n_input = ((history.len() as f64 * input_share).round() as usize).clamp(1, history.len() - 1);
        let later: HashSet<BookRow> = shuffled.split_off(n_input).into_iter().collect();
        let known = |is_later: bool| {
            let side = history.iter().filter(|book| later.contains(*book) == is_later);
            side.filter_map(|book| rows[book.index()]).collect::<Vec<_>>()
        };
        let targets = known(true);
        let n_cold_targets = later.len() - targets.len();
        let reader = dataset.readers()[reader].clone();
        Case { reader, segment: Segment::FoldedIn, history: known(false), targets, n_cold_targets }
    };
    let mut rest = &readers[..];
    let sets = sizes.map(|size| {
        let (own, others) = rest.split_at(size);
        rest = others;
        let mut own = own.to_vec();
        own.sort_unstable();
        own.into_iter().map(case).collect::<Vec<Case>>()
    });
    if sets.iter().any(Vec::is_empty) {
        return Err(Error::CannotSplit(NO_CASES.to_owned()));
    }
    Ok(sets.map(|cases| Split { train: train.clone(), cases, cut: None, again: false }))
}

/// Every click of `test`'s sessions after the first is a target, to be foreseen from the clicks before it.
///
/// Sessions are readers; a case is named `session#place`, with the target's place in the session, from 1 on. Histories keep
/// repeated clicks; what was clicked before may be clicked again, so [`Split::again`] is set. Clicks on books that `train`
/// does not know leave the histories and stay targets, as misses.
///
/// Source for the protocol: Ludewig and Jannach 2018, arXiv 1803.09587.
pub fn next_clicks(train: &Dataset, test: &Dataset) -> Result<Split, Error> {
    if train.interactions().is_empty() {
        return Err(Error::NothingToLearn);
    }
    if test.axis() == TimeAxis::None {
        return Err(Error::CannotSplit("the clicks have no time".to_owned()));
    }
    let known: Vec<Option<BookRow>> =
        test.catalogue().books().map(|book| train.catalogue().row(book.item_id())).collect();
    let mut clicks: Vec<Vec<Option<BookRow>>> = vec![Vec::new(); test.readers().len()];
    for row in test.interactions() {
        clicks[row.reader as usize].push(known[row.book.index()]);
    }
    let mut cases = Vec::new();
    for (session, clicks) in test.readers().iter().zip(clicks) {
        for (place, target) in clicks.iter().enumerate().skip(1) {
            // Six digits keep the names in the order of the clicks.
            let name = format!("{session}#{:06}", place + 1);
            let reader = name.parse().map_err(|error| Error::CannotSplit(format!("session {session}: {error}")))?;
            cases.push(Case {
                reader,
                segment: Segment::FoldedIn,
                history: clicks[..place].iter().copied().flatten().collect(),
                targets: target.iter().copied().collect(),
                n_cold_targets: usize::from(target.is_none()),
            });
        }
    }
    cases.sort_unstable_by(|a, b| a.reader.cmp(&b.reader));
    checked(Split { train: train.clone(), cases, cut: test.oldest(), again: true })
}

/// The data set of readers with at least `n_books` distinct books.
pub fn of_readers_with(dataset: &Dataset, n_books: usize) -> Dataset {
    let enough: Vec<bool> = dataset.histories().iter().map(|history| history.len() >= n_books).collect();
    dataset.filtered(|row| enough[row.reader as usize])
}

const NO_CASES: &str = "no reader has books on both sides";

fn checked(split: Split) -> Result<Split, Error> {
    if split.cases.is_empty() {
        return Err(Error::CannotSplit(NO_CASES.to_owned()));
    }
    Ok(split)
}

/// The cases of `future`'s readers from its interactions in `window`, in rows of `train`'s catalogue.
fn cases(train: &Dataset, future: &Dataset, window: impl Fn(&Interaction) -> bool) -> Vec<Case> {
    let mut later: Vec<Vec<BookRow>> = vec![Vec::new(); future.readers().len()];
    for row in future.interactions().iter().filter(|row| window(row)) {
        later[row.reader as usize].push(row.book);
    }
    let rows: Vec<Option<BookRow>> =
        future.catalogue().books().map(|book| train.catalogue().row(book.item_id())).collect();
    let in_train = |book: &BookRow| rows[book.index()];
    let mut histories = train.histories();
    let mut cases = Vec::new();
    for (reader, mut books) in future.readers().iter().zip(later) {
        let mut taken = HashSet::new();
        books.retain(|book| taken.insert(*book));
        let (segment, history, later) = if let Ok(place) = train.readers().binary_search(reader) {
            let history = std::mem::take(&mut histories[place]);
            let read: HashSet<BookRow> = history.iter().copied().collect();
            books.retain(|book| in_train(book).is_none_or(|row| !read.contains(&row)));
            (Segment::Warm, history, books)
        } else {
            let (older, newer) = halves(&books, future.axis());
            (Segment::FoldedIn, older.iter().filter_map(in_train).collect(), newer)
        };
        if !later.is_empty() {
            let targets: Vec<BookRow> = later.iter().filter_map(in_train).collect();
            let n_cold_targets = later.len() - targets.len();
            cases.push(Case { reader: reader.clone(), segment, history, targets, n_cold_targets });
        }
    }
    cases
}

/// Older and newer half of distinct books, oldest first; the newer is empty for fewer than two.
fn halves(books: &[BookRow], axis: TimeAxis) -> (Vec<BookRow>, Vec<BookRow>) {
    if books.len() < 2 {
        return (books.to_vec(), Vec::new());
    }
    if axis == TimeAxis::None {
        // By id the halves would differ in more than chance; every other book does not.
        let every_other = |first: usize| books.iter().skip(first).step_by(2).copied().collect();
        return (every_other(0), every_other(1));
    }
    let (older, newer) = books.split_at(books.len() / 2);
    (older.to_vec(), newer.to_vec())
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact in binary")]
mod tests;
