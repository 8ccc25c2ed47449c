//! A store that fails and lies on a seeded schedule, over any real one.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use models::store::{Backend, Created, Error, Listed};

/// What may happen to one create.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    /// Nothing is written and the caller is told so only by a timeout.
    LostRequest,
    /// The object is written, the answer is lost.
    LostReply,
    /// Nothing is written, yet the store says the object exists.
    PhantomExists,
    /// The object is written by the library's own retry, so the caller sees its own write as a conflict.
    OwnConflict,
}

#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Backend>,
    /// State of a small generator; one step per create.
    seed: Mutex<u64>,
    /// Faults per hundred creates.
    rate: u64,
}

impl Faulty {
    pub fn new(inner: Arc<dyn Backend>, seed: u64, rate: u64) -> Self {
        Self { inner, seed: Mutex::new(seed), rate }
    }

    fn draw(&self) -> Fault {
        let mut state = self.seed.lock().unwrap();
        // SplitMix64 (Steele, Lea and Flood 2014): enough for a schedule, and repeatable.
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        if z % 100 >= self.rate {
            return Fault::None;
        }
        [Fault::LostRequest, Fault::LostReply, Fault::PhantomExists, Fault::OwnConflict][(z >> 32) as usize % 4]
    }
}

fn timeout(key: &str) -> Error {
    Error::Unavailable { operation: "create", key: key.into(), source: "injected timeout".into() }
}

#[async_trait]
impl Backend for Faulty {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.inner.get(key).await
    }

    async fn head(&self, key: &str) -> Result<Option<Listed>, Error> {
        self.inner.head(key).await
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, Error> {
        match self.draw() {
            Fault::None => self.inner.create(key, bytes).await,
            Fault::LostRequest => Err(timeout(key)),
            Fault::LostReply => self.inner.create(key, bytes).await.and(Err(timeout(key))),
            Fault::PhantomExists => Ok(Created::Exists),
            Fault::OwnConflict => self.inner.create(key, bytes).await.map(|_| Created::Exists),
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
