//! V2 paths: health, metadata, inference, statistics.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{
    Ids, MODEL_VERSION, body, call,
    compress::{self, Coding},
    traced, value, versions,
};
use crate::{
    call::Trace,
    error::Refusal,
    fleet::Fleet,
    metrics::Protocol,
    shown::{EXTENSIONS, NAME, VERSION},
    statistics::Timed,
    wire::{binary::Parts, v2},
};

/// Length of the JSON part of a body that has bytes of tensors behind it.
const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

pub(super) type Name = Result<Path<String>, PathRejection>;
type NameAndVersion = Result<Path<(String, String)>, PathRejection>;

pub(super) async fn server() -> Response {
    value(&json!({ "name": NAME, "version": VERSION, "extensions": EXTENSIONS }))
}

pub(super) async fn live() -> Response {
    value(&json!({ "live": true }))
}

/// Both members: clients read one or the other.
pub(super) async fn ready(State(fleet): State<Arc<Fleet>>) -> Response {
    let state = fleet.state();
    if state.is_ready() {
        return value(&json!({ "ready": true, "live": true }));
    }
    let error = format!("not ready: {}", state.as_str());
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false, "live": true, "error": error }))).into_response()
}

pub(super) async fn model(State(fleet): State<Arc<Fleet>>, name: Name, request: Request) -> Response {
    let (headers, deadline) = (request.headers(), call(&fleet, &request).deadline);
    let result = async {
        let Path(name) = name.map_err(|_| Refusal::NoSuchPath)?;
        metadata(&fleet, &name, None, headers, deadline).await
    };
    result.await.unwrap_or_else(IntoResponse::into_response)
}

pub(super) async fn version(State(fleet): State<Arc<Fleet>>, path: NameAndVersion, request: Request) -> Response {
    let (headers, deadline) = (request.headers(), call(&fleet, &request).deadline);
    let result = async {
        let Path((name, version)) = path.map_err(|_| Refusal::NoSuchPath)?;
        metadata(&fleet, &name, Some(&version), headers, deadline).await
    };
    result.await.unwrap_or_else(IntoResponse::into_response)
}

/// What a model is. One that is not in memory is loaded: whoever asks is about to use it.
async fn metadata(
    fleet: &Fleet,
    name: &str,
    version: Option<&str>,
    headers: &HeaderMap,
    deadline: Instant,
) -> Result<Response, Refusal> {
    let desk = fleet.desk(headers, Some(name))?;
    let snapshot = desk.live(deadline).await?;
    let shown = desk.service.shown(&snapshot, version)?;
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

pub(super) async fn model_ready(State(fleet): State<Arc<Fleet>>, name: Name, headers: HeaderMap) -> Response {
    let name = name.map(|Path(name)| name).map_err(|_| Refusal::NoSuchPath);
    name.and_then(|name| readiness(&fleet, &headers, &name, None)).unwrap_or_else(IntoResponse::into_response)
}

pub(super) async fn version_ready(
    State(fleet): State<Arc<Fleet>>,
    path: NameAndVersion,
    headers: HeaderMap,
) -> Response {
    let path = path.map(|Path(path)| path).map_err(|_| Refusal::NoSuchPath);
    path.and_then(|(name, version)| readiness(&fleet, &headers, &name, Some(&version)))
        .unwrap_or_else(IntoResponse::into_response)
}

/// Whether a model is in memory and answers. Asking loads nothing.
fn readiness(fleet: &Fleet, headers: &HeaderMap, name: &str, version: Option<&str>) -> Result<Response, Refusal> {
    fleet.desk(headers, Some(name))?.service.check_ready(version)?;
    Ok(value(&json!({ "name": name, "ready": true })))
}

/// `POST /v2/models/{name}/infer`: each reader on their own arm.
pub(super) async fn infer(State(fleet): State<Arc<Fleet>>, name: Name, request: Request) -> Response {
    let mut trace = Trace::new(Protocol::V2);
    let result = match name {
        Ok(Path(name)) => run(&fleet, &name, None, request, &mut trace).await,
        Err(_) => Err(Refusal::NoSuchPath),
    };
    traced(result, trace)
}

/// `POST /v2/models/{name}/versions/{version}/infer`: everyone on that version, counted in no experiment.
pub(super) async fn infer_version(State(fleet): State<Arc<Fleet>>, path: NameAndVersion, request: Request) -> Response {
    let mut trace = Trace::new(Protocol::V2);
    let result = match path {
        Ok(Path((name, version))) => run(&fleet, &name, Some(&version), request, &mut trace).await,
        Err(_) => Err(Refusal::NoSuchPath),
    };
    traced(result, trace)
}

async fn run(
    fleet: &Fleet,
    name: &str,
    version: Option<&str>,
    request: Request,
    trace: &mut Trace,
) -> Result<Response, Refusal> {
    let desk = fleet.desk(request.headers(), Some(name))?;
    let service = trace.asks(&desk.service);
    let mut call = call(fleet, &request);
    let snapshot = desk.live(call.deadline).await?;
    version.map_or(Ok(()), |text| service.resident_version(&snapshot, text).map(drop))?;
    trace.snapshot = Some(snapshot);
    let arrived = request.extensions().get::<Ids>().expect("the observer runs before every handler").arrived;
    let json_length = request.headers().get(JSON_LENGTH).cloned();
    let accepted = Coding::accepted(request.headers());
    let bytes = body::read(request, &fleet.process.options.limits).await?;
    trace.received = Instant::now();
    let mut permit = service.admission.admit().await?;
    let parts = Parts::cut(&bytes, json_length.as_ref().map(HeaderValue::as_bytes))?;
    let v2::Infer { id, asks, outputs, timeout } = v2::decode(parts)?;
    call.within(arrived, timeout);
    service.admission.widen(&mut permit, asks.len())?;
    let answered = service.recommend(call, asks, version, trace).await?;
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

/// Counts of every resident version of the caller's models.
pub(super) async fn all_stats(State(fleet): State<Arc<Fleet>>, headers: HeaderMap) -> Response {
    statistics(&fleet, &headers, None, None).unwrap_or_else(IntoResponse::into_response)
}

pub(super) async fn stats(State(fleet): State<Arc<Fleet>>, name: Name, headers: HeaderMap) -> Response {
    let name = name.map(|Path(name)| name).map_err(|_| Refusal::NoSuchPath);
    name.and_then(|name| statistics(&fleet, &headers, Some(&name), None)).unwrap_or_else(IntoResponse::into_response)
}

pub(super) async fn version_stats(
    State(fleet): State<Arc<Fleet>>,
    path: NameAndVersion,
    headers: HeaderMap,
) -> Response {
    let path = path.map(|Path(path)| path).map_err(|_| Refusal::NoSuchPath);
    path.and_then(|(name, version)| statistics(&fleet, &headers, Some(&name), Some(&version)))
        .unwrap_or_else(IntoResponse::into_response)
}

/// As Triton tells them. What is not measured here happened no time: there is no queue and no batch.
fn statistics(
    fleet: &Fleet,
    headers: &HeaderMap,
    name: Option<&str>,
    version: Option<&str>,
) -> Result<Response, Refusal> {
    let timed = |timed: Timed| json!({ "count": timed.count, "ns": timed.ns });
    let counted = fleet.tenant(headers)?.counted(name, version)?.into_iter().map(|(name, version, counts)| {
        let none = timed(Timed::default());
        json!({
            "name": name,
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
