//! V1 and V2 as clients see them, byte by byte.

use axum::{body::Body, http::Request};
use expect_test::expect;
use serde_json::Value;

use crate::world::{Shop, World, artifact, options, send};

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

#[tokio::test]
async fn v1_answers_each_reader_in_order_with_the_version_that_scored() {
    let shop = Shop::open();
    let body = r#"{"instances":[{"user_id":"ann","k":2},{"user_id":17,"k":1}]}"#;
    let reply = shop.post("/v1/models/recommender:predict", body).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"));
    assert_eq!(reply.header("x-bookloop-model-version"), "7");
    expect![[r#"
        {
          "predictions": [
            {
              "k": 2,
              "model_version": "7",
              "recommendations": [
                {
                  "author": "Jane Austen",
                  "book_id": "b2",
                  "score": 0.5,
                  "title": "Persuasion"
                },
                {
                  "book_id": "b3",
                  "score": 0.25,
                  "title": "Middlemarch"
                }
              ],
              "user_id": "ann",
              "variant": "stable"
            },
            {
              "fallback": "cold-reader",
              "k": 1,
              "model_version": "7",
              "recommendations": [
                {
                  "book_id": "b4",
                  "score": 9.0,
                  "title": "Dune"
                }
              ],
              "user_id": "17",
              "variant": "stable"
            }
          ]
        }"#]]
    .assert_eq(&pretty(&reply.json()));
}

#[tokio::test]
async fn v1_takes_books_feature_rows_and_nothing_at_all() {
    let shop = Shop::open();
    let ids = |reply: &Value| -> Vec<String> {
        let listed = reply["predictions"][0]["recommendations"].as_array().unwrap().iter();
        listed.map(|book| book["book_id"].as_str().unwrap().to_owned()).collect()
    };
    let similar = shop.post("/v1/models/recommender:predict", r#"{"inputs":[{"book_id":"b2","k":1}]}"#).await.json();
    assert_eq!((ids(&similar), similar["predictions"][0]["book_id"].as_str()), (vec!["b3".into()], Some("b2")));
    let rows = shop.post("/v1/models/recommender:predict", r#"{"instances":[[0.1,0.7]]}"#).await.json();
    assert_eq!(ids(&rows)[..2], ["b4", "b5"]);
    let sent =
        shop.post("/v1/models/recommender%3Apredict", r#"{"instances":[{"history":["b1"],"k":1}]}"#).await.json();
    assert_eq!(ids(&sent), ["b2"]);
    let none = shop.post("/v1/models/recommender:predict", r#"{"instances":[]}"#).await;
    assert_eq!((none.status, none.text.as_str()), (200, r#"{"predictions":[]}"#));
}

#[tokio::test]
async fn v1_history_exclusions_and_seen_books_are_honoured() {
    let shop = Shop::open();
    let ids = |prediction: &Value| -> Vec<String> {
        let listed = prediction["recommendations"].as_array().unwrap().iter();
        listed.map(|book| book["book_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&shop.predict("bob", r#","k":1,"history":["b2"]"#).await), ["b3"]);
    assert_eq!(ids(&shop.predict("ann", r#","k":2,"exclude":["b2"]"#).await), ["b3", "b4"]);
    assert_eq!(ids(&shop.predict("ann", r#","k":9,"history":["b2"],"include_seen":true"#).await).len(), 5);
}

#[tokio::test]
async fn probes_and_lists_have_the_bodies_clients_read() {
    let shop = Shop::open();
    for (path, body) in [
        ("/", r#"{"status":"alive"}"#),
        ("/healthz", r#"{"status":"alive"}"#),
        ("/ready", r#"{"ready":true,"state":"ready"}"#),
        ("/readyz", r#"{"ready":true,"state":"ready"}"#),
        ("/v1/models", r#"{"models":["recommender"]}"#),
        ("/v1/models/recommender", r#"{"name":"recommender","ready":true}"#),
        ("/v2/health/live", r#"{"live":true}"#),
        ("/v2/health/ready", r#"{"live":true,"ready":true}"#),
        ("/v2/models", r#"{"models":["recommender"]}"#),
        ("/v2/models/recommender/ready", r#"{"name":"recommender","ready":true}"#),
        ("/v2/models/recommender/versions/7/ready", r#"{"name":"recommender","ready":true}"#),
    ] {
        let reply = shop.get(path).await;
        assert_eq!((reply.status, reply.text.as_str()), (200, body), "{path}");
        assert_eq!(reply.header("content-type"), "application/json", "{path}");
    }
    for path in ["/v2", "/v2/"] {
        assert_eq!(shop.get(path).await.json()["name"], "bookloop", "{path}");
    }
}

#[tokio::test]
async fn without_a_model_the_process_is_live_and_not_ready() {
    let shop = Shop::new(options());
    for path in ["/", "/healthz", "/v2/health/live", "/v2/models"] {
        assert_eq!(shop.get(path).await.status, 200, "{path}");
    }
    let unready = ["/ready", "/v1/models/recommender", "/v2/health/ready", "/v2/models/recommender/ready"];
    for path in unready {
        let reply = shop.get(path).await;
        assert_eq!(reply.status, 503, "{path}");
        assert!(reply.json()["error"].is_string(), "{path}");
    }
    let asked = shop.post("/v1/models/recommender:predict", r#"{"instances":[]}"#).await;
    assert_eq!(asked.status, 503);
    assert!(["1", "2", "3"].contains(&asked.header("retry-after")), "{:?}", asked.headers);
    let index = r#"[{"name":"recommender","reason":"starting","state":"UNAVAILABLE","version":""}]"#;
    assert_eq!(shop.post("/v2/repository/index", "").await.text, index);
    assert_eq!(shop.post("/v2/repository/index", r#"{"ready":true}"#).await.text, "[]");
}

const TWO_READERS: &str = r#"{"id":"7f3","inputs":[
    {"name":"user_id","shape":[2],"datatype":"BYTES","data":["ann","bob"]},
    {"name":"k","shape":[2],"datatype":"INT32","data":[2,1]}]}"#;

#[tokio::test]
async fn v2_answers_tensors_padded_to_the_longest_list() {
    let shop = Shop::open();
    let reply = shop.post("/v2/models/recommender/infer", TWO_READERS).await;
    assert_eq!((reply.status, reply.header("x-bookloop-model-version")), (200, "7"));
    expect![[r#"{"model_name":"recommender","model_version":"7","id":"7f3","parameters":{"variant":"stable","alias":"production"},"outputs":[{"name":"item_ids","shape":[2,2],"datatype":"BYTES","data":["b2","b3","b4",""]},{"name":"scores","shape":[2,2],"datatype":"FP32","data":[0.5,0.25,9.0,0.0]},{"name":"titles","shape":[2,2],"datatype":"BYTES","data":["Persuasion","Middlemarch","Dune",""]},{"name":"model_versions","shape":[2],"datatype":"BYTES","data":["7","7"]},{"name":"fallbacks","shape":[2],"datatype":"BYTES","data":["","cold-reader"]}]}"#]]
    .assert_eq(&reply.text);
}

#[tokio::test]
async fn v2_gives_the_outputs_that_were_asked_for_in_that_order() {
    let shop = Shop::open();
    let body = r#"{"inputs":[{"name":"user_id","shape":[1,1],"datatype":"BYTES","data":[["ann"]]},
        {"name":"history","shape":[1],"datatype":"BYTES","data":["[\"b2\"]"]}],
        "outputs":[{"name":"scores"},{"name":"item_ids"}]}"#;
    let reply = shop.post("/v2/models/recommender/versions/7/infer", body).await;
    expect![[r#"{"model_name":"recommender","model_version":"7","parameters":{"variant":"stable","alias":"production"},"outputs":[{"name":"scores","shape":[1,3],"datatype":"FP32","data":[0.375,0.0,0.0]},{"name":"item_ids","shape":[1,3],"datatype":"BYTES","data":["b3","b4","b5"]}]}"#]]
    .assert_eq(&reply.text);
    let empty =
        r#"{"inputs":[{"name":"user_id","shape":[0],"datatype":"BYTES","data":[]}],"outputs":[{"name":"scores"}]}"#;
    let outputs = shop.post("/v2/models/recommender/infer", empty).await.json()["outputs"].to_string();
    assert_eq!(outputs, r#"[{"data":[],"datatype":"FP32","name":"scores","shape":[0,0]}]"#);
}

#[tokio::test]
async fn v2_metadata_and_index_name_every_resident_version() {
    let world = World::new().await;
    let first = world.stage(&artifact(" one")).await;
    world.promote(first).await;
    world.stage(&artifact(" two")).await;
    let (shop, _watcher) = Shop::following(&world).await;
    expect![[r#"{"inputs":[{"datatype":"BYTES","name":"user_id","shape":[-1]},{"datatype":"BYTES","name":"book_id","shape":[-1]},{"datatype":"BYTES","name":"history","shape":[-1]},{"datatype":"BYTES","name":"exclude","shape":[-1]},{"datatype":"INT32","name":"k","shape":[-1]},{"datatype":"FP32","name":"features","shape":[-1,-1]}],"name":"recommender","outputs":[{"datatype":"BYTES","name":"item_ids","shape":[-1,-1]},{"datatype":"FP32","name":"scores","shape":[-1,-1]},{"datatype":"BYTES","name":"titles","shape":[-1,-1]},{"datatype":"BYTES","name":"model_versions","shape":[-1]},{"datatype":"BYTES","name":"fallbacks","shape":[-1]}],"platform":"bookloop_neighbours","properties":{"books":"5"},"versions":["1","2"]}"#]]
    .assert_eq(&shop.get("/v2/models/recommender").await.json().to_string());
    assert_eq!(shop.get("/v2/models/recommender/versions/2").await.status, 200);
    expect![[r#"[{"name":"recommender","reason":"","state":"READY","version":"1"},{"name":"recommender","reason":"","state":"READY","version":"2"}]"#]]
    .assert_eq(&shop.post("/v2/repository/index", r#"{"ready":true}"#).await.json().to_string());
}

#[tokio::test]
async fn the_convenience_query_gives_one_prediction() {
    let shop = Shop::open();
    let reply = shop.get("/recommend?user_id=ann&k=1").await;
    expect![[r#"{"user_id":"ann","k":1,"recommendations":[{"book_id":"b2","score":0.5,"title":"Persuasion","author":"Jane Austen"}],"model_version":"7","variant":"stable"}"#]]
    .assert_eq(&reply.text);
    assert_eq!(shop.get("/recommend?book_id=b1").await.json()["k"], 5);
}

#[tokio::test]
async fn ids_of_the_caller_come_back_and_missing_ones_are_made() {
    let shop = Shop::open();
    let with = |path: &str, headers: &[(&str, &str)]| {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    };
    let both = with("/healthz", &[("X-Correlation-ID", "page-1"), ("X-Request-Id", "call-7")]);
    let reply = send(&shop.router, both).await;
    assert_eq!((reply.header("x-correlation-id"), reply.header("x-request-id")), ("page-1", "call-7"));
    let reply = send(&shop.router, with("/no/such/path", &[("x-correlation-id", "page-2")])).await;
    assert_eq!((reply.status, reply.header("x-correlation-id")), (404, "page-2"));
    assert_eq!(reply.header("x-request-id").len(), 36);
    let reply = send(&shop.router, with("/healthz", &[("x-correlation-id", "spaces are not kept")])).await;
    assert_eq!(reply.header("x-correlation-id"), reply.header("x-request-id"));
}

#[tokio::test]
async fn metrics_live_on_the_main_port_only_without_an_admin_port() {
    let shop = Shop::open();
    shop.predict("ann", "").await;
    let metrics = shop.get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    let line = r#"bookloop_requests_total{tenant="acme-books",model="recommender",version="7",arm="stable",protocol="v1",code="200"} 1"#;
    assert!(metrics.text.contains(line), "{}", metrics.text);
    assert_eq!(shop.get("/experiments").await.text, r#"{"ended":[],"experiments":[],"shadow":[]}"#);

    let mut apart = options();
    apart.admin = Some("127.0.0.1:0".parse().unwrap());
    let shop = Shop::new(apart);
    assert_eq!(shop.get("/metrics").await.status, 404);
    let admin = serve::admin(std::sync::Arc::clone(&shop.fleet));
    let reply = send(&admin, Request::get("/metrics").body(Body::empty()).unwrap()).await;
    assert!(reply.text.ends_with("# EOF\n"));
}
