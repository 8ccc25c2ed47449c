//! A server with one defect: the real doors, and something that meddles with what goes in or comes out.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, Method, StatusCode, Version, header},
    middleware::{self, Next},
    response::Response,
};
use http_body_util::{BodyExt, Full};
use prost::Message;
use serde_json::{Value, json};

use crate::world::Shop;

/// Bodies above this pass by unread.
const READ: u64 = 4 * 1024 * 1024;

/// A request, read whole.
pub(super) struct Asked {
    pub(super) version: Version,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// An answer, read whole.
pub(super) struct Told {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

/// How a server is wrong.
#[derive(Clone, Copy)]
pub(super) enum Spoil {
    /// It reads something else than was sent.
    Asked(fn(&mut Asked)),
    /// It says something else than it should.
    Told(fn(&Asked, &mut Told)),
    /// It never answers what is too large.
    Hangs,
}

/// The real doors with a defect.
pub(super) fn server(spoil: Spoil) -> Router {
    // Around the doors, not between them: a router adds headers of its own behind its layers.
    Router::new()
        .fallback_service(Shop::open().router)
        .layer(middleware::from_fn(move |request, next| meddle(spoil, request, next)))
}

async fn meddle(spoil: Spoil, request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let large = length.is_some_and(|length: u64| length > READ);
    if large && matches!(spoil, Spoil::Hangs) {
        std::future::pending::<()>().await;
    }
    let (mut head, body) = request.into_parts();
    let (body, kept) = if large { (Bytes::new(), Some(body)) } else { (read(body).await.0, None) };
    let (version, method, path) = (head.version, head.method.clone(), head.uri.path().to_owned());
    let mut asked = Asked { version, method, path, headers: head.headers.clone(), body };
    if let Spoil::Asked(change) = spoil {
        change(&mut asked);
        head.headers = asked.headers.clone();
    }
    // What was changed is of another length.
    if kept.is_none() && head.headers.remove(header::CONTENT_LENGTH).is_some() {
        head.headers.insert(header::CONTENT_LENGTH, asked.body.len().into());
    }
    let sent = kept.unwrap_or_else(|| Body::from(asked.body.clone()));
    let (head, body) = next.run(Request::from_parts(head, sent)).await.into_parts();
    let (body, trailers) = read(body).await;
    let mut told = Told { status: head.status, headers: head.headers, body, trailers };
    if let Spoil::Told(change) = spoil {
        change(&asked, &mut told);
    }
    told.headers.remove(header::CONTENT_LENGTH);
    let body = Full::new(told.body);
    let body = match told.trailers {
        Some(trailers) => Body::new(body.with_trailers(async { Some(Ok(trailers)) })),
        None => Body::new(body),
    };
    let mut response = Response::new(body);
    (*response.status_mut(), *response.headers_mut()) = (told.status, told.headers);
    response
}

async fn read(body: Body) -> (Bytes, Option<HeaderMap>) {
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned();
    (collected.to_bytes(), trailers)
}

impl Asked {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A readable V2 request for inference.
    pub(super) fn infers(&self) -> bool {
        self.path.ends_with("/infer")
    }

    pub(super) fn change(&mut self, change: impl FnOnce(&mut Value)) {
        let mut body = self.json();
        if body.is_object() {
            change(&mut body);
            self.body = body.to_string().into();
        }
    }

    /// Changes the message of a call of `method`.
    pub(super) fn message<M: Message + Default>(&mut self, method: &str, change: impl FnOnce(&mut M)) {
        if self.path.ends_with(method)
            && let Ok(mut message) = M::decode(self.body.slice(5..))
        {
            change(&mut message);
            self.body = framed(&message);
        }
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Told {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(super) fn is_json(&self) -> bool {
        self.headers.get(header::CONTENT_TYPE).is_some_and(|value| value == "application/json")
    }

    /// Another status and body.
    pub(super) fn say(&mut self, status: u16, body: &Value) {
        self.status = StatusCode::from_u16(status).unwrap();
        self.body = body.to_string().into();
        self.headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    }

    pub(super) fn refuse(&mut self, status: u16) {
        self.say(status, &json!({ "error": "wrong on purpose" }));
    }

    /// Changes a body that is a JSON object and was given with 200.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Value)) {
        let mut body = self.json();
        if self.status == 200 && (body.is_object() || body.is_array()) {
            change(&mut body);
            self.body = body.to_string().into();
        }
    }

    /// Changes the first output of an answer with JSON tensors.
    pub(super) fn output(&mut self, change: impl FnOnce(&mut Value)) {
        self.change(|body| {
            if let Some(output) = body["outputs"].get_mut(0) {
                change(output);
            }
        });
    }

    /// Changes the message of a call's answer.
    pub(super) fn message<M: Message + Default>(&mut self, change: impl FnOnce(&mut M)) {
        if self.body.len() >= 5
            && let Ok(mut message) = M::decode(self.body.slice(5..))
        {
            change(&mut message);
            self.body = framed(&message);
        }
    }

    /// The code of a call, wherever it is written.
    pub(super) fn code(&self) -> u8 {
        let trailers = self.trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
        let code = self.headers.get("grpc-status").or(trailers);
        code.map_or(0, |code| code.to_str().unwrap().parse().unwrap())
    }

    /// Ends a call with another code, and with a message if that is 0.
    pub(super) fn end(&mut self, code: u8, message: &impl Message) {
        self.headers.remove("grpc-status");
        self.headers.remove("grpc-message");
        self.headers.insert(header::CONTENT_TYPE, "application/grpc".parse().unwrap());
        self.body = if code == 0 { framed(message) } else { Bytes::new() };
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", u16::from(code).into());
        self.trailers = Some(trailers);
    }
}

fn framed(message: &impl Message) -> Bytes {
    let bytes = message.encode_to_vec();
    [&[0], &(bytes.len() as u32).to_be_bytes()[..], &bytes].concat().into()
}
