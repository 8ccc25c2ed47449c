//! V1 paths. The segment is `{name}:{verb}`, split at its last colon.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{answer, body, call, traced, value};
use crate::{
    error::Refusal,
    metrics::Protocol,
    service::{Service, Trace},
    wire,
};

type Segment = Result<Path<String>, PathRejection>;

pub(super) async fn models(State(service): State<Arc<Service>>) -> Response {
    value(&json!({ "models": [service.options.model] }))
}

/// Whether the model is ready: 503 while it is not, as KServe's client expects.
pub(super) async fn model(State(service): State<Arc<Service>>, segment: Segment) -> Response {
    let result = segment.map_err(|_| Refusal::NoSuchPath).and_then(|Path(name)| {
        service.check_model(&name)?;
        if service.state().is_ready() {
            return Ok(value(&json!({ "name": name, "ready": true })));
        }
        Err(Refusal::NotReady(service.options.model.clone()))
    });
    result.unwrap_or_else(IntoResponse::into_response)
}

/// `POST /v1/models/{name}:predict`.
pub(super) async fn verb(State(service): State<Arc<Service>>, segment: Segment, request: Request) -> Response {
    let mut trace = Trace::new(Protocol::V1);
    let result = predict(&service, segment, request, &mut trace).await;
    traced(result, trace)
}

async fn predict(
    service: &Service,
    segment: Segment,
    request: Request,
    trace: &mut Trace,
) -> Result<Response, Refusal> {
    let Path(segment) = segment.map_err(|_| Refusal::NoSuchPath)?;
    let (name, verb) = segment.rsplit_once(':').ok_or(Refusal::NoSuchPath)?;
    service.check_model(name)?;
    match verb {
        "predict" => {}
        "explain" => return Err(Refusal::NotOffered("explain")),
        _ => return Err(Refusal::NoSuchPath),
    }
    service.ready_snapshot()?;
    let call = call(service, &request);
    let bytes = body::read(request, &service.options.limits).await?;
    trace.received = Instant::now();
    let mut permit = service.admission.admit().await?;
    let asks = wire::v1::decode(&bytes)?;
    service.admission.widen(&mut permit, asks.len())?;
    let answered = service.recommend(&call, asks, None, trace).await?;
    Ok(answer(&answered, wire::v1::encode(&answered)))
}
