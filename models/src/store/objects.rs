//! The storage library behind [`Backend`]: one adapter for every store, and what each of the library's errors means here.

use std::{error::Error as StdError, io, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use object_store::{
    Error as LibraryError, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    local::LocalFileSystem, path::Path,
};

use super::{Backend, Created, Error, Listed, courier::Refusal, key};

/// Above this many bytes a `put` goes up in parts, so that a broken connection costs one part and not the whole.
///
/// A `create` never does: only a single request can be conditional on every store. All of them take 5 GiB in one
/// request (Azure: 5,000 MiB), and a larger file is refused by the store itself.
pub const IN_PARTS_ABOVE: usize = 64 << 20;
/// Bytes of one part: the stores' least is 5 MiB, and 10,000 of these make 160 GB.
const PART_BYTES: usize = 16 << 20;
/// Parts under way at once: enough to fill a 10 Gbit/s line at 100 ms a part, 64 MiB of memory shared with the caller.
const PARTS_AT_ONCE: usize = 4;

/// One folder of one of the library's stores.
#[derive(Debug)]
pub(super) struct Objects {
    library: Arc<dyn ObjectStore>,
    /// What stands before every key: empty or ending in `/`.
    prefix: String,
    /// The same store, where its objects are files of this machine.
    folder: Option<Arc<LocalFileSystem>>,
}

impl Objects {
    /// `prefix` is empty or a valid key.
    pub(super) fn new(library: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { library, prefix, folder: None }
    }

    /// A folder of this machine.
    pub(super) fn in_folder(folder: LocalFileSystem) -> Self {
        let folder = Arc::new(folder);
        Self { library: Arc::clone(&folder) as Arc<dyn ObjectStore>, prefix: String::new(), folder: Some(folder) }
    }

    fn path(&self, key: &str) -> Result<Path, Error> {
        key::check(key)?;
        Ok(parsed(&format!("{}{key}", self.prefix)))
    }

    fn listed(&self, meta: &ObjectMeta) -> Listed {
        let at = &meta.last_modified;
        let key = meta.location.as_ref();
        Listed {
            key: key.strip_prefix(&self.prefix).unwrap_or(key).to_owned(),
            bytes: meta.size,
            // A date past the year 9999 is no date; whoever deletes by age must not take it for old.
            modified: Timestamp::new(at.timestamp(), at.timestamp_subsec_nanos() as i32).unwrap_or(Timestamp::MAX),
        }
    }

    async fn put_in_parts(&self, path: &Path, bytes: &Bytes) -> Result<(), LibraryError> {
        let mut upload = self.library.put_multipart(path).await?;
        let starts = (0..bytes.len()).step_by(PART_BYTES);
        let parts = starts.map(|at| upload.put_part(bytes.slice(at..bytes.len().min(at + PART_BYTES)).into()));
        let sent = stream::iter(parts).buffer_unordered(PARTS_AT_ONCE).try_collect::<()>().await;
        let done = match sent {
            Ok(()) => upload.complete().await.map(drop),
            Err(error) => Err(error),
        };
        if done.is_err() {
            // Left-over parts cost money until a lifecycle rule takes them; the first error is the one to report.
            let _ = upload.abort().await;
        }
        done
    }
}

fn parsed(path: &str) -> Path {
    Path::parse(path).expect("a checked key has no empty part, no dots for a part and no control character")
}

fn failed(operation: &'static str, key: &str, source: LibraryError) -> Error {
    let key = key.to_owned();
    let denied = is_final(&source);
    let source = source.into();
    if denied { Error::Denied { operation, key, source } } else { Error::Unavailable { operation, key, source } }
}

/// Whether trying again cannot help: the kinds the library names, what the service answered, what the file system says.
fn is_final(error: &LibraryError) -> bool {
    use LibraryError as E;
    if matches!(
        error,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } | E::NotImplemented { .. } | E::NotSupported { .. }
    ) {
        return true;
    }
    let mut cause: Option<&dyn StdError> = Some(error);
    while let Some(error) = cause {
        if error.is::<Refusal>() {
            return true;
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            use io::ErrorKind as K;
            return matches!(
                error.kind(),
                K::PermissionDenied | K::ReadOnlyFilesystem | K::NotADirectory | K::StorageFull | K::InvalidInput
            );
        }
        cause = error.source();
    }
    // Azure deletes in batches whose parts fail one by one, and of those the library keeps only text.
    let text = error.to_string();
    text.contains("(code: 401)") || text.contains("(code: 403)")
}

