//! Live, ready, model ready: the process's standing and each model's state.
//!
//! Live says only that the process answers. Ready says that the models it waits for were loaded, verified and warmed and
//! that nobody asked it to leave; losing a registry afterwards only degrades it.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use models::{ModelName, TenantName};
use tokio::sync::watch;

/// What the process, or one model, is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// The door is open and nothing has been looked up yet.
    Starting,
    /// No model yet; one is being fetched, or the registry names none.
    Loading,
    /// The first model answers its rehearsal.
    Warming,
    /// Everything that should be live is.
    Ready,
    /// A model answers, but the registry is away or a version could not be loaded.
    Degraded,
    /// Leaving: still answering, no longer ready.
    Draining,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Starting, Self::Loading, Self::Warming, Self::Ready, Self::Degraded, Self::Draining];

    /// The state as a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Loading => "loading",
            Self::Warming => "warming",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Draining => "draining",
        }
    }

    /// Whether traffic should come here.
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Ready | Self::Degraded)
    }
}

/// Whether traffic should come, as it changes over a life: never backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// No model yet.
    Unready,
    /// A model answers.
    Ready,
    /// Leaving: still answering.
    Draining,
    /// The door is closed; who still listens is let go.
    Left,
}

/// The process's standing: ready once every model that it waits for has answered, until it is asked to leave.
#[derive(Debug)]
pub(crate) struct Life {
    standing: watch::Sender<Standing>,
    roll: Mutex<Roll>,
}

#[derive(Debug, Default)]
struct Roll {
    /// Models that have not answered yet; `None` until it is known which are waited for.
    missing: Option<BTreeSet<Key>>,
    /// Models that answered before that was known.
    seen: BTreeSet<Key>,
}

/// A model of a tenant.
pub(crate) type Key = (TenantName, ModelName);

impl Life {
    pub(crate) fn new() -> Self {
        Self { standing: watch::Sender::new(Standing::Unready), roll: Mutex::default() }
    }

    fn advance(&self, to: Standing) {
        self.standing.send_if_modified(|standing| {
            let is_news = *standing < to;
            *standing = to.max(*standing);
            is_news
        });
    }

    fn roll(&self) -> MutexGuard<'_, Roll> {
        self.roll.lock().expect("no panic happens while this lock is held")
    }

    /// Says once which models are waited for.
    pub(crate) fn wait_for(&self, models: impl IntoIterator<Item = Key>) {
        let mut roll = self.roll();
        if roll.missing.is_some() {
            return;
        }
        let missing: BTreeSet<Key> = models.into_iter().filter(|model| !roll.seen.contains(model)).collect();
        if missing.is_empty() {
            self.advance(Standing::Ready);
        }
        *roll = Roll { missing: Some(missing), seen: BTreeSet::new() };
    }

    /// A model answers.
    pub(crate) fn model_is_live(&self, tenant: &TenantName, model: &ModelName) {
        if *self.standing.borrow() >= Standing::Ready {
            return;
        }
        let key = (tenant.clone(), model.clone());
        let roll = &mut *self.roll();
        let Some(missing) = &mut roll.missing else {
            roll.seen.insert(key);
            return;
        };
        missing.remove(&key);
        if missing.is_empty() {
            self.advance(Standing::Ready);
        }
    }

    /// Whether it has been said which models are waited for.
    pub(crate) fn knows_what_to_wait_for(&self) -> bool {
        self.roll().missing.is_some()
    }

    /// The first of the models that are waited for.
    pub(crate) fn first_missing(&self) -> Option<Key> {
        self.roll().missing.as_ref()?.first().cloned()
    }

    pub(crate) fn is_ready(&self) -> bool {
        *self.standing.borrow() == Standing::Ready
    }

    pub(crate) fn is_leaving(&self) -> bool {
        *self.standing.borrow() >= Standing::Draining
    }

    pub(crate) fn drain(&self) {
        self.advance(Standing::Draining);
    }

    pub(crate) fn leave(&self) {
        self.advance(Standing::Left);
    }

    /// The standing now, and every change to come.
    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }
}

