//! Object storage: a URL in, a handle out, and every object key of the project.
//!
//! The only folder that names the storage library. The rest of bookloop needs few operations, the [`Backend`] trait,
//! of which the registry's safety rests on one: create-if-absent. Tests put failing and lying backends behind the same
//! trait.

mod cloud;
mod courier;
pub mod key;
mod objects;
mod open;
mod probe;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

pub use self::{cloud::choose_cryptography, objects::IN_PARTS_ABOVE};
use crate::id::TenantName;

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
    /// The environment does not say how to reach the store. Fix the configuration.
    #[error("store {url}: settings are missing or wrong")]
    Settings {
        /// As given.
        url: String,
        /// Which setting, as far as it is known.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Not a name that every store keeps as it is. Use another.
    #[error("object key {key:?}: expected {rule}", rule = key::RULE)]
    BadKey {
        /// Its first 80 characters.
        key: String,
    },
    /// The store breaks the promise that the registry rests on; see [`Store::probe`]. Use another store.
    #[error(
        "store {url} is not safe to write a registry to: it {found}. Needed: a create that is refused when the object \
         exists, as with `If-None-Match: *`"
    )]
    NotSafe {
        /// The store.
        url: String,
        /// What it did.
        found: &'static str,
    },
    /// The store answered that it will not: permissions, a read-only or missing place, no such bucket, a full disk.
    #[error("store refused to {operation} {key}")]
    Denied {
        /// What was tried.
        operation: &'static str,
        /// On which object.
        key: String,
        /// The underlying error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
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
    /// When it was written, by the store's clock. Some stores say whole seconds only, and not in every answer.
    pub modified: Timestamp,
}

/// The operations bookloop needs of a place to keep objects; six of them a backend must have.
///
/// Keys obey [`key::check`]; a backend refuses others with [`Error::BadKey`].
#[async_trait]
pub trait Backend: Send + Sync + std::fmt::Debug {
    /// The object's bytes, `None` if there is no such object.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error>;
    /// As [`Backend::get`], for an immutable object: bytes that need not be in memory. A store on this machine maps the
    /// file, whose pages are read when they are touched; others fetch them.
    async fn map(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.get(key).await
    }
    /// The object's size and date, `None` if there is no such object.
    async fn head(&self, key: &str) -> Result<Option<Listed>, Error>;
    /// Writes the object only if none exists under this key, atomically.
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, Error>;
    /// Writes the object, replacing what was there. For state with one writer only.
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), Error>;
    /// Every object whose key begins with the folder `prefix`, ascending by key.
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, Error>;
    /// Names of the folders right below the folder `prefix`, ascending. A store that can tell them without listing what
    /// is in them does.
    async fn folders(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let prefix = if prefix.is_empty() { String::new() } else { format!("{}/", prefix.trim_end_matches('/')) };
        let listed = self.list(&prefix).await?;
        let below = listed.iter().filter_map(|object| object.key.strip_prefix(&prefix)?.split_once('/'));
        let mut names: Vec<String> = below.map(|(name, _)| name.to_owned()).collect();
        // Keys ascend by their whole text, in which `a-b/` comes before `a/`.
        names.sort();
        names.dedup();
        Ok(names)
    }
    /// Removes the object; success if it was not there.
    async fn delete(&self, key: &str) -> Result<(), Error>;
}

/// A handle to one folder of a store: the whole store, or one tenant's root.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    /// Folder below the backend's own prefix, empty or ending in `/`.
    root: String,
    url: String,
}

