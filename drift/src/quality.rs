//! Whether the window's records can be trusted at all. Broken data must never start a training run.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Defects of one window's records, counted over all events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quality {
    /// Answers without a single book.
    pub empty_lists: u64,
    /// Records without the members the detector needs (written by something older, or something else).
    pub bare_records: u64,
    /// Answers that were not the model's first choice.
    pub fallbacks: u64,
    /// Scores or popularities that are not finite numbers.
    pub not_finite: u64,
    /// Events whose window had already ended, counted at the next window to close.
    pub late: u64,
    /// Events dated further ahead of the clock than lateness allows, counted at the next window to close.
    pub ahead: u64,
    /// Events delivered again.
    pub duplicates: u64,
}

impl Quality {
    /// Both counted together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            empty_lists: self.empty_lists + other.empty_lists,
            bare_records: self.bare_records + other.bare_records,
            fallbacks: self.fallbacks + other.fallbacks,
            not_finite: self.not_finite + other.not_finite,
            late: self.late + other.late,
            ahead: self.ahead + other.ahead,
            duplicates: self.duplicates + other.duplicates,
        }
    }
}

/// Largest share of a window's requests that may have each defect, in `[0, 1]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QualityLimits {
    /// Answers without a book.
    pub empty_lists: f64,
    /// Records without features.
    pub bare_records: f64,
    /// Answers that were not the model's first choice. Cold readers are answered by fallbacks, so this is wide.
    pub fallbacks: f64,
    /// Numbers that are not finite.
    pub not_finite: f64,
    /// Late events.
    pub late: f64,
    /// Events from the future.
    pub ahead: f64,
    /// Repeated deliveries. At-least-once delivery repeats a few; a replayed partition repeats all.
    pub duplicates: f64,
}

impl Default for QualityLimits {
    fn default() -> Self {
        Self {
            empty_lists: 0.2,
            bare_records: 0.1,
            fallbacks: 0.9,
            not_finite: 0.01,
            late: 0.1,
            ahead: 0.05,
            duplicates: 0.5,
        }
    }
}

/// A defect past its limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// The defect in words.
    pub what: String,
    /// Its share of the window's requests.
    pub share: f64,
    /// The share allowed.
    pub limit: f64,
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {:.1} % of requests (limit {:.1} %)", self.what, self.share * 100.0, self.limit * 100.0)
    }
}

impl QualityLimits {
    /// The defects of a window with `requests` answers that are past their limit, in the order declared above.
    pub fn incidents(&self, quality: &Quality, requests: u64) -> Vec<Incident> {
        self.table()
            .into_iter()
            .map(|(what, limit, count)| Incident {
                what: what.to_owned(),
                share: count(quality) as f64 / requests.max(1) as f64,
                limit,
            })
            .filter(|incident| incident.share > incident.limit)
            .collect()
    }

    #[expect(clippy::type_complexity, reason = "a table of name, limit and count, read in one place")]
    fn table(&self) -> [(&'static str, f64, fn(&Quality) -> u64); 7] {
        [
            ("empty lists", self.empty_lists, |q| q.empty_lists),
            ("records without features", self.bare_records, |q| q.bare_records),
            ("fallback answers", self.fallbacks, |q| q.fallbacks),
            ("numbers that are not finite", self.not_finite, |q| q.not_finite),
            ("late events", self.late, |q| q.late),
            ("events from the future", self.ahead, |q| q.ahead),
            ("repeated events", self.duplicates, |q| q.duplicates),
        ]
    }

    /// Every limit with its name, for checks.
    pub(crate) fn limits(&self) -> impl Iterator<Item = (&'static str, f64)> {
        self.table().into_iter().map(|(what, limit, _)| (what, limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_past_its_limit_is_named() {
        let quality = Quality { empty_lists: 30, late: 10, ..Quality::default() };
        let found = QualityLimits::default().incidents(&quality, 100);
        let words: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(words, ["empty lists in 30.0 % of requests (limit 20.0 %)"]);
    }
}
