//! Whether the readers' world has changed, and whether that is worth a retrain.
//!
//! Everything here is arithmetic on profiles: no input or output, no clock, no entropy. The same windows give the same
//! verdicts, byte for byte.
//!
//! - [`profile`]: the training data's facts, kept in the model's manifest ([`TrainingProfile`]).
//! - [`window`], [`stream`]: the stream's facts over one window of event time ([`Windower`] makes [`WindowProfile`]s).
//! - [`statistics`]: one test a file, all answering with a [`Comparison`].
//! - [`mod@assess`], [`report`]: one window against its reference, feature by feature ([`assess()`], [`Assessment`]).
//! - [`policy`], [`quality`]: the numbers a person chooses; when records are too broken to judge.
//! - [`persistence`], [`detector`], [`verdict`]: the fold over windows ([`Detector::observe`] gives a [`Verdict`]).

pub mod assess;
pub mod detector;
pub mod feature;
mod hash;
pub mod persistence;
pub mod policy;
pub mod profile;
pub mod quality;
pub mod report;
mod settled;
pub mod statistics;
pub mod stream;
pub mod verdict;
pub mod window;

pub use assess::{Against, Assessment, Reading, Reference, assess};
pub use detector::{ActionFacts, Detector, DetectorState};
pub use feature::{Feature, Kind};
pub use persistence::{Episode, Severity};
pub use policy::{Among, InvalidPolicy, Policy, Rule};
pub use profile::{TrainingProfile, TrainingProfileBuilder};
pub use quality::{Incident, Quality, QualityLimits};
pub use statistics::{
    Comparison, Method, Status, bins,
    categories::{self, Counts},
    chi_squared, classifier, fisher, holm, jensen_shannon, ks, psi,
    sample::{NotFinite, Sample},
    two_proportions::{self, Share},
    wasserstein,
};
pub use stream::{WindowSpec, Windower};
pub use verdict::{Action, FeatureVerdict, Standing, Submission, Suppression, Verdict};
pub use window::{WindowBuilder, WindowProfile};
