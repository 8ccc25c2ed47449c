//! Which tenants and models there are, looked up at the start and again while the process lives.
//!
//! What was found once is kept: a store that lists less than before takes nobody's models away.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use models::{
    ModelName, Registry, Store, TenantName,
    registry::{self, ModelState},
    signature::Trust,
    store::key,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Fleet, Shelf};
use crate::{error::Error, plan::plan, watch::file_bytes};

/// Looks at a registry between two looks for new tenants and models.
const POLLS: u32 = 10;

/// Which models of which tenants are served, and from where.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The store that holds one folder a tenant.
    pub root: Store,
    /// Whose signatures count.
    pub trust: Trust,
    /// Which tenants.
    pub tenants: Served<TenantName>,
    /// Which models of each.
    pub models: Served<ModelName>,
    /// Whether models are loaded from the start, and waited for; else each when it is first asked for.
    pub eager: bool,
}

/// Some by name, or all there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Served<N> {
    /// These, whether they are there yet or not.
    These(Vec<N>),
    /// Those that are there, and those that come.
    All,
}

impl<N> Served<N> {
    /// The one, if it is one.
    pub fn only(&self) -> Option<&N> {
        match self {
            Self::These(names) => names.first().filter(|_| names.len() == 1),
            Self::All => None,
        }
    }
}

/// Gives the fleet its tenants and models.
#[derive(Debug)]
pub(crate) struct Scout {
    fleet: Arc<Fleet>,
    /// Where new tenants are looked for, and whose signatures count then.
    finder: Option<(Store, Trust)>,
    shelves: BTreeMap<TenantName, Arc<Shelf>>,
    models: Served<ModelName>,
    eager: bool,
}

impl Scout {
    /// One model of one tenant, whose registry is open.
    pub(crate) fn of_one(fleet: Arc<Fleet>, registry: Arc<Registry>) -> Self {
        let options = &fleet.process.options;
        let models = Served::These(vec![options.model.clone()]);
        let shelves = [(options.tenant.clone(), Shelf::new(registry))].into();
        Self { fleet, finder: None, shelves, models, eager: true }
    }

    /// Opens the registries of the tenants that are named, or finds those there are.
    pub(crate) async fn open(fleet: Arc<Fleet>, selection: Selection) -> Result<Self, Error> {
        let Selection { root, trust, tenants, models, eager } = selection;
        let mut scout = Self { fleet, finder: None, shelves: BTreeMap::new(), models, eager };
        match tenants {
            Served::These(names) => {
                for tenant in names {
                    let opened = Registry::open(root.tenant(&tenant)).await;
                    let failed = |source| Error::Registry { tenant: tenant.clone(), source: Box::new(source) };
                    let registry = opened.map_err(failed)?;
                    scout.shelves.insert(tenant, Shelf::new(Arc::new(registry.trusting(trust.clone()))));
                }
            }
            Served::All => {
                scout.finder = Some((root, trust));
                scout.find_tenants().await.map_err(|error| Error::Store(Box::new(error)))?;
            }
        }
        Ok(scout)
    }

    /// Opens the registries of tenants that are new in the store.
    async fn find_tenants(&mut self) -> Result<(), models::store::Error> {
        let Some((root, trust)) = &self.finder else { return Ok(()) };
        for folder in root.folders().await? {
            let Ok(tenant) = folder.parse::<TenantName>() else { continue };
            let place = root.tenant(&tenant);
            if self.shelves.contains_key(&tenant) || place.head(key::REGISTRY).await?.is_none() {
                continue;
            }
            match Registry::open(place).await {
                Ok(registry) => {
                    tracing::info!(%tenant, "tenant found");
                    self.shelves.insert(tenant, Shelf::new(Arc::new(registry.trusting(trust.clone()))));
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(%tenant, error, "registry cannot be opened; it is tried again");
                }
            }
        }
        Ok(())
    }

