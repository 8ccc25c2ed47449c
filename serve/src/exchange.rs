//! One trial, several processes: each tells the others through the tenant's store what it saw, and hears what they saw.
//!
//! Under the trial's folder every process has one object of its own, `<process>.json`, with its requests by step and the
//! newest facts of its readers; older facts are in parts beside it that never change. Nobody writes another's object, and
//! what a process told outlives it. No request waits for any of this.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use models::{
    Store,
    store::{self, Listed, key},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{sync::watch, time::MissedTickBehavior};

use crate::{
    canary::Step,
    fleet::Fleet,
    ledger::{ByStep, Fact, Ledger},
    service::Service,
};

/// The format this build reads and writes.
const FORMAT: u32 = 1;
/// Longest one may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Facts of one part, some 50 bytes each: what is written again and again stays below 100 KiB.
const PART: usize = 2048;
/// After so long a process that still says the same is asked no more, until a listing shows a change.
const SILENT: SignedDuration = SignedDuration::from_secs(60);

/// Why an exchange was not whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("store unavailable")]
    Store(#[from] store::Error),
    #[error("{key}: {why}")]
    Unreadable { key: String, why: String },
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
}

/// What one process says of a trial.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    format: u32,
    /// When it was written, by its process.
    at: Timestamp,
    /// Requests of stable and of the canary, by step.
    requests: ByStep,
    /// How many parts come before these facts.
    parts: u64,
    facts: Vec<Fact>,
}

/// Earlier facts of a process.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    format: u32,
    facts: Vec<Fact>,
}

/// One process's side of one trial's exchange.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The trial's folder.
    folder: String,
    /// The name under which this process tells.
    process: String,
    known: tokio::sync::Mutex<Known>,
    heard: Mutex<Heard>,
    failing: AtomicBool,
}

/// How far telling and hearing have come.
#[derive(Debug, Default)]
struct Known {
    /// Parts written.
    parts: u64,
    /// The requests and the number of facts last written.
    told: Option<(ByStep, usize)>,
    others: BTreeMap<String, Other>,
}

/// How much of another process is known.
#[derive(Debug)]
struct Other {
    listed: Listed,
    at: Timestamp,
    parts: u64,
    /// Facts that follow these parts.
    facts: usize,
}

/// Of how many processes the counts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) processes: usize,
    /// Whether the last exchange was whole.
    pub(crate) whole: bool,
}

impl Exchange {
    /// Before the first exchange. `process` is drawn once per start.
    pub(crate) fn new(folder: String, process: String) -> Self {
        let heard = Mutex::new(Heard { processes: 1, whole: false });
        Self { folder, process, known: tokio::sync::Mutex::default(), heard, failing: AtomicBool::new(false) }
    }

    /// Of how many processes the counts are.
    pub(crate) fn heard(&self) -> Heard {
        *self.heard.lock().expect("no panic happens while this lock is held")
    }

    /// Tells the others and hears them, each as far as the store lets it.
    async fn turn(&self, store: &Store, ledger: &Ledger, now: Timestamp) -> Result<(), Error> {
        let both = async {
            let mut known = self.known.lock().await;
            let told = self.tell(&mut known, store, ledger, now).await;
            let heard = self.hear(&mut known, store, ledger, now).await;
            (told.and(heard), Some(known.others.len() + 1))
        };
        let (done, processes) = tokio::time::timeout(PATIENCE, both).await.unwrap_or((Err(Error::Late), None));
        let mut heard = self.heard.lock().expect("no panic happens while this lock is held");
        *heard = Heard { processes: processes.unwrap_or(heard.processes), whole: done.is_ok() };
        done
    }

    /// Writes what is new here, whole parts first, so that a report never names one that is not there.
    async fn tell(&self, known: &mut Known, store: &Store, ledger: &Ledger, now: Timestamp) -> Result<(), Error> {
        while let Some(facts) = ledger.oldest_news(PART) {
            let key = key::evidence_part(&self.folder, &self.process, known.parts);
            store.put(&key, encode(&Part { format: FORMAT, facts })).await?;
            ledger.drop_news(PART);
            known.parts += 1;
        }
        let (requests, facts) = ledger.news();
        let telling = Some((requests.clone(), PART * known.parts as usize + facts.len()));
        if known.told != telling {
            let report = Report { format: FORMAT, at: now, requests, parts: known.parts, facts };
            store.put(&key::evidence(&self.folder, &self.process), encode(&report)).await?;
            known.told = telling;
        }
        Ok(())
    }

