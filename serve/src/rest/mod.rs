//! The HTTP door: paths to handlers. A handler asks the fleet whose service it is, decodes, asks the service
//! and encodes.
//!
//! Every answer of 400 and above is `{"error": "..."}`, also for unknown paths, wrong methods and bugs.

pub(crate) mod body;
mod compress;
mod observe;
mod openapi;
mod plain;
mod repository;
mod v1;
mod v2;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use self::observe::{Finished, Ids, account, echo};
use crate::{
    call::{Answered, Call, Trace},
    error::Refusal,
    fleet::Fleet,
    grpc, tokens,
};
use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};

/// The version, or versions, that scored, ascending and comma separated.
const MODEL_VERSION: HeaderName = HeaderName::from_static("x-bookloop-model-version");
/// The caller's patience in milliseconds, as Envoy tells it.
const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");

/// The doors for readers and probes, over HTTP and gRPC. Metrics and experiments are here too unless they have a port of
/// their own, or would tell one tenant of another.
pub fn rest(fleet: Arc<Fleet>) -> Router {
    let mut router = Router::new()
        .route("/", get(plain::alive))
        .route("/healthz", get(plain::alive))
        .route("/ready", get(plain::ready))
        .route("/readyz", get(plain::ready))
        .route("/openapi.json", get(openapi::document))
        .route("/recommend", get(plain::recommend))
        .route("/outcomes", post(plain::outcomes))
        .route("/v1/models", get(v1::models))
        .route("/v1/models/{segment}", get(v1::model).post(v1::verb).fallback(v1::wrong_method))
        .route("/v2", get(v2::server))
        .route("/v2/", get(v2::server))
        .route("/v2/health/live", get(v2::live))
        .route("/v2/health/ready", get(v2::ready))
        .route("/v2/models", get(v1::models))
        .route("/v2/models/{model}", get(v2::model))
        .route("/v2/models/{model}/ready", get(v2::model_ready))
        .route("/v2/models/{model}/infer", post(v2::infer))
        .route("/v2/models/{model}/versions/{version}", get(v2::version))
        .route("/v2/models/{model}/versions/{version}/ready", get(v2::version_ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(v2::infer_version))
        .route("/v2/models/stats", get(v2::all_stats))
        .route("/v2/models/{model}/stats", get(v2::stats))
        .route("/v2/models/{model}/versions/{version}/stats", get(v2::version_stats))
        .route("/v2/repository/index", post(repository::index))
        .route("/v2/repository/models/{model}/load", post(repository::decided))
        .route("/v2/repository/models/{model}/unload", post(repository::decided));
    if fleet.shows_operators_at_the_main_door() {
        router = router.merge(watched());
    }
    if let Some(tokens) = &fleet.process.options.tokens {
        router = router.layer(middleware::from_fn_with_state(Arc::clone(tokens), tokens::vouch));
    }
    finish(router, Arc::clone(&fleet)).merge(grpc::routes(fleet))
}

/// The doors for those who run the predictor: metrics, experiments, probes, and what is nowhere else, the kill switch
/// and loading by hand.
pub fn admin(fleet: Arc<Fleet>) -> Router {
    let probes = Router::new()
        .route("/", get(plain::alive))
        .route("/healthz", get(plain::alive))
        .route("/ready", get(plain::ready))
        .route("/readyz", get(plain::ready))
        .route("/kill-switch", get(plain::kill_switch).put(plain::turn_kill_switch))
        .route("/v2/repository/index", post(repository::whole_index))
        .route("/v2/repository/models/{model}/load", post(repository::load))
        .route("/v2/repository/models/{model}/unload", post(repository::unload));
    finish(probes.merge(watched()), fleet)
}

fn watched() -> Router<Arc<Fleet>> {
    Router::new().route("/metrics", get(plain::metrics)).route("/experiments", get(plain::experiments))
}

fn finish(router: Router<Arc<Fleet>>, fleet: Arc<Fleet>) -> Router {
    router
        .fallback(grpc::unimplemented)
        .method_not_allowed_fallback(|| async { Refusal::WrongMethod })
        .layer(middleware::from_fn_with_state(Arc::clone(&fleet), observe::observe))
        .with_state(fleet)
}

/// JSON that is already written. The content type is exactly this: KServe's client compares the whole header.
fn json(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response()
}

/// A small JSON answer.
fn value(value: &serde_json::Value) -> Response {
    json(value.to_string().into_bytes())
}

/// An answer with the versions that scored it.
fn answer(answered: &Answered, bytes: Vec<u8>) -> Response {
    let mut response = json(bytes);
    response.headers_mut().insert(MODEL_VERSION, versions(answered));
    response
}

fn versions(answered: &Answered) -> HeaderValue {
    HeaderValue::from_str(&answered.versions_text()).expect("versions are digits")
}

/// The result of an inference handler, with the trace of what it did attached for the observer.
fn traced(result: Result<Response, Refusal>, trace: Trace) -> Response {
    let mut response = result.unwrap_or_else(IntoResponse::into_response);
    response.extensions_mut().insert(trace);
    response
}

/// What the service must know of a request besides its questions.
fn call(fleet: &Fleet, request: &Request) -> Call {
    let ids = request.extensions().get::<Ids>().expect("the observer runs before every handler");
    Call::of(fleet, request.headers(), ids)
}

impl Call {
    /// As the head of a request says, whichever the door.
    pub(crate) fn of(fleet: &Fleet, headers: &HeaderMap, ids: &Ids) -> Self {
        let text = |name: HeaderName| header_text(headers, &name);
        let patience = text(EXPECTED_TIMEOUT).and_then(|value| value.parse().ok()).map(Duration::from_millis);
        let limit = fleet.process.options.limits.deadline;
        Self {
            request_id: ids.request.clone(),
            traceparent: ids.traceparent.clone(),
            deadline: ids.arrived + patience.map_or(limit, |patience| patience.min(limit)),
        }
    }

    /// A deadline the caller asks for: earlier than ours, never later.
    pub(crate) fn within(&mut self, arrived: Instant, timeout: Option<Duration>) {
        if let Some(asked) = timeout.and_then(|timeout| arrived.checked_add(timeout)) {
            self.deadline = self.deadline.min(asked);
        }
    }
}

/// A header of a request as text, for identifiers.
fn header_text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The arm's word for logs: one arm, lists of both, or several of these.
pub(crate) fn arms_text(trace: &Trace) -> &'static str {
    let parts: Vec<&'static str> = trace.parts().map(|(word, ..)| word).collect();
    match parts.as_slice() {
        [] => "none",
        [one] => one,
        _ => "mixed",
    }
}
