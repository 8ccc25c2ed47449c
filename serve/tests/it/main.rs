//! What the predictor promises at its doors, through the router and over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod aa;
mod binary;
mod cloudevents;
mod conform;
mod doors;
mod events;
mod fleet;
mod fuzz;
mod grpc;
mod interleave;
mod issuer;
mod judge;
mod mlflow;
mod openapi;
mod protocol;
mod refuse;
mod rules;
mod server;
mod shadow;
mod split;
mod swap;
mod teams;
mod together;
mod tokens;
mod world;
