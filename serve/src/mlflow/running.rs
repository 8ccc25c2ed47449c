//! The API as a process of its own: the same doors as the predictor's, with the same limits on slow and long requests.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{http::Uri, routing::get};
use models::{Registry, TenantName};
use tokio::{sync::watch, task::JoinHandle};

use super::{error::Error as Refused, router};
use crate::{
    config::{Drain, Limits},
    error::Error,
    server,
};

/// An API that answers until it is shut down.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    door: JoinHandle<()>,
}

/// Binds and answers: the [`router`], and `/healthz` for probes. Must be called within a tokio runtime.
///
/// Port 0 picks a free one. There is no authentication: whoever can reach the address can read the registries.
pub async fn start(
    listen: SocketAddr,
    registries: impl IntoIterator<Item = (TenantName, Arc<Registry>)>,
) -> Result<Running, Error> {
    let (listener, address) = server::bind(listen).await?;
    // MLflow's own server calls it /health.
    let probe = get(|| async { "OK" });
    let router = router(registries)
        .route("/health", probe.clone())
        .route("/healthz", probe)
        .fallback(|_: Uri| async { Refused::NoSuchPath });
    let (stop, stopped) = watch::channel(false);
    // Nobody balances load over this address, so nobody has to look away first.
    let drain = Drain { delay: Duration::ZERO, ..Drain::default() };
    let door = tokio::spawn(server::serve(listener, router, Limits::default(), drain, stopped));
    tracing::info!(%address, "listening");
    Ok(Running { address, stop, door })
}

impl Running {
    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections and lets requests in flight finish, for at most ten seconds.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        // A door that panicked has been reported by its hook; there is nothing left to wait for.
        let _ended = self.door.await;
    }
}
