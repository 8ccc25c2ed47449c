//! V1 paths. The segment is `{name}:{verb}`, split at its last colon.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{answer, body, call, traced, value};
use crate::{
    call::Trace,
    error::Refusal,
    fleet::Fleet,
    metrics::Protocol,
    service::Service,
    wire::{
        self,
        cloudevent::{self, Event, Mode},
    },
};

/// The type of a body that is a whole event.
const EVENT_TYPE: &str = "application/cloudevents+json";

type Segment = Result<Path<String>, PathRejection>;

/// The caller's models.
pub(super) async fn models(State(fleet): State<Arc<Fleet>>, headers: HeaderMap) -> Response {
    let named = fleet.tenant(&headers).map(|tenant| {
        let names: Vec<_> = tenant.names().collect();
        value(&json!({ "models": names }))
    });
    named.unwrap_or_else(IntoResponse::into_response)
}

/// Whether the model is ready: 503 while it is not, as KServe's client expects.
pub(super) async fn model(State(fleet): State<Arc<Fleet>>, segment: Segment, headers: HeaderMap) -> Response {
    if has_verb(&segment) {
        return wrong_method(segment).await;
    }
    let result = segment.map_err(|_| Refusal::NoSuchPath).and_then(|Path(name)| {
        fleet.desk(&headers, Some(&name))?.service.check_ready(None)?;
        Ok(value(&json!({ "name": name, "ready": true })))
    });
    result.unwrap_or_else(IntoResponse::into_response)
}

fn has_verb(segment: &Segment) -> bool {
    segment.as_ref().is_ok_and(|Path(segment)| segment.contains(':'))
}

/// A method that this segment does not take: names are read, verbs are posted to.
pub(super) async fn wrong_method(segment: Segment) -> Response {
    let allowed = if has_verb(&segment) { "POST" } else { "GET,HEAD" };
    ([(header::ALLOW, HeaderValue::from_static(allowed))], Refusal::WrongMethod).into_response()
}

/// `POST /v1/models/{name}:predict`.
pub(super) async fn verb(State(fleet): State<Arc<Fleet>>, segment: Segment, request: Request) -> Response {
    if segment.is_ok() && !has_verb(&segment) {
        return wrong_method(segment).await;
    }
    let mut trace = Trace::new(Protocol::V1);
    let result = predict(&fleet, segment, request, &mut trace).await;
    traced(result, trace)
}

async fn predict(fleet: &Fleet, segment: Segment, request: Request, trace: &mut Trace) -> Result<Response, Refusal> {
    let Path(segment) = segment.map_err(|_| Refusal::NoSuchPath)?;
    let (name, verb) = segment.rsplit_once(':').ok_or(Refusal::NoSuchPath)?;
    let desk = fleet.desk(request.headers(), Some(name))?;
    let service = trace.asks(&desk.service);
    match verb {
        "predict" => {}
        "explain" => return Err(Refusal::NotOffered("explain")),
        _ => return Err(Refusal::NoSuchPath),
    }
    let call = call(fleet, &request);
    trace.snapshot = Some(desk.live(call.deadline).await?);
    let is_structured = is_structured(request.headers());
    let texts = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let mut event = cloudevent::from_headers(texts)?;
    let mut bytes = body::read(request, &fleet.process.options.limits).await?;
    trace.received = Instant::now();
    let mut permit = service.admission.admit().await?;
    if is_structured
        && event.is_none()
        && let Some((found, data)) = cloudevent::from_body(&bytes)?
    {
        (event, bytes) = (Some(found), data.into());
    }
    let asks = wire::v1::decode(&bytes)?;
    service.admission.widen(&mut permit, asks.len())?;
    let answered = service.recommend(call, asks, None, trace).await?;
    let body = wire::v1::encode(&answered);
    Ok(match event {
        None => answer(&answered, body),
        Some(event) => as_event(&service, &event, |body| answer(&answered, body), body),
    })
}

/// Whether a body says it is a whole event.
fn is_structured(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(EVENT_TYPE)
}

/// An answer in the mode in which its event came.
fn as_event(service: &Service, event: &Event, answer: impl FnOnce(Vec<u8>) -> Response, body: Vec<u8>) -> Response {
    let options = service.options();
    let id = uuid::Uuid::new_v4().to_string();
    let attributes = event.answer(&options.cloud_events, service.model.as_str(), &id, options.clock.now());
    if event.mode == Mode::Structured {
        let mut response = answer(cloudevent::structured(attributes, &body));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENT_TYPE));
        return response;
    }
    let mut response = answer(body);
    for (name, value) in attributes {
        let name = HeaderName::try_from(format!("ce-{name}"));
        let value = value.as_str().and_then(|text| HeaderValue::from_str(text).ok());
        // Attributes came in as headers, or are settings checked at the start.
        if let (Ok(name), Some(value)) = (name, value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
