//! What travels with one request: what was known when it came, what it did on the arms, what it was answered.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use models::{BookRef, Version, event::Arm};

use crate::{
    current::{Resident, Snapshot},
    engine::{Answer, Ask, INTERLEAVED},
    ledger::Exposure,
    metrics::Protocol,
    service::Service,
};

/// What is known of one request besides its questions.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) request_id: String,
    pub(crate) traceparent: Option<String>,
    pub(crate) deadline: Instant,
}

/// What a request did on the arms, for metrics, the experiment's counts and the log.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) protocol: Protocol,
    /// When the whole request had arrived: a client's slow sending is not the model's slowness.
    pub(crate) received: Instant,
    /// When its questions were understood, and when the last was answered.
    pub(crate) scoring: Option<(Instant, Instant)>,
    /// Whose request it is, once that is known.
    pub(crate) service: Option<Arc<Service>>,
    /// What was live when the request came, then what answered it.
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    pub(crate) stable: ArmUse,
    pub(crate) canary: ArmUse,
    /// Readers of lists of both, who are nobody's.
    pub(crate) interleaved: ArmUse,
    /// Readers the split assigned, while a trial runs.
    pub(crate) exposed: Vec<Exposure>,
}

/// One part of a request: that of an arm, or of both together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ArmUse {
    /// Readers assigned to it.
    pub(crate) readers: u32,
    /// Time spent scoring for its readers.
    pub(crate) score: Duration,
    /// Whether it was of no use to one of them.
    pub(crate) failed: bool,
}

impl Trace {
    pub(crate) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            received: Instant::now(),
            scoring: None,
            service: None,
            snapshot: None,
            stable: ArmUse::default(),
            canary: ArmUse::default(),
            interleaved: ArmUse::default(),
            exposed: Vec::new(),
        }
    }

    /// Notes whose request it is.
    pub(crate) fn asks(&mut self, service: &Arc<Service>) -> Arc<Service> {
        self.service = Some(Arc::clone(service));
        Arc::clone(service)
    }

    pub(crate) fn arm(&mut self, arm: Arm) -> &mut ArmUse {
        match arm {
            Arm::Stable => &mut self.stable,
            Arm::Canary => &mut self.canary,
        }
    }

    /// The parts that were touched: the word for each, and the arm under whose version it is told.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&'static str, Arm, &ArmUse)> {
        let arm = |arm: Arm, used| (arm.as_str(), arm, used);
        let both = (INTERLEAVED, Arm::Stable, &self.interleaved);
        let parts = [arm(Arm::Stable, &self.stable), arm(Arm::Canary, &self.canary), both];
        parts.into_iter().filter(|(_, _, used)| used.readers > 0)
    }
}

/// Questions with their answers, and the snapshot that gave them.
pub(crate) struct Answered {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) rows: Vec<(Ask, Answer)>,
}

impl Answered {
    /// The version that scored a row; of a drafted list production's.
    pub(crate) fn served(&self, answer: &Answer) -> &Resident {
        self.snapshot.resident(answer.served)
    }

    /// The books of a row's list, best first, as the version knows them that put each there, and their scores.
    pub(crate) fn listed<'a>(&'a self, answer: &'a Answer) -> impl ExactSizeIterator<Item = (BookRef<'a>, f32)> {
        answer.books.iter().enumerate().map(|(place, scored)| {
            let side = answer.draft.as_ref().map_or(answer.served, |draft| draft[place].side);
            (self.snapshot.resident(side).artifact.catalogue().book(scored.row), scored.score)
        })
    }

    /// Versions that scored, ascending without repeats.
    pub(crate) fn versions(&self) -> Vec<Version> {
        let mut versions: Vec<Version> = self.rows.iter().map(|(_, answer)| self.served(answer).version).collect();
        let drafted = self.rows.iter().any(|(_, answer)| answer.draft.is_some());
        versions.extend(self.snapshot.canary.iter().filter(|_| drafted).map(|canary| canary.version));
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    /// The same, comma separated.
    pub(crate) fn versions_text(&self) -> String {
        self.versions().iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}
