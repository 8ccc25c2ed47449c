//! The MLflow protocol as its clients see it: records byte by byte, pages, refusals, and a store that goes away.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use axum::{Router, body::Body, http::Request};
use bytes::Bytes;
use expect_test::expect;
use jiff::Timestamp;
use models::{
    ModelName, Registry, Store, TenantName, Version,
    manifest::{DataLineage, Estimate, MODEL_FILE, Manifest, Trigger, TriggerKind},
    registry::{Draft, Intent, Op, Status},
    split::Salt,
    store::{self, Backend, Created, Listed},
};
use serde_json::Value;
use serve::mlflow;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{Reply, Shop, World, artifact, send, version};

const MODEL: &str = "acme-books.recommender";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn draft(model: &str, gate: &str) -> Draft {
    let data = DataLineage {
        source: "file:///sales".into(),
        sha256: "ab".repeat(32),
        interactions: 100,
        readers: 10,
        books: 5,
        from: Some(at("2026-01-01T00:00:00Z")),
        to: None,
    };
    let manifest = Manifest {
        format: 1,
        name: model.parse().unwrap(),
        created_at: at("2026-03-01T01:00:00Z"),
        algorithm: "item-knn".into(),
        params: serde_json::json!({ "neighbours": 50 }),
        seed: 7,
        data,
        metrics: BTreeMap::from([("ndcg@10".into(), Estimate { mean: 0.25, se: Some(0.125), n: 10 })]),
        gate: gate.into(),
        code_revision: "f00d".into(),
        trigger: Trigger { kind: TriggerKind::Nightly, id: gate.into() },
        parent: None,
        profile: Value::Null,
        files: Vec::new(),
    };
    Draft { manifest, files: vec![(MODEL_FILE.into(), models::format::encode(&artifact("")))] }
}

/// One tenant's registry and its router.
struct Library {
    registry: Arc<Registry>,
    router: Router,
}

impl Library {
    async fn new(store: Store) -> Self {
        let registry = Arc::new(Registry::open(store).await.unwrap());
        let tenant: TenantName = "acme-books".parse().unwrap();
        Self { router: mlflow::router([(tenant, Arc::clone(&registry))]), registry }
    }

    /// Version 1 in production since three, version 2 staged and met by a tenth of the readers since five.
    async fn usual(memory: &str) -> Self {
        let store = Store::open(memory).unwrap().tenant(&"acme-books".parse().unwrap());
        let library = Self::new(store).await;
        library.register("recommender", "better than popularity", "2026-03-01T02:00:00Z").await;
        library.commit("ben", "2026-03-01T03:00:00Z", Op::Approve { name: model(), version: version(1) }).await;
        let intent = Intent::new("ben", "first", at("2026-03-01T03:00:00Z"));
        library.registry.promote(&model(), version(1), None, &intent).await.unwrap();
        library.register("recommender", "better than version 1", "2026-03-01T04:00:00Z").await;
        library.registry.stage(&model(), version(2), &intent).await.unwrap();
        let trial = Op::Canary { name: model(), version: version(2), weight_bp: 1000, salt: Salt::new([3; 32]) };
        library.commit("ben", "2026-03-01T05:00:00Z", trial).await;
        library
    }

    async fn register(&self, model: &str, gate: &str, when: &str) -> Version {
        let intent = Intent::new("nightly-trainer", "nightly", at(when));
        self.registry.publish(draft(model, gate), &intent).await.unwrap().version
    }

    async fn commit(&self, actor: &str, when: &str, op: Op) {
        self.registry.commit(&Intent::new(actor, "looks right", at(when)), |_| Ok(vec![op.clone()])).await.unwrap();
    }

    async fn get(&self, path: &str) -> Reply {
        get(&self.router, path).await
    }

    async fn ok(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"), "{}", reply.text);
        reply.json()
    }

    /// Pretty JSON with the digest of a manifest, which is not what these tests are about, by its name.
    fn pretty(&self, value: &Value) -> String {
        let mut text = serde_json::to_string_pretty(value).unwrap();
        for (number, standing) in &self.registry.state().models[&model()].versions {
            let sha256 = &standing.manifest_sha256;
            text = text.replace(sha256, &format!("<sha256 of {number}>"));
            text = text.replace(&sha256[..32], &format!("<id of {number}>"));
        }
        text
    }
}

fn model() -> ModelName {
    "recommender".parse().unwrap()
}

async fn get(router: &Router, path: &str) -> Reply {
    send(router, Request::get(format!("{}{path}", mlflow::PREFIX)).body(Body::empty()).unwrap()).await
}

