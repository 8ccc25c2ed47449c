//! The models of one process: which tenants have which, whose a request is, and what is in memory.
//!
//! A door asks the fleet once for the place of (tenant, model) and goes on with the service it finds there. Finding it
//! takes no lock: tenants and models are one immutable map behind one atomic pointer, replaced when one is added.

mod caller;
mod keeper;
mod room;
mod scout;
mod shelf;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak, atomic::Ordering},
};

use arc_swap::ArcSwap;
use axum::http::HeaderMap;
use models::{ModelName, Registry, TenantName, stream::Producer};
use serde::Serialize;
use tokio::{sync::watch, task::JoinHandle};

pub use self::scout::{Selection, Served};
pub(crate) use self::{
    caller::{CLAIMS, once},
    keeper::Desk,
    scout::Scout,
    shelf::Shelf,
};
use crate::{
    admit::Admission,
    canary::Experiment,
    config::{Callers, Options},
    current::{Resident, Snapshot},
    error::{Error, Refusal, cut},
    event_log::EventLog,
    health::State,
    metrics::Readings,
    process::Process,
    service::Service,
    shadow::Comparison,
    watch::Watcher,
};

type House = BTreeMap<TenantName, Arc<Tenant>>;

/// The models of one process. Shared by the doors, the tasks and the server.
#[derive(Debug)]
pub struct Fleet {
    pub(crate) process: Arc<Process>,
    house: ArcSwap<House>,
    /// Whether more than one tenant may be served.
    several: bool,
    me: Weak<Self>,
    /// Told to the tasks that follow registries.
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// One tenant and its models. Immutable: a tenant with one more model is another value with the same room.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) name: TenantName,
    pub(crate) admission: Admission,
    /// The room for requests that wait for a model.
    waiting: Admission,
    /// Its registry, if its models come from one.
    shelf: Option<Arc<Shelf>>,
    models: BTreeMap<ModelName, Arc<Desk>>,
}

/// A model's trial.
#[derive(Debug, Clone, Serialize)]
pub struct Trial {
    /// Whose.
    pub tenant: TenantName,
    /// Of which model.
    pub model: ModelName,
    /// How it stands.
    #[serde(flatten)]
    pub experiment: Experiment,
}

/// How a model's next version compares with production, as this process sees it.
#[derive(Debug, Clone, Serialize)]
pub struct Shadowed {
    /// Whose.
    pub tenant: TenantName,
    /// Of which model.
    pub model: ModelName,
    /// How they compare.
    #[serde(flatten)]
    pub comparison: Comparison,
}

impl Tenant {
    /// The place of a model.
    pub(crate) fn model(&self, name: &str) -> Result<&Arc<Desk>, Refusal> {
        self.models.get(name).ok_or_else(|| Refusal::UnknownModel {
            found: cut(name),
            known: self.names().map(ToString::to_string).collect(),
        })
    }

    /// The model of paths that name none: the usual one, or the only one.
    fn usual(&self, usual: &ModelName) -> Result<&Arc<Desk>, Refusal> {
        match (self.models.get(usual), self.models.first_key_value()) {
            (None, Some((_, only))) if self.models.len() == 1 => Ok(only),
            _ => self.model(usual.as_str()),
        }
    }

    /// The models' places, by name.
    pub(crate) fn desks(&self) -> impl Iterator<Item = &Arc<Desk>> {
        self.models.values()
    }

    /// The models' names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &ModelName> {
        self.models.keys()
    }
}

