//! Where no mesh stands before the predictor: callers bring tokens, and what a token does not say nobody else can.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, Uri},
};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use models::signature::Trust;
use serde_json::{Value, json};
use serve::{
    Callers, Expected, KeySource, ModelSource, Options, Refresh, Running, Selection, Served, Server, Tokens,
    grpc::proto::{ModelInferRequest, grpc_inference_service_client::GrpcInferenceServiceClient as Client},
};
use tonic::Code;

use crate::{
    grpc::readers,
    issuer::Issuer,
    world::{Recorder, Reply, Shelf, World, artifact, options, send, store},
};

const PREDICT: &str = "/v1/models/recommender:predict";
const INFER: &str = "/v2/models/recommender/infer";
const ANN: &str = r#"{"instances":[{"user_id":"ann","k":1}]}"#;
const ANN_V2: &str = r#"{"inputs":[{"name":"user_id","shape":[1],"datatype":"BYTES","data":["ann"]}]}"#;
/// Noon on the first of March 2026, when the clock of these tests stands still.
const NOW: i64 = 1_772_366_400;
/// `{"tenant":"other-books"}`, as a mesh would say it.
const OTHER: &str = "eyJ0ZW5hbnQiOiJvdGhlci1ib29rcyJ9";

/// Keys that are fetched as they are at that moment, or not.
#[derive(Debug)]
struct Published {
    keys: Mutex<Result<Value, String>>,
    fetched: AtomicUsize,
}

impl Published {
    fn new(keys: Value) -> Arc<Self> {
        Arc::new(Self { keys: Mutex::new(Ok(keys)), fetched: AtomicUsize::new(0) })
    }

    fn now(&self, keys: Result<Value, String>) {
        *self.keys.lock().unwrap() = keys;
    }

    fn fetched(&self) -> usize {
        self.fetched.load(Ordering::SeqCst)
    }
}

impl KeySource for Published {
    fn fetch(&self) -> BoxFuture<'_, Result<Bytes, String>> {
        self.fetched.fetch_add(1, Ordering::SeqCst);
        let keys = self.keys.lock().unwrap().clone().map(|keys| Bytes::from(keys.to_string()));
        async { keys }.boxed()
    }
}

fn expected() -> Expected {
    Expected { issuer: "https://id.example".into(), audiences: ["storefront", "admin"].map(String::from).into() }
}

async fn tokens(keys: &Arc<Published>, refresh: Refresh) -> Arc<Tokens> {
    let keys = Arc::clone(keys) as Arc<dyn KeySource>;
    Tokens::open(keys, expected(), refresh, options().clock).await.unwrap()
}

/// What a sound token for acme-books says.
fn claims() -> Value {
    json!({ "iss": "https://id.example", "aud": "storefront", "exp": NOW + 300, "tenant": "acme-books", "sub": "a" })
}

/// The sound claims with others in the place of some; null takes one away.
fn with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        let claims = claims.as_object_mut().unwrap();
        if value.is_null() { drop(claims.remove(name)) } else { drop(claims.insert(name.clone(), value.clone())) }
    }
    claims
}

/// `acme-books` and `other-books`, each with its own model.
struct Street {
    running: Running,
    router: Router,
}

impl Street {
    async fn open(tokens: Arc<Tokens>) -> Self {
        let shelf = Arc::new(Shelf::default());
        for (tenant, tag) in [("acme-books", " acme"), ("other-books", " other")] {
            World::of(&shelf, tenant).await.publish("recommender", &artifact(tag)).await;
        }
        let models = Served::These(vec!["recommender".parse().unwrap()]);
        let selection =
            Selection { root: store(&shelf), trust: Trust::default(), tenants: Served::All, models, eager: true };
        let options = Options { callers: Callers::Claim, tokens: Some(tokens), ..options() };
        let stream = Arc::new(Recorder::default());
        let running = Server::start(options, ModelSource::Store(selection), stream).await.unwrap();
        running.look_now().await;
        Self { router: serve::rest(Arc::clone(running.fleet())), running }
    }

