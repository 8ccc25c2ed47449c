//! The process around the doors: bind at once, bring a model in, serve, and leave without losing a request.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use futures::FutureExt;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use models::{Artifact, Registry, TenantName, Version, event::Arm, stream::Producer};
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tower::Service as _;

use crate::{
    canary::Experiment,
    config::{Callers, Drain, Limits, Options},
    current::Resident,
    error::Error,
    event_log::EventCounts,
    exchange,
    fleet::{Fleet, Scout, Selection},
    idle::{Patience, Patient},
};

/// Longest head of a request, bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// Streams of one HTTP/2 connection.
const STREAMS: u32 = 256;
/// Between two questions whether an HTTP/2 client is still there; it may be waiting for health to change.
const PING: Duration = Duration::from_secs(30);
/// Between closing the door and asking open connections to finish: what was just accepted gets to send its request.
const SETTLE: Duration = Duration::from_millis(100);
/// For telling the others of a trial what was seen here last.
const LAST_EXCHANGE: Duration = Duration::from_secs(2);
/// After a failed accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where models come from.
#[derive(Debug)]
pub enum ModelSource {
    /// The registry of [`Options::tenant`], in which the aliases and the canary of [`Options::model`] are followed.
    Registry(Arc<Registry>),
    /// Models of one tenant or several, each in its own registry.
    Store(Selection),
    /// One model, for as long as the process lives.
    Fixed {
        /// The number it answers under.
        version: Version,
        /// Digest of its manifest, hex; empty for a model without one.
        digest: String,
        /// Bytes of its file, which [`Options::model_bytes`] bounds; 0 for a model without one.
        bytes: u64,
        /// The model.
        artifact: Arc<Artifact>,
    },
}

/// Starts predictors.
#[derive(Debug)]
pub struct Server;

/// A predictor that serves until it is shut down.
#[derive(Debug)]
pub struct Running {
    fleet: Arc<Fleet>,
    address: SocketAddr,
    grpc_address: Option<SocketAddr>,
    admin_address: Option<SocketAddr>,
    looks: mpsc::Sender<oneshot::Sender<()>>,
    doors: Vec<JoinHandle<()>>,
}

/// What a predictor did in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Inference requests answered with 200.
    pub answered: u64,
    /// Where its records went.
    pub events: EventCounts,
}

impl Server {
    /// Binds, answers probes at once, and brings models in behind. Must be called within a tokio runtime.
    pub async fn start(
        mut options: Options,
        source: ModelSource,
        producer: Arc<dyn Producer>,
    ) -> Result<Running, Error> {
        let mut problems = options.problems();
        let mut several = false;
        if let ModelSource::Store(selection) = &source {
            match selection.tenants.only() {
                Some(only) => options.tenant = only.clone(),
                None => several = true,
            }
            if several && options.callers == Callers::Anyone {
                problems.push("callers: expected a claim or a header where several tenants are served".into());
            }
        }
        if !problems.is_empty() {
            return Err(Error::Settings(problems));
        }
        let (listener, address) = bind(options.listen).await?;
        let grpc = bind_if(options.grpc).await?;
        let admin = bind_if(options.admin).await?;
        let [grpc_address, admin_address] = [&grpc, &admin].map(|door| door.as_ref().map(|(_, address)| *address));
        let (limits, drain) = (options.limits, options.drain);
        let (looks, asked) = mpsc::channel(16);
        let fleet = match source {
            ModelSource::Registry(registry) => {
                let fleet = Fleet::new(options, several, producer);
                let scout = Scout::of_one(Arc::clone(&fleet), registry);
                scout.check_room().await?;
                fleet.spawn(scout.run(asked, fleet.stopped()));
                fleet
            }
            ModelSource::Store(selection) => {
                let fleet = Fleet::new(options, several, producer);
                let scout = Scout::open(Arc::clone(&fleet), selection).await?;
                scout.check_room().await?;
                fleet.spawn(scout.run(asked, fleet.stopped()));
                fleet
            }
            ModelSource::Fixed { version, digest, bytes, artifact } => {
                let (fleet, service) = Fleet::of_one(options, producer);
                fleet.install(service, Resident { version, arm: Arm::Stable, digest, artifact }, bytes)?;
                fleet
            }
        };
        if let Some(tokens) = &fleet.process.options.tokens {
            fleet.spawn(Arc::clone(tokens).follow(fleet.stopped()));
        }
        if fleet.process.options.process.is_some() {
            fleet.spawn(exchange::run(Arc::clone(&fleet), fleet.stopped()));
        }
        let open = |listener, router| tokio::spawn(serve(listener, router, limits, drain, fleet.stopped()));
        let mut doors = vec![open(listener, crate::rest(Arc::clone(&fleet)))];
        doors.extend(grpc.map(|(listener, _)| open(listener, crate::grpc(Arc::clone(&fleet)))));
        doors.extend(admin.map(|(listener, _)| open(listener, crate::admin(Arc::clone(&fleet)))));
        tracing::info!(%address, ?grpc_address, ?admin_address, "listening");
        Ok(Running { fleet, address, grpc_address, admin_address, looks, doors })
    }
}

