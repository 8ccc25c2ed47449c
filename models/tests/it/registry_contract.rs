//! What the registry promises on every store, and under a store that fails and lies.

use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;
use models::{
    Alias, Artifact, Book, BookRow, Catalogue, ModelName, Readers, Registry, Scorer, Store, Version,
    manifest::{DataLineage, MODEL_FILE, Manifest, Trigger, TriggerKind},
    registry::{Draft, Error, Intent, Op, Status},
    signature::Trust,
    split::Salt,
    store::key,
};

use crate::faulty::{Faulty, Rates};

pub fn name() -> ModelName {
    "recommender".parse().unwrap()
}

pub fn version(number: u32) -> Version {
    Version::try_from(number).unwrap()
}

fn intent(reason: &str) -> Intent {
    Intent::new("ana", reason, Timestamp::UNIX_EPOCH)
}

/// A version whose only book is called `title`.
pub fn draft(title: &str) -> Draft {
    let mut book = Book::bare("b1".parse().unwrap());
    book.title = Some(title.into());
    let artifact = Artifact::new(Catalogue::new([book]), vec![1.0], Scorer::Popularity, Readers::new([])).unwrap();
    let data = DataLineage {
        source: "memory".into(),
        sha256: String::new(),
        interactions: 1,
        readers: 1,
        books: 1,
        from: None,
        to: None,
    };
    let manifest = Manifest {
        format: 1,
        name: name(),
        created_at: Timestamp::UNIX_EPOCH,
        algorithm: "popularity".into(),
        params: serde_json::json!({}),
        tuning: None,
        seed: 7,
        data,
        metrics: std::collections::BTreeMap::new(),
        gate: "first version".into(),
        code_revision: "test".into(),
        trigger: Trigger { kind: TriggerKind::Manual, id: title.into() },
        parent: None,
        profile: serde_json::Value::Null,
        files: Vec::new(),
    };
    Draft { manifest, files: vec![(MODEL_FILE.into(), models::format::encode(&artifact))] }
}

async fn title_of(registry: &Registry, number: u32) -> String {
    let loaded = registry.load(&name(), version(number)).await.unwrap();
    loaded.artifact.catalogue().book(BookRow(0)).title().unwrap().to_owned()
}

pub async fn contract(store: Store) {
    let registry = Registry::open(store.clone()).await.unwrap();
    assert_eq!(registry.state().last_id, 0, "an empty place is an empty registry");

    // Register: number 1; staging is pointed at it; a second reader sees both.
    let first = registry.publish_staged(draft("Emma"), &intent("nightly").once("run-1")).await.unwrap();
    assert_eq!((first.version.get(), first.receipt.repeated), (1, false));
    let again = registry.publish_staged(draft("Emma"), &intent("nightly").once("run-1")).await.unwrap();
    assert_eq!((again.version.get(), again.receipt.repeated), (1, true), "the same run twice is one version");
    let reader = Registry::open(store.clone()).await.unwrap();
    assert_eq!(reader.state().models[&name()].aliases[&Alias::staging()], version(1));
    assert_eq!(title_of(&reader, 1).await, "Emma");

    // Production needs an approval, then moves with `previous`.
    let refused = registry.promote(&name(), version(1), None, &intent("too early")).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused}");
    let approve = |number| Op::Approve { name: name(), version: version(number) };
    registry.commit(&intent("looks right"), |_| Ok(vec![approve(1)])).await.unwrap();
    registry.promote(&name(), version(1), None, &intent("first")).await.unwrap();
    registry.publish(draft("Dune"), &intent("nightly").once("run-2")).await.unwrap();
    registry.commit(&intent("better"), |_| Ok(vec![approve(2)])).await.unwrap();
    let stale = registry.promote(&name(), version(2), Some(version(2)), &intent("stale")).await.unwrap_err();
    let moved = "conflict: alias production of recommender. expected=2 found=1";
    assert_eq!(stale.to_string(), moved);

    // A trial, which promotion ends.
    let trial = |weight_bp| Op::Canary { name: name(), version: version(2), weight_bp, salt: Salt::new([3; 32]) };
    registry.commit(&intent("trial"), |_| Ok(vec![trial(1000)])).await.unwrap();
    registry.promote(&name(), version(2), Some(version(1)), &intent("better")).await.unwrap();
    let state = reader.refresh().await.unwrap();
    let model = &state.models[&name()];
    assert_eq!(model.aliases[&Alias::production()], version(2));
    assert_eq!(model.aliases[&Alias::previous()], version(1));
    assert!(model.canary.is_none());

    // Back again: the two change places.
    registry.roll_back(&name(), &intent("p99 alert")).await.unwrap();
    let model = &reader.refresh().await.unwrap().models[&name()];
    assert_eq!(model.aliases[&Alias::production()], version(1));
    assert_eq!(model.aliases[&Alias::previous()], version(2));

    // A revoked version is neither pointed at nor loaded; one that is pointed at cannot be revoked.
    let revoke = |number| Op::Status { name: name(), version: version(number), status: Status::Revoked };
    assert!(registry.commit(&intent("no"), |_| Ok(vec![revoke(1)])).await.is_err());
    registry.publish(draft("Odd"), &intent("nightly").once("run-3")).await.unwrap();
    registry.set_alias(&name(), &Alias::staging(), Some(version(1)), version(2), &intent("nightly")).await.unwrap();
    let staging = || registry.state().models[&name()].aliases[&Alias::staging()];
    let repeated = registry.publish_staged(draft("Emma"), &intent("late").once("run-1")).await.unwrap();
    assert_eq!((repeated.version, staging()), (version(1), version(2)), "a repeated run does not take staging back");
    registry.commit(&intent("bad data"), |_| Ok(vec![revoke(3)])).await.unwrap();
    assert!(matches!(registry.load(&name(), version(3)).await, Err(Error::Refused(_))));
    assert!(registry.set_alias(&name(), &Alias::staging(), Some(version(2)), version(3), &intent("no")).await.is_err());

    // Every decision has its actor and reason, and everything verifies.
    let entries = reader.entries().await.unwrap();
    assert!(entries.iter().all(|entry| entry.actor == "ana" && !entry.reason.is_empty()));
    let seen = Registry::verify(store, &Trust::default()).await.unwrap();
    assert_eq!((seen.problems, seen.versions), (Vec::<String>::new(), 3));
    assert_eq!(seen.entries, entries.len() as u64);
}

