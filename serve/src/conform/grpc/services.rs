//! Live, ready, metadata; and the services beside the protocol's own: health, reflection, repository, statistics.

use prost::Message;
use serde_json::json;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, ServerReflectionResponse, server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
};

use super::{SOURCE, call, refused_by, told};
use crate::{
    conform::{
        Section::Grpc,
        check::{Check, Fault, Verdict, equal, holds, not_offered},
        exchange::{Answer, Ask, Exchange, How, Request},
        subject::Subject,
        tensor::Tensor,
    },
    grpc::proto::{
        ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse, ModelStatisticsRequest,
        ModelStatisticsResponse, RepositoryIndexRequest, RepositoryIndexResponse, ServerLiveRequest,
        ServerLiveResponse, ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
        model_metadata_response::TensorMetadata,
    },
};

/// The service under which health and reflection know the protocol.
const SERVICE: &str = "inference.GRPCInferenceService";

pub(super) fn checks() -> Vec<Check> {
    let metadata = |subject: &Subject| {
        let asked = ModelMetadataRequest { name: subject.model.clone(), version: String::new() };
        call(subject, "ModelMetadata", &asked)
    };
    vec![
        Grpc.must("server-live", "ServerLive says live", SOURCE).check(
            |subject| call(subject, "ServerLive", &ServerLiveRequest {}),
            |_, answers| holds(told::<ServerLiveResponse>(&answers[0])?.live, "live: true", "live: false"),
        ),
        Grpc.must("server-ready", "ServerReady says ready", SOURCE).check(
            |subject| call(subject, "ServerReady", &ServerReadyRequest {}),
            |_, answers| holds(told::<ServerReadyResponse>(&answers[0])?.ready, "ready: true", "ready: false"),
        ),
        Grpc.must("model-ready", "ModelReady says ready", SOURCE).check(
            |subject| {
                let asked = ModelReadyRequest { name: subject.model.clone(), version: String::new() };
                call(subject, "ModelReady", &asked)
            },
            |_, answers| holds(told::<ModelReadyResponse>(&answers[0])?.ready, "ready: true", "ready: false"),
        ),
        Grpc.must("server-metadata", "ServerMetadata tells name and version", SOURCE).check(
            |subject| call(subject, "ServerMetadata", &ServerMetadataRequest {}),
            |_, answers| {
                let told: ServerMetadataResponse = told(&answers[0])?;
                holds(!told.name.is_empty() && !told.version.is_empty(), "name and version", format!("{told:?}"))
            },
        ),
        Grpc.should("server-same", "the server is the same over REST", SOURCE).check(both_doors, |_, answers| {
            let rest = answers[0].http()?.object()?;
            let told: ServerMetadataResponse = told(&answers[1])?;
            equal("name", &rest["name"], &json!(told.name))?;
            equal("version", &rest["version"], &json!(told.version))?;
            equal("extensions", &rest["extensions"], &json!(told.extensions))
        }),
        Grpc.must("model-metadata", "ModelMetadata tells the model's name, platform and tensors", SOURCE).check(
            metadata,
            |subject, answers| {
                let told: ModelMetadataResponse = told(&answers[0])?;
                equal("name", &json!(subject.model), &json!(told.name))?;
                holds(!told.platform.is_empty(), "platform: text", "none")?;
                tensors(&told.inputs)?;
                tensors(&told.outputs).map(drop)
            },
        ),
        Grpc.should("model-same", "the model's tensors are the same over REST", SOURCE).check(
            metadata,
            |subject, answers| {
                let told: ModelMetadataResponse = told(&answers[0])?;
                let (inputs, outputs) = (tensors(&told.inputs)?, tensors(&told.outputs)?);
                holds(inputs == subject.inputs, format!("{:?}", subject.inputs), format!("{inputs:?}"))?;
                holds(outputs == subject.outputs, format!("{:?}", subject.outputs), format!("{outputs:?}"))
            },
        ),
        Grpc.must("unknown-method", "a method nobody has is UNIMPLEMENTED", "gRPC status codes").check(
            |subject| call(subject, "ConformNoSuchMethod", &ServerLiveRequest {}),
            |_, answers| refused_by(&answers[0], Code::Unimplemented),
        ),
    ]
}