/// What is known about one model's way into memory.
#[derive(Debug)]
pub(crate) struct Health {
    /// 0 starting, 1 loading, 2 warming; irrelevant while a snapshot is live.
    phase: AtomicU8,
    load_failed: AtomicBool,
    registry_away: AtomicBool,
    registry_seen: Mutex<Instant>,
    /// What keeps the model from answering, or from its newest version, in words fit for a client.
    trouble: Mutex<Option<String>>,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            phase: AtomicU8::new(0),
            load_failed: AtomicBool::new(false),
            registry_away: AtomicBool::new(false),
            registry_seen: Mutex::new(Instant::now()),
            trouble: Mutex::default(),
        }
    }

    /// The model's state, given whether a snapshot is live and whether the process is leaving.
    pub(crate) fn state(&self, has_model: bool, is_leaving: bool) -> State {
        if is_leaving {
            State::Draining
        } else if has_model {
            let whole = !self.load_failed.load(Ordering::SeqCst) && !self.registry_away.load(Ordering::SeqCst);
            if whole { State::Ready } else { State::Degraded }
        } else {
            match self.phase.load(Ordering::SeqCst) {
                0 => State::Starting,
                1 => State::Loading,
                _ => State::Warming,
            }
        }
    }

    pub(crate) fn loading(&self) {
        self.phase.store(1, Ordering::SeqCst);
    }

    pub(crate) fn warming(&self) {
        self.phase.store(2, Ordering::SeqCst);
    }

    /// Says what keeps the model, or that nothing does.
    pub(crate) fn trouble(&self, words: Option<String>) {
        *self.trouble.lock().expect("no panic happens while this lock is held") = words;
    }

    /// What keeps the model.
    pub(crate) fn why(&self) -> Option<String> {
        self.trouble.lock().expect("no panic happens while this lock is held").clone()
    }

    pub(crate) fn loads_failed(&self, failed: bool) {
        self.load_failed.store(failed, Ordering::SeqCst);
    }

    /// The registry answered, or did not. Says whether that is news.
    pub(crate) fn registry_answered(&self, answered: bool) -> bool {
        if answered {
            *self.registry_seen.lock().expect("no panic happens while this lock is held") = Instant::now();
        }
        self.registry_away.swap(!answered, Ordering::SeqCst) == answered
    }

    /// Time since the registry last answered, while it does not; zero while it does.
    pub(crate) fn staleness(&self) -> Duration {
        if !self.registry_away.load(Ordering::SeqCst) {
            return Duration::ZERO;
        }
        self.registry_seen.lock().expect("no panic happens while this lock is held").elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_needs_a_model_and_survives_the_registry() {
        let health = Health::new();
        assert_eq!(health.state(false, false), State::Starting);
        health.loading();
        assert!(!health.state(false, false).is_ready(), "zero models is not ready");
        assert_eq!(health.state(true, false), State::Ready);
        assert!(health.registry_answered(false), "losing it is news");
        assert!(!health.registry_answered(false), "still lost is not");
        assert_eq!(health.state(true, false), State::Degraded);
        assert!(health.state(true, false).is_ready());
        assert!(health.registry_answered(true));
        assert!(!health.state(true, true).is_ready());
    }

    fn key(model: &str) -> Key {
        ("acme-books".parse().unwrap(), model.parse().unwrap())
    }

    fn live(life: &Life, model: &str) {
        let (tenant, model) = key(model);
        life.model_is_live(&tenant, &model);
    }

    #[test]
    fn standing_only_moves_on() {
        let life = Life::new();
        let mut standing = life.standing();
        life.wait_for([key("a")]);
        assert_eq!(*standing.borrow_and_update(), Standing::Unready);
        live(&life, "a");
        assert_eq!(*standing.borrow_and_update(), Standing::Ready);
        life.drain();
        live(&life, "a");
        assert_eq!(*standing.borrow_and_update(), Standing::Draining);
        life.leave();
        life.drain();
        assert_eq!(*standing.borrow_and_update(), Standing::Left);
    }

    #[test]
    fn the_process_is_ready_when_the_last_of_those_it_waits_for_is() {
        let life = Life::new();
        live(&life, "a");
        assert!(!life.is_ready(), "nobody has said yet who is waited for");
        life.wait_for(["a", "b", "c"].map(key));
        live(&life, "c");
        assert!(!life.is_ready());
        assert_eq!(life.first_missing(), Some(key("b")));
        live(&life, "x");
        live(&life, "b");
        assert!(life.is_ready());
        let lazy = Life::new();
        lazy.wait_for([]);
        assert!(lazy.is_ready(), "models that are loaded when asked for are waited for by nobody");
    }
}
