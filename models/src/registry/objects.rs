//! Single objects, read and written as the registry must: a doubtful write is settled by reading back, a damaged answer
//! is asked for again before it is believed to be what is stored.

use std::time::Duration;

use bytes::Bytes;

use super::{Error, log::Entry};
use crate::{
    digest,
    store::{self, Created, Store, key},
};

/// Times the same bytes are sent to the same key when the store contradicts itself or does not answer.
const MAX_REPEATS: u32 = 8;
/// Times an object is read before its damage is believed: a cut connection can shorten an answer.
pub(super) const MAX_READS: u32 = 3;
/// Wait between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// Creates an object unless it exists and returns what is stored under the key afterwards: `bytes`, or what another
/// writer put there first.
///
/// `None`: our bytes, by this call. Repeats while the outcome is in doubt; the same bytes to the same key are safe to
/// repeat, also when an earlier attempt lands late.
pub(super) async fn settle(store: &Store, key: &str, bytes: &Bytes) -> Result<Option<Bytes>, Error> {
    let mut doubt = None;
    for _ in 0..MAX_REPEATS {
        match store.create(key, bytes.clone()).await {
            Ok(Created::New) => return Ok(None),
            Ok(Created::Exists) => {}
            Err(error @ store::Error::Unavailable { .. }) => doubt = Some(error),
            Err(error) => return Err(error.into()),
        }
        match store.get(key).await {
            Ok(Some(found)) => return Ok(Some(found)),
            // The store contradicts itself, or lost the write.
            Ok(None) => {}
            Err(error @ store::Error::Unavailable { .. }) => doubt = Some(error),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(PAUSE).await;
    }
    // Its first answer may have been about an attempt of ours that is under way still.
    Err(doubt.map_or_else(|| in_doubt(key, "it says that the object exists, and holds nothing"), Error::Store))
}

/// The error of a create of which nobody can say whether it happened.
pub(super) fn in_doubt(key: &str, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Store(store::Error::Unavailable { operation: "create", key: key.into(), source: why.into() })
}

/// Creates an immutable object; one that exists must hold the same bytes. Says whether it existed.
pub(super) async fn create(store: &Store, key: &str, bytes: &Bytes) -> Result<Created, Error> {
    let Some(found) = settle(store, key, bytes).await? else { return Ok(Created::New) };
    let mut found = Some(found);
    for _ in 1..MAX_READS {
        if found.as_ref().is_none_or(|found| found == bytes) {
            return Ok(Created::Exists);
        }
        tokio::time::sleep(PAUSE).await;
        found = store.get(key).await?;
    }
    match found {
        Some(found) if found != bytes => {
            let found = digest::sha256(&found);
            Err(Error::Corrupt { object: key.into(), expected: digest::sha256(bytes), found })
        }
        _ => Ok(Created::Exists),
    }
}

/// An object as `understand` reads it; `None` if there is no such object.
///
/// Bytes that are not understood are read again before their error is returned.
pub(super) async fn read<T>(
    store: &Store,
    key: &str,
    understand: impl Fn(Bytes) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    let mut attempt = 1;
    loop {
        let Some(bytes) = store.get(key).await? else { return Ok(None) };
        match understand(bytes) {
            Err(Error::Corrupt { .. }) if attempt < MAX_READS => attempt += 1,
            understood => return understood.map(Some),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Entry `id` of the log with its stored bytes; `None` where the log ends before it.
pub(super) async fn entry(store: &Store, id: u64) -> Result<Option<(Entry, Bytes)>, Error> {
    read(store, &key::log(id), |bytes| Ok((Entry::decode(id, &bytes)?, bytes))).await
}

/// An object's bytes, if they have the digest they should have.
pub(super) async fn checked(store: &Store, key: &str, sha256: &str) -> Result<Bytes, Error> {
    let corrupt = |found: String| Error::Corrupt { object: key.into(), expected: sha256.into(), found };
    let whole = read(store, key, |bytes| {
        let found = digest::sha256(&bytes);
        if found == sha256 { Ok(bytes) } else { Err(corrupt(found)) }
    });
    whole.await?.ok_or_else(|| corrupt("nothing".into()))
}
