//! What happens to every request around its handler: ids in and out, panics turned into answers, one count, one line.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::{Instant, SystemTime},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;

use super::{arms_text, header_text};
use crate::{
    call::Trace,
    error::{BAD_TOKEN, Kind, Refusal},
    fleet::Fleet,
    metrics::Protocol,
    spans::trace_id,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Twice the length of today's version: later ones may be longer.
const MAX_TRACEPARENT: usize = 128;
/// One log line for this many answered requests.
const LOG_ONE_IN: u64 = 100;

/// How a request is named, and when it arrived.
///
/// The request id is one call's own: outcomes are joined by it, so it is never taken from the correlation id, which
/// several calls of one page may share.
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    pub(crate) request: String,
    pub(crate) correlation: String,
    /// The caller's place in its trace, as sent.
    pub(crate) traceparent: Option<String>,
    pub(crate) arrived: Instant,
}

impl Ids {
    /// The caller's ids where they are usable, else fresh ones.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = |name: HeaderName| header_text(headers, &name).filter(|id| is_id(id)).map(str::to_owned);
        let request = given(REQUEST_ID).unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let correlation = given(CORRELATION_ID).unwrap_or_else(|| request.clone());
        let traceparent = header_text(headers, &TRACEPARENT).filter(|text| text.len() <= MAX_TRACEPARENT);
        Self { request, correlation, traceparent: traceparent.map(str::to_owned), arrived: Instant::now() }
    }
}

/// 1 to 128 visible ASCII characters.
fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Wraps every handler.
pub(super) async fn observe(State(fleet): State<Arc<Fleet>>, mut request: Request, next: Next) -> Response {
    let ids = Ids::of(request.headers());
    request.extensions_mut().insert(ids.clone());
    let in_flight = fleet.process.metrics.enter();
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = handled.unwrap_or_else(|_| Refusal::Bug.into_response());
    drop(in_flight);
    let status = response.status();
    let had_token = response.extensions().get::<Kind>().is_some_and(|kind| kind.0 == BAD_TOKEN);
    let headers = response.headers_mut();
    if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status) {
        // Spread by the request, so that those who were refused together do not come back together.
        let seconds = ids.request.bytes().fold(0_u16, |sum, byte| sum + u16::from(byte)) % 3 + 1;
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        let challenge = if had_token { r#"Bearer error="invalid_token""# } else { "Bearer" };
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    echo(&ids, headers);
    if fleet.process.life.is_leaving() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let finished = Finished {
        code: response.status().as_u16(),
        kind: response.extensions().get::<Kind>().map_or("", |kind| kind.0),
        trace: response.extensions_mut().remove::<Trace>(),
    };
    account(&fleet, &ids, finished);
    response
}

/// The ids as the caller gets them back.
pub(crate) fn echo(ids: &Ids, headers: &mut HeaderMap) {
    for (name, id) in [(REQUEST_ID, &ids.request), (CORRELATION_ID, &ids.correlation)] {
        headers.insert(name, HeaderValue::from_str(id).expect("ids are visible ASCII"));
    }
}

/// How a request ended.
pub(crate) struct Finished {
    /// The status of HTTP, or what HTTP would have said.
    pub(crate) code: u16,
    /// The word of a refusal.
    pub(crate) kind: &'static str,
    /// What was done, if it was an inference.
    pub(crate) trace: Option<Trace>,
}

/// Counts and logs a finished request. Reader ids and features never reach the log.
pub(crate) fn account(fleet: &Fleet, ids: &Ids, Finished { code, kind, trace }: Finished) {
    let total = ids.arrived.elapsed();
    let is_inference = trace.is_some();
    let trace = trace.unwrap_or_else(|| Trace::new(Protocol::Other));
    match &trace.service {
        Some(service) => service.finished(&trace, code, kind, trace.received.elapsed()),
        None if code >= 400 => fleet.process.metrics.refused(trace.protocol, code, kind),
        None => {}
    }
    if let Some(spans) = fleet.process.options.spans.as_ref().filter(|_| is_inference) {
        spans.finished((ids, &trace), (code, kind), (Instant::now(), SystemTime::now()));
    }
    let answered = &fleet.process.answered;
    let sampled = code < 400 && is_inference && answered.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOG_ONE_IN);
    // A probe that is told "not yet" is the probe's business, several times a second.
    let is_probe_refusal = !is_inference && code == 503;
    if !sampled && (code < 400 || is_probe_refusal) {
        return;
    }
    let version = trace.parts().next().zip(trace.snapshot.as_ref());
    let version = version.map(|((_, arm, _), snapshot)| snapshot.resident(arm).version.get());
    let t_score_us = trace.parts().map(|(_, _, used)| used.score.as_micros() as u64).sum::<u64>();
    let t_total_us = total.as_micros() as u64;
    let (tenant, model) = trace.service.as_ref().map(|it| (it.tenant.as_str(), it.model.as_str())).unzip();
    let (arm, protocol) = (arms_text(&trace), trace.protocol.as_str());
    let request_id = ids.correlation.as_str();
    let trace_id = trace_id(ids.traceparent.as_deref());
    macro_rules! line {
        ($level:ident, $words:literal) => {
            tracing::$level!(
                request_id, trace_id, tenant, model, version, arm, protocol, code, kind, t_score_us, t_total_us, $words
            )
        };
    }
    match code {
        0..=399 => line!(info, "answered"),
        400..=499 => line!(warn, "refused"),
        _ => line!(error, "failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_one_calls_own() {
        let mut headers = HeaderMap::new();
        headers.insert(CORRELATION_ID, HeaderValue::from_static("page-1"));
        let ids = Ids::of(&headers);
        assert_eq!(ids.correlation, "page-1");
        assert_ne!(ids.request, "page-1");
        headers.insert(REQUEST_ID, HeaderValue::from_static("call-7"));
        assert_eq!(Ids::of(&headers).request, "call-7");
    }

    #[test]
    fn unusable_ids_are_replaced() {
        for bad in ["", "a b", "x\u{e9}", &"x".repeat(129)] {
            assert!(!is_id(bad), "{bad:?}");
        }
        assert!(is_id("00-4bf92f35-01"));
    }
}
