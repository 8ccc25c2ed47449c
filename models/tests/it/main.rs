//! Contracts of the crate's doors: every store, the registry on every store, the stream on every adapter.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod clouds;
mod doubt;
mod faulty;
mod history;
mod judge;
mod kafka_server;
mod life;
mod lying;
mod minio;
mod minio_server;
mod past_formats;
mod registry_contract;
mod store_contract;
mod stream_contract;
mod stub;
mod tamper;
mod trial;
