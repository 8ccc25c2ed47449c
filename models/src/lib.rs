//! What the loop stores, what it means and where it lives.
//!
//! Everything one part of bookloop writes and another reads is defined here, together with the one function that
//! gives a trained model's bytes a meaning: scoring. The crate knows no sibling.
//!
//! - [`id`], [`book`], [`event`]: names, catalogue entries, records on the streams.
//! - [`catalogue`], [`readers`], [`artifact`], [`spectral`], [`sessions`], [`blend`]: a trained model and its parts.
//! - [`score`], [`top_k`], [`rules`], [`format`](mod@format): the one scoring path, what lists must obey, and a model's
//!   bytes.
//! - [`manifest`], [`registry`]: what is known about a version, and the log of every decision about it.
//! - [`signature`]: who vouches for a version.
//! - [`split`]: which readers meet the canary.
//! - [`store`], [`stream`], [`digest`]: where bytes live, how records travel, what bytes are called.

pub mod artifact;
pub mod blend;
pub mod book;
pub mod catalogue;
mod checks;
pub mod digest;
pub mod event;
pub mod format;
pub mod id;
mod labels;
pub mod manifest;
mod mapped;
pub mod readers;
pub mod registry;
mod rows;
pub mod rules;
pub mod score;
pub mod sessions;
mod shared;
mod shelves;
pub mod signature;
pub mod spectral;
pub mod split;
pub mod store;
pub mod stream;
mod texts;
pub mod top_k;

pub use artifact::{Artifact, Factors, Neighbours, Objective, Scorer};
pub use blend::Blend;
pub use book::Book;
pub use catalogue::{BookRef, Catalogue};
pub use id::{Alias, BookId, BookRow, InvalidName, ModelName, ReaderId, TenantName, Version};
pub use manifest::Manifest;
pub use readers::Readers;
pub use registry::Registry;
pub use rules::{Filter, Rules};
pub use score::{Query, Recommendation, Scratch};
pub use sessions::Sessions;
pub use spectral::Spectral;
pub use store::Store;
