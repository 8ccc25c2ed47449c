//! What can go wrong with one request, and the one table from each kind to a status and MLflow's word for it.
//!
//! The words are members of MLflow's `ErrorCode`; clients turn them into exceptions, and repeat a request only on some
//! statuses (408, 429, 500, 502, 503, 504), so a refusal that repeating cannot help never has one of those.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::wire::Failure;
use crate::error::Refusal;

/// Why a request is not answered. The text of every kind is fit for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// A parameter is missing or cannot be used. Change the request.
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The request would change something.
    #[error("this registry is read only over the MLflow protocol: {0}")]
    ReadOnly(&'static str),
    /// The body cannot be read.
    #[error(transparent)]
    Body(#[from] Refusal),
    /// No such path under the prefix.
    #[error("no such path; registered-models and model-versions can be searched and read here")]
    NoSuchPath,
    /// The path exists with another method.
    #[error("method not allowed on this path")]
    WrongMethod,
    /// Too many requests are in flight. Come back a little later.
    #[error("too many requests in flight")]
    Busy,
    /// Nothing has been read from the store yet. Come back a little later.
    #[error("the registry of {0} has not been read yet: {1}")]
    Unavailable(String, &'static str),
    /// A bug.
    #[error("internal error")]
    Bug,
}

impl Error {
    /// A parameter that is not as it should be.
    pub(super) fn parameter(name: &str, expected: &str, found: &str) -> Self {
        Self::Invalid(format!("parameter {name}: expected {expected}, found {:?}", crate::error::cut(found)))
    }

    /// The status and MLflow's word.
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "INVALID_PARAMETER_VALUE"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "RESOURCE_DOES_NOT_EXIST"),
            Self::ReadOnly(_) => (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
            Self::Body(refusal) => (refusal.kind().0, "BAD_REQUEST"),
            Self::NoSuchPath => (StatusCode::NOT_FOUND, "ENDPOINT_NOT_FOUND"),
            Self::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, "ENDPOINT_NOT_FOUND"),
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, "REQUEST_LIMIT_EXCEEDED"),
            Self::Unavailable(..) => (StatusCode::SERVICE_UNAVAILABLE, "TEMPORARILY_UNAVAILABLE"),
            Self::Bug => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR"),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, error_code) = self.kind();
        let mut response = (status, Json(Failure { error_code, message: &self.to_string() })).into_response();
        if matches!(self, Self::Busy | Self::Unavailable(..)) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
