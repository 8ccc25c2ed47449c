//! gRPC calls whose messages are bytes: what they mean is the points' affair.

use bytes::{Buf, BufMut, Bytes};
use hyper::{HeaderMap, Uri, http::uri::PathAndQuery};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tonic::{
    Request, Status,
    body::Body,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
};

use super::carry::with_causes;
use crate::conform::exchange::{Answer, Refused};

/// Calls one server.
pub(super) struct Caller {
    client: Client<HttpConnector, Body>,
    origin: Uri,
    headers: HeaderMap,
}

impl Caller {
    pub(super) fn new(origin: Uri, headers: HeaderMap) -> Self {
        let mut building = Client::builder(TokioExecutor::new());
        let client = building.pool_timer(TokioTimer::new()).http2_only(true).build_http();
        Self { client, origin, headers }
    }

    pub(super) async fn call(&self, path: &str, message: Bytes) -> Answer {
        let Ok(path) = PathAndQuery::try_from(path) else { return Answer::Broken(format!("{path:?} is no path")) };
        let mut grpc = Grpc::with_origin(self.client.clone(), self.origin.clone());
        let mut request = Request::new(message);
        *request.metadata_mut() = MetadataMap::from_headers(self.headers.clone());
        if let Err(error) = grpc.ready().await {
            return Answer::Broken(with_causes(&error));
        }
        match grpc.unary(request, path, Plain).await {
            Ok(response) => Answer::Grpc(Ok(response.into_inner())),
            // What the transport met has a cause; what the server said has none.
            Err(status) if std::error::Error::source(&status).is_some() => Answer::Broken(with_causes(&status)),
            Err(status) => Answer::Grpc(Err(Refused { code: status.code(), message: status.message().to_owned() })),
        }
    }
}

/// Messages as they are on the wire.
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
