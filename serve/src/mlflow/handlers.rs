//! The paths that read: parameters in, views asked, records out.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, Request, State},
    http::{HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use futures::future::try_join_all;
use models::{
    ModelName, Version,
    registry::{ModelState, VersionState},
};
use serde::Serialize;

use super::{
    Shelf,
    describe::{STAGE, View},
    error::Error,
    filter::Filter,
    listing::{MODELS, VERSIONS, page},
    view::{Sight, Tenant},
    wire::{DownloadUri, Latest, Models, OneModel, OneVersion, Versions},
};
use crate::{config::Limits, rest::body};

/// Longest request body, bytes: a name and some stages.
const BODY_BYTES: usize = 64 * 1024;
/// The stages that MLflow knows; here all versions are in the first.
const STAGES: [&str; 4] = [STAGE, "Staging", "Production", "Archived"];

/// The query of a request. Lists are a name that comes several times.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    fn of(uri: &Uri) -> Result<Self, Error> {
        let read = Query::<Vec<(String, String)>>::try_from_uri(uri);
        read.map(|Query(pairs)| Self::new(pairs)).map_err(|refused| Error::Invalid(refused.body_text()))
    }

    /// Every value of a parameter, in the order sent.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// The only value, if any.
    pub(super) fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Error> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(second)) => Err(Error::parameter(name, "one value", &format!("another one, {second}"))),
        }
    }

    fn required<'a>(&'a self, name: &'a str) -> Result<&'a str, Error> {
        self.one(name)?.ok_or_else(|| Error::Invalid(format!("parameter {name}: expected a value, found none")))
    }
}

/// One model found by its name.
struct Found<'a> {
    view: &'a View,
    name: &'a ModelName,
    model: &'a ModelState,
}

impl Shelf {
    /// The tenant's view that a model's name leads to.
    async fn sight_of(&self, name: &str) -> Result<Sight, Error> {
        let tenant = name.split_once('.').and_then(|(tenant, _)| self.tenants.get(tenant));
        tenant.ok_or_else(|| no_model(name))?.sight().await
    }

    async fn all_sights(&self) -> Result<Vec<Sight>, Error> {
        try_join_all(self.tenants.values().map(Tenant::sight)).await
    }
}

impl<'a> Found<'a> {
    fn of(view: &'a View, name: &str) -> Result<Self, Error> {
        let model = name.split_once('.').and_then(|(_, model)| view.state.models.get_key_value(model));
        let (model_name, model) = model.ok_or_else(|| no_model(name))?;
        Ok(Self { view, name: model_name, model })
    }

    fn version(&self, text: &str) -> Result<(Version, &VersionState), Error> {
        let version: Version = text.parse().map_err(|_| Error::parameter("version", "an integer from 1", text))?;
        let standing = self.model.versions.get(&version).ok_or_else(|| {
            let name = self.view.name(self.name);
            Error::NotFound(format!("Model Version (name={name}, version={version}) not found"))
        })?;
        Ok((version, standing))
    }
}

fn no_model(name: &str) -> Error {
    let name = crate::error::cut(name);
    Error::NotFound(format!("Registered Model with name={name} not found; names are <tenant>.<model>"))
}

/// A JSON answer that says when it may be out of date.
fn answer<'a>(sights: impl IntoIterator<Item = &'a Sight>, body: &impl Serialize) -> Response {
    let mut response = Json(body).into_response();
    let stale: Vec<_> = sights.into_iter().filter_map(|sight| Some((&sight.view.tenant, sight.stale?))).collect();
    let headers = response.headers_mut();
    if let Some(age) = stale.iter().map(|(_, stale)| stale.age.as_secs()).max() {
        headers.insert(header::AGE, HeaderValue::from(age));
    }
    for (tenant, stale) in stale {
        let warning = format!("110 bookloop \"{tenant} as of {} s ago: {}\"", stale.age.as_secs(), stale.why);
        let warning = HeaderValue::from_str(&warning).expect("tenants and reasons are visible ASCII");
        headers.append(header::WARNING, warning);
    }
    response
}

pub(super) async fn search_models(State(shelf): State<Arc<Shelf>>, uri: Uri) -> Result<Response, Error> {
    let parameters = Parameters::of(&uri)?;
    let filter = Filter::parse(parameters.one("filter")?.unwrap_or_default())?;
    let sights = shelf.all_sights().await?;
    let models = sights.iter().flat_map(|sight| {
        let view = &*sight.view;
        view.state.models.iter().map(move |(name, model)| Found { view, name, model })
    });
    let places = models.map(|found| (found.view.model_place(found.name, found.model), found));
    let places = places.filter(|(place, _)| filter.matches(&place.name)).collect();
    let (found, next_page_token) = page(&MODELS, &parameters, places)?;
    let registered_models = found.into_iter().map(|found| found.view.model(found.name, found.model)).collect();
    Ok(answer(&sights, &Models { registered_models, next_page_token }))
}

