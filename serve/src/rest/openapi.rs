//! The whole HTTP surface as OpenAPI 3.1, kept by hand beside the router and held against it by tests.
//!
//! What differs from one predictor to another is put in here: the build's version, the model's name, and whether
//! operators have a port of their own.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde_json::{Value, json};

use super::value;
use crate::service::Service;

/// The document as written.
const WRITTEN: &str = include_str!("../../openapi.json");

/// `GET /openapi.json`.
pub(super) async fn document(State(service): State<Arc<Service>>) -> Response {
    let mut document: Value = serde_json::from_str(WRITTEN).expect("a test reads the document");
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    document["components"]["parameters"]["model"]["schema"]["enum"] = json!([service.options.model]);
    if service.options.admin.is_some()
        && let Some(paths) = document["paths"].as_object_mut()
    {
        paths.retain(|path, _| !["/metrics", "/experiments"].contains(&path.as_str()));
    }
    value(&document)
}