fn on_disk(folder: &tempfile::TempDir) -> Store {
    Store::open(&format!("file://{}", folder.path().display())).unwrap()
}

#[tokio::test]
async fn the_registry_keeps_its_contract_in_memory() {
    contract(Store::open("memory://registry-contract").unwrap()).await;
}

#[tokio::test]
async fn the_registry_keeps_its_contract_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    contract(on_disk(&folder).tenant(&"acme-books".parse().unwrap())).await;
}

#[tokio::test(start_paused = true)]
async fn the_registry_keeps_its_contract_when_the_store_fails_and_lies() {
    for seed in 0..12 {
        let inner = Store::open(&format!("memory://registry-faults-{seed}")).unwrap().backend();
        let store = Store::over(Arc::new(Faulty::new(inner, seed, Rates { writes: 30, reads: 0 })), "faulty://");
        // Uploads are not retried by the registry itself, so the suite runs on commits only.
        commits_survive(store, seed).await;
    }
}

/// Eight writers, ten commits each: every acknowledged commit is in the log once, and the chain holds.
pub async fn commits_survive(store: Store, seed: u64) {
    let writers = (0..8).map(|writer| {
        let store = store.clone();
        async move {
            let mut acknowledged = Vec::new();
            for n in 0..10 {
                let id = format!("{writer}-{n}");
                let intent = Intent::new(format!("w{writer}"), "race", Timestamp::UNIX_EPOCH).once(&id);
                // A caller that got no answer repeats under the same key.
                for attempt in 0.. {
                    assert!(attempt < 50, "seed {seed}: {id} never got through");
                    let Ok(registry) = Registry::open(store.clone()).await else { continue };
                    let trigger = Op::Trigger {
                        name: name(),
                        trigger_id: id.clone(),
                        kind: TriggerKind::Manual,
                        workflow: "none".into(),
                    };
                    if registry.commit(&intent, |_| Ok(vec![trigger.clone()])).await.is_ok() {
                        acknowledged.push(id.clone());
                        break;
                    }
                }
            }
            acknowledged
        }
    });
    let acknowledged: Vec<String> = join_all(writers).await.concat();
    let registry = Registry::open(store.clone()).await.unwrap();
    let mut logged: Vec<String> =
        registry.entries().await.unwrap().into_iter().filter_map(|entry| entry.idempotency_key).collect();
    let count = logged.len();
    logged.sort();
    logged.dedup();
    assert_eq!((count, logged.len()), (80, 80), "seed {seed}: nothing doubled, nothing lost");
    assert_eq!(acknowledged.len(), 80);
    assert!(Registry::verify(store, &Trust::default()).await.unwrap().problems.is_empty(), "seed {seed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_that_race_on_disk_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    commits_survive(on_disk(&folder), 0).await;
}

#[tokio::test]
async fn exactly_one_of_two_rival_promotions_wins() {
    let store = Store::open("memory://registry-rivals").unwrap();
    let registry = Registry::open(store.clone()).await.unwrap();
    for (run, title) in ["Emma", "Dune", "Ulysses"].into_iter().enumerate() {
        registry.publish(draft(title), &intent("nightly").once(format!("run-{run}"))).await.unwrap();
        let op = Op::Approve { name: name(), version: version(run as u32 + 1) };
        registry.commit(&intent("fit"), |_| Ok(vec![op.clone()])).await.unwrap();
    }
    registry.promote(&name(), version(1), None, &intent("first")).await.unwrap();
    let rivals = [2, 3].map(|number| {
        let store = store.clone();
        async move {
            let registry = Registry::open(store).await.unwrap();
            registry.promote(&name(), version(number), Some(version(1)), &intent("rival")).await
        }
    });
    let results = join_all(rivals).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let lost = results.into_iter().find_map(Result::err).unwrap();
    assert!(matches!(lost, Error::Conflict { .. }), "{lost}");
}

#[tokio::test]
async fn a_reader_stays_on_its_last_good_state_when_the_log_breaks() {
    let store = Store::open("memory://registry-broken").unwrap();
    let registry = Registry::open(store.clone()).await.unwrap();
    registry.publish(draft("Emma"), &intent("nightly")).await.unwrap();
    let reader = Registry::open(store.clone()).await.unwrap();
    let whole = store.get(&key::log(1)).await.unwrap().unwrap();
    store.create(&key::log(2), whole.slice(..whole.len() - 1)).await.unwrap();
    assert!(matches!(reader.refresh().await, Err(Error::Corrupt { .. })));
    assert_eq!(reader.state().last_id, 1);
    assert!(matches!(registry.publish(draft("Dune"), &intent("no")).await, Err(Error::Corrupt { .. })));
    // A future format is told apart from damage.
    let body = r#"{"format":2,"new":true}"#;
    let future = format!(r#"{{"body":{body},"sha256":"{}"}}"#, models::digest::sha256(body.as_bytes()));
    store.put(&key::log(2), future.into()).await.unwrap();
    assert!(matches!(reader.refresh().await, Err(Error::Unsupported { found: 2, .. })));
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "in the way").unwrap();
    let refused = Store::open(&format!("file://{}/file/store", folder.path().display())).unwrap_err();
    assert!(matches!(refused, models::store::Error::Denied { .. }), "{refused}");
    assert!(
        Store::open("ftp://somewhere")
            .unwrap_err()
            .to_string()
            .contains("scheme file, memory, s3, gs or az, found ftp")
    );
    assert!(Store::open("books").is_err());
}

#[tokio::test]
async fn a_changed_file_on_disk_is_refused_and_a_loaded_model_outlives_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = on_disk(&folder);
    let registry = Registry::open(store.clone()).await.unwrap();
    registry.publish(draft("Emma"), &intent("nightly")).await.unwrap();
    let loaded = registry.load(&name(), version(1)).await.unwrap();
    let blob = key::blob(&loaded.manifest.file(MODEL_FILE).unwrap().sha256);
    let whole = store.map(&blob).await.unwrap().unwrap();
    assert_eq!(Some(&whole), store.get(&blob).await.unwrap().as_ref(), "mapped or read, the bytes are the same");
    let mut flipped = whole.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    for changed in [whole.slice(..whole.len() - 1), flipped.into(), "".into()] {
        store.put(&blob, changed).await.unwrap();
        assert!(matches!(registry.load(&name(), version(1)).await, Err(Error::Corrupt { .. })));
    }
    store.delete(&blob).await.unwrap();
    assert_eq!(store.map(&blob).await.unwrap(), None);
    assert!(matches!(registry.load(&name(), version(1)).await, Err(Error::Corrupt { .. })));
    assert_eq!(loaded.artifact.catalogue().book(BookRow(0)).title(), Some("Emma"));
}
