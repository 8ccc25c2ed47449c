//! Object storage: a URL in, a handle out, and every object key of the project.
//!
//! The only file that names the storage library. The rest of bookloop needs five operations, the [`Backend`] trait,
//! of which the registry's safety rests on one: create-if-absent. Tests put failing and lying backends behind the same
//! trait.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, LazyLock, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, local::LocalFileSystem, path::Path};

use crate::id::{ModelName, TenantName};

/// Why the store did not do what was asked, by what the caller can do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL cannot be a store. Fix the configuration.
    #[error("store URL {url:?}: expected {expected}")]
    BadUrl {
        /// As given.
        url: String,
        /// What would be accepted.
        expected: String,
    },
    /// The store answered that it will not: permissions, a read-only or missing place, a full disk.
    #[error("store refused to {operation} {key}")]
    Denied {
        /// What was tried.
        operation: &'static str,
        /// On which object.
        key: String,
        /// The library's error.
        #[source]
        source: object_store::Error,
    },
    /// No usable answer: whether a write happened is unknown. Reading back settles it; trying again is safe.
    #[error("store unavailable: could not {operation} {key}")]
    Unavailable {
        /// What was tried.
        operation: &'static str,
        /// On which object.
        key: String,
        /// The underlying error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Answer to a create-if-absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object did not exist and now holds our bytes.
    New,
    /// The store says there was such an object already. It may be our own from an earlier attempt.
    Exists,
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Full key below the backend's root.
    pub key: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// The five operations bookloop needs of a place to keep objects.
#[async_trait]
pub trait Backend: Send + Sync + std::fmt::Debug {
    /// The object's bytes, `None` if there is no such object.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error>;
    /// As [`Backend::get`], for an immutable object: bytes that need not be in memory. A store on this machine maps the
    /// file, whose pages are read when they are touched; others fetch them.
    async fn map(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.get(key).await
    }
    /// Writes the object only if none exists under this key, atomically.
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, Error>;
    /// Writes the object, replacing what was there. For state with one writer only.
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), Error>;
    /// Every object whose key begins with the folder `prefix`, ascending by key.
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, Error>;
    /// Removes the object; success if it was not there.
    async fn delete(&self, key: &str) -> Result<(), Error>;
}

/// A handle to one folder of a store: the whole store, or one tenant's root.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    /// Folder below the backend's root, empty or ending in `/`.
    root: String,
    url: String,
}

/// Stores of `memory://` by name: opening one twice in a process gives the same objects.
static MEMORY: LazyLock<Mutex<BTreeMap<String, Arc<Objects>>>> = LazyLock::new(Mutex::default);

impl Store {
    /// Opens `file:///folder` (made if missing) or `memory://name/folder` (gone when the process ends).
    ///
    /// Writes to `file://` reach the disk before they are reported as done. Within a process one name of `memory://`
    /// is one store.
    pub fn open(url: &str) -> Result<Self, Error> {
        let bad = |expected: &str| Error::BadUrl { url: url.into(), expected: expected.into() };
        let parsed = url::Url::parse(url).map_err(|_| bad("file:///absolute/folder or memory://name"))?;
        let mut root = String::new();
        let backend: Arc<dyn Backend> = match parsed.scheme() {
            "file" => {
                let folder =
                    parsed.to_file_path().map_err(|()| bad("an absolute folder, as in file:///var/lib/bookloop"))?;
                let denied = |source| Error::Denied { operation: "open", key: folder.display().to_string(), source };
                std::fs::create_dir_all(&folder)
                    .map_err(|source| denied(object_store::Error::Generic { store: "file", source: source.into() }))?;
                let files = LocalFileSystem::new_with_prefix(&folder).map_err(denied)?;
                Arc::new(Files::new(files.with_fsync(true)))
            }
            "memory" => {
                let name = parsed.host_str().ok_or_else(|| bad("a name, as in memory://demo"))?.to_owned();
                let folder = parsed.path().trim_matches('/');
                if !folder.is_empty() {
                    root = format!("{folder}/");
                }
                let mut stores = MEMORY.lock().expect("no panic happens while this lock is held");
                let fresh = || Arc::new(Objects(Arc::new(object_store::memory::InMemory::new())));
                Arc::clone(stores.entry(name).or_insert_with(fresh)) as Arc<dyn Backend>
            }
            other => return Err(bad(&format!("scheme file or memory, found {other}"))),
        };
        Ok(Self { backend, root, url: url.trim_end_matches('/').into() })
    }

    /// A handle over any backend; `url` is how it is named in messages.
    pub fn over(backend: Arc<dyn Backend>, url: &str) -> Self {
        Self { backend, root: String::new(), url: url.into() }
    }

    /// What is under this handle, to be wrapped by another backend.
    pub fn backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.backend)
    }

    /// The same store seen from one of its folders.
    #[must_use]
    pub fn folder(&self, name: &str) -> Self {
        Self {
            backend: Arc::clone(&self.backend),
            root: format!("{}{name}/", self.root),
            url: format!("{}/{name}", self.url),
        }
    }

    /// A tenant's root: its registry, its streams, its runs.
    #[must_use]
    pub fn tenant(&self, tenant: &TenantName) -> Self {
        self.folder(tenant.as_str())
    }

    /// Where this handle points, for messages and lineage.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// See [`Backend::get`]; keys are below this folder.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.backend.get(&self.full(key)).await
    }

    /// See [`Backend::map`].
    pub async fn map(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.backend.map(&self.full(key)).await
    }

    /// See [`Backend::create`].
    pub async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, Error> {
        self.backend.create(&self.full(key), bytes).await
    }

    /// See [`Backend::put`].
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), Error> {
        self.backend.put(&self.full(key), bytes).await
    }

    /// See [`Backend::list`]; returned keys are below this folder too.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Listed>, Error> {
        let listed = self.backend.list(&self.full(prefix)).await?;
        let below = |mut object: Listed| {
            object.key.drain(..self.root.len().min(object.key.len()));
            object
        };
        Ok(listed.into_iter().map(below).collect())
    }

    /// See [`Backend::delete`].
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        self.backend.delete(&self.full(key)).await
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.root)
    }
}

