//! What a run of the loop looks like to a person: one HTML page without anything external, and lines for a terminal.
//!
//! - [`Chronicle`]: everything the page tells, as data. [`html`]: the page. [`timeline`]: the lines.
//!
//! The same chronicle is the same bytes: nothing here reads a clock, a locale or the machine.

mod chronicle;
mod page;
mod plots;
mod timeline;

pub use chronicle::{
    AliasMove, CanaryStep, Chronicle, EvidencePoint, MetricRow, Moment, MomentKind, Summary, TrafficPoint,
};
pub use page::{Error, html};
pub use timeline::{Timeline, timeline, wants_colour};
