//! Grades any server of the Open Inference Protocol point by point: KServe's, MLServer's, Triton's, or this one.
//!
//! A point is asked and judged by plain functions: what is known of the server in, a description of requests out; their
//! answers in, a verdict out. Only [`drive`] opens sockets. Nothing here is shared with the code that serves, so that a
//! mistake made there is not made again by its judge.

mod binary;
mod check;
mod drive;
mod errors;
mod exchange;
mod grpc;
mod health;
mod http;
mod infer;
mod metadata;
mod refuse;
mod repository;
mod sample;
mod statistics;
mod subject;
mod tensor;
mod v1;

use serde::Serialize;

use self::check::Check;
pub use self::drive::{Error, Options, grade};

/// A part of the protocol; ids of points begin with its [`Section::prefix`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// Live, ready, model ready.
    Health,
    /// What server and model say of themselves.
    Metadata,
    /// Inference with tensors as JSON.
    Infer,
    /// What is refused, and in which words.
    Errors,
    /// The transport below V2: content types, connections, sizes.
    Http,
    /// Tensors as bytes behind the JSON.
    Binary,
    /// The older protocol: instances in, predictions out.
    V1,
    /// The protocol as messages.
    Grpc,
    /// The list of models.
    Repository,
    /// Counts of what was answered.
    Statistics,
}

impl Section {
    /// All of them, in the order of a report.
    pub const ALL: [Self; 10] = [
        Self::Health,
        Self::Metadata,
        Self::Infer,
        Self::Errors,
        Self::Http,
        Self::Binary,
        Self::V1,
        Self::Grpc,
        Self::Repository,
        Self::Statistics,
    ];

    /// What the ids of its points begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Health => "v2.health",
            Self::Metadata => "v2.metadata",
            Self::Infer => "v2.infer",
            Self::Errors => "v2.errors",
            Self::Http => "http",
            Self::Binary => "binary",
            Self::V1 => "v1",
            Self::Grpc => "grpc",
            Self::Repository => "repository",
            Self::Statistics => "statistics",
        }
    }

    fn point(self, level: Level, name: &str, promise: &str, source: &'static str) -> Point {
        let id = format!("{}.{name}", self.prefix());
        Point { id, section: self, level, promise: promise.to_owned(), source }
    }

    fn must(self, name: &str, promise: &str, source: &'static str) -> Point {
        self.point(Level::Must, name, promise, source)
    }

    fn should(self, name: &str, promise: &str, source: &'static str) -> Point {
        self.point(Level::Should, name, promise, source)
    }

    fn extension(self, name: &str, promise: &str, source: &'static str) -> Point {
        self.point(Level::Extension, name, promise, source)
    }
}

/// How binding a point is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The published text demands it, of everyone or of those who announce the extension.
    Must,
    /// Clients in use depend on it, or the text recommends it.
    Should,
    /// Some servers have it; who has it should have it right.
    Extension,
}

impl Level {
    /// All of them, strictest first.
    pub const ALL: [Self; 3] = [Self::Must, Self::Should, Self::Extension];

    /// The level in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
            Self::Extension => "extension",
        }
    }
}

/// One thing that a server gets right or wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Stable, as in `v2.infer.id-echoed`.
    pub id: String,
    /// The part of the protocol.
    pub section: Section,
    /// How binding it is.
    pub level: Level,
    /// What a server that passes does.
    pub promise: String,
    /// Where it is written.
    pub source: &'static str,
}

/// How a point went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// As promised.
    Pass,
    /// Not as promised.
    Fail {
        /// What the point asks for.
        expected: String,
        /// What the server did.
        found: String,
    },
    /// Server or model has nothing that the point speaks of.
    NotOffered {
        /// Why that is so.
        reason: String,
    },
    /// Could not be tried; never counts as passed.
    Skipped {
        /// What was missing.
        reason: String,
    },
}

impl Outcome {
    /// The outcome in a word or two.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail { .. } => "FAIL",
            Self::NotOffered { .. } => "not offered",
            Self::Skipped { .. } => "skipped",
        }
    }
}

/// A point and how it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Graded {
    /// The point.
    #[serde(flatten)]
    pub point: Point,
    /// Its outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Points of one level, counted by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// As promised.
    pub pass: usize,
    /// Not as promised.
    pub fail: usize,
    /// Nothing there to grade.
    pub not_offered: usize,
    /// Could not be tried.
    pub skipped: usize,
}

/// A server's grades.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Where it was found.
    pub url: String,
    /// Where its gRPC was looked for.
    pub grpc: String,
    /// The model that was asked.
    pub model: String,
    /// Every point that was wanted, in order.
    pub points: Vec<Graded>,
}

impl Report {
    /// The points of a level, counted.
    pub fn tally(&self, level: Level) -> Tally {
        let mut tally = Tally::default();
        for graded in self.points.iter().filter(|graded| graded.point.level == level) {
            let count = match graded.outcome {
                Outcome::Pass => &mut tally.pass,
                Outcome::Fail { .. } => &mut tally.fail,
                Outcome::NotOffered { .. } => &mut tally.not_offered,
                Outcome::Skipped { .. } => &mut tally.skipped,
            };
            *count += 1;
        }
        tally
    }

    /// Ids of the points that a server must pass and that it failed or that could not be tried.
    pub fn unmet(&self) -> Vec<&str> {
        let open = |outcome: &Outcome| matches!(outcome, Outcome::Fail { .. } | Outcome::Skipped { .. });
        let unmet = self.points.iter().filter(|graded| graded.point.level == Level::Must && open(&graded.outcome));
        unmet.map(|graded| graded.point.id.as_str()).collect()
    }
}

/// Every point there is, in the order of a report.
pub fn points() -> Vec<Point> {
    checks().into_iter().map(|check| check.point).collect()
}

fn checks() -> Vec<Check> {
    let sections = [
        health::checks(),
        metadata::checks(),
        infer::checks(),
        errors::checks(),
        http::checks(),
        binary::checks(),
        v1::checks(),
        grpc::checks(),
        repository::checks(),
        statistics::checks(),
    ];
    sections.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
