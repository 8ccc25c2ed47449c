//! Several models of several tenants in one process: whose a request is, and that no tenant meets another.

mod memory;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, Uri},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use models::{signature::Trust, stream::Producer};
use serde_json::Value;
use serve::{
    Callers, ModelSource, Options, Running, Selection, Served, Server,
    grpc::proto::{ModelInferRequest, ModelReadyRequest, RepositoryIndexRequest},
};
use tonic::Code;

use crate::{
    grpc::readers,
    world::{Recorder, Reply, Shelf, World, artifact, options, send, store},
};

const PREDICT: &str = "/v1/models/recommender:predict";
const INFER: &str = "/v2/models/recommender/infer";
const ANN: &str = r#"{"instances":[{"user_id":"ann","k":1}]}"#;
const ANN_V2: &str = r#"{"inputs":[{"name":"user_id","shape":[1],"datatype":"BYTES","data":["ann"]}]}"#;
const CLAIMS: &str = "x-jwt-payload";

/// What the mesh sets for a tenant's caller.
fn claim(tenant: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"someone","tenant":"{tenant}"}}"#))
}

fn request(method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

/// A process over a shelf, with its doors.
struct Mall {
    running: Running,
    router: Router,
    admin: Router,
    stream: Arc<Recorder>,
}

/// `acme-books` with `recommender` and `next`, `other-books` with `recommender`: each says in its titles whose it is.
/// Their files are equally long.
async fn shelf() -> Arc<Shelf> {
    let shelf = Arc::new(Shelf::default());
    let (acme, other) = (World::of(&shelf, "acme-books").await, World::of(&shelf, "other-books").await);
    acme.publish("recommender", &artifact(" acme/recommender")).await;
    acme.publish("next", &artifact(" acme/next-------")).await;
    other.publish("recommender", &artifact(" othr/recommender")).await;
    shelf
}

fn length() -> u64 {
    models::format::encode(&artifact(" acme/recommender")).len() as u64
}

fn all(shelf: &Arc<Shelf>, eager: bool) -> Selection {
    let (tenants, models) = (Served::All, Served::All);
    Selection { root: store(shelf), trust: Trust::default(), tenants, models, eager }
}

/// Settings of a process behind a mesh.
fn behind_a_mesh() -> Options {
    Options { callers: Callers::Claim, ..options() }
}

impl Mall {
    async fn open(options: Options, selection: Selection) -> Self {
        let stream = Arc::new(Recorder::default());
        let source = ModelSource::Store(selection);
        let running = Server::start(options, source, Arc::clone(&stream) as Arc<dyn Producer>).await.unwrap();
        running.look_now().await;
        let fleet = running.fleet();
        let (router, admin) = (serve::rest(Arc::clone(fleet)), serve::admin(Arc::clone(fleet)));
        Self { running, router, admin, stream }
    }

    /// As a tenant's caller.
    async fn post(&self, tenant: &str, path: &str, body: &str) -> Reply {
        send(&self.router, request("POST", path, body, &[(CLAIMS, &claim(tenant))])).await
    }

    async fn get(&self, tenant: &str, path: &str) -> Reply {
        send(&self.router, request("GET", path, "", &[(CLAIMS, &claim(tenant))])).await
    }

    /// As an operator.
    async fn operate(&self, path: &str) -> Reply {
        send(&self.admin, request("POST", path, "", &[])).await
    }

    /// Asks a model for ann's first book; its title.
    async fn ask(&self, tenant: &str, model: &str) -> String {
        let reply = self.post(tenant, &format!("/v1/models/{model}:predict"), ANN).await;
        assert_eq!(reply.status, 200, "{tenant}/{model}: {}", reply.text);
        reply.json()["predictions"][0]["recommendations"][0]["title"].as_str().unwrap().to_owned()
    }

    /// `tenant/model: state reason` of every model.
    async fn index(&self) -> Vec<String> {
        let listed = self.operate("/v2/repository/index").await.json();
        let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
        let row = |row: &Value| {
            let words = ["tenant", "name", "state", "reason"].map(|name| text(row, name));
            format!("{}/{}: {} {}", words[0], words[1], words[2], words[3]).trim_end().to_owned()
        };
        listed.as_array().unwrap().iter().map(row).collect()
    }

    /// The value of a metric's line without labels, or with these.
    fn metric(&self, line: &str) -> u64 {
        let text = self.running.fleet().metrics_text();
        let found = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("{line} is in\n{text}")).parse().unwrap()
    }
}

