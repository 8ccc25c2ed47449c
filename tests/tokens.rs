//! `bookloop serve --jwks`: callers bring their issuer's tokens, whose keys come from a file or from the issuer.

use std::{
    io::{Read, Write},
    net::TcpListener,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bookloop_tests::{Http, Predictor, http, popular, run};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use serde_json::json;

use crate::issuer::Issuer;

/// A token for half a minute, of somebody at a tenant.
fn token(issuer: &Issuer, algorithm: &str, tenant: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "iss": "https://id.example", "aud": ["storefront"], "exp": now + 30, "tenant": tenant });
    issuer.token(algorithm, &claims)
}

/// The status of a request with a token, and what was answered.
async fn ask(client: &Http, url: &str, token: &str) -> (u16, String) {
    let body = Full::from(r#"{"instances":[{"user_id":"ann","k":1}]}"#);
    let request = Request::post(format!("{url}/v1/models/recommender:predict"))
        .header("authorization", format!("Bearer {token}"))
        .body(body);
    let response = client.request(request.unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let text = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&text).into_owned())
}

async fn ready(client: &Http, url: &str, token: &str) {
    for _ in 0..200 {
        if ask(client, url, token).await.0 == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no answer with 200 in ten seconds");
}

/// Serves these bytes to whoever asks, once for each set.
fn published(sets: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for set in sets {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4096];
            let read = stream.read(&mut asked).unwrap();
            assert!(asked[..read].starts_with(b"GET /keys HTTP/1.1\r\n"));
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", set.len());
            stream.write_all((head + &set).as_bytes()).unwrap();
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuers_tokens_open_the_door_of_their_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let store = popular(folder.path(), &["a"]).await;
    let (issuer, next) = (Issuer::new(), Issuer::new());
    let file = folder.path().join("keys.json");
    std::fs::write(&file, issuer.keys().to_string()).unwrap();
    let mut renamed = next.keys();
    renamed["keys"][0]["kid"] = "next".into();
    let url = published(vec![issuer.keys().to_string(), renamed.to_string()]);

    let expects = "--jwt-issuer https://id.example --jwt-audience storefront";
    let place = format!("--store {store} --tenant acme-books {expects}");
    let [by_file, by_url] =
        [file.display().to_string(), url].map(|keys| Predictor::start(&format!("{place} --jwks {keys}")));
    let client = http();
    for predictor in [&by_file, &by_url] {
        ready(&client, &predictor.url, &token(&issuer, "RS256", "acme-books")).await;
        for (algorithm, tenant, status) in [("ES256", "acme-books", 200), ("EdDSA", "other-books", 404)] {
            let (found, text) = ask(&client, &predictor.url, &token(&issuer, algorithm, tenant)).await;
            assert_eq!(found, status, "{algorithm}: {text}");
        }
        let (status, text) = ask(&client, &predictor.url, &token(&next, "EdDSA", "acme-books")).await;
        assert_eq!((status, text.as_str()), (401, r#"{"error":"token refused: its signature is not its key's"}"#));
    }
    // The issuer's next keys are fetched when the first token of theirs comes.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "iss": "https://id.example", "aud": "storefront", "exp": now + 30, "tenant": "acme-books" });
    let of_next = next.headed("EdDSA", &json!({ "alg": "EdDSA", "kid": "next" }), &claims);
    assert_eq!(ask(&client, &by_url.url, &of_next).await.0, 200);
    assert_eq!(ask(&client, &by_url.url, &token(&issuer, "ES256", "acme-books")).await.0, 401);
}

#[test]
fn without_keys_nothing_starts() {
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("keys.json"), r#"{"keys":[]}"#).unwrap();
    let serve = "serve --http-port 0 --store memory://tokens --tenant acme-books";
    let expects = "--jwt-issuer https://id.example --jwt-audience storefront";
    for (flags, code, says) in [
        (format!("{expects} --jwks keys.json"), 12, "expected a key for RS256, ES256 or EdDSA, found none among 0"),
        (format!("{expects} --jwks nowhere.json"), 12, "nowhere.json"),
        (format!("{expects} --jwks http://127.0.0.1:9/keys"), 69, "--jwks http://127.0.0.1:9/keys"),
        ("--jwks keys.json".into(), 2, "--jwt-issuer"),
        (expects.into(), 2, "--jwks"),
        (format!("{expects} --jwks keys.json --tenant-header x-tenant"), 2, "cannot be used with"),
    ] {
        let output = run(here.path(), &format!("{serve} {flags}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{flags}: {said}");
        assert!(said.contains(says) && !said.contains("listening"), "{flags}: {said}");
    }
}