pub(super) async fn get_model(State(shelf): State<Arc<Shelf>>, uri: Uri) -> Result<Response, Error> {
    let parameters = Parameters::of(&uri)?;
    let name = parameters.required("name")?;
    let sight = shelf.sight_of(name).await?;
    let found = Found::of(&sight.view, name)?;
    let registered_model = found.view.model(found.name, found.model);
    Ok(answer([&sight], &OneModel { registered_model }))
}

pub(super) async fn latest(State(shelf): State<Arc<Shelf>>, uri: Uri) -> Result<Response, Error> {
    let parameters = Parameters::of(&uri)?;
    let stages: Vec<&str> = parameters.all("stages").collect();
    latest_in(&shelf, parameters.required("name")?, &stages).await
}

pub(super) async fn latest_posted(State(shelf): State<Arc<Shelf>>, request: Request) -> Result<Response, Error> {
    let limits = Limits { body_bytes: BODY_BYTES, ..Limits::default() };
    let bytes = body::read(request, &limits).await?;
    let Latest { name, stages } =
        serde_json::from_slice(&bytes).map_err(|error| Error::Invalid(format!("request body: {error}")))?;
    if name.is_empty() {
        return Err(Error::Invalid("parameter name: expected a value, found none".into()));
    }
    let stages: Vec<&str> = stages.iter().map(String::as_str).collect();
    latest_in(&shelf, &name, &stages).await
}

async fn latest_in(shelf: &Shelf, name: &str, stages: &[&str]) -> Result<Response, Error> {
    if let Some(unknown) = stages.iter().find(|stage| !STAGES.iter().any(|known| known.eq_ignore_ascii_case(stage))) {
        return Err(Error::parameter("stages", &format!("some of {}", STAGES.join(", ")), unknown));
    }
    let sight = shelf.sight_of(name).await?;
    let found = Found::of(&sight.view, name)?;
    let asked = stages.is_empty() || stages.iter().any(|stage| stage.eq_ignore_ascii_case(STAGE));
    let latest = asked.then(|| found.view.latest(found.name, found.model)).flatten();
    let model_versions = latest.into_iter().collect();
    Ok(answer([&sight], &Versions { model_versions, next_page_token: None }))
}

pub(super) async fn by_alias(State(shelf): State<Arc<Shelf>>, uri: Uri) -> Result<Response, Error> {
    let parameters = Parameters::of(&uri)?;
    let (name, alias) = (parameters.required("name")?, parameters.required("alias")?);
    let sight = shelf.sight_of(name).await?;
    let found = Found::of(&sight.view, name)?;
    let version = found.model.aliases.get(alias).copied();
    let standing = version.and_then(|version| Some((version, found.model.versions.get(&version)?)));
    let (version, standing) = standing.ok_or_else(|| {
        let known: Vec<&str> = found.model.aliases.keys().map(AsRef::as_ref).collect();
        let (alias, known) = (crate::error::cut(alias), known.join(", "));
        Error::NotFound(format!("Registered model alias {alias} of {name} not found; aliases: [{known}]"))
    })?;
    let model_version = found.view.version(found.name, version, found.model, standing);
    Ok(answer([&sight], &OneVersion { model_version }))
}

pub(super) async fn search_versions(State(shelf): State<Arc<Shelf>>, uri: Uri) -> Result<Response, Error> {
    let parameters = Parameters::of(&uri)?;
    let filter = Filter::parse(parameters.one("filter")?.unwrap_or_default())?;
    let sights = shelf.all_sights().await?;
    let mut places = Vec::new();
    for view in sights.iter().map(|sight| &*sight.view) {
        for (name, model) in view.state.models.iter().filter(|(name, _)| filter.matches(&view.name(name))) {
            let found = model.versions.iter().map(|(version, standing)| {
                let place = view.version_place(name, *version, standing);
                (place, (Found { view, name, model }, *version, standing))
            });
            places.extend(found);
        }
    }
    let (found, next_page_token) = page(&VERSIONS, &parameters, places)?;
    let versions = found
        .into_iter()
        .map(|(found, version, standing)| found.view.version(found.name, version, found.model, standing));
    Ok(answer(&sights, &Versions { model_versions: versions.collect(), next_page_token }))
}

pub(super) async fn get_version(State(shelf): State<Arc<Shelf>>, uri: Uri) -> Result<Response, Error> {
    let parameters = Parameters::of(&uri)?;
    let (name, version) = (parameters.required("name")?, parameters.required("version")?);
    let sight = shelf.sight_of(name).await?;
    let found = Found::of(&sight.view, name)?;
    let (version, standing) = found.version(version)?;
    let model_version = found.view.version(found.name, version, found.model, standing);
    Ok(answer([&sight], &OneVersion { model_version }))
}

pub(super) async fn download_uri(State(shelf): State<Arc<Shelf>>, uri: Uri) -> Result<Response, Error> {
    let parameters = Parameters::of(&uri)?;
    let (name, version) = (parameters.required("name")?, parameters.required("version")?);
    let sight = shelf.sight_of(name).await?;
    let found = Found::of(&sight.view, name)?;
    let (_, standing) = found.version(version)?;
    let artifact_uri = found.view.folder_url(found.name, standing);
    Ok(answer([&sight], &DownloadUri { artifact_uri }))
}
