//! What every parser promises of any bytes, one function a parser: a fuzzer drives it with what it makes up, and the tests
//! with what was kept of that.
//!
//! A case goes in at the door where callers send it. It is answered or refused, never by a fault of ours; a refusal has its
//! words; and what was answered is answered the same once it was read and written again, or sent another way.

mod binary;
mod callers;
mod events;
mod grpc;
mod json;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use models::event::{Outcome, Prediction};
use serde_json::{Map, Value};
use tokio::runtime::Runtime;
use tower::ServiceExt;

pub use self::{
    binary::binary,
    callers::{claims, tokens},
    events::{cloud_events, outcomes},
    grpc::grpc,
    json::{v1, v2},
};
use crate::{
    issuer::Issuer,
    world::{Shop, artifact, version},
};

/// Tries a case: whether it was answered, and the same whichever way it was asked. Panics where a promise is broken.
pub type Trial = fn(&[u8]) -> bool;

/// Every parser by the name of its kept cases.
pub const PARSERS: [(&str, Trial); 8] = [
    ("v1", v1),
    ("v2", v2),
    ("binary", binary),
    ("cloud_events", cloud_events),
    ("grpc", grpc),
    ("claims", claims),
    ("tokens", tokens),
    ("outcomes", outcomes),
];

const V1: &str = "/v1/models/recommender:predict";
const V2: &str = "/v2/models/recommender/infer";

thread_local! {
    static STREET: Street = Street::open();
}

/// The same shop behind doors that ask differently for who comes.
struct Street {
    runtime: Runtime,
    anyone: Shop,
    /// Has answered the request `r`, for ann, and nothing else.
    remembering: Shop,
    claiming: Shop,
    verifying: Shop,
    issuer: Issuer,
}

impl Street {
    fn open() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let issuer = Issuer::new();
        let street = runtime.block_on(async {
            let shop = |options| {
                let shop = Shop::new(options);
                shop.service.install(version(7), artifact("").into());
                shop
            };
            let patient = callers::patient();
            let remembering = shop(patient.clone());
            let (claiming, verifying) = callers::shops(&issuer, shop).await;
            (shop(patient), remembering, claiming, verifying)
        });
        let (anyone, remembering, claiming, verifying) = street;
        let street = Self { runtime, anyone, remembering, claiming, verifying, issuer };
        let mut ann = Sent::post(V1, r#"{"instances":[{"user_id":"ann","k":3}]}"#);
        ann.headers.insert("x-request-id", HeaderValue::from_static("r"));
        assert_eq!(street.ask(&street.remembering, &ann).status, 200);
        street
    }

    /// What a shop says to a request, once it is clear that it may say that.
    fn ask(&self, shop: &Shop, sent: &Sent) -> Told {
        let told = self.hear(shop, sent);
        let refused = || serde_json::from_slice::<Map<String, Value>>(&told.body).ok();
        let is_sound = match told.status {
            // A caller without patience is told so by 504.
            400..=499 | 504 => refused().is_some_and(|words| words.len() == 1 && words["error"].is_string()),
            status => status == 200,
        };
        assert!(is_sound, "{told:?} to {sent:?}");
        told
    }

    /// What a shop says, whatever it is. What it tells the stream must be read there as it was written.
    fn hear(&self, shop: &Shop, sent: &Sent) -> Told {
        let told = self.runtime.block_on(async {
            let response = shop.router.clone().oneshot(sent.request()).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = body.collect().await.unwrap();
            shop.service.events().flush().await;
            let trailers = body.trailers().cloned().unwrap_or_default();
            Told { status: parts.status.as_u16(), headers: parts.headers, trailers, body: body.to_bytes() }
        });
        for message in shop.stream.messages.lock().unwrap().drain(..) {
            let again = match message.topic.name() {
                "ml.predictions" => {
                    serde_json::to_vec(&serde_json::from_slice::<Prediction>(&message.payload).unwrap())
                }
                _ => serde_json::to_vec(&serde_json::from_slice::<Outcome>(&message.payload).unwrap()),
            };
            assert_eq!(again.unwrap(), message.payload, "{sent:?}");
        }
        told
    }
}

/// A request on its way.
#[derive(Debug, Clone)]
struct Sent {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Sent {
    fn post(path: &str, body: impl AsRef<[u8]>) -> Self {
        let body = Bytes::copy_from_slice(body.as_ref());
        Self { method: Method::POST, path: path.into(), headers: HeaderMap::new(), body }
    }

    /// A case that has headers: lines of `name: value`, an empty line, the body. `None` for what HTTP cannot carry.
    fn read(path: &str, case: &[u8]) -> Option<Self> {
        let end = case.windows(2).position(|pair| pair == b"\n\n")?;
        let mut sent = Self::post(path, &case[end + 2..]);
        for line in case[..end].split(|byte| *byte == b'\n') {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            sent.headers.append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?);
        }
        Some(sent)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn request(&self) -> Request<Body> {
        let mut request = Request::new(Body::from(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.parse().unwrap();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().entry("x-request-id").or_insert(HeaderValue::from_static("case"));
        request
    }
}

/// An answer or a refusal, read whole.
#[derive(Debug)]
struct Told {
    status: u16,
    headers: HeaderMap,
    trailers: HeaderMap,
    body: Bytes,
}

impl Told {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The answer, where it is one.
    fn answered(&self) -> Option<Value> {
        (self.status == 200).then(|| serde_json::from_slice(&self.body).unwrap())
    }

    /// Whether another way of asking the same was told the same: patience may end between the two.
    fn is_said_again(&self, again: &Self, sent: &Sent) -> bool {
        let is_patient = again.status != 504;
        assert!(!is_patient || (again.status, &again.body) == (self.status, &self.body), "{again:?} to {sent:?}");
        is_patient
    }
}
