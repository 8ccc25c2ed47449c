//! What the predictor promises at its doors, through the router and over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod events;
mod judge;
mod mlflow;
mod protocol;
mod refuse;
mod server;
mod split;
mod swap;
mod world;
