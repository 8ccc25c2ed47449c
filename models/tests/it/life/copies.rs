//! Copies: a backup, what is restored from it, and a replica that takes over.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use models::{
    Registry, Store, Version,
    registry::{Error, Intent, copy},
    signature::Trust,
    store::{self, Backend, Created, Listed, key},
};

use super::{World, assert_sound, key as signing, memory, objects, tag, trust};
use crate::registry_contract::{name, version};

/// Two versions, the first signed by hand afterwards, in production and rolled back: 8 entries.
async fn lived(test: &str) -> World {
    let world = World::in_memory(test).await;
    world.publish("Emma").await;
    world.publish("Dune").await;
    world.promote(1).await;
    world.promote(2).await;
    world.registry.roll_back(&name(), &world.intent()).await.unwrap();
    world.registry.sign(&name(), version(1), &signing(1), &world.intent()).await.unwrap();
    world
}

/// Objects of a registry but for checkpoints, which each place writes when it likes, and the replica's own note.
async fn history(store: &Store) -> BTreeMap<String, Bytes> {
    let mut objects = objects(store).await;
    objects.retain(|key, _| !key.starts_with("checkpoints/") && key != key::REPLICA);
    objects
}

fn intent(reason: &str) -> Intent {
    Intent::new("ana", reason, jiff::Timestamp::UNIX_EPOCH)
}

async fn round_trip(world: World, backup: Store, back: Store) {
    let copied = copy::copy(&world.store, &backup, None).await.unwrap();
    assert_eq!((copied.entries, copied.last_id, copied.source_last_id), (8, 8, 8));
    assert_eq!(history(&backup).await, history(&world.store).await, "the same objects, byte for byte");
    assert_sound(&backup).await;
    let again = copy::copy(&world.store, &backup, None).await.unwrap();
    assert_eq!((again.entries, again.objects, again.last_id), (0, 0, 8));

    let seen = copy::restore(&backup, &back, None, &Trust::default(), &intent("bucket lost")).await.unwrap();
    assert_eq!((seen.problems, seen.entries, seen.versions), (vec![], 8, 2));
    let restored = Registry::open(back.clone()).await.unwrap();
    assert_eq!(restored.state().models, world.registry.state().models, "the same heads");
    assert_eq!((restored.state().last_id, restored.state().epoch), (9, 1));
    let mut with_fence = history(&back).await;
    with_fence.remove(&key::log(9)).unwrap();
    assert_eq!(with_fence, history(&world.store).await);
    restored.roll_back(&name(), &intent("life goes on")).await.unwrap();
    assert_sound(&back).await;
    // The old history has parted from this one: no backup of it goes here, and none of this one goes there.
    let onto = copy::restore(&backup, &back, None, &Trust::default(), &intent("again")).await.unwrap_err();
    assert!(onto.to_string().contains("is not empty"), "{onto}");
}

#[tokio::test]
async fn what_comes_back_from_a_backup_is_what_was_lost_in_memory() {
    round_trip(lived("trip").await, memory("trip-backup"), memory("trip-back")).await;
}

#[tokio::test]
async fn what_comes_back_from_a_backup_is_what_was_lost_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| Store::open(&format!("file://{}/{name}", folder.path().display())).unwrap();
    round_trip(lived("trip-disk").await, at("backup"), at("back")).await;
}

#[tokio::test]
async fn a_restore_may_stop_at_an_earlier_entry() {
    let world = lived("earlier").await;
    let (backup, back) = (memory("earlier-backup"), memory("earlier-back"));
    copy::copy(&world.store, &backup, None).await.unwrap();
    let beyond = copy::restore(&backup, &back, Some(9), &Trust::default(), &intent("too far")).await.unwrap_err();
    assert!(matches!(beyond, Error::NotFound(_)), "{beyond}");
    // Entries: 1 and 2 register, 3 to 6 approve and promote, 7 rolls back, 8 signs.
    let seen = copy::restore(&backup, &back, Some(6), &Trust::default(), &intent("undo")).await.unwrap();
    assert_eq!((seen.problems, seen.entries), (vec![], 6));
    let restored = Registry::open(back.clone()).await.unwrap();
    let state = restored.state();
    let model = &state.models[&name()];
    let production: Version = model.aliases["production"];
    assert_eq!((production, model.versions[&version(1)].signatures.len()), (version(2), 0));
    // The place of the signature that was not restored is free for another key's.
    restored.sign(&name(), version(1), &signing(2), &intent("new key")).await.unwrap();
    assert_sound(&back).await;
}

