//! Desired aliases from a reviewed file, versions that travel between registries, and keys that change.

use models::{
    Alias, Registry,
    registry::{
        Error, Exported,
        desired::{Applied, DesiredAlias},
    },
};

use super::{World, key, memory, objects, revoke, trust};
use crate::registry_contract::{draft, name, version};

/// The line that wants `production` at `to`, from `expect`.
fn line(world: &World, expect: Option<u32>, to: u32) -> DesiredAlias {
    let sha256 = &world.registry.state().models[&name()].versions[&version(to)].manifest_sha256;
    DesiredAlias {
        tenant: "acme-books".parse().unwrap(),
        name: name(),
        alias: Alias::production(),
        version: version(to),
        digest: format!("sha256:{sha256}"),
        expect: expect.map(version),
        reason: "weekly".into(),
        ticket: Some("OPS-412".into()),
    }
}

async fn apply(world: &World, line: &DesiredAlias) -> Result<Applied, Error> {
    world.registry.apply(line, "gitops", world.now()).await
}

#[tokio::test]
async fn a_line_is_applied_once_and_approves_what_it_promotes() {
    let world = World::in_memory("apply").await;
    world.publish("Emma").await;
    world.publish("Dune").await;
    assert!(matches!(apply(&world, &line(&world, None, 1)).await.unwrap(), Applied::Moved(_)));
    let Applied::Moved(receipt) = apply(&world, &line(&world, Some(1), 2)).await.unwrap() else { panic!("it moves") };
    assert_eq!((receipt.entry.actor.as_str(), receipt.entry.approval.as_deref()), ("gitops", Some("OPS-412")));
    let state = world.registry.state();
    let model = &state.models[&name()];
    let approval = model.versions[&version(2)].approval.clone().unwrap();
    assert_eq!((approval.actor.as_str(), approval.reason.as_str()), ("gitops", "weekly"));
    assert_eq!((model.aliases["production"], model.aliases["previous"]), (version(2), version(1)));
    let before = objects(&world.store).await;
    assert!(world.registry.check_line(&line(&world, Some(1), 2)).await.unwrap());
    assert!(matches!(apply(&world, &line(&world, Some(1), 2)).await.unwrap(), Applied::Unchanged));
    assert_eq!(objects(&world.store).await, before);
}

#[tokio::test]
async fn a_line_that_no_longer_fits_changes_nothing() {
    let world = World::in_memory("stale").await;
    for title in ["Emma", "Dune", "Ulysses"] {
        world.publish(title).await;
    }
    world.promote(1).await;
    world.promote(2).await;
    world.commit(revoke(3)).await;
    let before = objects(&world.store).await;
    let mut wrong = line(&world, Some(2), 1);
    wrong.digest = line(&world, None, 2).digest;
    for (line, says) in [
        (line(&world, Some(1), 1), "alias production of recommender. expected=1 found=2"),
        (line(&world, None, 1), "expected=unset found=2"),
        (line(&world, Some(2), 3), "version 3 of recommender is revoked"),
        (wrong, "digest of version 1"),
    ] {
        let rehearsed = world.registry.check_line(&line).await.unwrap_err().to_string();
        assert!(rehearsed.contains(says), "{rehearsed}");
        assert_eq!(apply(&world, &line).await.unwrap_err().to_string(), rehearsed);
    }
    assert_eq!(objects(&world.store).await, before);
}

#[tokio::test]
async fn a_rollback_stands_until_the_file_is_edited() {
    let world = World::in_memory("rolled-back").await;
    world.publish("Emma").await;
    world.publish("Dune").await;
    world.promote(1).await;
    let mut wanted = line(&world, Some(1), 2);
    apply(&world, &wanted).await.unwrap();
    world.registry.roll_back(&name(), &world.intent()).await.unwrap();
    let refused = apply(&world, &wanted).await.unwrap_err();
    assert!(matches!(refused, Error::Conflict { .. }), "{refused}");
    assert!(refused.to_string().contains("moved away by entry 6 (ana: test) after entry 5"), "{refused}");
    wanted.reason = "weekly, after the cache was fixed".into();
    assert!(matches!(apply(&world, &wanted).await.unwrap(), Applied::Moved(_)));
}

#[tokio::test]
async fn an_unsigned_version_is_not_applied_where_signatures_are_required() {
    let store = memory("apply-signed");
    let world = World::over(&store).await;
    world.publish("Emma").await;
    let strict = Registry::open(store).await.unwrap().trusting(trust(&[1]));
    let wanted = line(&world, None, 1);
    assert!(matches!(strict.check_line(&wanted).await, Err(Error::Unvouched { .. })));
    assert!(matches!(strict.apply(&wanted, "gitops", world.now()).await, Err(Error::Unvouched { .. })));
    world.registry.sign(&name(), version(1), &key(1), &world.intent()).await.unwrap();
    strict.apply(&wanted, "gitops", world.now()).await.unwrap();
}

/// A registry whose only version is signed by key 1 and then by key 2, and the version as it travels.
async fn signed(test: &str) -> (World, Exported) {
    let mut world = World::in_memory(test).await;
    world.registry = Registry::open(world.store.clone()).await.unwrap().signing(Some(key(1)));
    world.publish("Emma").await;
    world.registry.sign(&name(), version(1), &key(2), &world.intent()).await.unwrap();
    let exported = world.registry.export(&name(), version(1)).await.unwrap();
    (world, exported)
}

