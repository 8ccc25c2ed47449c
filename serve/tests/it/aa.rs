//! The version in production tried against itself, through the whole path: nothing differs but the arm.

use serde_json::json;
use serve::judge::Decision;

use crate::world::{Shop, World, artifact, version};

async fn against_itself() -> (World, Shop, serve::Watcher) {
    let world = World::new().await;
    let first = world.stage(&artifact(" one")).await;
    world.promote(first).await;
    world.stage(&artifact(" two")).await;
    world.trial(first, 5000).await;
    let (shop, watcher) = Shop::following(&world).await;
    (world, shop, watcher)
}

#[tokio::test]
async fn both_arms_are_answered_by_the_version_in_production_and_counted_apart() {
    let (_world, shop, mut watcher) = against_itself().await;
    let mut arms = [0, 0];
    for reader in 0..40 {
        let told = shop.predict(&format!("r{reader}"), "").await;
        assert_eq!(
            (told["model_version"].as_str(), &told["recommendations"][0]["title"]),
            (Some("1"), &json!("Dune one"))
        );
        arms[usize::from(told["variant"] == "canary")] += 1;
    }
    watcher.look().await;
    let experiment = shop.service.experiment().unwrap();
    let (stable, canary) = (experiment.step().stable.arrived, experiment.step().canary.arrived);
    assert_eq!((experiment.aa, [stable, canary]), (true, arms));
    // Binomial, 20 with a standard deviation of 3.2; four of them.
    assert!((8..=32).contains(&arms[1]), "{arms:?}");
    let index = shop.post("/v2/repository/index", "{}").await.json();
    assert_eq!(index.as_array().unwrap().len(), 1, "one version is resident, once: {index}");
    shop.service.events().flush().await;
    let models: Vec<_> =
        shop.stream.records("ml.predictions").into_iter().map(|record| record["model"].clone()).collect();
    assert!(models.iter().all(|model| model["version"] == 1 && model["alias"] == "production"), "{models:?}");
    assert_eq!(models.iter().filter(|model| model["arm"] == "canary").count() as u64, arms[1]);
}

#[tokio::test]
async fn readers_who_do_not_arrive_as_split_are_an_alarm_that_ends_it_here() {
    let (_world, shop, mut watcher) = against_itself().await;
    let snapshot = shop.service.snapshot().unwrap();
    let on_canary = |reader: &String| {
        snapshot.assign("acme-books", Some(&reader.parse().unwrap())).arm == models::event::Arm::Canary
    };
    // Half are expected: 150 of 150 are e^11 times likelier under another share, and 1000 is an alarm.
    for reader in (0..).map(|n| format!("r{n}")).filter(on_canary).take(150) {
        shop.predict(&reader, "").await;
    }
    let experiment = shop.service.experiment().unwrap();
    let Decision::RollBack { why } = &experiment.judgement.decision else { panic!("{experiment:?}") };
    assert!(why.starts_with("readers do not arrive as split: e-value "), "{why}");
    assert_eq!(shop.get("/experiments").await.json()["experiments"][0]["aa"], true);
    assert!(shop.service.end_trial(&experiment));
    watcher.look().await;
    assert_eq!(shop.service.experiment(), None);
    assert_eq!(shop.predict("r1", "").await["variant"], "stable");
    assert_eq!(shop.service.snapshot().unwrap().stable.version, version(1));
    let told = shop.get("/experiments").await.json();
    assert_eq!((&told["ended"][0]["verdict"], &told["ended"][0]["aa"]), (&json!("rollback"), &json!(true)));
    let counted = r#"bookloop_trials_ended_total{tenant="acme-books",model="recommender",result="aa-alarm"} 1"#;
    assert!(shop.get("/metrics").await.text.contains(counted));
}
