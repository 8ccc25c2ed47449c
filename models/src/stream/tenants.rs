//! One writer's records as files, each tenant's below the tenant's own root of the store.
//!
//! For a process that answers several tenants: whoever reads a tenant's stream finds there what any other writer of the
//! tenant would have put there, and nothing of anybody else's.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{Error, Message, Producer, files::FileProducer};
use crate::{id::TenantName, store::Store};

/// Writes segments under one producer's name, in the root of the tenant that is each message's key.
#[derive(Debug)]
pub struct TenantFiles {
    store: Store,
    name: String,
    tenants: Mutex<BTreeMap<TenantName, Arc<FileProducer>>>,
}

impl TenantFiles {
    /// `store` holds one folder a tenant; `name` as in [`FileProducer::new`].
    pub fn new(store: Store, name: &str) -> Result<Self, Error> {
        FileProducer::new(store.clone(), name)?;
        Ok(Self { store, name: name.into(), tenants: Mutex::default() })
    }

    async fn of(&self, tenant: TenantName) -> Result<Arc<FileProducer>, Error> {
        let mut tenants = self.tenants.lock().await;
        if let Some(producer) = tenants.get(&tenant) {
            return Ok(Arc::clone(producer));
        }
        let producer = Arc::new(FileProducer::new(self.store.tenant(&tenant), &self.name)?);
        tenants.insert(tenant, Arc::clone(&producer));
        Ok(producer)
    }
}

#[async_trait]
impl Producer for TenantFiles {
    async fn send(&self, messages: Vec<Message>) -> Result<(), Error> {
        let mut sorted: BTreeMap<TenantName, Vec<Message>> = BTreeMap::new();
        for message in messages {
            let tenant = message.key.parse().map_err(|_| Error::Setting {
                setting: "message key",
                expected: "a tenant",
                found: message.key.chars().take(80).collect(),
            })?;
            sorted.entry(tenant).or_default().push(message);
        }
        for (tenant, messages) in sorted {
            self.of(tenant).await?.send(messages).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        event::Topic,
        stream::{Consumer, files::FileConsumer},
    };

    #[tokio::test]
    async fn a_tenants_stream_holds_its_own_records_alone() {
        let store = Store::open("memory://a-tenants-stream").unwrap();
        let producer = TenantFiles::new(store.clone(), "predictor").unwrap();
        let message = |tenant: &str, n: u32| Message::json(Topic::Predictions, tenant, &n);
        let sent = [message("acme-books", 1), message("other-books", 2), message("acme-books", 3)];
        producer.send(sent.to_vec()).await.unwrap();
        producer.send(vec![message("other-books", 4)]).await.unwrap();
        for (tenant, records) in [("acme-books", ["1", "3"]), ("other-books", ["2", "4"])] {
            let root = store.tenant(&tenant.parse().unwrap());
            let mut consumer = FileConsumer::open(root, "reader", &[Topic::Predictions]).await.unwrap();
            let mut found = Vec::new();
            while found.len() < records.len() {
                found.extend(consumer.poll(10, Duration::from_secs(5)).await.unwrap());
            }
            let found: Vec<_> = found.iter().map(|record| String::from_utf8_lossy(&record.payload)).collect();
            assert_eq!(found, records, "{tenant}");
        }
        let nobody = producer.send(vec![message("../acme-books", 5)]).await.unwrap_err();
        assert_eq!(nobody.to_string(), "stream setting message key: expected a tenant, found \"../acme-books\"");
    }
}