#[tokio::test]
async fn a_writer_of_the_lost_registry_cannot_write_to_the_restored_one() {
    let world = lived("fenced").await;
    let backup = memory("fenced-backup");
    copy::copy(&world.store, &backup, None).await.unwrap();
    for (at, commits_before) in [(None, false), (None, true), (Some(4), true)] {
        // The bucket is emptied under a writer, and restored in the same place.
        let place = memory(&format!("fenced-{}-{commits_before}", at.unwrap_or(0)));
        copy::copy(&backup, &place, None).await.unwrap();
        let old = Registry::open(place.clone()).await.unwrap();
        if commits_before {
            old.roll_back(&name(), &intent("before the loss")).await.unwrap();
        }
        for object in place.list("").await.unwrap() {
            place.delete(&object.key).await.unwrap();
        }
        copy::restore(&backup, &place, at, &Trust::default(), &intent("bucket lost")).await.unwrap();
        let error = old.roll_back(&name(), &intent("late")).await.unwrap_err();
        if commits_before {
            assert!(matches!(error, Error::Corrupt { .. }), "its own last entry is gone: {error}");
        } else {
            assert!(matches!(error, Error::Fenced { opened: 0, now: 1 }), "{error}");
        }
        assert_sound(&place).await;
    }
}

#[tokio::test]
async fn an_interrupted_copy_goes_on_where_it_stopped() {
    let world = lived("resumed").await;
    let backup = memory("resumed-backup");
    copy::copy(&world.store, &backup, Some(3)).await.unwrap();
    // It died in the middle of the next entry's objects.
    let whole = history(&world.store).await;
    let held = history(&backup).await;
    let next = whole.iter().find(|(key, _)| !held.contains_key(*key) && key.starts_with("models/")).unwrap();
    backup.put(next.0, next.1.clone()).await.unwrap();
    let copied = copy::copy(&world.store, &backup, None).await.unwrap();
    assert_eq!((copied.entries, copied.last_id), (5, 8));
    assert_eq!(history(&backup).await, whole);
}

#[tokio::test]
async fn an_interrupted_restore_takes_no_commits_and_goes_on() {
    let world = lived("half").await;
    let (backup, back) = (memory("half-backup"), memory("half-back"));
    copy::copy(&world.store, &backup, None).await.unwrap();
    let place = key::log(5);
    let entry = backup.get(&place).await.unwrap().unwrap();
    backup.delete(&place).await.unwrap();
    backup.delete(key::LAST_CHECKPOINT).await.unwrap();
    copy::restore(&backup, &back, Some(8), &Trust::default(), &intent("first try")).await.unwrap_err();
    let half = Registry::open(back.clone()).await.unwrap();
    assert!(half.publish(crate::registry_contract::draft("Odd"), &intent("too early")).await.is_err());
    backup.put(&place, entry).await.unwrap();
    let seen = copy::restore(&backup, &back, None, &Trust::default(), &intent("second try")).await.unwrap();
    assert_eq!((seen.problems, seen.entries), (vec![], 8));
}

#[tokio::test]
async fn a_copy_goes_only_to_its_own_earlier_self() {
    let world = lived("targets").await;
    let (one, other) = (memory("targets-copy"), lived("targets-other").await);
    let refused = copy::copy(&world.store, &other.store, None).await.unwrap_err();
    assert!(refused.to_string().contains("holds another registry"), "{refused}");
    let itself = copy::copy(&world.store, &world.store, None).await.unwrap_err();
    assert!(itself.to_string().contains("cannot be a copy of itself"), "{itself}");
    // A copy that was written to has parted from its source, and stays as it is.
    copy::copy(&world.store, &one, None).await.unwrap();
    Registry::open(one.clone()).await.unwrap().roll_back(&name(), &intent("a mistake")).await.unwrap();
    world.commit(tag(1, "n", Some("1"))).await;
    let before = objects(&one).await;
    let forked = copy::copy(&world.store, &one, None).await.unwrap_err();
    assert!(matches!(forked, Error::Corrupt { .. }) && forked.to_string().contains("part"), "{forked}");
    assert_eq!(objects(&one).await, before);
    let nothing = copy::copy(&memory("targets-nothing"), &memory("targets-new"), None).await.unwrap_err();
    assert!(matches!(nothing, Error::NotFound(_)), "{nothing}");
}

#[tokio::test]
async fn a_damaged_source_stops_the_copy_before_the_damage() {
    let world = lived("damaged").await;
    let backup = memory("damaged-backup");
    let state = world.registry.state();
    let sha256 = &state.models[&name()].versions[&version(2)].manifest_sha256;
    let manifest = world.registry.manifest(&name(), version(2)).await.unwrap();
    for object in [key::manifest(&name(), sha256), key::blob(&manifest.files[0].sha256), key::log(2)] {
        let sound = world.store.get(&object).await.unwrap().unwrap();
        let mut flipped = sound.to_vec();
        flipped[40] ^= 1;
        world.store.put(&object, flipped.into()).await.unwrap();
        let error = copy::copy(&world.store, &backup, None).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{object}: {error}");
        let held = Registry::open(backup.clone()).await.map_or(0, |copy| copy.state().last_id);
        assert!(held <= 1, "{object}: entry {held} is in the copy");
        world.store.put(&object, sound).await.unwrap();
    }
    assert_eq!(copy::copy(&world.store, &backup, None).await.unwrap().last_id, 8);
    assert_sound(&backup).await;
}

