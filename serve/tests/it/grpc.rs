//! The gRPC door through the real messages: tensors typed and raw, refusals, limits, health, reflection.

use std::{sync::Arc, time::Duration};

use axum::{Router, http::Uri};
use bytes::Bytes;
use futures::StreamExt;
use serve::{Clock, grpc::proto::*};
use tonic::{Code, Request, Status, codec::CompressionEncoding};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use self::{
    grpc_inference_service_client::GrpcInferenceServiceClient,
    infer_parameter::ParameterChoice,
    model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
};
use crate::world::{Shop, artifact, options, version};

type Client = GrpcInferenceServiceClient<Router>;

fn client(shop: &Shop) -> Client {
    GrpcInferenceServiceClient::with_origin(shop.router.clone(), Uri::from_static("http://shop"))
}

fn tensor(name: &str, datatype: &str, shape: &[i64], contents: Option<InferTensorContents>) -> InferInputTensor {
    let (name, datatype, shape) = (name.into(), datatype.into(), shape.to_vec());
    InferInputTensor { name, datatype, shape, contents, ..InferInputTensor::default() }
}

pub(crate) fn readers(names: &[&'static str]) -> InferInputTensor {
    let bytes_contents = names.iter().map(|name| Bytes::from_static(name.as_bytes())).collect();
    let contents = InferTensorContents { bytes_contents, ..InferTensorContents::default() };
    tensor("user_id", "BYTES", &[names.len() as i64], Some(contents))
}

fn request(inputs: Vec<InferInputTensor>) -> ModelInferRequest {
    ModelInferRequest { model_name: "recommender".into(), inputs, ..ModelInferRequest::default() }
}

fn raw_text(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// Ann and bob beside the message, with whatever else.
fn raw(more: Vec<(InferInputTensor, Vec<u8>)>) -> ModelInferRequest {
    let mut request = request(vec![tensor("user_id", "BYTES", &[2], None)]);
    request.raw_input_contents = vec![[raw_text("ann"), raw_text("bob")].concat().into()];
    for (input, bytes) in more {
        request.inputs.push(input);
        request.raw_input_contents.push(bytes.into());
    }
    request
}

async fn refused(shop: &Shop, request: ModelInferRequest) -> (Code, String) {
    let status = client(shop).model_infer(request).await.unwrap_err();
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn server_and_model_say_what_they_are() {
    let shop = Shop::open();
    let mut client = client(&shop);
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().get_ref().live);
    assert!(client.server_ready(ServerReadyRequest {}).await.unwrap().get_ref().ready);
    let ready = |version: &str| ModelReadyRequest { name: "recommender".into(), version: version.into() };
    for version in ["", "7"] {
        assert!(client.model_ready(ready(version)).await.unwrap().get_ref().ready);
    }
    assert_eq!(client.model_ready(ready("8")).await.unwrap_err().code(), Code::NotFound);
    let other = ModelReadyRequest { name: "other".into(), ..ModelReadyRequest::default() };
    let status = client.model_ready(other).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "unknown model \"other\"; this server has recommender")
    );
    let server = client.server_metadata(ServerMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!((server.name.as_str(), server.extensions[0].as_str()), ("bookloop", "binary_tensor_data"));
    let of = ModelMetadataRequest { name: "recommender".into(), ..ModelMetadataRequest::default() };
    let model = client.model_metadata(of).await.unwrap().into_inner();
    assert_eq!((model.versions[0].as_str(), model.platform.as_str()), ("7", "bookloop_neighbours"));
    assert_eq!(model.properties["books"], "5");
    let input = &model.inputs[4];
    assert_eq!((input.name.as_str(), input.datatype.as_str(), input.shape.as_slice()), ("k", "INT32", [-1].as_slice()));
    assert_eq!((model.outputs.len(), model.outputs[1].datatype.as_str()), (5, "FP32"));
}

#[tokio::test]
async fn without_a_model_the_server_is_live_and_calls_are_told_to_come_back() {
    let shop = Shop::new(options());
    let mut client = client(&shop);
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().get_ref().live);
    assert!(!client.server_ready(ServerReadyRequest {}).await.unwrap().get_ref().ready);
    let ready = ModelReadyRequest { name: "recommender".into(), ..ModelReadyRequest::default() };
    assert!(!client.model_ready(ready).await.unwrap().get_ref().ready);
    assert_eq!(
        refused(&shop, request(vec![readers(&["ann"])])).await,
        (Code::Unavailable, "model recommender is not ready: starting".into())
    );
    let index = client.repository_index(RepositoryIndexRequest::default()).await.unwrap().into_inner().models;
    assert_eq!((index.len(), index[0].state.as_str(), index[0].reason.as_str()), (1, "UNAVAILABLE", "starting"));
    let ready = RepositoryIndexRequest { ready: true, ..RepositoryIndexRequest::default() };
    assert!(client.repository_index(ready).await.unwrap().into_inner().models.is_empty());
}

