//! Tensors as bytes over HTTP: what goes in, what comes out, and that the numbers are the same as in JSON.

use std::io::{Read, Write};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request},
};
use flate2::{Compression, read, write};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{Shop, artifact, options, version};

const INFER: &str = "/v2/models/recommender/infer";

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The JSON in front and the bytes behind it.
    fn parts(&self) -> (Value, &[u8]) {
        let length = self.header("inference-header-content-length").parse().unwrap_or(self.body.len());
        let (json, raw) = self.body.split_at(length);
        (serde_json::from_slice(json).unwrap(), raw)
    }

    fn error(&self) -> String {
        self.parts().0["error"].as_str().unwrap().to_owned()
    }
}

async fn post(shop: &Shop, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
    let mut request = Request::post(INFER);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = shop.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    Reply { status: parts.status.as_u16(), headers: parts.headers, body }
}

/// JSON with bytes behind it, and the length that its header must say.
fn with_bytes(json: &Value, raw: &[u8]) -> (String, Vec<u8>) {
    let json = json.to_string();
    (json.len().to_string(), [json.as_bytes(), raw].concat())
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

#[tokio::test]
async fn bytes_in_and_bytes_out_give_the_scores_of_json_bit_by_bit() {
    let shop = Shop::open();
    let plain = json!({"inputs": [
        {"name": "user_id", "shape": [2], "datatype": "BYTES", "data": ["ann", "bob"]},
        {"name": "k", "shape": [1], "datatype": "INT32", "data": [2]},
    ]});
    let told = post(&shop, &[], plain.to_string().into_bytes()).await.parts().0;
    let mixed = json!({"parameters": {"binary_data_output": true}, "inputs": [
        {"name": "user_id", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 14}},
        {"name": "k", "shape": [1], "datatype": "INT64", "parameters": {"binary_data_size": 8}},
        {"name": "features", "shape": [2, 1], "datatype": "FP32", "data": [0.5, 1.5]},
    ]});
    let raw = [text("ann"), text("bob"), 2_i64.to_le_bytes().to_vec()].concat();
    let (length, body) = with_bytes(&mixed, &raw);
    let reply = post(&shop, &[("Inference-Header-Content-Length", &length)], body).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/octet-stream"));
    assert_eq!(reply.header("x-bookloop-model-version"), "7");
    let (json, mut rest) = reply.parts();
    for (place, output) in json["outputs"].as_array().unwrap().iter().enumerate() {
        assert!(output.get("data").is_none(), "{output}");
        let (mine, left) = rest.split_at(output["parameters"]["binary_data_size"].as_u64().unwrap() as usize);
        rest = left;
        let as_json = told["outputs"][place]["data"].as_array().unwrap();
        let expected: Vec<u8> = if output["datatype"] == "FP32" {
            as_json.iter().flat_map(|score| (score.as_f64().unwrap() as f32).to_le_bytes()).collect()
        } else {
            as_json.iter().flat_map(|id| text(id.as_str().unwrap())).collect()
        };
        assert_eq!(mine, expected, "{}", output["name"]);
    }
    assert_eq!((json["outputs"].as_array().unwrap().len(), rest.len()), (5, 0));
}

#[tokio::test]
async fn an_output_decides_for_itself_before_the_request_does() {
    let shop = Shop::open();
    let body = |all: bool, scores: bool| {
        let body = json!({"parameters": {"binary_data_output": all},
            "inputs": [{"name": "user_id", "shape": [1], "datatype": "BYTES", "data": ["ann"]},
                {"name": "k", "shape": [1], "datatype": "INT32", "data": [1]}],
            "outputs": [{"name": "item_ids"}, {"name": "scores", "parameters": {"binary_data": scores}}]});
        body.to_string().into_bytes()
    };
    let (json, raw) = {
        let reply = post(&shop, &[], body(false, true)).await;
        let (json, raw) = reply.parts();
        (json, raw.to_vec())
    };
    assert_eq!((&json["outputs"][0]["data"], raw.as_slice()), (&json!(["b2"]), 0.5_f32.to_le_bytes().as_slice()));
    let reply = post(&shop, &[], body(true, false)).await;
    assert_eq!((reply.parts().0["outputs"][1]["data"].clone(), reply.parts().1), (json!([0.5]), text("b2").as_slice()));
    let reply = post(&shop, &[], body(false, false)).await;
    assert_eq!(
        (reply.header("content-type"), reply.header("inference-header-content-length")),
        ("application/json", "")
    );
}

#[tokio::test]
async fn an_empty_tensor_has_no_bytes() {
    let shop = Shop::open();
    let body = json!({"parameters": {"binary_data_output": true}, "inputs": [
        {"name": "user_id", "shape": [0], "datatype": "BYTES", "parameters": {"binary_data_size": 0}}]});
    let (length, body) = with_bytes(&body, b"");
    let reply = post(&shop, &[("Inference-Header-Content-Length", &length)], body).await;
    assert_eq!((reply.status, reply.parts().1.len()), (200, 0));
    assert_eq!(reply.parts().0["outputs"][1]["parameters"]["binary_data_size"], 0);
}

