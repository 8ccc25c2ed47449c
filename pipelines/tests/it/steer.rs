//! A version that does harm meets nobody at once, whether the store answers or not, and the log says so once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use axum::{Router, body::Body, http::Request};
use bookloop::{ramp::Ramp, steer::Steersman};
use bytes::Bytes;
use http_body_util::BodyExt;
use jiff::Timestamp;
use models::{
    Artifact, Factors, ModelName, Objective, Readers, Registry, Scorer, Store,
    split::{Salt, WHOLE_BP},
    store::{Backend, Created, Error, Listed},
    stream::{self, Message, Producer},
};
use serve::{ModelSource, Options, Running, Server};
use tower::ServiceExt;

use crate::ramp::{books, name, publish, version};

/// A store that can be away.
#[derive(Debug)]
struct Door {
    inner: Arc<dyn Backend>,
    is_away: AtomicBool,
}

impl Door {
    fn here(&self, operation: &'static str, key: &str) -> Result<(), Error> {
        if !self.is_away.load(Ordering::SeqCst) {
            return Ok(());
        }
        let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into();
        Err(Error::Unavailable { operation, key: key.into(), source })
    }
}

#[async_trait]
impl Backend for Door {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.here("read", key)?;
        self.inner.get(key).await
    }
    async fn head(&self, key: &str) -> Result<Option<Listed>, Error> {
        self.here("look up", key)?;
        self.inner.head(key).await
    }
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, Error> {
        self.here("create", key)?;
        self.inner.create(key, bytes).await
    }
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), Error> {
        self.here("write", key)?;
        self.inner.put(key, bytes).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, Error> {
        self.here("list", prefix)?;
        self.inner.list(prefix).await
    }
    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.here("delete", key)?;
        self.inner.delete(key).await
    }
}

/// A stream that nobody reads.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Producer for Nobody {
    async fn send(&self, _: Vec<Message>) -> Result<(), stream::Error> {
        Ok(())
    }
}

/// A model whose products overflow for readers of b1: 1 / .1 times 3e38. It knows no reader, so its rehearsal passes.
fn overflowing() -> Artifact {
    let objective = Objective { unobserved_weight: 1e-30, regularization: 1e-30, frequency_exponent: 0.0 };
    let vectors = ndarray::arr2(&[[0.1], [3e38]]);
    let factors = Factors::new(vectors, ndarray::Array1::from_elem(1, 1e-30), objective).unwrap();
    books("overflowing", Scorer::Factors(factors))
}

/// Version 1 in production and the overflowing version 2 on trial for everyone.
async fn shop(test: &str) -> (Arc<Registry>, Arc<Door>) {
    let inner = Store::open(&format!("memory://steer-{test}")).unwrap().backend();
    let door = Arc::new(Door { inner, is_away: AtomicBool::new(false) });
    let store = Store::over(Arc::clone(&door) as Arc<dyn Backend>, "door://test");
    let registry = Arc::new(Registry::open(store).await.unwrap());
    publish(&registry, &books("sound", Scorer::Popularity)).await;
    publish(&registry, &overflowing()).await;
    let intent = models::registry::Intent::new("ana", "first", Timestamp::now());
    registry.promote(&name(), version(1), None, &intent).await.unwrap();
    let ramp = Ramp::new(Arc::clone(&registry), name(), "ana");
    ramp.begin(version(2), 10_000, Salt::new([1; 32]), "to everyone", Timestamp::now()).await.unwrap();
    (registry, door)
}

struct Predictor {
    running: Running,
    router: Router,
}

impl Predictor {
    async fn of(registry: &Arc<Registry>, process: &str) -> Self {
        Self::interleaving(registry, process, 0).await
    }

    /// One that gives a share of the readers, in basis points, lists of both versions.
    async fn interleaving(registry: &Arc<Registry>, process: &str, interleave_bp: u16) -> Self {
        let model: ModelName = name();
        let mut options = Options::new("acme-books".parse().unwrap(), model);
        options.interleave_bp = interleave_bp;
        options.process = Some(process.into());
        options.drain.delay = Duration::ZERO;
        // Nothing but what is asked for by hand.
        options.poll_interval = Duration::from_hours(1);
        options.exchange_interval = Duration::from_hours(1);
        let source = ModelSource::Registry(Arc::clone(registry));
        let running = Server::start(options, source, Arc::new(Nobody)).await.unwrap();
        running.look_now().await;
        let router = serve::rest(Arc::clone(running.fleet()));
        Self { running, router }
    }

    /// Whether a reader was assigned to the version on trial, which could not answer.
    async fn fell_back(&self, reader: u32) -> bool {
        let told = self.predict(reader, r#""k":1,"history":["b1"]"#).await;
        told["fallback"] == "canary-not-finite"
    }

    /// A reader's list, under a request id of their own.
    async fn predict(&self, reader: u32, more: &str) -> serde_json::Value {
        let body = format!(r#"{{"instances":[{{"user_id":"r{reader}",{more}}}]}}"#);
        self.post("/v1/models/recommender:predict", &format!("of-r{reader}"), body).await["predictions"][0].clone()
    }

    async fn post(&self, path: &str, id: &str, body: String) -> serde_json::Value {
        let request = Request::post(path).header("x-request-id", id).body(Body::from(body)).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200, "no reader goes without");
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&bytes).unwrap()
    }
}