async fn until(mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it happens within ten seconds");
}

#[tokio::test]
async fn a_claim_reaches_its_own_tenants_models_and_no_others_whichever_the_door() {
    let mall = Mall::open(behind_a_mesh(), all(&shelf().await, false)).await;
    assert_eq!(mall.ask("acme-books", "recommender").await, "Persuasion acme/recommender");
    assert_eq!(mall.ask("acme-books", "next").await, "Persuasion acme/next-------");
    assert_eq!(mall.ask("other-books", "recommender").await, "Persuasion othr/recommender");
    let doors = [
        ("POST", PREDICT, ANN),
        ("POST", "/v1/models/next:predict", ANN),
        ("POST", INFER, ANN_V2),
        ("POST", "/v2/models/recommender/versions/1/infer", ANN_V2),
        ("POST", "/v2/models/next/infer", ANN_V2),
        ("GET", "/recommend?user_id=ann&tenant=acme-books", ""),
        ("GET", "/v1/models", ""),
        ("GET", "/v1/models/next", ""),
        ("GET", "/v2/models", ""),
        ("GET", "/v2/models/next", ""),
        ("GET", "/v2/models/next/ready", ""),
        ("GET", "/v2/models/stats", ""),
        ("GET", "/v2/models/next/stats", ""),
        ("POST", "/v2/repository/index", "{}"),
        ("POST", "/v2/repository/models/next/load", ""),
        ("GET", "/openapi.json", ""),
    ];
    for (method, path, body) in doors {
        let (mine, other) = (claim("acme-books"), claim("other-books"));
        let own = send(&mall.router, request(method, path, body, &[(CLAIMS, &mine)])).await;
        assert!([200, 403].contains(&own.status), "{path}: {}", own.text);
        // Whatever else the caller says of a tenant, the claim stands.
        let hints = [(CLAIMS, other.as_str()), ("x-tenant", "acme-books"), ("tenant", "acme-books")];
        let asked = send(&mall.router, request(method, path, body, &hints)).await;
        assert!(!asked.text.contains("acme"), "{path}: {}", asked.text);
        let only_acme = path.contains("/next");
        assert_eq!(asked.status, if only_acme { 404 } else { 200 }, "{path}: {}", asked.text);
        if only_acme {
            assert_eq!(asked.json()["error"], "unknown model \"next\"; this server has recommender", "{path}");
        }
        if path == "/openapi.json" {
            continue;
        }
        let third = claim("third-books");
        let stranger = send(&mall.router, request(method, path, body, &[(CLAIMS, &third)])).await;
        assert_eq!(
            (stranger.status, stranger.json()["error"].as_str()),
            (404, Some("no model is served to this tenant"))
        );
        for (headers, words) in [
            (&[][..], "expected the claim tenant, found none"),
            (&[("x-tenant", "acme-books")], "expected the claim tenant, found none"),
            (&[(CLAIMS, "e30")], "expected the claim tenant, found none"),
            (&[(CLAIMS, "acme-books")], "x-jwt-payload: expected base64 of a JSON object"),
            (&[(CLAIMS, mine.as_str()), (CLAIMS, other.as_str())], "x-jwt-payload: expected once"),
        ] {
            let refused = send(&mall.router, request(method, path, body, headers)).await;
            assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer"), "{path} {headers:?}");
            assert!(refused.json()["error"].as_str().unwrap().contains(words), "{path}: {}", refused.text);
        }
    }
    for path in ["/metrics", "/experiments"] {
        assert_eq!(mall.get("acme-books", path).await.status, 404, "{path} would tell of other tenants");
        assert_eq!(send(&mall.admin, request("GET", path, "", &[])).await.status, 200);
    }
    let own = r#"bookloop_requests_total{tenant="acme-books",model="next",version="1",arm="stable",protocol="v1",code="200"}"#;
    assert_eq!(mall.metric(own), 2);
}

