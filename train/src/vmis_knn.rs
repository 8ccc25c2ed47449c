//! VMIS-kNN: next clicks from the most alike of the newest past sessions (Kersbergen et al., SIGMOD 2022).
//!
//! A session is a reader of the data set: session ids stand where reader ids would.

use models::{BookRow, Scorer, Sessions, sessions::Walk};
use serde::{Deserialize, Serialize};

use crate::{dataset::Dataset, error::Error};

/// Settings of VMIS-kNN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Newest clicks of a session that are looked at, 1 to 9.
    pub clicks: usize,
    /// Newest sessions kept for each book, and held while a session's clicks are walked (`m`), at least 1.
    pub sample: usize,
    /// Most alike sessions that vote (`k`), at least 1.
    pub neighbours: usize,
    /// Whether rare books' votes count more: by `ln(pairs / sessions with the book)`.
    pub rarity: bool,
}

impl Default for Params {
    fn default() -> Self {
        Self { clicks: 4, sample: 1500, neighbours: 288, rarity: true }
    }
}

/// Share of sessions, by length, that are long enough to be left out of the index: robots and shared screens.
const LONGEST_SHARE: f64 = 0.005;

/// Indexes the sessions of `dataset` in the order of their newest clicks; without time, in the order of their ids.
pub(crate) fn fit(params: &Params, dataset: &Dataset) -> Result<Scorer, Error> {
    params.check()?;
    let sessions = in_time(dataset);
    let n_books = dataset.catalogue().len();
    let (mut offsets, mut books) = (vec![0_u32], Vec::new());
    let mut holders: Vec<Vec<u32>> = vec![Vec::new(); n_books];
    for (number, session) in sessions.iter().enumerate() {
        for book in session {
            holders[book.index()].push(number as u32);
        }
        books.extend(session);
        offsets.push(books.len() as u32);
    }
    let n_pairs = books.len() as f64;
    let weights = holders.iter().map(|sessions| if params.rarity { rarity(n_pairs, sessions.len()) } else { 1.0 });
    let weights = weights.collect();
    let (mut posting_offsets, mut postings) = (vec![0_u32], Vec::new());
    for sessions in &holders {
        postings.extend(sessions.iter().rev().take(params.sample));
        posting_offsets.push(postings.len() as u32);
    }
    let walk = Walk { clicks: params.clicks, sample: params.sample, neighbours: params.neighbours };
    Ok(Scorer::Sessions(Sessions::new((offsets, books), (posting_offsets, postings), weights, walk)?))
}

impl Params {
    fn check(&self) -> Result<(), Error> {
        let least = |field, expected, value: usize, most| {
            if value == 0 || value > most {
                return Err(Error::Setting { field, expected, found: value.to_string() });
            }
            Ok(())
        };
        least("clicks", "1 to 9", self.clicks, models::sessions::MOST_CLICKS)?;
        least("sample", "a number above 0", self.sample, usize::MAX)?;
        least("neighbours", "a number above 0", self.neighbours, usize::MAX)
    }
}

/// `ln(n_pairs / n_holders)`, and 1 where that is not above zero or nobody holds the book.
fn rarity(n_pairs: f64, n_holders: usize) -> f32 {
    let rarity = (n_pairs / n_holders.max(1) as f64).ln() as f32;
    if n_holders > 0 && rarity > 0.0 { rarity } else { 1.0 }
}

/// The distinct books of each session that is not among the longest, sessions by their newest click and then by id.
fn in_time(dataset: &Dataset) -> Vec<Vec<BookRow>> {
    let n_sessions = dataset.readers().len();
    let (mut clicks, mut newest) = (vec![0_usize; n_sessions], vec![i64::MIN; n_sessions]);
    for row in dataset.interactions() {
        clicks[row.reader as usize] += 1;
        newest[row.reader as usize] = row.at;
    }
    let mut lengths = clicks.clone();
    lengths.sort_unstable();
    let place = ((n_sessions.saturating_sub(1)) as f64 * (1.0 - LONGEST_SHARE)).round() as usize;
    let longest = lengths.get(place).copied().unwrap_or(0);
    let histories = dataset.histories();
    let mut order: Vec<usize> = (0..n_sessions).filter(|session| clicks[*session] <= longest).collect();
    order.sort_unstable_by_key(|session| (newest[*session], *session));
    order.into_iter().map(|session| histories[session].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{TimeAxis, tests::toy};

    fn index(params: &Params, text: &str) -> Sessions {
        match fit(params, &toy(TimeAxis::Order, text)).unwrap() {
            Scorer::Sessions(sessions) => sessions,
            other => panic!("{}", other.family()),
        }
    }

    #[test]
    fn rare_books_count_more_and_each_book_knows_its_newest_sessions() {
        let sessions = index(&Params { sample: 2, ..Params::default() }, "s1: A B | s2: B C | s3: A B D");
        let ((offsets, _), (posting_offsets, postings)) = (sessions.sessions(), sessions.postings());
        let weights = sessions.weights();
        assert_eq!((offsets, posting_offsets), (&[0, 2, 4, 7][..], &[0, 2, 4, 5, 6][..]));
        // B is in all three sessions; only the newest two are kept, and its rarity still counts three.
        assert_eq!(postings[2..4].to_vec(), [2, 1]);
        let want = [3.5_f32, 7.0 / 3.0, 7.0, 7.0].map(f32::ln);
        assert!(weights.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6), "{weights:?}");
        let flat = index(&Params { rarity: false, ..Params::default() }, "s1: A B | s2: B C");
        assert_eq!(flat.weights(), [1.0; 3]);
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let refused = |params: Params| fit(&params, &toy(TimeAxis::Order, "s: A B")).unwrap_err().to_string();
        assert!(refused(Params { clicks: 10, ..Params::default() }).contains("clicks"));
        assert!(refused(Params { sample: 0, ..Params::default() }).contains("sample"));
        assert!(refused(Params { neighbours: 0, ..Params::default() }).contains("neighbours"));
    }

    #[test]
    fn the_longest_sessions_leave_the_index() {
        // Of 200 sessions the one of ten clicks is beyond the 99.5th percentile.
        let long: Vec<String> = (0..10).map(|n| format!("L{n}")).collect();
        let short: Vec<String> = (0..199).map(|n| format!("s{n:03}: A B")).collect();
        let text = format!("robot: {} | {}", long.join(" "), short.join(" | "));
        assert_eq!(index(&Params::default(), &text).n_sessions(), 199);
    }
}