fn quarantines(entries: &[models::registry::Entry]) -> usize {
    entries.iter().filter(|entry| entry.reason.starts_with("rolled back: failures")).count()
}

#[tokio::test]
async fn harm_ends_here_while_the_store_is_away_and_is_committed_once_when_it_is_back() {
    let (registry, door) = shop("away").await;
    let (here, there) = (Predictor::of(&registry, "here").await, Predictor::of(&registry, "there").await);
    let (one, two) = (Steersman::default(), Steersman::default());
    door.is_away.store(true, Ordering::SeqCst);
    one.end_harmful(here.running.fleet());
    for reader in 0..3 {
        assert!(here.fell_back(reader).await && there.fell_back(reader).await, "nothing is known yet");
    }
    one.end_harmful(here.running.fleet());
    assert!(!here.fell_back(3).await, "the next request meets nothing of it");
    one.commit(&here.running, Timestamp::now()).await;
    two.commit(&there.running, Timestamp::now()).await;
    assert!(!there.fell_back(3).await);
    assert_eq!(registry.state().models[&name()].canary.map(|canary| canary.weight_bp), Some(10_000));
    door.is_away.store(false, Ordering::SeqCst);
    for _ in 0..2 {
        one.commit(&here.running, Timestamp::now()).await;
        two.commit(&there.running, Timestamp::now()).await;
    }
    let state = registry.state();
    assert_eq!(state.models[&name()].canary, None);
    assert!(state.models[&name()].versions[&version(2)].quarantine.is_some());
    assert_eq!(quarantines(&registry.entries().await.unwrap()), 1, "two found it, one is in the log");
}

#[tokio::test]
async fn a_reader_meets_nothing_of_it_soon_after_the_judge_can_tell() {
    let (registry, _door) = shop("soon").await;
    let here = Predictor::of(&registry, "here").await;
    let steersman = Steersman::default();
    let readers = async {
        for reader in 0..3 {
            assert!(here.fell_back(reader).await);
        }
        let told = Instant::now();
        let mut reader = 3;
        while here.fell_back(reader).await {
            reader += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        told.elapsed()
    };
    let took = tokio::select! {
        took = readers => took,
        () = steersman.steer(&here.running) => unreachable!("it goes on for as long as the process serves"),
    };
    println!("from the request that shows the harm to the first that meets nothing of it: {took:?}");
    // A look once a second, and a machine that does other things besides.
    assert!(took < Duration::from_secs(3), "{took:?}");
}

/// Twenty-two losses show harm, see `serve/src/judge/preference.rs`.
#[tokio::test]
async fn a_version_whose_books_nobody_clicks_goes_into_quarantine_with_the_clicks_that_put_it_there() {
    let registry = Arc::new(Registry::open(Store::open("memory://steer-disliked").unwrap()).await.unwrap());
    let liked = books("liked", Scorer::Popularity);
    // The other book first.
    let turned =
        Artifact::new(liked.catalogue().clone(), vec![2.0, 1.0], Scorer::Popularity, Readers::new([])).unwrap();
    publish(&registry, &liked).await;
    publish(&registry, &turned).await;
    let intent = models::registry::Intent::new("ana", "first", Timestamp::now());
    registry.promote(&name(), version(1), None, &intent).await.unwrap();
    let ramp = Ramp::new(Arc::clone(&registry), name(), "ana");
    ramp.begin(version(2), 1000, Salt::new([1; 32]), "a tenth", Timestamp::now()).await.unwrap();
    let here = Predictor::interleaving(&registry, "here", WHOLE_BP).await;
    let steersman = Steersman::default();
    for reader in 0..22 {
        assert_eq!(here.predict(reader, r#""k":2"#).await["variant"], "interleaved");
        let click = format!(r#"{{"request_id":"of-r{reader}","user_id":"r{reader}","item_id":"b2","kind":"click"}}"#);
        assert_eq!(here.post("/outcomes", "click", click).await["joined"], 1);
        steersman.end_harmful(here.running.fleet());
    }
    assert_eq!(here.predict(0, r#""k":2"#).await["variant"], "stable", "nobody meets it any more");
    steersman.commit(&here.running, Timestamp::now()).await;
    let state = registry.state();
    assert_eq!(state.models[&name()].canary, None);
    assert!(state.models[&name()].versions[&version(2)].quarantine.is_some());
    let entries = registry.entries().await.unwrap();
    let why = "rolled back: readers of both lists prefer stable";
    let entry = entries.iter().find(|entry| entry.reason.starts_with(why)).unwrap();
    let preference = &entry.numbers.as_ref().unwrap()["numbers"]["preference"];
    assert_eq!((preference["wins"].as_u64(), preference["losses"].as_u64()), (Some(0), Some(22)));
}
