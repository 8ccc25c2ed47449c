//! What is in memory: loaded when it is asked for, once for all who wait, let go for others, by hand, and at the start.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use models::{Version, stream::Producer};
use serve::{ModelSource, Options, Selection, Served, Server, State};

use super::{ANN, Mall, PREDICT, all, behind_a_mesh, length, request, shelf, until};
use crate::world::{Recorder, Shelf, World, artifact, send};

/// Model files that were read so far.
fn models_read(shelf: &Shelf) -> usize {
    shelf.models_read.load(Ordering::SeqCst)
}

#[tokio::test]
async fn a_model_is_loaded_when_first_asked_for_and_once_for_all_who_wait() {
    let shelf = shelf().await;
    let mall = Mall::open(behind_a_mesh(), all(&shelf, false)).await;
    assert!(
        mall.running.ready(Duration::from_secs(10)).await,
        "models that are asked for later are waited for by nobody"
    );
    let asleep = |name: &str| format!("{name}: UNAVAILABLE it is loaded when it is asked for");
    assert_eq!(
        mall.index().await,
        ["acme-books/next", "acme-books/recommender", "other-books/recommender"].map(asleep)
    );
    let ready = mall.get("acme-books", "/v2/models/next/ready").await;
    let words = "model next is not ready: it is loaded when it is asked for";
    assert_eq!((ready.status, ready.json()["error"].as_str()), (503, Some(words)));
    assert_eq!(models_read(&shelf), 0, "asking whether it is ready loads nothing");

    shelf.holds_models.store(true, Ordering::SeqCst);
    let many = futures::future::join_all((0..20).map(|_| mall.post("acme-books", "/v1/models/next:predict", ANN)));
    let release = async {
        until(|| models_read(&shelf) == 1).await;
        shelf.holds_models.store(false, Ordering::SeqCst);
    };
    let (answers, ()) = tokio::join!(many, release);
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(models_read(&shelf), 1, "twenty waited for one load");
    assert_eq!(mall.get("acme-books", "/v2/models/next/ready").await.status, 200);
    let awake = "acme-books/next: READY".to_owned();
    assert_eq!(mall.index().await, [awake, asleep("acme-books/recommender"), asleep("other-books/recommender")]);
    // Reading what a model is loads it too: whoever asks is about to use it.
    assert_eq!(mall.get("other-books", "/v2/models/recommender").await.json()["versions"][0], "1");
}

#[tokio::test]
async fn who_cannot_wait_for_a_load_is_told_so_and_the_load_goes_on() {
    let shelf = shelf().await;
    let mut hasty = behind_a_mesh();
    hasty.limits.deadline = Duration::from_millis(60);
    let mall = Mall::open(hasty, all(&shelf, false)).await;
    shelf.holds_models.store(true, Ordering::SeqCst);
    let refused = mall.post("acme-books", PREDICT, ANN).await;
    assert_eq!(
        (refused.status, refused.json()["error"].as_str()),
        (503, Some("model recommender is not ready: loading"))
    );
    assert!(["1", "2", "3"].contains(&refused.header("retry-after")), "{:?}", refused.headers);
    shelf.holds_models.store(false, Ordering::SeqCst);
    until(|| mall.running.fleet().service("acme-books", "recommender").unwrap().snapshot().is_some()).await;
    assert_eq!(mall.ask("acme-books", "recommender").await, "Persuasion acme/recommender");
    assert_eq!(models_read(&shelf), 1);
}

