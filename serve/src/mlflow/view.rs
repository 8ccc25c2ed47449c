//! One tenant's registry as it was last seen, looked at anew when it is asked for, at most once a second.
//!
//! A view is whole: a version is in it together with what its manifest says. While the store is away, slow or damaged,
//! the last whole view answers, and says how old it is.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures::{StreamExt, stream};
use models::{
    ModelName, Registry, TenantName, Version,
    registry::{self, ModelState, Status},
};
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, timeout_at},
};

use super::{
    describe::{Described, KnownVersions, View},
    error::Error,
};

/// A view younger than this is taken as it is.
const FRESH: Duration = Duration::from_secs(1);
/// How long requests wait for one look, counted from its begin. The look itself goes on.
const PATIENCE: Duration = Duration::from_secs(2);
/// Manifests read at once.
const FETCH_AHEAD: usize = 32;

/// One tenant's registry, and what was last seen of it.
#[derive(Debug)]
pub(super) struct Tenant {
    name: TenantName,
    registry: Arc<Registry>,
    /// What looks remember, also those that did not come to an end. Held by the one that looks.
    looking: Arc<tokio::sync::Mutex<KnownVersions>>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The last whole view and when it was last found to be the newest.
    view: Option<(Arc<View>, Instant)>,
    /// When the look that goes on now began.
    begun: Option<Instant>,
    /// When the last look ended, well or not.
    ended: Option<Instant>,
    /// Why the last look failed, in words that name no place.
    trouble: Option<&'static str>,
}

/// A view, and how far it can be trusted to be the newest.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) view: Arc<View>,
    /// `None` when the store confirmed it within the last second.
    pub(super) stale: Option<Stale>,
}

/// Why a view may not be the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stale {
    /// Since it was last known to be.
    pub(super) age: Duration,
    pub(super) why: &'static str,
}

impl Tenant {
    pub(super) fn new(name: TenantName, registry: Arc<Registry>) -> Self {
        Self { name, registry, looking: Arc::default(), seen: Mutex::default() }
    }

    /// The newest view that can be had within [`PATIENCE`].
    pub(super) async fn sight(self: &Arc<Self>) -> Result<Sight, Error> {
        if let Some(until) = self.due()
            && let Ok(known) = timeout_at(until, Arc::clone(&self.looking).lock_owned()).await
            // Another request may have looked while this one waited.
            && self.due().is_some()
        {
            let tenant = Arc::clone(self);
            // A task of its own: a client that leaves does not end the look for the others.
            let look = tokio::spawn(async move { tenant.look(known).await });
            let _in_time = timeout_at(until, look).await;
        }
        self.seen().sight(&self.name)
    }

    /// Until when to wait for a look, if one is due.
    fn due(&self) -> Option<Instant> {
        self.seen().due(Instant::now())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic happens while this lock is held")
    }

    async fn look(&self, mut known: OwnedMutexGuard<KnownVersions>) {
        let outcome = self.read(&mut known).await;
        let mut seen = self.seen();
        let now = Instant::now();
        let before = seen.trouble;
        match outcome {
            Ok(view) => {
                seen.view = Some((view, now));
                seen.trouble = None;
            }
            Err(error) => {
                seen.trouble = Some(in_words(&error));
                // Once, not every second for as long as it lasts.
                if before != seen.trouble {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(tenant = %self.name, error, "answering from the last known state");
                }
            }
        }
        seen.begun = None;
        seen.ended = Some(now);
    }

    /// The newest state, with everything about its versions that is not known yet.
    async fn read(&self, known: &mut KnownVersions) -> Result<Arc<View>, registry::Error> {
        let state = self.registry.refresh().await?;
        let readable = |(name, model): (&ModelName, &ModelState)| {
            // The files of a purged version are gone, its manifest among them.
            let versions = model.versions.iter().filter(|(_, standing)| standing.status != Status::Purged);
            versions.map(|(version, _)| (name.clone(), *version)).collect::<Vec<_>>()
        };
        let versions = state.models.iter().flat_map(readable);
        // A damaged manifest is read again: it may have been restored.
        let is_known = |id: &(ModelName, Version)| known.get(id).is_some_and(|known| known.is_ok());
        let wanted: Vec<(ModelName, Version)> = versions.filter(|id| !is_known(id)).collect();
        let last = self.seen().view.as_ref().map(|(view, _)| Arc::clone(view));
        if let Some(view) = last.filter(|view| wanted.is_empty() && Arc::ptr_eq(&view.state, &state)) {
            return Ok(view);
        }
        let mut manifests = stream::iter(wanted)
            .map(|(name, version)| async move {
                let manifest = self.registry.manifest(&name, version).await;
                ((name, version), manifest)
            })
            .buffered(FETCH_AHEAD);
        let mut failed = None;
        while let Some((id, manifest)) = manifests.next().await {
            let described = match manifest {
                Ok(manifest) => Ok(Described::of(&manifest)),
                Err(error @ registry::Error::Store(_)) => {
                    failed = Some(error);
                    continue;
                }
                Err(damage) => Err(damage.to_string()),
            };
            known.insert(id, Arc::new(described));
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let (tenant, store_url) = (self.name.clone(), self.registry.store().url().to_owned());
        Ok(Arc::new(View { tenant, store_url, state, known: known.clone() }))
    }
}

impl Seen {
    /// Until when to wait for a look, if one is due; notes its begin.
    fn due(&mut self, now: Instant) -> Option<Instant> {
        if self.ended.is_some_and(|ended| now.duration_since(ended) < FRESH) {
            return None;
        }
        Some(*self.begun.get_or_insert(now) + PATIENCE)
    }

    fn sight(&self, tenant: &TenantName) -> Result<Sight, Error> {
        let slow = self.begun.map(|_| "store has not answered yet");
        let trouble = self.trouble.or(slow);
        let Some((view, confirmed)) = &self.view else {
            return Err(Error::Unavailable(tenant.to_string(), trouble.unwrap_or("no look has ended")));
        };
        let age = Instant::now().duration_since(*confirmed);
        Ok(Sight { view: Arc::clone(view), stale: trouble.map(|why| Stale { age, why }) })
    }
}

/// What is wrong, for clients: the log line has the rest.
fn in_words(error: &registry::Error) -> &'static str {
    match error {
        registry::Error::Store(_) => "store unavailable",
        registry::Error::Corrupt { .. } => "registry damaged",
        registry::Error::Unsupported { .. } => "registry written by a newer bookloop",
        _ => "registry cannot be read",
    }
}
