//! A store that fails and lies on a seeded schedule, over any honest one.
//!
//! Every operation takes a seeded while, so that clients interleave, and may meet a [`Fault`]. Writes that were delayed
//! or doubled land before some later operation of anyone.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use models::store::{Backend, Created, Error, Listed};

/// What may happen to one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// 429, 500 or 503: nothing is done.
    Throttled,
    /// It is done and the answer is lost.
    LostReply,
    /// A timeout, after which the write lands late.
    Late,
    /// The write is done, and delivered once more later.
    Twice,
    /// 409: the store says that the object exists, for nothing.
    PhantomExists,
    /// 412: the library's own retry meets the first attempt, so that a writer sees its own object as a conflict.
    OwnConflict,
    /// The first attempt is under way still when the library's retry meets a phantom: a conflict, and lands late.
    LateConflict,
    /// A read returns the beginning of the object.
    Truncated,
    /// A list misses the newest objects.
    StaleList,
}

/// Faults in a hundred operations, by what they do.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    pub writes: u64,
    pub reads: u64,
}

/// `SplitMix64` (Steele, Lea and Flood 2014): enough for a schedule, and repeatable.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// True in `percent` of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Backend>,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    dice: Dice,
    rates: Rates,
    operations: u64,
    /// For reads and for writes, a fault that goes on for some more operations.
    bursts: [Option<(Fault, u64)>; 2],
    /// Writes under way, by the operation before which they land.
    under_way: Vec<(u64, Write)>,
    /// Keys in the order they were created.
    created: Vec<String>,
    met: BTreeMap<Fault, u64>,
}

#[derive(Debug, Clone)]
enum Write {
    Create(String, Bytes),
    Put(String, Bytes),
}

impl Inside {
    fn draw(&mut self, faults: &[Fault]) -> Option<Fault> {
        let writes = faults.contains(&Fault::LostReply);
        let rate = if writes { self.rates.writes } else { self.rates.reads };
        let burst = &mut self.bursts[usize::from(writes)];
        let fault = match burst.take_if(|_| rate > 0) {
            Some((fault, left)) => {
                *burst = left.checked_sub(1).map(|left| (fault, left));
                faults.contains(&fault).then_some(fault)
            }
            None if self.dice.chance(rate) => {
                let fault = faults[self.dice.below(faults.len() as u64) as usize];
                *burst = self.dice.chance(BURSTS).then(|| (fault, self.dice.below(LONGEST_BURST)));
                Some(fault)
            }
            None => None,
        };
        if let Some(fault) = fault {
            *self.met.entry(fault).or_default() += 1;
        }
        fault
    }
}

const ON_CREATE: [Fault; 7] = [
    Fault::Throttled,
    Fault::LostReply,
    Fault::Late,
    Fault::Twice,
    Fault::PhantomExists,
    Fault::OwnConflict,
    Fault::LateConflict,
];
const ON_PUT: [Fault; 4] = [Fault::Throttled, Fault::LostReply, Fault::Late, Fault::Twice];

/// The longest an operation takes before and after it is done, milliseconds.
const LONGEST_MS: u64 = 5;
/// Faults in a hundred that go on for a while.
const BURSTS: u64 = 8;
/// The most further operations a burst lasts.
const LONGEST_BURST: u64 = 24;
/// The most operations a write may be late by.
const LATEST: u64 = 40;
/// The most objects a stale list misses.
const MOST_MISSED: u64 = 70;

impl Faulty {
    pub fn new(inner: Arc<dyn Backend>, seed: u64, rates: Rates) -> Self {
        let inside = Inside {
            dice: Dice::new(seed),
            rates,
            operations: 0,
            bursts: [None; 2],
            under_way: Vec::new(),
            created: Vec::new(),
            met: BTreeMap::new(),
        };
        Self { inner, inside: Mutex::new(inside) }
    }

    /// Changes how often it fails from now on.
    pub fn set(&self, rates: Rates) {
        self.inside.lock().unwrap().rates = rates;
    }

    /// Stops failing, and lands what is under way.
    pub async fn settle(&self) {
        self.set(Rates { writes: 0, reads: 0 });
        let all = std::mem::take(&mut self.inside.lock().unwrap().under_way);
        self.land_late(all.into_iter().map(|(_, write)| write)).await;
    }

    /// How often each fault was met.
    pub fn met(&self) -> BTreeMap<Fault, u64> {
        self.inside.lock().unwrap().met.clone()
    }

    /// Begins an operation: lands what is due, waits, and says which of `faults` it meets.
    async fn meet(&self, faults: &[Fault]) -> Option<Fault> {
        let (due, wait, fault) = {
            let mut inside = self.inside.lock().unwrap();
            inside.operations += 1;
            let now = inside.operations;
            let due: Vec<Write> =
                inside.under_way.extract_if(.., |(at, _)| *at <= now).map(|(_, write)| write).collect();
            let fault = inside.draw(faults);
            (due, inside.dice.below(LONGEST_MS + 1), fault)
        };
        self.land_late(due).await;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        fault
    }

    /// Nobody hears the answers.
    async fn land_late(&self, writes: impl IntoIterator<Item = Write>) {
        for write in writes {
            match write {
                Write::Create(key, bytes) => drop(self.land(&key, bytes).await),
                Write::Put(key, bytes) => drop(self.inner.put(&key, bytes).await),
            }
        }
    }

