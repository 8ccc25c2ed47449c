//! Defects of the transport below V2.

use axum::http::Version;
use serde_json::json;

use super::{Defect, asked, told};
use crate::conform::wrong::Spoil;

pub(super) const DEFECTS: &[&[Defect]] = &[&[
    told(
        "every path is one",
        |asked, told| {
            if asked.path.ends_with("/no/such/path") {
                told.say(200, &json!({}));
            }
        },
        &["http.unknown-path"],
    ),
    told(
        "a wrong method is no path",
        |_, told| {
            if told.status == 405 {
                told.refuse(404);
            }
        },
        &["http.wrong-method"],
    ),
    told("no word on methods", |_, told| drop(told.headers.remove("allow")), &["http.allow"]),
    told(
        "JSON with a charset",
        |_, told| {
            if told.is_json() {
                told.headers.insert("content-type", "application/json; charset=utf-8".parse().unwrap());
            }
        },
        &["http.json-type-bare", "v1.json-type-bare"],
    ),
    told(
        "JSON as text",
        |_, told| {
            if told.status == 200 && told.is_json() {
                told.headers.insert("content-type", "text/plain".parse().unwrap());
            }
        },
        &["http.json-type", "http.json-type-bare", "v1.json-type-bare"],
    ),
    told(
        "a charset is refused",
        |asked, told| {
            if asked.header("content-type").contains("charset") {
                told.refuse(415);
            }
        },
        &["http.charset", "v1.charset"],
    ),
    told(
        "a content type is demanded",
        |asked, told| {
            let infers = asked.infers() || asked.path.ends_with(":predict");
            if infers && asked.method == "POST" && asked.header("content-type").is_empty() {
                told.refuse(415);
            }
        },
        &["http.no-content-type", "v1.no-content-type"],
    ),
    told(
        "JSON by its name only",
        |asked, told| {
            let framed = asked.headers.contains_key("inference-header-content-length");
            if asked.header("content-type") == "application/octet-stream" && !framed {
                told.refuse(415);
            }
        },
        &["http.octet-stream"],
    ),
    told(
        "an unknown type is a bug",
        |asked, told| {
            if asked.header("content-type") == "application/x-conform" {
                told.refuse(500);
            }
        },
        &["http.unknown-content-type"],
    ),
    told(
        "a length is demanded",
        |asked, told| {
            if asked.header("transfer-encoding") == "chunked" {
                told.refuse(411);
            }
        },
        &["http.chunked"],
    ),
    told(
        "one request a connection",
        |asked, told| {
            if asked.version == Version::HTTP_11 {
                told.headers.insert("connection", "close".parse().unwrap());
            }
        },
        &["http.keep-alive", "http.pipelining"],
    ),
    Defect {
        name: "large bodies are waited for",
        spoil: Spoil::Hangs,
        fails: &["http.oversized", "http.oversized-413"],
    },
    told(
        "large bodies are taken",
        |_, told| {
            if told.status == 413 {
                told.say(200, &json!({}));
            }
        },
        &["http.oversized", "http.oversized-413"],
    ),
    told(
        "large bodies are bad",
        |_, told| {
            if told.status == 413 {
                told.refuse(400);
            }
        },
        &["http.oversized-413"],
    ),
    told(
        "packed bodies are a bug",
        |asked, told| {
            if asked.header("content-encoding") == "gzip" {
                told.refuse(500);
            }
        },
        &["http.gzip-request"],
    ),
    told(
        "an answer that only says it is packed",
        |asked, told| {
            if asked.header("accept-encoding") == "gzip" {
                told.headers.insert("content-encoding", "gzip".parse().unwrap());
                told.body = "plain".into();
            }
        },
        &["http.gzip-response"],
    ),
    asked(
        "packed bodies are mistaken for another's",
        |asked| {
            if asked.header("content-encoding") == "gzip" {
                asked.headers.remove("content-encoding");
                asked.body = r#"{"id":"conform-7f3","inputs":[{"name":"user_id","datatype":"BYTES","shape":[1],"data":["ann"]}]}"#.into();
            }
        },
        &["http.gzip-request"],
    ),
]];
