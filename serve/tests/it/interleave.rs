//! Some readers of a trial are given lists of both versions: what they see, what is told of it, and what their clicks do.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use models::{Artifact, Book, Catalogue, Readers, Scorer, split::WHOLE_BP, stream::Producer};
use serde_json::{Value, json};
use serve::{ModelSource, Options, Server, judge::Decision};

use crate::world::{Recorder, Reply, Shop, World, artifact, options, overflowing, send, version};

/// Books by how they are liked, whose titles say which version knows them so.
fn liking(books: &str, tag: &str) -> Artifact {
    let mut liked: Vec<(&str, f32)> = books.split(' ').zip((0_u8..9).map(|place| 9.0 - f32::from(place))).collect();
    liked.sort_by_key(|(id, _)| *id);
    let shelf =
        liked.iter().map(|(id, _)| Book { title: Some(format!("{id} {tag}")), ..Book::bare(id.parse().unwrap()) });
    let popularity = liked.iter().map(|(_, value)| *value).collect();
    Artifact::new(Catalogue::new(shelf), popularity, Scorer::Popularity, Readers::new([])).unwrap()
}

/// Version 1 likes b1 to b5 in this order, version 2, on trial at a weight, b6 to b1: no book is in one place of both.
async fn on_trial(weight_bp: u16, interleave_bp: u16) -> (World, Shop, serve::Watcher) {
    let world = World::new().await;
    let first = world.stage(&liking("b1 b2 b3 b4 b5", "one")).await;
    world.promote(first).await;
    let second = world.stage(&liking("b6 b5 b4 b3 b2 b1", "two")).await;
    world.trial(second, weight_bp).await;
    let (shop, watcher) = following(&world, interleave_bp).await;
    (world, shop, watcher)
}

async fn following(world: &World, interleave_bp: u16) -> (Shop, serve::Watcher) {
    let shop = Shop::new(Options { interleave_bp, ..options() });
    let mut watcher = serve::Watcher::new(Arc::clone(&shop.service), Arc::clone(&world.registry));
    watcher.look().await;
    (shop, watcher)
}

