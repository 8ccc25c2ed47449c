//! Recent lists, kept so that a click or a purchase can be told which model's list it came from.
//!
//! Bounded by number and by age; what is forgotten still reaches the stream, without a model. Names are kept as hashes
//! under a key drawn at the start: a list of twenty books takes some 150 bytes. Another list is found in its place
//! once in 10^14 lookups, another book in a list once in 10^8.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use models::{
    BookId, ModelName, ReaderId, TenantName,
    event::{ModelRef, Outcome},
};

use crate::{config::Remember, interleave::Teams};

/// What a list is found by.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) struct Request<'a> {
    pub(crate) tenant: &'a TenantName,
    pub(crate) model: &'a ModelName,
    pub(crate) id: &'a str,
    pub(crate) reader: &'a ReaderId,
}

/// One list shown to one reader.
#[derive(Debug, Clone)]
struct Shown {
    request: u64,
    at_ms: i64,
    /// Number of its first book, counted from the first one ever kept.
    first: u64,
    n_books: u32,
    /// Place in [`Memory::models`].
    model: u32,
    teams: Option<Arc<Teams>>,
}

/// What a list was that an outcome was joined to.
#[derive(Debug)]
pub(crate) struct Joined {
    /// When it was shown, to the millisecond.
    pub(crate) at: Timestamp,
    /// Whose each place is, of a list drafted from those of both versions.
    pub(crate) teams: Option<Arc<Teams>>,
}

#[derive(Debug, Default)]
struct Memory {
    /// Number of the newest list of a request, counted from the first one ever kept; looked up, never iterated.
    by_request: HashMap<u64, u64>,
    /// Lists in the order they were shown.
    lists: VecDeque<Shown>,
    /// The books of all lists, in their order.
    books: VecDeque<u32>,
    n_lists_forgotten: u64,
    n_books_forgotten: u64,
    /// The models that lists came from: a few each day.
    models: Vec<ModelRef>,
}

impl Memory {
    fn forget_oldest(&mut self) {
        let Some(oldest) = self.lists.pop_front() else { return };
        self.books.drain(..oldest.n_books as usize);
        // A request that was answered again lives on under its later list.
        if self.by_request.get(&oldest.request) == Some(&self.n_lists_forgotten) {
            self.by_request.remove(&oldest.request);
        }
        self.n_lists_forgotten += 1;
        self.n_books_forgotten += u64::from(oldest.n_books);
    }

    fn place_of(&mut self, model: &ModelRef) -> u32 {
        let known = self.models.iter().rposition(|known| known == model);
        known.unwrap_or_else(|| {
            self.models.push(model.clone());
            self.models.len() - 1
        }) as u32
    }
}

/// The memory of recent lists of all models of a process.
#[derive(Debug)]
pub(crate) struct Answers {
    limits: Remember,
    hashes: RandomState,
    memory: Mutex<Memory>,
}

impl Answers {
    pub(crate) fn new(limits: Remember) -> Self {
        Self { limits, hashes: RandomState::new(), memory: Mutex::default() }
    }

    /// Keeps what a request was answered. One that is seen again is known by its later answer.
    pub(crate) fn remember(
        &self,
        request: Request<'_>,
        at: Timestamp,
        model: &ModelRef,
        books: &[BookId],
        teams: Option<Arc<Teams>>,
    ) {
        let request = self.hashes.hash_one(request);
        let (at_ms, n_books) = (at.as_millisecond(), books.len() as u32);
        let mut memory = self.memory.lock().expect("no panic happens while this lock is held");
        while let Some(oldest) = memory.lists.front()
            && (memory.lists.len() >= self.limits.lists || self.is_old(oldest, at))
        {
            memory.forget_oldest();
        }
        let model = memory.place_of(model);
        let number = memory.n_lists_forgotten + memory.lists.len() as u64;
        let first = memory.n_books_forgotten + memory.books.len() as u64;
        memory.books.extend(books.iter().map(|book| self.hash_of(book)));
        memory.lists.push_back(Shown { request, at_ms, first, n_books, model, teams });
        memory.by_request.insert(request, number);
    }