impl Fleet {
    /// A fleet without a model. Must be called within a tokio runtime.
    pub(crate) fn new(options: Options, several: bool, producer: Arc<dyn Producer>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            process: Process::new(options, producer),
            house: ArcSwap::default(),
            several,
            me: Weak::clone(me),
            stop: watch::Sender::new(false),
            tasks: Mutex::default(),
        })
    }

    /// A fleet of one model, [`Options::model`] of [`Options::tenant`], which nobody brings in but
    /// [`Service::install`] and a [`Watcher`] of one's own. Must be called within a tokio runtime.
    pub fn of_one(options: Options, producer: Arc<dyn Producer>) -> (Arc<Self>, Arc<Service>) {
        let (tenant, model) = (options.tenant.clone(), options.model.clone());
        let fleet = Self::new(options, false, producer);
        let tenant = fleet.admit_tenant(&tenant, None);
        let service = fleet
            .settle(&tenant, Desk::fixed(Service::new(&fleet.process, &tenant.name, &model, tenant.admission.clone())));
        fleet.process.life.wait_for([(tenant.name.clone(), model)]);
        (fleet, Arc::clone(&service.service))
    }

    /// A tenant that is served from now on, or that is served already.
    fn admit_tenant(&self, name: &TenantName, shelf: Option<Arc<Shelf>>) -> Arc<Tenant> {
        if let Some(tenant) = self.house.load().get(name) {
            return Arc::clone(tenant);
        }
        let options = &self.process.options;
        let room = options.limits.in_flight;
        let part = options.tenant_in_flight.unwrap_or(if self.several { room.div_ceil(2) } else { room });
        let (admission, waiting) = (self.process.room.part(part), Admission::new(part.min(room)));
        let tenant = Tenant { name: name.clone(), admission, waiting, shelf, models: BTreeMap::new() };
        self.put(tenant)
    }

    /// Gives a model its place with a tenant.
    fn settle(&self, tenant: &Tenant, desk: Desk) -> Arc<Desk> {
        let desk = Arc::new(desk);
        let house = self.house.load();
        let mut tenant = house.get(&tenant.name).map_or_else(|| tenant.clone(), |tenant| (**tenant).clone());
        tenant.models.insert(desk.service.model.clone(), Arc::clone(&desk));
        self.put(tenant);
        desk
    }

    /// Puts a tenant into the house. Only one task at a time adds to it.
    fn put(&self, tenant: Tenant) -> Arc<Tenant> {
        let tenant = Arc::new(tenant);
        let mut house = House::clone(&self.house.load());
        house.insert(tenant.name.clone(), Arc::clone(&tenant));
        self.house.store(Arc::new(house));
        tenant
    }

    /// Gives a tenant's model a place and a task that follows the registry, if it has none yet.
    fn follow(&self, tenant: &TenantName, shelf: &Arc<Shelf>, model: &ModelName, eager: bool) {
        let tenant = self.admit_tenant(tenant, Some(Arc::clone(shelf)));
        if tenant.models.contains_key(model) {
            return;
        }
        let service = Service::new(&self.process, &tenant.name, model, tenant.admission.clone());
        let service = Arc::new(service);
        let watcher = Watcher::within(Weak::clone(&self.me), Arc::clone(&service), Arc::clone(shelf));
        let (desk, asked) = Desk::kept(watcher, service, eager, tenant.waiting.clone());
        let desk = self.settle(&tenant, desk);
        self.spawn(desk.keep(asked, self.stop.subscribe()));
    }

    /// Brings in the one model of a fleet that follows no registry, once it has passed its rehearsal. Its `bytes` count
    /// for as long as the process serves; an error where they are more than there may be.
    pub(crate) fn install(&self, service: Arc<Service>, resident: Resident, bytes: u64) -> Result<(), Error> {
        let budget = &self.process.budget;
        let held = budget.take(bytes).ok_or_else(|| Error::NoRoom {
            what: format!("model {} takes", service.model),
            needed: bytes,
            limit: budget.limit().unwrap_or(u64::MAX),
        })?;
        service.bytes.store(held.bytes(), Ordering::Relaxed);
        let mut stop = self.stopped();
        self.spawn(async move {
            service.health.warming();
            let version = resident.version;
            let rehearsed = Arc::clone(&resident.artifact);
            let rehearsed = tokio::task::spawn_blocking(move || crate::watch::rehearse(&rehearsed));
            match rehearsed.await.expect("a rehearsal catches panics") {
                Ok(()) => drop(service.publish(Snapshot::fixed(resident))),
                Err(failure) => {
                    service.metrics.load_failed();
                    service.health.trouble(Some(format!("version {version} fails its rehearsal")));
                    tracing::error!(version = version.get(), ?failure, "model fails its rehearsal");
                }
            }
            // A fleet that is gone says nothing more.
            let _stopped = stop.wait_for(|stopped| *stopped).await;
            drop(held);
        });
        Ok(())
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().expect("no panic happens while this lock is held").push(tokio::spawn(task));
    }

    /// Hears when the tasks should stop.
    pub(crate) fn stopped(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Tells everything that follows or serves to stop.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until what follows registries has stopped.
    pub(crate) async fn end(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().expect("no panic happens while this lock is held"));
        for task in tasks {
            // A task that panicked has been reported by its hook; there is nothing left to wait for.
            let _ended = task.await;
        }
    }

    /// The tenants that are served.
    pub(crate) fn tenants(&self) -> Vec<Arc<Tenant>> {
        self.house.load().values().cloned().collect()
    }

    /// Every model's place.
    pub(crate) fn desks(&self) -> Vec<Arc<Desk>> {
        self.house.load().values().flat_map(|tenant| tenant.desks().cloned()).collect()
    }

    /// The service of one model.
    pub fn service(&self, tenant: &str, model: &str) -> Option<Arc<Service>> {
        Some(Arc::clone(&self.house.load().get(tenant)?.models.get(model)?.service))
    }

    /// A tenant's registry, if its models come from one.
    pub(crate) fn registry(&self, tenant: &TenantName) -> Option<Arc<Registry>> {
        Some(Arc::clone(self.house.load().get(tenant)?.shelf.as_ref()?.registry()))
    }

    /// The tenant a request is for.
    pub(crate) fn tenant(&self, headers: &HeaderMap) -> Result<Arc<Tenant>, Refusal> {
        self.tenant_named(&self.process.options.asked_for(headers)?)
    }

    /// A tenant that is served.
    pub(crate) fn tenant_named(&self, name: &str) -> Result<Arc<Tenant>, Refusal> {
        self.house.load().get(name).cloned().ok_or_else(|| self.unknown_tenant())
    }

    /// What is said of a tenant that is not served, or not yet.
    fn unknown_tenant(&self) -> Refusal {
        if self.process.life.knows_what_to_wait_for() {
            return Refusal::UnknownTenant;
        }
        let model = self.process.options.model.clone();
        Refusal::NotReady { model, why: State::Starting.as_str().into() }
    }

    /// The place of a model of the tenant a request is for; `None` asks for the usual one.
    pub(crate) fn desk(&self, headers: &HeaderMap, model: Option<&str>) -> Result<Arc<Desk>, Refusal> {
        let options = &self.process.options;
        let name = options.asked_for(headers)?;
        if let Some(tenant) = self.house.load().get(name.as_ref()) {
            return model.map_or_else(|| tenant.usual(&options.model), |name| tenant.model(name)).cloned();
        }
        Err(self.unknown_tenant())
    }

    /// Whether metrics and experiments may be shown to whoever reaches the main port: not where they have a port of
    /// their own, and not where they would tell one tenant of another.
    pub(crate) fn shows_operators_at_the_main_door(&self) -> bool {
        self.process.options.admin.is_none() && self.process.options.callers == Callers::Anyone
    }

    /// What the process is doing.
    pub fn state(&self) -> State {
        let life = &self.process.life;
        if life.is_leaving() {
            return State::Draining;
        }
        if !life.is_ready() {
            let missing =
                life.first_missing().and_then(|(tenant, model)| self.service(tenant.as_str(), model.as_str()));
            return missing.map_or(State::Starting, |service| service.state());
        }
        let live = self.desks().into_iter().filter(|desk| desk.service.current.is_live());
        let degraded = live.map(|desk| desk.service.state()).any(|state| state == State::Degraded);
        if degraded { State::Degraded } else { State::Ready }
    }

    /// The way to the stream.
    pub fn events(&self) -> &EventLog {
        &self.process.events
    }

    /// Turns the kill switch: while it is on, everyone gets the popular books of production and no request is evidence
    /// in an experiment. Holds from the next request on, for every model of this process.
    pub fn turn_popular_only(&self, on: bool) {
        if self.process.turn_popular_only(on) != on {
            tracing::warn!(on, "kill switch turned");
        }
    }

    /// The trials that run here, by tenant and model.
    pub fn trials(&self) -> Vec<Trial> {
        let trial = |desk: Arc<Desk>| {
            let (tenant, model) = (desk.service.tenant.clone(), desk.service.model.clone());
            Some(Trial { tenant, model, experiment: desk.service.experiment()? })
        };
        self.desks().into_iter().filter_map(trial).collect()
    }

    /// The last trial of each model that was ended here before its registry said so, as it stood then.
    pub fn ended(&self) -> Vec<Trial> {
        let trial = |desk: Arc<Desk>| {
            let (tenant, model) = (desk.service.tenant.clone(), desk.service.model.clone());
            Some(Trial { tenant, model, experiment: desk.service.ended()? })
        };
        self.desks().into_iter().filter_map(trial).collect()
    }

    /// How next versions compare that score requests for nobody, by tenant and model.
    pub fn comparisons(&self) -> Vec<Shadowed> {
        let shadowed = |desk: Arc<Desk>| {
            let (tenant, model) = (desk.service.tenant.clone(), desk.service.model.clone());
            Some(Shadowed { tenant, model, comparison: desk.service.comparison()? })
        };
        self.desks().into_iter().filter_map(shadowed).collect()
    }

    /// All metrics as `OpenMetrics` text.
    pub fn metrics_text(&self) -> String {
        for desk in self.desks() {
            desk.service.read_metrics();
        }
        self.process.metrics.text(&Readings {
            state: self.state(),
            popular_only: self.process.popular_only(),
            permits_in_use: self.process.room.in_use(),
            model_bytes: self.process.budget.held(),
            events: self.process.events.counts(),
        })
    }
}
