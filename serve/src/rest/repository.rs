//! The repository of V2: which models there are and what is in memory, for a tenant to see and for an operator to change.
//!
//! On the main port a caller sees their tenant's models, and loading is the registry's affair. On the port for operators
//! all tenants' models are shown, and a model is loaded and unloaded by hand; `?tenant=` says whose.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use axum::{
    Json,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{body, v2::Name, value};
use crate::{
    error::Refusal,
    fleet::{Desk, Fleet, Tenant},
    shown::Listed,
    wire::v2,
};

/// The caller's models and their state.
pub(super) async fn index(State(fleet): State<Arc<Fleet>>, request: Request) -> Response {
    let result = async {
        let tenant = fleet.tenant(request.headers())?;
        let ready_only = wanted(&fleet, request).await?;
        let listed: Vec<Value> = tenant.index(ready_only).into_iter().map(row).collect();
        Ok::<_, Refusal>(Json(listed).into_response())
    };
    result.await.unwrap_or_else(IntoResponse::into_response)
}

/// Every model and its state, with its tenant.
pub(super) async fn whole_index(State(fleet): State<Arc<Fleet>>, request: Request) -> Response {
    let result = async {
        let ready_only = wanted(&fleet, request).await?;
        let mut listed = Vec::new();
        for tenant in fleet.tenants() {
            for mut row in tenant.index(ready_only).into_iter().map(row) {
                row["tenant"] = json!(tenant.name);
                listed.push(row);
            }
        }
        Ok::<_, Refusal>(Json(listed).into_response())
    };
    result.await.unwrap_or_else(IntoResponse::into_response)
}

async fn wanted(fleet: &Fleet, request: Request) -> Result<bool, Refusal> {
    v2::decode_index(&body::read(request, &fleet.process.options.limits).await?)
}

fn row(listed: Listed) -> Value {
    let Listed { name, version, state, reason } = listed;
    json!({ "name": name, "version": version, "state": state, "reason": reason })
}

/// Loading and unloading where readers are: the registry decides instead.
pub(super) async fn decided(State(fleet): State<Arc<Fleet>>, name: Name, headers: HeaderMap) -> Response {
    let refusal = name.map_or(Refusal::NoSuchPath, |Path(name)| fleet.refuse_repository(&headers, &name));
    refusal.into_response()
}

/// Loads a model now, and answers when it is in memory.
pub(super) async fn load(State(fleet): State<Arc<Fleet>>, name: Name, uri: Uri) -> Response {
    let result = async {
        let Path(name) = name.map_err(|_| Refusal::NoSuchPath)?;
        let deadline = Instant::now() + fleet.process.options.limits.load;
        named(&fleet, &uri, &name)?.load(deadline).await?;
        Ok::<_, Refusal>(value(&json!({ "name": name, "load": true })))
    };
    result.await.unwrap_or_else(IntoResponse::into_response)
}

/// Takes a model out of memory, until it is loaded by hand again.
pub(super) async fn unload(State(fleet): State<Arc<Fleet>>, name: Name, uri: Uri) -> Response {
    let result = async {
        let Path(name) = name.map_err(|_| Refusal::NoSuchPath)?;
        if !named(&fleet, &uri, &name)?.unload().await {
            return Err(Refusal::NotOffered("unload"));
        }
        Ok::<_, Refusal>(value(&json!({ "name": name, "unload": true })))
    };
    result.await.unwrap_or_else(IntoResponse::into_response)
}

/// The model that an operator names, of the tenant in the query or else the only one.
fn named(fleet: &Fleet, uri: &Uri, name: &str) -> Result<Arc<Desk>, Refusal> {
    let given = Query::<BTreeMap<String, String>>::try_from_uri(uri);
    let tenant = given.ok().and_then(|Query(mut given)| given.remove("tenant"));
    let tenant: Arc<Tenant> = match (tenant, fleet.tenants().as_slice()) {
        (Some(tenant), _) => fleet.tenant_named(&tenant)?,
        (None, [only]) => Arc::clone(only),
        (None, _) => return Err(Refusal::bad("query: expected tenant, since several are served")),
    };
    tenant.model(name).cloned()
}
