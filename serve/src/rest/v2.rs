//! V2 paths: health, metadata, inference, repository index.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{
    Ids, MODEL_VERSION, body, call,
    compress::{self, Coding},
    traced, value, versions,
};
use crate::{
    error::Refusal,
    metrics::Protocol,
    service::{Service, Trace},
    shown::{EXTENSIONS, NAME, VERSION},
    statistics::Timed,
    wire::{binary::Parts, v2},
};

/// Length of the JSON part of a body that has bytes of tensors behind it.
const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

type Name = Result<Path<String>, PathRejection>;
type NameAndVersion = Result<Path<(String, String)>, PathRejection>;

pub(super) async fn server() -> Response {
    value(&json!({ "name": NAME, "version": VERSION, "extensions": EXTENSIONS }))
}

pub(super) async fn live() -> Response {
    value(&json!({ "live": true }))
}

/// Both members: clients read one or the other.
pub(super) async fn ready(State(service): State<Arc<Service>>) -> Response {
    let state = service.state();
    if state.is_ready() {
        return value(&json!({ "ready": true, "live": true }));
    }
    let error = format!("not ready: {}", state.as_str());
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false, "live": true, "error": error }))).into_response()
}

pub(super) async fn models(State(service): State<Arc<Service>>) -> Response {
    value(&json!({ "models": [service.options.model] }))
}

pub(super) async fn model(State(service): State<Arc<Service>>, name: Name) -> Response {
    let name = name.map(|Path(name)| name).map_err(|_| Refusal::NoSuchPath);
    name.and_then(|name| metadata(&service, &name, None)).unwrap_or_else(IntoResponse::into_response)
}

pub(super) async fn version(State(service): State<Arc<Service>>, path: NameAndVersion) -> Response {
    let path = path.map(|Path(path)| path).map_err(|_| Refusal::NoSuchPath);
    path.and_then(|(name, version)| metadata(&service, &name, Some(&version)))
        .unwrap_or_else(IntoResponse::into_response)
}

fn metadata(service: &Service, name: &str, version: Option<&str>) -> Result<Response, Refusal> {
    let shown = service.shown(name, version)?;
    Ok(Json(json!({
        "name": name,
        "versions": shown.versions,
        "platform": shown.platform,
        "inputs": v2::metadata(&v2::INPUTS),
        "outputs": v2::metadata(&v2::OUTPUTS),
        "properties": shown.properties,
    }))
    .into_response())
}

pub(super) async fn model_ready(State(service): State<Arc<Service>>, name: Name) -> Response {
    let name = name.map(|Path(name)| name).map_err(|_| Refusal::NoSuchPath);
    name.and_then(|name| readiness(&service, &name, None)).unwrap_or_else(IntoResponse::into_response)
}

pub(super) async fn version_ready(State(service): State<Arc<Service>>, path: NameAndVersion) -> Response {
    let path = path.map(|Path(path)| path).map_err(|_| Refusal::NoSuchPath);
    path.and_then(|(name, version)| readiness(&service, &name, Some(&version)))
        .unwrap_or_else(IntoResponse::into_response)
}

fn readiness(service: &Service, name: &str, version: Option<&str>) -> Result<Response, Refusal> {
    service.check_ready(name, version)?;
    Ok(value(&json!({ "name": name, "ready": true })))
}

/// `POST /v2/models/{name}/infer`: each reader on their own arm.
pub(super) async fn infer(State(service): State<Arc<Service>>, name: Name, request: Request) -> Response {
    let mut trace = Trace::new(Protocol::V2);
    let result = match name {
        Ok(Path(name)) => run(&service, &name, None, request, &mut trace).await,
        Err(_) => Err(Refusal::NoSuchPath),
    };
    traced(result, trace)
}

/// `POST /v2/models/{name}/versions/{version}/infer`: everyone on that version, counted in no experiment.
pub(super) async fn infer_version(
    State(service): State<Arc<Service>>,
    path: NameAndVersion,
    request: Request,
) -> Response {
    let mut trace = Trace::new(Protocol::V2);
    let result = match path {
        Ok(Path((name, version))) => run(&service, &name, Some(&version), request, &mut trace).await,
        Err(_) => Err(Refusal::NoSuchPath),
    };
    traced(result, trace)
}