    async fn post(&self, path: &str, body: &'static str, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(&self.router, request.body(Body::from(body)).unwrap()).await
    }

    /// The title that the bearer of a token is answered with, or why not.
    async fn told(&self, token: &str) -> String {
        let reply = self.post(PREDICT, ANN, &[("authorization", &format!("Bearer {token}"))]).await;
        if reply.status == 200 {
            return reply.json()["predictions"][0]["recommendations"][0]["title"].as_str().unwrap().to_owned();
        }
        assert_eq!(reply.status, 401, "{}", reply.text);
        assert!(reply.header("www-authenticate").starts_with("Bearer"), "{reply:?}");
        reply.json()["error"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_token_of_every_kind_names_its_bearers_tenant_at_every_door() {
    let issuer = Issuer::new();
    let street = Street::open(tokens(&Published::new(issuer.keys()), Refresh::default()).await).await;
    let mut client = Client::with_origin(street.router.clone(), Uri::from_static("http://street"));
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        for (tenant, title) in [("acme-books", "Persuasion acme"), ("other-books", "Persuasion other")] {
            let token = issuer.token(algorithm, &with(&json!({ "tenant": tenant })));
            assert_eq!(street.told(&token).await, title, "{algorithm}");
            let bearer = format!("bearer {token}");
            // What the caller claims besides is nobody's word.
            let headers = [("authorization", bearer.as_str()), ("x-jwt-payload", OTHER), ("x-jwt-payload", "!")];
            let v2 = street.post(INFER, ANN_V2, &headers).await;
            assert!(v2.text.contains(title), "{algorithm}: {}", v2.text);
            let told = client.model_infer(ann(Some(&bearer))).await.unwrap().into_inner();
            let titles = told.outputs.iter().find(|output| output.name == "titles").unwrap();
            assert_eq!(titles.contents.as_ref().unwrap().bytes_contents[0], title.as_bytes(), "{algorithm}");
        }
    }
    let without_name = issuer.headed("ES256", &json!({ "alg": "ES256" }), &claims());
    assert_eq!(street.told(&without_name).await, "Persuasion acme", "there is one key of its algorithm");
    street.running.shutdown().await;
}

/// Ann's books over gRPC.
fn ann(bearer: Option<&str>) -> tonic::Request<ModelInferRequest> {
    let (model_name, inputs) = ("recommender".into(), vec![readers(&["ann"])]);
    let mut request = tonic::Request::new(ModelInferRequest { model_name, inputs, ..ModelInferRequest::default() });
    request.metadata_mut().insert("x-jwt-payload", OTHER.parse().unwrap());
    if let Some(bearer) = bearer {
        request.metadata_mut().insert("authorization", bearer.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn a_token_that_is_not_sound_in_every_part_counts_for_nothing() {
    let (issuer, stranger) = (Issuer::new(), Issuer::new());
    let street = Street::open(tokens(&Published::new(issuer.keys()), Refresh::default()).await).await;
    let sound = issuer.token("ES256", &claims());
    let parts: Vec<&str> = sound.split('.').collect();
    let other = issuer.token("ES256", &with(&json!({ "tenant": "other-books" })));
    let swapped = format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2]);
    let malformed = "it is no JSON Web Token";
    let headed = |algorithm: &str, header: Value| issuer.headed(algorithm, &header, &claims());
    for (token, says) in [
        (swapped, "its signature is not its key's"),
        (stranger.token("ES256", &claims()), "its signature is not its key's"),
        (stranger.token("EdDSA", &claims()), "its signature is not its key's"),
        (format!("{}.{}.", parts[0], parts[1]), "its signature is not its key's"),
        (headed("none", json!({ "alg": "none" })), "its algorithm is none of"),
        (headed("none", json!({ "alg": "None", "kid": "rsa" })), "its algorithm is none of"),
        (headed("HS256", json!({ "alg": "HS256", "kid": "rsa" })), "its algorithm is none of RS256, ES256 and EdDSA"),
        (headed("HS256", json!({ "alg": "HS256", "kid": "shared" })), "its algorithm is none of"),
        (headed("HS256", json!({ "alg": "RS256", "kid": "rsa" })), "its signature is not its key's"),
        (headed("ES256", json!({ "alg": "ES256", "kid": "rsa" })), "or not its key's"),
        (headed("RS256", json!({ "alg": "RS384", "kid": "rsa" })), "its algorithm is none of"),
        (headed("RS256", json!({ "alg": "RS256", "kid": "wraps" })), "its key is not known"),
        (headed("ES256", json!({ "alg": "ES256", "kid": "gone" })), "its key is not known"),
        (headed("ES256", json!({ "alg": "ES256", "kid": "ec", "crit": ["b64"], "b64": false })), malformed),
        (parts[..2].join("."), malformed),
        (format!("{sound}.{}", parts[2]), malformed),
        ("a.b.c".into(), malformed),
        (format!("{sound} {sound}"), "expected Bearer and one token"),
    ] {
        let told = street.told(&token).await;
        assert!(told.contains(says), "{token}: {told}");
    }
    for (changes, says) in [
        (json!({ "exp": NOW - 30 }), "it has expired"),
        (json!({ "exp": NOW - 29 }), "Persuasion acme"),
        (json!({ "exp": "tomorrow" }), malformed),
        (json!({ "exp": null }), malformed),
        (json!({ "nbf": NOW + 31 }), "it is not valid yet"),
        (json!({ "nbf": NOW + 30 }), "Persuasion acme"),
        (json!({ "iss": "https://id.example/" }), "it was issued by or for somebody else"),
        (json!({ "iss": null }), malformed),
        (json!({ "aud": "checkout" }), "it was issued by or for somebody else"),
        (json!({ "aud": ["checkout", "admin"] }), "Persuasion acme"),
        (json!({ "aud": [] }), "it was issued by or for somebody else"),
        (json!({ "aud": null }), malformed),
        (json!({ "tenant": "../acme-books" }), "its claim tenant is no name of a tenant"),
        (json!({ "tenant": ["acme-books"] }), "its claim tenant is no name of a tenant"),
        (json!({ "tenant": null }), "expected a bearer token with the claim tenant, found none"),
    ] {
        let told = street.told(&issuer.token("EdDSA", &with(&changes))).await;
        assert!(told.contains(says), "{changes}: {told}");
        assert!(!told.contains("other") && !told.contains("id.example"), "{told}");
    }
    street.running.shutdown().await;
}

#[tokio::test]
async fn without_a_token_nobodys_word_counts_and_probes_are_answered() {
    let issuer = Issuer::new();
    let street = Street::open(tokens(&Published::new(issuer.keys()), Refresh::default()).await).await;
    let bearer = format!("Bearer {}", issuer.token("EdDSA", &claims()));
    for (headers, says, challenge) in [
        (&[("x-jwt-payload", OTHER)][..], "expected a bearer token with the claim tenant", "Bearer"),
        (&[("authorization", "Basic YTpi")], "expected Bearer and one token", r#"Bearer error="invalid_token""#),
        (&[("authorization", "Bearer ")], "expected Bearer and one token", r#"Bearer error="invalid_token""#),
        (&[("authorization", &bearer), ("authorization", &bearer)], "authorization: expected once", "Bearer"),
    ] {
        for (path, body) in [(PREDICT, ANN), (INFER, ANN_V2)] {
            let reply = street.post(path, body, headers).await;
            assert_eq!((reply.status, reply.header("www-authenticate")), (401, challenge), "{headers:?}");
            assert!(reply.text.contains(says), "{headers:?}: {}", reply.text);
        }
    }
    let mut client = Client::with_origin(street.router.clone(), Uri::from_static("http://street"));
    for bearer in [None, Some("Bearer a.b.c"), Some("Basic YTpi")] {
        let status = client.model_infer(ann(bearer)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{bearer:?}: {status}");
    }
    for path in ["/v2/health/live", "/v2/health/ready", "/readyz"] {
        let reply = send(&street.router, Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, 200, "{path}");
    }
    let admin = serve::admin(Arc::clone(street.running.fleet()));
    let scrape = Request::get("/metrics").header("authorization", "Bearer scraper").body(Body::empty()).unwrap();
    assert_eq!(send(&admin, scrape).await.status, 200, "the operators' door asks for no reader's token");
    street.running.shutdown().await;
}

#[tokio::test]
async fn an_unknown_key_is_looked_for_once_in_a_while_and_a_failed_look_loses_nothing() {
    let (issuer, next) = (Issuer::new(), Issuer::new());
    let published = Published::new(issuer.keys());
    let hour = Duration::from_hours(1);
    let street = Street::open(tokens(&published, Refresh { every: hour, unknown: hour }).await).await;
    let renamed = |issuer: &Issuer| {
        let mut keys = issuer.keys();
        keys["keys"][1]["kid"] = "next".into();
        keys
    };
    let of_next = |claims: &Value| next.headed("ES256", &json!({ "alg": "ES256", "kid": "next" }), claims);
    assert_eq!(
        (street.told(&issuer.token("ES256", &claims())).await.as_str(), published.fetched()),
        ("Persuasion acme", 1)
    );
    published.now(Ok(renamed(&next)));
    assert_eq!((street.told(&of_next(&claims())).await.as_str(), published.fetched()), ("Persuasion acme", 2));
    for n in 0..20 {
        let made_up = next.headed("ES256", &json!({ "alg": "ES256", "kid": format!("made-up-{n}") }), &claims());
        assert!(street.told(&made_up).await.contains("its key is not known"));
    }
    assert_eq!(published.fetched(), 2, "an hour has not passed");
    street.running.shutdown().await;

    let published = Published::new(issuer.keys());
    let tick = Duration::from_millis(1);
    let street = Street::open(tokens(&published, Refresh { every: hour, unknown: tick }).await).await;
    for away in [Err("nobody answers".to_owned()), Ok(json!({ "keys": [] })), Ok(json!("no set"))] {
        published.now(away);
        tokio::time::sleep(2 * tick).await;
        let before = published.fetched();
        assert!(street.told(&of_next(&claims())).await.contains("its key is not known"));
        assert_eq!(published.fetched(), before + 1);
        assert_eq!(street.told(&issuer.token("ES256", &claims())).await, "Persuasion acme", "the old keys stay");
    }
    street.running.shutdown().await;
}

#[tokio::test]
async fn keys_are_fetched_now_and_then_whoever_asks() {
    let (issuer, next) = (Issuer::new(), Issuer::new());
    let published = Published::new(issuer.keys());
    let (every, unknown) = (Duration::from_millis(5), Duration::from_hours(1));
    let street = Street::open(tokens(&published, Refresh { every, unknown }).await).await;
    published.now(Ok(next.keys()));
    let token = next.token("EdDSA", &claims());
    let waiting = async {
        while street.told(&token).await != "Persuasion acme" {
            tokio::time::sleep(every).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("the keys are fetched within ten seconds");
    assert!(street.told(&issuer.token("EdDSA", &claims())).await.contains("its signature is not its key's"));
    street.running.shutdown().await;
}

#[tokio::test]
async fn no_keys_or_no_claim_is_no_start() {
    let refused = |keys: Result<Value, String>| async {
        let published = Published::new(Value::Null);
        published.now(keys);
        Tokens::open(published, expected(), Refresh::default(), options().clock).await.unwrap_err()
    };
    assert_eq!(refused(Err("nobody answers".into())).await, "nobody answers");
    assert!(refused(Ok(json!([]))).await.contains("expected a JSON Web Key Set, found none"));
    let secret = json!({ "keys": [{ "kid": "shared", "kty": "oct", "k": "c2VjcmV0" }] });
    assert_eq!(refused(Ok(secret)).await, "expected a key for RS256, ES256 or EdDSA, found none among 1");
    let tokens = tokens(&Published::new(Issuer::new().keys()), Refresh::default()).await;
    let options = Options { callers: Callers::Anyone, tokens: Some(tokens), ..options() };
    assert_eq!(options.problems(), ["callers: expected a claim where tokens are verified"]);
}