#[tokio::test]
async fn of_three_models_under_a_budget_for_two_the_one_asked_for_longest_ago_is_let_go() {
    let shelf = shelf().await;
    let limit = 2 * length() + length() / 2;
    let mall = Mall::open(Options { model_bytes: limit, ..behind_a_mesh() }, all(&shelf, false)).await;
    let pause = || tokio::time::sleep(Duration::from_millis(2));
    for (tenant, model) in [
        ("acme-books", "recommender"),
        ("other-books", "recommender"),
        ("acme-books", "recommender"),
        ("acme-books", "next"),
    ] {
        mall.ask(tenant, model).await;
        assert!(mall.metric("bookloop_model_bytes_held") <= limit);
        pause().await;
    }
    let asleep = "other-books/recommender: UNAVAILABLE it is loaded when it is asked for";
    assert_eq!(mall.index().await, ["acme-books/next: READY", "acme-books/recommender: READY", asleep]);
    assert_eq!(mall.metric("bookloop_model_bytes_held"), 2 * length());
    assert_eq!(mall.metric(r#"bookloop_model_bytes{tenant="other-books",model="recommender"}"#), 0);
    let let_go = r#"bookloop_swaps_total{tenant="other-books",model="recommender",result="let-go"}"#;
    assert_eq!(mall.metric(let_go), 1);
    assert_eq!(mall.ask("other-books", "recommender").await, "Persuasion othr/recommender", "and comes back");
    assert_eq!(mall.index().await[1], "acme-books/recommender: UNAVAILABLE it is loaded when it is asked for");
    assert!(mall.running.fleet().state().is_ready(), "what is let go is no trouble");
}

#[tokio::test]
async fn a_model_that_a_request_holds_is_not_let_go() {
    let shelf = shelf().await;
    let mut tight = Options { model_bytes: length(), ..behind_a_mesh() };
    tight.limits.deadline = Duration::from_secs(1);
    let mall = Mall::open(tight, all(&shelf, false)).await;
    mall.ask("acme-books", "recommender").await;
    let held = mall.running.fleet().service("acme-books", "recommender").unwrap().snapshot();
    let refused = mall.post("other-books", PREDICT, ANN).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert_eq!(mall.ask("acme-books", "recommender").await, "Persuasion acme/recommender");
    drop(held);
    until(|| mall.running.fleet().service("other-books", "recommender").unwrap().snapshot().is_some()).await;
    assert_eq!(mall.ask("other-books", "recommender").await, "Persuasion othr/recommender");
    assert_eq!(mall.metric("bookloop_model_bytes_held"), length());
}

#[tokio::test]
async fn a_budget_that_is_too_small_for_a_model_is_said() {
    let shelf = shelf().await;
    let tiny = Options { model_bytes: 10, ..behind_a_mesh() };
    let mall = Mall::open(tiny.clone(), all(&shelf, false)).await;
    let refused = mall.post("acme-books", PREDICT, ANN).await;
    let words = refused.json()["error"].as_str().unwrap().to_owned();
    let begins = words.starts_with("model recommender is not ready: version 1 has no room: it takes ");
    assert!(
        refused.status == 503 && begins && words.ends_with("the models of this process may take 10 bytes"),
        "{words}"
    );
    let start = async |options: Options| {
        let stream = Arc::new(Recorder::default()) as Arc<dyn Producer>;
        Server::start(options, ModelSource::Store(all(&shelf, true)), stream).await.map(drop)
    };
    let alone = start(tiny).await.unwrap_err().to_string();
    assert!(alone.starts_with("model next of acme-books takes "), "{alone}");
    let together = start(Options { model_bytes: 2 * length(), ..behind_a_mesh() }).await.unwrap_err().to_string();
    assert!(together.starts_with("the models that are loaded from the start take "), "{together}");
}

#[tokio::test]
async fn both_versions_of_a_trial_count_and_its_evidence_outlives_a_rest() {
    let shelf = shelf().await;
    let acme = World::of(&shelf, "acme-books").await;
    let two = acme.stage(&artifact(" acme/reco-----v2")).await;
    acme.trial(two, 10_000).await;
    let mall = Mall::open(Options { model_bytes: 2 * length(), ..behind_a_mesh() }, all(&shelf, false)).await;
    assert_eq!(mall.ask("acme-books", "recommender").await, "Persuasion acme/reco-----v2");
    assert_eq!(mall.metric(r#"bookloop_model_bytes{tenant="acme-books",model="recommender"}"#), 2 * length());
    mall.ask("other-books", "recommender").await;
    assert!(mall.running.fleet().trials().is_empty(), "both were let go");
    mall.ask("acme-books", "recommender").await;
    let trials = mall.running.fleet().trials();
    let step = trials[0].experiment.step();
    assert_eq!((trials[0].tenant.as_str(), trials[0].experiment.epoch), ("acme-books", 2));
    assert_eq!((step.canary.requests, step.canary.arrived), (2, 1), "the same reader of the same trial");
    let told = send(&mall.admin, request("GET", "/experiments", "", &[])).await.json();
    assert_eq!(
        (&told["experiments"][0]["tenant"], &told["experiments"][0]["weight_bp"]),
        (&"acme-books".into(), &10_000.into())
    );
}

#[tokio::test]
async fn readiness_waits_for_every_model_that_is_loaded_from_the_start() {
    let shelf = shelf().await;
    let other = World::of(&shelf, "other-books").await;
    let named = |names: &[&str]| Served::These(names.iter().map(|name| name.parse().unwrap()).collect());
    let tenants = Served::These(["acme-books", "other-books"].map(|name| name.parse().unwrap()).to_vec());
    let models = named(&["recommender", "next"]);
    let mall = Mall::open(behind_a_mesh(), Selection { tenants, models, ..all(&shelf, true) }).await;
    until(|| models_read(&shelf) == 3).await;
    assert!(!mall.running.ready(Duration::from_millis(50)).await, "other-books has no next yet");
    assert_eq!(mall.get("acme-books", "/v2/models/next/ready").await.status, 200, "others answer meanwhile");
    let missing = mall.get("other-books", "/v2/models/next/ready").await;
    assert_eq!(missing.json()["error"], "model next is not ready: its registry has no version in production");
    let version: Version = other.publish("next", &artifact(" othr/next-------")).await;
    assert_eq!(version, Version::FIRST);
    assert!(mall.running.ready(Duration::from_secs(10)).await);
    assert_eq!(mall.running.fleet().state(), State::Ready);
}

#[tokio::test]
async fn an_operator_loads_and_unloads_by_hand_and_nobody_else_does() {
    let shelf = shelf().await;
    let mall = Mall::open(behind_a_mesh(), all(&shelf, false)).await;
    let path = |verb: &str, tenant: &str| format!("/v2/repository/models/recommender/{verb}?tenant={tenant}");
    let loaded = mall.operate(&path("load", "acme-books")).await;
    assert_eq!((loaded.status, loaded.text.as_str()), (200, r#"{"load":true,"name":"recommender"}"#));
    assert_eq!(models_read(&shelf), 1, "before anyone asked");
    let unloaded = mall.operate(&path("unload", "acme-books")).await;
    assert_eq!((unloaded.status, unloaded.text.as_str()), (200, r#"{"name":"recommender","unload":true}"#));
    assert_eq!(mall.metric("bookloop_model_bytes_held"), 0);
    let refused = mall.post("acme-books", PREDICT, ANN).await;
    let words = "model recommender is not ready: it was unloaded by an operator";
    assert_eq!((refused.status, refused.json()["error"].as_str()), (503, Some(words)));
    assert_eq!(mall.index().await[1], "acme-books/recommender: UNAVAILABLE it was unloaded by an operator");
    mall.running.look_now().await;
    assert_eq!(models_read(&shelf), 1, "no look brings it back");
    assert_eq!(mall.operate(&path("load", "acme-books")).await.status, 200);
    assert_eq!(mall.ask("acme-books", "recommender").await, "Persuasion acme/recommender");
    for (path, status) in [
        (path("load", "third-books"), 404),
        ("/v2/repository/models/recommender/load".into(), 400),
        ("/v2/repository/models/nothing/unload?tenant=acme-books".into(), 404),
    ] {
        assert_eq!(mall.operate(&path).await.status, status, "{path}");
    }
    for verb in ["load", "unload"] {
        let public = mall.post("acme-books", &path(verb, "acme-books"), "").await;
        assert_eq!(public.status, 403, "{}", public.text);
    }
}
