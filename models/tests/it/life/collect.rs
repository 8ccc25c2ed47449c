//! Collecting garbage: what is held stays, everyone has time to object, and nothing young is touched.

use jiff::SignedDuration;
use models::{
    Store,
    registry::{CHECKPOINT_EVERY, Collection, Error, Op, Retention, Status},
    split::Salt,
    store::{Backend as _, key},
};

use super::{World, assert_sound, objects, revoke, tag};
use crate::registry_contract::{draft, name, version};

const DAY: i64 = 24;

fn retention(keep_last: usize) -> Retention {
    Retention { keep_last, ..Retention::default() }
}

fn numbers(versions: &[(models::ModelName, models::Version)]) -> Vec<u32> {
    versions.iter().map(|(_, version)| version.get()).collect()
}

/// What a run does, which must be what its rehearsal said.
async fn collect(world: &World, keep_last: usize) -> Collection {
    let rehearsed = world.registry.collectable(&retention(keep_last), world.now()).await.unwrap();
    let done = world.registry.collect(&retention(keep_last), &world.intent()).await.unwrap();
    assert_eq!(done, rehearsed, "the dry run tells what the real run does");
    assert_sound(&world.store).await;
    done
}

/// Seven versions: 1 is previous, 2 production, 3 on trial, 4 pinned, 5 and 6 are nobody's, 7 is the newest.
async fn shelf(world: &World) {
    for title in ["Emma", "Dune", "Ulysses", "Middlemarch", "Odd", "Even", "Newest"] {
        world.publish(title).await;
    }
    world.promote(1).await;
    world.promote(2).await;
    world.commit(Op::Canary { name: name(), version: version(3), weight_bp: 1000, salt: Salt::new([3; 32]) }).await;
    world.commit(tag(4, "pin", Some("audit"))).await;
}

async fn only_what_nobody_needs_goes(world: World) {
    shelf(&world).await;
    assert_eq!(collect(&world, 1).await, Collection::default(), "all are within their grace time");
    world.pass(6 * DAY);
    assert_eq!(collect(&world, 1).await, Collection::default());
    world.pass(2 * DAY);
    assert_eq!(numbers(&collect(&world, 2).await.tombstoned), [5], "of 7 the newest 2 are kept, 1 to 4 are held");
    let done = collect(&world, 1).await;
    assert_eq!((numbers(&done.tombstoned), numbers(&done.purged), done.objects.len()), (vec![6], vec![], 0));
    assert!(matches!(world.registry.load(&name(), version(5)).await, Err(Error::Refused(_))));

    // Someone objects to the loss of 6.
    world.pass(6 * DAY);
    assert_eq!(collect(&world, 1).await, Collection::default(), "tombstones have a grace time of their own");
    world.commit(Op::Status { name: name(), version: version(6), status: Status::Active }).await;
    world.pass(2 * DAY);
    let before = objects(&world.store).await;
    let done = collect(&world, 2).await;
    assert_eq!((numbers(&done.purged), done.objects.len()), (vec![5], 2), "its manifest and its file");
    let freed: usize = done.objects.iter().map(|object| before[object].len()).sum();
    assert_eq!(done.bytes, freed as u64);
    assert_eq!(world.status(5), Status::Purged);
    for kept in [1, 2, 3, 4, 6, 7] {
        world.registry.load(&name(), version(kept)).await.unwrap();
    }
    assert_eq!(collect(&world, 2).await, Collection::default(), "once is enough");
}

#[tokio::test]
async fn only_what_nobody_needs_goes_in_memory() {
    only_what_nobody_needs_goes(World::in_memory("shelf").await).await;
}

#[tokio::test]
async fn only_what_nobody_needs_goes_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("file://{}", folder.path().display())).unwrap();
    only_what_nobody_needs_goes(World::over(&store).await).await;
}

#[tokio::test]
async fn a_revoked_version_stays_revoked_until_its_files_are_gone() {
    let world = World::in_memory("revoked").await;
    for title in ["Bad", "Good"] {
        world.publish(title).await;
    }
    world.commit(revoke(1)).await;
    world.pass(8 * DAY);
    assert_eq!(numbers(&collect(&world, 1).await.tombstoned), [1]);
    assert_eq!(world.status(1), Status::Revoked);
    let back = Op::Status { name: name(), version: version(1), status: Status::Active };
    world.registry.commit(&world.intent(), |_| Ok(vec![back.clone()])).await.unwrap_err();
    world.pass(8 * DAY);
    assert_eq!(numbers(&collect(&world, 1).await.purged), [1]);
}

