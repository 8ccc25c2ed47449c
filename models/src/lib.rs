//! What the loop stores, what it means and where it lives.
//!
//! Everything one part of bookloop writes and another reads is defined here, together with the one function that
//! gives a trained model's bytes a meaning: scoring. The crate knows no sibling.
//!
//! - [`id`], [`book`], [`event`]: names, catalogue entries, records on the streams.
//! - [`artifact`], [`score`], [`top_k`], [`format`](mod@format): a trained model, the one scoring path, its bytes.
//! - [`manifest`], [`registry`]: what is known about a version, and the log of every decision about it.
//! - [`split`]: which readers meet the canary.
//! - [`store`], [`stream`], [`digest`]: where bytes live, how records travel, what bytes are called.

pub mod artifact;
pub mod book;
pub mod digest;
pub mod event;
pub mod format;
pub mod id;
pub mod manifest;
mod mapped;
pub mod registry;
pub mod score;
pub mod split;
pub mod store;
pub mod stream;
pub mod top_k;

pub use artifact::{Artifact, Factors, Neighbours, Objective, Readers, Scorer};
pub use book::{Book, Catalogue};
pub use id::{Alias, BookId, BookRow, InvalidName, ModelName, ReaderId, TenantName, Version};
pub use manifest::Manifest;
pub use registry::Registry;
pub use score::{Query, Recommendation, Scratch};
pub use store::Store;
