//! One tenant's registry, asked once for all of its models.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use models::{
    Registry,
    registry::{self, State},
};

/// A registry and when it was last asked.
#[derive(Debug)]
pub(crate) struct Shelf {
    registry: Arc<Registry>,
    last: tokio::sync::Mutex<Option<Asked>>,
}

#[derive(Debug)]
struct Asked {
    at: Instant,
    said: Result<Arc<State>, Arc<registry::Error>>,
}

impl Shelf {
    pub(crate) fn new(registry: Arc<Registry>) -> Arc<Self> {
        Arc::new(Self { registry, last: tokio::sync::Mutex::default() })
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// What the registry says, or said to another of its models not longer ago than `at_most`.
    pub(crate) async fn state(&self, at_most: Duration) -> Result<Arc<State>, Arc<registry::Error>> {
        let mut last = self.last.lock().await;
        if let Some(asked) = last.as_ref().filter(|asked| asked.at.elapsed() < at_most) {
            return asked.said.clone();
        }
        let said = self.registry.refresh().await.map_err(Arc::new);
        *last = Some(Asked { at: Instant::now(), said: said.clone() });
        said
    }
}
