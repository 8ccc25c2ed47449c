//! The life of versions after their registration: collected, copied, brought back, applied, exported, mounted. Time is
//! wound by hand: the store stamps objects with it, and every decision names it.

mod collect;
mod copies;
mod folder;
mod travel;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use models::{
    Registry, Store,
    registry::{Intent, Op, Status},
    signature::{SigningKey, Trust},
    store::{Backend, Created, Error, Listed},
};

use crate::registry_contract::{draft, name, version};

/// A store whose clock is wound by hand.
#[derive(Debug)]
pub struct Clocked {
    inner: Arc<dyn Backend>,
    now: Mutex<Timestamp>,
    modified: Mutex<BTreeMap<String, Timestamp>>,
}

impl Clocked {
    fn stamp(&self, key: &str) {
        let now = *self.now.lock().unwrap();
        self.modified.lock().unwrap().insert(key.into(), now);
    }

    fn stamped(&self, mut object: Listed) -> Listed {
        object.modified = self.modified.lock().unwrap()[&object.key];
        object
    }
}

#[async_trait]
impl Backend for Clocked {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.inner.get(key).await
    }

    async fn head(&self, key: &str) -> Result<Option<Listed>, Error> {
        Ok(self.inner.head(key).await?.map(|object| self.stamped(object)))
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, Error> {
        let created = self.inner.create(key, bytes).await?;
        if created == Created::New {
            self.stamp(key);
        }
        Ok(created)
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), Error> {
        self.stamp(key);
        self.inner.put(key, bytes).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, Error> {
        Ok(self.inner.list(prefix).await?.into_iter().map(|object| self.stamped(object)).collect())
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.inner.delete(key).await
    }
}

/// A registry on a store with a hand-wound clock, and what people do with it.
pub struct World {
    clock: Arc<Clocked>,
    pub store: Store,
    pub registry: Registry,
}

impl World {
    pub async fn over(store: &Store) -> Self {
        let now = Mutex::new(Timestamp::UNIX_EPOCH);
        let clock = Arc::new(Clocked { inner: store.backend(), now, modified: Mutex::default() });
        let store = Store::over(Arc::<Clocked>::clone(&clock), store.url());
        let registry = Registry::open(store.clone()).await.unwrap();
        Self { clock, store, registry }
    }

    pub async fn in_memory(test: &str) -> Self {
        Self::over(&memory(test)).await
    }

    pub fn now(&self) -> Timestamp {
        *self.clock.now.lock().unwrap()
    }

    pub fn pass(&self, hours: i64) {
        *self.clock.now.lock().unwrap() += SignedDuration::from_hours(hours);
    }

    pub fn intent(&self) -> Intent {
        Intent::new("ana", "test", self.now())
    }

    pub async fn publish(&self, title: &str) {
        self.registry.publish(draft(title), &self.intent().once(title)).await.unwrap();
    }

    pub async fn promote(&self, number: u32) {
        self.commit(Op::Approve { name: name(), version: version(number) }).await;
        self.registry.promote(&name(), version(number), None, &self.intent()).await.unwrap();
    }

    pub async fn commit(&self, op: Op) {
        self.registry.commit(&self.intent(), |_| Ok(vec![op.clone()])).await.unwrap();
    }

    pub fn status(&self, number: u32) -> Status {
        self.registry.state().models[&name()].versions[&version(number)].status
    }
}

pub fn memory(test: &str) -> Store {
    Store::open(&format!("memory://life-{test}")).unwrap()
}

pub fn tag(number: u32, key: &str, value: Option<&str>) -> Op {
    Op::Tag { name: name(), version: version(number), key: key.into(), value: value.map(Into::into) }
}

pub fn revoke(number: u32) -> Op {
    Op::Status { name: name(), version: version(number), status: Status::Revoked }
}

pub fn key(n: u8) -> SigningKey {
    SigningKey::from_secret(&[n; 32])
}

/// Trusts these keys and asks for a signature.
pub fn trust(keys: &[u8]) -> Trust {
    Trust::new(keys.iter().map(|n| key(*n).verifying_key()).collect(), true).unwrap()
}

/// Every object of a store with its bytes.
pub async fn objects(store: &Store) -> BTreeMap<String, Bytes> {
    let mut objects = BTreeMap::new();
    for object in store.list("").await.unwrap() {
        let bytes = store.get(&object.key).await.unwrap().unwrap();
        objects.insert(object.key, bytes);
    }
    objects
}

/// That a registry is sound, whatever signs it.
pub async fn assert_sound(store: &Store) {
    assert_eq!(Registry::verify(store.clone(), &Trust::default()).await.unwrap().problems, Vec::<String>::new());
}
