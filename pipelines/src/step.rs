//! The steps of one training run: both runners match on this enum, so what runs on a laptop and what Argo runs cannot
//! differ.
//!
//! Facts only. What a step does is in the local runner; how it becomes a pod is in [`crate::argo`].

use std::{fmt, str::FromStr};

/// Exit codes that the same inputs would give again: usage, gate not met, bad input, integrity failure, and the
/// executor's own 64. No step is repeated after one of them.
pub const FINAL_EXIT_CODES: [u8; 5] = [2, 10, 12, 13, 64];

/// The registry moved under us: reading it again can help.
const CONFLICT: u8 = 11;
/// A service we need did not answer: waiting can help.
const UNAVAILABLE: u8 = 69;

/// One step of a training run, safe to run twice: a training pod may be evicted at any moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Read and check the data, and write down exactly which rows this run is about.
    Snapshot,
    /// Fit the line-up of algorithms on the time before the test window.
    Fit,
    /// Measure the line-up on the test window and ask the gate.
    Evaluate,
    /// Fit the winner again, on all of the snapshot.
    Refit,
    /// Make the result a version of the model and point `staging` at it, in one commit.
    Register,
}

/// What a step's pod asks for and may take, as Kubernetes quantities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Processor share the scheduler sets aside.
    pub cpu_request: &'static str,
    /// Processor share above which it is throttled.
    pub cpu_limit: &'static str,
    /// Memory the scheduler sets aside.
    pub memory_request: &'static str,
    /// Memory above which it is killed.
    pub memory_limit: &'static str,
}

/// When a step is worth repeating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts after the first.
    pub limit: u32,
    /// Exit codes after which another attempt can end differently.
    pub exit_codes: &'static [u8],
}

/// The text names no step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown step {found:?}: expected snapshot, fit, evaluate, refit or register")]
pub struct UnknownStep {
    /// As given.
    pub found: String,
}

impl Step {
    /// All steps, in the order of the loop.
    pub const ALL: [Self; 5] = [Self::Snapshot, Self::Fit, Self::Evaluate, Self::Refit, Self::Register];

    /// The name on the command line and in the workflow.
    pub fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Fit => "fit",
            Self::Evaluate => "evaluate",
            Self::Refit => "refit",
            Self::Register => "register",
        }
    }

    /// The steps whose results this one reads. All of them come earlier in [`Step::ALL`].
    pub fn after(self) -> &'static [Self] {
        match self {
            Self::Snapshot => &[],
            Self::Fit => &[Self::Snapshot],
            Self::Evaluate => &[Self::Fit],
            Self::Refit => &[Self::Evaluate],
            Self::Register => &[Self::Refit],
        }
    }

    /// One line for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Snapshot => "read and check the data",
            Self::Fit => "fit the line-up before the test window",
            Self::Evaluate => "measure on the test window and ask the gate",
            Self::Refit => "fit the winner on everything",
            Self::Register => "register the new version and point staging at it",
        }
    }

    /// What its pod asks for. The whole run fits the training queue's 8 CPU and 16Gi, one step at a time.
    pub fn resources(self) -> Resources {
        let (cpu_request, cpu_limit, memory_request, memory_limit) = match self {
            Self::Snapshot => ("500m", "2", "1Gi", "2Gi"),
            Self::Fit | Self::Evaluate | Self::Refit => ("2", "4", "2Gi", "8Gi"),
            // It holds one artefact in memory.
            Self::Register => ("100m", "1", "256Mi", "1Gi"),
        };
        Resources { cpu_request, cpu_limit, memory_request, memory_limit }
    }

    /// When it may be repeated. Only the step that commits can meet a conflict.
    pub fn retry(self) -> Retry {
        match self {
            Self::Snapshot | Self::Fit | Self::Evaluate | Self::Refit => Retry { limit: 3, exit_codes: &[UNAVAILABLE] },
            Self::Register => Retry { limit: 5, exit_codes: &[CONFLICT, UNAVAILABLE] },
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Step {
    type Err = UnknownStep;

    fn from_str(text: &str) -> Result<Self, UnknownStep> {
        let found = Self::ALL.into_iter().find(|step| step.name() == text);
        found.ok_or_else(|| UnknownStep { found: text.chars().take(80).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_only_needs_steps_before_it() {
        for (place, step) in Step::ALL.iter().enumerate() {
            assert!(step.after().iter().all(|needed| Step::ALL[..place].contains(needed)), "{step}");
            assert_eq!(step.after().is_empty(), place == 0, "{step}");
        }
    }

    #[test]
    fn a_name_reads_back_as_its_step() {
        for step in Step::ALL {
            assert_eq!(step.name().parse(), Ok(step));
        }
        let error = "Fit".parse::<Step>().unwrap_err();
        assert!(error.to_string().starts_with("unknown step \"Fit\": expected snapshot"), "{error}");
    }

    #[test]
    fn what_cannot_change_is_never_repeated() {
        for step in Step::ALL {
            assert!(step.retry().exit_codes.iter().all(|code| !FINAL_EXIT_CODES.contains(code)), "{step}");
            assert!(step.retry().exit_codes.contains(&69), "{step}");
        }
        assert!(Step::Register.retry().exit_codes.contains(&11));
        assert!(!Step::Fit.retry().exit_codes.contains(&11));
    }
}