/// A reader's list of `k` under a request id.
async fn ask(router: &Router, request: &str, reader: &str, more: &str) -> Reply {
    let body = format!(r#"{{"instances":[{{"user_id":"{reader}"{more}}}]}}"#);
    let asked = Request::post("/v1/models/recommender:predict").header("x-request-id", request);
    let reply = send(router, asked.body(Body::from(body)).unwrap()).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply
}

async fn click(router: &Router, request: &str, reader: &str, book: &str) {
    let body = format!(r#"{{"request_id":"{request}","user_id":"{reader}","item_id":"{book}","kind":"click"}}"#);
    let reply = send(router, Request::post("/outcomes").body(Body::from(body)).unwrap()).await;
    assert_eq!(reply.json()["joined"], 1, "{}", reply.text);
}

fn first(reply: &Reply) -> Value {
    reply.json()["predictions"][0].clone()
}

fn titles(prediction: &Value) -> Vec<&str> {
    prediction["recommendations"].as_array().unwrap().iter().map(|book| book["title"].as_str().unwrap()).collect()
}

/// `readers wins/losses` as shown to operators.
async fn shown(shop: &Shop) -> String {
    let told = shop.get("/experiments").await.json();
    let preference = &told["experiments"][0]["numbers"]["preference"];
    format!("{} {}/{}", preference["readers"], preference["wins"], preference["losses"])
}

#[tokio::test]
async fn a_list_of_both_holds_books_of_both_and_says_so_everywhere() {
    let (_world, shop, _watcher) = on_trial(1000, WHOLE_BP).await;
    let mut openings = BTreeSet::new();
    for n in 0..20 {
        let reply = ask(&shop.router, &format!("q{n}"), "ann", r#","k":4"#).await;
        assert_eq!(reply.header("x-bookloop-model-version"), "1,2");
        let told = first(&reply);
        assert_eq!((&told["variant"], &told["model_version"]), (&json!("interleaved"), &json!("1")));
        let listed = titles(&told);
        openings.insert(listed[0].to_owned());
        assert_eq!(BTreeSet::from_iter(listed), BTreeSet::from(["b1 one", "b2 one", "b5 two", "b6 two"]));
    }
    assert_eq!(openings, ["b1 one", "b6 two"].map(String::from).into(), "each request tosses its own coin");
    let tensors = r#"{"inputs":[{"name":"user_id","shape":[1],"datatype":"BYTES","data":["ann"]},
        {"name":"k","shape":[1],"datatype":"INT32","data":[4]}],"outputs":[{"name":"titles"},{"name":"model_versions"}]}"#;
    let infer = shop.post("/v2/models/recommender/infer", tensors).await.json();
    assert_eq!(infer["parameters"], json!({"variant": "interleaved", "alias": "production"}));
    let listed = infer["outputs"][0]["data"].as_array().unwrap();
    assert_eq!(listed.iter().filter(|title| title.as_str().unwrap().ends_with("two")).count(), 2, "{listed:?}");
    assert_eq!(infer["outputs"][1]["data"], json!(["1"]));

    shop.service.events().flush().await;
    let record = &shop.stream.records("ml.predictions")[0];
    let team = |id: &Value| if ["b1", "b2"].contains(&id.as_str().unwrap()) { "stable" } else { "canary" };
    let teams: Vec<&str> = record["predictions"].as_array().unwrap().iter().map(team).collect();
    assert_eq!((&record["mode"], &record["teams"]), (&json!("interleave"), &json!(teams)));
    assert_eq!((record.get("scores"), record.get("list_popularity")), (None, None), "they would not compare");
    assert_eq!((&record["model"]["version"], &record["model"]["arm"]), (&json!(1), &json!("stable")));
}

#[tokio::test]
async fn its_readers_are_a_sticky_share_and_count_in_nothing_else_of_the_trial() {
    let (_world, shop, _watcher) = on_trial(2500, 3000).await;
    let snapshot = shop.service.snapshot().unwrap();
    let (mut given, mut on_arms) = (0_u32, [0_u64; 2]);
    for n in 0..2000 {
        let reader = format!("reader-{n}");
        let told = first(&ask(&shop.router, &format!("q{n}"), &reader, r#","k":1"#).await);
        let assigned = snapshot.assign("acme-books", reader.parse().ok().as_ref()).arm;
        if told["variant"] == "interleaved" {
            given += 1;
        } else {
            assert_eq!(told["variant"], assigned.as_str(), "the others are split as ever");
            on_arms[usize::from(told["variant"] == "canary")] += 1;
        }
        if n % 50 == 0 {
            let again = first(&ask(&shop.router, &format!("again{n}"), &reader, r#","k":1"#).await);
            assert_eq!(again["variant"], told["variant"], "{reader} stays");
        }
    }
    // Binomial: 600 with a standard deviation of 20; five of them.
    assert!((500..=700).contains(&given), "{given} of 2000 at 30 %");
    let step = shop.service.experiment().unwrap().step();
    assert_eq!([step.stable.arrived, step.canary.arrived], on_arms);
    assert_eq!(shown(&shop).await, format!("{given} 0/0"));
    let metrics = shop.get("/metrics").await.text;
    let of = r#"{tenant="acme-books",model="recommender""#;
    assert!(metrics.contains(&format!("bookloop_interleaved_readers{of}}} {given}")), "{metrics}");
    assert!(
        metrics.contains(&format!(
            r#"bookloop_requests_total{of},version="1",arm="interleaved",protocol="v1",code="200"}}"#
        ))
    );
}

#[tokio::test]
async fn the_first_click_on_a_sides_book_is_credited_once_a_reader() {
    let (_world, shop, _watcher) = on_trial(1000, WHOLE_BP).await;
    for reader in ["ann", "bob", "cat"] {
        ask(&shop.router, &format!("of-{reader}"), reader, r#","k":4"#).await;
    }
    click(&shop.router, "of-ann", "ann", "b9").await;
    assert_eq!(shown(&shop).await, "3 0/0", "not a book of the list");
    click(&shop.router, "of-ann", "ann", "b6").await;
    click(&shop.router, "of-ann", "ann", "b1").await;
    click(&shop.router, "of-bob", "bob", "b2").await;
    let late = r#"{"request_id":"of-cat","user_id":"cat","item_id":"b1","kind":"click","at":"2026-03-01T12:31:00Z"}"#;
    shop.post("/outcomes", late).await;
    let bought = r#"{"request_id":"of-cat","user_id":"cat","item_id":"b1","kind":"purchase"}"#;
    shop.post("/outcomes", bought).await;
    assert_eq!(shown(&shop).await, "3 1/1", "not after half an hour, and not a purchase");
    let step = shop.service.experiment().unwrap().step();
    assert_eq!((step.stable.clicked, step.canary.clicked, step.stable.requests, step.canary.requests), (0, 0, 0, 0));
    let metrics = shop.get("/metrics").await.text;
    for arm in ["stable", "canary"] {
        let line = format!(r#"bookloop_interleaved_credits{{tenant="acme-books",model="recommender",arm="{arm}"}} 1"#);
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[tokio::test]
async fn everyone_alone_against_itself_pinned_or_nobody_means_one_version() {
    let (world, shop, mut watcher) = on_trial(1000, WHOLE_BP).await;
    let variant = |reply: Reply| first(&reply)["variant"].as_str().unwrap().to_owned();
    let nobody = shop.post("/v1/models/recommender:predict", r#"{"instances":[{"book_id":"b1"}]}"#).await;
    assert_eq!(variant(nobody), "stable");
    let tensors = r#"{"inputs":[{"name":"user_id","shape":[1],"datatype":"BYTES","data":["ann"]}]}"#;
    let pinned = shop.post("/v2/models/recommender/versions/2/infer", tensors).await.json();
    assert_eq!(pinned["parameters"]["variant"], "canary");
    shop.fleet.turn_popular_only(true);
    assert_eq!(variant(ask(&shop.router, "q", "ann", "").await), "stable");
    shop.fleet.turn_popular_only(false);
    world.trial(version(2), WHOLE_BP).await;
    watcher.look().await;
    assert_eq!(variant(ask(&shop.router, "q", "ann", "").await), "canary", "at 100 % it carries everyone alone");
    world.trial(version(2), 0).await;
    world.trial_under(version(1), 5000, 3).await;
    watcher.look().await;
    assert!(shop.service.experiment().unwrap().aa);
    assert_ne!(variant(ask(&shop.router, "q", "ann", "").await), "interleaved");
    assert_eq!(shown(&shop).await, "null null/null");
}

#[tokio::test]
async fn a_version_that_cannot_score_leaves_productions_list_and_its_guard_rails_alone() {
    let world = World::new().await;
    let one = world.stage(&artifact(" one")).await;
    world.promote(one).await;
    let two = world.stage(&overflowing()).await;
    world.trial(two, 1000).await;
    let (shop, _watcher) = following(&world, WHOLE_BP).await;
    let told = first(&ask(&shop.router, "q", "ann", r#","k":1,"history":["b1"]"#).await);
    assert_eq!((&told["variant"], &told["fallback"]), (&json!("stable"), &json!("canary-not-finite")));
    assert_eq!(titles(&told), ["Persuasion one"]);
    click(&shop.router, "q", "ann", "b2").await;
    let step = shop.service.experiment().unwrap().step();
    assert_eq!((step.stable.requests, step.canary.requests, step.stable.clicked), (0, 0, 0));
    assert_eq!(shown(&shop).await, "null null/null");
    shop.service.events().flush().await;
    let record = &shop.stream.records("ml.predictions")[0];
    assert_eq!((&record["mode"], record.get("teams")), (&json!("interleave"), None));
    let charged = r#"fallback_total{tenant="acme-books",model="recommender",version="2",arm="canary",reason="canary-not-finite"} 1"#;
    assert!(shop.get("/metrics").await.text.contains(charged));
}

/// Losses alone show harm after twenty-two, see `judge/preference.rs`.
#[tokio::test]
async fn a_version_whose_books_nobody_clicks_is_rolled_back_and_one_whose_books_all_click_stays_where_it_is() {
    for (clicked, verdict) in [("b1", "rollback"), ("b6", "hold")] {
        let (_world, shop, mut watcher) = on_trial(1000, WHOLE_BP).await;
        for n in 0..22 {
            assert_eq!(shop.get("/experiments").await.json()["experiments"][0]["verdict"], "hold", "after {n} clicks");
            let (request, reader) = (format!("q{n}"), format!("reader-{n}"));
            ask(&shop.router, &request, &reader, r#","k":2"#).await;
            click(&shop.router, &request, &reader, clicked).await;
        }
        let told = shop.get("/experiments").await.json()["experiments"][0].clone();
        assert_eq!(told["verdict"], verdict, "{told}");
        let better = &told["numbers"]["preference"]["better"]["shown"];
        assert_eq!(*better, json!(verdict == "hold"));
        let experiment = shop.service.experiment().unwrap();
        if let Decision::RollBack { why } = &experiment.judgement.decision {
            assert!(why.starts_with("readers of both lists prefer stable: e-value 100 "), "{why}");
            assert!(shop.get("/metrics").await.text.contains("bookloop_interleaved_readers{"));
            assert!(shop.service.end_trial(&experiment));
            watcher.look().await;
            let told = first(&ask(&shop.router, "q", "reader-1", r#","k":2"#).await);
            assert_eq!((titles(&told), &told["variant"]), (vec!["b1 one", "b2 one"], &json!("stable")));
            assert_eq!(shop.get("/experiments").await.json()["ended"][0]["verdict"], "rollback");
            assert!(!shop.get("/metrics").await.text.contains("bookloop_interleaved_readers{"));
        }
    }
}

/// A click on a list that an earlier trial drafted says nothing of the running one.
#[tokio::test]
async fn a_click_counts_in_the_trial_that_drafted_its_list_only() {
    let (world, shop, mut watcher) = on_trial(1000, WHOLE_BP).await;
    ask(&shop.router, "before", "ann", r#","k":2"#).await;
    world.trial(version(2), 0).await;
    world.trial_under(version(2), 1000, 9).await;
    watcher.look().await;
    ask(&shop.router, "after", "ann", r#","k":2"#).await;
    click(&shop.router, "before", "ann", "b1").await;
    assert_eq!(shown(&shop).await, "1 0/0");
    click(&shop.router, "after", "ann", "b6").await;
    assert_eq!(shown(&shop).await, "1 1/0");
}

#[tokio::test]
async fn processes_tell_each_other_whom_they_gave_such_lists_and_a_reader_of_two_counts_once() {
    let (world, ..) = on_trial(1000, 0).await;
    let process = async |name: &str| {
        let exchange_interval = Duration::from_hours(1);
        let options = Options { process: Some(name.into()), interleave_bp: WHOLE_BP, exchange_interval, ..options() };
        let source = ModelSource::Registry(Arc::clone(&world.registry));
        let running = Server::start(options, source, Arc::new(Recorder::default()) as Arc<dyn Producer>).await.unwrap();
        running.look_now().await;
        let router = serve::rest(Arc::clone(running.fleet()));
        (running, router)
    };
    let ((a, at_a), (b, at_b)) = (process("a").await, process("b").await);
    for (router, reader, book) in
        [(&at_a, "ann", "b6"), (&at_a, "bob", "b1"), (&at_b, "bob", "b1"), (&at_b, "cat", "b1"), (&at_b, "dan", "b9")]
    {
        ask(router, &format!("of-{reader}"), reader, r#","k":2"#).await;
        click(router, &format!("of-{reader}"), reader, book).await;
    }
    for running in [&a, &b, &a] {
        running.exchange_now().await;
    }
    let credits = |running: &serve::Running| running.experiment().unwrap().judgement.numbers.evidence.interleaved;
    let told = serde_json::to_value(credits(&a)).unwrap();
    assert_eq!(told, json!({"readers": 4, "wins": 1, "losses": 2}));
    assert_eq!(credits(&a), credits(&b));
}
