//! Whether a store keeps the one promise the registry rests on: of two creates of one key, the second is refused and
//! the first one's bytes stay.
//!
//! Some servers that speak S3 ignore the condition, overwrite and report success. Nothing in their answers tells, so
//! it is tried.

use bytes::Bytes;
use uuid::Uuid;

use super::{Created, Error, Store};

/// Fresh keys tried when the store says that a fresh key is taken: S3 does when writes meet, and a lost reply does.
const FRESH_KEYS: usize = 3;
/// Times an object is read before what it holds is believed.
const READS: usize = 3;

pub(super) async fn probe(store: &Store) -> Result<(), Error> {
    for _ in 0..FRESH_KEYS {
        let key = format!("probe/{}", Uuid::new_v4());
        let seen = twice(store, &key).await;
        // A writer may be forbidden to delete; what is left then is 37 bytes that nobody reads.
        let _ = store.delete(&key).await;
        match seen? {
            Seen::Kept => return Ok(()),
            Seen::Phantom => {}
            Seen::Broken(found) => return Err(not_safe(store, found)),
        }
    }
    Err(not_safe(store, "says of keys never used before that they exist, and holds nothing under them"))
}

fn not_safe(store: &Store, found: &'static str) -> Error {
    Error::NotSafe { url: store.url().into(), found }
}

enum Seen {
    Kept,
    /// Refused for nothing.
    Phantom,
    /// What the store did.
    Broken(&'static str),
}

async fn twice(store: &Store, key: &str) -> Result<Seen, Error> {
    let [first, second] = ["1", "2"].map(|n| Bytes::from(format!("{n}{}", Uuid::new_v4())));
    // The client repeats requests whose answer was lost, so "exists" may be our own first attempt: reading tells.
    let created = store.create(key, first.clone()).await?;
    match read_back(store, key, &first).await? {
        Some(found) if found == first => {}
        Some(_) => return Ok(Seen::Broken("gave back other bytes than it was given")),
        None if created == Created::Exists => return Ok(Seen::Phantom),
        None => return Ok(Seen::Broken("took an object and then did not have it")),
    }
    let again = store.create(key, second.clone()).await?;
    let kept = read_back(store, key, &first).await?.is_some_and(|found| found == first);
    Ok(match (again, kept) {
        (Created::Exists, true) => Seen::Kept,
        (Created::Exists, false) => Seen::Broken("refused a second create of a key but replaced the object"),
        (Created::New, false) => Seen::Broken("took a second create of a key and silently replaced the object"),
        (Created::New, true) => Seen::Broken("reported a second create of a key as done and kept the first object"),
    })
}

/// What is under `key`, read again where it is not `wanted`: a cut connection can shorten an answer.
async fn read_back(store: &Store, key: &str, wanted: &Bytes) -> Result<Option<Bytes>, Error> {
    let mut found = store.get(key).await?;
    for _ in 1..READS {
        if found.as_ref() == Some(wanted) {
            break;
        }
        found = store.get(key).await?;
    }
    Ok(found)
}
