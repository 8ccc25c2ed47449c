//! Filters, caps, diversity and the kill switch through every door and for every kind of question.

use std::sync::Arc;

use axum::{body::Body, http::Request};
use expect_test::expect;
use models::{Artifact, Book, BookRow, Catalogue, Neighbours, Readers, Scorer};
use serde_json::Value;

use crate::world::{Shop, World, artifact, options, send, version};

const PREDICT: &str = "/v1/models/recommender:predict";

/// b1 and b2 by Austen in English, b3 and b5 by Camus in German and French; b4 cannot be sold. b1 leads to b2 (.5) and b3
/// (.25), which Ann has read; b4 is the most popular (9), then b5 (4), b3, b2 and b1 (1).
fn shop() -> Shop {
    let shelf = [
        ("b1", "en", "Jane Austen"),
        ("b2", "en-GB", "Jane Austen"),
        ("b3", "de", "Albert Camus"),
        ("b4", "en", "Frank Herbert"),
        ("b5", "fr", "Albert Camus"),
    ];
    let books = shelf.map(|(id, language, author)| Book {
        language: Some(language.into()),
        authors: vec![author.into()],
        available: id != "b4",
        ..Book::bare(id.parse().unwrap())
    });
    let near = Neighbours::new(5, vec![0, 2, 2, 2, 2, 2], vec![BookRow(1), BookRow(2)], vec![0.5, 0.25]).unwrap();
    let readers = Readers::new([("ann".parse().unwrap(), vec![BookRow(0)])]);
    let popularity = vec![1.0, 2.0, 3.0, 9.0, 4.0];
    let model = Artifact::new(Catalogue::new(books), popularity, Scorer::Neighbours(near), readers).unwrap();
    let shop = Shop::new(options());
    shop.service.install(version(7), Arc::new(model));
    shop
}

/// Ids of a prediction's list, then its fallback.
fn told(prediction: &Value) -> String {
    let listed = prediction["recommendations"].as_array().unwrap().iter();
    let ids: Vec<&str> = listed.map(|book| book["book_id"].as_str().unwrap()).collect();
    format!("{} {}", ids.join(" "), prediction["fallback"].as_str().unwrap_or("-"))
}

