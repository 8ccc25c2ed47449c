//! Over real sockets: slow and large senders, hot swaps, and leaving without losing a request.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use models::stream::Producer;
use serve::{ModelSource, Options, Running, Server, State};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{Recorder, World, artifact, options, version};

fn fixed() -> ModelSource {
    ModelSource::Fixed { version: version(7), digest: String::new(), bytes: 0, artifact: Arc::new(artifact("")) }
}

async fn start(options: Options) -> (Running, Arc<Recorder>) {
    let stream = Arc::new(Recorder::default());
    let running = Server::start(options, fixed(), Arc::clone(&stream) as Arc<dyn Producer>).await.unwrap();
    assert!(running.ready(Duration::from_secs(10)).await);
    (running, stream)
}

/// Sends bytes and reads until the server closes.
async fn exchange(running: &Running, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(running.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    String::from_utf8_lossy(&reply).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_a_hundred_megabytes_reads_the_refusal() {
    let (running, _) = start(options()).await;
    let stream = TcpStream::connect(running.address()).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    let sender = tokio::spawn(async move {
        let head = "POST /v1/models/recommender:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n";
        to.write_all(head.as_bytes()).await.unwrap();
        let chunk = vec![b' '; 1_000_000];
        let mut sent = 0;
        while sent < 100 && to.write_all(&chunk).await.is_ok() {
            sent += 1;
        }
        sent
    });
    let mut reply = vec![0; 4096];
    let n = from.read(&mut reply).await.unwrap();
    let reply = String::from_utf8_lossy(&reply[..n]);
    assert!(reply.starts_with("HTTP/1.1 413"), "{reply}");
    assert!(reply.contains(r#"{"error":"request body above 2097152 bytes"}"#), "{reply}");
    drop(from);
    assert!(sender.await.unwrap() < 100, "the rest was not taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_head_is_cut_while_an_idle_connection_is_kept() {
    let mut hasty = options();
    hasty.limits.header_read = Duration::from_millis(150);
    let (running, _) = start(hasty).await;
    let begun = Instant::now();
    assert_eq!(exchange(&running, b"GET /healthz HTTP/1.1\r\nhost:").await, "");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());

    let mut kept = TcpStream::connect(running.address()).await.unwrap();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut reply = [0; 1024];
        let n = kept.read(&mut reply).await.unwrap();
        assert!(reply[..n].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&reply[..n]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_taken_is_named() {
    let (running, _) = start(options()).await;
    let mut same = options();
    same.listen = running.address();
    let source = fixed();
    let refused = Server::start(same, source, Arc::new(Recorder::default())).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("cannot listen on {}", running.address()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_follows_its_registry_by_itself_and_when_asked() {
    let world = World::new().await;
    let mut apart = options();
    apart.admin = Some("127.0.0.1:0".parse().unwrap());
    let source = ModelSource::Registry(Arc::clone(&world.registry));
    let running = Server::start(apart, source, Arc::new(Recorder::default())).await.unwrap();
    assert!(!running.fleet().state().is_ready(), "bound at once, ready later");
    let one = world.stage(&artifact(" v1")).await;
    world.promote(one).await;
    assert!(running.ready(Duration::from_secs(10)).await);
    let two = world.stage(&artifact(" v2")).await;
    world.trial(two, 2500).await;
    running.look_now().await;
    assert_eq!(running.experiment().unwrap().weight_bp, 2500);
    let mut admin = TcpStream::connect(running.admin_address().unwrap()).await.unwrap();
    admin.write_all(b"GET /experiments HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut reply = String::new();
    admin.read_to_string(&mut reply).await.unwrap();
    assert!(reply.contains(r#""weight_bp":2500"#), "{reply}");
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_under_load_loses_no_request_and_no_record() {
    let mut draining = options();
    draining.drain.delay = Duration::from_secs(1);
    let (running, stream) = start(draining).await;
    let uri = format!("http://{}/v1/models/recommender:predict", running.address());
    let mut readers = Vec::new();
    for n in 0..4 {
        let uri = uri.clone();
        readers.push(tokio::spawn(async move {
            let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
            let (mut answered, mut told_to_leave) = (0_u64, 0);
            // A balancer looks away during the delay, soon after it is told, not at once.
            while told_to_leave < 20 {
                let body = format!(r#"{{"instances":[{{"user_id":"reader-{n}"}}]}}"#);
                let request = hyper::Request::post(&uri).body(Full::from(body)).unwrap();
                let response = client.request(request).await.unwrap();
                assert_eq!(response.status(), 200);
                told_to_leave += u32::from(response.headers().contains_key("connection"));
                response.into_body().collect().await.unwrap();
                answered += 1;
            }
            answered
        }));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let fleet = Arc::clone(running.fleet());
    let totals = running.shutdown().await;
    assert_eq!(fleet.state(), State::Draining);
    let mut answered = 0;
    for reader in readers {
        answered += reader.await.unwrap();
    }
    assert!(answered > 100, "only {answered} answers");
    assert_eq!((totals.answered, totals.events.delivered, totals.events.dropped()), (answered, answered, 0));
    assert_eq!(stream.records("ml.predictions").len() as u64, answered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_flight_is_answered_after_the_door_has_closed() {
    let (running, stream) = start(options()).await;
    let address = running.address();
    let body = r#"{"instances":[{"user_id":"ann"}]}"#;
    let (first, rest) = body.split_at(10);
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = "POST /v1/models/recommender:predict HTTP/1.1\r\nhost: x\r\ncontent-length: ";
    client.write_all(format!("{head}{}\r\n\r\n{first}", body.len()).as_bytes()).await.unwrap();
    while !running.fleet().metrics_text().contains("bookloop_inflight 1") {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let leaving = tokio::spawn(running.shutdown());
    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    client.write_all(rest.as_bytes()).await.unwrap();
    let mut reply = String::new();
    client.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("connection: close"), "{reply}");
    assert_eq!(leaving.await.unwrap().events.delivered, 1);
    assert_eq!(stream.records("ml.predictions").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_health_watch_is_told_of_the_drain_and_let_go_at_its_end() {
    use serve::grpc::proto::{ServerReadyRequest, grpc_inference_service_client::GrpcInferenceServiceClient};
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

    let mut apart = options();
    apart.grpc = Some("127.0.0.1:0".parse().unwrap());
    apart.drain.delay = Duration::from_millis(300);
    let (running, _) = start(apart).await;
    let http = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<tonic::body::Body>();
    let mut watches = Vec::new();
    for address in [running.address(), running.grpc_address().unwrap()] {
        let origin: hyper::Uri = format!("http://{address}").parse().unwrap();
        let mut client = HealthClient::with_origin(http.clone(), origin.clone());
        let mut watch = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status().as_str_name(), "SERVING");
        watches.push((watch, GrpcInferenceServiceClient::with_origin(http.clone(), origin)));
    }
    let begun = Instant::now();
    let leaving = tokio::spawn(running.shutdown());
    for (watch, client) in &mut watches {
        assert_eq!(watch.message().await.unwrap().unwrap().status().as_str_name(), "NOT_SERVING");
        let ready = client.server_ready(ServerReadyRequest {}).await.unwrap();
        assert!(!ready.get_ref().ready, "still answering, no longer ready");
    }
    for (watch, _) in &mut watches {
        assert!(watch.message().await.unwrap().is_none(), "ended, not broken off");
    }
    leaving.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "no watcher held the door: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_model_that_stays_is_counted_by_its_bytes_and_named_by_its_digest() {
    let start = |model_bytes| {
        let source = ModelSource::Fixed {
            version: version(7),
            digest: "0123456789abcdef".into(),
            bytes: 1000,
            artifact: Arc::new(artifact("")),
        };
        Server::start(Options { model_bytes, ..options() }, source, Arc::new(Recorder::default()))
    };
    let refused = start(999).await.unwrap_err().to_string();
    assert_eq!(refused, "model recommender takes 1000 bytes, and the models of this process may take 999 bytes");
    let running = start(1000).await.unwrap();
    assert!(running.ready(Duration::from_secs(10)).await);
    let metrics = running.fleet().metrics_text();
    for line in [
        "bookloop_model_bytes_held 1000",
        r#"bookloop_model_bytes{tenant="acme-books",model="recommender"} 1000"#,
        r#"bookloop_model_info{tenant="acme-books",model="recommender",version="7",digest="0123456789ab",role="production"} 1"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is in\n{metrics}");
    }
    running.shutdown().await;
}
