//! The path of a request's questions: a snapshot, turns at scoring, and what each answer leaves behind.

use std::{
    cell::RefCell,
    sync::Arc,
    time::{Duration, Instant},
};

use models::{Scratch, event::Arm, split};

use super::Service;
use crate::{
    call::{Answered, Call, Trace},
    config::MAX_LISTED,
    current::{Assignment, Snapshot},
    engine::{self, Answer, Ask, Failure, Fallback},
    error::Refusal,
    ledger::Exposure,
};

/// Readers answered in one turn.
const CHUNK: usize = 16;
/// Readers of a request that is answered by the thread that read it.
const SHORT: usize = 4;

thread_local! {
    /// Scoring buffers of this thread.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Which way the questions of a request are answered.
#[derive(Debug, Clone)]
struct Way {
    snapshot: Arc<Snapshot>,
    call: Arc<Call>,
    /// The arm that the request named.
    pinned: Option<Assignment>,
    popular_only: bool,
}

/// A question that was answered, or not.
struct Done {
    ask: Ask,
    assigned: Assignment,
    interleaves: bool,
    answer: Result<Answer, Failure>,
    score: Duration,
}

impl Service {
    /// Answers every question, all from one snapshot, or none. `version` pins one as written in a path.
    pub(crate) async fn recommend(
        self: &Arc<Self>,
        call: Call,
        asks: Vec<Ask>,
        version: Option<&str>,
        trace: &mut Trace,
    ) -> Result<Answered, Refusal> {
        let understood = Instant::now();
        let listed: usize = asks.iter().map(|ask| ask.k).sum();
        if listed > MAX_LISTED {
            return Err(Refusal::bad(format!("expected at most {MAX_LISTED} books in all lists, found {listed}")));
        }
        // What came first holds where the model was let go meanwhile.
        let snapshot = self.current.get().or(trace.snapshot.take()).ok_or_else(|| self.not_ready())?;
        let pinned = match version {
            Some(text) => snapshot.pinned(self.resident_version(&snapshot, text)?),
            None => None,
        };
        trace.snapshot = Some(Arc::clone(&snapshot));
        let popular_only = self.process.popular_only();
        let shadow =
            self.process.shadow.as_ref().filter(|shadow| {
                pinned.is_none() && !popular_only && shadow.wants(self.tenant.as_str(), &call.request_id)
            });
        let here = asks.len() <= SHORT;
        let call = Arc::new(call);
        let way = Way { snapshot: Arc::clone(&snapshot), call: Arc::clone(&call), pinned, popular_only };
        let mut rows = Vec::with_capacity(asks.len());
        let mut asks = asks.into_iter().enumerate().peekable();
        while asks.peek().is_some() {
            let chunk: Vec<(usize, Ask)> = asks.by_ref().take(CHUNK).collect();
            let (service, way) = (Arc::clone(self), way.clone());
            let work = move || chunk.into_iter().map(|(place, ask)| service.score(&way, place, ask)).collect();
            let scored: Vec<Done> = self.process.turns.take(here, call.deadline, work).await?;
            for done in scored {
                self.trace(&snapshot, trace, &done);
                let Done { ask, assigned, answer, score, .. } = done;
                let answer = answer.map_err(|failure| {
                    tracing::error!(
                        version = snapshot.resident(assigned.arm).version.get(),
                        ?failure,
                        "model cannot score"
                    );
                    Refusal::Bug
                })?;
                if let Some(shadow) = shadow {
                    shadow.offer(&self.compared, &snapshot, &ask, &answer, score);
                }
                rows.push((ask, answer));
            }
        }
        trace.scoring = Some((understood, Instant::now()));
        let answered = Answered { snapshot, rows };
        self.tell(&call, &answered);
        Ok(answered)
    }

    /// Answers one question, on whichever thread this is. `place` is the question's in its request.
    fn score(&self, way: &Way, place: usize, ask: Ask) -> Done {
        let Way { snapshot, call, pinned, popular_only } = way;
        let (tenant, reader) = (self.tenant.as_str(), ask.reader.as_ref());
        let interleaves =
            pinned.is_none() && !popular_only && snapshot.interleaves(tenant, reader, self.options().interleave_bp);
        let assigned = match *pinned {
            _ if *popular_only || interleaves => Assignment { arm: Arm::Stable, counted: false },
            Some(pinned) => pinned,
            None => snapshot.assign(tenant, reader),
        };
        let started = Instant::now();
        let answer = SCRATCH.with_borrow_mut(|scratch| {
            if *popular_only {
                engine::popular(snapshot, &ask, scratch)
            } else if interleaves {
                self.interleaved(call, snapshot, (place, &ask), scratch)
            } else {
                engine::answer(snapshot, assigned, &ask, scratch)
            }
        });
        Done { ask, assigned, interleaves, answer, score: started.elapsed() }
    }

    /// Takes down how one question went.
    fn trace(&self, snapshot: &Snapshot, trace: &mut Trace, done: &Done) {
        let Done { ask, assigned, interleaves, answer, score } = done;
        let used = if *interleaves { &mut trace.interleaved } else { trace.arm(assigned.arm) };
        used.readers += 1;
        used.score += *score;
        let answered = answer.as_ref().ok();
        let fell = |it: &Answer| assigned.arm == Arm::Canary && it.fallback.is_some_and(Fallback::is_canary_failure);
        let failed = answered.is_none_or(fell);
        used.failed |= failed;
        if assigned.counted
            && let (Some(salt), Some(reader)) = (snapshot.salt(), &ask.reader)
        {
            trace.exposed.push(Exposure {
                unit: split::unit(&salt, self.tenant.as_str(), reader.as_str()),
                arm: assigned.arm,
                failed,
                short: answered.is_some_and(|it| it.books.len() < ask.k),
                score: *score,
            });
        }
    }
}