#[async_trait]
impl Backend for Objects {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        let found = match self.library.get(&self.path(key)?).await {
            Ok(found) => found,
            Err(LibraryError::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(failed("read", key, source)),
        };
        found.bytes().await.map(Some).map_err(|source| failed("read", key, source))
    }

    async fn map(&self, key: &str) -> Result<Option<Bytes>, Error> {
        let Some(folder) = &self.folder else { return self.get(key).await };
        let path = folder.path_to_filesystem(&self.path(key)?).map_err(|source| failed("map", key, source))?;
        let mapped = tokio::task::spawn_blocking(move || crate::mapped::file(&path));
        let mapped = mapped.await.expect("mapping a file returns errors instead of panicking");
        mapped.map_err(|source| failed("map", key, LibraryError::Generic { store: "file", source: source.into() }))
    }

    async fn head(&self, key: &str) -> Result<Option<Listed>, Error> {
        let path = self.path(key)?;
        match self.library.head(&path).await {
            Ok(meta) => return Ok(Some(self.listed(&meta))),
            Err(LibraryError::NotFound { .. }) => {}
            Err(source) => return Err(failed("look up", key, source)),
        }
        // The answer to HEAD has no body, so a missing bucket looks like a missing object: the first byte tells.
        let first = GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
        match self.library.get_opts(&path, first).await {
            Ok(found) => Ok(Some(self.listed(&found.meta))),
            Err(LibraryError::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed("look up", key, source)),
        }
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, Error> {
        let options = PutOptions::from(PutMode::Create);
        match self.library.put_opts(&self.path(key)?, bytes.into(), options).await {
            Ok(_) => Ok(Created::New),
            // Some stores report a lost create as a failed precondition.
            Err(LibraryError::AlreadyExists { .. } | LibraryError::Precondition { .. }) => Ok(Created::Exists),
            Err(source) => Err(failed("create", key, source)),
        }
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), Error> {
        let path = self.path(key)?;
        let done = if bytes.len() > IN_PARTS_ABOVE {
            self.put_in_parts(&path, &bytes).await
        } else {
            self.library.put(&path, bytes.into()).await.map(drop)
        };
        done.map_err(|source| failed("write", key, source))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, Error> {
        let folder = prefix.strip_suffix('/').unwrap_or(prefix);
        let folder = if folder.is_empty() { parsed(&self.prefix) } else { self.path(folder)? };
        let objects = self.library.list(Some(&folder)).map_ok(|meta| self.listed(&meta));
        let mut listed: Vec<Listed> = objects.try_collect().await.map_err(|source| failed("list", prefix, source))?;
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(listed)
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let folder = prefix.strip_suffix('/').unwrap_or(prefix);
        let folder = if folder.is_empty() { parsed(&self.prefix) } else { self.path(folder)? };
        let found = self.library.list_with_delimiter(Some(&folder)).await;
        let found = found.map_err(|source| failed("list", prefix, source))?;
        let names = found.common_prefixes.iter().filter_map(Path::filename).map(str::to_owned);
        let mut names: Vec<String> = names.collect();
        names.sort();
        Ok(names)
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        match self.library.delete(&self.path(key)?).await {
            Ok(()) | Err(LibraryError::NotFound { .. }) => Ok(()),
            Err(source) => Err(failed("delete", key, source)),
        }
    }
}
