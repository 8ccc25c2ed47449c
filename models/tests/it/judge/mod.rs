//! Whether what clients saw of a registry can be explained by one sequential history: the log.
//!
//! Shared by tests within one process and tests of many. It trusts nothing of the registry's own code: it has its own
//! reading of the stored bytes and its own rules, in `model.rs`. Every entry and every read names its place in the log,
//! so the log is the candidate for a linearization and only has to be checked: each place must lie between what was
//! finished before the call and what existed at its answer, and each answer must be what the model says at that place.

mod model;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::model::Wish;
use self::model::{Model, Versions};

/// One call of one client, by any clock that all clients share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it was called.
    pub invoked: u64,
    /// When it was answered; not before `invoked`.
    pub answered: u64,
    /// The log's last id when it was answered, where that is known.
    pub log_end: Option<u64>,
    /// What was asked and answered.
    pub deed: Deed,
}

/// What was asked and answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// A commit; one key may have several calls.
    Commit {
        /// Its idempotency key, one per wish.
        key: String,
        /// What it is to change.
        wish: Wish,
        /// What the client was told.
        answer: Answer,
    },
    /// A fresh look.
    Read {
        /// The entry the client believes to have read up to.
        last_id: u64,
        /// Versions of the model.
        versions: u32,
        /// Where each alias pointed.
        aliases: Versions,
    },
}

/// What a client was told about a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is entry `id`.
    Done {
        /// Place in the log.
        id: u64,
    },
    /// The state does not allow it: the wish was not granted and will not be.
    Refused,
    /// This call wrote nothing.
    Failed,
    /// Nobody knows: no answer, or the store failed.
    Doubt,
}

/// What a checked history held, for tests that want to know that it was worth checking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Entries of the log.
    pub entries: u64,
    /// Reads.
    pub reads: u64,
    /// Refusals.
    pub refused: u64,
    /// Calls that ended in doubt.
    pub doubts: u64,
    /// Entries whose client never heard of them.
    pub unheard: u64,
}

/// All calls under one key.
#[derive(Debug)]
struct Case<'a> {
    wish: &'a Wish,
    invoked: u64,
    done: Option<u64>,
    refused: bool,
    doubt: bool,
}

/// Checks a whole history against the log as it ended; `Err` is the first violation, in words.
///
/// `genesis` is the digest that the first entry must name; `log` the stored bytes of entry 1 and so on, all of them.
pub fn check<B: AsRef<[u8]>>(genesis: &str, log: &[B], events: &[Event]) -> Result<Seen, String> {
    let model = Model::fold(genesis, log)?;
    let cases = cases(events)?;
    let mut seen = Seen { entries: model.last_id(), ..Seen::default() };
    for (id, key) in (1_u64..).zip(&model.keys) {
        let case = cases.get(key.as_str()).ok_or_else(|| format!("entry {id}: nobody asked for {key}"))?;
        if case.refused {
            return Err(format!("entry {id}: {key} is in the log though its client was told of a conflict"));
        }
        if case.done.is_none() && !case.doubt {
            return Err(format!("entry {id}: {key} is in the log though its client was told that nothing was written"));
        }
        seen.unheard += u64::from(case.done.is_none());
        model.granted(id, case.wish).map_err(|problem| format!("entry {id}: {key}: {problem}"))?;
    }
    let order = Order::of(&model, &cases, events);
    for (id, key) in (1_u64..).zip(&model.keys) {
        let finished = order.floor(cases[key.as_str()].invoked);
        if 2 * id <= finished {
            return Err(format!("entry {id}: {key} began when entry {} was known already: reordered", finished / 2));
        }
    }
    for event in events {
        let end = event.log_end.unwrap_or(u64::MAX).min(order.ceiling(event.answered));
        match &event.deed {
            Deed::Commit { key, answer: Answer::Done { id }, .. } => {
                if model.entry_of(key) != Some(*id) {
                    let found = model.entry_of(key);
                    return Err(format!("{key} was acknowledged as entry {id}, found {found:?}: lost"));
                }
            }
            Deed::Commit { key, wish, answer: Answer::Refused } => {
                seen.refused += 1;
                let first = order.floor(event.invoked) / 2;
                if (first..=end).all(|id| model.allows(id, wish).is_ok()) {
                    return Err(format!(
                        "{key}: {wish:?} was refused, yet nothing from entry {first} to {end} forbids it"
                    ));
                }
            }
            Deed::Commit { answer: Answer::Failed, .. } => {}
            Deed::Commit { answer: Answer::Doubt, .. } => seen.doubts += 1,
            Deed::Read { last_id, versions, aliases } => {
                seen.reads += 1;
                let known = order.floor(event.invoked) / 2;
                if *last_id < known || *last_id > end {
                    return Err(format!(
                        "a read at entry {last_id}, expected {known} to {end}: stale, or from the future"
                    ));
                }
                let (expected, found) =
                    ((model.versions_at(*last_id), model.aliases_at(*last_id)), (*versions, aliases));
                if expected != found {
                    return Err(format!("a read at entry {last_id}: expected {expected:?}, found {found:?}"));
                }
            }
        }
    }
    Ok(seen)
}

