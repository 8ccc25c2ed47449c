//! The registry as MLflow's REST clients see it: registered models, versions, aliases and tags, read only.
//!
//! Tools that know MLflow can look at what bookloop decided without learning bookloop. The paths, parameters and JSON
//! are those of `ModelRegistryService` in MLflow 3 (`mlflow/protos/model_registry.proto`); what differs is said here:
//!
//! - A registered model is named `<tenant>.<model>`, as in `models:/acme-books.recommender@production`. Neither part
//!   can hold a dot, so the name reads back in one way only.
//! - Every version is in stage `None`: stages are aliases here. `latest` is the highest version that may be served.
//! - `READY` means that a version may be served. A revoked one, and one whose manifest is damaged, is
//!   `FAILED_REGISTRATION`, with the reason in `status_message`.
//! - `source` is the URL of the version's manifest; its download URI is the folder that holds it.
//! - Filters know the name (`=`, `LIKE`, `ILIKE`) and the clause by which clients set prompts apart. Every other one is
//!   refused, since leaving a condition out would answer another question.
//! - Every write is refused with the command that takes the decision instead.
//!
//! The store is asked at most once a second. While it does not answer, the last known state does, with `Age` in
//! seconds and a `Warning`.

mod describe;
mod error;
mod filter;
mod handlers;
mod listing;
mod running;
mod view;
mod wire;

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodFilter as Method, MethodRouter, get, on},
};
use futures::FutureExt;
use models::{Registry, TenantName};
use tokio::sync::Semaphore;

use self::{error::Error, view::Tenant};
pub use self::{
    running::{Running, start},
    wire::{ModelVersion, RegisteredModel, RegisteredModelAlias, Tag},
};

/// Where the API lives on its host, as clients expect it.
pub const PREFIX: &str = "/api/2.0/mlflow";
/// Requests answered at once; more are told to come back.
const IN_FLIGHT: usize = 64;

/// What all handlers share.
#[derive(Debug)]
struct Shelf {
    tenants: BTreeMap<TenantName, Arc<Tenant>>,
    permits: Semaphore,
}

/// The API over these registries, below [`PREFIX`] and nowhere else, so that it can be merged into another router.
pub fn router(registries: impl IntoIterator<Item = (TenantName, Arc<Registry>)>) -> Router {
    let tenants = registries.into_iter().map(|(name, registry)| (name.clone(), Arc::new(Tenant::new(name, registry))));
    let shelf = Arc::new(Shelf { tenants: tenants.collect(), permits: Semaphore::new(IN_FLIGHT) });
    let models = Router::new()
        .route("/search", get(handlers::search_models))
        .route("/get", get(handlers::get_model))
        .route("/get-latest-versions", get(handlers::latest).post(handlers::latest_posted))
        .route("/alias", get(handlers::by_alias).merge(refused(Method::POST.or(Method::DELETE), ALIAS)))
        .route("/create", refused(Method::POST, REGISTER))
        .route("/rename", refused(Method::POST, "names never change, since the log holds them"))
        .route("/update", refused(Method::PATCH, MANIFEST))
        .route("/delete", refused(Method::DELETE, KEPT))
        .route("/set-tag", refused(Method::POST, MANIFEST))
        .route("/delete-tag", refused(Method::DELETE, MANIFEST));
    let versions = Router::new()
        .route("/search", get(handlers::search_versions))
        .route("/get", get(handlers::get_version))
        .route("/get-download-uri", get(handlers::download_uri))
        .route("/create", refused(Method::POST, REGISTER))
        .route("/update", refused(Method::PATCH, MANIFEST))
        .route("/transition-stage", refused(Method::POST, ALIAS))
        .route("/delete", refused(Method::DELETE, KEPT))
        .route("/set-tag", refused(Method::POST, MANIFEST))
        .route("/delete-tag", refused(Method::DELETE, MANIFEST));
    let api = Router::new()
        .nest("/registered-models", models)
        .nest("/model-versions", versions)
        .method_not_allowed_fallback(|| async { Error::WrongMethod })
        .fallback(|| async { Error::NoSuchPath })
        .layer(middleware::from_fn_with_state(Arc::clone(&shelf), guard))
        .with_state(shelf);
    Router::new().nest(PREFIX, api)
}

const REGISTER: &str = "versions are registered by `bookloop train`";
const ALIAS: &str = "aliases are moved by `bookloop models promote`, `bookloop models rollback` and \
                     `bookloop models alias`, each with an actor and a reason";
const MANIFEST: &str = "what a version says of itself is its manifest, which never changes; decisions about it are \
                        taken with `bookloop models`";
const KEPT: &str = "a registered version stays in the log; `bookloop models alias` points an alias elsewhere";

/// A path of the protocol that would change something.
fn refused(method: Method, instead: &'static str) -> MethodRouter<Arc<Shelf>> {
    on(method, move || async move { Error::ReadOnly(instead) })
}

/// Around every handler: a bound on what is in flight, no answer kept by caches, and a panic is an answer too.
async fn guard(State(shelf): State<Arc<Shelf>>, request: Request, next: Next) -> Response {
    let Ok(_permit) = shelf.permits.try_acquire() else {
        return Error::Busy.into_response();
    };
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = handled.unwrap_or_else(|_| Error::Bug.into_response());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
