//! The MLflow protocol as its clients see it: records byte by byte, pages, refusals, and a store that goes away.

mod failing;

use std::{collections::BTreeMap, sync::Arc};

use axum::{Router, body::Body, http::Request};
use expect_test::expect_file;
use jiff::Timestamp;
use models::{
    Alias, ModelName, Registry, Store, TenantName, Version,
    manifest::{DataLineage, Estimate, MODEL_FILE, Manifest, Trigger, TriggerKind},
    registry::{Draft, Intent, Op, Status},
    split::Salt,
};
use serde_json::Value;
use serve::mlflow;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{Reply, Shop, artifact, send, version};

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
        tuning: None,
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
        library.registry.set_alias(&model(), &Alias::staging(), None, version(2), &intent).await.unwrap();
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
        let mut text = serde_json::to_string_pretty(value).unwrap() + "\n";
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
    expect_file!["../golden/mlflow-version.json"].assert_eq(&library.pretty(&answer));
    let same = library.ok(&format!("/model-versions/get?name={MODEL}&version=1")).await;
    assert_eq!(same, answer);
    let uri = library.ok(&format!("/model-versions/get-download-uri?name={MODEL}&version=1")).await;
    expect_file!["../golden/mlflow-download-uri.json"].assert_eq(&library.pretty(&uri));
}

#[tokio::test]
async fn a_model_is_told_with_its_aliases_and_its_latest_version() {
    let library = Library::usual("memory://mlflow-model/root").await;
    let answer = library.ok(&format!("/registered-models/get?name={MODEL}")).await;
    expect_file!["../golden/mlflow-model.json"].assert_eq(&library.pretty(&answer));
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
        let query = stages.replace('"', "").replace(',', "&stages=");
        let query = if query.is_empty() { query } else { format!("&stages={query}") };
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
async fn it_can_be_mounted_beside_the_predictors_own_paths() {
    let library = Library::usual("memory://mlflow-mounted/root").await;
    let admin = serve::admin(Arc::clone(&Shop::open().fleet)).merge(library.router);
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