/// Object keys, all of them. Numbers are padded to 20 digits so that listing order is numeric order.
pub mod key {
    use super::ModelName;

    /// The registry's format marker.
    pub const REGISTRY: &str = "registry.json";
    /// The commit log.
    pub const LOG: &str = "log";

    /// One entry of the commit log.
    pub fn log(id: u64) -> String {
        format!("{LOG}/{id:020}.json")
    }

    /// Immutable bytes, by their sha256 in hex.
    pub fn blob(sha256: &str) -> String {
        format!("blobs/sha256/{}/{sha256}", &sha256[..2.min(sha256.len())])
    }

    /// An immutable manifest; its folder is named by the first 32 hex digits of its own sha256, so that publishing the
    /// same manifest twice is the same object.
    pub fn manifest(name: &ModelName, sha256: &str) -> String {
        format!("models/{name}/versions/{}/manifest.json", &sha256[..32.min(sha256.len())])
    }

    /// The folder of one run's intermediate results.
    pub fn run(run: &str) -> String {
        format!("runs/{run}")
    }

    /// The folder of one topic's segments.
    pub fn topic(topic: &str) -> String {
        format!("streams/{topic}")
    }

    /// One segment of one producer, its number rising.
    pub fn segment(topic: &str, producer: &str, number: u64) -> String {
        format!("streams/{topic}/{producer}/{number:020}.ndjson")
    }

    /// How far a consumer group has read a topic.
    pub fn group(topic: &str, group: &str) -> String {
        format!("groups/{group}/{topic}.json")
    }

    /// The detector's own state for one model.
    pub fn detector(model: &ModelName) -> String {
        format!("detector/{model}.json")
    }

    /// The folder of daily interaction files made from the streams.
    pub const INTERACTIONS: &str = "interactions";
}

/// The storage library behind [`Backend`].
#[derive(Debug)]
struct Objects(Arc<dyn ObjectStore>);

fn failed(operation: &'static str, key: &str, source: object_store::Error) -> Error {
    if is_final(&source) {
        Error::Denied { operation, key: key.into(), source }
    } else {
        Error::Unavailable { operation, key: key.into(), source: source.into() }
    }
}

/// Whether trying again cannot help: the kinds the library names, and what the file system says underneath.
fn is_final(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    if matches!(
        error,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } | E::NotImplemented { .. } | E::NotSupported { .. }
    ) {
        return true;
    }
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            use io::ErrorKind as K;
            return matches!(
                error.kind(),
                K::PermissionDenied | K::ReadOnlyFilesystem | K::NotADirectory | K::StorageFull | K::InvalidInput
            );
        }
        cause = error.source();
    }
    false
}

/// [`Objects`] in a folder of this machine.
#[derive(Debug)]
struct Files {
    objects: Objects,
    folder: Arc<LocalFileSystem>,
}

impl Files {
    fn new(folder: LocalFileSystem) -> Self {
        let folder = Arc::new(folder);
        Self { objects: Objects(Arc::clone(&folder) as Arc<dyn ObjectStore>), folder }
    }
}

#[async_trait]
impl Backend for Files {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.objects.get(key).await
    }

    async fn map(&self, key: &str) -> Result<Option<Bytes>, Error> {
        let path = self.folder.path_to_filesystem(&Path::from(key)).map_err(|source| failed("map", key, source))?;
        let mapped = tokio::task::spawn_blocking(move || crate::mapped::file(&path));
        let mapped = mapped.await.expect("mapping a file returns errors instead of panicking");
        mapped
            .map_err(|source| failed("map", key, object_store::Error::Generic { store: "file", source: source.into() }))
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, Error> {
        self.objects.create(key, bytes).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), Error> {
        self.objects.put(key, bytes).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, Error> {
        self.objects.list(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.objects.delete(key).await
    }
}

#[async_trait]
impl Backend for Objects {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        let found = match self.0.get(&Path::from(key)).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(failed("read", key, source)),
        };
        found.bytes().await.map(Some).map_err(|source| failed("read", key, source))
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, Error> {
        let options = PutOptions::from(PutMode::Create);
        match self.0.put_opts(&Path::from(key), bytes.into(), options).await {
            Ok(_) => Ok(Created::New),
            // Some stores report a lost create as a failed precondition.
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(Created::Exists)
            }
            Err(source) => Err(failed("create", key, source)),
        }
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), Error> {
        self.0.put(&Path::from(key), bytes.into()).await.map(drop).map_err(|source| failed("write", key, source))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, Error> {
        let objects = self.0.list(Some(&Path::from(prefix)));
        let listed = objects.map_ok(|meta| Listed { key: meta.location.to_string(), bytes: meta.size });
        let mut listed: Vec<Listed> = listed.try_collect().await.map_err(|source| failed("list", prefix, source))?;
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(listed)
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        match self.0.delete(&Path::from(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(failed("delete", key, source)),
        }
    }
}
