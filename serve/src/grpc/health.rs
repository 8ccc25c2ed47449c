//! `grpc.health.v1.Health`: whether traffic should come here, once or as it changes.

use std::sync::Arc;

use futures::{StreamExt, stream::BoxStream};
use tonic::{Request, Response, Status};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server};

use super::SERVICE;
use crate::{fleet::Fleet, health::Standing};

/// The health of the whole process (`""`) and of the inference service, which are the same.
pub(super) struct Health(pub(super) Arc<Fleet>);

fn is_known(request: &Request<HealthCheckRequest>) -> bool {
    ["", SERVICE].contains(&request.get_ref().service.as_str())
}

fn status(standing: Standing) -> ServingStatus {
    if standing == Standing::Ready { ServingStatus::Serving } else { ServingStatus::NotServing }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if !is_known(&request) {
            return Err(Status::not_found("unknown service; this server has inference.GRPCInferenceService"));
        }
        let status = status(*self.0.process.life.standing().borrow());
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    /// Told at once and at every change; ends when the door closes, so that no watcher holds it open.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let known = is_known(&request);
        let begin = (self.0.process.life.standing(), None);
        let changes = futures::stream::unfold(begin, move |(mut standing, told)| async move {
            loop {
                let now = *standing.borrow_and_update();
                let status = if known { status(now) } else { ServingStatus::ServiceUnknown };
                if told != Some(status) {
                    let response = HealthCheckResponse { status: status.into() };
                    return Some((Ok(response), (standing, Some(status))));
                }
                if now == Standing::Left || standing.changed().await.is_err() {
                    return None;
                }
            }
        });
        Ok(Response::new(changes.boxed()))
    }
}
