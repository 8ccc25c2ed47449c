//! From rows of data to a model that may be published.
//!
//! - [`read`]: files to a [`Dataset`], bad rows set aside; [`snapshot`]: a data set as bytes, between steps.
//! - [`split`]: the past a model learns from, the future it is judged on.
//! - [`Algorithm`] with [`popularity`], [`item_knn`], [`rp3beta`], [`ease`], [`ease_sparse`], [`ials`], [`spectral`],
//!   [`blend`], [`vmis_knn`]: settings and a data set in, artefact out.
//! - [`metrics`], [`evaluate`](mod@evaluate), [`bootstrap`], [`gate`]: what a model is worth, and whether that is enough.
//! - [`plan`]: the nightly line-up that joins these. [`Need`]: the memory each takes, told beforehand.
//!
//! Apart from [`read`], which reads what it is handed or pointed at, nothing here does I/O, looks at a clock or draws
//! entropy: seeds and times are arguments, and equal inputs give equal bytes on any number of threads.

pub mod blend;
pub mod bootstrap;
pub mod dataset;
pub mod ease;
pub mod ease_sparse;
pub mod error;
pub mod evaluate;
pub mod gate;
pub mod ials;
pub mod item_knn;
pub mod matrix;
pub mod metrics;
pub mod plan;
pub mod popularity;
pub mod read;
pub mod rp3beta;
pub mod snapshot;
pub mod spectral;
pub mod split;
pub mod tune;
pub mod vmis_knn;

mod algorithm;
mod cooccurrence;
mod features;
mod linear;
mod memory;

pub use algorithm::{Algorithm, NAMES, Progress};
pub use bootstrap::Comparison;
pub use dataset::{Builder, Dataset, Interaction, TimeAxis};
pub use error::{Error, Kind};
pub use evaluate::{Evaluation, Summary, evaluate, evaluate_at};
pub use gate::{Contest, Decision, decide};
pub use memory::Need;
pub use plan::{Candidate, Recipe, Stage, choose, line_up};
pub use split::{Case, Segment, Split};
