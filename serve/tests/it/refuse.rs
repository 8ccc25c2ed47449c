//! Bad input of every kind: the right status, the reason in words, and the process goes on.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{body::Body, http::Request};
use bytes::Bytes;
use serve::Clock;

use crate::world::{Shop, World, artifact, options, send, version};

const PREDICT: &str = "/v1/models/recommender:predict";
const INFER: &str = "/v2/models/recommender/infer";

#[tokio::test]
async fn every_bad_request_is_told_what_is_wrong() {
    let shop = Shop::open();
    let user = |more: &str| format!(r#"{{"instances":[{{"user_id":"ann"{more}}}]}}"#);
    let infer = |shape: &str, data: &str| {
        format!(r#"{{"inputs":[{{"name":"user_id","shape":{shape},"datatype":"BYTES","data":{data}}}]}}"#)
    };
    let deep = format!(r#"{{"instances":{}{}}}"#, "[".repeat(250_000), "]".repeat(250_000));
    for (path, body, status, words) in [
        (PREDICT, r#"{"instances":[{"user_id""#.to_owned(), 400, "JSON: EOF while parsing"),
        (PREDICT, String::new(), 400, "found an empty body"),
        (PREDICT, r#"{"instances":"ann"}"#.into(), 400, "Expected \"instances\" to be a list"),
        (PREDICT, user(r#","k":0"#), 400, "k: expected an integer from 1 to 1000, found 0"),
        (PREDICT, user(r#","k":10000000"#), 400, "k: expected an integer from 1 to 1000, found 10000000"),
        (PREDICT, user(r#","k":-1"#), 400, "found -1"),
        (PREDICT, user(r#","k":"10""#), 400, "invalid type: string \"10\", expected an integer from 1 to 1000"),
        (PREDICT, user(r#","k":1.5"#), 400, "invalid type: floating point"),
        (PREDICT, user(r#","features":[NaN]"#), 400, "JSON: expected value"),
        (PREDICT, user(r#","features":[1e999]"#), 400, "number out of range"),
        (PREDICT, r#"{"instances":[{"user_id":""}]}"#.into(), 400, "instances[0]: invalid reader id"),
        (PREDICT, r#"{"instances":[[0.5],{"user_id":"ann"}]}"#.into(), 400, "instances[1]: expected a row of features"),
        (PREDICT, deep, 400, "nested deeper than 64"),
        (INFER, infer("[2]", r#"["ann"]"#), 400, "expected shape [2], 2 elements; found data of shape [1]"),
        (INFER, infer("[16,1152921504606846978]", "[]"), 400, "too large"),
        (INFER, "[]".into(), 400, "expected a JSON object"),
        ("/v1/models/other:predict", user(""), 404, "unknown model \"other\"; this server has recommender"),
        ("/v1/models/recommender", user(""), 405, "method not allowed"),
        ("/v1/models/recommender:explain", user(""), 501, "explain is not offered"),
        ("/v2/models/other/infer", infer("[1]", r#"["a"]"#), 404, "unknown model"),
        (
            "/v2/models/recommender/versions/8/infer",
            infer("[1]", r#"["a"]"#),
            404,
            "version 8 of recommender is not served",
        ),
        ("/v2/repository/index", r#"{"ready":1}"#.into(), 400, "invalid type"),
        ("/outcomes", r#"{"request_id":"r","user_id":"u"}"#.into(), 400, "missing field `item_id`"),
        (
            "/outcomes",
            r#"[{"request_id":"r","user_id":"u","item_id":"b","kind":"look"}]"#.into(),
            400,
            "[0]: JSON: unknown",
        ),
        ("/nowhere", String::new(), 404, "no such path"),
    ] {
        let shown: String = body.chars().take(60).collect();
        let reply = shop.post(path, body).await;
        assert_eq!(reply.status, status, "{path} {shown}: {}", reply.text);
        assert_eq!(reply.header("content-type"), "application/json", "{path} {shown}");
        let error = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(words), "{path} {shown}: {error}");
        assert!(!reply.header("x-request-id").is_empty());
    }
    assert_eq!(shop.predict("ann", "").await["model_version"], "7", "still serving");
}

#[tokio::test]
async fn the_lists_of_one_call_are_bounded_together() {
    let shop = Shop::open();
    let instances = |n: usize| vec![r#"{"user_id":"ann","k":1000}"#; n].join(",");
    let ask = |n: usize| shop.post(PREDICT, format!(r#"{{"instances":[{}]}}"#, instances(n)));
    assert_eq!(ask(131).await.status, 200);
    let reply = ask(132).await;
    assert_eq!(reply.json()["error"], "expected at most 131072 books in all lists, found 132000");
}

#[tokio::test]
async fn bad_queries_and_paths_are_refused() {
    let shop = Shop::open();
    for (path, status, words) in [
        ("/recommend", 400, "expected user_id or book_id"),
        ("/recommend?user_id=ann&k=0", 400, "k: expected an integer from 1 to 100"),
        ("/recommend?user_id=ann&k=101", 400, "found \"101\""),
        ("/recommend?user_id=ann&k=ten", 400, "found \"ten\""),
        ("/v1/models/other", 404, "unknown model"),
        ("/v2/models/..", 404, "unknown model"),
        ("/v2/models/recommender/versions/0", 404, "not served here"),
        ("/v1/models/%FF", 404, "no such path"),
    ] {
        let reply = shop.get(path).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.text);
        assert!(reply.json()["error"].as_str().unwrap().contains(words), "{path}: {}", reply.text);
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let shop = Shop::open();
    let reply = shop.get(INFER).await;
    assert_eq!((reply.status, reply.header("allow")), (405, "POST"));
    assert_eq!(reply.json()["error"], "method not allowed on this path");
    // One segment holds names, which are read, and verbs, which are posted to.
    for (method, path, allowed) in [
        ("DELETE", "/v1/models/recommender", "GET,HEAD"),
        ("POST", "/v1/models/recommender", "GET,HEAD"),
        ("OPTIONS", "/v1/models/recommender:predict", "POST"),
        ("GET", "/v1/models/recommender:predict", "POST"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let reply = send(&shop.router, request).await;
        assert_eq!((reply.status, reply.header("allow")), (405, allowed), "{method} {path}");
    }
}

#[tokio::test]
async fn a_hundred_megabytes_are_refused_without_being_read() {
    let shop = Shop::open();
    for declared in [true, false] {
        let pulled = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&pulled);
        let chunks = futures::stream::iter((0..1600).map(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(Bytes::from(vec![b' '; 65_536]))
        }));
        let mut request = Request::post(PREDICT);
        if declared {
            request = request.header("content-length", 1600 * 65_536);
        }
        let reply = send(&shop.router, request.body(Body::from_stream(chunks)).unwrap()).await;
        assert_eq!(reply.status, 413);
        assert_eq!(reply.json()["error"], "request body above 2097152 bytes");
        let limit = if declared { 0 } else { 33 };
        assert!(pulled.load(Ordering::SeqCst) <= limit, "{} chunks before the refusal", pulled.load(Ordering::SeqCst));
    }
}

#[tokio::test]
async fn the_second_request_into_a_full_room_is_shed_at_once() {
    let mut small = options();
    small.limits.in_flight = 1;
    let shop = Shop::new(small);
    shop.service.install(version(7), Arc::new(artifact("")));
    let body = r#"{"instances":[{"user_id":"ann"}]}"#;
    let (first, second) = tokio::join!(shop.post(PREDICT, body), shop.post(PREDICT, body));
    assert_eq!((first.status, second.status), (200, 503));
    assert!(["1", "2", "3"].contains(&second.header("retry-after")), "{:?}", second.headers);
    assert_eq!(shop.post(PREDICT, body).await.status, 200, "the place was given back");
    assert!(
        shop.get("/metrics")
            .await
            .text
            .contains(r#"bookloop_shed_total{tenant="acme-books",model="recommender",reason="room"} 1"#)
    );
}

#[tokio::test]
async fn an_answer_that_would_come_too_late_is_not_computed() {
    let shop = Shop::open();
    let body =
        r#"{"parameters":{"timeout":0},"inputs":[{"name":"user_id","shape":[1],"datatype":"BYTES","data":["ann"]}]}"#;
    assert_eq!(shop.post(INFER, body).await.status, 504);
    let request = Request::post(PREDICT).header("x-envoy-expected-rq-timeout-ms", "0");
    let request = request.body(Body::from(r#"{"instances":[{"user_id":"ann"}]}"#)).unwrap();
    assert_eq!(send(&shop.router, request).await.status, 504);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    let mut hasty = options();
    hasty.limits.body_read = Duration::from_millis(50);
    let shop = Shop::new(hasty);
    shop.service.install(version(7), Arc::new(artifact("")));
    let never = futures::stream::pending::<Result<Bytes, Infallible>>();
    assert_eq!(shop.post(PREDICT, Body::from_stream(never)).await.status, 408);
}

#[tokio::test]
async fn a_bug_becomes_an_answer_without_details() {
    let mut broken = options();
    broken.clock = Clock::new(|| panic!("secret words"));
    let shop = Shop::new(broken);
    shop.service.install(version(7), Arc::new(artifact("")));
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let reply = shop.post(PREDICT, r#"{"instances":[{"user_id":"ann"}]}"#).await;
    std::panic::set_hook(hook);
    assert_eq!((reply.status, reply.text.as_str()), (500, r#"{"error":"internal error"}"#));
    assert!(!reply.header("x-request-id").is_empty());
}

#[tokio::test]
async fn unknown_books_and_readers_are_no_error() {
    let world = World::new().await;
    let only = world.stage(&artifact("")).await;
    world.promote(only).await;
    let (shop, _watcher) = Shop::following(&world).await;
    let told = shop.predict("nobody", r#","k":1,"history":["zz"],"exclude":["yy"]"#).await;
    assert_eq!(
        (told["fallback"].as_str(), told["recommendations"][0]["book_id"].as_str()),
        (Some("cold-reader"), Some("b4"))
    );
}
