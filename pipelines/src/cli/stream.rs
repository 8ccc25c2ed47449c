//! Flags that choose the stream: Kafka, or files in the store.

use std::sync::Arc;

use ::models::{
    Store,
    event::Topic,
    stream::{
        Consumer, Nowhere, Producer,
        files::{FileConsumer, FileProducer},
        kafka::{KafkaConsumer, KafkaProducer, Options},
        tenants::TenantFiles,
    },
};
use clap::Args;

use crate::exit;

/// Where records travel.
#[derive(Debug, Clone, Args)]
pub(super) struct Stream {
    /// Kafka bootstrap servers, host:port, comma separated; without them records are files in the store.
    #[arg(long, env = "BOOKLOOP_KAFKA", value_name = "SERVERS")]
    kafka: Option<String>,
    /// A librdkafka property, as in security.protocol=SASL_SSL; may be given several times.
    #[arg(long, env = "BOOKLOOP_KAFKA_PROPERTY", value_name = "NAME=VALUE", value_delimiter = ';', requires = "kafka")]
    kafka_property: Vec<String>,
}

impl Stream {
    fn options(&self) -> anyhow::Result<Option<Options>> {
        let Some(bootstrap) = self.kafka.clone() else { return Ok(None) };
        let property = |text: &String| match text.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(exit::coded(exit::USAGE, format!("--kafka-property: expected NAME=VALUE, found {text:?}"))),
        };
        let properties = self.kafka_property.iter().map(property).collect::<Result<_, _>>()?;
        Ok(Some(Options { bootstrap, properties }))
    }

    /// A producer; `name` tells the files of several writers apart.
    pub(super) fn producer(&self, root: &Store, name: &str) -> anyhow::Result<Arc<dyn Producer>> {
        Ok(match self.options()? {
            Some(options) => Arc::new(KafkaProducer::new(&options)?),
            None => Arc::new(FileProducer::new(root.clone(), name)?),
        })
    }

    /// A producer for a process that has no store: to Kafka, or nowhere, which is said.
    pub(super) fn brokers_producer(&self) -> anyhow::Result<Arc<dyn Producer>> {
        Ok(match self.options()? {
            Some(options) => Arc::new(KafkaProducer::new(&options)?),
            None => {
                eprintln!("answers and outcomes are not recorded: there is neither --kafka nor a store");
                Arc::new(Nowhere)
            }
        })
    }

    /// A producer for a process that answers several tenants, each with a folder of `store`.
    pub(super) fn tenants_producer(&self, store: &Store, name: &str) -> anyhow::Result<Arc<dyn Producer>> {
        Ok(match self.options()? {
            Some(options) => Arc::new(KafkaProducer::new(&options)?),
            None => Arc::new(TenantFiles::new(store.clone(), name)?),
        })
    }

    /// A member of a consumer group.
    pub(super) async fn consumer(
        &self,
        root: &Store,
        group: &str,
        topics: &[Topic],
    ) -> anyhow::Result<Box<dyn Consumer>> {
        Ok(match self.options()? {
            Some(options) => Box::new(KafkaConsumer::open(&options, group, topics)?),
            None => Box::new(FileConsumer::open(root.clone(), group, topics).await?),
        })
    }
}

/// A name for this process that no other running one has: host and process id.
pub(super) fn process_name(part: &str) -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "local".to_owned());
    let plain: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    format!("{part}-{plain}-{}", std::process::id())
}

/// The same with a number drawn now: a name that no process ever had, also not one that was started again in its place.
pub(super) fn drawn_name(part: &str) -> anyhow::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| exit::coded(exit::UNAVAILABLE, format!("no random numbers: {error}")))?;
    Ok(format!("{}-{}", process_name(part), hex::encode(bytes)))
}