#[tokio::test]
async fn bytes_that_do_not_add_up_are_refused_by_name() {
    let shop = Shop::open();
    let body = |size: i64| {
        json!({"inputs": [{"name": "user_id", "shape": [1], "datatype": "BYTES",
            "parameters": {"binary_data_size": size}}]})
    };
    let ann = text("ann");
    for (size, raw, words) in [
        (8, ann.clone(), "input \"user_id\": binary_data_size: expected at most the 7 bytes left, found 8"),
        (6, ann.clone(), "1 bytes after the last input's binary data"),
        (6, ann[..6].to_vec(), "input \"user_id\": element 0: expected 3 bytes, found 2"),
        (14, [ann.clone(), ann.clone()].concat(), "input \"user_id\": expected 1 elements of BYTES, found 2"),
        (5, b"\x01\0\0\0\xff".to_vec(), "input \"user_id\": element 0: not UTF-8"),
        (7, b"\x03\0\0\0a\0b".to_vec(), "invalid reader id"),
        (-1, ann.clone(), "input \"user_id\": binary_data_size: expected a number of bytes"),
    ] {
        let (length, body) = with_bytes(&body(size), &raw);
        let reply = post(&shop, &[("Inference-Header-Content-Length", &length)], body).await;
        assert_eq!((reply.status, reply.header("content-type")), (400, "application/json"));
        assert!(reply.error().contains(words), "{} for {words}", reply.error());
    }
    for length in ["0", "99999999999", "-1", "x", ""] {
        let reply = post(&shop, &[("Inference-Header-Content-Length", length)], body(7).to_string().into()).await;
        assert_eq!(reply.status, 400, "{length}");
        assert!(reply.error().starts_with("Inference-Header-Content-Length: expected"), "{}", reply.error());
    }
}

fn packed(coding: &str, plain: &[u8]) -> Vec<u8> {
    if coding == "gzip" {
        let mut writer = write::GzEncoder::new(Vec::new(), Compression::default());
        writer.write_all(plain).unwrap();
        return writer.finish().unwrap();
    }
    let mut writer = write::ZlibEncoder::new(Vec::new(), Compression::default());
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

#[tokio::test]
async fn packed_bodies_are_read_and_packed_answers_given_only_when_asked() {
    let shop = Shop::open();
    let readers = vec!["ann"; 40];
    let body = json!({"parameters": {"binary_data_output": true}, "inputs": [
        {"name": "user_id", "shape": [40], "datatype": "BYTES", "data": readers}]});
    let plain = post(&shop, &[], body.to_string().into()).await;
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", "accept-encoding"));
    for coding in ["gzip", "deflate"] {
        let headers = [("content-encoding", coding), ("accept-encoding", coding)];
        let reply = post(&shop, &headers, packed(coding, body.to_string().as_bytes())).await;
        assert_eq!((reply.status, reply.header("content-encoding")), (200, coding));
        assert_eq!(reply.header("inference-header-content-length"), plain.header("inference-header-content-length"));
        let mut unpacked = Vec::new();
        if coding == "gzip" {
            read::GzDecoder::new(reply.body.as_slice()).read_to_end(&mut unpacked).unwrap();
        } else {
            read::ZlibDecoder::new(reply.body.as_slice()).read_to_end(&mut unpacked).unwrap();
        }
        assert!(unpacked == plain.body && reply.body.len() * 4 < unpacked.len(), "{} bytes", reply.body.len());
        let refused = post(&shop, &headers, packed(coding, b"{}")).await;
        assert_eq!((refused.status, refused.header("content-encoding")), (400, ""), "errors are never packed");
    }
}

#[tokio::test]
async fn a_body_that_unpacks_beyond_the_limit_is_refused() {
    let mut small = options();
    small.limits.body_bytes = 10_000;
    let shop = Shop::new(small);
    shop.service.install(version(7), std::sync::Arc::new(artifact("")));
    let bomb = packed("gzip", &vec![b' '; 10_001]);
    assert!(bomb.len() < 200);
    let reply = post(&shop, &[("content-encoding", "gzip")], bomb).await;
    assert_eq!((reply.status, reply.error().as_str()), (413, "request body above 10000 bytes"));
    let reply = post(&shop, &[("content-encoding", "br")], b"{}".to_vec()).await;
    assert_eq!(
        (reply.status, reply.error().as_str()),
        (415, "content-encoding: expected gzip or deflate, found \"br\"")
    );
    let reply = post(&shop, &[("content-encoding", "deflate")], b"{}".to_vec()).await;
    assert_eq!((reply.status, reply.error().as_str()), (400, "the request body is not deflate"));
}
