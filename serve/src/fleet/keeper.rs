//! One model's place in the fleet: its service, and the task that brings its versions in.
//!
//! A model is loaded by its own task, never by a request: one load answers everyone who waits for it, and goes on when
//! they give up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Mutex, mpsc, oneshot, watch};

use crate::{
    admit::Admission,
    current::Snapshot,
    error::Refusal,
    service::Service,
    watch::{NOT_ASKED_FOR, Watcher},
};

/// Askers that may queue for one model's task before the next one waits for its place.
const QUEUE: usize = 64;
/// What a model says that was unloaded by hand.
const UNLOADED: &str = "it was unloaded by an operator";

/// A model's place.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) service: Arc<Service>,
    /// Who brings its versions in; nobody where the model is fixed.
    keeper: Option<Keeper>,
}

#[derive(Debug)]
struct Keeper {
    watcher: Mutex<Watcher>,
    asks: mpsc::Sender<Ask>,
    /// Whether it should be in memory. Changed only by who holds the watcher.
    wanted: AtomicBool,
    /// Whether an operator took it out, which no request undoes.
    by_hand: AtomicBool,
    /// Requests that wait for a load.
    waiting: Admission,
}

/// A question to the task, answered with what is live then.
#[derive(Debug)]
pub(crate) struct Ask {
    what: What,
    answer: oneshot::Sender<Option<Arc<Snapshot>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// Bring it in if it is not.
    Load,
    /// Look at the registry now, if it is in.
    Look,
}

impl Desk {
    /// A place for a model that stays as it is.
    pub(crate) fn fixed(service: Service) -> Self {
        Self { service: Arc::new(service), keeper: None }
    }

    /// A place for a model that a watcher follows, with the questions that [`Desk::keep`] answers. It is loaded from
    /// the start if `eager`. `waiting` is the room for requests that wait for a load.
    pub(crate) fn kept(
        watcher: Watcher,
        service: Arc<Service>,
        eager: bool,
        waiting: Admission,
    ) -> (Self, mpsc::Receiver<Ask>) {
        let (asks, asked) = mpsc::channel(QUEUE);
        if !eager {
            service.health.trouble(Some(NOT_ASKED_FOR.into()));
        }
        let (watcher, wanted, by_hand) = (Mutex::new(watcher), AtomicBool::new(eager), AtomicBool::new(false));
        (Self { service, keeper: Some(Keeper { watcher, asks, wanted, by_hand, waiting }) }, asked)
    }

    /// The live snapshot, loading the model first if it is not in memory, until `deadline`.
    pub(crate) async fn live(&self, deadline: Instant) -> Result<Arc<Snapshot>, Refusal> {
        self.service.touch();
        if let Some(snapshot) = self.service.current.get() {
            return Ok(snapshot);
        }
        let is_leaving = self.service.process.life.is_leaving();
        let Some(keeper) = self.keeper.as_ref().filter(|keeper| !is_leaving && !keeper.by_hand.load(Ordering::SeqCst))
        else {
            return Err(self.service.not_ready());
        };
        let _place = keeper.waiting.admit().await?;
        let asked = tokio::time::timeout_at(deadline.into(), keeper.ask(What::Load));
        asked.await.ok().flatten().ok_or_else(|| self.service.not_ready())
    }

    /// Looks at the registry now, if the model is in memory or should be.
    pub(crate) async fn look(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.ask(What::Look).await;
        }
    }

    /// Loads the model by hand, until `deadline`.
    pub(crate) async fn load(&self, deadline: Instant) -> Result<(), Refusal> {
        if let Some(keeper) = &self.keeper {
            keeper.by_hand.store(false, Ordering::SeqCst);
        }
        self.live(deadline).await.map(drop)
    }

    /// Takes the model out of memory by hand, until it is loaded by hand. Says whether that could be done.
    pub(crate) async fn unload(&self) -> bool {
        let Some(keeper) = &self.keeper else { return false };
        keeper.by_hand.store(true, Ordering::SeqCst);
        keeper.let_go(&mut *keeper.watcher.lock().await, UNLOADED).await;
        true
    }

    /// Takes the model out of memory to make room, unless a request holds it or it is being looked after.
    pub(crate) async fn try_let_go(&self) -> bool {
        let Some(keeper) = &self.keeper else { return false };
        let Ok(mut watcher) = keeper.watcher.try_lock() else { return false };
        if !self.service.current.is_live() || !self.service.current.is_idle() {
            return false;
        }
        keeper.let_go(&mut watcher, NOT_ASKED_FOR).await;
        true
    }

    /// Frees what was let go and is no longer held, unless the model is being looked after.
    pub(crate) async fn try_free(&self) {
        if let Some(Ok(mut watcher)) = self.keeper.as_ref().map(|keeper| keeper.watcher.try_lock()) {
            watcher.free_retired().await;
        }
    }

    /// Looks every interval and whenever asked, until told to stop.
    pub(crate) async fn keep(self: Arc<Self>, mut asked: mpsc::Receiver<Ask>, mut stop: watch::Receiver<bool>) {
        let Some(keeper) = &self.keeper else { return };
        let every = self.service.options().poll_interval;
        let mut interval = tokio::time::interval(every);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let mut asks: Vec<Ask> = tokio::select! {
                _ = interval.tick() => Vec::new(),
                Some(ask) = asked.recv() => vec![ask],
                _ = stop.changed() => return,
            };
            // One look answers all who are there.
            while let Ok(ask) = asked.try_recv() {
                asks.push(ask);
            }
            let live = keeper.turn(&self.service, &asks, every).await;
            for ask in asks {
                // An asker that left does not need to know.
                let _left = ask.answer.send(live.clone());
            }
        }
    }
}

impl Keeper {
    async fn ask(&self, what: What) -> Option<Arc<Snapshot>> {
        let (answer, told) = oneshot::channel();
        // A task that stopped meanwhile brings nothing in.
        self.asks.send(Ask { what, answer }).await.ok()?;
        told.await.ok().flatten()
    }

    /// One turn of the task: a look where one is due, and what is live after it.
    async fn turn(&self, service: &Service, asks: &[Ask], every: Duration) -> Option<Arc<Snapshot>> {
        let mut watcher = self.watcher.lock().await;
        let to_load = asks.iter().any(|ask| ask.what == What::Load) && !self.by_hand.load(Ordering::SeqCst);
        if to_load {
            self.wanted.store(true, Ordering::SeqCst);
        }
        let fresh = asks.iter().any(|ask| ask.what == What::Look);
        // Who only wants it in memory is answered without a look when it is, or when a look would try nothing.
        let settled = service.current.is_live() || watcher.is_set_back();
        let due = asks.is_empty() || fresh || !settled;
        if due && self.wanted.load(Ordering::SeqCst) {
            // The registry may have been asked by another model of the tenant a moment ago.
            watcher.look_within(if fresh { Duration::ZERO } else { every / 2 }).await;
        } else {
            watcher.free_retired().await;
        }
        // Taken before anyone can let it go again, so that whoever waited for it gets it.
        service.current.get()
    }

    async fn let_go(&self, watcher: &mut Watcher, why: &str) {
        self.wanted.store(false, Ordering::SeqCst);
        watcher.let_go(why).await;
    }
}