/// The names, or name and version, of a list.
fn names(list: &Value) -> Vec<String> {
    let name = |item: &Value| match item["version"].as_str() {
        Some(version) => format!("{}/{version}", item["name"].as_str().unwrap()),
        None => item["name"].as_str().unwrap().to_owned(),
    };
    list.as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn an_alias_leads_to_its_version_with_its_whole_story() {
    let library = Library::usual("memory://mlflow-alias/root").await;
    let answer = library.ok(&format!("/registered-models/alias?name={MODEL}&alias=production")).await;
    expect![[r#"
        {
          "model_version": {
            "aliases": [
              "production"
            ],
            "creation_timestamp": 1772330400000,
            "current_stage": "None",
            "description": "better than popularity",
            "last_updated_timestamp": 1772334000000,
            "name": "acme-books.recommender",
            "source": "memory://mlflow-alias/root/acme-books/models/recommender/versions/<id of 1>/manifest.json",
            "status": "READY",
            "tags": [
              {
                "key": "algorithm",
                "value": "item-knn"
              },
              {
                "key": "approval_reason",
                "value": "looks right"
              },
              {
                "key": "approved_at",
                "value": "2026-03-01T03:00:00Z"
              },
              {
                "key": "approved_by",
                "value": "ben"
              },
              {
                "key": "code_revision",
                "value": "f00d"
              },
              {
                "key": "data_books",
                "value": "5"
              },
              {
                "key": "data_from",
                "value": "2026-01-01T00:00:00Z"
              },
              {
                "key": "data_interactions",
                "value": "100"
              },
              {
                "key": "data_readers",
                "value": "10"
              },
              {
                "key": "data_sha256",
                "value": "abababababababababababababababababababababababababababababababab"
              },
              {
                "key": "data_source",
                "value": "file:///sales"
              },
              {
                "key": "manifest_sha256",
                "value": "<sha256 of 1>"
              },
              {
                "key": "metric.ndcg_at_10",
                "value": "0.25"
              },
              {
                "key": "metric.ndcg_at_10.readers",
                "value": "10"
              },
              {
                "key": "metric.ndcg_at_10.standard_error",
                "value": "0.125"
              },
              {
                "key": "parameters",
                "value": "{\"neighbours\":50}"
              },
              {
                "key": "seed",
                "value": "7"
              },
              {
                "key": "status",
                "value": "active"
              },
              {
                "key": "trained_at",
                "value": "2026-03-01T01:00:00Z"
              },
              {
                "key": "trigger",
                "value": "nightly"
              },
              {
                "key": "trigger_id",
                "value": "better than popularity"
              }
            ],
            "user_id": "nightly-trainer",
            "version": "1"
          }
        }"#]]
    .assert_eq(&library.pretty(&answer));
    let same = library.ok(&format!("/model-versions/get?name={MODEL}&version=1")).await;
    assert_eq!(same, answer);
    let uri = library.ok(&format!("/model-versions/get-download-uri?name={MODEL}&version=1")).await;
    expect![[r#"
        {
          "artifact_uri": "memory://mlflow-alias/root/acme-books/models/recommender/versions/<id of 1>"
        }"#]]
    .assert_eq(&library.pretty(&uri));
}

#[tokio::test]
async fn a_model_is_told_with_its_aliases_and_its_latest_version() {
    let library = Library::usual("memory://mlflow-model/root").await;
    let answer = library.ok(&format!("/registered-models/get?name={MODEL}")).await;
    expect![[r#"
        {
          "registered_model": {
            "aliases": [
              {
                "alias": "production",
                "version": "1"
              },
              {
                "alias": "staging",
                "version": "2"
              }
            ],
            "creation_timestamp": 1772330400000,
            "description": "Model recommender of tenant acme-books, kept by bookloop and read only here; decisions about it are taken with `bookloop models`.",
            "last_updated_timestamp": 1772337600000,
            "latest_versions": [
              {
                "aliases": [
                  "staging"
                ],
                "creation_timestamp": 1772337600000,
                "current_stage": "None",
                "description": "better than version 1",
                "last_updated_timestamp": 1772337600000,
                "name": "acme-books.recommender",
                "source": "memory://mlflow-model/root/acme-books/models/recommender/versions/<id of 2>/manifest.json",
                "status": "READY",
                "tags": [
                  {
                    "key": "algorithm",
                    "value": "item-knn"
                  },
                  {
                    "key": "canary_basis_points",
                    "value": "1000"
                  },
                  {
                    "key": "code_revision",
                    "value": "f00d"
                  },
                  {
                    "key": "data_books",
                    "value": "5"
                  },
                  {
                    "key": "data_from",
                    "value": "2026-01-01T00:00:00Z"
                  },
                  {
                    "key": "data_interactions",
                    "value": "100"
                  },
                  {
                    "key": "data_readers",
                    "value": "10"
                  },
                  {
                    "key": "data_sha256",
                    "value": "abababababababababababababababababababababababababababababababab"
                  },
                  {
                    "key": "data_source",
                    "value": "file:///sales"
                  },
                  {
                    "key": "manifest_sha256",
                    "value": "<sha256 of 2>"
                  },
                  {
                    "key": "metric.ndcg_at_10",
                    "value": "0.25"
                  },
                  {
                    "key": "metric.ndcg_at_10.readers",
                    "value": "10"
                  },
                  {
                    "key": "metric.ndcg_at_10.standard_error",
                    "value": "0.125"
                  },
                  {
                    "key": "parameters",
                    "value": "{\"neighbours\":50}"
                  },
                  {
                    "key": "seed",
                    "value": "7"
                  },
                  {
                    "key": "status",
                    "value": "active"
                  },
                  {
                    "key": "trained_at",
                    "value": "2026-03-01T01:00:00Z"
                  },
                  {
                    "key": "trigger",
                    "value": "nightly"
                  },
                  {
                    "key": "trigger_id",
                    "value": "better than version 1"
                  }
                ],
                "user_id": "nightly-trainer",
                "version": "2"
              }
            ],
            "name": "acme-books.recommender",
            "tags": [
              {
                "key": "model",
                "value": "recommender"
              },
              {
                "key": "store",
                "value": "memory://mlflow-model/root/acme-books"
              },
              {
                "key": "tenant",
                "value": "acme-books"
              }
            ]
          }
        }"#]].assert_eq(&library.pretty(&answer));
}

#[tokio::test]
async fn models_of_all_tenants_are_found_as_clients_search() {
    let library = Library::usual("memory://mlflow-search/root").await;
    library.register("similar", "first", "2026-03-01T06:00:00Z").await;
    let other = Library::new(Store::open("memory://mlflow-search/other").unwrap()).await;
    other.register("recommender", "first", "2026-03-01T01:00:00Z").await;
    let tenants = ["acme-books", "shared"].map(|tenant| tenant.parse::<TenantName>().unwrap());
    let both = mlflow::router(tenants.into_iter().zip([library.registry, other.registry]));
    let found = async |query: &str| {
        let reply = get(&both, &format!("/registered-models/search?{query}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()
    };
    let all = ["acme-books.recommender", "acme-books.similar", "shared.recommender"];
    assert_eq!(names(&found("").await["registered_models"]), all);
    let as_clients_do = "filter=tag.%60mlflow.prompt.is_prompt%60+!%3D+%27true%27&max_results=100";
    assert_eq!(names(&found(as_clients_do).await["registered_models"]), all);
    let of_acme = found("filter=name+LIKE+'acme-books.%25'&order_by=name+DESC").await;
    assert_eq!(names(&of_acme["registered_models"]), [all[1], all[0]]);
    let newest = found("order_by=creation_timestamp+DESC&max_results=1").await;
    assert_eq!(names(&newest["registered_models"]), [all[1]]);

    let mut pages = Vec::new();
    let mut token = String::new();
    loop {
        let page = found(&format!("max_results=2&page_token={token}")).await;
        pages.push(names(&page["registered_models"]));
        match page["next_page_token"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(pages, [&all[..2], &all[2..]]);

    let versions = get(&both, "/model-versions/search").await.json();
    assert_eq!(
        names(&versions["model_versions"]),
        ["acme-books.similar/1", "acme-books.recommender/2", "acme-books.recommender/1", "shared.recommender/1"]
    );
    let of_one = "/model-versions/search?filter=name%3D'acme-books.recommender'&order_by=version_number";
    let versions = get(&both, of_one).await.json();
    assert_eq!(names(&versions["model_versions"]), ["acme-books.recommender/1", "acme-books.recommender/2"]);
}

#[tokio::test]
async fn latest_is_the_highest_version_that_may_be_served() {
    let library = Library::usual("memory://mlflow-latest/root").await;
    library.register("recommender", "odd data", "2026-03-01T06:00:00Z").await;
    let revoke = Op::Status { name: model(), version: version(3), status: Status::Revoked };
    library.commit("ben", "2026-03-01T07:00:00Z", revoke).await;
    let latest = async |stages: &str| {
        let body = format!(r#"{{"name":"{MODEL}","stages":[{stages}]}}"#);
        let posted = format!("{}/registered-models/get-latest-versions", mlflow::PREFIX);
        let posted = send(&library.router, Request::post(posted).body(Body::from(body)).unwrap()).await;
        let query: String =
            stages.split_terminator(',').map(|stage| format!("&stages={}", &stage[1..stage.len() - 1])).collect();
        let got = library.ok(&format!("/registered-models/get-latest-versions?name={MODEL}{query}")).await;
        assert_eq!(posted.json(), got, "both methods say the same");
        names(&got["model_versions"])
    };
    assert_eq!(latest("").await, [format!("{MODEL}/2")]);
    assert_eq!(latest(r#""None","Production""#).await, [format!("{MODEL}/2")]);
    assert_eq!(latest(r#""production""#).await, [""; 0], "no version is in a stage");
    let revoked = library.ok(&format!("/model-versions/get?name={MODEL}&version=3")).await;
    let revoked = &revoked["model_version"];
    assert_eq!(revoked["status"], "FAILED_REGISTRATION");
    assert_eq!(revoked["status_message"], "revoked: must not be served");
}

#[tokio::test]
async fn what_cannot_be_answered_says_why_in_the_clients_words() {
    let library = Library::usual("memory://mlflow-errors/root").await;
    let form = "not found; names are <tenant>.<model>";
    for (path, status, code, message) in [
        ("/registered-models/get", 400, "INVALID_PARAMETER_VALUE", "parameter name: expected a value, found none"),
        (
            "/registered-models/get?name=",
            400,
            "INVALID_PARAMETER_VALUE",
            "parameter name: expected a value, found none",
        ),
        (
            "/registered-models/get?name=a&name=b",
            400,
            "INVALID_PARAMETER_VALUE",
            r#"parameter name: expected one value, found "another one, b""#,
        ),
        (
            "/registered-models/get?name=nobody",
            404,
            "RESOURCE_DOES_NOT_EXIST",
            &format!("Registered Model with name=nobody {form}"),
        ),
        (
            "/registered-models/get?name=acme-books.nothing",
            404,
            "RESOURCE_DOES_NOT_EXIST",
            &format!("Registered Model with name=acme-books.nothing {form}"),
        ),
        (
            "/registered-models/get?name=../acme-books.recommender",
            404,
            "RESOURCE_DOES_NOT_EXIST",
            &format!("Registered Model with name=../acme-books.recommender {form}"),
        ),
        (
            "/model-versions/get?name=acme-books.recommender&version=9",
            404,
            "RESOURCE_DOES_NOT_EXIST",
            "Model Version (name=acme-books.recommender, version=9) not found",
        ),
        (
            "/model-versions/get?name=acme-books.recommender&version=two",
            400,
            "INVALID_PARAMETER_VALUE",
            r#"parameter version: expected an integer from 1, found "two""#,
        ),
        (
            "/registered-models/alias?name=acme-books.recommender&alias=best",
            404,
            "RESOURCE_DOES_NOT_EXIST",
            "Registered model alias best of acme-books.recommender not found; aliases: [production, staging]",
        ),
        (
            "/registered-models/get-latest-versions?name=acme-books.recommender&stages=Gold",
            400,
            "INVALID_PARAMETER_VALUE",
            r#"parameter stages: expected some of None, Staging, Production, Archived, found "Gold""#,
        ),
        (
            "/registered-models/search?max_results=1001",
            400,
            "INVALID_PARAMETER_VALUE",
            r#"parameter max_results: expected 1 to 1000, found "1001""#,
        ),
        (
            "/model-versions/search?filter=run_id%3D'7'",
            400,
            "INVALID_PARAMETER_VALUE",
            "parameter filter: expected conditions name = '...', name LIKE '...' or name ILIKE '...' joined by AND, \
             found \"run_id='7'\"",
        ),
        (
            "/experiments/search",
            404,
            "ENDPOINT_NOT_FOUND",
            "no such path; registered-models and model-versions can be searched and read here",
        ),
    ] {
        let reply = library.get(path).await;
        assert_eq!((reply.status, reply.header("content-type")), (status, "application/json"), "{path}");
        assert_eq!(reply.json(), serde_json::json!({ "error_code": code, "message": message }), "{path}");
    }
    for (sent, status, code) in [
        ("{".to_owned(), 400, "INVALID_PARAMETER_VALUE"),
        ("{}".to_owned(), 400, "INVALID_PARAMETER_VALUE"),
        (format!(r#"{{"name":"{}"}}"#, "x".repeat(70_000)), 413, "BAD_REQUEST"),
    ] {
        let latest = format!("{}/registered-models/get-latest-versions", mlflow::PREFIX);
        let request = Request::post(latest).body(Body::from(sent)).unwrap();
        let reply = send(&library.router, request).await;
        assert_eq!((reply.status, reply.json()["error_code"].as_str()), (status, Some(code)), "{}", reply.text);
    }
}

#[tokio::test]
async fn every_write_is_refused_with_the_command_to_use_instead() {
    let library = Library::usual("memory://mlflow-writes/root").await;
    let before = library.registry.state().last_id;
    for (method, path, instead) in [
        ("POST", "/registered-models/create", "bookloop train"),
        ("POST", "/registered-models/rename", "names never change"),
        ("PATCH", "/registered-models/update", "manifest"),
        ("DELETE", "/registered-models/delete", "stays in the log"),
        ("POST", "/registered-models/set-tag", "manifest"),
        ("DELETE", "/registered-models/delete-tag", "manifest"),
        ("POST", "/registered-models/alias", "bookloop models promote"),
        ("DELETE", "/registered-models/alias", "bookloop models alias"),
        ("POST", "/model-versions/create", "bookloop train"),
        ("PATCH", "/model-versions/update", "manifest"),
        ("POST", "/model-versions/transition-stage", "bookloop models promote"),
        ("DELETE", "/model-versions/delete", "stays in the log"),
        ("POST", "/model-versions/set-tag", "manifest"),
        ("DELETE", "/model-versions/delete-tag", "manifest"),
    ] {
        let request = Request::builder().method(method).uri(format!("{}{path}", mlflow::PREFIX));
        let reply = send(&library.router, request.body(Body::from(r#"{"name":"x"}"#)).unwrap()).await;
        assert_eq!((reply.status, &reply.json()["error_code"]), (403, &"PERMISSION_DENIED".into()), "{method} {path}");
        let message = reply.json()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("this registry is read only over the MLflow protocol: "), "{message}");
        assert!(message.contains(instead), "{method} {path}: {message}");
    }
    let reply = send(
        &library.router,
        Request::put(format!("{}/registered-models/get", mlflow::PREFIX)).body(Body::empty()).unwrap(),
    )
    .await;
    assert_eq!((reply.status, &reply.json()["error_code"]), (405, &"ENDPOINT_NOT_FOUND".into()));
    assert_eq!(library.registry.refresh().await.unwrap().last_id, before);
}

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

#[tokio::test]
async fn it_can_be_mounted_beside_the_predictors_own_paths() {
    let library = Library::usual("memory://mlflow-mounted/root").await;
    let admin = serve::admin(Arc::clone(&Shop::open().service)).merge(library.router);
    assert_eq!(get(&admin, &format!("/registered-models/get?name={MODEL}")).await.status, 200);
    assert_eq!(get(&admin, "/nothing").await.json()["error_code"], "ENDPOINT_NOT_FOUND");
    let metrics = send(&admin, Request::get("/metrics").body(Body::empty()).unwrap()).await;
    assert_eq!(metrics.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_socket_it_probes_refuses_long_heads_and_leaves() {
    let library = Library::usual("memory://mlflow-socket/root").await;
    let tenant: TenantName = "acme-books".parse().unwrap();
    let running = mlflow::start("127.0.0.1:0".parse().unwrap(), [(tenant, library.registry)]).await.unwrap();
    let exchange = async |head: String| {
        let mut stream = TcpStream::connect(running.address()).await.unwrap();
        stream.write_all(format!("{head}\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await.unwrap();
        String::from_utf8_lossy(&reply).into_owned()
    };
    assert!(exchange("GET /health HTTP/1.1".into()).await.starts_with("HTTP/1.1 200"));
    let model = exchange(format!("GET /api/2.0/mlflow/registered-models/get?name={MODEL} HTTP/1.1")).await;
    assert!(model.contains(r#"{"alias":"production","version":"1"}"#), "{model}");
    let nothing = exchange("GET / HTTP/1.1".into()).await;
    assert!(nothing.starts_with("HTTP/1.1 404") && nothing.contains("ENDPOINT_NOT_FOUND"), "{nothing}");
    let long = exchange(format!("GET /health HTTP/1.1\r\nx-long: {}", "x".repeat(20_000))).await;
    assert!(long.starts_with("HTTP/1.1 431"), "{long}");
    let taken = mlflow::start(running.address(), []).await.unwrap_err();
    assert_eq!(taken.to_string(), format!("cannot listen on {}", running.address()));
    let address = running.address();
    running.shutdown().await;
    assert!(TcpStream::connect(address).await.is_err());
}
