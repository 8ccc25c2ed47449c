//! One exchange over a client that keeps its connections, within the caller's patience.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, future, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Response, Uri,
    body::{Frame, Incoming},
    header::{CONTENT_LENGTH, HeaderName, HeaderValue},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use super::{Error, Options, call::Caller, line};
use crate::conform::exchange::{Answer, Ask, Body, Exchange, How, Reply, Request};

/// A body on its way out.
pub(super) type Sent = UnsyncBoxBody<Bytes, Infallible>;

/// Bytes of nothing sent at a time.
const CHUNK: usize = 64 * 1024;

/// Carries requests to one server.
pub(super) struct Carrier {
    client: Client<HttpConnector, Sent>,
    caller: Caller,
    base: Uri,
    headers: HeaderMap,
    timeout: Duration,
}

impl Carrier {
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        let base = address("url", &options.url)?;
        let grpc = options.grpc.as_ref().map_or_else(|| Ok(base.clone()), |grpc| address("grpc", grpc))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &options.headers {
            let header = HeaderName::try_from(name.as_str()).ok().zip(HeaderValue::from_str(value).ok());
            let (key, value) = header.ok_or_else(|| Error::Header { name: name.clone() })?;
            headers.append(key, value);
        }
        // A connection each: one that the server closes after a refusal is no answer to the next request.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        let caller = Caller::new(grpc, headers.clone());
        Ok(Self { client, caller, base, headers, timeout: options.timeout })
    }

    /// The answers to an exchange, one a request.
    pub(super) async fn carry(&self, exchange: &Exchange) -> Vec<Answer> {
        match exchange.how {
            How::InTurn => stream::iter(&exchange.asks).then(|ask| self.answer(ask)).collect().await,
            How::AtOnce => future::join_all(exchange.asks.iter().map(|ask| self.answer(ask))).await,
            How::OneConnection => line::in_turn(self.requests(exchange), &self.base, self.timeout).await,
            How::Pipelined => line::pipelined(self.requests(exchange), &self.base, self.timeout).await,
        }
    }

    /// One HTTP request's answer.
    pub(super) async fn send(&self, request: Request) -> Answer {
        self.answer(&Ask::Http(request)).await
    }

    async fn answer(&self, ask: &Ask) -> Answer {
        let answer = async {
            match ask {
                Ask::Http(request) => match self.request(request) {
                    Ok(request) => exchanged(self.client.request(request).await).await,
                    Err(reason) => Answer::Broken(reason),
                },
                Ask::Grpc { path, message } => self.caller.call(path, message.clone()).await,
            }
        };
        let late = || Answer::Late(format!("nothing within {:?}", self.timeout));
        tokio::time::timeout(self.timeout, answer).await.unwrap_or_else(|_| late())
    }

    fn requests(&self, exchange: &Exchange) -> Vec<hyper::Request<Sent>> {
        let http = exchange.asks.iter().filter_map(|ask| match ask {
            Ask::Http(request) => self.request(request).ok(),
            Ask::Grpc { .. } => None,
        });
        http.collect()
    }

    fn request(&self, request: &Request) -> Result<hyper::Request<Sent>, String> {
        let base = self.base.to_string();
        let mut building = hyper::Request::builder().method(request.method).uri(format!(
            "{}{}",
            base.trim_end_matches('/'),
            request.path
        ));
        for (name, value) in &request.headers {
            building = building.header(*name, value);
        }
        for (name, value) in &self.headers {
            building = building.header(name, value);
        }
        let body = match &request.body {
            Body::Bytes(bytes) => Full::from(bytes.clone()).boxed_unsync(),
            Body::Chunked(bytes) => {
                let (front, back) = (bytes.slice(..bytes.len() / 2), bytes.slice(bytes.len() / 2..));
                pieces([front, back])
            }
            Body::Spaces(n) => {
                building = building.header(CONTENT_LENGTH, *n);
                pieces(spaces(*n))
            }
        };
        building.body(body).map_err(|error| error.to_string())
    }
}

fn spaces(n: usize) -> impl Iterator<Item = Bytes> + Send + 'static {
    static SPACES: [u8; CHUNK] = [b' '; CHUNK];
    (0..n).step_by(CHUNK).map(move |sent| Bytes::from_static(&SPACES[..CHUNK.min(n - sent)]))
}

/// A body of unknown length.
fn pieces(pieces: impl IntoIterator<Item = Bytes, IntoIter: Send + 'static>) -> Sent {
    StreamBody::new(stream::iter(pieces).map(|piece| Ok(Frame::data(piece)))).boxed_unsync()
}

/// An answer read whole.
pub(super) async fn exchanged<E: std::error::Error>(response: Result<Response<Incoming>, E>) -> Answer {
    let response = match response {
        Ok(response) => response,
        Err(error) => return Answer::Broken(with_causes(&error)),
    };
    let (head, body) = response.into_parts();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    match body.collect().await {
        Ok(body) => Answer::Http(Reply { status: head.status.as_u16(), headers, body: body.to_bytes() }),
        Err(error) => Answer::Broken(with_causes(&error)),
    }
}

/// An error with what caused it, in one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// A server's address: http, a host, and perhaps a port and a path.
fn address(setting: &'static str, text: &str) -> Result<Uri, Error> {
    let refused = || Error::Address { setting, found: text.to_owned() };
    let uri: Uri = text.parse().map_err(|_| refused())?;
    if uri.scheme_str() == Some("http") && uri.host().is_some() && uri.query().is_none() {
        Ok(uri)
    } else {
        Err(refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_and_a_host() {
        assert!(address("url", "http://127.0.0.1:8080/below").is_ok());
        for bad in ["127.0.0.1:8080", "https://shop", "http://", "", "/v2", "http://shop?x"] {
            assert!(address("url", bad).unwrap_err().to_string().starts_with("url: expected http://"), "{bad}");
        }
    }

    #[test]
    fn spaces_are_as_many_as_said() {
        assert_eq!(spaces(3 * CHUNK + 5).map(|piece| piece.len()).collect::<Vec<_>>(), [CHUNK, CHUNK, CHUNK, 5]);
        assert_eq!(spaces(0).count(), 0);
    }
}
