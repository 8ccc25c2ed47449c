//! The predictor: answers readers from the version in production, tries the next one on a share of them, and tells the
//! stream what it answered.
//!
//! One process serves one model of one tenant. [`Server::start`] binds and runs everything; [`rest`] and [`admin`] are
//! the same doors without a socket, over a [`Service`].
//!
//! - [`engine`]: the room: a question and a snapshot of resident versions in, an answer out. No transport, no clock.
//! - [`current`], [`plan`], [`watch`]: the live versions behind one atomic pointer, and what moves it.
//! - [`canary`]: a trial as this process sees it. [`judge`]: when its step may be left, and when it has done harm.
//! - [`wire`], [`rest()`], [`grpc()`]: the Open Inference Protocol V1 and V2 over HTTP and gRPC, tensors as JSON,
//!   messages or bytes.
//! - [`conform`]: any server of that protocol, graded point by point.
//! - [`mlflow`]: the registry as MLflow's REST clients see it, read only.
//! - [`admit`], [`event_log`], [`outcomes`], [`health`], [`metrics`], [`server`]: staying calm, and being seen.

pub mod admit;
pub mod canary;
pub mod config;
pub mod conform;
pub mod current;
pub mod engine;
pub mod error;
pub mod event_log;
pub mod grpc;
pub mod health;
mod idle;
pub mod judge;
mod ledger;
pub mod metrics;
pub mod mlflow;
pub mod outcomes;
pub mod plan;
mod rest;
pub mod server;
pub mod service;
mod shown;
mod statistics;
pub mod watch;
pub mod wire;

pub use canary::Experiment;
pub use config::{Clock, Drain, EventQueue, Limits, Options, Remember};
pub use current::{Resident, Snapshot};
pub use error::{Error, Refusal};
pub use event_log::{EventCounts, EventLog};
pub use grpc::grpc;
pub use health::State;
pub use rest::{admin, rest};
pub use server::{ModelSource, Running, Server, Totals};
pub use service::Service;
pub use watch::Watcher;
pub use wire::cloudevent::Style;