#[tokio::test]
async fn a_restore_under_a_signature_policy_opens_only_what_is_vouched_for() {
    let world = World::in_memory("policy").await;
    world.publish("Emma").await;
    world.registry.sign(&name(), version(1), &signing(1), &world.intent()).await.unwrap();
    let (backup, back) = (memory("policy-backup"), memory("policy-back"));
    copy::copy(&world.store, &backup, None).await.unwrap();
    let seen = copy::restore(&backup, &back, None, &trust(&[2]), &intent("wrong key")).await.unwrap();
    assert_eq!(seen.problems.len(), 1);
    let closed = Registry::open(back.clone()).await.unwrap();
    assert!(matches!(closed.fence(&intent("no")).await, Err(Error::Refused(_))));
    let seen = copy::restore(&backup, &back, None, &trust(&[1]), &intent("right key")).await.unwrap();
    assert_eq!(seen.problems, [""; 0]);
    Registry::open(back.clone()).await.unwrap().fence(&intent("open")).await.unwrap();
}

#[tokio::test]
async fn a_replica_follows_refuses_commits_and_takes_over_once() {
    let world = lived("replica").await;
    let replica = memory("replica-eu");
    let nothing = copy::follow(&memory("replica-away"), &replica, world.now()).await.unwrap_err();
    assert!(matches!(nothing, Error::NotFound(_)), "{nothing}");
    assert_eq!(copy::replica(&replica).await.unwrap().unwrap().in_step_at, None, "it never was in step");
    copy::take_over(&replica, &intent("nothing there")).await.unwrap_err();

    assert_eq!(copy::follow(&world.store, &replica, world.now()).await.unwrap().last_id, 8);
    world.pass(1);
    world.commit(tag(1, "n", Some("1"))).await;
    assert_eq!(copy::follow(&world.store, &replica, world.now()).await.unwrap().entries, 1);
    let note = copy::replica(&replica).await.unwrap().unwrap();
    assert_eq!((note.last_id, note.in_step_at), (9, Some(world.now())));
    assert_eq!(note.source, world.store.url());

    let reader = Registry::open(replica.clone()).await.unwrap();
    reader.load(&name(), version(1)).await.unwrap();
    let refused = reader.roll_back(&name(), &intent("at the wrong place")).await.unwrap_err();
    assert!(refused.to_string().contains("is a replica of"), "{refused}");

    let fence = copy::take_over(&replica, &intent("us-east is lost")).await.unwrap();
    assert_eq!(fence.entry.id, 10);
    let writer = Registry::open(replica.clone()).await.unwrap();
    writer.roll_back(&name(), &intent("life goes on")).await.unwrap();
    let refused = copy::follow(&world.store, &replica, world.now()).await.unwrap_err();
    assert!(refused.to_string().contains("is a registry of its own"), "{refused}");
    copy::take_over(&replica, &intent("twice")).await.unwrap_err();
    assert_sound(&replica).await;
}

/// A store whose replica is taken over the moment before the armed follower's next note lands.
#[derive(Debug)]
struct TakenOver {
    inner: Store,
    armed: AtomicBool,
}

#[async_trait]
impl Backend for TakenOver {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, store::Error> {
        self.inner.get(key).await
    }

    async fn head(&self, key: &str) -> Result<Option<Listed>, store::Error> {
        self.inner.head(key).await
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, store::Error> {
        self.inner.create(key, bytes).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), store::Error> {
        if key == key::REPLICA && self.armed.swap(false, Ordering::SeqCst) {
            copy::take_over(&self.inner, &intent("us-east is lost")).await.unwrap();
        }
        self.inner.put(key, bytes).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, store::Error> {
        self.inner.list(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), store::Error> {
        self.inner.delete(key).await
    }
}

#[tokio::test]
async fn a_late_note_of_a_follower_does_not_undo_a_take_over() {
    let world = lived("late-note").await;
    let replica = memory("late-note-eu");
    copy::follow(&world.store, &replica, world.now()).await.unwrap();
    let racing = TakenOver { inner: replica.clone(), armed: AtomicBool::new(true) };
    let racing = Store::over(Arc::new(racing), replica.url());
    let refused = copy::follow(&world.store, &racing, world.now()).await.unwrap_err();
    assert!(refused.to_string().contains("was taken over"), "{refused}");
    let writer = Registry::open(replica.clone()).await.unwrap();
    writer.roll_back(&name(), &intent("life goes on")).await.unwrap();
}