    /// Reads what the others have written since. One that cannot be read does not keep the rest from being heard.
    async fn hear(&self, known: &mut Known, store: &Store, ledger: &Ledger, now: Timestamp) -> Result<(), Error> {
        let mut result = Ok(());
        for listed in store.list(&format!("{}/", self.folder)).await? {
            let name = listed.key.strip_prefix(&self.folder).and_then(|rest| rest[1..].strip_suffix(".json"));
            let Some(process) = name.filter(|name| !name.contains('/') && *name != self.process) else { continue };
            let process = process.to_owned();
            let silent = |other: &Other| other.listed == listed && now.duration_since(other.at) > SILENT;
            if known.others.get(&process).is_some_and(silent) {
                continue;
            }
            match self.hear_one(known.others.get(&process), store, ledger, (&process, listed)).await {
                Ok(Some(other)) => drop(known.others.insert(process, other)),
                Ok(None) => {}
                Err(error) => result = Err(error),
            }
        }
        result
    }

    /// Takes in what one process has said since it was last heard. `None` if it vanished, or is at a step that has not
    /// been seen here yet: then it is heard in full once that has come.
    async fn hear_one(
        &self,
        known: Option<&Other>,
        store: &Store,
        ledger: &Ledger,
        (process, listed): (&str, Listed),
    ) -> Result<Option<Other>, Error> {
        let Some(report) = read::<Report>(store, &listed.key).await? else { return Ok(None) };
        let n_steps = ledger.n_steps();
        if report.requests.len() > n_steps {
            return Ok(None);
        }
        let (parts, facts) = known.map_or((0, 0), |other| (other.parts, other.facts));
        let mut news = Vec::new();
        for number in parts..report.parts {
            let key = key::evidence_part(&self.folder, process, number);
            let missing = || Error::Unreadable { key: key.clone(), why: "expected a part, found nothing".into() };
            news.extend(read::<Part>(store, &key).await?.ok_or_else(missing)?.facts);
        }
        // What was heard before the last part was full has been read again with it, which changes nothing.
        let from = if parts == report.parts { facts.min(report.facts.len()) } else { 0 };
        news.extend(&report.facts[from..]);
        if let Some(fact) = news.iter().find(|fact| usize::from(fact.step) >= n_steps) {
            let why = format!("expected a step below {n_steps}, found {}", fact.step);
            return Err(Error::Unreadable { key: listed.key, why });
        }
        ledger.hear(process, report.requests, &news);
        Ok(Some(Other { listed, at: report.at, parts: report.parts, facts: report.facts.len() }))
    }
}

impl Service {
    /// One exchange of the running trial.
    async fn exchange(&self, step: &Step, exchange: &Exchange, store: &Store) {
        let done = exchange.turn(store, &step.ledger, self.options().clock.now()).await;
        self.metrics.exchanged(done.is_ok());
        let was_failing = exchange.failing.swap(done.is_err(), Ordering::Relaxed);
        let (tenant, model) = (&self.tenant, &self.model);
        match done {
            Ok(()) if was_failing => tracing::info!(%tenant, %model, "evidence of the trial is exchanged again"),
            Err(error) if !was_failing => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(%tenant, %model, error, "evidence of the trial is not exchanged; it does not advance");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

impl Fleet {
    /// One exchange of every running trial, all at once.
    pub(crate) async fn exchange(&self) {
        let turns = self.desks().into_iter().filter_map(|desk| {
            let step = desk.service.snapshot()?.step.clone()?;
            let exchange = step.exchange.clone()?;
            let registry = self.registry(&desk.service.tenant)?;
            Some(async move { desk.service.exchange(&step, &exchange, registry.store()).await })
        });
        futures::future::join_all(turns).await;
    }
}

/// Exchanges now and then until told to stop.
pub(crate) async fn run(fleet: Arc<Fleet>, mut stop: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(fleet.process.options.exchange_interval);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let exchange = async {
            interval.tick().await;
            fleet.exchange().await;
        };
        // One that is broken off is repeated by the next.
        tokio::select! {
            () = exchange => {}
            _ = stop.changed() => return,
        }
    }
}

fn encode(told: &impl Serialize) -> Bytes {
    serde_json::to_vec(told).expect("counts and facts are JSON").into()
}

async fn read<T: DeserializeOwned>(store: &Store, key: &str) -> Result<Option<T>, Error> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let unreadable = |why: String| Error::Unreadable { key: key.into(), why };
    let Some(bytes) = store.get(key).await? else { return Ok(None) };
    let not_json = |error: serde_json::Error| unreadable(error.to_string());
    let Version { format } = serde_json::from_slice(&bytes).map_err(not_json)?;
    if format != FORMAT {
        return Err(unreadable(format!("expected format {FORMAT}, found {format}")));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(not_json)
}

#[cfg(test)]
mod tests;
