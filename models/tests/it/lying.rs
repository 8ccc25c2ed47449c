//! Stores that break the promise of create-if-absent, each in its own way, and what the probe says of them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use models::{
    Store,
    store::{Backend, Created, Error, Listed},
};

/// How a create goes wrong.
#[derive(Debug, Clone, Copy)]
enum Lie {
    /// The condition is ignored: replaced, and reported as new.
    Overwrites,
    /// Reported as existing, and replaced all the same.
    RefusesAndOverwrites,
    /// Reported as new, and dropped.
    TakesAndDrops,
    /// Nothing is ever kept, everything is reported as new.
    Forgets,
    /// Nothing is ever kept, everything is reported as existing.
    AlwaysExists,
    /// No lie: the first create of all is reported as existing though it landed, as after a lost reply.
    OwnConflict,
    /// No lie: the first create of all is refused for nothing, as when writes meet on S3.
    OnePhantom,
}

#[derive(Debug)]
struct Lying {
    inner: Arc<dyn Backend>,
    lie: Lie,
    creates: std::sync::atomic::AtomicU32,
}

#[async_trait]
impl Backend for Lying {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.inner.get(key).await
    }

    async fn head(&self, key: &str) -> Result<Option<Listed>, Error> {
        self.inner.head(key).await
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, Error> {
        let first = self.creates.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        match self.lie {
            Lie::Overwrites => self.inner.put(key, bytes).await.map(|()| Created::New),
            Lie::RefusesAndOverwrites if first => self.inner.create(key, bytes).await,
            Lie::RefusesAndOverwrites => self.inner.put(key, bytes).await.map(|()| Created::Exists),
            Lie::TakesAndDrops => self.inner.create(key, bytes).await.map(|_| Created::New),
            Lie::Forgets => Ok(Created::New),
            Lie::AlwaysExists => Ok(Created::Exists),
            Lie::OwnConflict if first => self.inner.create(key, bytes).await.map(|_| Created::Exists),
            Lie::OnePhantom if first => Ok(Created::Exists),
            Lie::OwnConflict | Lie::OnePhantom => self.inner.create(key, bytes).await,
        }
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), Error> {
        self.inner.put(key, bytes).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, Error> {
        self.inner.list(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.inner.delete(key).await
    }
}

async fn probe(lie: Lie) -> Result<(), Error> {
    let inner = Store::open(&format!("memory://lying-{lie:?}").to_lowercase()).unwrap();
    let lying = Lying { inner: inner.backend(), lie, creates: 0.into() };
    let outcome = Store::over(Arc::new(lying), "s3://look-alike").probe().await;
    assert!(inner.list("").await.unwrap().is_empty(), "{lie:?}: the probe cleans up after itself");
    outcome
}

#[tokio::test]
async fn a_store_that_breaks_create_if_absent_is_refused_with_what_it_did() {
    let cases = [
        (Lie::Overwrites, "took a second create of a key and silently replaced the object"),
        (Lie::RefusesAndOverwrites, "refused a second create of a key but replaced the object"),
        (Lie::TakesAndDrops, "reported a second create of a key as done and kept the first object"),
        (Lie::Forgets, "took an object and then did not have it"),
        (Lie::AlwaysExists, "says of keys never used before that they exist"),
    ];
    for (lie, did) in cases {
        let error = probe(lie).await.unwrap_err();
        assert!(matches!(error, Error::NotSafe { .. }));
        let message = error.to_string();
        assert!(message.starts_with("store s3://look-alike is not safe to write a registry to: it "), "{message}");
        assert!(message.contains(did) && message.contains("If-None-Match: *"), "{lie:?}: {message}");
    }
}

#[tokio::test]
async fn a_store_that_only_loses_replies_passes_the_probe() {
    probe(Lie::OwnConflict).await.unwrap();
    probe(Lie::OnePhantom).await.unwrap();
}