async fn run(
    service: &Service,
    name: &str,
    version: Option<&str>,
    request: Request,
    trace: &mut Trace,
) -> Result<Response, Refusal> {
    service.check_resident(name, version)?;
    let mut call = call(service, &request);
    let arrived = request.extensions().get::<Ids>().expect("the observer runs before every handler").arrived;
    let json_length = request.headers().get(JSON_LENGTH).cloned();
    let accepted = Coding::accepted(request.headers());
    let bytes = body::read(request, &service.options.limits).await?;
    trace.received = Instant::now();
    let mut permit = service.admission.admit().await?;
    let parts = Parts::cut(&bytes, json_length.as_ref().map(HeaderValue::as_bytes))?;
    let v2::Infer { id, asks, outputs, timeout } = v2::decode(parts)?;
    call.within(arrived, timeout);
    service.admission.widen(&mut permit, asks.len())?;
    let answered = service.recommend(&call, asks, version, trace).await?;
    let v2::Encoded { body, json } = v2::encode(name, id, &outputs, &answered);
    let mut head = axum::http::Response::new(());
    let headers = head.headers_mut();
    headers.insert(MODEL_VERSION, versions(&answered));
    let content_type = if json.is_some() { "application/octet-stream" } else { "application/json" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(length) = json {
        headers.insert(JSON_LENGTH, HeaderValue::from(length));
    }
    Ok(compress::respond(head, body, accepted))
}

/// Resident versions and their state.
pub(super) async fn index(State(service): State<Arc<Service>>, request: Request) -> Response {
    let result = async {
        let bytes = body::read(request, &service.options.limits).await?;
        let ready_only = v2::decode_index(&bytes)?;
        let (state, reason) = service.index_state();
        let model = &service.options.model;
        let row = |version: String| json!({ "name": model, "version": version, "state": state, "reason": reason });
        let listed: Vec<_> = service.index(ready_only).into_iter().map(row).collect();
        Ok::<_, Refusal>(Json(listed).into_response())
    };
    result.await.unwrap_or_else(IntoResponse::into_response)
}

/// Loading and unloading by hand: the registry decides instead.
pub(super) async fn decided(State(service): State<Arc<Service>>, name: Name) -> Response {
    let refusal = name.map_or(Refusal::NoSuchPath, |Path(name)| service.refuse_repository(&name));
    refusal.into_response()
}

/// Counts of every resident version.
pub(super) async fn all_stats(State(service): State<Arc<Service>>) -> Response {
    statistics(&service, None, None).unwrap_or_else(IntoResponse::into_response)
}

pub(super) async fn stats(State(service): State<Arc<Service>>, name: Name) -> Response {
    let name = name.map(|Path(name)| name).map_err(|_| Refusal::NoSuchPath);
    name.and_then(|name| statistics(&service, Some(&name), None)).unwrap_or_else(IntoResponse::into_response)
}

pub(super) async fn version_stats(State(service): State<Arc<Service>>, path: NameAndVersion) -> Response {
    let path = path.map(|Path(path)| path).map_err(|_| Refusal::NoSuchPath);
    path.and_then(|(name, version)| statistics(&service, Some(&name), Some(&version)))
        .unwrap_or_else(IntoResponse::into_response)
}

/// As Triton tells them. What is not measured here happened no time: there is no queue and no batch.
fn statistics(service: &Service, name: Option<&str>, version: Option<&str>) -> Result<Response, Refusal> {
    let timed = |timed: Timed| json!({ "count": timed.count, "ns": timed.ns });
    let counted = service.counted(name, version)?.into_iter().map(|(version, counts)| {
        let none = timed(Timed::default());
        json!({
            "name": service.options.model,
            "version": version,
            "last_inference": counts.last_inference_ms,
            "inference_count": counts.readers,
            "execution_count": counts.requests,
            "inference_stats": {
                "success": timed(counts.success),
                "fail": timed(counts.fail),
                "queue": none,
                "compute_input": none,
                "compute_infer": timed(counts.score),
                "compute_output": none,
            },
            "batch_stats": [],
        })
    });
    Ok(value(&json!({ "model_stats": counted.collect::<Vec<_>>() })))
}
