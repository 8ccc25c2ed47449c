//! A small registry, and everything that can happen to its stored bytes behind its back: whatever is flipped, cut, lost or
//! exchanged is found by a verification, and never used.

use bytes::Bytes;
use jiff::Timestamp;
use models::{
    Registry, Store,
    registry::{CHECKPOINT_EVERY, Error, Intent, Op, State},
    signature::{SigningKey, Trust},
    store::key,
};

use crate::registry_contract::{draft, name, version};

/// A signed registry of two versions with one checkpoint and a few entries after it.
struct Shelf {
    store: Store,
    trust: Trust,
    whole: State,
}

impl Shelf {
    async fn new(url: &str) -> Self {
        let store = Store::open(url).unwrap();
        let key = SigningKey::from_secret(&[7; 32]);
        let trust = Trust::new(vec![key.verifying_key()], true).unwrap();
        let registry = Registry::open(store.clone()).await.unwrap().trusting(trust.clone()).signing(Some(key));
        let intent = |reason: &str| Intent::new("ana", reason, Timestamp::UNIX_EPOCH);
        for title in ["Emma", "Dune"] {
            registry.publish(draft(title), &intent("nightly").once(title)).await.unwrap();
        }
        let expect = |n: u64| n.checked_sub(1).map(|before| version(1 + (before % 2) as u32));
        for n in 0..CHECKPOINT_EVERY {
            let to = version(1 + (n % 2) as u32);
            registry.set_alias(&name(), &"try".parse().unwrap(), expect(n), to, &intent("to and fro")).await.unwrap();
        }
        let approve = Op::Approve { name: name(), version: version(1) };
        registry.commit(&intent("fit"), |_| Ok(vec![approve.clone()])).await.unwrap();
        registry.promote(&name(), version(1), None, &intent("first")).await.unwrap();
        assert!(store.get(&key::checkpoint(CHECKPOINT_EVERY)).await.unwrap().is_some());
        let shelf = Self { whole: State::clone(&registry.state()), store, trust };
        assert_eq!(shelf.problems().await, 0, "it is whole");
        shelf
    }

    async fn problems(&self) -> usize {
        Registry::verify(self.store.clone(), &self.trust).await.unwrap().problems.len()
    }

    /// Opens and loads version 1: either refused as damaged, or exactly what was committed.
    async fn is_refused(&self, what: &str) -> bool {
        let opened = match Registry::open(self.store.clone()).await {
            Ok(opened) => opened.trusting(self.trust.clone()),
            Err(error) => return damaged(&error, what),
        };
        assert_eq!(*opened.state(), self.whole, "{what}: another state was believed");
        match opened.load(&name(), version(1)).await {
            Ok(loaded) => {
                assert_eq!(loaded.artifact.catalogue().books().next().unwrap().title(), Some("Emma"), "{what}");
                false
            }
            Err(error) => damaged(&error, what),
        }
    }

    async fn bytes(&self, object: &str) -> Bytes {
        self.store.get(object).await.unwrap().unwrap()
    }

    async fn keys(&self) -> Vec<String> {
        self.store.list("").await.unwrap().into_iter().map(|object| object.key).collect()
    }
}

fn damaged(error: &Error, what: &str) -> bool {
    assert!(error.is_integrity(), "{what}: {error}");
    true
}

/// The objects that opening this registry and loading its version 1 reads.
fn is_read_to_load(shelf: &Shelf, object: &str, files_of_2: &[String]) -> bool {
    let before_the_checkpoint = key::number(object).is_some_and(|id| id < CHECKPOINT_EVERY);
    let checkpoint = object.starts_with(key::CHECKPOINTS);
    // A damaged checkpoint is passed over for the log; it is not refused but not used either.
    !before_the_checkpoint && !checkpoint && !files_of_2.iter().any(|key| key == object) && shelf.whole.last_id > 0
}

async fn flips(url: &str, step: usize) -> usize {
    let shelf = Shelf::new(url).await;
    let files_of_2 = files_of_version_2(&shelf).await;
    let mut flipped = 0;
    for object in shelf.keys().await {
        let original = shelf.bytes(&object).await;
        for place in (0..original.len()).step_by(step) {
            let mut changed = original.to_vec();
            changed[place] ^= 1 << (place % 8);
            shelf.store.put(&object, changed.into()).await.unwrap();
            let what = format!("{object} byte {place}");
            assert!(shelf.problems().await > 0, "{what}");
            let refused = shelf.is_refused(&what).await;
            assert_eq!(refused, is_read_to_load(&shelf, &object, &files_of_2), "{what}");
            flipped += 1;
        }
        shelf.store.put(&object, original).await.unwrap();
    }
    assert_eq!(shelf.problems().await, 0, "everything was put back");
    flipped
}