#[tokio::test]
async fn a_file_that_two_versions_share_stays_while_one_needs_it() {
    let world = World::in_memory("shared").await;
    world.publish("Emma").await;
    let mut again = draft("Emma");
    again.manifest.seed = 8;
    world.registry.publish(again, &world.intent().once("again")).await.unwrap();
    world.pass(8 * DAY);
    collect(&world, 1).await;
    world.pass(8 * DAY);
    let done = collect(&world, 1).await;
    assert_eq!((numbers(&done.purged), done.objects.len()), (vec![1], 1), "only its manifest");
    world.registry.load(&name(), version(2)).await.unwrap();
}

#[tokio::test]
async fn left_overs_go_when_they_are_a_day_old() {
    let world = World::in_memory("orphans").await;
    world.publish("Emma").await;
    let orphan = key::blob(&"ab".repeat(32));
    world.store.put(&orphan, "from a run that died".into()).await.unwrap();
    world.pass(23);
    assert_eq!(collect(&world, 10).await.objects, [""; 0]);
    world.pass(1);
    let done = collect(&world, 10).await;
    assert_eq!((done.objects, done.bytes), (vec![orphan], 20));
    let young = Retention { min_age: SignedDuration::from_hours(23), ..Retention::default() };
    let refused = world.registry.collectable(&young, world.now()).await.unwrap_err();
    assert!(refused.to_string().contains("min-age 23h: expected at least 24h"), "{refused}");
}

#[tokio::test]
async fn a_slow_upload_that_looks_abandoned_survives() {
    let world = World::in_memory("slow").await;
    world.publish("Emma").await;
    // A run uploads, dies, and is repeated a day later: its files are found where they were.
    let other = World::in_memory("slow-elsewhere").await;
    other.publish("Dune").await;
    for (key, bytes) in objects(&other.store).await {
        if key.starts_with("blobs/") || key.starts_with("models/") {
            world.store.put(&key, bytes).await.unwrap();
        }
    }
    world.pass(25);
    let rehearsed = world.registry.collectable(&retention(10), world.now()).await.unwrap();
    assert_eq!(rehearsed.objects.len(), 2, "they look abandoned");
    world.publish("Dune").await;
    let file = rehearsed.objects.iter().find(|key| key.starts_with("blobs/")).unwrap();
    assert_eq!(world.clock.head(file).await.unwrap().unwrap().modified, world.now(), "written again");
    assert_eq!(collect(&world, 10).await, Collection::default());
    world.registry.load(&name(), version(2)).await.unwrap();
}

#[tokio::test]
async fn the_newest_four_checkpoints_are_kept() {
    let world = World::in_memory("checkpoints").await;
    world.publish("Emma").await;
    for n in 0..6 * CHECKPOINT_EVERY {
        world.commit(tag(1, "n", Some(&n.to_string()))).await;
    }
    world.pass(25);
    let done = collect(&world, 10).await;
    assert_eq!(done.objects, [2 * CHECKPOINT_EVERY, CHECKPOINT_EVERY].map(key::checkpoint));
}

#[tokio::test]
async fn what_was_counted_in_a_trial_goes_a_day_after_its_last_word_once_the_trial_is_over() {
    let world = World::in_memory("evidence").await;
    for title in ["Emma", "Dune"] {
        world.publish(title).await;
    }
    world.promote(1).await;
    let salt = Salt::new([3; 32]);
    let share = |weight_bp| Op::Canary { name: name(), version: version(2), weight_bp, salt };
    world.commit(share(1000)).await;
    let folder = key::trial(&name(), &key::trial_name(version(2), version(1), &salt, world.now()));
    let counted = [key::evidence(&folder, "a"), key::evidence_part(&folder, "a", 0)];
    for key in &counted {
        world.store.put(key, "counts".into()).await.unwrap();
    }
    world.pass(30);
    assert_eq!(collect(&world, 10).await.objects, [""; 0], "it runs");
    world.commit(share(0)).await;
    assert_eq!(collect(&world, 10).await.objects, counted);
}
