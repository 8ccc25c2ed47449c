//! `bookloop serve`: the predictor as a process.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ::models::{Registry, split};
use ::serve::{ModelSource, Options, Running, Server, Style};
use clap::Args;
use jiff::Timestamp;

use super::{Place, asked_to_stop, keys, share, stream, telemetry};
use crate::{
    exit,
    ramp::{Moved, Ramp},
};

/// Answer readers: KServe V1 and V2 over HTTP and gRPC, from the version in production.
///
/// Follows the registry: when an alias moves, the new version is loaded beside the old one, warmed, and swapped in
/// without losing a request. SIGTERM drains.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    stream: stream::Stream,
    #[command(flatten)]
    trusted: keys::Trusted,
    #[command(flatten)]
    telemetry: telemetry::Telemetry,
    /// Address to answer on.
    #[arg(long, env = "BOOKLOOP_HOST", default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to answer on; 0 picks a free one.
    #[arg(long, alias = "http_port", env = "BOOKLOOP_HTTP_PORT", default_value_t = 8080)]
    http_port: u16,
    /// Port to answer gRPC on besides, for clients that expect one of its own: the main port answers it too.
    #[arg(long, alias = "grpc_port", env = "BOOKLOOP_GRPC_PORT")]
    grpc_port: Option<u16>,
    /// Port for metrics and experiments; on the main port if not given.
    #[arg(long, env = "BOOKLOOP_ADMIN_PORT")]
    admin_port: Option<u16>,
    /// Region written into records.
    #[arg(long, env = "BOOKLOOP_REGION")]
    region: Option<String>,
    /// Answer everyone with popular books until the kill switch is turned off (`PUT /kill-switch` on the admin port).
    #[arg(long, env = "BOOKLOOP_POPULAR_ONLY")]
    popular_only: bool,
    /// Share of the requests that the version of `staging` scores too, for nobody, while no trial runs; /experiments tells
    /// how alike the lists are.
    #[arg(long, env = "BOOKLOOP_SHADOW", default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    shadow: f64,
    /// Type of the events that answer CloudEvents.
    #[arg(long, env = "BOOKLOOP_CE_TYPE", value_parser = attribute)]
    ce_type: Option<String>,
    /// Source of the events that answer CloudEvents; io.kserve.inference.MODEL if not given.
    #[arg(long, env = "BOOKLOOP_CE_SOURCE", value_parser = attribute)]
    ce_source: Option<String>,
    /// Answers to CloudEvents keep the attributes and extensions of their requests.
    #[arg(long, env = "BOOKLOOP_CE_MERGE")]
    ce_merge: bool,
    /// Milliseconds between two looks at the registry.
    #[arg(long, env = "BOOKLOOP_POLL_MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    poll_ms: u64,
    /// Do what the judge of trials says, once a second: greater shares step by step, and a version that does harm to
    /// nobody and into quarantine. For one predictor per model; production stays a person's decision.
    #[arg(long, env = "BOOKLOOP_STEER")]
    steer: bool,
    /// Seconds between failing readiness and closing the door, so that balancers look away first.
    #[arg(long, env = "BOOKLOOP_DRAIN_SECONDS", default_value_t = 10)]
    drain_seconds: u64,
}

const EXAMPLES: &str = "\
Examples:
  bookloop serve --store file:///var/lib/bookloop --tenant acme-books
  curl -s localhost:8080/v1/models/recommender:predict -d '{\"instances\":[{\"user_id\":\"u-17\",\"k\":5}]}'";

/// An attribute that travels as a header.
fn attribute(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(format!("expected visible ASCII characters, found {text:?}"))
}

impl Arguments {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let root = self.place.root()?;
        let registry = Arc::new(Registry::open(root.clone()).await?.trusting(self.trusted.trust()?));
        let producer = self.stream.producer(&root, &stream::process_name("predictor"))?;
        let mut options = Options::new(self.place.tenant.clone(), self.place.model.clone());
        options.listen = SocketAddr::new(self.host, self.http_port);
        options.grpc = self.grpc_port.map(|port| SocketAddr::new(self.host, port));
        options.admin = self.admin_port.map(|port| SocketAddr::new(self.host, port));
        options.region = self.region;
        options.popular_only = self.popular_only;
        options.shadow_bp = (self.shadow * f64::from(split::WHOLE_BP)).round() as u16;
        let style = options.cloud_events;
        options.cloud_events =
            Style { kind: self.ce_type.unwrap_or(style.kind), source: self.ce_source, merge: self.ce_merge };
        options.poll_interval = Duration::from_millis(self.poll_ms);
        options.drain.delay = Duration::from_secs(self.drain_seconds);
        let collector = self.telemetry.start("bookloop-predictor")?;
        options.spans = collector.as_ref().map(telemetry::Collector::spans);
        let ramp = Ramp::new(Arc::clone(&registry), self.place.model, "bookloop serve");
        let running = Server::start(options, ModelSource::Registry(registry), producer)
            .await
            .map_err(|error| exit::coded(exit::UNAVAILABLE, error.to_string()))?;
        eprintln!("listening on http://{}", running.address());
        if let Some(grpc) = running.grpc_address() {
            eprintln!("gRPC on {grpc}");
        }
        if let Some(admin) = running.admin_address() {
            eprintln!("metrics on http://{admin}/metrics");
        }
        tokio::select! {
            () = asked_to_stop() => {}
            () = steer(&running, &ramp), if self.steer => {}
        }
        eprintln!("draining");
        let totals = running.shutdown().await;
        if let Some(collector) = collector {
            collector.close().await;
        }
        let events = totals.events;
        eprintln!(
            "{} requests answered, {} events delivered, {} dropped",
            totals.answered,
            events.delivered,
            events.dropped()
        );
        Ok(())
    }
}

/// Time between two looks at a running trial.
const STEER_EVERY: Duration = Duration::from_secs(1);

/// Follows the judge for as long as the process serves.
async fn steer(running: &Running, ramp: &Ramp) {
    let mut told = None;
    loop {
        tokio::time::sleep(STEER_EVERY).await;
        let Some(experiment) = running.experiment() else { continue };
        let version = experiment.canary_version.get();
        match ramp.follow(&experiment, Timestamp::now()).await {
            Ok(Moved::Stays { .. }) => {}
            Ok(Moved::AwaitsApproval) if told == Some((version, experiment.weight_bp)) => {}
            Ok(moved) => {
                tracing::warn!(version, weight_bp = experiment.weight_bp, ?moved, "trial judged");
                told = Some((version, experiment.weight_bp));
                running.look_now().await;
            }
            // What was decided is decided again in a second, on more.
            Err(error) => tracing::error!(version, error = &error as &dyn std::error::Error, "trial not moved"),
        }
    }
}