    /// The way back of an answer.
    async fn answer<T>(&self, answer: T) -> T {
        let wait = self.inside.lock().unwrap().dice.below(LONGEST_MS + 1);
        tokio::time::sleep(Duration::from_millis(wait)).await;
        answer
    }

    async fn land(&self, key: &str, bytes: Bytes) -> Result<Created, Error> {
        let created = self.inner.create(key, bytes).await?;
        if created == Created::New {
            self.inside.lock().unwrap().created.push(key.into());
        }
        Ok(created)
    }

    fn postpone(&self, write: Write) {
        let mut inside = self.inside.lock().unwrap();
        let at = inside.operations + 1 + inside.dice.below(LATEST);
        inside.under_way.push((at, write));
    }
}

fn failed<T>(operation: &'static str, key: &str, fault: Fault) -> Result<T, Error> {
    Err(Error::Unavailable { operation, key: key.into(), source: format!("injected {fault:?}").into() })
}

#[async_trait]
impl Backend for Faulty {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        let answer = match self.meet(&[Fault::Throttled, Fault::Truncated]).await {
            Some(Fault::Truncated) => self.inner.get(key).await.map(|found| {
                found.map(|bytes| {
                    let end = self.inside.lock().unwrap().dice.below(bytes.len().max(1) as u64);
                    bytes.slice(..end as usize)
                })
            }),
            Some(fault) => failed("read", key, fault),
            None => self.inner.get(key).await,
        };
        self.answer(answer).await
    }

    async fn head(&self, key: &str) -> Result<Option<Listed>, Error> {
        match self.meet(&[Fault::Throttled]).await {
            Some(fault) => failed("look up", key, fault),
            None => self.inner.head(key).await,
        }
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, Error> {
        let fault = self.meet(&ON_CREATE).await;
        let again = Write::Create(key.into(), bytes.clone());
        let answer = match fault {
            None => self.land(key, bytes).await,
            Some(fault @ Fault::LostReply) => self.land(key, bytes).await.and(failed("create", key, fault)),
            Some(fault @ Fault::Late) => {
                self.postpone(again);
                failed("create", key, fault)
            }
            Some(Fault::Twice) => {
                self.postpone(again);
                self.land(key, bytes).await
            }
            Some(Fault::PhantomExists) => Ok(Created::Exists),
            Some(Fault::OwnConflict) => self.land(key, bytes).await.map(|_| Created::Exists),
            Some(Fault::LateConflict) => {
                self.postpone(again);
                Ok(Created::Exists)
            }
            Some(fault) => failed("create", key, fault),
        };
        self.answer(answer).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), Error> {
        let fault = self.meet(&ON_PUT).await;
        if matches!(fault, Some(Fault::Late | Fault::Twice)) {
            self.postpone(Write::Put(key.into(), bytes.clone()));
        }
        let answer = match fault {
            None | Some(Fault::Twice) => self.inner.put(key, bytes).await,
            Some(fault @ Fault::LostReply) => self.inner.put(key, bytes).await.and(failed("write", key, fault)),
            Some(fault) => failed("write", key, fault),
        };
        self.answer(answer).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, Error> {
        let fault = self.meet(&[Fault::Throttled, Fault::StaleList]).await;
        if let Some(fault @ Fault::Throttled) = fault {
            return failed("list", prefix, fault);
        }
        let mut listed = self.inner.list(prefix).await?;
        if fault.is_some() {
            let mut inside = self.inside.lock().unwrap();
            let missed = 1 + inside.dice.below(MOST_MISSED) as usize;
            let hidden: Vec<&String> = inside.created.iter().rev().take(missed).collect();
            listed.retain(|object| !hidden.contains(&&object.key));
        }
        Ok(listed)
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        match self.meet(&[Fault::Throttled, Fault::LostReply]).await {
            Some(fault @ Fault::LostReply) => self.inner.delete(key).await.and(failed("delete", key, fault)),
            Some(fault) => failed("delete", key, fault),
            None => self.inner.delete(key).await,
        }
    }
}

/// An honest store in memory, gone with its last clone.
#[derive(Debug, Default, Clone)]
pub struct Memory(Arc<Mutex<BTreeMap<String, Bytes>>>);

impl Memory {
    fn objects(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.0.lock().unwrap()
    }

    /// How many objects there are whose key begins so.
    pub fn count(&self, prefix: &str) -> u64 {
        self.objects().range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix)).count() as u64
    }
}

fn listed(key: &str, bytes: &Bytes) -> Listed {
    Listed { key: key.into(), bytes: bytes.len() as u64, modified: jiff::Timestamp::UNIX_EPOCH }
}

#[async_trait]
impl Backend for Memory {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        Ok(self.objects().get(key).cloned())
    }

    async fn head(&self, key: &str) -> Result<Option<Listed>, Error> {
        Ok(self.objects().get(key).map(|bytes| listed(key, bytes)))
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, Error> {
        let mut objects = self.objects();
        if objects.contains_key(key) {
            return Ok(Created::Exists);
        }
        objects.insert(key.into(), bytes);
        Ok(Created::New)
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), Error> {
        self.objects().insert(key.into(), bytes);
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, Error> {
        let folder = if prefix.is_empty() { String::new() } else { format!("{}/", prefix.trim_end_matches('/')) };
        let objects = self.objects();
        let below = objects.range(folder.clone()..).take_while(|(key, _)| key.starts_with(&folder));
        Ok(below.map(|(key, bytes)| listed(key, bytes)).collect())
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.objects().remove(key);
        Ok(())
    }
}
