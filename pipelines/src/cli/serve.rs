//! `bookloop serve`: the predictor as a process.

mod mounted;
mod selection;
mod tokens;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ::models::split;
use ::serve::{Callers, Error, ModelSource, Server, Style};
use clap::Args;

use super::{asked_to_stop, keys, share, stream, telemetry};
use crate::{exit, steer::Steersman};

/// Answer readers: KServe V1 and V2 over HTTP and gRPC, from the versions in production.
///
/// Follows the registries: when an alias moves, the new version is loaded beside the old one, warmed, and swapped in
/// without losing a request. One process may serve several models of several tenants. SIGTERM drains.
///
/// With --model-dir there is no registry: the one version in a folder is checked, served, and never followed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    models: selection::Models,
    #[command(flatten)]
    verified: tokens::Verified,
    #[command(flatten)]
    stream: stream::Stream,
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
    /// Port for metrics, experiments, and loading and unloading by hand. Without it metrics and experiments are on the
    /// main port, unless several tenants are served: then nowhere.
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
    #[arg(long, env = "BOOKLOOP_SHADOW", default_value_t = 0.0, value_name = "SHARE", value_parser = share, conflicts_with = "model_dir")]
    shadow: f64,
    /// Share of the readers who are given lists of both versions, in turns, at every step of a trial below 100 %: the first
    /// book each clicks says which version they prefer, with far fewer readers than two arms need. The same readers on every
    /// predictor with the same share; they count in nothing else of the trial. Enough clicks on production's books alone end
    /// the trial as other harm does; no number of clicks advances it. A version that fails, is late or has no book leaves
    /// production's list. /experiments and /metrics tell.
    #[arg(
        long, env = "BOOKLOOP_INTERLEAVE", default_value_t = 0.0, value_name = "SHARE", value_parser = share,
        conflicts_with = "model_dir"
    )]
    interleave: f64,
    /// Type of the events that answer CloudEvents.
    #[arg(long, env = "BOOKLOOP_CE_TYPE", value_parser = attribute)]
    ce_type: Option<String>,
    /// Source of the events that answer CloudEvents; io.kserve.inference.MODEL if not given.
    #[arg(long, env = "BOOKLOOP_CE_SOURCE", value_parser = attribute)]
    ce_source: Option<String>,
    /// Answers to CloudEvents keep the attributes and extensions of their requests.
    #[arg(long, env = "BOOKLOOP_CE_MERGE")]
    ce_merge: bool,
    /// Milliseconds between two looks at a registry; new tenants and models are looked for every tenth time.
    #[arg(
        long, env = "BOOKLOOP_POLL_MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..),
        conflicts_with = "model_dir"
    )]
    poll_ms: u64,
    /// Do what the judge of trials says, once a second: greater shares step by step, and a version that does harm to
    /// nobody at once and into quarantine. Any number of predictors may; production stays a person's decision.
    #[arg(long, env = "BOOKLOOP_STEER", conflicts_with = "model_dir")]
    steer: bool,
    /// Seconds between failing readiness and closing the door, so that balancers look away first.
    #[arg(long, env = "BOOKLOOP_DRAIN_SECONDS", default_value_t = 10)]
    drain_seconds: u64,
}

const EXAMPLES: &str = "\
Examples:
  bookloop serve --store file:///var/lib/bookloop --tenant acme-books
  curl -s localhost:8080/v1/models/recommender:predict -d '{\"instances\":[{\"user_id\":\"u-17\",\"k\":5}]}'
  bookloop serve --model-dir /mnt/models
  bookloop serve --store s3://models --all-tenants --model recommender,next-book --model-bytes 4GiB --admin-port 9090";

/// An attribute that travels as a header.
fn attribute(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(format!("expected visible ASCII characters, found {text:?}"))
}

impl Arguments {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (mut options, source) = self.models.read()?;
        let name = stream::process_name("predictor");
        let producer = match &source {
            ModelSource::Store(selection) => match selection.tenants.only() {
                Some(tenant) => self.stream.producer(&selection.root.tenant(tenant), &name)?,
                None => self.stream.tenants_producer(&selection.root, &name)?,
            },
            ModelSource::Registry(_) | ModelSource::Fixed { .. } => self.stream.brokers_producer()?,
        };
        options.tokens = self.verified.open(options.clock.clone()).await?;
        if options.tokens.is_some() {
            options.callers = Callers::Claim;
        }
        options.listen = SocketAddr::new(self.host, self.http_port);
        options.grpc = self.grpc_port.map(|port| SocketAddr::new(self.host, port));
        options.admin = self.admin_port.map(|port| SocketAddr::new(self.host, port));
        options.region = self.region;
        options.process = Some(stream::drawn_name("predictor")?);
        options.popular_only = self.popular_only;
        let basis_points = |share: f64| (share * f64::from(split::WHOLE_BP)).round() as u16;
        options.shadow_bp = basis_points(self.shadow);
        options.interleave_bp = basis_points(self.interleave);
        let style = options.cloud_events;
        options.cloud_events =
            Style { kind: self.ce_type.unwrap_or(style.kind), source: self.ce_source, merge: self.ce_merge };
        options.poll_interval = Duration::from_millis(self.poll_ms);
        options.drain.delay = Duration::from_secs(self.drain_seconds);
        let collector = self.telemetry.start("bookloop-predictor")?;
        options.spans = collector.as_ref().map(telemetry::Collector::spans);
        let running = Server::start(options, source, producer).await.map_err(not_started)?;
        eprintln!("listening on http://{}", running.address());
        if let Some(grpc) = running.grpc_address() {
            eprintln!("gRPC on {grpc}");
        }
        if let Some(admin) = running.admin_address() {
            eprintln!("metrics on http://{admin}/metrics");
        }
        let steersman = Steersman::default();
        tokio::select! {
            () = asked_to_stop() => {}
            () = steersman.steer(&running), if self.steer => {}
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

/// Why no predictor runs, with the exit code of what is behind it.
fn not_started(error: Error) -> anyhow::Error {
    match error {
        Error::Registry { tenant, source } => anyhow::Error::from(*source).context(format!("registry of {tenant}")),
        Error::Store(source) => (*source).into(),
        Error::Settings(_) | Error::NoRoom { .. } => exit::coded(exit::USAGE, error.to_string()),
        Error::Listen { .. } => exit::coded(exit::UNAVAILABLE, error.to_string()),
    }
}
