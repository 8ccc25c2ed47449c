//! Rows that were refused: how many, and for the first of them where and why.

use std::fmt;

use serde::Serialize;

use crate::error::Error;

/// The most refused rows that are kept; the rest are counted.
pub const MAX_KEPT: usize = 10_000;

/// One refused row. As JSON, one line of the quarantine file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRow {
    /// The file, as the caller named it.
    pub file: String,
    /// Its line (CSV, NDJSON) or row (Parquet), from 1.
    pub line: u64,
    /// The column at fault; `row` when the row cannot be taken apart.
    pub field: &'static str,
    /// What would have been accepted.
    pub expected: String,
    /// What was there, cut to 80 characters.
    pub found: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, field, expected, found } = self;
        write!(f, "{file}:{line} {field}: expected {expected}, found {found:?}")
    }
}

/// The rows refused so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quarantine {
    /// The first [`MAX_KEPT`] of them.
    pub rows: Vec<BadRow>,
    /// All of them, kept or not.
    pub total: u64,
}

impl Quarantine {
    pub(super) fn add(&mut self, file: &str, line: u64, fault: Fault) {
        self.total += 1;
        if self.rows.len() < MAX_KEPT {
            let Fault { field, expected, found } = fault;
            self.rows.push(BadRow { file: file.to_owned(), line, field, expected, found });
        }
    }

    /// Fails when more than `allowed_share` of `rows` were refused.
    pub(super) fn check(&self, rows: u64, allowed_share: f64) -> Result<(), Error> {
        if self.total as f64 <= allowed_share * rows as f64 {
            return Ok(());
        }
        let examples = self.rows.iter().take(3).cloned().collect();
        Err(Error::TooManyBadRows { bad: self.total, rows, allowed_share, examples })
    }

    /// The kept rows as NDJSON, ready to be written to a file.
    pub fn to_ndjson(&self) -> String {
        let line = |row: &BadRow| serde_json::to_string(row).expect("text and numbers are always JSON") + "\n";
        self.rows.iter().map(line).collect()
    }
}

/// Why one row is refused, before it is known where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) field: &'static str,
    pub(super) expected: String,
    pub(super) found: String,
}

impl Fault {
    pub(super) fn new(field: &'static str, expected: impl Into<String>, found: &str) -> Self {
        Self { field, expected: expected.into(), found: found.chars().take(80).collect() }
    }
}
