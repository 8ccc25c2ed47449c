//! What this crate promises to a cluster and to the registry.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod deployed;
mod night;
mod ramp;
mod rendered;
mod stand_in;
mod steer;
mod submit;
mod trigger;
