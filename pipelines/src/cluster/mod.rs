//! Training runs on a cluster: one Workflow per cause, however often it is asked for.
//!
//! The name of the Workflow follows from the cause, so the API server itself refuses the second one. Everything else
//! here is about answers: which ones to wait out, and which ones a person must read.

mod error;
mod workflow;

use std::{path::Path, time::Duration};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config,
    api::{DynamicObject, ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, GroupVersionKind},
};
use models::TenantName;

use self::workflow::{read_status, same_cause, workflow};
pub use self::{
    error::Error,
    workflow::{Phase, Status, workflow_name},
};
use crate::{
    argo::{TEMPLATE_NAME, keys},
    trigger::{self, RetrainRequest, Runner, Started},
};

/// How long to wait for a cluster that does not answer.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Requests sent before giving up, at least 1.
    pub attempts: u32,
    /// Longest wait for one answer.
    pub answer: Duration,
    /// Pause after the first failure; doubles after each.
    pub pause: Duration,
    /// Time between two looks at a Workflow.
    pub look: Duration,
}

impl Default for Patience {
    /// Five attempts of at most 10 s with 200 ms, 400 ms, ... between them; a look every half second.
    fn default() -> Self {
        Self {
            attempts: 5,
            answer: Duration::from_secs(10),
            pause: Duration::from_millis(200),
            look: Duration::from_millis(500),
        }
    }
}

/// A Workflow that answers for a cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// Its name.
    pub name: String,
    /// Whether this very call created it. `false` also after a create whose answer was lost on the way.
    pub created: bool,
}

/// One namespace of a cluster.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    workflows: Api<DynamicObject>,
    namespace: String,
    patience: Patience,
}

