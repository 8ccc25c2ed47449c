//! The canary: who meets it, who answers when it fails, and what is counted.

use models::{Alias, registry::Op};
use serve::judge::Decision;

use crate::world::{Shop, World, artifact, name, overflowing};

/// Version 1 in production, version 2 on trial at a weight.
async fn on_trial(weight_bp: u16) -> (World, Shop, serve::Watcher) {
    let world = World::new().await;
    let first = world.stage(&artifact(" one")).await;
    world.promote(first).await;
    let second = world.stage(&artifact(" two")).await;
    if weight_bp > 0 {
        world.trial(second, weight_bp).await;
    }
    let (shop, watcher) = Shop::following(&world).await;
    (world, shop, watcher)
}

async fn variant(shop: &Shop, reader: &str) -> String {
    let prediction = shop.predict(reader, "").await;
    let (arm, version) = (prediction["variant"].as_str().unwrap(), prediction["model_version"].as_str().unwrap());
    assert_eq!(version, if arm == "canary" { "2" } else { "1" });
    arm.to_owned()
}

#[tokio::test]
async fn readers_at_the_published_edges_meet_the_canary_exactly_when_they_should() {
    let (world, shop, mut watcher) = on_trial(0).await;
    let second = world.alias(&Alias::staging());
    // Buckets: u-4597 999, u-10927 1000, u-10423 2499, u-11164 2500, u-17 7404.
    for (weight, canaries) in [(0, 0), (1000, 1), (2500, 3), (5000, 4), (10_000, 5)] {
        if weight > 0 {
            world.trial(second, weight).await;
            watcher.look().await;
        }
        for (place, reader) in ["u-4597", "u-10927", "u-10423", "u-11164", "u-17"].into_iter().enumerate() {
            let expected = if place < canaries { "canary" } else { "stable" };
            assert_eq!(variant(&shop, reader).await, expected, "{reader} at {weight}");
        }
    }
}

#[tokio::test]
async fn the_share_on_the_canary_is_near_its_weight_and_readers_stay() {
    let (_world, shop, _watcher) = on_trial(2500).await;
    let mut canaries = 0;
    for n in 0..2000 {
        let reader = format!("reader-{n}");
        let arm = variant(&shop, &reader).await;
        assert_eq!(variant(&shop, &reader).await, arm, "{reader} stays");
        canaries += u32::from(arm == "canary");
    }
    // Binomial: 500 with a standard deviation of 19; six of them.
    assert!((384..=616).contains(&canaries), "{canaries} of 2000 at 25 %");
    let experiment = shop.service.experiment().unwrap();
    let step = experiment.step();
    assert_eq!(step.canary.requests, u64::from(2 * canaries));
    assert_eq!(step.stable.requests, u64::from(4000 - 2 * canaries));
    assert_eq!((step.canary.arrived, step.canary.met), (u64::from(canaries), u64::from(canaries)), "once each");
    let numbers = &experiment.judgement.numbers;
    assert!(!numbers.split.shown && !numbers.harm.shown, "{numbers:?}");
    // Some 500 readers cannot show that fewer than one in a thousand meets a failure, but that fewer than one in a
    // hundred waits for half a second.
    assert!(matches!(&experiment.judgement.decision, Decision::Hold { .. }), "{experiment:?}");
    assert_eq!(numbers.conditions.iter().map(|check| check.shown).collect::<Vec<_>>(), [false, true, false]);
}

#[tokio::test]
async fn who_is_nobody_and_who_is_pinned_is_not_counted() {
    let (_world, shop, _watcher) = on_trial(10_000).await;
    let nobody = shop.post("/v1/models/recommender:predict", r#"{"instances":[{"book_id":"b1"}]}"#).await.json();
    assert_eq!(nobody["predictions"][0]["variant"], "stable");
    let body = r#"{"inputs":[{"name":"user_id","shape":[1],"datatype":"BYTES","data":["ann"]}],"outputs":[{"name":"titles"}]}"#;
    let pinned = shop.post("/v2/models/recommender/versions/1/infer", body).await.json();
    assert_eq!(
        (pinned["model_version"].as_str(), pinned["parameters"]["alias"].as_str()),
        (Some("1"), Some("production"))
    );
    let staged = shop.post("/v2/models/recommender/versions/2/infer", body).await.json();
    assert_eq!(
        (staged["model_version"].as_str(), staged["parameters"]["alias"].as_str()),
        (Some("2"), Some("staging"))
    );
    let step = shop.service.experiment().unwrap().step();
    assert_eq!((step.stable.requests, step.canary.requests), (0, 0));
}

#[tokio::test]
async fn readers_of_one_v2_call_are_each_on_their_own_arm() {
    let (_world, shop, _watcher) = on_trial(1000).await;
    let body = r#"{"inputs":[{"name":"user_id","shape":[2],"datatype":"BYTES","data":["u-4597","u-10927"]},
        {"name":"k","shape":[1],"datatype":"INT32","data":[1]}],"outputs":[{"name":"model_versions"},{"name":"titles"}]}"#;
    let reply = shop.post("/v2/models/recommender/infer", body).await;
    assert_eq!(reply.header("x-bookloop-model-version"), "1,2");
    let reply = reply.json();
    assert_eq!((reply["model_version"].as_str(), reply["parameters"]["variant"].as_str()), (Some("1"), Some("mixed")));
    assert_eq!(reply["outputs"][0]["data"], serde_json::json!(["2", "1"]));
    assert_eq!(reply["outputs"][1]["data"], serde_json::json!(["Dune two", "Dune one"]));
    let step = shop.service.experiment().unwrap().step();
    assert_eq!((step.stable.requests, step.canary.requests), (1, 1));
}