/// Manifest, signature and file of the version that is not loaded.
async fn files_of_version_2(shelf: &Shelf) -> Vec<String> {
    let standing = &shelf.whole.models[&name()].versions[&version(2)];
    let registry = Registry::open(shelf.store.clone()).await.unwrap();
    let manifest = registry.manifest(&name(), version(2)).await.unwrap();
    let digest = &standing.manifest_sha256;
    let mut keys = vec![key::manifest(&name(), digest), key::signature(&name(), digest, 0)];
    keys.extend(manifest.files.iter().map(|file| key::blob(&file.sha256)));
    keys
}

#[tokio::test(start_paused = true)]
async fn a_flipped_byte_is_found_and_never_used() {
    let flipped = flips("memory://tamper-some-flips", 61).await;
    assert!(flipped > 500, "{flipped} bytes were flipped");
}

#[tokio::test(start_paused = true)]
#[ignore = "a minute: every byte of every object"]
async fn every_flipped_byte_is_found_and_never_used() {
    let flipped = flips("memory://tamper-every-flip", 1).await;
    println!("{flipped} bytes flipped, each found");
    assert!(flipped > 30_000, "{flipped} bytes were flipped");
}

#[tokio::test(start_paused = true)]
async fn a_cut_or_lost_object_is_found_and_never_used() {
    let shelf = Shelf::new("memory://tamper-losses").await;
    let files_of_2 = files_of_version_2(&shelf).await;
    let newest = key::log(shelf.whole.last_id);
    for object in shelf.keys().await {
        let original = shelf.bytes(&object).await;
        for length in [0, 1, original.len() / 2, original.len() - 1] {
            shelf.store.put(&object, original.slice(..length)).await.unwrap();
            let what = format!("{object} cut to {length} bytes");
            assert!(shelf.problems().await > 0, "{what}");
            assert_eq!(shelf.is_refused(&what).await, is_read_to_load(&shelf, &object, &files_of_2), "{what}");
        }
        shelf.store.delete(&object).await.unwrap();
        // A log without its newest entry is a shorter log: only those who saw the entry can miss it, see below. A
        // checkpoint or its hint may be missing: it is a shortcut.
        if object != newest && !object.starts_with(key::CHECKPOINTS) {
            assert!(shelf.problems().await > 0, "{object} lost");
        }
        shelf.store.put(&object, original).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_saw_the_newest_entry_misses_it() {
    let shelf = Shelf::new("memory://tamper-tail").await;
    let registry = Registry::open(shelf.store.clone()).await.unwrap();
    shelf.store.delete(&key::log(shelf.whole.last_id)).await.unwrap();
    let intent = Intent::new("ana", "on top of what is gone", Timestamp::UNIX_EPOCH);
    let refused = registry.roll_back(&name(), &intent).await.unwrap_err();
    assert!(refused.is_integrity(), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn exchanged_objects_are_found_and_never_used() {
    let shelf = Shelf::new("memory://tamper-swaps").await;
    let other = Shelf::new("memory://tamper-swaps-other").await;
    let keys = shelf.keys().await;
    // With the next object of the same registry, and with the same place of another one.
    for (place, object) in keys.iter().enumerate() {
        let original = shelf.bytes(object).await;
        let next = &keys[(place + 1) % keys.len()];
        let mut strangers = vec![(next.clone(), shelf.bytes(next).await)];
        strangers.extend(other.store.get(object).await.unwrap().map(|bytes| ("the other registry".to_owned(), bytes)));
        // Equal bytes under equal names are no exchange: content-addressed objects of equal versions.
        for (from, bytes) in strangers.into_iter().filter(|(_, bytes)| *bytes != original) {
            shelf.store.put(object, bytes).await.unwrap();
            let what = format!("{object} from {from}");
            // The hint holds a number only; another registry's is as good.
            if object != key::LAST_CHECKPOINT {
                assert!(shelf.problems().await > 0, "{what}");
            }
            shelf.is_refused(&what).await;
        }
        shelf.store.put(object, original).await.unwrap();
    }
}
