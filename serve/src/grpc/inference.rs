//! `inference.GRPCInferenceService` over the one service. A method decodes, asks and encodes.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    proto::{
        InferStatistics, ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse,
        ModelReadyRequest, ModelReadyResponse, ModelStatistics, ModelStatisticsRequest, ModelStatisticsResponse,
        RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest, RepositoryModelLoadResponse,
        RepositoryModelUnloadRequest, RepositoryModelUnloadResponse, ServerLiveRequest, ServerLiveResponse,
        ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse, StatisticDuration,
        grpc_inference_service_server::GrpcInferenceService, repository_index_response::ModelIndex,
    },
    requests::Arrived,
};
use crate::{
    error::Refusal,
    metrics::Protocol,
    service::{Service, Trace},
    shown::{EXTENSIONS, NAME, VERSION},
    statistics::Timed,
    wire::v2::{self, proto},
};

/// The protocol's service.
pub(super) struct Inference(pub(super) Arc<Service>);

/// Absent, as an empty text is on the wire.
fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn arrived<T>(request: &Request<T>) -> Arrived {
    request.extensions().get::<Arrived>().expect("the observer runs before every method").clone()
}

/// An answer, or the refusal noted and said as a status.
fn told<T>(arrived: &Arrived, result: Result<T, Refusal>) -> Result<Response<T>, Status> {
    let mut response = Response::new(result.map_err(|refusal| arrived.done.refuse(&refusal))?);
    if !arrived.packed {
        response.disable_compression();
    }
    Ok(response)
}

impl Inference {
    async fn infer(
        &self,
        arrived: &Arrived,
        request: &ModelInferRequest,
        trace: &mut Trace,
    ) -> Result<(ModelInferResponse, String), Refusal> {
        let service = &self.0;
        let version = given(&request.model_version);
        service.check_resident(&request.model_name, version)?;
        let mut permit = service.admission.admit().await?;
        let v2::Infer { id, asks, outputs, timeout } = proto::decode(request)?;
        let mut call = arrived.call.clone();
        call.within(arrived.at, timeout);
        service.admission.widen(&mut permit, asks.len())?;
        let answered = service.recommend(&call, asks, version, trace).await?;
        let raw = proto::is_raw(request);
        Ok((proto::encode(&request.model_name, id, &outputs, &answered, raw), answered.versions_text()))
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for Inference {
    async fn server_live(&self, request: Request<ServerLiveRequest>) -> Result<Response<ServerLiveResponse>, Status> {
        told(&arrived(&request), Ok(ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        request: Request<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        told(&arrived(&request), Ok(ServerReadyResponse { ready: self.0.state().is_ready() }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Result<Response<ModelReadyResponse>, Status> {
        let ModelReadyRequest { name, version } = request.get_ref();
        let ready = match self.0.check_ready(name, given(version)) {
            Ok(()) => Ok(ModelReadyResponse { ready: true }),
            Err(Refusal::NotReady(_)) => Ok(ModelReadyResponse { ready: false }),
            Err(refusal) => Err(refusal),
        };
        told(&arrived(&request), ready)
    }

    async fn server_metadata(
        &self,
        request: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        let extensions = EXTENSIONS.map(str::to_owned).into();
        let metadata = ServerMetadataResponse { name: NAME.into(), version: VERSION.into(), extensions };
        told(&arrived(&request), Ok(metadata))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let ModelMetadataRequest { name, version } = request.get_ref();
        let shown = self.0.shown(name, given(version)).map(|shown| {
            let (inputs, outputs) = proto::metadata();
            ModelMetadataResponse {
                name: name.clone(),
                versions: shown.versions,
                platform: shown.platform,
                inputs,
                outputs,
                properties: shown.properties,
            }
        });
        told(&arrived(&request), shown)
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Result<Response<ModelInferResponse>, Status> {
        let arrived = arrived(&request);
        let mut trace = Trace::new(Protocol::Grpc);
        let result = self.infer(&arrived, request.get_ref(), &mut trace).await;
        arrived.done.traced(trace);
        let (result, versions) = result.map_or_else(|refusal| (Err(refusal), String::new()), |(r, v)| (Ok(r), v));
        let mut response = told(&arrived, result)?;
        let versions = versions.parse().expect("versions are digits");
        response.metadata_mut().insert("x-bookloop-model-version", versions);
        Ok(response)
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        let ModelStatisticsRequest { name, version } = request.get_ref();
        let timed = |timed: Timed| Some(StatisticDuration { count: timed.count, ns: timed.ns });
        let counted = self.0.counted(given(name), given(version)).map(|counted| {
            let one = |(version, counts): (String, crate::statistics::Counts)| ModelStatistics {
                name: self.0.options.model.to_string(),
                version,
                last_inference: counts.last_inference_ms,
                inference_count: counts.readers,
                execution_count: counts.requests,
                inference_stats: Some(InferStatistics {
                    success: timed(counts.success),
                    fail: timed(counts.fail),
                    queue: timed(Timed::default()),
                    compute_input: timed(Timed::default()),
                    compute_infer: timed(counts.score),
                    compute_output: timed(Timed::default()),
                }),
            };
            ModelStatisticsResponse { model_stats: counted.into_iter().map(one).collect() }
        });
        told(&arrived(&request), counted)
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        let (state, reason) = self.0.index_state();
        let row = |version: String| ModelIndex {
            name: self.0.options.model.to_string(),
            version,
            state: state.into(),
            reason: reason.into(),
        };
        let models = self.0.index(request.get_ref().ready).into_iter().map(row).collect();
        told(&arrived(&request), Ok(RepositoryIndexResponse { models }))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        let RepositoryModelLoadRequest { repository_name, model_name, .. } = request.get_ref();
        let refusal = self.0.refuse_repository(given(model_name).unwrap_or(repository_name));
        told(&arrived(&request), Err(refusal))
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        let RepositoryModelUnloadRequest { repository_name, model_name, .. } = request.get_ref();
        let refusal = self.0.refuse_repository(given(model_name).unwrap_or(repository_name));
        told(&arrived(&request), Err(refusal))
    }
}