fn cases(events: &[Event]) -> Result<BTreeMap<&str, Case<'_>>, String> {
    let mut cases = BTreeMap::new();
    for event in events {
        let Deed::Commit { key, wish, answer } = &event.deed else { continue };
        let fresh = Case { wish, invoked: event.invoked, done: None, refused: false, doubt: false };
        let case = cases.entry(key.as_str()).or_insert(fresh);
        if case.wish != wish {
            return Err(format!("{key} stands for {:?} and for {wish:?}", case.wish));
        }
        case.invoked = case.invoked.min(event.invoked);
        match answer {
            Answer::Done { .. } => case.done = Some(case.done.unwrap_or(u64::MAX).min(event.answered)),
            Answer::Refused => case.refused = true,
            Answer::Failed => {}
            Answer::Doubt => case.doubt = true,
        }
    }
    Ok(cases)
}

/// Real time. Places are doubled, so that a read after entry `n` has a place of its own: entry `n` is at `2n`, a read
/// that saw it last at `2n + 1`.
struct Order {
    /// Moments of answers, ascending, with the highest place known by then.
    known: Vec<(u64, u64)>,
    /// For each entry, when the last of it and its predecessors was called.
    begun: Vec<u64>,
}

impl Order {
    fn of(model: &Model, cases: &BTreeMap<&str, Case<'_>>, events: &[Event]) -> Self {
        let mut known = Vec::new();
        let mut begun = Vec::new();
        let mut latest = 0;
        for (id, key) in (1_u64..).zip(&model.keys) {
            let case = &cases[key.as_str()];
            known.extend(case.done.map(|answered| (answered, 2 * id)));
            latest = case.invoked.max(latest);
            begun.push(latest);
        }
        known.extend(events.iter().filter_map(|event| match &event.deed {
            Deed::Read { last_id, .. } => Some((event.answered, 2 * last_id + 1)),
            Deed::Commit { .. } => None,
        }));
        known.sort_unstable();
        let mut highest = 0;
        for (_, place) in &mut known {
            highest = highest.max(*place);
            *place = highest;
        }
        Self { known, begun }
    }

    /// The highest place that someone had been told of before `moment`.
    fn floor(&self, moment: u64) -> u64 {
        let before = self.known.partition_point(|(answered, _)| *answered < moment);
        before.checked_sub(1).map_or(0, |last| self.known[last].1)
    }

    /// The last entry that can have existed at `moment`: it and all before it had been called for.
    fn ceiling(&self, moment: u64) -> u64 {
        self.begun.partition_point(|begun| *begun <= moment) as u64
    }
}
