//! The way from an answer to the stream: a bounded hand-off that a request never waits for.
//!
//! A record is offered, and from then on it is delivered, dropped for a counted reason, or still waiting:
//! `offered = delivered + dropped{full, encode, broker, shutdown} + queued`, at every moment at which nobody is offering.
//! When the queue is full the newest record is dropped, which is blind to the arm and keeps the order.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use models::{
    event::{Outcome, Prediction, Topic},
    stream::{Message, Producer},
};
use serde::Serialize;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};

use crate::config::EventQueue;

/// Records sent to the stream at once.
const BATCH: usize = 1024;
/// Waits between attempts to deliver a batch; after the last it is dropped.
const RETRIES: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(800)];

/// A record on its way.
#[derive(Debug)]
enum Record {
    Prediction(Box<Prediction>),
    Outcome(Box<Outcome>),
}

impl Record {
    /// Estimated size in the queue, bytes: identifiers at 40 each, numbers at 4.
    fn bytes(&self) -> usize {
        match self {
            Self::Prediction(record) => {
                400 + 40 * (record.predictions.len() + record.history.len())
                    + 4 * (record.scores.len() + record.features.len())
            }
            Self::Outcome(_) => 400,
        }
    }

    fn encode(&self) -> Result<Message, serde_json::Error> {
        let (topic, key, payload) = match self {
            Self::Prediction(record) => (Topic::Predictions, &record.tenant, serde_json::to_vec(record)?),
            Self::Outcome(record) => (Topic::Outcomes, &record.tenant, serde_json::to_vec(record)?),
        };
        Ok(Message { topic, key: key.to_string(), payload: payload.into() })
    }
}

/// How many records went where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct EventCounts {
    /// Given to the log.
    pub offered: u64,
    /// Accepted by the stream.
    pub delivered: u64,
    /// Dropped because the queue was full.
    pub dropped_full: u64,
    /// Dropped because they could not be written as JSON.
    pub dropped_encode: u64,
    /// Dropped because the stream refused them, also after retries.
    pub dropped_broker: u64,
    /// Dropped because the process left.
    pub dropped_shutdown: u64,
    /// Still waiting.
    pub queued: u64,
}

impl EventCounts {
    /// Dropped for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.dropped_full + self.dropped_encode + self.dropped_broker + self.dropped_shutdown
    }
}

#[derive(Debug, Default)]
struct Counters {
    offered: AtomicU64,
    /// Taken into the queue; they leave it in order, so `settled` follows this number.
    accepted: AtomicU64,
    settled: AtomicU64,
    delivered: AtomicU64,
    full: AtomicU64,
    encode: AtomicU64,
    broker: AtomicU64,
    shutdown: AtomicU64,
    queued_bytes: AtomicUsize,
    closed: AtomicBool,
    /// A batch has settled.
    progress: Notify,
    /// Somebody waits: do not linger.
    hurry: Notify,
}

impl Counters {
    fn settle(&self, counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::SeqCst);
        self.settled.fetch_add(n, Ordering::SeqCst);
        self.progress.notify_waiters();
    }
}

