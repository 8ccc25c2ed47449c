//! The gRPC door: the Open Inference Protocol, health and reflection, on the main port and, if wanted, on its own.
//!
//! The same services answer as behind HTTP, to the same callers, under the same admission, deadlines, ids and counts; only decoding and
//! encoding differ. Connections, limits on them and the drain are the server's.

mod health;
mod inference;
mod observe;
mod requests;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, header},
    middleware,
    response::{IntoResponse, Response},
};
use tonic::codec::CompressionEncoding::{Deflate, Gzip};
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Builder;

use self::{health::Health, inference::Inference, proto::grpc_inference_service_server::GrpcInferenceServiceServer};
use crate::{error::Refusal, fleet::Fleet};

/// Messages, client and server compiled from `proto/inference.proto`.
#[allow(missing_docs, unused_qualifications, clippy::pedantic, reason = "generated from the definitions")]
pub mod proto {
    tonic::include_proto!("inference");
}

/// The definitions as reflection shows them.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/inference.descriptors"));

/// The name under which health knows the protocol's service.
const SERVICE: &str = "inference.GRPCInferenceService";

/// The door on a port of its own.
pub fn grpc(fleet: Arc<Fleet>) -> Router {
    routes(fleet).fallback(unimplemented)
}

/// The paths of the door, to be merged into another.
pub(crate) fn routes(fleet: Arc<Fleet>) -> Router {
    let limit = fleet.process.options.limits.body_bytes;
    let inference = GrpcInferenceServiceServer::new(Inference(Arc::clone(&fleet)))
        .max_decoding_message_size(limit)
        .accept_compressed(Gzip)
        .accept_compressed(Deflate)
        .send_compressed(Gzip)
        .send_compressed(Deflate);
    let health = HealthServer::new(Health(Arc::clone(&fleet)));
    let described = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let reflected = "the descriptors were encoded by the compiler that made them";
    Router::new()
        .route_service("/inference.GRPCInferenceService/{method}", inference)
        .route_service("/grpc.health.v1.Health/{method}", health)
        .route_service("/grpc.reflection.v1.ServerReflection/{method}", described().build_v1().expect(reflected))
        .route_service(
            "/grpc.reflection.v1alpha.ServerReflection/{method}",
            described().build_v1alpha().expect(reflected),
        )
        .layer(middleware::from_fn_with_state(fleet, observe::observe))
}

/// Whether a request speaks gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = content_type.and_then(|value| value.strip_prefix(b"application/grpc"));
    matches!(rest, Some([] | [b'+' | b';', ..]))
}

/// A method nobody offers, in the caller's own protocol.
pub(crate) async fn unimplemented(request: Request) -> Response {
    if is_grpc(request.headers()) {
        return tonic::Status::unimplemented("no such method").into_http::<Body>();
    }
    Refusal::NoSuchPath.into_response()
}
