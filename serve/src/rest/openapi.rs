//! The whole HTTP surface as OpenAPI 3.1, kept by hand beside the router and held against it by tests.
//!
//! What differs from one predictor to another is put in here: the build's version, the names of the caller's models, and
//! whether operators are served elsewhere.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use serde_json::{Value, json};

use super::value;
use crate::fleet::Fleet;

/// The document as written.
const WRITTEN: &str = include_str!("../../openapi.json");

/// `GET /openapi.json`.
pub(super) async fn document(State(fleet): State<Arc<Fleet>>, headers: HeaderMap) -> Response {
    let mut document: Value = serde_json::from_str(WRITTEN).expect("a test reads the document");
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    if let Ok(tenant) = fleet.tenant(&headers) {
        let names: Vec<_> = tenant.names().collect();
        document["components"]["parameters"]["model"]["schema"]["enum"] = json!(names);
    }
    if !fleet.shows_operators_at_the_main_door()
        && let Some(paths) = document["paths"].as_object_mut()
    {
        paths.retain(|path, _| !["/metrics", "/experiments"].contains(&path.as_str()));
    }
    value(&document)
}