#[tokio::test]
async fn grpc_takes_the_claim_from_its_metadata() {
    use serve::grpc::proto::grpc_inference_service_client::GrpcInferenceServiceClient as Client;

    let mall = Mall::open(behind_a_mesh(), all(&shelf().await, false)).await;
    let origin = || Uri::from_static("http://mall");
    let mut client = Client::with_origin(mall.router.clone(), origin());
    let infer = |model: &str, claims: Option<String>| {
        let inputs = vec![readers(&["ann"])];
        let mut request =
            tonic::Request::new(ModelInferRequest { model_name: model.into(), inputs, ..ModelInferRequest::default() });
        if let Some(claims) = claims {
            request.metadata_mut().insert(CLAIMS, claims.parse().unwrap());
        }
        request
    };
    for (tenant, title) in
        [("acme-books", "Persuasion acme/recommender"), ("other-books", "Persuasion othr/recommender")]
    {
        let told = client.model_infer(infer("recommender", Some(claim(tenant)))).await.unwrap().into_inner();
        let titles = told.outputs.iter().find(|output| output.name == "titles").unwrap();
        assert_eq!(titles.contents.as_ref().unwrap().bytes_contents[0], title);
    }
    for (model, claims, code) in [
        ("next", Some(claim("other-books")), Code::NotFound),
        ("recommender", Some(claim("third-books")), Code::NotFound),
        ("recommender", Some("garbage".into()), Code::Unauthenticated),
        ("recommender", None, Code::Unauthenticated),
    ] {
        let status = client.model_infer(infer(model, claims)).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(!status.message().contains("acme"), "{status}");
    }
    let index = client.repository_index(RepositoryIndexRequest::default()).await.unwrap_err();
    assert_eq!(index.code(), Code::Unauthenticated);
    let mut of_other = tonic::Request::new(RepositoryIndexRequest::default());
    of_other.metadata_mut().insert(CLAIMS, claim("other-books").parse().unwrap());
    let index = client.repository_index(of_other).await.unwrap().into_inner().models;
    assert_eq!((index.len(), index[0].name.as_str(), index[0].state.as_str()), (1, "recommender", "READY"));
    let mut ready = tonic::Request::new(ModelReadyRequest { name: "next".into(), ..ModelReadyRequest::default() });
    ready.metadata_mut().insert(CLAIMS, claim("acme-books").parse().unwrap());
    assert!(!client.model_ready(ready).await.unwrap().into_inner().ready, "nobody has asked for it yet");
}

