//! The stream on Kafka, through librdkafka.
//!
//! The producer is idempotent and bounded in memory; the consumer commits only when told to, after its reader has made
//! the result durable.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::try_join_all;
use rdkafka::{
    ClientConfig, Message as _,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    error::KafkaError,
    producer::{FutureProducer, FutureRecord},
};

use super::{Consumer, Error, Message, Producer, Received};
use crate::event::Topic;

/// How to reach a cluster. Anything librdkafka knows can be set, such as `security.protocol`.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Bootstrap servers, `host:port`, comma separated.
    pub bootstrap: String,
    /// Further librdkafka properties; they win over ours.
    pub properties: Vec<(String, String)>,
}

impl Options {
    fn client(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("client.id", "bookloop");
        for (name, value) in defaults {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }
}

fn failed(operation: &'static str) -> impl Fn(KafkaError) -> Error {
    move |source| Error::Kafka { operation, source }
}

/// Sends records with acknowledgement by all in-sync replicas.
pub struct KafkaProducer(FutureProducer);

impl KafkaProducer {
    /// Prepares a producer; the connection is made in the background.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let config = options.client(&[
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("linger.ms", "20"),
            ("compression.type", "lz4"),
            ("message.timeout.ms", "30000"),
            ("queue.buffering.max.messages", "50000"),
            ("queue.buffering.max.kbytes", "16384"),
        ]);
        Ok(Self(config.create().map_err(failed("create a producer"))?))
    }
}

#[async_trait]
impl Producer for KafkaProducer {
    async fn send(&self, messages: Vec<Message>) -> Result<(), Error> {
        // All records are queued in order before the first acknowledgement is awaited.
        let mut acknowledgements = Vec::with_capacity(messages.len());
        for message in &messages {
            let record = FutureRecord::to(message.topic.name()).key(&message.key).payload(message.payload.as_ref());
            acknowledgements.push(self.0.send(record, Duration::from_secs(1)));
        }
        let acknowledged = acknowledgements.into_iter().map(|sent| async move {
            sent.await.map_err(|(source, _)| Error::Kafka { operation: "deliver a record", source })
        });
        try_join_all(acknowledged).await?;
        Ok(())
    }
}

/// Receives records as a member of a consumer group.
pub struct KafkaConsumer(StreamConsumer);

impl KafkaConsumer {
    /// Joins a group; a group without committed offsets begins at the oldest record.
    pub fn open(options: &Options, group: &str, topics: &[Topic]) -> Result<Self, Error> {
        let config = options.client(&[
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
            ("session.timeout.ms", "10000"),
        ]);
        let consumer: StreamConsumer = config.create().map_err(failed("create a consumer"))?;
        let names: Vec<&str> = topics.iter().map(|topic| topic.name()).collect();
        consumer.subscribe(&names).map_err(failed("subscribe"))?;
        Ok(Self(consumer))
    }
}

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Received>, Error> {
        let mut polled = Vec::new();
        let mut patience = wait;
        while polled.len() < max {
            let Ok(received) = tokio::time::timeout(patience, self.0.recv()).await else { break };
            let received = received.map_err(failed("receive"))?;
            // What is already buffered follows at once; nothing more is waited for.
            patience = Duration::from_millis(5);
            let topic = Topic::ALL.into_iter().find(|topic| topic.name() == received.topic());
            let (Some(topic), Some(payload)) = (topic, received.payload()) else { continue };
            polled.push(Received {
                topic,
                key: String::from_utf8_lossy(received.key().unwrap_or_default()).into_owned(),
                payload: Bytes::copy_from_slice(payload),
                position: format!("partition {} offset {}", received.partition(), received.offset()),
            });
        }
        Ok(polled)
    }

    async fn commit(&mut self) -> Result<(), Error> {
        match self.0.commit_consumer_state(CommitMode::Sync) {
            // Nothing polled yet is nothing to commit.
            Ok(()) | Err(KafkaError::ConsumerCommit(rdkafka::types::RDKafkaErrorCode::NoOffset)) => Ok(()),
            Err(source) => Err(Error::Kafka { operation: "commit", source }),
        }
    }
}
