//! The driver against a small predictor on a loopback port: what is sent, what is counted, whatever the concurrency.

use std::sync::Mutex;

use axum::{Json, Router, extract::State, http::HeaderMap, routing::post};
use models::{
    Store,
    stream::{
        Consumer,
        files::{FileConsumer, FileProducer},
    },
};
use serde_json::{Value, json};

use super::*;
use crate::simulate::{Day, World, WorldOptions};

/// What the predictor was sent.
#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<(String, Value)>>,
    outcomes: Mutex<Vec<Value>>,
}

/// Answers readers with odd numbers by version 1, the others by version 2, and fails for `reader-000007`.
async fn predict(
    State(seen): State<Arc<Seen>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let instance = body["instances"][0].clone();
    let reader = instance["user_id"].as_str().unwrap().to_owned();
    let id = headers["x-correlation-id"].to_str().unwrap().to_owned();
    seen.requests.lock().unwrap().push((id, instance));
    if reader == "reader-000007" {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": "busy"})));
    }
    let odd = reader.ends_with(['1', '3', '5', '7', '9']);
    let recommendations: Vec<Value> =
        (1..=10).map(|n| json!({"book_id": format!("book-{n:05}"), "score": 0.5})).collect();
    let (version, variant) = if odd { ("1", "stable") } else { ("2", "canary") };
    let prediction = json!({"recommendations": recommendations, "model_version": version, "variant": variant});
    (StatusCode::OK, Json(json!({"predictions": [prediction]})))
}

async fn outcomes(State(seen): State<Arc<Seen>>, Json(body): Json<Vec<Value>>) -> Json<Value> {
    let accepted = body.len();
    seen.outcomes.lock().unwrap().extend(body);
    Json(json!({"accepted": accepted, "joined": accepted}))
}

async fn predictor() -> (String, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let app = Router::new()
        .route("/v1/models/recommender:predict", post(predict))
        .route("/outcomes", post(outcomes))
        .with_state(Arc::clone(&seen));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, seen)
}

fn driver(base_url: String, concurrency: usize, orders: Option<Arc<dyn Producer>>) -> Driver {
    let tenant = "acme-books".parse().unwrap();
    let model = "recommender".parse().unwrap();
    let timeout = Duration::from_secs(5);
    Driver::new(DriverOptions { base_url, tenant, model, concurrency, timeout }, orders).unwrap()
}

fn world() -> (World, Day) {
    let start = "2026-01-05T00:00:00Z".parse().unwrap();
    let options = WorldOptions { n_books: 900, n_readers: 30, visits_per_day: 300.0, ..WorldOptions::small(7, start) };
    let mut world = World::new(options).unwrap();
    let day = world.next_day().unwrap();
    (world, day)
}

async fn drive(driver: &Driver, world: &World, day: &Day, pace: Pace) -> DriveReport {
    let mut report = DriveReport::default();
    for tick in day.ticks() {
        report.merge(driver.drive(&tick, world, pace).await.unwrap());
    }
    report
}

#[tokio::test]
async fn every_visit_is_one_request_with_the_readers_latest_books() {
    let (url, seen) = predictor().await;
    let (world, day) = world();
    let report = drive(&driver(url, 1, None), &world, &day, Pace::AsFast).await;
    let requests = seen.requests.lock().unwrap();
    assert_eq!(requests.len(), day.visits.len());
    for (n, ((id, instance), visit)) in requests.iter().zip(&day.visits).enumerate() {
        assert_eq!(*id, format!("sim-0-{n}"));
        assert_eq!(*instance, json!({"user_id": visit.reader, "k": 10, "history": visit.latest}));
    }
    let failed = day.visits.iter().filter(|visit| visit.reader.as_str() == "reader-000007").count() as u64;
    assert_eq!((report.requests, report.failed), (day.visits.len() as u64, failed));
    assert_eq!(
        report.answers.keys().map(|(v, arm)| format!("{v} {arm}")).collect::<Vec<_>>(),
        ["1 stable", "2 canary"]
    );
    assert_eq!(report.answers.values().map(|answered| answered.requests).sum::<u64>(), report.requests - failed);
    assert!(report.reasons[0].ends_with("status 503: {\"error\":\"busy\"}"), "{:?}", report.reasons);
    assert!(report.percentile_ms(0.99).unwrap() > 0.0);
}