#[tokio::test]
async fn an_outcome_joins_the_answers_of_its_own_tenant_and_its_records_bear_that_name() {
    let mall = Mall::open(behind_a_mesh(), all(&shelf().await, false)).await;
    let headers = [(CLAIMS, claim("acme-books")), ("x-request-id", "page-1".into())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let answered = send(&mall.router, request("POST", "/v1/models/next:predict", ANN, &headers)).await;
    assert_eq!(answered.status, 200, "{}", answered.text);
    let click = r#"{"request_id":"page-1","user_id":"ann","item_id":"b2","kind":"click","tenant":"acme-books"}"#;
    let joined = async |tenant: &str| mall.post(tenant, "/outcomes", click).await.json()["joined"].clone();
    assert_eq!(joined("other-books").await, 0, "another tenant's answer");
    assert_eq!(joined("acme-books").await, 1);
    mall.running.flush_events().await;
    assert_eq!(mall.stream.records("ml.predictions")[0]["tenant"], "acme-books");
    let outcomes = mall.stream.records("ml.outcomes");
    let told = |record: &Value| (record["tenant"].clone(), record["model"]["name"].clone());
    assert_eq!(told(&outcomes[0]), ("other-books".into(), Value::Null));
    assert_eq!(told(&outcomes[1]), ("acme-books".into(), "next".into()));
}

#[tokio::test]
async fn without_a_mesh_a_header_names_the_tenant_if_the_operator_says_so() {
    let by_header = Options { callers: Callers::Header("x-tenant".parse().unwrap()), ..options() };
    let mall = Mall::open(by_header, all(&shelf().await, false)).await;
    let ask = async |headers: &[(&str, &str)]| send(&mall.router, request("POST", PREDICT, ANN, headers)).await;
    let named = ask(&[("x-tenant", "other-books")]).await;
    assert!(named.status == 200 && named.text.contains("othr/recommender"), "{}", named.text);
    assert_eq!(ask(&[("x-tenant", "third-books")]).await.status, 404);
    assert_eq!(ask(&[]).await.status, 401);
    let (acme, header) = (claim("acme-books"), ("x-tenant", "other-books"));
    assert_eq!(ask(&[header, (CLAIMS, &acme)]).await.status, 401, "nobody who may be believed sets claims here");
}

#[tokio::test]
async fn several_tenants_need_somebody_who_tells_them_apart() {
    let shelf = shelf().await;
    let stream = Arc::new(Recorder::default()) as Arc<dyn Producer>;
    let refused = Server::start(options(), ModelSource::Store(all(&shelf, false)), Arc::clone(&stream)).await;
    let words = "settings: callers: expected a claim or a header where several tenants are served";
    assert_eq!(refused.unwrap_err().to_string(), words);
    // One alone needs nobody, and takes no one's word for another.
    let tenants = Served::These(vec!["other-books".parse().unwrap()]);
    let mall = Mall::open(options(), Selection { tenants, ..all(&shelf, true) }).await;
    assert!(mall.running.ready(Duration::from_secs(10)).await);
    let anyone = send(&mall.router, request("POST", PREDICT, ANN, &[])).await;
    assert!(anyone.status == 200 && anyone.text.contains("othr/recommender"), "{}", anyone.text);
    assert_eq!(mall.post("acme-books", PREDICT, ANN).await.status, 404);
}

#[tokio::test]
async fn the_flood_of_one_tenant_does_not_refuse_the_others() {
    let mut small = behind_a_mesh();
    small.limits.in_flight = 8;
    small.tenant_in_flight = Some(4);
    let mall = Mall::open(small, all(&shelf().await, false)).await;
    mall.ask("acme-books", "recommender").await;
    mall.ask("other-books", "recommender").await;
    let flood = (0..50).map(|_| mall.post("acme-books", PREDICT, ANN));
    let (flood, other) = tokio::join!(futures::future::join_all(flood), mall.post("other-books", PREDICT, ANN));
    let answered = flood.iter().filter(|reply| reply.status == 200).count();
    let refused: Vec<&Reply> = flood.iter().filter(|reply| reply.status == 429).collect();
    assert_eq!((answered, refused.len(), other.status), (4, 46, 200));
    assert_eq!(refused[0].json()["error"], "too many requests of this tenant in flight");
    assert!(["1", "2", "3"].contains(&refused[0].header("retry-after")));
    let shed = r#"bookloop_shed_total{tenant="acme-books",model="recommender",reason="tenant"}"#;
    assert_eq!(mall.metric(shed), 46);
}

#[tokio::test]
async fn a_tenant_or_a_model_that_comes_later_is_served_without_a_restart() {
    let shelf = Arc::new(Shelf::default());
    let acme = World::of(&shelf, "acme-books").await;
    acme.publish("recommender", &artifact(" acme/recommender")).await;
    let mall = Mall::open(behind_a_mesh(), all(&shelf, false)).await;
    mall.ask("acme-books", "recommender").await;
    assert_eq!(mall.post("other-books", PREDICT, ANN).await.status, 404);
    let other = World::of(&shelf, "other-books").await;
    other.publish("recommender", &artifact(" othr/recommender")).await;
    acme.publish("next", &artifact(" acme/next-------")).await;
    mall.running.look_now().await;
    assert_eq!(mall.ask("other-books", "recommender").await, "Persuasion othr/recommender");
    assert_eq!(mall.get("acme-books", "/v1/models").await.text, r#"{"models":["next","recommender"]}"#);
    shelf.away.store(true, Ordering::SeqCst);
    mall.running.look_now().await;
    assert_eq!(
        mall.ask("other-books", "recommender").await,
        "Persuasion othr/recommender",
        "a lost store takes nobody away"
    );
    let away = mall.post("acme-books", "/v1/models/next:predict", ANN).await;
    assert_eq!(away.json()["error"], "model next is not ready: its registry does not answer");
}
