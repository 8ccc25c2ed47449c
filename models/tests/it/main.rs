//! Contracts of the crate's doors: the registry on every store, the stream on every adapter.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod faulty;
mod past_formats;
mod registry_contract;
mod stream_contract;
