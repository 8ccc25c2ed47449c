//! What the stream is told, and that every record is accounted for.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{body::Body, http::Request};
use expect_test::expect;
use models::stream::Nowhere;
use serve::{EventCounts, Fleet};

use crate::world::{Shop, World, artifact, options, send, version};

fn balanced(counts: EventCounts) -> bool {
    counts.offered == counts.delivered + counts.dropped() + counts.queued
}

async fn predict_as(shop: &Shop, request_id: &str, body: &str) {
    let request = Request::post("/v1/models/recommender:predict").header("x-request-id", request_id);
    let reply = send(&shop.router, request.body(Body::from(body.to_owned())).unwrap()).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
}

#[tokio::test]
async fn a_prediction_is_recorded_whole() {
    let shop = Shop::open();
    predict_as(&shop, "r-1", r#"{"instances":[{"user_id":"ann","k":2,"history":["b2"],"features":[0.5]}]}"#).await;
    predict_as(&shop, "r-2", r#"{"instances":[[0.25,1]]}"#).await;
    shop.service.events().flush().await;
    let records = shop.stream.records("ml.predictions");
    expect![[r#"
        {
          "at": "2026-03-01T12:00:00Z",
          "event_id": "r-1/0",
          "fallback": "sparse-history",
          "features": [
            0.5
          ],
          "history": [
            "b2"
          ],
          "list_popularity": 0.7,
          "model": {
            "alias": "production",
            "arm": "stable",
            "name": "recommender",
            "version": 7
          },
          "predictions": [
            "b3",
            "b4"
          ],
          "reader_known": true,
          "request_id": "r-1",
          "schema_version": 1,
          "scores": [
            0.375,
            0.0
          ],
          "tenant": "acme-books",
          "user_id": "ann"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&records[0]).unwrap());
    // Nobody's request is a session of its own.
    assert_eq!((records[1]["user_id"].as_str(), &records[1]["reader_known"]), (Some("r-2"), &serde_json::Value::Null));
    assert_eq!(records[1]["features"], serde_json::json!([0.25, 1.0]));
}

#[tokio::test]
async fn outcomes_learn_which_models_list_they_came_from() {
    let shop = Shop::open();
    predict_as(&shop, "r-1", r#"{"instances":[{"user_id":"ann","k":2}]}"#).await;
    let reported = r#"[{"request_id":"r-1","user_id":"ann","item_id":"b3","kind":"click"},
        {"request_id":"r-0","user_id":"ann","item_id":"b3","kind":"purchase","at":"2026-03-01T13:00:00Z"}]"#;
    assert_eq!(shop.post("/outcomes", reported).await.text, r#"{"accepted":2,"joined":1}"#);
    let one = r#"{"request_id":"r-1","user_id":"ann","item_id":"zz","kind":"click"}"#;
    assert_eq!(shop.post("/outcomes", one).await.text, r#"{"accepted":1,"joined":1}"#);
    shop.service.events().flush().await;
    let records = shop.stream.records("ml.outcomes");
    expect![[r#"{"at":"2026-03-01T12:00:00Z","event_id":"r-1/ann/b3/click","item_id":"b3","kind":"click","model":{"alias":"production","arm":"stable","name":"recommender","version":7},"rank":2,"request_id":"r-1","schema_version":1,"tenant":"acme-books","user_id":"ann"}"#]]
    .assert_eq(&records[0].to_string());
    assert_eq!((records[1]["at"].as_str(), records[1].get("model")), (Some("2026-03-01T13:00:00Z"), None));
    assert_eq!((records[2]["model"]["version"].as_u64(), records[2].get("rank")), (Some(7), None));
}

#[tokio::test]
async fn an_outcome_of_a_canary_list_names_the_canary() {
    let world = World::new().await;
    let one = world.stage(&artifact(" one")).await;
    world.promote(one).await;
    let two = world.stage(&artifact(" two")).await;
    world.trial(two, 10_000).await;
    let (shop, _watcher) = Shop::following(&world).await;
    predict_as(&shop, "r-1", r#"{"instances":[{"user_id":"ann","k":1}]}"#).await;
    shop.post("/outcomes", r#"{"request_id":"r-1","user_id":"ann","item_id":"b2","kind":"click"}"#).await;
    shop.service.events().flush().await;
    let model = &shop.stream.records("ml.outcomes")[0]["model"];
    assert_eq!(model.to_string(), r#"{"alias":"staging","arm":"canary","name":"recommender","version":2}"#);
}

#[tokio::test]
async fn a_stalled_stream_delays_no_answer_and_loses_only_what_is_counted() {
    let mut small = options();
    small.events.records = 10;
    small.events.linger = Duration::ZERO;
    let shop = Shop::new(small);
    shop.service.install(version(7), Arc::new(artifact("")));
    shop.stream.stalls.store(true, Ordering::SeqCst);
    predict_as(&shop, "first", r#"{"instances":[{"user_id":"ann"}]}"#).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    for n in 0..30 {
        predict_as(&shop, &format!("r-{n}"), r#"{"instances":[{"user_id":"ann"}]}"#).await;
    }
    let stalled = shop.service.events().counts();
    assert!(balanced(stalled), "{stalled:?}");
    assert_eq!((stalled.offered, stalled.queued, stalled.dropped_full), (31, 11, 20));
    shop.stream.stalls.store(false, Ordering::SeqCst);
    shop.service.events().flush().await;
    let delivered = shop.service.events().counts();
    assert_eq!((delivered.delivered, delivered.queued), (11, 0));
    let kept: Vec<_> = shop.stream.records("ml.predictions").iter().map(|r| r["request_id"].clone()).collect();
    assert_eq!(
        (kept[0].as_str(), kept[10].as_str()),
        (Some("first"), Some("r-9")),
        "the newest are dropped, order is kept"
    );
}

#[tokio::test]
async fn a_refusing_stream_is_retried_and_then_given_up() {
    let shop = Shop::open();
    shop.stream.refuses.store(true, Ordering::SeqCst);
    predict_as(&shop, "r-1", r#"{"instances":[{"user_id":"ann"},{"user_id":"bob"}]}"#).await;
    shop.service.events().flush().await;
    let counts = shop.service.events().counts();
    assert_eq!((counts.offered, counts.dropped_broker, counts.queued), (2, 2, 0));
    assert!(balanced(counts));
}

#[tokio::test]
async fn leaving_counts_what_could_not_be_delivered() {
    let shop = Shop::open();
    shop.stream.stalls.store(true, Ordering::SeqCst);
    predict_as(&shop, "r-1", r#"{"instances":[{"user_id":"ann"}]}"#).await;
    let counts = shop.service.events().shutdown(Duration::from_millis(50)).await;
    assert_eq!((counts.offered, counts.dropped_shutdown, counts.queued), (1, 1, 0));
    predict_as(&shop, "r-2", r#"{"instances":[{"user_id":"ann"}]}"#).await;
    let late = shop.service.events().counts();
    assert_eq!((late.offered, late.dropped_shutdown), (2, 2), "offered too late");
    assert!(balanced(late));
}

#[tokio::test]
async fn where_there_is_no_stream_nothing_is_offered_and_nothing_counts_as_delivered() {
    let (fleet, service) = Fleet::of_one(options(), Arc::new(Nowhere));
    service.install(version(7), Arc::new(artifact("")));
    let body = r#"{"instances":[{"user_id":"ann"}]}"#;
    let request = Request::post("/v1/models/recommender:predict").body(Body::from(body)).unwrap();
    assert_eq!(send(&serve::rest(Arc::clone(&fleet)), request).await.status, 200);
    fleet.events().flush().await;
    assert_eq!(fleet.events().counts(), EventCounts::default());
}
