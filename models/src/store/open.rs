//! From a URL to a backend: which schemes there are, and what each part of a URL may hold.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex},
};

use object_store::{ObjectStore, local::LocalFileSystem, memory::InMemory};
use url::Url;

use super::{Error, cloud, cloud::Settings, key, objects::Objects};

/// Stores of `memory://` by name: opening one twice in a process gives the same objects.
static MEMORY: LazyLock<Mutex<BTreeMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);

const SCHEMES: &str = "scheme file, memory, s3, gs or az";
/// The longest prefix in a URL, in bytes: with the longest key it stays below the 1,024 of S3 and Google.
const MAX_PREFIX_BYTES: usize = 120;

/// What the environment may say about a store, by its names' beginnings.
const READ: [&str; 5] = ["AWS_", "GOOGLE_", "AZURE_", "SERVICE_ACCOUNT", "IDENTITY_ENDPOINT"];

/// The part of the environment that concerns stores.
pub(super) fn environment() -> Settings {
    let all =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    all.filter(|(name, _)| READ.iter().any(|beginning| name.starts_with(beginning))).collect()
}

/// How one cloud is reached: bucket and settings to a store of the library's.
type Connect = fn(&str, &Settings) -> Result<Arc<dyn ObjectStore>, cloud::Reason>;

pub(super) fn open(url: &str, settings: &Settings) -> Result<Objects, Error> {
    let bad = |expected: String| Error::BadUrl { url: url.into(), expected };
    let parsed = Url::parse(url).map_err(|_| bad(format!("a URL of {SCHEMES}")))?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        // Not repeated in the message: it may be a secret.
        let url = format!("{}://...@...", parsed.scheme());
        return Err(Error::BadUrl { url, expected: "no user or password; credentials come by the environment".into() });
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(bad("no ? and no #".into()));
    }
    let (connect, example): (Connect, _) = match parsed.scheme() {
        "file" => return folder(&parsed, &bad),
        "memory" => return memory(&parsed, &bad),
        "s3" => (cloud::s3, "s3://bucket/prefix"),
        "gs" => (cloud::google, "gs://bucket/prefix"),
        "az" => (cloud::azure, "az://container/prefix"),
        "http" | "https" | "dav" | "davs" | "webdav" | "webdavs" => {
            return Err(bad(format!(
                "{SCHEMES}: plain HTTP and WebDAV cannot create an object only if there is none, so two writers would \
                 overwrite each other; a server that speaks S3 is s3://bucket with AWS_ENDPOINT_URL"
            )));
        }
        other => return Err(bad(format!("{SCHEMES}, found {other}"))),
    };
    let prefix = prefix(&parsed, &bad)?;
    let bucket = parsed.host_str().filter(|name| is_bucket(name) && parsed.port().is_none());
    let bucket = bucket.ok_or_else(|| bad(format!("3 to 63 of a-z, 0-9 and -._ for a bucket, as in {example}")))?;
    let library = connect(bucket, settings).map_err(|source| Error::Settings { url: url.into(), source })?;
    Ok(Objects::new(library, prefix))
}

fn is_bucket(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    (3..=63).contains(&name.len()) && name.bytes().all(plain)
}

/// The URL's path as the beginning of every key.
fn prefix<'a>(url: &'a Url, bad: &dyn Fn(String) -> Error) -> Result<&'a str, Error> {
    let prefix = url.path().trim_matches('/');
    if prefix.is_empty() || (prefix.len() <= MAX_PREFIX_BYTES && key::check(prefix).is_ok()) {
        return Ok(prefix);
    }
    Err(bad(format!("a prefix of at most {MAX_PREFIX_BYTES} bytes; it is the beginning of keys: {}", key::RULE)))
}

fn folder(url: &Url, bad: &dyn Fn(String) -> Error) -> Result<Objects, Error> {
    let folder = url.to_file_path().map_err(|()| bad("an absolute folder, as in file:///var/lib/bookloop".into()))?;
    let denied = |source: cloud::Reason| Error::Denied { operation: "open", key: folder.display().to_string(), source };
    std::fs::create_dir_all(&folder).map_err(|source| denied(source.into()))?;
    let files = LocalFileSystem::new_with_prefix(&folder).map_err(|source| denied(source.into()))?;
    Ok(Objects::in_folder(files.with_fsync(true)))
}

fn memory(url: &Url, bad: &dyn Fn(String) -> Error) -> Result<Objects, Error> {
    let name = url.host_str().ok_or_else(|| bad("a name, as in memory://demo".into()))?.to_owned();
    let prefix = prefix(url, bad)?;
    let mut stores = MEMORY.lock().expect("no panic happens while this lock is held");
    let library = Arc::clone(stores.entry(name).or_default());
    Ok(Objects::new(library, prefix))
}
