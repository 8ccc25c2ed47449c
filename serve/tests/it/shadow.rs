//! The next version scores for nobody: what it would have said is counted, and no answer is touched by it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Shop, World, artifact, options, overflowing};

const REQUESTS: u64 = 5;

/// A shop whose every request is scored by the staged version too.
async fn shadowing(staged: &models::Artifact) -> (World, Shop, serve::Watcher, models::Version) {
    let world = World::new().await;
    let one = world.stage(&artifact(" v1")).await;
    world.promote(one).await;
    let two = world.stage(staged).await;
    let mut options = options();
    options.shadow_bp = 10_000;
    let shop = Shop::new(options);
    let mut watcher = serve::Watcher::new(shop.service.clone(), world.registry.clone());
    watcher.look().await;
    (world, shop, watcher, two)
}

/// The comparison once `pairs` requests are in it.
async fn compared(shop: &Shop, pairs: u64) -> Value {
    for _ in 0..1_000 {
        let shadow = shop.get("/experiments").await.json()["shadow"][0].clone();
        if shadow["pairs"] == pairs {
            return shadow;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("fewer than {pairs} requests were scored twice")
}

#[tokio::test]
async fn equal_models_are_found_to_agree_and_production_alone_answers() {
    let (_world, shop, _watcher, two) = shadowing(&artifact(" v2")).await;
    assert_eq!(shop.get("/experiments").await.json()["shadow"], json!([]), "nothing was asked yet");
    for _ in 0..REQUESTS {
        assert_eq!(shop.predict("ann", "").await["model_version"], "1");
    }
    let found = compared(&shop, REQUESTS).await;
    let told = |name: &str| found[name].clone();
    assert_eq!((told("version"), told("production")), (json!(two.get()), json!(1)));
    assert_eq!(
        (told("failed"), told("empty"), told("jaccard"), told("rbo")),
        (json!(0), json!(0), json!(1.0), json!(1.0))
    );
    let metrics = shop.get("/metrics").await.text;
    assert!(
        metrics.contains(r#"bookloop_shadow_pairs_total{tenant="acme-books",model="recommender",result="scored"} 5"#),
        "{metrics}"
    );
    let count = r#"bookloop_shadow_overlap_ratio_count{tenant="acme-books",model="recommender"} 5"#;
    assert!(metrics.contains(count), "{metrics}");
}

#[tokio::test]
async fn a_version_that_cannot_score_is_noticed_before_anyone_meets_it() {
    let (_world, shop, _watcher, _) = shadowing(&overflowing()).await;
    let answer = shop.predict("ann", r#","history":["b1"]"#).await;
    assert_eq!((answer["model_version"].as_str(), answer.get("fallback")), (Some("1"), Some(&json!("sparse-history"))));
    assert_eq!(compared(&shop, 1).await["failed"], 1);
}

#[tokio::test]
async fn readers_of_a_trial_are_not_scored_twice() {
    let (world, shop, mut watcher, two) = shadowing(&artifact(" v2")).await;
    shop.predict("ann", "").await;
    compared(&shop, 1).await;
    world.trial(two, 1_000).await;
    watcher.look().await;
    for _ in 0..REQUESTS {
        shop.predict("ann", "").await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(compared(&shop, 1).await["pairs"], 1);
}