    /// Whether the models that are loaded from the start fit, each alone and all together. What cannot be read now is
    /// left to its load.
    pub(crate) async fn check_room(&self) -> Result<(), Error> {
        let Some(limit) = self.fleet.process.budget.limit().filter(|_| self.eager) else { return Ok(()) };
        let no_room = |what: String, needed| Err(Error::NoRoom { what, needed, limit });
        let mut sum = 0;
        for (tenant, shelf) in &self.shelves {
            let state = shelf.registry().state();
            for (name, model) in state.models.iter().filter(|(name, _)| self.serves(name)) {
                let needed = bytes(shelf.registry(), name, model).await;
                if needed > limit {
                    return no_room(format!("model {name} of {tenant} takes"), needed);
                }
                sum += needed;
            }
        }
        if sum > limit { no_room("the models that are loaded from the start take".into(), sum) } else { Ok(()) }
    }

    fn serves(&self, model: &ModelName) -> bool {
        match &self.models {
            Served::These(names) => names.contains(model),
            Served::All => true,
        }
    }

    /// Looks for tenants and models, gives each new one its place, and says once what readiness waits for.
    ///
    /// What a registry said not longer ago than `at_most` is new enough.
    async fn discover(&mut self, at_most: Duration) {
        if let Err(error) = self.find_tenants().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "tenants cannot be listed; those that are known stay");
        }
        let settled = self.fleet.process.life.knows_what_to_wait_for();
        let (mut servable, mut named) = (Vec::new(), Vec::new());
        for (tenant, shelf) in &self.shelves {
            self.fleet.admit_tenant(tenant, Some(Arc::clone(shelf)));
            let names = match &self.models {
                Served::These(names) => names.clone(),
                Served::All => known(shelf, at_most).await,
            };
            for model in names {
                self.fleet.follow(tenant, shelf, &model, self.eager);
                named.push((tenant.clone(), model));
            }
            if !settled {
                let state = shelf.registry().state();
                let ready =
                    state.models.iter().filter(|(name, model)| self.serves(name) && plan(model).stable.is_some());
                servable.extend(ready.map(|(name, _)| (tenant.clone(), name.clone())));
            }
        }
        let all_named = self.finder.is_none() && matches!(self.models, Served::These(_));
        let life = &self.fleet.process.life;
        match (self.eager, all_named) {
            (true, true) => life.wait_for(named),
            // Nothing to serve is not ready.
            _ if servable.is_empty() => {}
            (true, false) => life.wait_for(servable),
            (false, _) => life.wait_for([]),
        }
    }

    /// Looks now and then, and whenever asked, until told to stop. Askers are told when every model that is in memory
    /// follows its registry.
    pub(crate) async fn run(mut self, mut looks: mpsc::Receiver<oneshot::Sender<()>>, mut stop: watch::Receiver<bool>) {
        let poll = self.fleet.process.options.poll_interval;
        let mut interval = tokio::time::interval(poll * POLLS);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let asker = tokio::select! {
                _ = interval.tick() => None,
                Some(asker) = looks.recv() => Some(asker),
                _ = stop.changed() => return,
            };
            self.discover(if asker.is_some() { Duration::ZERO } else { poll }).await;
            if let Some(asker) = asker {
                let desks = self.fleet.desks();
                futures::future::join_all(desks.iter().map(|desk| desk.look())).await;
                // An asker that left does not need to know.
                let _left = asker.send(());
            }
        }
    }
}

/// The models a registry names, as far as it can be asked.
async fn known(shelf: &Shelf, at_most: Duration) -> Vec<ModelName> {
    let state = shelf.state(at_most).await.unwrap_or_else(|_| shelf.registry().state());
    state.models.keys().cloned().collect()
}

/// What the versions that should be in memory take.
async fn bytes(registry: &Registry, name: &ModelName, model: &ModelState) -> u64 {
    let plan = plan(model);
    let mut sum = 0;
    for version in plan.stable.into_iter().chain(plan.staging) {
        let manifest: Result<_, registry::Error> = registry.manifest(name, version).await;
        sum += manifest.map_or(0, |manifest| file_bytes(&manifest));
    }
    sum
}
