//! The judge of trials: whether a canary's step may be left, must be held, or has done harm. No clock, no I/O, no entropy.
//!
//! Evidence is counts by step and arm; every test in here is a function of such counts, holds however often it is looked
//! at, and does not depend on the order in which they came. [`judge`] is the decision, the rest its parts:
//!
//! - [`log_e_ratio`]: one arm's events against the other's. [`log_e_below`], [`log_e_above`]: a share against a bound.
//! - [`log_e_slower`]: quantiles of durations. [`log_e_split`]: whether readers arrive as split.
//! - [`Credits`]: what readers click who were given a list of both versions.
//! - [`difference`]: the difference of two rates with its interval, and [`jaccard`] and [`rbo`], how alike two lists are, for
//!   people.

mod bound;
mod decide;
mod events;
mod evidence;
mod latency;
mod mixture;
mod overlap;
mod policy;
mod preference;
mod sample_ratio;

pub use bound::{log_e_above, log_e_below};
pub use decide::{Check, ClickDifference, Decision, Judgement, Numbers, judge, judge_aa};
pub use events::{Events, HARM_GRID, OUTCOME_GRID, log_e_ratio};
pub use evidence::{ArmEvidence, Evidence, StepEvidence};
pub use latency::{Durations, EDGES_SECS, log_e_slower};
pub use mixture::{Difference, Rates, difference, mixing_variance};
pub use overlap::{PERSISTENCE, jaccard, rbo};
pub use policy::{Clicks, Guard, Policy, Scoring, Short, StepRule};
pub use preference::{Credits, Preference};
pub use sample_ratio::{Arrivals, log_e_split};
