//! Spans arrive at a collector by OTLP: one that this test is.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bookloop_tests::{Predictor, http, popular};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Bytes, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

/// What was posted: path and body.
type Posted = Arc<Mutex<Vec<(String, Bytes)>>>;

async fn collect(listener: TcpListener, posted: Posted) {
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        let posted = Arc::clone(&posted);
        let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
            let posted = Arc::clone(&posted);
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await?.to_bytes();
                posted.lock().unwrap().push((path, body));
                Ok::<_, hyper::Error>(Response::new(Full::<Bytes>::default()))
            }
        });
        let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        tokio::spawn(async move { server.serve_connection(TokioIo::new(connection), answer).await.map_err(drop) });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_its_caller_traces_arrives_at_the_collector() {
    let folder = tempfile::tempdir().unwrap();
    let store = popular(folder.path(), &["a"]).await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let otlp = format!("http://{}", listener.local_addr().unwrap());
    let posted = Posted::default();
    let collector = tokio::spawn(collect(listener, Arc::clone(&posted)));
    let place = format!("--store {store} --tenant acme-books --otlp {otlp} --trace-share 0");
    let mut predictor = tokio::task::block_in_place(|| Predictor::start(&place));
    let trace: [u8; 16] = *b"\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36";
    let traceparent = |sampled: &str| format!("00-{}-00f067aa0ba902b7-{sampled}", hex(&trace));
    let client = http();
    for sampled in ["01", "00"] {
        let request = Request::get(format!("{}/recommend?user_id=ann-of-{sampled}", predictor.url))
            .header("traceparent", traceparent(sampled))
            .header("x-correlation-id", format!("page-{sampled}"))
            .body(Full::<Bytes>::default())
            .unwrap();
        let answer = client.request(request.clone()).await.unwrap();
        if !answer.status().is_success() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(client.request(request).await.unwrap().status().is_success());
        }
    }
    // Leaving, it sends what waits.
    assert!(tokio::task::block_in_place(|| predictor.terminate()).success());
    collector.abort();
    let posted = posted.lock().unwrap();
    assert!(posted.iter().all(|(path, _)| path == "/v1/traces"));
    let all: Vec<u8> = posted.iter().flat_map(|(_, body)| body.iter().copied()).collect();
    let holds = |text: &[u8]| all.windows(text.len()).any(|window| window == text);
    for word in ["bookloop-predictor", "recommend", "receive", "decode", "score", "encode", "page-01"] {
        assert!(holds(word.as_bytes()), "{word} is missing");
    }
    assert!(holds(&trace), "the caller's trace");
    assert!(!holds(b"page-00"), "a trace that its caller does not record");
    assert!(!holds(b"ann-of-01"), "readers are not named");
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}