#[tokio::test]
async fn a_failing_canary_costs_no_reader_an_answer_and_is_rolled_back_by_the_judge() {
    let world = World::new().await;
    let first = world.stage(&artifact(" one")).await;
    world.promote(first).await;
    let second = world.stage(&overflowing()).await;
    world.trial(second, 10_000).await;
    let (shop, _watcher) = Shop::following(&world).await;
    for n in 0..3 {
        let told = shop.predict(&format!("reader-{n}"), r#","k":1,"history":["b1"]"#).await;
        assert_eq!((told["variant"].as_str(), told["fallback"].as_str()), (Some("stable"), Some("canary-not-finite")));
        assert_eq!(told["recommendations"][0]["title"], "Persuasion one");
    }
    let experiment = shop.service.experiment().unwrap();
    let step = experiment.step();
    assert_eq!((step.canary.requests, step.canary.bad, step.canary.failed, step.stable.requests), (3, 3, 3, 0));
    let decision = experiment.judgement.decision;
    assert!(matches!(decision, Decision::RollBack { .. }), "{decision:?}");
    let shown = shop.get("/experiments").await.json();
    assert_eq!(shown["experiments"][0]["verdict"], "rollback");
    let reason = r#"fallback_total{tenant="acme-books",model="recommender",version="2",arm="canary",reason="canary-not-finite"} 3"#;
    assert!(shop.get("/metrics").await.text.contains(reason));
}

#[tokio::test]
async fn a_click_on_a_shown_list_counts_for_the_arm_that_met_the_reader_first() {
    let (_world, shop, _watcher) = on_trial(1000).await;
    for reader in ["u-4597", "u-10927"] {
        let body = format!(r#"{{"instances":[{{"user_id":"{reader}","k":1}}]}}"#);
        let request = axum::http::Request::post("/v1/models/recommender:predict").header("x-request-id", reader);
        let reply = crate::world::send(&shop.router, request.body(body.into()).unwrap()).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
    }
    let outcome = |reader: &str, kind: &str, more: &str| {
        format!(r#"{{"request_id":"{reader}","user_id":"{reader}","item_id":"b4","kind":"{kind}"{more}}}"#)
    };
    for _ in 0..2 {
        shop.post("/outcomes", outcome("u-4597", "click", "")).await;
    }
    shop.post("/outcomes", outcome("u-10927", "purchase", "")).await;
    shop.post("/outcomes", outcome("u-10927", "click", r#","at":"2026-03-01T12:31:00Z""#)).await;
    let step = shop.service.experiment().unwrap().step();
    assert_eq!((step.canary.clicked, step.stable.clicked), (1, 0), "once; not a purchase, and not after half an hour");
}

#[tokio::test]
async fn a_version_in_quarantine_leaves_at_the_next_look_and_stays_away_until_released() {
    let (world, shop, mut watcher) = on_trial(10_000).await;
    let second = world.alias(&Alias::staging());
    assert_eq!(variant(&shop, "ann").await, "canary");
    world.registry.quarantine(&name(), second, &crate::world::intent("failures")).await.unwrap();
    watcher.look().await;
    assert_eq!(variant(&shop, "ann").await, "stable");
    assert_eq!(shop.service.experiment(), None);
    let pinned = r#"{"inputs":[{"name":"user_id","shape":[1],"datatype":"BYTES","data":["ann"]}]}"#;
    let reply = shop.post("/v2/models/recommender/versions/2/infer", pinned).await;
    assert_eq!(reply.status, 404, "not even by number: {}", reply.text);
    world.registry.release(&name(), second, &crate::world::intent("fixed the store")).await.unwrap();
    world.trial(second, 10_000).await;
    watcher.look().await;
    assert_eq!(variant(&shop, "ann").await, "canary");
}

#[tokio::test]
async fn counting_begins_anew_with_every_step() {
    let (world, shop, mut watcher) = on_trial(10_000).await;
    shop.predict("ann", "").await;
    watcher.look().await;
    assert_eq!(shop.service.experiment().unwrap().step().canary.requests, 1, "a look without news keeps the counts");
    let epoch = shop.service.experiment().unwrap().epoch;
    world.trial(world.alias(&Alias::staging()), 5000).await;
    watcher.look().await;
    let next = shop.service.experiment().unwrap();
    assert_eq!((next.weight_bp, next.step().canary.requests, next.epoch), (5000, 0, epoch + 1));
    let steps = &next.judgement.numbers.evidence.steps;
    assert_eq!((steps.len(), steps[0].canary.requests), (2, 1), "what the trial has seen is kept");
    world.promote(world.alias(&Alias::staging())).await;
    watcher.look().await;
    assert_eq!(shop.service.experiment(), None, "promotion ends the trial");
    assert_eq!(shop.predict("ann", "").await["model_version"], "2");
    let gone = Op::Status { name: name(), version: "1".parse().unwrap(), status: models::registry::Status::Archived };
    assert_eq!(world.alias(&Alias::previous()).get(), 1);
    assert!(
        world
            .registry
            .commit(&models::registry::Intent::new("ana", "tidy", jiff::Timestamp::UNIX_EPOCH), |_| Ok(vec![
                gone.clone()
            ]))
            .await
            .is_err()
    );
}
