//! What can go wrong, and the one table from each kind to its statuses and to words for the caller.
//!
//! A [`Refusal`] goes to the client of one request; an [`Error`] goes to whoever starts a server.

use std::net::SocketAddr;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use models::{ModelName, TenantName, Version, registry, store};
use tonic::Code;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings that cannot work. Change them.
    #[error("settings: {}", .0.join("; "))]
    Settings(Vec<String>),
    /// The address cannot be had. Choose another, or stop who has it.
    #[error("cannot listen on {address}")]
    Listen {
        /// As asked for.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A registry cannot be read. See what its error asks for.
    #[error("registry of tenant {tenant}")]
    Registry {
        /// Whose.
        tenant: TenantName,
        /// Why.
        #[source]
        source: Box<registry::Error>,
    },
    /// The tenants of a store cannot be listed. See what its error asks for.
    #[error("tenants cannot be listed")]
    Store(#[source] Box<store::Error>),
    /// The models that are loaded from the start do not fit. Allow more bytes, or load them as they are asked for.
    #[error("{what} {}, and the models of this process may take {}", in_bytes(*.needed), in_bytes(*.limit))]
    NoRoom {
        /// Which models.
        what: String,
        /// What they take, bytes.
        needed: u64,
        /// What they may take, bytes.
        limit: u64,
    },
}

/// Why one request is not answered. The text of every kind is fit for the client: no path, no trace, no other tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request breaks a rule of the protocol. Sending it again cannot help.
    #[error("{0}")]
    Bad(String),
    /// There is no such model here.
    #[error("unknown model {found:?}; this server has {}", .known.join(", "))]
    UnknownModel {
        /// As asked for, cut to 80 characters.
        found: String,
        /// What is served to this tenant.
        known: Vec<String>,
    },
    /// Nobody who could know says which tenant the caller belongs to.
    #[error("{0}")]
    NoTenant(String),
    /// The caller's token counts for nothing. Says why, and nothing of what would have counted.
    #[error("token refused: {0}")]
    BadToken(&'static str),
    /// Nothing is served to the caller's tenant. Says no more, so that nobody learns who else is served.
    #[error("no model is served to this tenant")]
    UnknownTenant,
    /// The model has such a version, or never had it, but it is not resident.
    #[error("version {found} of {model} is not served here; resident: {}", list(.resident))]
    UnknownVersion {
        /// As asked for, cut to 80 characters.
        found: String,
        /// The model.
        model: ModelName,
        /// What would be answered.
        resident: Vec<Version>,
    },
    /// There is no such path.
    #[error("no such path; see /v1/models and /v2/models")]
    NoSuchPath,
    /// The path exists with another method; the `Allow` header says which.
    #[error("method not allowed on this path")]
    WrongMethod,
    /// The body did not arrive in time.
    #[error("the request body did not arrive within {seconds} s")]
    SlowBody {
        /// The limit.
        seconds: u64,
    },
    /// The body is longer than allowed.
    #[error("request body above {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The body is packed in a way that is not read here.
    #[error("content-encoding: expected gzip or deflate, found {found:?}")]
    Coding {
        /// As sent, cut to 80 characters.
        found: String,
    },
    /// A gRPC path without gRPC.
    #[error("expected content-type application/grpc")]
    NotGrpc,
    /// Not decided here, and not by callers.
    #[error("versions of {model} are loaded and unloaded as its registry decides: see `bookloop models`")]
    Decided {
        /// The model.
        model: String,
    },
    /// The protocol has it, this server does not.
    #[error("{0} is not offered by this model")]
    NotOffered(&'static str),
    /// No version of the model is loaded, verified and warmed.
    #[error("model {model} is not ready: {why}")]
    NotReady {
        /// The model.
        model: ModelName,
        /// What keeps it, fit for the client.
        why: String,
    },
    /// Too many requests are in flight. Come back a little later.
    #[error("too many requests in flight")]
    Shed,
    /// Too many requests of this tenant are in flight. Come back a little later.
    #[error("too many requests of this tenant in flight")]
    TenantShed,
    /// The answer would have come too late.
    #[error("deadline passed before the answer was ready")]
    Deadline,
    /// A bug, or a model that cannot score.
    #[error("internal error")]
    Bug,
}

impl Refusal {
    /// The status and a word for logs and metrics.
    pub fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Bad(_) => (StatusCode::BAD_REQUEST, "bad-request"),
            Self::UnknownModel { .. } => (StatusCode::NOT_FOUND, "unknown-model"),
            Self::UnknownVersion { .. } => (StatusCode::NOT_FOUND, "unknown-version"),
            Self::NoSuchPath => (StatusCode::NOT_FOUND, "no-such-path"),
            Self::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, "wrong-method"),
            Self::SlowBody { .. } => (StatusCode::REQUEST_TIMEOUT, "slow-body"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            Self::Coding { .. } => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-encoding"),
            Self::NotGrpc => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-grpc"),
            Self::Decided { .. } => (StatusCode::FORBIDDEN, "decided-elsewhere"),
            Self::NotOffered(_) => (StatusCode::NOT_IMPLEMENTED, "not-offered"),
            Self::NoTenant(_) => (StatusCode::UNAUTHORIZED, "no-tenant"),
            Self::BadToken(_) => (StatusCode::UNAUTHORIZED, BAD_TOKEN),
            Self::UnknownTenant => (StatusCode::NOT_FOUND, "unknown-tenant"),
            Self::NotReady { .. } => (StatusCode::SERVICE_UNAVAILABLE, "not-ready"),
            Self::TenantShed => (StatusCode::TOO_MANY_REQUESTS, "tenant-shed"),
            Self::Shed => (StatusCode::SERVICE_UNAVAILABLE, "shed"),
            Self::Deadline => (StatusCode::GATEWAY_TIMEOUT, "deadline"),
            Self::Bug => (StatusCode::INTERNAL_SERVER_ERROR, "bug"),
        }
    }

    /// The status in gRPC.
    pub fn grpc_code(&self) -> Code {
        match self {
            Self::Bad(_) => Code::InvalidArgument,
            Self::NoTenant(_) | Self::BadToken(_) => Code::Unauthenticated,
            Self::UnknownTenant | Self::UnknownModel { .. } | Self::UnknownVersion { .. } => Code::NotFound,
            Self::TooLarge { .. } | Self::TenantShed => Code::ResourceExhausted,
            Self::NotReady { .. } | Self::Shed => Code::Unavailable,
            Self::SlowBody { .. } | Self::Deadline => Code::DeadlineExceeded,
            Self::Decided { .. } => Code::PermissionDenied,
            Self::NoSuchPath | Self::WrongMethod | Self::Coding { .. } | Self::NotGrpc | Self::NotOffered(_) => {
                Code::Unimplemented
            }
            Self::Bug => Code::Internal,
        }
    }

    /// A broken rule, in words.
    pub(crate) fn bad(words: impl Into<String>) -> Self {
        Self::Bad(words.into())
    }
}

impl From<&Refusal> for tonic::Status {
    fn from(refusal: &Refusal) -> Self {
        Self::new(refusal.grpc_code(), refusal.to_string())
    }
}

/// The word for a token that counts for nothing: its bearer is challenged in other words than who brought none.
pub(crate) const BAD_TOKEN: &str = "bad-token";

/// The word for logs, carried on the response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind(pub(crate) &'static str);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, kind) = self.kind();
        let mut response = (status, Json(serde_json::json!({ "error": self.to_string() }))).into_response();
        response.extensions_mut().insert(Kind(kind));
        response
    }
}

/// At most 80 characters of something a client sent.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

/// A number of bytes as people read it: `1.5 GiB`, `340 bytes`.
pub(crate) fn in_bytes(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|(shift, _)| bytes >> shift > 0);
    unit.map_or_else(
        || format!("{bytes} bytes"),
        |(shift, name)| {
            let text = format!("{:.1}", bytes as f64 / (1_u64 << shift) as f64);
            format!("{} {name}", text.strip_suffix(".0").unwrap_or(&text))
        },
    )
}

fn list(versions: &[Version]) -> String {
    let numbers: Vec<String> = versions.iter().map(ToString::to_string).collect();
    format!("[{}]", numbers.join(", "))
}
