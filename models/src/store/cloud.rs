//! The three clouds: how patient their clients are, and which settings of the environment they read.

use std::{collections::BTreeMap, str::FromStr, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum, S3ConditionalPut},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
};

use super::courier::{Courier, SILENCE};

/// Repeats of one request after 429, 5xx and broken connections. With the waits below: at most 6 s of waiting, about
/// half of it on average. Enough for a throttled second; longer outages belong to the caller, who can read back what a
/// doubtful write did, or go on with what it has.
const RETRIES: usize = 6;
/// No repeat begins later than this after the first attempt: repeats keep the first attempt's credentials, and a
/// commit must not land long after its writer was given up.
const RETRY_FOR: Duration = Duration::from_secs(45);
/// Before the first repeat; each further wait is drawn between this and twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait: what the stores ask of clients they throttle is seconds, not minutes.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A name server or a load balancer that does not answer by then will not; a repeat may meet another address.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Connections kept for reuse: the registry asks for 16 log entries at once and uploads 4 parts.
const POOL: usize = 32;
/// S3 closes idle connections after some 20 s; a create on a connection that dies under it is a doubtful write.
const POOL_IDLE: Duration = Duration::from_secs(15);

/// Settings by the name they have in the environment.
pub(super) type Settings = BTreeMap<String, String>;

/// Why a client could not be made.
pub(super) type Reason = Box<dyn std::error::Error + Send + Sync>;

fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { init_backoff: FIRST_WAIT, max_backoff: LONGEST_WAIT, base: 2.0 },
        max_retries: RETRIES,
        retry_timeout: RETRY_FOR,
    }
}

fn client() -> ClientOptions {
    ClientOptions::new()
        // A limit on the whole would refuse large models on slow lines; silence is what tells a dead connection.
        .with_timeout_disabled()
        .with_read_timeout(SILENCE)
        .with_connect_timeout(CONNECT_WITHIN)
        .with_pool_max_idle_per_host(POOL)
        .with_pool_idle_timeout(POOL_IDLE)
}

/// The library's own key and the value, for every setting of this cloud that the library knows. An empty value is none.
fn known<K: FromStr>(settings: &Settings, cloud: &str) -> Vec<(K, String)> {
    let ours = settings.iter().filter(|(name, value)| name.starts_with(cloud) && !value.is_empty());
    ours.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.clone()))).collect()
}

fn given<'a>(settings: &'a Settings, name: &str) -> Option<&'a str> {
    settings.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

/// Refuses an endpoint that is no URL, or one without encryption that nobody asked for; the first of `names` counts.
fn endpoint<'a>(settings: &'a Settings, names: &[&str], allow_http: &str) -> Result<Option<&'a str>, Reason> {
    let Some((name, value)) = names.iter().find_map(|name| Some((name, given(settings, name)?))) else {
        return Ok(None);
    };
    let url = url::Url::parse(value).ok().filter(url::Url::has_host);
    match url.as_ref().map(url::Url::scheme) {
        Some("https") => Ok(Some(value)),
        Some("http") if matches!(given(settings, allow_http), Some("true" | "1")) => Ok(Some(value)),
        Some("http") => Err(format!("{name}: expected https, or {allow_http}=true; found {value:?}").into()),
        _ => Err(format!("{name}: expected a URL as in https://host:port, found {value:?}").into()),
    }
}

/// Chooses ring as the cryptography of TLS in this process, for every client that leaves the choice to it; twice is once.
pub fn choose_cryptography() {
    // The error says that a choice was made already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

pub(super) fn s3(bucket: &str, settings: &Settings) -> Result<Arc<dyn ObjectStore>, Reason> {
    choose_cryptography();
    let names = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
    let custom = endpoint(settings, &names, "AWS_ALLOW_HTTP")?.is_some();
    // Amazon wants the bucket in the host name, other servers in the path. Certificates do not cover names with dots.
    let by_host = !custom && !bucket.contains('.');
    let mut builder = AmazonS3Builder::new()
        .with_retry(retries())
        .with_client_options(client())
        .with_http_connector(Courier::default())
        .with_virtual_hosted_style_request(by_host)
        // The store compares what arrived with what was sent; the digest is computed for the signature anyway.
        .with_checksum_algorithm(Checksum::SHA256)
        // One object at a time is deleted, and not every look-alike knows the bulk call.
        .with_disable_bulk_delete(true);
    for (key, value) in known::<AmazonS3ConfigKey>(settings, "AWS_") {
        builder = builder.with_config(key, value);
    }
    // After the environment: these two are not open to choice.
    let builder = builder.with_bucket_name(bucket).with_conditional_put(S3ConditionalPut::ETagMatch);
    Ok(Arc::new(builder.build()?))
}

pub(super) fn google(bucket: &str, settings: &Settings) -> Result<Arc<dyn ObjectStore>, Reason> {
    choose_cryptography();
    endpoint(settings, &["GOOGLE_BASE_URL"], "GOOGLE_ALLOW_HTTP")?;
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_retry(retries())
        .with_client_options(client())
        .with_http_connector(Courier::default());
    if let Some(path) = given(settings, "SERVICE_ACCOUNT") {
        builder = builder.with_service_account_path(path);
    }
    for (key, value) in known::<GoogleConfigKey>(settings, "GOOGLE_") {
        builder = builder.with_config(key, value);
    }
    Ok(Arc::new(builder.with_bucket_name(bucket).build()?))
}

pub(super) fn azure(container: &str, settings: &Settings) -> Result<Arc<dyn ObjectStore>, Reason> {
    choose_cryptography();
    endpoint(settings, &["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"], "AZURE_ALLOW_HTTP")?;
    let mut builder = MicrosoftAzureBuilder::new()
        .with_retry(retries())
        .with_client_options(client())
        .with_http_connector(Courier::default());
    for (key, value) in known::<AzureConfigKey>(settings, "AZURE_") {
        builder = builder.with_config(key, value);
    }
    if let Some(url) = given(settings, "IDENTITY_ENDPOINT") {
        builder = builder.with_msi_endpoint(url);
    }
    Ok(Arc::new(builder.with_container_name(container).build()?))
}