    /// Fills in the model and the place in its list; the list, if it was still remembered.
    pub(crate) fn join(&self, model: &ModelName, outcome: &mut Outcome, now: Timestamp) -> Option<Joined> {
        let Outcome { tenant, request_id, user_id, item_id, .. } = &*outcome;
        let request = self.hashes.hash_one(Request { tenant, model, id: request_id, reader: user_id });
        let book = self.hash_of(item_id);
        let memory = self.memory.lock().expect("no panic happens while this lock is held");
        let number = memory.by_request.get(&request)?;
        let shown = &memory.lists[(number - memory.n_lists_forgotten) as usize];
        if self.is_old(shown, now) {
            return None;
        }
        let first = (shown.first - memory.n_books_forgotten) as usize;
        let mut books = memory.books.range(first..first + shown.n_books as usize);
        outcome.rank = books.position(|other| *other == book).map(|place| place as u32 + 1);
        outcome.model = Some(memory.models[shown.model as usize].clone());
        let at = Timestamp::from_millisecond(shown.at_ms).expect("it was a time before");
        Some(Joined { at, teams: shown.teams.clone() })
    }

    fn hash_of(&self, book: &BookId) -> u32 {
        self.hashes.hash_one(book) as u32
    }

    fn is_old(&self, shown: &Shown, now: Timestamp) -> bool {
        let age = now.as_millisecond() - shown.at_ms;
        u128::try_from(age).is_ok_and(|age| age > self.limits.age.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use models::event::{Arm, OutcomeKind, SCHEMA_VERSION};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn model() -> ModelName {
        "recommender".parse().unwrap()
    }

    fn tenant() -> TenantName {
        "acme-books".parse().unwrap()
    }

    fn remember(answers: &Answers, request: &str, second: i64, (reader, books): (&str, &str)) {
        let version = 7.try_into().unwrap();
        let from = ModelRef { name: "recommender".into(), version, alias: "production".into(), arm: Arm::Stable };
        let books: Vec<BookId> = books.split(' ').map(|id| id.parse().unwrap()).collect();
        let reader = &reader.parse().unwrap();
        let request = Request { tenant: &tenant(), model: &model(), id: request, reader };
        answers.remember(request, at(second), &from, &books, None);
    }

    /// `version/rank` as joined, or `-`.
    fn joined(answers: &Answers, request: &str, reader: &str, book: &str, now: i64) -> String {
        let mut outcome = Outcome {
            tenant: tenant(),
            request_id: request.into(),
            user_id: reader.parse().unwrap(),
            item_id: book.parse().unwrap(),
            kind: OutcomeKind::Click,
            at: at(now),
            event_id: None,
            schema_version: SCHEMA_VERSION,
            model: None,
            rank: None,
        };
        if answers.join(&model(), &mut outcome, at(now)).is_none() {
            return "-".into();
        }
        format!("{}/{:?}", outcome.model.unwrap().version, outcome.rank)
    }

    #[test]
    fn an_outcome_learns_its_model_and_its_place() {
        let answers = Answers::new(Remember { lists: 10, age: Duration::from_secs(100) });
        remember(&answers, "r1", 0, ("ann", "a b"));
        remember(&answers, "r1", 0, ("bob", "c"));
        assert_eq!(joined(&answers, "r1", "ann", "b", 50), "7/Some(2)");
        assert_eq!(joined(&answers, "r1", "bob", "b", 50), "7/None", "bob was shown only c");
        assert_eq!(joined(&answers, "r1", "cat", "b", 50), "-");
        assert_eq!(joined(&answers, "r2", "ann", "b", 50), "-");
        assert_eq!(joined(&answers, "r1", "ann", "b", 101), "-", "too old");
    }

    #[test]
    fn the_oldest_lists_are_forgotten_first() {
        let answers = Answers::new(Remember { lists: 2, age: Duration::from_secs(100) });
        remember(&answers, "r1", 0, ("ann", "a"));
        remember(&answers, "r2", 1, ("ann", "a b c"));
        remember(&answers, "r1", 2, ("ann", "c a"));
        assert_eq!(joined(&answers, "r1", "ann", "a", 3), "7/Some(2)", "used again, so it lives on");
        remember(&answers, "r3", 3, ("ann", "b a"));
        assert_eq!(joined(&answers, "r2", "ann", "a", 3), "-");
        assert_eq!(joined(&answers, "r3", "ann", "a", 3), "7/Some(2)");
        remember(&answers, "r4", 200, ("ann", "a"));
        let memory = answers.memory.lock().unwrap();
        let kept = (memory.lists.len(), memory.by_request.len(), memory.books.len(), memory.models.len());
        assert_eq!(kept, (1, 1, 1, 1), "age empties what number would keep");
    }
}
