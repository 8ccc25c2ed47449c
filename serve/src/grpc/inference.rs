//! `inference.GRPCInferenceService` over the fleet. A method finds the service, decodes, asks and encodes.

use std::sync::Arc;

use axum::http::HeaderMap;
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
    call::Trace,
    error::Refusal,
    fleet::Fleet,
    metrics::Protocol,
    shown::{EXTENSIONS, Listed, NAME, Shown, VERSION},
    statistics::{Counts, Timed},
    wire::v2::{self, proto},
};

/// The protocol's service.
pub(super) struct Inference(pub(super) Arc<Fleet>);

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

/// The head of a call, in which the mesh says whose it is.
fn head<T>(request: &Request<T>) -> &HeaderMap {
    request.metadata().as_ref()
}

impl Inference {
    async fn infer(
        &self,
        arrived: &Arrived,
        request: &Request<ModelInferRequest>,
        trace: &mut Trace,
    ) -> Result<(ModelInferResponse, String), Refusal> {
        let (head, request) = (head(request), request.get_ref());
        let version = given(&request.model_version);
        let desk = self.0.desk(head, Some(&request.model_name))?;
        let service = trace.asks(&desk.service);
        let snapshot = desk.live(arrived.call.deadline).await?;
        version.map_or(Ok(()), |text| service.resident_version(&snapshot, text).map(drop))?;
        trace.snapshot = Some(snapshot);
        let mut permit = service.admission.admit().await?;
        let v2::Infer { id, asks, outputs, timeout } = proto::decode(request)?;
        let mut call = arrived.call.clone();
        call.within(arrived.at, timeout);
        service.admission.widen(&mut permit, asks.len())?;
        let answered = service.recommend(call, asks, version, trace).await?;
        let raw = proto::is_raw(request);
        Ok((proto::encode(&request.model_name, id, &outputs, &answered, raw), answered.versions_text()))
    }

    /// A model's metadata; one that is not in memory is loaded, since whoever asks is about to use it.
    async fn shown(&self, arrived: &Arrived, request: &Request<ModelMetadataRequest>) -> Result<Shown, Refusal> {
        let ModelMetadataRequest { name, version } = request.get_ref();
        let desk = self.0.desk(head(request), Some(name))?;
        let snapshot = desk.live(arrived.call.deadline).await?;
        desk.service.shown(&snapshot, given(version))
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
        let desk = self.0.desk(head(&request), Some(name));
        let ready = match desk.and_then(|desk| desk.service.check_ready(given(version))) {
            Ok(()) => Ok(ModelReadyResponse { ready: true }),
            Err(Refusal::NotReady { .. }) => Ok(ModelReadyResponse { ready: false }),
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
        let (arrived, name) = (arrived(&request), &request.get_ref().name);
        let shown = self.shown(&arrived, &request).await.map(|shown| {
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
        told(&arrived, shown)
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Result<Response<ModelInferResponse>, Status> {
        let arrived = arrived(&request);
        let mut trace = Trace::new(Protocol::Grpc);
        let result = self.infer(&arrived, &request, &mut trace).await;
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
        let tenant = self.0.tenant(head(&request));
        let counted = tenant.and_then(|tenant| tenant.counted(given(name), given(version))).map(|counted| {
            let one = |(name, version, counts): (String, String, Counts)| ModelStatistics {
                name,
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
        let row = |Listed { name, version, state, reason }| ModelIndex { name, version, state: state.into(), reason };
        let index = self.0.tenant(head(&request)).map(|tenant| {
            let models = tenant.index(request.get_ref().ready).into_iter().map(row).collect();
            RepositoryIndexResponse { models }
        });
        told(&arrived(&request), index)
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        let RepositoryModelLoadRequest { repository_name, model_name, .. } = request.get_ref();
        let refusal = self.0.refuse_repository(head(&request), given(model_name).unwrap_or(repository_name));
        told(&arrived(&request), Err(refusal))
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        let RepositoryModelUnloadRequest { repository_name, model_name, .. } = request.get_ref();
        let refusal = self.0.refuse_repository(head(&request), given(model_name).unwrap_or(repository_name));
        told(&arrived(&request), Err(refusal))
    }
}