impl Store {
    /// Opens a store. Nothing is sent yet; a bucket that is missing or forbidden shows with the first request.
    ///
    /// - `file:///folder`, made if missing. Writes reach the disk before they are reported as done.
    /// - `memory://name/prefix`, gone when the process ends. Within a process one name is one store.
    /// - `s3://bucket/prefix`: Amazon S3 and servers that speak it.
    /// - `gs://bucket/prefix`: Google Cloud Storage.
    /// - `az://container/prefix`: Azure Blob Storage.
    ///
    /// Credentials and addresses come by the environment, under the names that each cloud's own tools use:
    ///
    /// | | S3 | Google | Azure |
    /// |---|---|---|---|
    /// | where | `AWS_REGION`; other servers `AWS_ENDPOINT_URL` (`AWS_ENDPOINT_URL_S3` first) | `GOOGLE_BASE_URL` | `AZURE_STORAGE_ACCOUNT_NAME`; `AZURE_STORAGE_ENDPOINT` |
    /// | allow `http://` | `AWS_ALLOW_HTTP=true` | `GOOGLE_ALLOW_HTTP=true` | `AZURE_ALLOW_HTTP=true` |
    /// | fixed credentials | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | `GOOGLE_SERVICE_ACCOUNT` (a file), `GOOGLE_SERVICE_ACCOUNT_KEY` (its text), `GOOGLE_APPLICATION_CREDENTIALS`, `GOOGLE_BEARER_TOKEN` | `AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_STORAGE_SAS_TOKEN`, `AZURE_STORAGE_TOKEN` |
    /// | workload identity | `AWS_WEB_IDENTITY_TOKEN_FILE` with `AWS_ROLE_ARN`; `AWS_CONTAINER_CREDENTIALS_FULL_URI` with `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`; `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` | the metadata server | `AZURE_FEDERATED_TOKEN_FILE` with `AZURE_CLIENT_ID`, `AZURE_TENANT_ID`; or `AZURE_CLIENT_SECRET` |
    /// | else | the machine's role, `AWS_METADATA_ENDPOINT` | the metadata server | managed identity, `IDENTITY_ENDPOINT` |
    ///
    /// The first row of credentials that is set is used. With a custom endpoint the bucket is in the path;
    /// `AWS_VIRTUAL_HOSTED_STYLE_REQUEST` says otherwise. `SSL_CERT_FILE` adds a certificate authority.
    /// `<CLOUD>_READ_TIMEOUT`, `<CLOUD>_CONNECT_TIMEOUT`, `<CLOUD>_PROXY_URL` and the library's further settings apply.
    /// On S3 the identity needs `s3:ListBucket`: without it a missing object is answered like a forbidden one.
    pub fn open(url: &str) -> Result<Self, Error> {
        Self::open_with(url, &open::environment())
    }

    /// As [`Store::open`], with these settings in place of the environment.
    pub fn open_with(url: &str, settings: &BTreeMap<String, String>) -> Result<Self, Error> {
        let backend = open::open(url, settings)?;
        Ok(Self { backend: Arc::new(backend), root: String::new(), url: url.trim_end_matches('/').into() })
    }

    /// Tries whether the store refuses a second create of one key and keeps the first, with an object of its own below
    /// `probe/`, deleted afterwards. A store that does not is [`Error::NotSafe`].
    ///
    /// Three requests to write and two to read: for the first write of a process, not for every one.
    pub async fn probe(&self) -> Result<(), Error> {
        probe::probe(self).await
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

    /// See [`Backend::head`]; the returned key is below this folder too.
    pub async fn head(&self, key: &str) -> Result<Option<Listed>, Error> {
        Ok(self.backend.head(&self.full(key)).await?.map(|object| self.below(object)))
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
        Ok(listed.into_iter().map(|object| self.below(object)).collect())
    }

    /// See [`Backend::folders`]: the ones right below this one.
    pub async fn folders(&self) -> Result<Vec<String>, Error> {
        self.backend.folders(&self.root).await
    }

    /// See [`Backend::delete`].
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        self.backend.delete(&self.full(key)).await
    }

    fn below(&self, mut object: Listed) -> Listed {
        object.key.drain(..self.root.len().min(object.key.len()));
        object
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.root)
    }
}