#[tokio::test]
async fn typed_and_raw_tensors_hold_the_bits_of_json() {
    let shop = Shop::open();
    let json = r#"{"inputs":[{"name":"user_id","shape":[2],"datatype":"BYTES","data":["ann","bob"]}]}"#;
    let json = shop.post("/v2/models/recommender/infer", json).await.json();
    let scores: Vec<u32> = json["outputs"][1]["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|score| (score.as_f64().unwrap() as f32).to_bits())
        .collect();

    let mut asked = request(vec![readers(&["ann", "bob"])]);
    asked.id = "7f3".into();
    let response = client(&shop).model_infer(asked).await.unwrap();
    assert_eq!(response.metadata().get("x-bookloop-model-version").unwrap(), "7");
    assert_eq!(response.metadata().get("x-request-id").unwrap().len(), 36);
    let typed = response.into_inner();
    assert_eq!(
        (typed.model_name.as_str(), typed.model_version.as_str(), typed.id.as_str()),
        ("recommender", "7", "7f3")
    );
    assert_eq!(typed.parameters["variant"].parameter_choice, Some(ParameterChoice::StringParam("stable".into())));
    let contents = typed.outputs[1].contents.as_ref().unwrap();
    assert_eq!(contents.fp32_contents.iter().map(|score| score.to_bits()).collect::<Vec<_>>(), scores);
    assert_eq!(typed.outputs[0].contents.as_ref().unwrap().bytes_contents[0], "b2");
    assert_eq!((typed.outputs.len(), typed.raw_output_contents.len()), (5, 0));

    let raw = client(&shop).model_infer(raw(vec![])).await.unwrap().into_inner();
    assert!(raw.outputs.iter().all(|output| output.contents.is_none()));
    let bits = raw.raw_output_contents[1].as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
    assert_eq!((bits.collect::<Vec<_>>(), raw.raw_output_contents.len()), (scores, 5));
    assert!(raw.raw_output_contents[0].starts_with(&raw_text("b2")));
    assert_eq!(raw.outputs[0].shape, typed.outputs[0].shape);
}

#[tokio::test]
async fn outputs_versions_and_integers_of_every_width_are_as_asked() {
    let shop = Shop::open();
    let none = InferTensorContents::default;
    let typed = [
        ("INT8", InferTensorContents { int_contents: vec![1], ..none() }, vec![1]),
        ("INT16", InferTensorContents { int_contents: vec![1], ..none() }, vec![1, 0]),
        ("INT32", InferTensorContents { int_contents: vec![1], ..none() }, vec![1, 0, 0, 0]),
        ("INT64", InferTensorContents { int64_contents: vec![1], ..none() }, 1_i64.to_le_bytes().to_vec()),
        ("UINT8", InferTensorContents { uint_contents: vec![1], ..none() }, vec![1]),
        ("UINT16", InferTensorContents { uint_contents: vec![1], ..none() }, vec![1, 0]),
        ("UINT32", InferTensorContents { uint_contents: vec![1], ..none() }, vec![1, 0, 0, 0]),
        ("uint64", InferTensorContents { uint64_contents: vec![1], ..none() }, 1_u64.to_le_bytes().to_vec()),
    ];
    for (datatype, contents, bytes) in typed {
        let mut asked = request(vec![readers(&["ann"]), tensor("k", datatype, &[1], Some(contents))]);
        asked.model_version = "7".into();
        asked.outputs = vec![InferRequestedOutputTensor { name: "scores".into(), ..Default::default() }];
        let told = client(&shop).model_infer(asked).await.unwrap().into_inner();
        assert_eq!((told.outputs.len(), told.outputs[0].shape.as_slice()), (1, [1, 1].as_slice()), "{datatype}");
        let told = client(&shop).model_infer(raw(vec![(tensor("k", datatype, &[1], None), bytes)])).await.unwrap();
        assert_eq!(told.get_ref().outputs[0].shape, [2, 1], "{datatype} raw");
    }
    let features = InferTensorContents { fp64_contents: vec![0.5, 1.5], ..none() };
    let asked = request(vec![readers(&["ann"]), tensor("features", "FP64", &[1, 2], Some(features))]);
    assert!(client(&shop).model_infer(asked).await.is_ok());
    let nobody = request(vec![tensor("user_id", "BYTES", &[0], None)]);
    assert_eq!(client(&shop).model_infer(nobody).await.unwrap().get_ref().outputs[0].shape, [0, 0]);
}

#[tokio::test]
async fn every_bad_message_is_told_what_is_wrong() {
    let shop = Shop::open();
    let none = InferTensorContents::default;
    let k = |datatype: &str, contents: InferTensorContents| {
        request(vec![readers(&["ann"]), tensor("k", datatype, &[1], Some(contents))])
    };
    let mut both = raw(vec![]);
    both.inputs = vec![readers(&["ann", "bob"])];
    let mut fewer = raw(vec![]);
    fewer.inputs.push(tensor("k", "INT32", &[1], None));
    let mut versioned = request(vec![readers(&["ann"])]);
    versioned.model_version = "8".into();
    let latin = InferTensorContents { bytes_contents: vec![Bytes::from_static(b"\xe9")], ..none() };
    for (asked, code, words) in [
        (request(vec![]), Code::InvalidArgument, "expected an input of [\"user_id\", \"book_id\", \"history\"]"),
        (request(vec![readers(&["ann"]), readers(&["ann"])]), Code::InvalidArgument, "given twice"),
        (
            k("INT32", InferTensorContents { int64_contents: vec![1], ..none() }),
            Code::InvalidArgument,
            "input \"k\": expected INT32 in int_contents, found int64_contents",
        ),
        (
            k("INT8", InferTensorContents { int_contents: vec![128], ..none() }),
            Code::InvalidArgument,
            "input \"k\": element 0 is not a INT8",
        ),
        (
            k("INT32", InferTensorContents { int_contents: vec![1, 2], ..none() }),
            Code::InvalidArgument,
            "input \"k\": expected shape [1], 1 elements; found 2",
        ),
        (
            k("FP16", InferTensorContents { fp32_contents: vec![1.0], ..none() }),
            Code::InvalidArgument,
            "input \"k\": no input of this model is FP16",
        ),
        (
            request(vec![tensor("user_id", "BYTES", &[1], Some(latin))]),
            Code::InvalidArgument,
            "input \"user_id\": element 0: not UTF-8",
        ),
        (both, Code::InvalidArgument, "expected contents or raw_input_contents, found both"),
        (fewer, Code::InvalidArgument, "raw_input_contents: expected one entry for each of 2 inputs, found 1"),
        (
            raw(vec![(tensor("k", "INT32", &[1], None), vec![1, 0])]),
            Code::InvalidArgument,
            "input \"k\": expected 1 elements of INT32, 4 bytes each, found 2 bytes",
        ),
        (versioned, Code::NotFound, "version 8 of recommender is not served here"),
    ] {
        let (found, message) = refused(&shop, asked).await;
        assert_eq!(found, code, "{message}");
        assert!(message.contains(words), "{message} for {words}");
    }
}

#[tokio::test]
async fn patience_limits_and_the_room_hold_here_too() {
    let shop = Shop::open();
    let mut hasty = Request::new(request(vec![readers(&["ann"])]));
    hasty.set_timeout(Duration::ZERO);
    assert_eq!(client(&shop).model_infer(hasty).await.unwrap_err().code(), Code::DeadlineExceeded);
    let mut hasty = request(vec![readers(&["ann"])]);
    let now = InferParameter { parameter_choice: Some(ParameterChoice::Int64Param(0)) };
    hasty.parameters.insert("timeout".into(), now);
    assert_eq!(refused(&shop, hasty).await.0, Code::DeadlineExceeded);

    let mut small = options();
    small.limits.in_flight = 1;
    small.limits.body_bytes = 1000;
    let shop = Shop::new(small);
    shop.service.install(version(7), Arc::new(artifact("")));
    let mut other = client(&shop);
    let (first, second) = tokio::join!(
        other.model_infer(request(vec![readers(&["ann"])])),
        refused(&shop, request(vec![readers(&["ann"])]))
    );
    assert!(first.is_ok());
    assert_eq!(second, (Code::Unavailable, "too many requests in flight".into()));
    let many = request(vec![readers(&["ann"; 400])]);
    assert_eq!(refused(&shop, many.clone()).await, (Code::ResourceExhausted, "request body above 1000 bytes".into()));
    let packed = client(&shop).send_compressed(CompressionEncoding::Gzip).model_infer(many).await.unwrap_err();
    assert_eq!(packed.code(), Code::ResourceExhausted, "unpacked it is as long: {packed}");
    let metrics = shop.get("/metrics").await.text;
    let line = |rest: &str| format!("bookloop_requests_total{{tenant=\"acme-books\",model=\"recommender\",{rest}");
    assert!(metrics.contains(&line(r#"version="7",arm="stable",protocol="grpc",code="200"} 1"#)), "{metrics}");
    assert!(metrics.contains(&line(r#"version="none",arm="none",protocol="grpc",code="503"} 1"#)), "{metrics}");
}

#[tokio::test]
async fn packed_messages_are_understood_and_what_is_sent_back_is_too() {
    let shop = Shop::open();
    for coding in [CompressionEncoding::Gzip, CompressionEncoding::Deflate] {
        let mut client = client(&shop).send_compressed(coding).accept_compressed(coding);
        let told = client.model_infer(request(vec![readers(&["ann"; 50])])).await.unwrap();
        // Ann has read one book of five.
        assert_eq!(told.get_ref().outputs[0].shape, [50, 4]);
    }
}

#[tokio::test]
async fn the_registry_decides_what_is_loaded() {
    let shop = Shop::open();
    let named = |repository: &str, model: &str| RepositoryModelLoadRequest {
        repository_name: repository.into(),
        model_name: model.into(),
        ..RepositoryModelLoadRequest::default()
    };
    // Triton's clients name the model in field 2, KServe's in field 1.
    for asked in [named("", "recommender"), named("recommender", "")] {
        let status = client(&shop).repository_model_load(asked).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(status.message().contains("as its registry decides"), "{}", status.message());
    }
    let unknown = client(&shop).repository_model_load(named("", "other")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let unload = RepositoryModelUnloadRequest { model_name: "recommender".into(), ..Default::default() };
    assert_eq!(client(&shop).repository_model_unload(unload).await.unwrap_err().code(), Code::PermissionDenied);
    let index = client(&shop).repository_index(RepositoryIndexRequest::default()).await.unwrap().into_inner();
    assert_eq!((index.models[0].version.as_str(), index.models[0].state.as_str()), ("7", "READY"));
    for verb in ["load", "unload"] {
        let reply = shop.post(&format!("/v2/repository/models/recommender/{verb}"), "{}").await;
        assert_eq!(reply.status, 403);
        assert!(reply.json()["error"].as_str().unwrap().contains("as its registry decides"));
        assert_eq!(shop.post(&format!("/v2/repository/models/other/{verb}"), "{}").await.status, 404);
    }
}

#[tokio::test]
async fn statistics_count_readers_and_requests_of_either_door() {
    let shop = Shop::open();
    client(&shop).model_infer(request(vec![readers(&["ann", "bob"])])).await.unwrap();
    shop.predict("ann", "").await;
    let stats = client(&shop).model_statistics(ModelStatisticsRequest::default()).await.unwrap().into_inner();
    let one = &stats.model_stats[0];
    assert_eq!((one.version.as_str(), one.inference_count, one.execution_count), ("7", 3, 2));
    let counted = one.inference_stats.as_ref().unwrap();
    let [success, score] = [&counted.success, &counted.compute_infer].map(|timed| timed.as_ref().unwrap());
    assert!((success.count, score.count) == (2, 2) && success.ns >= score.ns && score.ns > 0);
    for path in ["/v2/models/stats", "/v2/models/recommender/stats", "/v2/models/recommender/versions/7/stats"] {
        let told = shop.get(path).await.json();
        assert_eq!(told["model_stats"][0]["inference_count"], 3, "{path}");
        assert_eq!(told["model_stats"][0]["last_inference"], 1_772_366_400_000_u64, "{path}: noon");
    }
    assert_eq!(shop.get("/v2/models/recommender/versions/8/stats").await.status, 404);
}

#[tokio::test]
async fn a_bug_becomes_a_status_without_details() {
    let mut broken = options();
    broken.clock = Clock::new(|| panic!("secret words"));
    let shop = Shop::new(broken);
    shop.service.install(version(7), Arc::new(artifact("")));
    assert_eq!(refused(&shop, request(vec![readers(&["ann"])])).await, (Code::Internal, "internal error".into()));
}

#[tokio::test]
async fn what_is_no_grpc_or_no_method_is_told_so_in_its_own_words() {
    let shop = Shop::open();
    let reply = shop.post("/inference.GRPCInferenceService/ServerLive", "{}").await;
    assert_eq!((reply.status, reply.json()["error"].as_str()), (415, Some("expected content-type application/grpc")));
    let unknown = |path: &str| {
        axum::http::Request::post(path)
            .header("content-type", "application/grpc+proto")
            .body(axum::body::Body::empty())
            .unwrap()
    };
    for path in ["/inference.GRPCInferenceService/ModelStreamInfer", "/other.Service/Method"] {
        let reply = crate::world::send(&shop.router, unknown(path)).await;
        assert_eq!((reply.status, reply.header("grpc-status")), (200, "12"), "{path}");
        assert_eq!(reply.header("x-request-id").len(), 36, "{path}");
    }
}

#[tokio::test]
async fn reflection_lists_every_service() {
    let shop = Shop::open();
    let asked = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    let mut client = ServerReflectionClient::with_origin(shop.router.clone(), Uri::from_static("http://shop"));
    let mut told = client.server_reflection_info(futures::stream::iter([asked])).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) = told.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list");
    };
    let mut names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "inference.GRPCInferenceService"]
    );
}

fn check(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test]
async fn health_follows_the_model_and_knows_its_services() {
    let shop = Shop::new(options());
    let mut client = HealthClient::with_origin(shop.router.clone(), Uri::from_static("http://shop"));
    let mut watch = client.watch(check("")).await.unwrap().into_inner();
    let mut told = async || watch.message().await.unwrap().unwrap().status().as_str_name();
    assert_eq!(told().await, "NOT_SERVING");
    shop.service.install(version(7), Arc::new(artifact("")));
    assert_eq!(told().await, "SERVING");
    for service in ["", "inference.GRPCInferenceService"] {
        let status = client.check(check(service)).await.unwrap().get_ref().status().as_str_name();
        assert_eq!(status, "SERVING");
    }
    let unknown: Result<_, Status> = client.check(check("other")).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    let mut watch = client.watch(check("other")).await.unwrap().into_inner();
    assert_eq!(watch.next().await.unwrap().unwrap().status().as_str_name(), "SERVICE_UNKNOWN");
}
