//! Versions change under load; failed loads and lost registries change nothing.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use models::{Alias, registry::Op};
use serve::State;

use crate::world::{Shop, World, artifact, name, version};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_flips_under_load_lose_nothing_and_every_answer_is_from_a_live_version() {
    let world = World::new().await;
    let one = world.stage(&artifact(" v1")).await;
    world.promote(one).await;
    let two = world.stage(&artifact(" v2")).await;
    let (shop, mut watcher) = Shop::following(&world).await;
    let shop = Arc::new(shop);
    // (may be live from, version); version n may answer until the next entry's second time.
    let flips = Arc::new(Mutex::new(vec![(Instant::now(), Instant::now(), one.get())]));
    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for n in 0..4 {
        let (shop, stop) = (Arc::clone(&shop), Arc::clone(&stop));
        readers.push(tokio::spawn(async move {
            let mut answers = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let asked = Instant::now();
                let told = shop.predict(&format!("reader-{n}"), r#","history":["b1"],"k":1"#).await;
                let answered = Instant::now();
                let version: u32 = told["model_version"].as_str().unwrap().parse().unwrap();
                let title = told["recommendations"][0]["title"].as_str().unwrap();
                assert_eq!(title, format!("Persuasion v{version}"), "list and version belong together");
                answers.push((asked, answered, version));
            }
            answers
        }));
    }
    for flip in 0..20 {
        let next = if flip % 2 == 0 { two } else { one };
        let begun = Instant::now();
        world.promote(next).await;
        watcher.look().await;
        flips.lock().unwrap().push((begun, Instant::now(), next.get()));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.store(true, Ordering::SeqCst);
    let flips = flips.lock().unwrap().clone();
    let mut n_answers = 0;
    for reader in readers {
        for (asked, answered, version) in reader.await.unwrap() {
            n_answers += 1;
            let live = flips.iter().enumerate().any(|(place, (from, _, live))| {
                let until = flips.get(place + 1).map(|(_, until, _)| *until);
                *live == version && *from <= answered && until.is_none_or(|until| asked <= until)
            });
            assert!(live, "version {version} was not live");
        }
    }
    assert!(n_answers > 100, "only {n_answers} answers under 20 flips");
    assert!(
        shop.fleet
            .metrics_text()
            .contains(r#"bookloop_swaps_total{tenant="acme-books",model="recommender",result="ok"} 21"#)
    );
}

#[tokio::test]
async fn a_replaced_model_is_freed_once_no_request_holds_it() {
    let world = World::new().await;
    let one = world.stage(&artifact(" v1")).await;
    world.promote(one).await;
    let (shop, mut watcher) = Shop::following(&world).await;
    let held = shop.service.snapshot().unwrap();
    let weak = Arc::downgrade(&held.stable.artifact);
    let two = world.stage(&artifact(" v2")).await;
    world.promote(two).await;
    watcher.look().await;
    watcher.look().await;
    assert!(weak.upgrade().is_some(), "a request in flight still holds it");
    drop(held);
    watcher.look().await;
    let freed = async {
        while weak.upgrade().is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), freed).await.expect("nobody holds it any more");
}

#[tokio::test]
async fn a_corrupt_staging_version_leaves_production_serving() {
    let world = World::new().await;
    let one = world.stage(&artifact(" v1")).await;
    world.promote(one).await;
    let two = world.stage(&artifact(" v2")).await;
    world.trial(two, 10_000).await;
    world.shelf.corrupt(" v2");
    let (shop, mut watcher) = Shop::following(&world).await;
    assert_eq!(shop.service.state(), State::Degraded);
    assert_eq!(shop.predict("ann", "").await["model_version"], "1");
    assert_eq!(shop.get("/v2/models/recommender/versions/2").await.status, 404);
    let failures = |text: &str| text.lines().find(|line| line.contains("result=\"failed\"")).map(str::to_owned);
    let line = |n: u32| {
        Some(format!("bookloop_swaps_total{{tenant=\"acme-books\",model=\"recommender\",result=\"failed\"}} {n}"))
    };
    assert_eq!(failures(&shop.fleet.metrics_text()), line(1));
    for _ in 0..3 {
        watcher.look().await;
    }
    assert_eq!(failures(&shop.fleet.metrics_text()), line(2), "tried again, less and less often");
    let three = world.stage(&artifact(" v3")).await;
    world.promote(three).await;
    watcher.look().await;
    assert_eq!(
        (shop.predict("ann", "").await["model_version"].as_str(), shop.service.state()),
        (Some("3"), State::Ready)
    );
}

#[tokio::test]
async fn a_corrupt_production_version_leaves_the_last_one_serving() {
    let world = World::new().await;
    let one = world.stage(&artifact(" v1")).await;
    world.promote(one).await;
    let (shop, mut watcher) = Shop::following(&world).await;
    let two = world.stage(&artifact(" v2")).await;
    world.shelf.corrupt(" v2");
    world.promote(two).await;
    watcher.look().await;
    assert_eq!(
        (shop.predict("ann", "").await["model_version"].as_str(), shop.service.state()),
        (Some("1"), State::Degraded)
    );
}

#[tokio::test]
async fn losing_the_registry_takes_nothing_away() {
    let world = World::new().await;
    let one = world.stage(&artifact(" v1")).await;
    world.promote(one).await;
    let (shop, mut watcher) = Shop::following(&world).await;
    world.shelf.away.store(true, Ordering::SeqCst);
    watcher.look().await;
    assert_eq!(shop.get("/ready").await.text, r#"{"ready":true,"state":"degraded"}"#);
    assert_eq!(shop.predict("ann", "").await["model_version"], "1");
    let text = shop.fleet.metrics_text();
    let staleness = text.lines().find(|line| line.starts_with("bookloop_registry_staleness_seconds")).unwrap();
    let seconds: f64 = staleness.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(seconds > 0.0, "{staleness}");
    world.shelf.away.store(false, Ordering::SeqCst);
    watcher.look().await;
    assert_eq!(shop.service.state(), State::Ready);
}

#[tokio::test]
async fn readiness_waits_for_a_production_version() {
    let world = World::new().await;
    let (shop, mut watcher) = Shop::following(&world).await;
    assert_eq!(shop.service.state(), State::Loading, "an empty registry");
    let one = world.stage(&artifact(" v1")).await;
    watcher.look().await;
    assert!(!shop.service.state().is_ready(), "only staged");
    world.promote(one).await;
    watcher.look().await;
    assert_eq!(shop.service.state(), State::Ready);
}

#[tokio::test]
async fn a_version_taken_out_of_staging_and_revoked_meets_nobody() {
    let world = World::new().await;
    let one = world.stage(&artifact(" v1")).await;
    world.promote(one).await;
    let two = world.stage(&artifact(" v2")).await;
    world.trial(two, 10_000).await;
    let (shop, mut watcher) = Shop::following(&world).await;
    assert_eq!(shop.predict("ann", "").await["model_version"], "2");
    let revoked = models::registry::Status::Revoked;
    world
        .commit(vec![
            Op::AliasDelete { name: name(), alias: Alias::staging(), expect: two },
            Op::Status { name: name(), version: two, status: revoked },
        ])
        .await;
    watcher.look().await;
    assert_eq!(shop.predict("ann", "").await["model_version"], "1");
    assert_eq!(shop.service.snapshot().unwrap().residents().count(), 1);
    assert_eq!(shop.service.snapshot().unwrap().stable.version, version(1));
}