impl Cluster {
    /// Connects with a kubeconfig file, or, without one, as `kubectl` would (environment, home, then in-cluster account).
    pub async fn connect(kubeconfig: Option<&Path>, namespace: &str) -> Result<Self, Error> {
        let mut config = match kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|error| Error::Config(error.into()))?;
                let options = KubeConfigOptions::default();
                Config::from_custom_kubeconfig(file, &options).await.map_err(|error| Error::Config(error.into()))?
            }
            None => Config::infer().await.map_err(|error| Error::Config(error.into()))?,
        };
        // Every request here is repeated by `ask`, which also knows when to stop.
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|error| Error::Config(error.into()))?;
        Ok(Self::at(client, namespace))
    }

    /// The namespace through a client that exists.
    pub fn at(client: Client, namespace: &str) -> Self {
        let kind = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Workflow");
        let resource = ApiResource::from_gvk_with_plural(&kind, "workflows");
        let workflows = Api::namespaced_with(client.clone(), namespace, &resource);
        Self { client, workflows, namespace: namespace.into(), patience: Patience::default() }
    }

    /// The same cluster with another patience.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// Makes sure there is a Workflow for the cause: at most one, whoever asks, however often.
    pub async fn submit(&self, request: &RetrainRequest) -> Result<Submitted, Error> {
        let name = workflow_name(request);
        let (workflow, params) = (workflow(&self.namespace, request), PostParams::default());
        for _ in 0..self.patience.attempts.max(1) {
            match self.ask("create", "workflows", &self.namespace, || self.workflows.create(&params, &workflow)).await {
                Ok(_) => return Ok(Submitted { name, created: true }),
                Err(Error::Refused { source: kube::Error::Api(status), .. }) if status.code == 409 => {}
                Err(error) => return Err(error),
            }
            match self.ask("get", "workflows", &self.namespace, || self.workflows.get_opt(&name)).await? {
                Some(found) => return same_cause(&found, &workflow).map(|()| Submitted { name, created: false }),
                // Its time to live ended between our two requests: the name is free again.
                None => tokio::time::sleep(self.patience.pause).await,
            }
        }
        let last = format!("{name} exists when it is created and does not when it is read");
        Err(Error::Unavailable { verb: "create", resource: "workflows", attempts: self.patience.attempts, last })
    }

    /// A Workflow's phase and message.
    pub async fn status(&self, name: &str) -> Result<Status, Error> {
        let found = self.ask("get", "workflows", &self.namespace, || self.workflows.get_opt(name)).await?;
        let found = found.ok_or_else(|| Error::NotFound { resource: "workflow", name: name.into() })?;
        Ok(read_status(&found))
    }

    /// Looks at a new Workflow until the controller has taken it up, at most for `limit`; the last state seen.
    ///
    /// The API server accepts malformed specs; [`Phase::Error`] moments later is how one learns of it.
    pub async fn watch_briefly(&self, name: &str, limit: Duration) -> Result<Status, Error> {
        let end = tokio::time::Instant::now() + limit;
        loop {
            let status = self.status(name).await?;
            if status.phase != Phase::Pending || tokio::time::Instant::now() + self.patience.look > end {
                return Ok(status);
            }
            tokio::time::sleep(self.patience.look).await;
        }
    }

    /// The oldest training Workflow of the tenant that has not ended, whatever started it.
    pub async fn in_flight(&self, tenant: &TenantName) -> Result<Option<String>, Error> {
        let selector =
            format!("{}={TEMPLATE_NAME},{}={tenant},{}!=true", keys::WORKFLOW_TEMPLATE, keys::TENANT, keys::COMPLETED);
        let params = ListParams::default().labels(&selector);
        let listed = self.ask("list", "workflows", &self.namespace, || self.workflows.list(&params)).await?;
        // The controller writes the phase first and the label after it.
        let running = listed.items.into_iter().filter(|workflow| !read_status(workflow).phase.is_over());
        let dated = running.map(|workflow| (workflow.metadata.creation_timestamp, workflow.metadata.name));
        let oldest = dated.min_by(|a, b| a.0.as_ref().map(|t| t.0).cmp(&b.0.as_ref().map(|t| t.0)).then(a.1.cmp(&b.1)));
        Ok(oldest.and_then(|(_, name)| name))
    }

    /// Whether the tenant's discretionary compute is stopped: an annotation of their namespace, or of this one.
    ///
    /// Needs the right to get both namespaces. A namespace that does not exist freezes nothing.
    pub async fn budget_frozen(&self, tenant: &TenantName) -> Result<bool, Error> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        for name in [&tenant_namespace(tenant), &self.namespace] {
            let found = self.ask("get", "namespaces", name, || namespaces.get_opt(name)).await?;
            let annotation = found.and_then(|namespace| namespace.metadata.annotations?.remove(keys::BUDGET_FROZEN));
            if annotation.is_some_and(|value| value != "false") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sends a request until it is answered, as far as patience goes. What can pass is waited out: no connection, no
    /// answer in time, 429 and 5xx. All other refusals are returned at once.
    async fn ask<T, F>(
        &self,
        verb: &'static str,
        resource: &'static str,
        namespace: &str,
        request: impl Fn() -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, kube::Error>>,
    {
        let Patience { attempts, answer, mut pause, .. } = self.patience;
        let mut last = String::new();
        for attempt in 0..attempts.max(1) {
            if attempt > 0 {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            last = match tokio::time::timeout(answer, request()).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                    let (namespace, source) = (namespace.to_owned(), kube::Error::Api(status));
                    return Err(Error::Forbidden { verb, resource, namespace, source });
                }
                Ok(Err(error)) if is_passing(&error) => error.to_string(),
                Ok(Err(source)) => return Err(Error::Refused { verb, resource, source }),
                Err(_) => format!("no answer in {answer:?}"),
            };
            tracing::warn!(verb, resource, attempt, last, "cluster did not answer");
        }
        Err(Error::Unavailable { verb, resource, attempts: attempts.max(1), last })
    }
}

fn is_passing(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code == 429 || status.code >= 500,
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}

/// Where a tenant's own services run; `shared` is the platform's own namespace.
fn tenant_namespace(tenant: &TenantName) -> String {
    match tenant.as_str() {
        "shared" => "bookstore-platform".into(),
        name => format!("bookstore-platform-{name}"),
    }
}

#[async_trait]
impl Runner for Cluster {
    async fn start(&self, request: &RetrainRequest) -> Result<Started, trigger::Error> {
        let Submitted { name, created } = self.submit(request).await?;
        Ok(Started { workflow: name, fresh: created })
    }

    async fn in_flight(&self, tenant: &TenantName) -> Result<Option<String>, trigger::Error> {
        Ok(Self::in_flight(self, tenant).await?)
    }

    async fn budget_frozen(&self, tenant: &TenantName) -> Result<bool, trigger::Error> {
        Ok(Self::budget_frozen(self, tenant).await?)
    }
}
