//! How records travel between the parts of the loop: two small traits and two adapters.
//!
//! [`files`] keeps records as segments in the store, so a laptop needs no broker ([`tenants`]: of several tenants);
//! [`kafka`] speaks to a cluster.
//! Delivery is at least once on both: readers remove duplicates by the record's `event_id`.

pub mod files;
pub mod kafka;
pub mod tenants;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{event::Topic, store};

/// Why records did not move. Repeating is always safe.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store under the files adapter failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The broker refused or did not answer.
    #[error("kafka: could not {operation}")]
    Kafka {
        /// What was tried.
        operation: &'static str,
        /// The client's error.
        #[source]
        source: rdkafka::error::KafkaError,
    },
    /// A setting is wrong.
    #[error("stream setting {setting}: expected {expected}, found {found:?}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What would be accepted.
        expected: &'static str,
        /// What was given.
        found: String,
    },
}

/// A record on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where to.
    pub topic: Topic,
    /// Partition key: the tenant.
    pub key: String,
    /// One JSON object without line breaks.
    pub payload: Bytes,
}

impl Message {
    /// A record as JSON.
    pub fn json(topic: Topic, key: impl Into<String>, record: &impl serde::Serialize) -> Self {
        let payload = serde_json::to_vec(record).expect("records have no maps with odd keys").into();
        Self { topic, key: key.into(), payload }
    }
}

/// A record that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Where from.
    pub topic: Topic,
    /// Partition key.
    pub key: String,
    /// The bytes as sent.
    pub payload: Bytes,
    /// Where it stands, for messages: segment and line, or partition and offset.
    pub position: String,
}

/// Sends records.
#[async_trait]
pub trait Producer: Send + Sync {
    /// Returns when all records are stored, in order per key; on an error some may have been.
    async fn send(&self, messages: Vec<Message>) -> Result<(), Error>;

    /// Whether records are kept at all; where they are not, none need be sent.
    fn keeps(&self) -> bool {
        true
    }
}

/// No stream: what is sent is gone.
#[derive(Debug, Clone, Copy)]
pub struct Nowhere;

#[async_trait]
impl Producer for Nowhere {
    async fn send(&self, _messages: Vec<Message>) -> Result<(), Error> {
        Ok(())
    }

    fn keeps(&self) -> bool {
        false
    }
}

/// Receives records as one member of a group.
#[async_trait]
pub trait Consumer: Send {
    /// Up to `max` records that this group has not been given yet, in order per key and topic; waits up to `wait` for
    /// the first one, and returns none if none came.
    async fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Received>, Error>;

    /// Makes everything polled so far done for the group: a member that starts later begins after it.
    async fn commit(&mut self) -> Result<(), Error>;
}
