//! Damaged requests, thousands a parser, through the doors as they are: each is answered or refused, none is our fault.
//!
//! Requests that clients really send are changed by a seeded hand: bits, bytes, numbers, brackets, lengths, pieces of each
//! other. `BOOKLOOP_TEST_FUZZ_CASES` asks for more than the usual number; a failure prints the request and its number.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderName, HeaderValue, Method, Request},
};
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use serve::grpc::proto::{
    InferTensorContents, ModelInferRequest, ModelMetadataRequest,
    model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
};
use tower::ServiceExt;

use crate::{doors::PARSERS, world::Shop};

const CASES: u64 = 2_000;
/// How the library's words for bytes that are no message, and for a frame that is none, begin.
const NO_MESSAGE: [&str; 4] = [
    "failed%20to%20decode%20Protobuf%20message",
    "Unexpected%20EOF%20decoding%20stream",
    "protocol%20error",
    "Missing%20request%20message",
];

/// A request that is answered with 200.
#[derive(Debug, Clone)]
struct Sent {
    method: Method,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

fn post(path: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Sent {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    Sent { method: Method::POST, path: path.into(), headers, body: body.into() }
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

const V1: &str = "/v1/models/recommender:predict";
const V2: &str = "/v2/models/recommender/infer";

fn v1() -> Vec<Sent> {
    vec![
        post(
            V1,
            &[],
            r#"{"instances":[{"user_id":"ann","k":2,"history":["b1",7],"exclude":["b2"],"include_seen":true}]}"#,
        ),
        post(V1, &[], r#"{"inputs":[{"book_id":"b1","k":3,"languages":["en"],"max_per_author":1,"diversity":0.3}]}"#),
        post(V1, &[], r#"{"instances":[[0.5,-1e-3,2]]}"#),
    ]
}

fn v2() -> Vec<Sent> {
    let all = json!({"id": "q", "parameters": {"timeout": 900_000, "include_seen": false, "languages": "[\"en\"]"}, "inputs": [
        {"name": "user_id", "shape": [2], "datatype": "BYTES", "data": ["ann", "bob"]},
        {"name": "history", "shape": [2], "datatype": "BYTES", "data": ["[\"b1\"]", ""]},
        {"name": "k", "shape": [1], "datatype": "INT32", "data": [2]},
        {"name": "features", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2.5], [3, 4]]},
    ], "outputs": [{"name": "scores"}, {"name": "item_ids", "parameters": {"binary_data": true}}]});
    let similar = json!({"inputs": [{"name": "book_id", "shape": [1], "datatype": "BYTES", "data": ["b1"]}]});
    vec![post(V2, &[], all.to_string()), post(V2, &[], similar.to_string())]
}

fn binary() -> Vec<Sent> {
    let front = json!({"parameters": {"binary_data_output": true}, "inputs": [
        {"name": "user_id", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 14}},
        {"name": "k", "shape": [2], "datatype": "INT64", "parameters": {"binary_data_size": 16}},
        {"name": "features", "shape": [2, 1], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
    ]})
    .to_string();
    let behind = [
        text("ann"),
        text("bob"),
        vec![2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0],
        vec![0, 0, 128, 63, 0, 0, 0, 64],
    ];
    let length = front.len().to_string();
    vec![post(V2, &[("inference-header-content-length", &length)], [front.into_bytes(), behind.concat()].concat())]
}

fn cloud_events() -> Vec<Sent> {
    let instances = json!({"instances": [{"user_id": "ann", "k": 1}]});
    let head = [("ce-specversion", "1.0"), ("ce-id", "e"), ("ce-type", "t"), ("ce-source", "s"), ("ce-page", "home")];
    let whole = json!({"specversion": "1.0", "id": "e", "type": "t", "source": "s", "time": "2020-01-01T00:00:00Z",
        "datacontenttype": "application/json", "data": instances});
    vec![
        post(V1, &head, instances.to_string()),
        post(V1, &[("content-type", "application/cloudevents+json")], whole.to_string()),
    ]
}

fn outcomes() -> Vec<Sent> {
    let click =
        json!({"request_id": "r", "user_id": "ann", "item_id": "b1", "kind": "click", "at": "2026-03-01T12:00:00Z"});
    vec![
        post("/outcomes", &[], click.to_string()),
        post("/outcomes", &[], json!([click, click]).to_string()),
        Sent { method: Method::GET, ..post("/recommend?user_id=ann&k=3&languages=en,de&diversity=0.5", &[], "") },
    ]
}

/// Messages in their frames: a byte that says whether they are packed, a length, the message.
fn grpc() -> Vec<Sent> {
    let framed = |message: Vec<u8>| [vec![0], (message.len() as u32).to_be_bytes().to_vec(), message].concat();
    let input = |name: &str, datatype: &str, contents| InferInputTensor {
        name: name.into(),
        datatype: datatype.into(),
        shape: vec![1],
        contents,
        ..InferInputTensor::default()
    };
    let typed = InferTensorContents { bytes_contents: vec!["ann".into()], ..InferTensorContents::default() };
    let k = InferTensorContents { int_contents: vec![2], ..InferTensorContents::default() };
    let model_name = "recommender".to_owned();
    let filled = ModelInferRequest {
        model_name: model_name.clone(),
        inputs: vec![input("user_id", "BYTES", Some(typed)), input("k", "INT32", Some(k))],
        outputs: vec![InferRequestedOutputTensor { name: "scores".into(), ..InferRequestedOutputTensor::default() }],
        ..ModelInferRequest::default()
    };
    let raw = ModelInferRequest {
        model_name: model_name.clone(),
        inputs: vec![input("user_id", "BYTES", None), input("k", "INT64", None)],
        raw_input_contents: vec![text("ann").into(), vec![2, 0, 0, 0, 0, 0, 0, 0].into()],
        ..ModelInferRequest::default()
    };
    let metadata = ModelMetadataRequest { name: model_name, ..ModelMetadataRequest::default() };
    let call = |method: &str, message: Vec<u8>| {
        let head = [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "900m")];
        post(&format!("/inference.GRPCInferenceService/{method}"), &head, framed(message))
    };
    vec![
        call("ModelInfer", filled.encode_to_vec()),
        call("ModelInfer", raw.encode_to_vec()),
        call("ModelMetadata", metadata.encode_to_vec()),
    ]
}

const WORDS: [&[u8]; 16] = [
    b"-1",
    b"0",
    b"18446744073709551616",
    b"9223372036854775807",
    b"1e999",
    b"-0.0",
    b"null",
    b"true",
    b"\"\"",
    b"[]",
    b"{}",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"\\ud800",
    b"\xff\xfe",
    b"\0",
    b"4294967295",
];

/// A place in bytes, or their end.
fn place(random: &mut ChaCha8Rng, bytes: &[u8]) -> usize {
    random.random_range(0..=bytes.len())
}

fn damage(bytes: &mut Vec<u8>, others: &[Sent], random: &mut ChaCha8Rng) {
    let (a, b) = (place(random, bytes), place(random, bytes));
    let range = a.min(b)..a.max(b);
    let short = range.start..range.end.min(range.start + 8);
    match random.random_range(0..8) {
        0 if !bytes.is_empty() => {
            let at = random.random_range(0..bytes.len());
            bytes[at] ^= 1 << random.random_range(0..8);
        }
        1 if !bytes.is_empty() => {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        2 => drop(bytes.drain(short)),
        3 => drop(bytes.splice(short, WORDS[random.random_range(0..WORDS.len())].iter().copied())),
        4 => {
            let again = bytes[range.clone()].to_vec();
            bytes.splice(a..a, again);
        }
        5 => {
            let other = &others[random.random_range(0..others.len())].body;
            let from = place(random, other);
            bytes.splice(short, other[from..].iter().copied());
        }
        6 => bytes.truncate(a),
        _ => {
            // A number becomes another one.
            let Some(from) = bytes.iter().skip(a).position(u8::is_ascii_digit).map(|at| a + at) else { return };
            let to = bytes[from..].iter().position(|byte| !byte.is_ascii_digit()).map_or(bytes.len(), |at| from + at);
            bytes.splice(from..to, WORDS[random.random_range(0..WORDS.len())].iter().copied());
        }
    }
}

fn changed(seeds: &[Sent], random: &mut ChaCha8Rng) -> Sent {
    let mut sent = seeds[random.random_range(0..seeds.len())].clone();
    for _ in 0..random.random_range(1..=6) {
        let n_headers = sent.headers.len();
        if n_headers > 0 && random.random_ratio(1, 5) {
            damage(&mut sent.headers[random.random_range(0..n_headers)].1, seeds, random);
        } else if sent.body.is_empty() {
            let mut query = sent.path.clone().into_bytes();
            damage(&mut query, seeds, random);
            sent.path = String::from_utf8_lossy(&query).into_owned();
        } else {
            damage(&mut sent.body, seeds, random);
        }
    }
    // What has a frame is mostly given one that fits, or nothing behind it would ever be read.
    if sent.path.starts_with("/inference.") && sent.body.len() >= 5 && random.random_ratio(9, 10) {
        let length = (sent.body.len() - 5) as u32;
        sent.body[0] = 0;
        sent.body[1..5].copy_from_slice(&length.to_be_bytes());
    }
    sent
}

/// The request as HTTP would carry it; `None` for what no client's library would send.
fn request(sent: &Sent) -> Option<Request<Body>> {
    let mut request = Request::builder().method(sent.method.clone()).uri(sent.path.as_str());
    for (name, value) in &sent.headers {
        let name: HeaderName = name.parse().unwrap();
        request = request.header(name, HeaderValue::from_bytes(value).ok()?);
    }
    request.body(Body::from(sent.body.clone())).ok()
}

/// Every case is answered, by the caller's fault or nobody's. Says how many were, of those that could be sent.
async fn survives(parser: &str, seeds: Vec<Sent>) {
    let cases = std::env::var("BOOKLOOP_TEST_FUZZ_CASES").map_or(CASES, |text| text.parse().unwrap());
    let shop = Shop::open();
    let mut answered = 0;
    for case in 0..cases {
        let mut random = ChaCha8Rng::seed_from_u64(case);
        let sent =
            if (case as usize) < seeds.len() { seeds[case as usize].clone() } else { changed(&seeds, &mut random) };
        let Some(request) = request(&sent) else { continue };
        let response = shop.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (told, why) = (header("grpc-status"), header("grpc-message"));
        // Codes 2 and 13 of gRPC say that the server is at fault; 13 is also what its libraries say of no message at all.
        let no_message = why.as_ref().is_some_and(|why| NO_MESSAGE.iter().any(|words| why.starts_with(words)));
        // A caller without patience is told so by 504.
        let ours = (status >= 500 && status != 504) || matches!(told.as_deref(), Some("2" | "13")) && !no_message;
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert!(!ours, "{parser}, case {case}: {status} {told:?} {why:?} {body:?} to {sent:?}");
        answered += u64::from((200..300).contains(&status) && told.is_none_or(|code| code == "0"));
        if (case as usize) < seeds.len() {
            assert_eq!(answered, case + 1, "{parser}, case {case} is whole: {status} {body:?}");
        }
    }
    println!("{parser}: {answered} of {cases} were answered");
    assert!(answered < cases, "damage is noticed");
}

#[tokio::test]
async fn damaged_instances_are_refused() {
    survives("V1", v1()).await;
}

#[tokio::test]
async fn damaged_tensors_are_refused() {
    survives("V2", v2()).await;
}

#[tokio::test]
async fn damaged_bytes_behind_json_are_refused() {
    survives("binary", binary()).await;
}

#[tokio::test]
async fn damaged_events_are_refused() {
    survives("CloudEvents", cloud_events()).await;
}

#[tokio::test]
async fn damaged_outcomes_and_queries_are_refused() {
    survives("outcomes", outcomes()).await;
}

#[tokio::test]
async fn damaged_messages_are_refused() {
    survives("gRPC", grpc()).await;
}

/// Cases that reach every branch a coverage-guided fuzzer has found a way to; `fuzz/src/lib.rs` says how they were made.
#[test]
fn kept_cases_keep_their_parsers_promises() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let files = |folder: &str| -> Vec<PathBuf> {
        std::fs::read_dir(fuzz.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let programs: BTreeSet<String> =
        files("fuzz_targets").iter().map(|program| program.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(programs, PARSERS.map(|(parser, _)| parser.to_owned()).into(), "a program for every parser");
    for (parser, is_answered) in PARSERS {
        let cases = files(&format!("kept/{parser}"));
        let answered = cases.iter().filter(|case| {
            // The last one printed is the one that breaks a promise.
            println!("{}", case.display());
            is_answered(&std::fs::read(case).unwrap())
        });
        let answered = answered.count();
        println!("{parser}: {answered} of {} were answered", cases.len());
        assert!((1..cases.len()).contains(&answered), "{parser}: some are answered and some refused");
    }
}
