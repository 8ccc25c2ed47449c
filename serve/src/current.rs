//! The live versions behind one atomic pointer. A request takes the snapshot once and keeps it to its record, so weight
//! and versions can never disagree within a request.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use models::{
    Artifact, ReaderId, Version,
    event::Arm,
    split::{self, Salt},
};

use crate::{
    canary::{Experiment, Step},
    judge::Policy,
};

/// A version in memory, in the part it plays.
#[derive(Debug, Clone)]
pub struct Resident {
    /// Its number.
    pub version: Version,
    /// Its part.
    pub arm: Arm,
    /// Digest of its manifest, hex; empty for a model that did not come from a registry.
    pub digest: String,
    /// The model.
    pub artifact: Arc<Artifact>,
}

impl Resident {
    /// The alias by which this part is reached.
    pub fn alias(&self) -> &'static str {
        match self.arm {
            Arm::Stable => "production",
            Arm::Canary => "staging",
        }
    }
}

/// Everything a request needs to know about what is live. Immutable.
#[derive(Debug)]
pub struct Snapshot {
    /// Rises by one with every snapshot.
    pub epoch: u64,
    /// The version in production.
    pub stable: Resident,
    /// The version of `staging`, resident whatever its weight.
    pub canary: Option<Resident>,
    /// The step being counted; present exactly while a trial of the canary runs.
    pub(crate) step: Option<Arc<Step>>,
}

/// Which arm a request was given, and whether it counts in the experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    /// The arm.
    pub arm: Arm,
    /// Whether the split decided: only then is the request evidence.
    pub counted: bool,
}

impl Snapshot {
    /// One version for everyone, without a trial.
    pub fn fixed(stable: Resident) -> Self {
        Self { epoch: 1, stable, canary: None, step: None }
    }

    /// Share of readers that meet the canary, basis points; 0 without a trial.
    pub fn weight_bp(&self) -> u16 {
        self.step.as_ref().map_or(0, |step| step.weight_bp)
    }

    /// Key of the split, while a trial runs.
    pub fn salt(&self) -> Option<Salt> {
        self.step.as_ref().map(|step| step.salt)
    }

    /// The arm of a reader: sticky, the same on every replica. Without a reader stable, not counted.
    pub fn assign(&self, tenant: &str, reader: Option<&ReaderId>) -> Assignment {
        let (Some(step), Some(_), Some(reader)) = (&self.step, &self.canary, reader) else {
            return Assignment { arm: Arm::Stable, counted: false };
        };
        let meets_canary = split::bucket(&step.salt, tenant, reader.as_str()) < step.weight_bp;
        Assignment { arm: if meets_canary { Arm::Canary } else { Arm::Stable }, counted: true }
    }

    /// The arm that serves one version, if it is resident. Pinned requests are no evidence.
    pub fn pinned(&self, version: Version) -> Option<Assignment> {
        let resident = self.residents().find(|resident| resident.version == version)?;
        Some(Assignment { arm: resident.arm, counted: false })
    }

    /// The version on an arm. Panics for the canary when there is none: assignments never name it then.
    pub fn resident(&self, arm: Arm) -> &Resident {
        match arm {
            Arm::Stable => &self.stable,
            Arm::Canary => self.canary.as_ref().expect("only a resident canary is assigned"),
        }
    }

    /// The resident versions, production first, each once.
    pub fn residents(&self) -> impl Iterator<Item = &Resident> {
        std::iter::once(&self.stable).chain(self.canary.iter().filter(|_| !self.is_aa()))
    }

    /// Whether production is tried against itself: both parts are played by one version.
    pub fn is_aa(&self) -> bool {
        self.canary.as_ref().is_some_and(|canary| canary.version == self.stable.version)
    }

    /// The alias by which the version on an arm is reached.
    pub fn alias(&self, arm: Arm) -> &'static str {
        if self.is_aa() { self.stable.alias() } else { self.resident(arm).alias() }
    }

    /// The trial as it stands at `now` under `policy`, if one runs.
    pub fn experiment(&self, policy: &Policy, now: Timestamp) -> Option<Experiment> {
        let step = self.step.as_ref()?;
        Some(Experiment::of(step, self.epoch, self.stable.version, policy, now))
    }
}

/// The pointer to the live snapshot: empty until a model has been loaded, verified and warmed, and after it was let go.
#[derive(Debug, Default)]
pub struct Current {
    live: ArcSwapOption<Snapshot>,
}

impl Current {
    /// The live snapshot.
    pub fn get(&self) -> Option<Arc<Snapshot>> {
        self.live.load_full()
    }

    /// Whether there is one.
    pub fn is_live(&self) -> bool {
        self.live.load().is_some()
    }

    /// Whether no request holds the live snapshot at this moment.
    pub fn is_idle(&self) -> bool {
        // The pointer's own and the one just taken.
        self.get().is_none_or(|snapshot| Arc::strong_count(&snapshot) <= 2)
    }

    /// Puts a snapshot in place and returns the one before, which requests in flight may still hold.
    pub fn swap(&self, snapshot: Snapshot) -> Option<Arc<Snapshot>> {
        self.live.swap(Some(Arc::new(snapshot)))
    }

    /// Takes the snapshot away. Requests that hold it go on.
    pub fn take(&self) -> Option<Arc<Snapshot>> {
        self.live.swap(None)
    }
}