#[tokio::test]
async fn v1_obeys_rules_for_readers_similar_books_and_sessions() {
    let shop = shop();
    for (instance, want) in [
        (r#""user_id":"ann","k":3"#, "b2 b3 b5 sparse-history"),
        (r#""user_id":"ann","k":3,"available_only":false"#, "b2 b3 b4 sparse-history"),
        (r#""user_id":"ann","k":3,"available_only":true"#, "b2 b3 b5 sparse-history"),
        (r#""user_id":"ann","k":1,"languages":["de"]"#, "b3 -"),
        (r#""user_id":"ann","k":3,"languages":["DE","fr"]"#, "b3 b5 filtered-out"),
        (r#""user_id":"ann","k":9"#, "b2 b3 b5 sparse-history"),
        (r#""user_id":"ann","k":2,"exclude_authors":["Jane Austen"]"#, "b3 b5 sparse-history"),
        (r#""user_id":"ann","k":2,"exclude_subjects":["war"]"#, "b2 b3 -"),
        (r#""user_id":"new","k":3"#, "b5 b3 b2 cold-reader"),
        (r#""user_id":"new","k":2,"max_per_author":1"#, "b5 b2 cold-reader"),
        (r#""user_id":"new","k":3,"max_per_author":1,"max_per_series":1"#, "b5 b2 filtered-out"),
        // Scaled 1, 2/3, 1/3, 0 and then the 2/3 is by the author of the first: .2 * 2/3 - .8 * .6 < .2 / 3.
        (r#""user_id":"new","k":2,"diversity":0.8"#, "b5 b2 cold-reader"),
        (r#""user_id":"new","k":2,"diversity":0.1"#, "b5 b3 cold-reader"),
        (r#""book_id":"b1","k":1,"languages":["de"]"#, "b3 -"),
        (r#""book_id":"b1","k":2,"languages":["en"]"#, "b2 filtered-out"),
        (r#""history":["b1"],"k":2,"exclude_authors":["Albert Camus"]"#, "b2 filtered-out"),
        (r#""history":["b1"],"k":1,"languages":["de","fr"],"diversity":0.5"#, "b3 -"),
    ] {
        let reply = shop.post(PREDICT, format!(r#"{{"instances":[{{{instance}}}]}}"#)).await;
        assert_eq!(reply.status, 200, "{instance}: {}", reply.text);
        assert_eq!(told(&reply.json()["predictions"][0]), want, "{instance}");
    }
    let counted = r#"bookloop_fallback_total{tenant="acme-books",model="recommender",version="7",arm="stable",reason="filtered-out"} 4"#;
    assert!(shop.get("/metrics").await.text.contains(counted));
}

#[tokio::test]
async fn v2_takes_rules_as_parameters_for_all_its_readers() {
    let shop = shop();
    let body = r#"{"parameters":{"languages":"[\"de\",\"fr\"]","max_per_author":1},"outputs":[{"name":"item_ids"},
        {"name":"scores"},{"name":"fallbacks"}],"inputs":[{"name":"user_id","shape":[2],"datatype":"BYTES",
        "data":["ann","new"]},{"name":"k","shape":[1],"datatype":"INT32","data":[2]}]}"#;
    let reply = shop.post("/v2/models/recommender/infer", body).await;
    expect![[r#"{"model_name":"recommender","model_version":"7","parameters":{"variant":"stable","alias":"production"},"outputs":[{"name":"item_ids","shape":[2,1],"datatype":"BYTES","data":["b3","b5"]},{"name":"scores","shape":[2,1],"datatype":"FP32","data":[0.25,4.0]},{"name":"fallbacks","shape":[2],"datatype":"BYTES","data":["filtered-out","filtered-out"]}]}"#]]
    .assert_eq(&reply.text);
}

#[tokio::test]
async fn the_convenience_query_takes_rules_by_name() {
    let shop = shop();
    let query = "/recommend?user_id=ann&k=2&languages=de,fr&max_per_author=1&available_only=false&diversity=0";
    expect![[r#"{"user_id":"ann","k":2,"recommendations":[{"book_id":"b3","score":0.25,"author":"Albert Camus"}],"model_version":"7","variant":"stable","fallback":"filtered-out"}"#]]
    .assert_eq(&shop.get(query).await.text);
    let similar = shop.get("/recommend?book_id=b1&k=1&languages=de&max_per_series=2&diversity=0.5").await.json();
    assert_eq!(told(&similar), "b3 -");
}

#[tokio::test]
async fn rules_that_cannot_be_are_told_so_at_every_door() {
    let shop = shop();
    for (rule, words) in [
        (r#""available_only":1"#, "invalid type: integer `1`, expected a boolean"),
        (r#""languages":"en""#, "invalid type: string \"en\", expected a sequence"),
        (r#""languages":["e n"]"#, "instances[0]: languages: expected tags such as en or pt-BR, found \"e n\""),
        (r#""exclude_authors":[""]"#, "instances[0]: exclude_authors: expected 1 to 256 bytes each, found \"\""),
        (r#""max_per_author":0"#, "instances[0]: max_per_author: expected an integer from 1 to 1000, found 0"),
        (r#""diversity":-0.1"#, "instances[0]: diversity: expected a number from 0 to 1, found -0.1"),
        (r#""k":101,"diversity":0.1"#, "instances[0]: diversity: expected k of at most 100 with it, found 101"),
    ] {
        let reply = shop.post(PREDICT, format!(r#"{{"instances":[{{"user_id":"ann",{rule}}}]}}"#)).await;
        let error = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(reply.status == 400 && error.contains(words), "{rule}: {error}");
    }
    for (rule, words) in [
        ("available_only=yes", "available_only: expected true or false, found \"yes\""),
        ("languages=en,,de", "languages: expected 1 to 256 bytes each, found \"\""),
        ("max_per_author=two", "max_per_author: expected an integer from 1 to 1000, found \"two\""),
        ("max_per_series=1001", "max_per_series: expected an integer from 1 to 1000, found 1001"),
        ("diversity=NaN", "diversity: expected a number from 0 to 1, found NaN"),
    ] {
        let reply = shop.get(&format!("/recommend?user_id=ann&{rule}")).await;
        assert_eq!((reply.status, reply.json()["error"].as_str()), (400, Some(words)), "{rule}");
    }
    let infer = |parameters: &str, k: usize| {
        format!(
            r#"{{"parameters":{{{parameters}}},"inputs":[{{"name":"user_id","shape":[1],"datatype":"BYTES","data":["ann"]}},
            {{"name":"k","shape":[1],"datatype":"INT32","data":[{k}]}}]}}"#
        )
    };
    for (parameters, k, words) in [
        (r#""languages":"en""#, 1, "parameter languages: expected a list of texts as JSON"),
        (r#""diversity":0.1"#, 101, "diversity: expected k of at most 100 with it, found 101"),
    ] {
        let reply = shop.post("/v2/models/recommender/infer", infer(parameters, k)).await;
        let error = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(reply.status == 400 && error.starts_with(words), "{parameters}: {error}");
    }
}

#[tokio::test]
async fn the_kill_switch_gives_everyone_popular_books_until_it_is_turned_back() {
    let world = World::new().await;
    let first = world.stage(&artifact(" one")).await;
    world.promote(first).await;
    let second = world.stage(&artifact(" two")).await;
    world.trial(second, 10_000).await;
    let (shop, _watcher) = Shop::following(&world).await;
    let admin = serve::admin(Arc::clone(&shop.fleet));
    let turn =
        async |body: &str| send(&admin, Request::put("/kill-switch").body(Body::from(body.to_owned())).unwrap()).await;
    let counted = || shop.service.experiment().unwrap().step().canary.requests;
    assert_eq!(shop.predict("ann", r#","k":2"#).await["variant"], "canary");
    assert_eq!(counted(), 1);

    assert_eq!(turn(r#"{"popular_only":true}"#).await.text, r#"{"popular_only":true}"#);
    let killed = shop.predict("ann", r#","k":2,"exclude":["b5"]"#).await;
    // Ann has read b1, so that b3 is what popularity has left.
    assert_eq!((told(&killed).as_str(), &killed["variant"]), ("b4 b3 kill-switch", &Value::from("stable")));
    assert_eq!(told(&shop.predict("ann", r#","k":9"#).await), "b4 b5 b3 b2 kill-switch");
    assert_eq!(told(&shop.predict("ann", r#","k":9,"include_seen":true"#).await), "b4 b5 b3 b2 b1 kill-switch");
    assert_eq!(counted(), 1, "what the switch answers is no evidence");
    let metrics = shop.get("/metrics").await.text;
    assert!(metrics.contains("bookloop_kill_switch 1"));

    assert_eq!(turn(r#"{"popular_only":1}"#).await.status, 400);
    assert_eq!(turn(r#"{"popular_only":false}"#).await.status, 200);
    let state = send(&admin, Request::get("/kill-switch").body(Body::empty()).unwrap()).await;
    assert_eq!(state.text, r#"{"popular_only":false}"#);
    assert_eq!(told(&shop.predict("ann", r#","k":2"#).await), "b2 b3 -");
    assert_eq!(shop.get("/kill-switch").await.status, 404, "nobody outside turns it");
}

#[tokio::test]
async fn a_predictor_may_start_with_the_switch_turned() {
    let mut careful = options();
    careful.popular_only = true;
    let shop = Shop::new(careful);
    shop.service.install(version(7), Arc::new(artifact("")));
    assert_eq!(told(&shop.predict("ann", r#","k":1"#).await), "b4 kill-switch");
}
