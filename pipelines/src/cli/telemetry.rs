//! Flags that send spans to a collector of OpenTelemetry.

use std::time::Duration;

use ::serve::Spans;
use clap::Args;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};

use super::share;
use crate::exit;

/// How long the collector may take for a batch, and for the last one when the process leaves.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where spans go.
#[derive(Debug, Clone, Args)]
pub(super) struct Telemetry {
    /// Collector that takes spans by OTLP over HTTP, as in http://otel-collector:4318; without it there are none.
    #[arg(long, env = "BOOKLOOP_OTLP", value_name = "URL", value_parser = collector)]
    otlp: Option<url::Url>,
    /// Share of the requests that are told as spans, where the caller's trace has not decided.
    #[arg(long, env = "BOOKLOOP_TRACE_SHARE", default_value_t = 0.01, value_name = "SHARE", value_parser = share)]
    trace_share: f64,
}

fn collector(text: &str) -> Result<url::Url, String> {
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| format!("expected http://host:port or https://host:port, found {text:?}"))
}

/// The way to the collector, to be closed when the process leaves.
#[derive(Debug)]
pub(super) struct Collector(SdkTracerProvider);

impl Telemetry {
    /// Starts the thread that sends batches, if spans are wanted. A collector that is away costs spans, nothing else.
    pub(super) fn start(&self, service: &str) -> anyhow::Result<Option<Collector>> {
        let Some(url) = &self.otlp else { return Ok(None) };
        ::models::store::choose_cryptography();
        let endpoint = format!("{}/v1/traces", url.as_str().trim_end_matches('/'));
        let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).with_timeout(PATIENCE).build();
        let exporter = exporter.map_err(|error| exit::coded(exit::USAGE, format!("--otlp {url}: {error}")))?;
        let resource = Resource::builder()
            .with_service_name(service.to_owned())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(self.trace_share))))
            .with_batch_exporter(exporter);
        Ok(Some(Collector(provider.build())))
    }
}

impl Collector {
    /// What tells requests as spans.
    pub(super) fn spans(&self) -> Spans {
        Spans::over(&self.0)
    }

    /// Sends what waits.
    pub(super) async fn close(self) {
        let closed = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(PATIENCE));
        if let Ok(Err(error)) = closed.await {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}
