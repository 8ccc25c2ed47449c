//! V2 as messages: the same questions, the same answers, and refusals by code.

mod infer;
mod message;
mod refusals;
mod services;

use prost::Message;
use tonic::Code;

use super::{
    check::{Check, Fault, Verdict, holds, wrong},
    exchange::{Answer, Exchange, Refused},
    subject::Subject,
};

/// The published definitions, where most of what a server must do is written.
const SOURCE: &str = "open_inference_grpc.proto";

pub(super) fn checks() -> Vec<Check> {
    [services::checks(), infer::checks(), refusals::checks(), services::extensions()].into_iter().flatten().collect()
}

/// The path of a method of the protocol's service.
fn path(method: &str) -> String {
    format!("/inference.GRPCInferenceService/{method}")
}

/// A call of the protocol's service, where gRPC is spoken.
fn call(subject: &Subject, method: &str, message: &impl Message) -> Result<Exchange, Fault> {
    subject.grpc()?;
    Ok(Exchange::call(path(method), message.encode_to_vec()))
}

/// The message that came back.
fn told<M: Message + Default>(answer: &Answer) -> Result<M, Fault> {
    let bytes = answer.grpc()?.map_err(|refused| wrong("an answer", said(refused)))?;
    M::decode(bytes.clone()).map_err(|error| wrong("a message of the protocol", error.to_string()))
}

/// The refusal that came back.
fn refusal(answer: &Answer) -> Result<&Refused, Fault> {
    match answer.grpc()? {
        Err(refused) => Ok(refused),
        Ok(_) => Err(wrong("a refusal", "OK")),
    }
}

fn refused_by(answer: &Answer, code: Code) -> Verdict {
    let refused = refusal(answer)?;
    holds(refused.code == code, format!("{code:?}"), said(refused))
}

fn said(refused: &Refused) -> String {
    format!("{:?}: {}", refused.code, super::check::cut(&refused.message))
}

/// Whether the process answers at all, which is also how one finds out whether gRPC is spoken.
pub(super) fn live() -> Exchange {
    Exchange::call(path("ServerLive"), Vec::new())
}
