//! Both versions answer one question, and their lists become one.
//!
//! A canary that is of no use costs the reader nothing: the list is stable's own, with the reason.

use std::collections::BTreeMap;

use models::{BookRef, Rules, Scratch, event::Arm};

use super::{Answer, Ask, Failure, Fallback, finish, list};
use crate::{
    current::{Assignment, Snapshot},
    draft::{Place, draft},
};

/// Answers one question with a list drafted from those of both versions, counted for neither arm.
///
/// Each side's list obeys the question's rules; caps hold for the drafted list too, which is shorter where they leave too
/// little. Diversity is each side's own. `coin` is the request's, as [`draft`] takes it, and `has_time` says, once stable
/// has scored, whether the canary may. Where it may not, fails, or has no book, the list is stable's, with nobody's places. An
/// error where stable itself fails. Panics without a canary.
pub fn both(
    snapshot: &Snapshot,
    ask: &Ask,
    coin: u64,
    has_time: impl FnOnce() -> bool,
    scratch: &mut Scratch,
) -> Result<Answer, Failure> {
    let assigned = Assignment { arm: Arm::Stable, counted: false };
    let (stable, canary) = (snapshot.resident(Arm::Stable), snapshot.resident(Arm::Canary));
    let (known, mut own) = list(&stable.artifact, ask, scratch)?;
    let theirs = if has_time() {
        match list(&canary.artifact, ask, scratch) {
            Ok((_, theirs)) if theirs.books.is_empty() && !own.books.is_empty() => Err(Fallback::CanaryEmpty),
            Ok((_, theirs)) => Ok(theirs),
            Err(failure) => Err(failure.fallback()),
        }
    } else {
        Err(Fallback::CanaryLate)
    };
    let theirs = match theirs {
        Ok(theirs) => theirs,
        Err(reason) => {
            let alone = finish(stable, assigned, ask, (known, own), Some(reason));
            return Ok(Answer { interleaved: true, ..alone });
        }
    };
    let (stable_books, canary_books) = (stable.artifact.catalogue(), canary.artifact.catalogue());
    let book = |side: Arm, at: usize| match side {
        Arm::Stable => stable_books.book(own.books[at].row),
        Arm::Canary => canary_books.book(theirs.books[at].row),
    };
    let ids = |side: Arm, n: usize| (0..n).map(|at| book(side, at).item_id()).collect::<Vec<_>>();
    let lists = [ids(Arm::Stable, own.books.len()), ids(Arm::Canary, theirs.books.len())];
    let mut caps = Caps::of(&ask.rules);
    let places = draft(&lists[0], &lists[1], ask.k, coin, |side, at| caps.let_in(book(side, at)));
    let scored = |place: &Place| match place.side {
        Arm::Stable => own.books[place.at],
        Arm::Canary => theirs.books[place.at],
    };
    let books: Vec<_> = places.iter().map(scored).collect();
    let is_shorter = books.len() < own.books.len().max(theirs.books.len());
    own.cut_short = books.len() < ask.k && (is_shorter || own.cut_short || theirs.cut_short);
    let answer = finish(stable, assigned, ask, (known, own), None);
    Ok(Answer { books, list_popularity: None, interleaved: true, draft: Some(places), ..answer })
}

/// How often each name is listed, of those that a list may have only so often.
#[derive(Debug)]
struct Caps<'a> {
    rules: &'a Rules,
    authors: BTreeMap<&'a str, usize>,
    series: BTreeMap<&'a str, usize>,
}

impl<'a> Caps<'a> {
    /// Those of an empty list.
    fn of(rules: &'a Rules) -> Self {
        Self { rules, authors: BTreeMap::new(), series: BTreeMap::new() }
    }

    /// Counts a book in, unless one of its names is listed as often as allowed. Without a name it is never refused.
    fn let_in(&mut self, book: BookRef<'a>) -> bool {
        let named = |name: &&str| !name.trim().is_empty();
        let authors = || book.authors().filter(named);
        let full = |most: Option<usize>, listed: &BTreeMap<&str, usize>, name: &str| {
            most.is_some_and(|most| listed.get(name).is_some_and(|times| *times >= most))
        };
        let Rules { max_per_author, max_per_series, .. } = self.rules;
        if authors().any(|name| full(*max_per_author, &self.authors, name))
            || book.series().is_some_and(|name| full(*max_per_series, &self.series, name))
        {
            return false;
        }
        if max_per_author.is_some() {
            let mut names: Vec<&str> = authors().collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                *self.authors.entry(name).or_default() += 1;
            }
        }
        if let Some(name) = book.series().filter(|_| max_per_series.is_some()) {
            *self.series.entry(name).or_default() += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests;
