//! CloudEvents on `:predict`, in both modes, as KServe's brokers send them.

use axum::{body::Body, http::Request};
use serde_json::{Value, json};

use crate::world::{Reply, Shop, artifact, options, send, version};

const PREDICT: &str = "/v1/models/recommender:predict";
const INSTANCES: &str = r#"{"instances":[{"user_id":"ann","k":1}]}"#;
const EVENT: [(&str, &str); 6] = [
    ("ce-specversion", "1.0"),
    ("ce-id", "e-1"),
    ("ce-type", "shop.page"),
    ("ce-source", "shop"),
    ("ce-time", "2020-01-01T00:00:00Z"),
    ("ce-page", "home"),
];

fn merging() -> Shop {
    let mut options = options();
    options.cloud_events.merge = true;
    options.cloud_events.kind = "shop.list".into();
    options.cloud_events.source = Some("recommendations".into());
    let shop = Shop::new(options);
    shop.service.install(version(7), std::sync::Arc::new(artifact("")));
    shop
}

async fn post(shop: &Shop, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut request = Request::post(PREDICT);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(&shop.router, request.body(Body::from(body.to_owned())).unwrap()).await
}

fn first_book(told: &Value) -> &str {
    told["predictions"][0]["recommendations"][0]["book_id"].as_str().unwrap()
}

#[tokio::test]
async fn an_event_in_headers_is_answered_in_headers() {
    let reply = post(&Shop::open(), &EVENT, INSTANCES).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"));
    assert_eq!(first_book(&reply.json()), "b2");
    let said = ["ce-specversion", "ce-type", "ce-source", "ce-time", "ce-page"].map(|name| reply.header(name));
    let expected =
        ["1.0", "io.kserve.inference.response", "io.kserve.inference.recommender", "2026-03-01T12:00:00Z", ""];
    assert_eq!(said, expected);
    assert_eq!(reply.header("ce-id").len(), 36, "a fresh id");
}

#[tokio::test]
async fn merging_keeps_what_the_event_said() {
    let with_type = [EVENT.as_slice(), &[("ce-datacontenttype", "text/csv")]].concat();
    let reply = post(&merging(), &with_type, INSTANCES).await;
    let said = ["ce-type", "ce-source", "ce-page", "ce-time", "ce-datacontenttype"].map(|name| reply.header(name));
    assert_eq!(said, ["shop.list", "recommendations", "home", "2026-03-01T12:00:00Z", ""]);
    assert_ne!(reply.header("ce-id"), "e-1");
}

fn structured() -> Value {
    let data: Value = serde_json::from_str(INSTANCES).unwrap();
    json!({"specversion": "1.0", "id": "e-1", "type": "shop.page", "source": "shop", "page": "home",
        "time": "2020-01-01T00:00:00Z", "data": data})
}

#[tokio::test]
async fn a_whole_event_is_answered_by_a_whole_event() {
    let type_ = [("content-type", "application/cloudevents+json; charset=utf-8")];
    let reply = post(&Shop::open(), &type_, &structured().to_string()).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/cloudevents+json"));
    let event = reply.json();
    assert_eq!((first_book(&event["data"]), event["type"].as_str()), ("b2", Some("io.kserve.inference.response")));
    assert!(event["page"].is_null() && event["id"] != "e-1" && event["specversion"] == "1.0");
    let merged = post(&merging(), &type_, &structured().to_string()).await.json();
    assert_eq!((merged["page"].as_str(), merged["source"].as_str()), (Some("home"), Some("recommendations")));
}

#[tokio::test]
async fn what_is_not_a_whole_event_is_an_ordinary_request() {
    let shop = Shop::open();
    let reply = post(&shop, &EVENT[..3], INSTANCES).await;
    assert_eq!((reply.status, reply.header("ce-id")), (200, ""));
    let type_ = [("content-type", "application/cloudevents+json")];
    let reply = post(&shop, &type_, INSTANCES).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"));
    let mut timeless = structured();
    timeless.as_object_mut().unwrap().remove("time");
    let reply = post(&shop, &type_, &timeless.to_string()).await;
    assert_eq!((reply.status, reply.json()["error"].as_str()), (400, Some("expected \"instances\" or \"inputs\"")));
}

#[tokio::test]
async fn broken_events_are_refused() {
    let shop = Shop::open();
    let mut headers = EVENT;
    headers[0].1 = "0.3";
    let reply = post(&shop, &headers, INSTANCES).await;
    assert_eq!(
        (reply.status, reply.json()["error"].as_str()),
        (400, Some("specversion: expected \"1.0\", found \"0.3\""))
    );
    assert_eq!(post(&shop, &EVENT, "{").await.status, 400);
    let type_ = [("content-type", "application/cloudevents+json")];
    let mut broken = structured();
    broken["data"] = json!("instances");
    assert_eq!(post(&shop, &type_, &broken.to_string()).await.status, 400);
    broken["specversion"] = json!(1);
    assert!(post(&shop, &type_, &broken.to_string()).await.text.contains("specversion"));
}
