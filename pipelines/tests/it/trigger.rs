//! Triggers: one recorded run per cause, through crashes, rivals and forgetful runners.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bookloop::{
    cluster::workflow_name,
    trigger::{Error, RetrainRequest, Runner, Started, Trigger},
};
use bytes::Bytes;
use futures::future::join_all;
use models::{
    Registry, Store, TenantName,
    store::{self, Backend, Created, Listed},
};

use crate::{stand_in::StandIn, submit::request};

/// Remembers what it started, until told to forget; may die after starting.
#[derive(Default)]
struct Memory {
    runs: Mutex<BTreeMap<String, String>>,
    started: Mutex<Vec<String>>,
    dies_after_start: AtomicBool,
}

#[async_trait]
impl Runner for Memory {
    async fn start(&self, request: &RetrainRequest) -> Result<Started, Error> {
        let workflow = workflow_name(request);
        let fresh = self.runs.lock().unwrap().insert(request.trigger_id.to_string(), workflow.clone()).is_none();
        if fresh {
            self.started.lock().unwrap().push(workflow.clone());
        }
        tokio::task::yield_now().await;
        if self.dies_after_start.swap(false, Ordering::Relaxed) {
            return Err(Error::Unavailable("killed".into()));
        }
        Ok(Started { workflow, fresh })
    }

    async fn in_flight(&self, _tenant: &TenantName) -> Result<Option<String>, Error> {
        Ok(self.runs.lock().unwrap().values().next().cloned())
    }

    async fn budget_frozen(&self, tenant: &TenantName) -> Result<bool, Error> {
        Ok(tenant.as_str() == "frozen-books")
    }
}

/// A store that takes nothing while it is down.
#[derive(Debug)]
struct Down {
    inner: Arc<dyn Backend>,
    now: Arc<AtomicBool>,
}

#[async_trait]
impl Backend for Down {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, store::Error> {
        self.inner.get(key).await
    }

    async fn head(&self, key: &str) -> Result<Option<Listed>, store::Error> {
        self.inner.head(key).await
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, store::Error> {
        if self.now.load(Ordering::Relaxed) {
            let (key, source) = (key.to_owned(), "down".into());
            return Err(store::Error::Unavailable { operation: "create", key, source });
        }
        self.inner.create(key, bytes).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), store::Error> {
        self.inner.put(key, bytes).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, store::Error> {
        self.inner.list(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), store::Error> {
        self.inner.delete(key).await
    }
}

async fn registry(name: &str) -> Arc<Registry> {
    Arc::new(Registry::open(Store::open(&format!("memory://trigger-{name}")).unwrap()).await.unwrap())
}

#[tokio::test]
async fn a_cause_is_recorded_once_with_its_run() {
    let (registry, runner) = (registry("once").await, Arc::new(Memory::default()));
    let trigger = Trigger::new(Arc::clone(&registry), Arc::clone(&runner) as Arc<dyn Runner>);
    let request = request("acme-books", "d-1");
    let first = trigger.fire(&request).await.unwrap();
    assert!(!first.repeated);
    let again = trigger.fire(&request).await.unwrap();
    assert_eq!((again.workflow, again.repeated), (first.workflow.clone(), true));
    let state = registry.refresh().await.unwrap();
    assert_eq!((state.triggers.get("d-1").unwrap().workflow.as_str(), state.last_id), (first.workflow.as_str(), 1));
    let entry = registry.entries().await.unwrap().remove(0);
    assert_eq!((entry.actor.as_str(), entry.reason.as_str()), ("drift detector", "unknown books above 20 %"));
    assert_eq!(trigger.in_flight(&request.tenant).await.unwrap(), Some(first.workflow));
    assert!(!trigger.budget_frozen(&request.tenant).await.unwrap());
    assert!(trigger.budget_frozen(&"frozen-books".parse().unwrap()).await.unwrap());
}

#[tokio::test]
async fn a_crash_between_start_and_record_leads_back_to_the_same_run() {
    let (registry, runner) = (registry("crash").await, Arc::new(Memory::default()));
    runner.dies_after_start.store(true, Ordering::Relaxed);
    let trigger = Trigger::new(Arc::clone(&registry), Arc::clone(&runner) as Arc<dyn Runner>);
    let request = request("acme-books", "d-1");
    assert!(matches!(trigger.fire(&request).await, Err(Error::Unavailable(_))));
    assert!(registry.refresh().await.unwrap().triggers.is_empty());
    let fired = trigger.fire(&request).await.unwrap();
    assert!(!fired.repeated, "the first to be recorded");
    assert_eq!(*runner.started.lock().unwrap(), [fired.workflow]);
}

#[tokio::test]
async fn a_store_that_fails_after_the_start_leads_back_to_the_same_run() {
    let now = Arc::new(AtomicBool::new(true));
    let inner = Store::open("memory://trigger-down").unwrap().backend();
    let store = Store::over(Arc::new(Down { inner, now: Arc::clone(&now) }), "memory://trigger-down");
    let (registry, runner) = (Arc::new(Registry::open(store).await.unwrap()), Arc::new(Memory::default()));
    let trigger = Trigger::new(registry, Arc::clone(&runner) as Arc<dyn Runner>);
    let request = request("acme-books", "d-1");
    assert!(matches!(trigger.fire(&request).await, Err(Error::Registry(_))));
    now.store(false, Ordering::Relaxed);
    let fired = trigger.fire(&request).await.unwrap();
    assert_eq!((runner.started.lock().unwrap().clone(), fired.repeated), (vec![fired.workflow], false));
}

#[tokio::test]
async fn rivals_for_one_cause_agree_and_one_of_them_counts_it() {
    let runner = Arc::new(Memory::default());
    let mut triggers = Vec::new();
    for _ in 0..8 {
        triggers.push(Trigger::new(registry("rivals").await, Arc::clone(&runner) as Arc<dyn Runner>));
    }
    let request = request("acme-books", "d-1");
    let fired = join_all(triggers.iter().map(|trigger| trigger.fire(&request))).await;
    let fired: Vec<_> = fired.into_iter().map(Result::unwrap).collect();
    assert_eq!(fired.iter().filter(|fired| !fired.repeated).count(), 1);
    assert!(fired.iter().all(|one| one.workflow == fired[0].workflow));
    assert_eq!(runner.started.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_finished_and_forgotten_run_is_not_run_again() {
    let (stand_in, registry) = (StandIn::default(), registry("forgotten").await);
    let trigger = Trigger::new(registry, Arc::new(stand_in.cluster()));
    let request = request("acme-books", "d-1");
    let first = trigger.fire(&request).await.unwrap();
    assert!(stand_in.server().workflows.remove(&first.workflow).is_some(), "its time to live ended");
    let again = trigger.fire(&request).await.unwrap();
    assert_eq!((again.workflow, again.repeated), (first.workflow, true));
    assert!(stand_in.server().workflows.is_empty());
}

#[tokio::test]
async fn a_run_of_another_cause_is_not_counted_as_ours() {
    let (stand_in, registry) = (StandIn::default(), registry("clash").await);
    let (ours, theirs) = (request("acme-books", "d-1"), request("acme-books", "d-2"));
    let name = stand_in.cluster().submit(&theirs).await.unwrap().name;
    let workflow = stand_in.server().workflows[&name].clone();
    stand_in.server().workflows.insert(workflow_name(&ours), workflow);
    let trigger = Trigger::new(Arc::clone(&registry), Arc::new(stand_in.cluster()));
    assert!(matches!(trigger.fire(&ours).await, Err(Error::Refused(_))));
    assert!(registry.refresh().await.unwrap().triggers.is_empty());
}
