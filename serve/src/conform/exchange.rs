//! Requests as descriptions, and what came back: the language between the points and whoever carries the requests.

use bytes::Bytes;
use serde_json::Value;
use tonic::Code;

use super::check::{Fault, cut, wrong};

/// A body to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    Bytes(Bytes),
    /// Without a length in front, in two chunks.
    Chunked(Bytes),
    /// So many bytes of nothing, never all in memory.
    Spaces(usize),
}

/// One HTTP request. Nothing is added to it on the way but `host` and what the caller wants on every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body,
}

/// One request, through either door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    Http(Request),
    /// A call with one message in and one out.
    Grpc {
        /// As in `/inference.GRPCInferenceService/ServerLive`.
        path: String,
        message: Bytes,
    },
}

/// How several requests relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Each after the answer to the one before.
    InTurn,
    /// All in flight together.
    AtOnce,
    /// Each after the answer to the one before, over one connection.
    OneConnection,
    /// Written together over one connection before anything is read.
    Pipelined,
}

/// Requests and how they are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) how: How,
    pub(super) asks: Vec<Ask>,
}

impl Exchange {
    pub(super) fn of(how: How, requests: impl IntoIterator<Item = Request>) -> Self {
        Self { how, asks: requests.into_iter().map(Ask::Http).collect() }
    }

    pub(super) fn one(request: Request) -> Self {
        Self::of(How::InTurn, [request])
    }

    pub(super) fn call(path: String, message: Vec<u8>) -> Self {
        Self { how: How::InTurn, asks: vec![Ask::Grpc { path, message: message.into() }] }
    }
}

impl Request {
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), headers: Vec::new(), body: Body::Bytes(Bytes::new()) }
    }

    pub(super) fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { method: "POST", path: path.into(), headers: Vec::new(), body: Body::Bytes(body.into()) }
    }

    /// A body of JSON that says so.
    pub(super) fn json(path: impl Into<String>, body: &Value) -> Self {
        Self::post(path, body.to_string()).with("content-type", "application/json")
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// An HTTP answer, read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

/// What gRPC says instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) code: Code,
    pub(super) message: String,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Http(Reply),
    Grpc(Result<Bytes, Refused>),
    /// None: the connection was not to be had, or broke.
    Broken(String),
    /// None in time.
    Late(String),
}

impl Answer {
    pub(super) fn http(&self) -> Result<&Reply, Fault> {
        match self {
            Self::Http(reply) => Ok(reply),
            Self::Broken(reason) | Self::Late(reason) => Err(wrong("an answer", reason)),
            Self::Grpc(_) => Err(wrong("an HTTP answer", "a gRPC answer")),
        }
    }

    pub(super) fn grpc(&self) -> Result<Result<&Bytes, &Refused>, Fault> {
        match self {
            Self::Grpc(result) => Ok(result.as_ref()),
            Self::Broken(reason) | Self::Late(reason) => Err(wrong("an answer", reason)),
            Self::Http(_) => Err(wrong("a gRPC answer", "an HTTP answer")),
        }
    }
}

impl Reply {
    pub(super) fn header(&self, wanted: &str) -> Option<&str> {
        self.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    /// The type of the body without its parameters, in lower case.
    pub(super) fn essence(&self) -> String {
        let content_type = self.header("content-type").unwrap_or_default();
        content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// Status and the beginning of the body.
    pub(super) fn shown(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        let body = if body.is_empty() { "an empty body".to_owned() } else { cut(&body) };
        format!("status {}, {body}", self.status)
    }

    /// Fails on every status but 200.
    pub(super) fn ok(&self) -> Result<&Self, Fault> {
        if self.status == 200 { Ok(self) } else { Err(wrong("status 200", self.shown())) }
    }

    /// The body of a 200 as a JSON object.
    pub(super) fn object(&self) -> Result<Value, Fault> {
        self.ok()?;
        let value = serde_json::from_slice::<Value>(&self.body).ok().filter(Value::is_object);
        value.ok_or_else(|| wrong("a JSON object", self.shown()))
    }

    /// The text under `error` of a refusal, of which the status must be 400 or above.
    pub(super) fn error(&self) -> Result<String, Fault> {
        let expected = "a status of 400 or above with {\"error\": \"...\"}";
        let body = serde_json::from_slice::<Value>(&self.body).unwrap_or_default();
        match body["error"].as_str() {
            Some(words) if self.status >= 400 && !words.is_empty() => Ok(words.to_owned()),
            _ => Err(wrong(expected, self.shown())),
        }
    }
}
