//! Defects of the gRPC door.

use prost::Message;
use serve::grpc::proto::*;
use tonic::Code;
use tonic_health::pb::{HealthCheckResponse, health_check_response::ServingStatus};
use tonic_reflection::pb::v1::{ServerReflectionResponse, server_reflection_response::MessageResponse};

use super::{Defect, asked, told};
use crate::conform::wrong::{Asked, Told};

pub(super) const DEFECTS: &[&[Defect]] = &[SERVICES, INFERENCE, REFUSALS, BESIDE];

fn on<M: Message + Default>(asked: &Asked, told: &mut Told, method: &str, change: impl FnOnce(&mut M)) {
    if asked.path.ends_with(method) {
        told.message(change);
    }
}

const SERVICES: &[Defect] = &[
    told(
        "gRPC: never live",
        |a, t| on(a, t, "/ServerLive", |m: &mut ServerLiveResponse| m.live = false),
        &["grpc.server-live"],
    ),
    told(
        "gRPC: never ready",
        |a, t| on(a, t, "/ServerReady", |m: &mut ServerReadyResponse| m.ready = false),
        &["grpc.server-ready"],
    ),
    told(
        "gRPC: the model is never ready",
        |a, t| on(a, t, "/ModelReady", |m: &mut ModelReadyResponse| m.ready = false),
        &["grpc.model-ready"],
    ),
    told(
        "gRPC: every model is ready",
        |a, t| {
            if a.path.ends_with("/ModelReady") {
                t.end(0, &ModelReadyResponse { ready: true });
            }
        },
        &["grpc.unknown-ready"],
    ),
    told(
        "gRPC: a server without version",
        |a, t| on(a, t, "/ServerMetadata", |m: &mut ServerMetadataResponse| m.version.clear()),
        &["grpc.server-metadata", "grpc.server-same"],
    ),
    told(
        "gRPC: another server",
        |a, t| on(a, t, "/ServerMetadata", |m: &mut ServerMetadataResponse| m.name = "other".into()),
        &["grpc.server-same"],
    ),
    told(
        "gRPC: a model without platform",
        |a, t| on(a, t, "/ModelMetadata", |m: &mut ModelMetadataResponse| m.platform.clear()),
        &["grpc.model-metadata"],
    ),
    told(
        "gRPC: other tensors",
        |a, t| on(a, t, "/ModelMetadata", |m: &mut ModelMetadataResponse| m.inputs[0].shape = vec![-1, 3]),
        &["grpc.model-same"],
    ),
    told(
        "gRPC: every method is one",
        |a, t| {
            if a.path.ends_with("/ConformNoSuchMethod") {
                t.end(0, &ServerLiveResponse::default());
            }
        },
        &["grpc.unknown-method"],
    ),
];

fn infer(asked: &Asked, told: &mut Told, change: impl FnOnce(&mut ModelInferResponse)) {
    on(asked, told, "/ModelInfer", change);
}

/// The text lists and the raw contents of an answer's first output.
fn first(m: &mut ModelInferResponse) -> Option<&mut InferTensorContents> {
    m.outputs.first_mut()?.contents.as_mut()
}

const INFERENCE: &[Defect] = &[
    told(
        "gRPC: an element is lost",
        |a, t| {
            infer(a, t, |m| {
                if let Some(contents) = first(m) {
                    contents.bytes_contents.pop();
                }
            });
        },
        &["grpc.infer-typed", "grpc.same-typed"],
    ),
    told(
        "gRPC: a byte is lost",
        |a, t| {
            infer(a, t, |m| {
                if let Some(raw) = m.raw_output_contents.first_mut() {
                    *raw = raw.slice(1..);
                }
            });
        },
        &["grpc.infer-raw", "grpc.same-raw"],
    ),
    told(
        "gRPC: raw contents are lost",
        |a, t| infer(a, t, |m| drop(m.raw_output_contents.pop())),
        &["grpc.infer-raw", "grpc.same-raw", "grpc.raw-for-raw"],
    ),
    told("gRPC: another model's name", |a, t| infer(a, t, |m| m.model_name = "other".into()), &["grpc.model-name"]),
    told("gRPC: ids are forgotten", |a, t| infer(a, t, |m| m.id.clear()), &["grpc.id-echoed", "grpc.at-once"]),
    told(
        "gRPC: answers of one caller for all",
        |a, t| {
            infer(a, t, |m| {
                if m.id.parse::<u8>().is_ok() {
                    m.id = "0".into();
                }
            });
        },
        &["grpc.at-once"],
    ),
    told(
        "gRPC: other scores, typed",
        |a, t| {
            infer(a, t, |m| {
                for output in &mut m.outputs {
                    if let Some(score) =
                        output.contents.as_mut().and_then(|contents| contents.fp32_contents.first_mut())
                    {
                        *score += 1.0;
                    }
                }
            });
        },
        &["grpc.same-typed"],
    ),
    told(
        "gRPC: other scores, raw",
        |a, t| {
            infer(a, t, |m| {
                if let Some(raw) = m.raw_output_contents.get_mut(1) {
                    let mut other = raw.to_vec();
                    other[0] ^= 1;
                    *raw = other.into();
                }
            });
        },
        &["grpc.same-raw"],
    ),
    told(
        "gRPC: raw out, whatever in",
        |a, t| {
            infer(a, t, |m| {
                if m.raw_output_contents.is_empty() {
                    m.raw_output_contents =
                        m.outputs.iter_mut().map(|output| raw(&output.contents.take().unwrap()).into()).collect();
                }
            });
        },
        &["grpc.typed-for-typed"],
    ),
    told(
        "gRPC: typed out, whatever in",
        |a, t| {
            infer(a, t, |m| {
                for (output, raw) in m.outputs.iter_mut().zip(std::mem::take(&mut m.raw_output_contents)) {
                    output.contents = Some(typed(&output.datatype, &raw));
                }
            });
        },
        &["grpc.raw-for-raw"],
    ),
    asked(
        "gRPC: wanted outputs are not read",
        |a| a.message("/ModelInfer", |m: &mut ModelInferRequest| m.outputs.clear()),
        &["grpc.output-selection"],
    ),
];

