//! A commit that may have happened is never reported as one that did not: two stores that hide it as long as they can.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use models::{
    Registry, Store,
    registry::{Error, Intent, Op},
    store::{self, Backend, Created, Listed},
};

use crate::faulty::Memory;

/// How the store hides that the first entry was written.
#[derive(Debug, Clone, Copy)]
enum Hides {
    /// A conflict with our own object, and reads of it that break off.
    BehindBrokenReads,
    /// Conflicts for nothing while the first attempt is under way; it lands with the last of them.
    BehindPhantoms,
}

/// Operations on the first entry that go wrong: just enough for a writer to give up.
const TIMES: [u32; 2] = [4, 8];

#[derive(Debug)]
struct Hiding {
    inner: Memory,
    hides: Hides,
    times: AtomicU32,
}

#[async_trait]
impl Backend for Hiding {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, store::Error> {
        let found = self.inner.get(key).await?;
        let broken = matches!(self.hides, Hides::BehindBrokenReads) && key.starts_with("log/") && found.is_some();
        let broken = broken && self.times.fetch_add(1, Relaxed) < TIMES[0];
        Ok(found.map(|bytes| if broken { bytes.slice(..9) } else { bytes }))
    }

    async fn head(&self, key: &str) -> Result<Option<Listed>, store::Error> {
        self.inner.head(key).await
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, store::Error> {
        if !key.starts_with("log/") {
            return self.inner.create(key, bytes).await;
        }
        match self.hides {
            Hides::BehindBrokenReads => self.inner.create(key, bytes).await.map(|_| Created::Exists),
            Hides::BehindPhantoms => {
                if self.times.fetch_add(1, Relaxed) + 1 >= TIMES[1] {
                    // Under way until the writer has looked for the last time.
                    let late = self.inner.clone();
                    let key = key.to_owned();
                    tokio::spawn(async move {
                        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                        late.create(&key, bytes).await
                    });
                }
                Ok(Created::Exists)
            }
        }
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), store::Error> {
        self.inner.put(key, bytes).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, store::Error> {
        self.inner.list(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), store::Error> {
        self.inner.delete(key).await
    }
}

async fn doubt_is_settled_by_repeating(hides: Hides) {
    let hiding = Hiding { inner: Memory::default(), hides, times: AtomicU32::new(0) };
    let registry = Registry::open(Store::over(Arc::new(hiding), "memory://hiding")).await.unwrap();
    let intent = Intent::new("ana", "once", Timestamp::UNIX_EPOCH).once("fence-1");
    let fence = |state: &models::registry::State| Ok(vec![Op::Fence { epoch: state.epoch + 1 }]);
    let first = registry.commit(&intent, fence).await.unwrap_err();
    assert!(matches!(first, Error::Store(store::Error::Unavailable { .. })), "{hides:?}: {first}");
    let again = registry.commit(&intent, fence).await.unwrap();
    assert_eq!((again.entry.id, again.repeated), (1, true), "{hides:?}");
}

#[tokio::test(start_paused = true)]
async fn an_entry_of_our_own_that_cannot_be_read_back_is_in_doubt() {
    doubt_is_settled_by_repeating(Hides::BehindBrokenReads).await;
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_lands_after_conflicts_for_nothing_is_in_doubt() {
    doubt_is_settled_by_repeating(Hides::BehindPhantoms).await;
}
