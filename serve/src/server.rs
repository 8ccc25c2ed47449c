//! The process around the doors: bind at once, bring a model in, serve, and leave without losing a request.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use futures::FutureExt;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use models::{Artifact, Registry, Version, stream::Producer};
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tower::Service as _;

use crate::{
    canary::Experiment,
    config::{Drain, Limits, Options},
    error::Error,
    event_log::EventCounts,
    idle::{Patience, Patient},
    service::Service,
    watch::{Watcher, look_now, rehearse},
};

/// Longest head of a request, bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// Streams of one HTTP/2 connection.
const STREAMS: u32 = 256;
/// Between two questions whether an HTTP/2 client is still there; it may be waiting for health to change.
const PING: Duration = Duration::from_secs(30);
/// Between closing the door and asking open connections to finish: what was just accepted gets to send its request.
const SETTLE: Duration = Duration::from_millis(100);
/// After a failed accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where models come from.
#[derive(Debug)]
pub enum ModelSource {
    /// A registry whose aliases and canary are followed.
    Registry(Arc<Registry>),
    /// One model, for as long as the process lives.
    Fixed {
        /// The number it answers under.
        version: Version,
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
    service: Arc<Service>,
    address: SocketAddr,
    grpc_address: Option<SocketAddr>,
    admin_address: Option<SocketAddr>,
    looks: mpsc::Sender<oneshot::Sender<()>>,
    /// Set once: no more connections, no more looks.
    stop: watch::Sender<bool>,
    doors: Vec<JoinHandle<()>>,
    model: JoinHandle<()>,
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
    pub async fn start(options: Options, source: ModelSource, producer: Arc<dyn Producer>) -> Result<Running, Error> {
        let problems = options.problems();
        if !problems.is_empty() {
            return Err(Error::Settings(problems));
        }
        let (listener, address) = bind(options.listen).await?;
        let grpc = bind_if(options.grpc).await?;
        let admin = bind_if(options.admin).await?;
        let [grpc_address, admin_address] = [&grpc, &admin].map(|door| door.as_ref().map(|(_, address)| *address));
        let (limits, drain) = (options.limits, options.drain);
        let service = Service::new(options, producer);
        let (stop, stopped) = watch::channel(false);
        let open = |listener, router| tokio::spawn(serve(listener, router, limits, drain, stopped.clone()));
        let mut doors = vec![open(listener, crate::rest(Arc::clone(&service)))];
        doors.extend(grpc.map(|(listener, _)| open(listener, crate::grpc(Arc::clone(&service)))));
        doors.extend(admin.map(|(listener, _)| open(listener, crate::admin(Arc::clone(&service)))));
        let (looks, asked) = mpsc::channel(16);
        let model = match source {
            ModelSource::Registry(registry) => {
                tokio::spawn(Watcher::new(Arc::clone(&service), registry).run(asked, stopped))
            }
            ModelSource::Fixed { version, artifact } => tokio::spawn(install(Arc::clone(&service), version, artifact)),
        };
        tracing::info!(%address, ?grpc_address, ?admin_address, model = %service.options.model, "listening");
        Ok(Running { service, address, grpc_address, admin_address, looks, stop, doors, model })
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

async fn install(service: Arc<Service>, version: Version, artifact: Arc<Artifact>) {
    service.health.warming();
    let rehearsed = Arc::clone(&artifact);
    match tokio::task::spawn_blocking(move || rehearse(&rehearsed)).await.expect("a rehearsal catches panics") {
        Ok(()) => service.install(version, artifact),
        Err(failure) => {
            service.metrics.load_failed();
            tracing::error!(version = version.get(), ?failure, "model fails its rehearsal");
        }
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

    /// The service behind the doors.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// The canary as it stands in this process, if one runs.
    pub fn experiment(&self) -> Option<Experiment> {
        self.service.experiment()
    }

    /// Looks at the registry now instead of at the next interval; returns when memory follows it.
    pub async fn look_now(&self) {
        look_now(&self.looks).await;
    }

    /// Waits until a model answers, for at most `patience`; says whether one does.
    pub async fn ready(&self, patience: Duration) -> bool {
        let ready = async {
            while !self.service.state().is_ready() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(patience, ready).await.is_ok()
    }

    /// Waits until every record offered so far is in the stream, or was dropped and counted.
    pub async fn flush_events(&self) {
        self.service.events.flush().await;
    }

    /// Leaves: not ready, a delay, no more connections, requests in flight finished, records flushed.
    pub async fn shutdown(self) -> Totals {
        let drain = self.service.options.drain;
        self.service.health.drain();
        tracing::info!("draining");
        tokio::time::sleep(drain.delay).await;
        self.service.health.leave();
        self.stop.send_replace(true);
        for door in self.doors {
            // A door that panicked has been reported by its hook; there is nothing left to wait for.
            let _ended = door.await;
        }
        let _ended = self.model.await;
        let events = self.service.events.shutdown(drain.flush).await;
        let answered = self.service.answered.load(std::sync::atomic::Ordering::SeqCst);
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
