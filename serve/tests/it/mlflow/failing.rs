//! The MLflow protocol over a store that is away, slow or damaged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use models::{
    Store, TenantName,
    store::{self, Backend, Created, Listed},
};
use serve::mlflow;

use super::{Library, MODEL, get, model, names};
use crate::world::{World, artifact, version};

#[tokio::test]
async fn while_the_store_is_away_the_last_state_answers_and_says_how_old_it_is() {
    let world = World::new().await;
    let one = world.stage(&artifact(" v1")).await;
    let tenant = || "acme-books".parse::<TenantName>().unwrap();
    let router = mlflow::router([(tenant(), Arc::clone(&world.registry))]);
    let production = format!("/registered-models/alias?name={MODEL}&alias=production");
    assert_eq!(get(&router, &production).await.status, 404);
    world.promote(one).await;
    world.shelf.away.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let staged = get(&router, &format!("/registered-models/alias?name={MODEL}&alias=staging")).await;
    assert_eq!((staged.status, staged.header("age")), (200, "1"), "{}", staged.text);
    assert_eq!(staged.header("warning"), "110 bookloop \"acme-books as of 1 s ago: store unavailable\"");
    // One that never was read has nothing to answer from.
    let fresh = mlflow::router([(tenant(), Arc::clone(&world.registry))]);
    let unread = get(&fresh, &production).await;
    assert_eq!((unread.status, unread.header("retry-after")), (503, "1"));
    assert_eq!(
        unread.text,
        r#"{"error_code":"TEMPORARILY_UNAVAILABLE","message":"the registry of acme-books has not been read yet: store unavailable"}"#
    );
    world.shelf.away.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let moved = get(&router, &production).await;
    assert_eq!((moved.status, moved.header("age"), moved.header("warning")), (200, "", ""), "{}", moved.text);
    assert_eq!(moved.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_version_whose_manifest_is_damaged_is_shown_as_such_beside_the_others() {
    let url = "memory://mlflow-damage/root";
    let library = Library::usual(url).await;
    let store = library.registry.store().clone();
    let sha256 = library.registry.state().models[&model()].versions[&version(2)].manifest_sha256.clone();
    let object = store::key::manifest(&model(), &sha256);
    let sound = store.get(&object).await.unwrap().unwrap();
    store.put(&object, "{}".into()).await.unwrap();
    let staging = format!("/registered-models/alias?name={MODEL}&alias=staging");
    let damaged = library.ok(&staging).await;
    let damaged = &damaged["model_version"];
    assert_eq!((&damaged["version"], &damaged["status"]), (&"2".into(), &"FAILED_REGISTRATION".into()));
    assert!(
        damaged["status_message"].as_str().unwrap().starts_with("corrupt models/recommender/versions/"),
        "{damaged}"
    );
    assert_eq!(damaged["user_id"], "nightly-trainer");
    let model = library.ok(&format!("/registered-models/get?name={MODEL}")).await;
    assert_eq!(names(&model["registered_model"]["latest_versions"]), [format!("{MODEL}/1")]);
    store.put(&object, sound).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(library.ok(&staging).await["model_version"]["status"], "READY");
}

/// A store that counts reads of the log and can keep everyone waiting.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn Backend>,
    looks: AtomicUsize,
    stalls: AtomicBool,
}

#[async_trait]
impl Backend for Watched {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, store::Error> {
        while self.stalls.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if key.contains("log/") {
            self.looks.fetch_add(1, Ordering::SeqCst);
        }
        self.inner.get(key).await
    }
    async fn head(&self, key: &str) -> Result<Option<Listed>, store::Error> {
        self.inner.head(key).await
    }
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, store::Error> {
        self.inner.create(key, bytes).await
    }
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), store::Error> {
        self.inner.put(key, bytes).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, store::Error> {
        self.inner.list(prefix).await
    }
    async fn delete(&self, key: &str) -> Result<(), store::Error> {
        self.inner.delete(key).await
    }
}

#[tokio::test]
async fn the_store_is_asked_once_a_second_and_never_waited_for_long() {
    let inner = Store::open("memory://mlflow-watched").unwrap().backend();
    let watched = Arc::new(Watched { inner, looks: AtomicUsize::new(0), stalls: AtomicBool::new(false) });
    let library = Library::new(Store::over(Arc::clone(&watched) as Arc<dyn Backend>, "watched://test")).await;
    library.register("recommender", "first", "2026-03-01T02:00:00Z").await;
    let path = format!("/registered-models/get?name={MODEL}");
    library.ok(&path).await;
    let (looks, begun) = (watched.looks.load(Ordering::SeqCst), Instant::now());
    for _ in 0..100 {
        library.ok(&path).await;
    }
    let seconds = begun.elapsed().as_secs() as usize;
    assert!(watched.looks.load(Ordering::SeqCst) - looks <= seconds + 1, "one small read a second at most");

    watched.stalls.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let begun = Instant::now();
    let both = futures::future::join(library.get(&path), library.get(&path)).await;
    for reply in [both.0, both.1] {
        assert_eq!(reply.status, 200);
        assert!(
            reply.header("warning").ends_with("s ago: store has not answered yet\""),
            "{}",
            reply.header("warning")
        );
    }
    let waited = begun.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(6)).contains(&waited), "{waited:?}");
    let begun = Instant::now();
    library.ok(&path).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "those who come later do not wait again");
    watched.stalls.store(false, Ordering::SeqCst);
    for _ in 0..200 {
        if library.get(&path).await.header("warning").is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a look that got its answer late still counts");
}
