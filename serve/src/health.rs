//! Live, ready, model ready: one state, and who may be told what.
//!
//! Live says only that the process answers. Ready says that a model was loaded, verified and warmed and that nobody
//! asked the process to leave; losing the registry afterwards only degrades it.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

/// What the process is doing.
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

/// What the parts of the process report about themselves.
#[derive(Debug)]
pub(crate) struct Health {
    standing: watch::Sender<Standing>,
    /// 0 starting, 1 loading, 2 warming; irrelevant once a snapshot is live.
    phase: AtomicU8,
    load_failed: AtomicBool,
    registry_away: AtomicBool,
    registry_seen: Mutex<Instant>,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            standing: watch::Sender::new(Standing::Unready),
            phase: AtomicU8::new(0),
            load_failed: AtomicBool::new(false),
            registry_away: AtomicBool::new(false),
            registry_seen: Mutex::new(Instant::now()),
        }
    }

    /// The state, given whether a snapshot is live.
    pub(crate) fn state(&self, has_model: bool) -> State {
        if *self.standing.borrow() >= Standing::Draining {
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

    fn advance(&self, to: Standing) {
        self.standing.send_if_modified(|standing| {
            let is_news = *standing < to;
            *standing = to.max(*standing);
            is_news
        });
    }

    /// A snapshot is live.
    pub(crate) fn model_is_live(&self) {
        self.advance(Standing::Ready);
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

    pub(crate) fn loading(&self) {
        self.phase.store(1, Ordering::SeqCst);
    }

    pub(crate) fn warming(&self) {
        self.phase.store(2, Ordering::SeqCst);
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
        assert_eq!(health.state(false), State::Starting);
        health.loading();
        assert!(!health.state(false).is_ready(), "zero models is not ready");
        assert_eq!(health.state(true), State::Ready);
        assert!(health.registry_answered(false), "losing it is news");
        assert!(!health.registry_answered(false), "still lost is not");
        assert_eq!(health.state(true), State::Degraded);
        assert!(health.state(true).is_ready());
        assert!(health.registry_answered(true));
        health.drain();
        assert!(!health.state(true).is_ready());
    }

    #[test]
    fn standing_only_moves_on() {
        let health = Health::new();
        let mut standing = health.standing();
        health.model_is_live();
        assert_eq!(*standing.borrow_and_update(), Standing::Ready);
        health.drain();
        health.model_is_live();
        assert_eq!(*standing.borrow_and_update(), Standing::Draining);
        health.leave();
        health.drain();
        assert_eq!(*standing.borrow_and_update(), Standing::Left);
        assert_eq!(health.state(true), State::Draining);
    }
}