/// The handle: cheap to clone, one queue behind all clones.
#[derive(Debug, Clone)]
pub struct EventLog {
    sender: mpsc::Sender<Record>,
    counters: Arc<Counters>,
    byte_limit: usize,
    /// Whether the stream keeps records; where it does not none is offered, so none counts as delivered.
    keeps: bool,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl EventLog {
    /// Starts the background task that hands records to `producer`. Must be called within a tokio runtime.
    pub fn start(queue: EventQueue, producer: Arc<dyn Producer>) -> Self {
        let (sender, receiver) = mpsc::channel(queue.records);
        let (counters, keeps) = (Arc::new(Counters::default()), producer.keeps());
        let task = tokio::spawn(deliver(receiver, Arc::clone(&counters), producer, queue.linger));
        Self { sender, counters, byte_limit: queue.bytes, keeps, task: Arc::new(Mutex::new(Some(task))) }
    }

    /// Offers a prediction. Never waits.
    pub fn prediction(&self, record: Prediction) {
        self.offer(Record::Prediction(Box::new(record)));
    }

    /// Offers an outcome. Never waits.
    pub fn outcome(&self, record: Outcome) {
        self.offer(Record::Outcome(Box::new(record)));
    }

    fn offer(&self, record: Record) {
        if !self.keeps {
            return;
        }
        let counters = &self.counters;
        counters.offered.fetch_add(1, Ordering::SeqCst);
        if counters.closed.load(Ordering::SeqCst) {
            counters.shutdown.fetch_add(1, Ordering::SeqCst);
            return;
        }
        let bytes = record.bytes();
        let room = counters.queued_bytes.fetch_add(bytes, Ordering::SeqCst) + bytes <= self.byte_limit;
        // Counted before it can be seen by the task, so that `settled` never overtakes.
        counters.accepted.fetch_add(1, Ordering::SeqCst);
        if room && self.sender.try_send(record).is_ok() {
            return;
        }
        counters.accepted.fetch_sub(1, Ordering::SeqCst);
        counters.queued_bytes.fetch_sub(bytes, Ordering::SeqCst);
        counters.full.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until every record offered before this call has been delivered or dropped.
    pub async fn flush(&self) {
        let target = self.counters.accepted.load(Ordering::SeqCst);
        loop {
            let progress = self.counters.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            if self.counters.settled.load(Ordering::SeqCst) >= target {
                return;
            }
            self.counters.hurry.notify_one();
            progress.await;
        }
    }

    /// Takes no more records, delivers what waits for at most `within`, and counts the rest as dropped.
    pub async fn shutdown(&self, within: Duration) -> EventCounts {
        self.counters.closed.store(true, Ordering::SeqCst);
        let in_time = tokio::time::timeout(within, self.flush()).await.is_ok();
        let task = self.task.lock().expect("no panic happens while this lock is held").take();
        if let Some(task) = task {
            task.abort();
            // A cancelled task is the expected end; a panicked one has already been reported by its hook.
            let _ended = task.await;
        }
        if !in_time {
            let counters = &self.counters;
            let left = counters.accepted.load(Ordering::SeqCst) - counters.settled.load(Ordering::SeqCst);
            counters.settle(&counters.shutdown, left);
        }
        self.counts()
    }

    /// Where the records are.
    pub fn counts(&self) -> EventCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        let settled = read(&self.counters.settled);
        EventCounts {
            offered: read(&self.counters.offered),
            delivered: read(&self.counters.delivered),
            dropped_full: read(&self.counters.full),
            dropped_encode: read(&self.counters.encode),
            dropped_broker: read(&self.counters.broker),
            dropped_shutdown: read(&self.counters.shutdown),
            queued: read(&self.counters.accepted).saturating_sub(settled),
        }
    }
}

/// Gathers records into batches and sends them, one batch at a time so that their order is kept.
async fn deliver(
    mut queue: mpsc::Receiver<Record>,
    counters: Arc<Counters>,
    producer: Arc<dyn Producer>,
    linger: Duration,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        if batch.len() < BATCH {
            tokio::select! {
                () = tokio::time::sleep(linger) => {}
                () = counters.hurry.notified() => {}
            }
            while batch.len() < BATCH
                && let Ok(record) = queue.try_recv()
            {
                batch.push(record);
            }
        }
        let bytes: usize = batch.iter().map(Record::bytes).sum();
        let n = batch.len() as u64;
        let messages: Vec<Message> = batch.drain(..).filter_map(|record| record.encode().ok()).collect();
        let encoded = messages.len() as u64;
        counters.queued_bytes.fetch_sub(bytes, Ordering::SeqCst);
        if encoded < n {
            tracing::error!(records = n - encoded, "records could not be encoded");
            counters.settle(&counters.encode, n - encoded);
        }
        if encoded > 0 {
            let outcome = if send(&*producer, messages).await { &counters.delivered } else { &counters.broker };
            counters.settle(outcome, encoded);
        }
    }
}

/// Delivers a batch, trying again a few times: repeating is safe, readers remove duplicates by event id.
async fn send(producer: &dyn Producer, messages: Vec<Message>) -> bool {
    let records = messages.len();
    for pause in RETRIES {
        match producer.send(messages.clone()).await {
            Ok(()) => return true,
            Err(error) => {
                tracing::warn!(records, error = &error as &dyn std::error::Error, "stream did not take records");
            }
        }
        tokio::time::sleep(pause).await;
    }
    match producer.send(messages).await {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(records, error = &error as &dyn std::error::Error, "records dropped after retries");
            false
        }
    }
}
