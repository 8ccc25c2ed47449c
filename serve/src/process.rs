//! What all models of one process share: settings, the room, the stream, metrics, the byte budget, the standing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use models::stream::Producer;
use tokio::sync::Semaphore;

use crate::{
    admit::Admission, budget::Budget, config::Options, event_log::EventLog, health::Life, metrics::Metrics,
    outcomes::Answers, shadow::Shadow, turns::Turns,
};

/// Models loaded at once: hashing and decoding keep a core each.
const LOADS: usize = 2;

/// The common part of every service.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) options: Options,
    pub(crate) room: Admission,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) events: EventLog,
    pub(crate) life: Life,
    pub(crate) budget: Budget,
    pub(crate) loads: Semaphore,
    pub(crate) turns: Turns,
    pub(crate) answers: Answers,
    /// Where requests are scored by next versions too, if they are.
    pub(crate) shadow: Option<Shadow>,
    /// Inference requests answered with 200.
    pub(crate) answered: AtomicU64,
    popular_only: AtomicBool,
    begun: Instant,
}

impl Process {
    /// Must be called within a tokio runtime.
    pub(crate) fn new(options: Options, producer: Arc<dyn Producer>) -> Arc<Self> {
        Arc::new(Self {
            room: Admission::new(options.limits.in_flight),
            metrics: Metrics::new(),
            events: EventLog::start(options.events, producer),
            life: Life::new(),
            budget: Budget::new(options.model_bytes),
            loads: Semaphore::new(LOADS),
            turns: Turns::new(),
            answers: Answers::new(options.remember),
            shadow: (options.shadow_bp > 0).then(|| Shadow::start(options.shadow_bp)),
            answered: AtomicU64::new(0),
            popular_only: AtomicBool::new(options.popular_only),
            begun: Instant::now(),
            options,
        })
    }

    /// Whether everyone gets the popular books of production, whatever a model would say.
    pub(crate) fn popular_only(&self) -> bool {
        self.popular_only.load(Ordering::Relaxed)
    }

    /// Turns the kill switch; the next request obeys. Says how it stood before.
    pub(crate) fn turn_popular_only(&self, on: bool) -> bool {
        self.popular_only.swap(on, Ordering::Relaxed)
    }

    /// Milliseconds since the process began.
    pub(crate) fn age_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
