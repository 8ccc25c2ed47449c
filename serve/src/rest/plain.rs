//! Paths outside the protocols: probes, the convenience query, outcomes, and what the operators look at.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Query, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{answer, body, call, traced, value};
use crate::{
    call::Trace,
    engine::Ask,
    error::{Refusal, cut},
    fleet::Fleet,
    metrics::Protocol,
    wire,
};

/// Books `/recommend` gives when the caller does not say.
const PLAIN_K: usize = 5;
/// Books it gives at most.
const MAX_PLAIN_K: usize = 100;

/// The process answers.
pub(super) async fn alive() -> Response {
    value(&json!({ "status": "alive" }))
}

/// Whether traffic should come here.
pub(super) async fn ready(State(fleet): State<Arc<Fleet>>) -> Response {
    let state = fleet.state();
    if state.is_ready() {
        return value(&json!({ "ready": true, "state": state.as_str() }));
    }
    let told = json!({ "ready": false, "state": state.as_str(), "error": format!("not ready: {}", state.as_str()) });
    (StatusCode::SERVICE_UNAVAILABLE, Json(told)).into_response()
}

/// All metrics.
pub(super) async fn metrics(State(fleet): State<Arc<Fleet>>) -> Response {
    let open_metrics = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, open_metrics)], fleet.metrics_text()).into_response()
}

/// The running trials, those that were ended here for harm, and how the next versions compare that score requests for
/// nobody.
pub(super) async fn experiments(State(fleet): State<Arc<Fleet>>) -> Response {
    let (experiments, ended, shadow) = (fleet.trials(), fleet.ended(), fleet.comparisons());
    Json(json!({ "experiments": experiments, "ended": ended, "shadow": shadow })).into_response()
}

/// How the kill switch stands.
pub(super) async fn kill_switch(State(fleet): State<Arc<Fleet>>) -> Response {
    value(&json!({ "popular_only": fleet.process.popular_only() }))
}

/// Turns the kill switch.
pub(super) async fn turn_kill_switch(State(fleet): State<Arc<Fleet>>, request: Request) -> Response {
    let result = async {
        let bytes = body::read(request, &fleet.process.options.limits).await?;
        fleet.turn_popular_only(wire::decode_kill_switch(&bytes)?);
        Ok::<_, Refusal>(value(&json!({ "popular_only": fleet.process.popular_only() })))
    };
    result.await.unwrap_or_else(IntoResponse::into_response)
}

/// `GET /recommend?user_id=&book_id=&k=`, and rules: `available_only=`, `languages=en,de`, `max_per_author=`,
/// `max_per_series=`, `diversity=`.
pub(super) async fn recommend(State(fleet): State<Arc<Fleet>>, request: Request) -> Response {
    let mut trace = Trace::new(Protocol::Plain);
    let (call, asked, headers) = (call(&fleet, &request), question(request.uri()), request.headers());
    let result = async {
        let desk = fleet.desk(headers, None)?;
        let service = trace.asks(&desk.service);
        trace.snapshot = Some(desk.live(call.deadline).await?);
        let asks = vec![asked?];
        let _permit = service.admission.admit().await?;
        let answered = service.recommend(call, asks, None, &mut trace).await?;
        Ok(answer(&answered, wire::v1::encode_one(&answered)))
    };
    let result = result.await;
    traced(result, trace)
}

fn question(uri: &axum::http::Uri) -> Result<Ask, Refusal> {
    let Query(given) = Query::<BTreeMap<String, String>>::try_from_uri(uri)
        .map_err(|_| Refusal::bad("query: expected user_id, book_id, k as name=value"))?;
    let name_error = |error: models::InvalidName| Refusal::bad(error.to_string());
    let k = match given.get("k") {
        None => PLAIN_K,
        Some(text) => {
            let k = text.parse().ok().filter(|k| (1..=MAX_PLAIN_K).contains(k));
            let words = || format!("k: expected an integer from 1 to {MAX_PLAIN_K}, found {:?}", cut(text));
            k.ok_or_else(|| Refusal::bad(words()))?
        }
    };
    let reader = given.get("user_id").map(|id| id.parse()).transpose().map_err(name_error)?;
    let book = given.get("book_id").map(|id| id.parse()).transpose().map_err(name_error)?;
    if reader.is_none() && book.is_none() {
        return Err(Refusal::bad("query: expected user_id or book_id"));
    }
    let rules = wire::rules::Sent::from_query(&given)?.check(k)?;
    Ok(Ask { reader, book, k, rules, ..Ask::default() })
}

/// Clicks and purchases: joined to the answers that the tenant's models still remember, and sent on.
pub(super) async fn outcomes(State(fleet): State<Arc<Fleet>>, request: Request) -> Response {
    let result = async {
        let tenant = fleet.tenant(request.headers())?;
        let options = &fleet.process.options;
        let bytes = body::read(request, &options.limits).await?;
        let _permit = tenant.admission.admit().await?;
        let now = options.clock.now();
        let mut outcomes = wire::outcome::decode(&bytes, &tenant.name, now)?;
        let mut joined = 0;
        for outcome in &mut outcomes {
            let answers = &fleet.process.answers;
            let remembered =
                tenant.desks().find_map(|desk| Some((desk, answers.join(&desk.service.model, outcome, now)?)));
            match remembered {
                Some((desk, joined_to)) => {
                    desk.service.metrics.outcome();
                    desk.service.acted(outcome, &joined_to);
                    joined += 1;
                }
                None => fleet.process.metrics.outcome_of_nobody(),
            }
        }
        let accepted = outcomes.len();
        for outcome in outcomes {
            fleet.process.events.outcome(outcome);
        }
        Ok::<_, Refusal>(value(&json!({ "accepted": accepted, "joined": joined })))
    };
    result.await.unwrap_or_else(IntoResponse::into_response)
}
