//! `bookloop models serve-api`: the registry for tools that speak MLflow.

use std::{net::SocketAddr, sync::Arc};

use ::models::{Registry, Store, TenantName};
use ::serve::mlflow;
use clap::Args;

use super::asked_to_stop;
use crate::exit;

/// Show the registry to MLflow clients, read only.
///
/// Registered models are named TENANT.MODEL, as in models:/acme-books.recommender@production. There is no
/// authentication: whoever can reach the address can read. SIGTERM lets requests in flight finish.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Root of the store: file:///folder or memory://name.
    #[arg(long, env = "BOOKLOOP_STORE", value_name = "URL")]
    store: String,
    /// Tenant to show; may be given several times, in the environment separated by commas.
    #[arg(long, env = "BOOKLOOP_TENANT", value_delimiter = ',', required = true)]
    tenant: Vec<TenantName>,
    /// Address to answer on; port 0 picks a free one.
    #[arg(long, env = "BOOKLOOP_LISTEN", default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
}

const EXAMPLES: &str = "\
Examples:
  bookloop models serve-api --store file:///var/lib/bookloop --tenant acme-books
  MLFLOW_REGISTRY_URI=http://127.0.0.1:5000 python3 -c \\
    'import mlflow; print(mlflow.MlflowClient().get_model_version_by_alias(\"acme-books.recommender\", \"production\"))'";

impl Arguments {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let store = Store::open(&self.store)?;
        let mut registries = Vec::new();
        for tenant in self.tenant {
            let registry = Registry::open(store.tenant(&tenant)).await?;
            if registry.state().models.is_empty() {
                // Not an error: it may be filled later. But a misspelt tenant looks the same.
                eprintln!("tenant {tenant} has no models in {} yet", store.url());
            }
            registries.push((tenant, Arc::new(registry)));
        }
        let running = mlflow::start(self.listen, registries)
            .await
            .map_err(|error| exit::coded(exit::UNAVAILABLE, error.to_string()))?;
        eprintln!("listening on http://{}", running.address());
        asked_to_stop().await;
        eprintln!("draining");
        running.shutdown().await;
        Ok(())
    }
}
