//! The numbers a person chooses: how sure, how large, how long, how often.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{feature::Feature, quality::QualityLimits};

/// `hits` windows among the last `of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Among {
    /// At least so many.
    pub hits: u32,
    /// Of the last so many, at most 32.
    pub of: u32,
}

/// How one feature is judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Smallest effect above the noise floor that matters, in the unit of the feature's effect.
    pub delta: f64,
    /// Whether the feature counts towards a retrain, or is only reported.
    pub triggers: bool,
}

/// When a difference becomes a suspicion, a suspicion a certainty, and a certainty a retrain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Readers a window needs to be judged.
    pub min_readers: u64,
    /// Chance of any false `moved` among a window's features, in `(0, 1)`.
    pub alpha: f64,
    /// Windows after a take-over that become the reference for what training cannot tell.
    pub settle_windows: usize,
    /// Features judged otherwise than by default.
    pub rules: BTreeMap<Feature, Rule>,
    /// Suspected: the same feature moved in so many windows.
    pub suspected: Among,
    /// Confirmed, fast: the same feature moved by a large effect in so many windows.
    pub confirmed_large: Among,
    /// Confirmed, slow: the same feature moved at all in so many windows.
    pub confirmed_lasting: Among,
    /// A large effect is at least so many deltas above the floor.
    pub large_factor: f64,
    /// Clean windows after a data incident before anything may trigger.
    pub clean_windows: u32,
    /// Seconds after a trigger or a promotion in which nothing triggers.
    pub cool_down_secs: u32,
    /// Triggers in any seven days.
    pub weekly_budget: u32,
    /// When records are too broken to be judged.
    pub quality: QualityLimits,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            min_readers: 500,
            alpha: 0.01,
            settle_windows: 6,
            rules: BTreeMap::new(),
            suspected: Among { hits: 2, of: 3 },
            confirmed_large: Among { hits: 4, of: 5 },
            confirmed_lasting: Among { hits: 18, of: 24 },
            large_factor: 3.0,
            clean_windows: 3,
            cool_down_secs: 6 * 3600,
            weekly_budget: 3,
            quality: QualityLimits::default(),
        }
    }
}

/// Every reason a policy was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid drift policy: {}", .0.join("; "))]
pub struct InvalidPolicy(pub Vec<String>);

impl Policy {
    /// How a feature is judged: by its own rule, else by its kind's.
    pub fn rule(&self, feature: Feature) -> Rule {
        let default = Rule { delta: feature.kind().default_delta(), triggers: feature != Feature::ReaderMix };
        self.rules.get(&feature).copied().unwrap_or(default)
    }

    /// All problems at once.
    pub fn check(&self) -> Result<(), InvalidPolicy> {
        let mut problems = Vec::new();
        if !(self.alpha > 0.0 && self.alpha < 1.0) {
            problems.push(format!("alpha must lie between 0 and 1. found={}", self.alpha));
        }
        if !(self.large_factor >= 1.0 && self.large_factor.is_finite()) {
            problems.push(format!("large_factor must be at least 1. found={}", self.large_factor));
        }
        if self.min_readers == 0 {
            problems.push("min_readers must be at least 1. found=0".into());
        }
        if self.settle_windows == 0 {
            problems.push("settle_windows must be at least 1. found=0".into());
        }
        for (name, among) in [
            ("suspected", self.suspected),
            ("confirmed_large", self.confirmed_large),
            ("confirmed_lasting", self.confirmed_lasting),
        ] {
            if among.hits == 0 || among.hits > among.of || among.of > 32 {
                problems.push(format!("{name} must be 1 to 32 of 1 to 32. found={} of {}", among.hits, among.of));
            }
        }
        for (feature, rule) in &self.rules {
            if !(rule.delta >= 0.0 && rule.delta.is_finite()) {
                problems.push(format!("delta of {feature} must be at least 0. found={}", rule.delta));
            }
        }
        for (what, limit) in self.quality.limits() {
            if !(limit >= 0.0 && limit.is_finite()) {
                problems.push(format!("limit of {what} must be at least 0. found={limit}"));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(InvalidPolicy(problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_at_once() {
        let policy =
            Policy { alpha: f64::NAN, suspected: Among { hits: 4, of: 3 }, min_readers: 0, ..Policy::default() };
        assert_eq!(policy.check().unwrap_err().0.len(), 3);
        assert!(Policy::default().check().is_ok());
    }

    #[test]
    fn a_policy_file_names_only_what_differs() {
        let read: Policy =
            serde_json::from_str(r#"{"min_readers":100,"rules":{"list.popularity":{"delta":0.2,"triggers":false}}}"#)
                .unwrap();
        assert_eq!(read.min_readers, 100);
        assert!(!read.rule(Feature::ListPopularity).triggers);
        assert_eq!(read.rule(Feature::BasketBook), Rule { delta: 0.08, triggers: true });
        assert!(serde_json::from_str::<Policy>(r#"{"min_reader":100}"#).is_err());
    }
}