fn both_doors(subject: &Subject) -> Result<Exchange, Fault> {
    let grpc = call(subject, "ServerMetadata", &ServerMetadataRequest {})?;
    let asks = [Ask::Http(Request::get("/v2"))].into_iter().chain(grpc.asks).collect();
    Ok(Exchange { how: How::InTurn, asks })
}

fn tensors(told: &[TensorMetadata]) -> Result<Vec<Tensor>, Fault> {
    let read = |tensor: &TensorMetadata| {
        Tensor::read(&json!({ "name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape }), -1)
    };
    told.iter().map(read).collect()
}

pub(super) fn extensions() -> Vec<Check> {
    let health = |service: &'static str| {
        move |subject: &Subject| {
            subject.grpc()?;
            let asked = HealthCheckRequest { service: service.to_owned() };
            Ok(Exchange::call("/grpc.health.v1.Health/Check".to_owned(), asked.encode_to_vec()))
        }
    };
    let serving = |_: &Subject, answers: &[Answer]| {
        offered(&answers[0], "grpc.health.v1.Health")?;
        let status = told::<HealthCheckResponse>(&answers[0])?.status();
        holds(status == ServingStatus::Serving, "SERVING", status.as_str_name())
    };
    vec![
        Grpc.extension("health", "health of the server is SERVING", "grpc.health.v1").check(health(""), serving),
        Grpc.extension("health-service", "health of the protocol's service is SERVING", "grpc.health.v1")
            .check(health(SERVICE), serving),
        Grpc.extension("health-unknown", "health of a service nobody has is NOT_FOUND", "grpc.health.v1").check(
            health("conform.NoSuchService"),
            |_, answers| {
                offered(&answers[0], "grpc.health.v1.Health")?;
                refused_by(&answers[0], Code::NotFound)
            },
        ),
        Grpc.extension("reflection", "reflection lists the protocol's service", "grpc.reflection.v1").check(
            reflect,
            |_, answers| {
                // v1 and, for servers that have only that, v1alpha: the same messages.
                let answer = if offered(&answers[0], "").is_ok() { &answers[0] } else { &answers[1] };
                offered(answer, "grpc.reflection.v1.ServerReflection")?;
                let services = match told::<ServerReflectionResponse>(answer)?.message_response {
                    Some(MessageResponse::ListServicesResponse(list)) => list.service,
                    _ => Vec::new(),
                };
                let names: Vec<String> = services.into_iter().map(|service| service.name).collect();
                holds(names.iter().any(|name| name == SERVICE), format!("{SERVICE} among them"), format!("{names:?}"))
            },
        ),
        Grpc.extension("repository-index", "RepositoryIndex lists the model as READY", "Triton: grpc_service.proto")
            .check(
                |subject| call(subject, "RepositoryIndex", &RepositoryIndexRequest::default()),
                |subject, answers| {
                    offered(&answers[0], "RepositoryIndex")?;
                    let models = told::<RepositoryIndexResponse>(&answers[0])?.models;
                    let ready = models.iter().any(|model| model.name == subject.model && model.state == "READY");
                    holds(ready, format!("{:?} in state READY", subject.model), format!("{models:?}"))
                },
            ),
        Grpc.extension("statistics", "ModelStatistics tells the model's counts", "Triton: grpc_service.proto").check(
            |subject| {
                let asked = ModelStatisticsRequest { name: subject.model.clone(), version: String::new() };
                call(subject, "ModelStatistics", &asked)
            },
            |subject, answers| {
                offered(&answers[0], "ModelStatistics")?;
                let rows = told::<ModelStatisticsResponse>(&answers[0])?.model_stats;
                let counted = rows.iter().any(|row| row.name == subject.model && row.inference_stats.is_some());
                holds(counted, format!("counts of {:?}", subject.model), format!("{rows:?}"))
            },
        ),
    ]
}

fn reflect(subject: &Subject) -> Result<Exchange, Fault> {
    subject.grpc()?;
    let asked = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    let message: bytes::Bytes = asked.encode_to_vec().into();
    let ask = |version: &str| Ask::Grpc {
        path: format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"),
        message: message.clone(),
    };
    Ok(Exchange { how: How::InTurn, asks: vec![ask("v1"), ask("v1alpha")] })
}

/// What a server does not know is not offered.
fn offered(answer: &Answer, what: &str) -> Verdict {
    match answer.grpc()? {
        Err(refused) if refused.code == Code::Unimplemented => not_offered(format!("{what} is UNIMPLEMENTED")),
        _ => Ok(()),
    }
}
