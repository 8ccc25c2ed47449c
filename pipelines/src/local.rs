//! Training runs on this machine: the same steps as on a cluster, called in a row.

use std::sync::Arc;

use async_trait::async_trait;
use models::{Registry, TenantName, manifest::Trigger};

use crate::{
    night::{Listener, Night},
    trigger::{Error, RetrainRequest, Runner, Started},
};

/// Runs nights in this process, one at a time.
///
/// A run is named by its cause, and a run that has registered its version is not run again.
pub struct Local {
    registry: Arc<Registry>,
    /// The night to run; name, trigger and time come from the request.
    template: Night,
    listener: Arc<Listener<'static>>,
    running: tokio::sync::Mutex<()>,
}

impl Local {
    /// A runner of nights like `template`.
    pub fn new(registry: Arc<Registry>, template: Night, listener: Arc<Listener<'static>>) -> Self {
        Self { registry, template, listener, running: tokio::sync::Mutex::default() }
    }

    /// The run that a cause leads to.
    pub fn night(&self, request: &RetrainRequest) -> Night {
        let id = request.trigger_id.as_str();
        let digest = models::digest::sha256(id.as_bytes());
        Night {
            run: format!("{}-{}", request.kind.as_str(), &digest[..12]),
            trigger: Trigger { kind: request.kind, id: id.to_owned() },
            now: request.requested_at,
            ..self.template.clone()
        }
    }
}

#[async_trait]
impl Runner for Local {
    async fn start(&self, request: &RetrainRequest) -> Result<Started, Error> {
        let _one_at_a_time = self.running.lock().await;
        let night = self.night(request);
        if night.version().await.is_ok() {
            return Ok(Started { workflow: night.run, fresh: false });
        }
        match night.all(&self.registry, &*self.listener).await {
            Ok(()) => Ok(Started { workflow: night.run, fresh: true }),
            Err(error) if crate::exit::code(&error) == crate::exit::UNAVAILABLE => {
                Err(Error::Unavailable(error.into_boxed_dyn_error()))
            }
            Err(error) => Err(Error::Refused(error.into_boxed_dyn_error())),
        }
    }

    async fn in_flight(&self, _tenant: &TenantName) -> Result<Option<String>, Error> {
        let idle = self.running.try_lock().is_ok();
        Ok((!idle).then(|| "a run on this machine".to_owned()))
    }

    async fn budget_frozen(&self, _tenant: &TenantName) -> Result<bool, Error> {
        Ok(false)
    }
}