#[tokio::test]
async fn clicks_and_counts_do_not_depend_on_concurrency() {
    let (world, day) = world();
    let mut told = Vec::new();
    for concurrency in [1, 16] {
        let (url, seen) = predictor().await;
        let report = drive(&driver(url, concurrency, None), &world, &day, Pace::AsFast).await;
        let clicks: u64 = report.answers.values().map(|answered| answered.clicks).sum();
        let counts: Vec<_> = report.answers.iter().map(|(by, a)| (by.clone(), a.requests, a.clicks)).collect();
        let outcomes = std::mem::take(&mut *seen.outcomes.lock().unwrap());
        assert!(clicks > 5, "{clicks}");
        assert_eq!(outcomes.iter().filter(|outcome| outcome["kind"] == "click").count() as u64, clicks);
        assert_eq!(report.outcomes, outcomes.len() as u64);
        told.push((counts, outcomes));
    }
    assert_eq!(told[0], told[1]);
}

#[tokio::test]
async fn every_purchase_becomes_one_order_with_an_id_of_its_own() {
    let (url, _) = predictor().await;
    let (world, day) = world();
    let store = Store::open("memory://orders-of-the-driver").unwrap();
    let producer = FileProducer::new(store.clone(), "simulation").unwrap();
    let report = drive(&driver(url, 8, Some(Arc::new(producer))), &world, &day, Pace::AsFast).await;
    let mut consumer = FileConsumer::open(store, "test", &[Topic::Orders]).await.unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for received in consumer.poll(1_000, Duration::ZERO).await.unwrap() {
        let order: OrderPlaced = serde_json::from_slice(&received.payload).unwrap();
        assert!(ids.insert(order.event_id));
    }
    let bought = day.visits.iter().filter(|visit| visit.purchase.is_some()).count();
    assert_eq!((report.orders as usize, ids.len()), (bought, bought));
    assert!(ids.iter().all(|id| id.starts_with("order-sim-0-")));
}

#[tokio::test]
async fn a_predictor_that_is_away_is_a_failure_with_a_reason_and_no_error() {
    let (world, day) = world();
    let tick = day.ticks().next().unwrap();
    let report = driver("http://127.0.0.1:9".into(), 2, None).drive(&tick, &world, Pace::AsFast).await.unwrap();
    assert_eq!((report.failed, report.requests), (tick.visits.len() as u64, tick.visits.len() as u64));
    assert!(report.reasons[0].contains("onnect"), "{:?}", report.reasons);
}

#[tokio::test]
async fn an_open_loop_keeps_its_pace() {
    let (url, _) = predictor().await;
    let (world, day) = world();
    let tick = day.ticks().max_by_key(|tick| tick.visits.len()).unwrap();
    let start = Instant::now();
    driver(url, 8, None).drive(&tick, &world, Pace::PerSecond(200.0)).await.unwrap();
    let due = Duration::from_secs_f64((tick.visits.len() - 1) as f64 / 200.0);
    assert!(start.elapsed() >= due, "{:?} {due:?}", start.elapsed());
}

#[test]
fn answers_that_say_something_else_are_failures() {
    let reason = |body: &str| answer(body.as_bytes()).unwrap_err();
    assert!(reason("{}").starts_with("unreadable answer: missing field `predictions`"), "{}", reason("{}"));
    assert_eq!(reason(r#"{"predictions":[]}"#), "0 predictions for one reader");
    let ok =
        answer(br#"{"predictions":[{"recommendations":[],"model_version":3,"variant":"stable","k":10}]}"#).unwrap();
    assert_eq!(ok, Answer { version: 3, variant: "stable".into(), list: Vec::new() });
}