#[tokio::test]
async fn a_version_travels_with_its_signatures() {
    let (world, exported) = signed("travel").await;
    assert_eq!((exported.signatures.len(), exported.files.len()), (2, 1));
    for keys in [&[1][..], &[2], &[1, 2]] {
        let there = World::in_memory(&format!("travel-{}-{}", keys.len(), keys[0])).await;
        there.publish("Dune").await;
        let registry = Registry::open(there.store.clone()).await.unwrap().trusting(trust(keys));
        let published = registry.import(&name(), &exported, &there.intent()).await.unwrap();
        assert_eq!(published.version, version(2), "the next number here");
        assert_eq!(registry.export(&name(), version(2)).await.unwrap(), exported, "byte for byte");
        registry.load(&name(), version(2)).await.unwrap();
        let twice = registry.import(&name(), &exported, &there.intent()).await.unwrap_err();
        assert!(twice.to_string().contains("it is version 2 of recommender already"), "{twice}");
    }
    world.commit(revoke(1)).await;
    let refused = world.registry.export(&name(), version(1)).await.unwrap_err();
    assert!(refused.to_string().contains("is revoked"), "{refused}");
}

#[tokio::test]
async fn nothing_is_imported_that_does_not_agree_or_is_not_vouched_for() {
    let (_, sound) = signed("import").await;
    let there = World::in_memory("import-there").await;
    there.publish("Dune").await;
    let registry = Registry::open(there.store.clone()).await.unwrap().trusting(trust(&[1]));
    let before = objects(&there.store).await;
    let changed = |change: fn(&mut Exported)| {
        let mut version = sound.clone();
        change(&mut version);
        version
    };
    let text = |from: &str, to: &str| {
        let manifest = String::from_utf8(sound.manifest.to_vec()).unwrap();
        assert!(manifest.contains(from));
        Exported { manifest: manifest.replace(from, to).into(), ..sound.clone() }
    };
    for (version, says) in [
        (changed(|version| version.signatures.clear()), "not vouched for"),
        (changed(|version| drop(version.signatures.remove(0))), "not vouched for"),
        (changed(|version| version.files[0].1 = "other bytes".into()), "model.safetensors"),
        (changed(|version| version.files.clear()), "no such file"),
        (changed(|version| version.files.push(("extra".into(), "x".into()))), "extra is not listed"),
        (text("\"seed\": 7", "\"seed\": 8"), "not vouched for"),
        (text("model.safetensors", "../model.safetensors"), "without .."),
        (text("model.safetensors", "/etc/model"), "without .."),
        (text("model.safetensors", "model.7.sig"), "the name is taken"),
        (text("\"recommender\"", "\"another\""), "it is a version of another"),
    ] {
        let error = registry.import(&name(), &version, &there.intent()).await.unwrap_err();
        assert!(error.to_string().contains(says), "expected {says:?} in {error}");
    }
    assert_eq!(objects(&there.store).await, before);
}

#[tokio::test]
async fn a_version_whose_files_were_given_up_comes_back_by_import() {
    let world = World::in_memory("back").await;
    world.publish("Emma").await;
    world.publish("Dune").await;
    let kept = world.registry.export(&name(), version(1)).await.unwrap();
    let retention = models::registry::Retention { keep_last: 1, ..Default::default() };
    for _ in 0..2 {
        world.pass(8 * 24);
        world.registry.collect(&retention, &world.intent()).await.unwrap();
    }
    assert!(world.registry.export(&name(), version(1)).await.unwrap_err().to_string().contains("purged"));
    assert_eq!(world.registry.import(&name(), &kept, &world.intent()).await.unwrap().version, version(3));
    world.registry.load(&name(), version(3)).await.unwrap();
}

#[tokio::test]
async fn keys_change_without_a_version_changing() {
    let (world, _) = signed("rotation").await;
    for keys in [&[1][..], &[2]] {
        let registry = Registry::open(world.store.clone()).await.unwrap().trusting(trust(keys));
        registry.load(&name(), version(1)).await.unwrap();
    }
    let stranger = Registry::open(world.store.clone()).await.unwrap().trusting(trust(&[3]));
    assert!(matches!(stranger.load(&name(), version(1)).await, Err(Error::Unvouched { .. })));
    let laundering = stranger.sign(&name(), version(1), &key(3), &world.intent()).await.unwrap_err();
    assert!(matches!(laundering, Error::Unvouched { .. }), "a new key says no more than the old: {laundering}");
    let twice = world.registry.sign(&name(), version(1), &key(2), &world.intent()).await.unwrap_err();
    assert!(twice.to_string().contains("has signed version 1"), "{twice}");
}

#[tokio::test]
async fn a_signature_whose_writer_died_is_in_the_way_for_a_day() {
    let (world, _) = signed("died").await;
    let sha256 = world.registry.state().models[&name()].versions[&version(1)].manifest_sha256.clone();
    let third = models::store::key::signature(&name(), &sha256, 2);
    world.store.put(&third, "of a writer that died".into()).await.unwrap();
    let conflict = world.registry.sign(&name(), version(1), &key(3), &world.intent()).await.unwrap_err();
    assert!(matches!(conflict, Error::Conflict { .. }), "{conflict}");
    world.pass(25);
    let done = world.registry.collect(&models::registry::Retention::default(), &world.intent()).await.unwrap();
    assert_eq!(done.objects, [third]);
    world.registry.sign(&name(), version(1), &key(3), &world.intent()).await.unwrap();
}

#[tokio::test]
async fn a_file_may_not_take_a_signatures_name() {
    let world = World::in_memory("names").await;
    let mut taken = draft("Emma");
    taken.files.push(("model.1.sig".into(), "x".into()));
    let refused = world.registry.publish(taken, &world.intent()).await.unwrap_err();
    assert!(refused.to_string().contains("the name is taken"), "{refused}");
}
