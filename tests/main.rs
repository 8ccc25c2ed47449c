//! What the parts promise together: the loop end to end, faults, bad input, and the tidiness of the house.
//!
//! Tests marked `ignored` take minutes or need the real data sets; `tests/run` runs them against the release binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod bad_input;
mod broker;
mod clients;
mod conform;
mod faults;
mod folder;
mod hostile;
#[path = "../serve/tests/it/issuer.rs"]
mod issuer;
#[path = "../models/tests/it/kafka_server.rs"]
mod kafka_server;
mod loop_turns;
#[path = "../models/tests/it/minio_server.rs"]
mod minio_server;
mod mlflow;
mod nights;
mod real_books;
mod registry_input;
mod restarts;
mod restore_drill;
mod swap;
mod tidy;
mod tokens;
mod traces;
mod writers;
