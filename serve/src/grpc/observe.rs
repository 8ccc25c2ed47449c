//! What happens to every call around its method: ids in and out, a bounded message, panics turned into a status, one
//! count, one line.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::HeaderMap,
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use tonic::{Code, Status};

use super::{
    is_grpc,
    requests::{Arrived, Slot, timeout},
};
use crate::{
    call::Call,
    error::Refusal,
    fleet::Fleet,
    rest::{Finished, Ids, account, body, echo},
};

/// Wraps every method.
pub(super) async fn observe(State(fleet): State<Arc<Fleet>>, mut request: Request, next: Next) -> Response {
    let ids = Ids::of(request.headers());
    let mut call = Call::of(&fleet, request.headers(), &ids);
    call.within(ids.arrived, timeout(request.headers()));
    let (packed, done) = (is_packed(request.headers()), Slot::default());
    request.extensions_mut().insert(Arrived { call, at: ids.arrived, packed, done: done.clone() });
    let in_flight = fleet.process.metrics.enter();
    let handled = AssertUnwindSafe(carry(&fleet, request, next, &done)).catch_unwind().await;
    let mut response = handled.unwrap_or_else(|_| done.refuse(&Refusal::Bug).into_http());
    drop(in_flight);
    echo(&ids, response.headers_mut());
    let done = done.take();
    let (code, kind) = done.refused.unwrap_or_else(|| beside(response.extensions().get::<Status>()));
    account(&fleet, &ids, Finished { code, kind, trace: done.trace });
    response
}

/// What HTTP would have said where no method of ours did: a message that is none, a method or service nobody has.
fn beside(status: Option<&Status>) -> (u16, &'static str) {
    match status.map(Status::code) {
        None => (200, ""),
        Some(Code::NotFound) => (404, "unknown-service"),
        Some(Code::Unimplemented) => (404, "no-such-path"),
        Some(Code::OutOfRange | Code::ResourceExhausted) => (413, "too-large"),
        Some(_) => (400, "bad-message"),
    }
}

fn is_packed(headers: &HeaderMap) -> bool {
    headers.get("grpc-encoding").is_some_and(|coding| coding.as_bytes() != b"identity")
}

/// Runs a method on a message that has arrived whole, under the limits of every body. Reflection talks to and fro.
async fn carry(fleet: &Fleet, mut request: Request, next: Next, done: &Slot) -> Response {
    if !is_grpc(request.headers()) {
        let refusal = Refusal::NotGrpc;
        done.refuse(&refusal);
        return refusal.into_response();
    }
    if let Some(tokens) = &fleet.process.options.tokens
        && let Err(refusal) = tokens.vouch(request.headers_mut()).await
    {
        return done.refuse(&refusal).into_http();
    }
    if request.uri().path().starts_with("/grpc.reflection.") {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match body::receive(&parts.headers, body, &fleet.process.options.limits).await {
        Ok(bytes) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Err(refusal) => done.refuse(&refusal).into_http(),
    }
}
