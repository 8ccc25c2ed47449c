//! The loop put together: its steps, where they run, what starts them, and the command line. Owns no maths and no
//! protocol.
//!
//! - [`step`]: the steps of a training run as one enum; [`night`]: what each does; [`local`]: all of them on this machine.
//! - [`argo`], [`cluster`]: the steps as Workflow objects, and those objects on a cluster.
//! - [`trigger`]: a cause in, at most one training run out; [`watch`]: the drift detector as a service.
//! - [`ramp`]: what the judge says of a trial becomes a commit; [`steer`]: so it does for every trial of a predictor.
//! - [`ingest`]: sales on the stream become training data; [`inputs`]: where training data is read from.
//! - [`desired`]: where aliases should point, read from a reviewed file.
//! - [`simulate`], [`demo`], [`report`]: readers made up from a seed, the whole loop on one machine, and its page.
//! - [`cli`], [`exit`], [`progress`]: flags and environment in, exit code out, and what a person sees meanwhile.

pub mod argo;
pub mod cli;
pub mod cluster;
pub mod demo;
pub mod desired;
pub mod exit;
pub mod ingest;
pub mod inputs;
pub mod local;
pub mod night;
pub mod progress;
pub mod ramp;
pub mod report;
pub mod simulate;
pub mod steer;
pub mod step;
pub mod trigger;
pub mod watch;

/// Revision of this code, as written into manifests: set at build time by `BOOKLOOP_REVISION`, else the release.
pub const REVISION: &str = match option_env!("BOOKLOOP_REVISION") {
    Some(revision) => revision,
    None => concat!("bookloop ", env!("CARGO_PKG_VERSION")),
};
