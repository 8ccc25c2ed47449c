//! Recent answers, kept so that a click or a purchase can be told which model's list it came from.
//!
//! Bounded by number and by age; what is forgotten still reaches the stream, without a model.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use models::{
    BookId, ReaderId,
    event::{ModelRef, Outcome},
};

use crate::{config::Remember, interleave::Teams};

/// One list shown to one reader.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) reader: ReaderId,
    pub(crate) model: ModelRef,
    pub(crate) books: Vec<BookId>,
    /// Whose each place is, of a list drafted from those of both versions.
    pub(crate) teams: Option<Arc<Teams>>,
}

/// The answer that an outcome was joined to.
#[derive(Debug)]
pub(crate) struct Joined {
    /// When it was given.
    pub(crate) at: Timestamp,
    /// See [`Shown::teams`].
    pub(crate) teams: Option<Arc<Teams>>,
}

#[derive(Debug, Default)]
struct Memory {
    /// Lists by request; looked up, never iterated.
    by_request: HashMap<String, (Timestamp, Vec<Shown>)>,
    /// Requests in the order they were answered.
    order: VecDeque<(Timestamp, String)>,
}

/// The memory of recent answers.
#[derive(Debug)]
pub(crate) struct Answers {
    limits: Remember,
    memory: Mutex<Memory>,
}

impl Answers {
    pub(crate) fn new(limits: Remember) -> Self {
        Self { limits, memory: Mutex::default() }
    }

    /// Keeps what one request was answered. A request id seen again replaces the earlier answer.
    pub(crate) fn remember(&self, request_id: &str, at: Timestamp, shown: Vec<Shown>) {
        let mut memory = self.memory.lock().expect("no panic happens while this lock is held");
        memory.by_request.insert(request_id.to_owned(), (at, shown));
        memory.order.push_back((at, request_id.to_owned()));
        while memory.order.len() > self.limits.answers
            || memory.order.front().is_some_and(|(oldest, _)| self.is_old(*oldest, at))
        {
            let Some((kept_at, request_id)) = memory.order.pop_front() else { break };
            // An id that was used again lives on under its later time.
            if memory.by_request.get(&request_id).is_some_and(|(answered, _)| *answered == kept_at) {
                memory.by_request.remove(&request_id);
            }
        }
    }

    /// Fills in the model and the place in its list; the answer, if it was still remembered.
    pub(crate) fn join(&self, outcome: &mut Outcome, now: Timestamp) -> Option<Joined> {
        let memory = self.memory.lock().expect("no panic happens while this lock is held");
        let (at, shown) = memory.by_request.get(&outcome.request_id)?;
        let shown = shown.iter().find(|shown| shown.reader == outcome.user_id)?;
        if self.is_old(*at, now) {
            return None;
        }
        outcome.model = Some(shown.model.clone());
        outcome.rank = shown.books.iter().position(|book| *book == outcome.item_id).map(|place| place as u32 + 1);
        Some(Joined { at: *at, teams: shown.teams.clone() })
    }

    fn is_old(&self, at: Timestamp, now: Timestamp) -> bool {
        Duration::try_from(now.duration_since(at)).is_ok_and(|age| age > self.limits.age)
    }
}

#[cfg(test)]
mod tests {
    use models::event::{Arm, OutcomeKind, SCHEMA_VERSION};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn shown(reader: &str, books: &str) -> Shown {
        let version = 7.try_into().unwrap();
        let model = ModelRef { name: "recommender".into(), version, alias: "production".into(), arm: Arm::Stable };
        let books = books.split(' ').map(|id| id.parse().unwrap()).collect();
        Shown { reader: reader.parse().unwrap(), model, books, teams: None }
    }

    /// `version/rank` as joined, or `-`.
    fn joined(answers: &Answers, request: &str, reader: &str, book: &str, now: i64) -> String {
        let mut outcome = Outcome {
            tenant: "acme-books".parse().unwrap(),
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
        if answers.join(&mut outcome, at(now)).is_none() {
            return "-".into();
        }
        format!("{}/{:?}", outcome.model.unwrap().version, outcome.rank)
    }

    #[test]
    fn an_outcome_learns_its_model_and_its_place() {
        let answers = Answers::new(Remember { answers: 10, age: Duration::from_secs(100) });
        answers.remember("r1", at(0), vec![shown("ann", "a b"), shown("bob", "c")]);
        assert_eq!(joined(&answers, "r1", "ann", "b", 50), "7/Some(2)");
        assert_eq!(joined(&answers, "r1", "bob", "b", 50), "7/None", "bob was shown only c");
        assert_eq!(joined(&answers, "r1", "cat", "b", 50), "-");
        assert_eq!(joined(&answers, "r2", "ann", "b", 50), "-");
        assert_eq!(joined(&answers, "r1", "ann", "b", 101), "-", "too old");
    }

    #[test]
    fn the_oldest_answers_are_forgotten_first() {
        let answers = Answers::new(Remember { answers: 2, age: Duration::from_secs(100) });
        answers.remember("r1", at(0), vec![shown("ann", "a")]);
        answers.remember("r2", at(1), vec![shown("ann", "a")]);
        answers.remember("r1", at(2), vec![shown("ann", "a")]);
        assert_eq!(joined(&answers, "r1", "ann", "a", 3), "7/Some(1)", "used again, so it lives on");
        answers.remember("r3", at(3), vec![shown("ann", "a")]);
        assert_eq!(joined(&answers, "r2", "ann", "a", 3), "-");
        answers.remember("r4", at(200), vec![shown("ann", "a")]);
        assert_eq!(answers.memory.lock().unwrap().by_request.len(), 1, "age empties what number would keep");
    }
}