pub(crate) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

async fn bind_if(address: Option<SocketAddr>) -> Result<Option<(TcpListener, SocketAddr)>, Error> {
    match address {
        Some(address) => bind(address).await.map(Some),
        None => Ok(None),
    }
}

impl Running {
    /// Where it answers readers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it answers gRPC besides, if it has a port of its own.
    pub fn grpc_address(&self) -> Option<SocketAddr> {
        self.grpc_address
    }

    /// Where metrics and experiments are shown, if they have a port of their own.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// The models behind the doors.
    pub fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// The trial of [`Options::model`] of [`Options::tenant`] as it stands in this process, if one runs.
    pub fn experiment(&self) -> Option<Experiment> {
        let options = &self.fleet.process.options;
        self.fleet.service(options.tenant.as_str(), options.model.as_str())?.experiment()
    }

    /// The registry that a tenant's models come from.
    pub fn registry(&self, tenant: &TenantName) -> Option<Arc<Registry>> {
        self.fleet.registry(tenant)
    }

    /// Looks at the registries now instead of at the next interval; returns when memory follows them.
    pub async fn look_now(&self) {
        let (asker, done) = oneshot::channel();
        if self.looks.send(asker).await.is_ok() {
            // Who looks may have stopped meanwhile and looks no more; there is nothing to wait for.
            let _stopped = tokio::time::timeout(Duration::from_mins(1), done).await;
        }
    }

    /// Tells the other processes now what was seen here of running trials, and hears them, instead of at the next interval.
    pub async fn exchange_now(&self) {
        self.fleet.exchange().await;
    }

    /// Waits until the process is ready, for at most `patience`; says whether it is.
    pub async fn ready(&self, patience: Duration) -> bool {
        let ready = async {
            while !self.fleet.state().is_ready() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(patience, ready).await.is_ok()
    }

    /// Waits until every record offered so far is in the stream, or was dropped and counted.
    pub async fn flush_events(&self) {
        self.fleet.process.events.flush().await;
    }

    /// Leaves: not ready, a delay, no more connections, requests in flight finished, records flushed.
    pub async fn shutdown(self) -> Totals {
        let process = &self.fleet.process;
        let drain = process.options.drain;
        process.life.drain();
        tracing::info!("draining");
        tokio::time::sleep(drain.delay).await;
        process.life.leave();
        self.fleet.stop();
        for door in self.doors {
            // A door that panicked has been reported by its hook; there is nothing left to wait for.
            let _ended = door.await;
        }
        self.fleet.end().await;
        // What is not told in time is what a process that was killed would not have told either.
        let _told = tokio::time::timeout(LAST_EXCHANGE, self.fleet.exchange()).await;
        let events = process.events.shutdown(drain.flush).await;
        let answered = process.answered.load(std::sync::atomic::Ordering::SeqCst);
        tracing::info!(answered, delivered = events.delivered, dropped = events.dropped(), "left");
        Totals { answered, events }
    }
}

/// One door: accepts until told to stop, then lets every connection finish.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    drain: Drain,
    mut stop: watch::Receiver<bool>,
) {
    let patience = Patience { head: limits.header_read, idle: limits.idle };
    let graceful = GracefulShutdown::new();
    // Dropped at the end: connections that outlived the drain are cut.
    let (end, ended) = watch::channel(());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        match accepted {
            Ok((stream, _)) => open(stream, patience, router.clone(), &graceful, ended.clone()),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Clients whose connection the kernel had already taken are served too.
    while let Some(Ok((stream, _))) = listener.accept().now_or_never() {
        open(stream, patience, router.clone(), &graceful, ended.clone());
    }
    drop(listener);
    tokio::time::sleep(SETTLE.min(drain.in_flight)).await;
    if tokio::time::timeout(drain.in_flight, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests still in flight after the drain are cut off");
    }
    drop(end);
}

/// Serves one connection in its own task.
fn open(
    stream: TcpStream,
    patience: Patience,
    router: Router,
    graceful: &GracefulShutdown,
    mut ended: watch::Receiver<()>,
) {
    // Answers are written whole; waiting to fill a packet only delays them. Failing to set it costs nothing else.
    let _kept_as_it_was = stream.set_nodelay(true);
    let (stream, activity) = Patient::new(stream, patience);
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let busy = activity.begin(request.version());
        let mut router = router.clone();
        async move { router.call(request).await.map(|response| response.map(|body| busy.until_sent(body))) }
    });
    let watcher = graceful.watcher();
    tokio::spawn(async move {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD_BYTES);
        builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS).keep_alive_interval(PING);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            // Clients that vanish or send no HTTP are their own affair.
            _served = watcher.watch(connection) => {}
            _ = ended.changed() => {}
        }
    });
}