fn raw(contents: &InferTensorContents) -> Vec<u8> {
    let texts =
        contents.bytes_contents.iter().flat_map(|text| [&(text.len() as u32).to_le_bytes(), &text[..]].concat());
    texts.chain(contents.fp32_contents.iter().flat_map(|score| score.to_le_bytes())).collect()
}

fn typed(datatype: &str, mut raw: &[u8]) -> InferTensorContents {
    let mut contents = InferTensorContents::default();
    while let Some((four, rest)) = raw.split_first_chunk::<4>() {
        raw = rest;
        if datatype == "FP32" {
            contents.fp32_contents.push(f32::from_le_bytes(*four));
        } else {
            let (text, rest) = rest.split_at(u32::from_le_bytes(*four) as usize);
            contents.bytes_contents.push(text.to_vec().into());
            raw = rest;
        }
    }
    contents
}

const REFUSALS: &[Defect] = &[
    told(
        "gRPC: nothing is refused",
        |a, t| {
            if t.code() != 0 && (a.path.ends_with("/ModelInfer") || a.path.ends_with("/ModelMetadata")) {
                t.end(0, &ModelInferResponse::default());
            }
        },
        &[
            "grpc.unknown-model*",
            "grpc.unknown-metadata*",
            "grpc.unknown-version*",
            "grpc.input-missing*",
            "grpc.element-count*",
            "grpc.wrong-contents*",
            "grpc.contents-beside-raw*",
            "grpc.raw-count*",
            "grpc.malformed",
        ],
    ),
    told(
        "gRPC: one code for everything",
        |a, t| {
            if t.code() != 0 && a.path.contains("/inference.") {
                t.end(Code::Unknown as u8, &());
            }
        },
        &["grpc.*-not-found", "grpc.*-invalid-argument", "grpc.unknown-method"],
    ),
];

const BESIDE: &[Defect] = &[
    told(
        "gRPC: health is not serving",
        |a, t| on(a, t, "Health/Check", |m: &mut HealthCheckResponse| m.set_status(ServingStatus::NotServing)),
        &["grpc.health", "grpc.health-service"],
    ),
    told(
        "gRPC: every service is healthy",
        |a, t| {
            if a.path.ends_with("Health/Check") && t.code() != 0 {
                t.end(0, &HealthCheckResponse { status: ServingStatus::Serving.into() });
            }
        },
        &["grpc.health-unknown"],
    ),
    told(
        "gRPC: reflection lists nothing",
        |a, t| {
            on(a, t, "/ServerReflectionInfo", |m: &mut ServerReflectionResponse| {
                if let Some(MessageResponse::ListServicesResponse(list)) = &mut m.message_response {
                    list.service.clear();
                }
            });
        },
        &["grpc.reflection"],
    ),
    told(
        "gRPC: a model that is never READY",
        |a, t| on(a, t, "/RepositoryIndex", |m: &mut RepositoryIndexResponse| m.models[0].state = "LOADING".into()),
        &["grpc.repository-index"],
    ),
    told(
        "gRPC: statistics of nothing",
        |a, t| on(a, t, "/ModelStatistics", |m: &mut ModelStatisticsResponse| m.model_stats.clear()),
        &["grpc.statistics"],
    ),
];
