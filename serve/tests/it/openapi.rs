//! The OpenAPI document against the router it describes.

use std::collections::BTreeSet;

use axum::{body::Body, http::Request};
use serde_json::Value;

use crate::world::{Shop, options, send};

/// What the router's source routes, as `METHOD path`, in the document's words.
fn routed() -> BTreeSet<String> {
    let source = include_str!("../../src/rest/mod.rs");
    let mut found = BTreeSet::new();
    for call in source.split(".route(\"").skip(1) {
        let (path, methods) = call.split_once('"').unwrap();
        if path == "/kill-switch" {
            // On the admin port alone, where no caller of this document is.
            continue;
        }
        let methods = methods.split(".route(").next().unwrap().split(';').next().unwrap();
        let paths = match path {
            // One segment, whose verb is split off by the handler.
            "/v1/models/{segment}" => {
                found.insert("GET /v1/models/{model}".to_owned());
                vec!["/v1/models/{model}:predict", "/v1/models/{model}:explain"]
            }
            path => vec![path],
        };
        for path in paths {
            let is_verb = path.contains("}:");
            if methods.contains("get(") && !is_verb {
                found.insert(format!("GET {path}"));
            }
            if methods.contains("post(") {
                found.insert(format!("POST {path}"));
            }
        }
    }
    found
}

fn documented(document: &Value) -> BTreeSet<String> {
    let of_path = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().keys();
        methods.map(|method| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
    };
    document["paths"].as_object().unwrap().iter().flat_map(of_path).collect()
}

#[tokio::test]
async fn the_document_lists_every_route_and_no_other() {
    let reply = Shop::open().get("/openapi.json").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"));
    let routed = routed();
    assert!(routed.len() >= 30, "{routed:?}");
    assert_eq!(documented(&reply.json()), routed);
}

#[tokio::test]
async fn every_documented_path_is_answered_with_json_or_metrics() {
    let shop = Shop::open();
    for documented in documented(&shop.get("/openapi.json").await.json()) {
        let (method, path) = documented.split_once(' ').unwrap();
        let path = path.replace("{model}", "recommender").replace("{version}", "7");
        let request = Request::builder().method(method).uri(&path).body(Body::from("{}")).unwrap();
        let reply = send(&shop.router, request).await;
        assert!(![404, 405].contains(&reply.status), "{documented}: {}", reply.text);
        if path != "/metrics" {
            assert!(reply.json().is_object() || reply.json().is_array(), "{documented}");
        }
    }
}

#[tokio::test]
async fn the_document_knows_its_server() {
    let document = Shop::open().get("/openapi.json").await.json();
    assert_eq!((&document["openapi"], &document["info"]["version"]), (&"3.1.0".into(), &"0.1.0".into()));
    assert_eq!(document["components"]["parameters"]["model"]["schema"]["enum"][0], "recommender");
    let mut apart = options();
    apart.admin = Some("127.0.0.1:0".parse().unwrap());
    let document = Shop::new(apart).get("/openapi.json").await.json();
    assert!(document["paths"]["/metrics"].is_null() && document["paths"]["/recommend"].is_object());
}

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = Shop::open().get("/openapi.json").await.json();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        let target = document.pointer(reference.strip_prefix('#').unwrap());
        assert!(target.is_some(), "{reference} leads nowhere");
    }
}
