//! A point with the functions that ask and judge it, and the words they share.

use serde_json::Value;

use super::{
    Outcome, Point,
    exchange::{Answer, Exchange, Reply, Request},
    subject::Subject,
};

/// Longest piece of an answer that a report shows, in characters.
const SHOWN: usize = 160;

/// Why a point is not passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    Wrong { expected: String, found: String },
    NotOffered(String),
    Skipped(String),
}

pub(super) type Verdict = Result<(), Fault>;

type Asking = Box<dyn Fn(&Subject) -> Result<Exchange, Fault> + Send + Sync>;
type Judging = Box<dyn Fn(&Subject, &[Answer]) -> Verdict + Send + Sync>;

/// A point that can be graded.
pub(super) struct Check {
    pub(super) point: Point,
    /// What is sent, or why nothing can be.
    pub(super) ask: Asking,
    /// The verdict on as many answers as there were requests.
    pub(super) judge: Judging,
}

impl Point {
    pub(super) fn check(
        self,
        ask: impl Fn(&Subject) -> Result<Exchange, Fault> + Send + Sync + 'static,
        judge: impl Fn(&Subject, &[Answer]) -> Verdict + Send + Sync + 'static,
    ) -> Check {
        Check { point: self, ask: Box::new(ask), judge: Box::new(judge) }
    }

    /// A point of one HTTP request and its answer.
    pub(super) fn reply(
        self,
        ask: impl Fn(&Subject) -> Result<Request, Fault> + Send + Sync + 'static,
        judge: impl Fn(&Subject, &Reply) -> Verdict + Send + Sync + 'static,
    ) -> Check {
        self.check(
            move |subject| ask(subject).map(Exchange::one),
            move |subject, answers| judge(subject, answers[0].http()?),
        )
    }
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Ok(()) => Self::Pass,
            Err(Fault::Wrong { expected, found }) => Self::Fail { expected, found },
            Err(Fault::NotOffered(reason)) => Self::NotOffered { reason },
            Err(Fault::Skipped(reason)) => Self::Skipped { reason },
        }
    }
}

pub(super) fn wrong(expected: impl Into<String>, found: impl Into<String>) -> Fault {
    Fault::Wrong { expected: expected.into(), found: found.into() }
}

pub(super) fn not_offered<T>(reason: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::NotOffered(reason.into()))
}

pub(super) fn holds(holds: bool, expected: impl Into<String>, found: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { Err(wrong(expected, found)) }
}

/// A member of an object that must be exactly so.
pub(super) fn equal(name: &str, expected: &Value, found: &Value) -> Verdict {
    holds(expected == found, format!("{name}: {}", shown(expected)), shown(found))
}

/// JSON in a report; what is not there is called missing.
pub(super) fn shown(value: &Value) -> String {
    if value.is_null() { "missing or null".to_owned() } else { cut(&value.to_string()) }
}

/// On one line, and not longer than a report likes.
pub(super) fn cut(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
