//! Outcomes as the shop reports them: one object or a list of `{request_id, user_id, item_id, kind, at?}`.

use jiff::Timestamp;
use models::{
    TenantName,
    event::{Outcome, OutcomeKind, SCHEMA_VERSION},
};
use serde::Deserialize;

use super::{Id, json};
use crate::{config::MAX_INSTANCES, error::Refusal};

#[derive(Deserialize)]
struct Reported {
    request_id: String,
    user_id: Id,
    item_id: Id,
    kind: OutcomeKind,
    at: Option<Timestamp>,
}

/// The outcomes of a body, not yet joined; `now` stands in where no time was given. One bad one refuses them all.
pub(crate) fn decode(body: &[u8], tenant: &TenantName, now: Timestamp) -> Result<Vec<Outcome>, Refusal> {
    json::check_depth(body)?;
    let is_list = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    if !is_list {
        return Ok(vec![outcome(json::object(body)?, tenant, now)?]);
    }
    let json::Elements::<'_, MAX_INSTANCES>(elements) = json::parse(body)?;
    let one = |(index, element): (usize, &serde_json::value::RawValue)| {
        json::object(element.get().as_bytes())
            .and_then(|reported| outcome(reported, tenant, now))
            .map_err(|refusal| Refusal::bad(format!("[{index}]: {refusal}")))
    };
    elements.into_iter().enumerate().map(one).collect()
}

fn outcome(reported: Reported, tenant: &TenantName, now: Timestamp) -> Result<Outcome, Refusal> {
    let Reported { request_id, user_id, item_id, kind, at } = reported;
    if request_id.is_empty() || request_id.len() > 128 {
        return Err(Refusal::bad("request_id: expected 1 to 128 bytes"));
    }
    let (user_id, item_id) = (user_id.reader()?, item_id.book()?);
    let word = match kind {
        OutcomeKind::Click => "click",
        OutcomeKind::Purchase => "purchase",
    };
    Ok(Outcome {
        tenant: tenant.clone(),
        // The same click reported twice is one event.
        event_id: Some(format!("{request_id}/{user_id}/{item_id}/{word}")),
        request_id,
        user_id,
        item_id,
        kind,
        at: at.unwrap_or(now),
        schema_version: SCHEMA_VERSION,
        model: None,
        rank: None,
    })
}
