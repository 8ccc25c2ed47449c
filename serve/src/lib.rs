//! The predictor: answers readers from the version in production, tries the next one on a share of them, and tells the
//! stream what it answered.
//!
//! One process serves one model or several, of one tenant or several. [`Server::start`] binds and runs everything;
//! [`rest`] and [`admin`] are the same doors without a socket, over a [`Fleet`].
//!
//! - [`engine`]: the room: a question and a snapshot of resident versions in, an answer out. No transport, no clock.
//! - [`current`], [`plan`], [`watch`]: the live versions behind one atomic pointer, and what moves it.
//! - [`fleet`], [`service`]: which models there are, whose a request is, what is in memory; and one model's part in it.
//! - [`tokens`]: who a caller is, where no mesh says it.
//! - [`shadow`]: the next version compared before anyone meets it. [`canary`]: a trial as all of its processes
//!   see it together. [`judge`]: when its step may be left, and when it has done harm.
//! - [`draft`]: one list out of two. [`interleave`]: a share of a trial's readers is given such lists, and clicks say which
//!   version they prefer.
//! - [`wire`], [`rest()`], [`grpc()`]: the Open Inference Protocol V1 and V2 over HTTP and gRPC, tensors as JSON,
//!   messages or bytes.
//! - [`conform`]: any server of that protocol, graded point by point.
//! - [`mlflow`]: the registry as MLflow's REST clients see it, read only.
//! - [`admit`], [`event_log`], [`outcomes`], [`health`], [`metrics`], [`spans`], [`server`]: staying calm, and being seen.

pub mod admit;
mod budget;
mod call;
pub mod canary;
pub mod config;
pub mod conform;
pub mod current;
pub mod draft;
pub mod engine;
pub mod error;
pub mod event_log;
mod exchange;
pub mod fleet;
pub mod grpc;
pub mod health;
mod idle;
pub mod interleave;
pub mod judge;
mod ledger;
pub mod metrics;
pub mod mlflow;
pub mod outcomes;
pub mod plan;
mod process;
mod rest;
pub mod server;
pub mod service;
pub mod shadow;
mod shown;
pub mod spans;
mod statistics;
pub mod tokens;
pub mod watch;
pub mod wire;

pub use canary::Experiment;
pub use config::{Callers, Clock, Drain, EventQueue, Limits, Options, Remember};
pub use current::{Resident, Snapshot};
pub use error::{Error, Refusal};
pub use event_log::{EventCounts, EventLog};
pub use fleet::{Fleet, Selection, Served, Trial};
pub use grpc::grpc;
pub use health::State;
pub use rest::{admin, rest};
pub use server::{ModelSource, Running, Server, Totals};
pub use service::Service;
pub use spans::Spans;
pub use tokens::{Expected, KeySource, Refresh, Tokens};
pub use watch::Watcher;
pub use wire::cloudevent::Style;
