//! Inference as messages, its tensors in typed lists or as bytes beside them.

use prost::Message;
use serde_json::json;

use super::{
    SOURCE, call,
    message::{canonical, raw, typed},
    path, told,
};
use crate::{
    conform::{
        Section::Grpc,
        check::{Check, Fault, Verdict, equal, holds},
        exchange::{Answer, Ask, Exchange, How},
        infer,
        subject::{ID, Subject},
    },
    grpc::proto::{ModelInferRequest, ModelInferResponse, model_infer_request::InferRequestedOutputTensor},
};

/// Calls in flight together.
const AT_ONCE: usize = 16;

pub(super) fn checks() -> Vec<Check> {
    let in_lists = |subject: &Subject| infer(subject, typed);
    let in_bytes = |subject: &Subject| infer(subject, raw);
    vec![
        Grpc.must("infer-typed", "typed contents are answered with whole tensors", SOURCE).check(in_lists, whole),
        Grpc.must("infer-raw", "raw contents are answered with whole tensors", SOURCE).check(in_bytes, whole),
        Grpc.must("model-name", "the answer names the model", SOURCE).check(in_lists, |subject, answers| {
            equal("model_name", &json!(subject.model), &json!(response(answers)?.model_name))
        }),
        Grpc.must("id-echoed", "the request's id is in the answer", SOURCE)
            .check(in_lists, |_, answers| equal("id", &json!(ID), &json!(response(answers)?.id))),
        Grpc.should("same-typed", "typed contents say what JSON says, to the bit", SOURCE).check(in_lists, as_json),
        Grpc.should("same-raw", "raw contents say what JSON says, to the bit", SOURCE).check(in_bytes, as_json),
        Grpc.should("typed-for-typed", "typed in, typed out", "KServe's client").check(in_lists, |_, answers| {
            let response = response(answers)?;
            let typed =
                response.raw_output_contents.is_empty() && response.outputs.iter().all(|o| o.contents.is_some());
            holds(typed, "contents on every output, no raw_output_contents", shape(&response))
        }),
        Grpc.should("raw-for-raw", "raw in, raw out", "Triton's client").check(in_bytes, |_, answers| {
            let response = response(answers)?;
            let raw = response.raw_output_contents.len() == response.outputs.len();
            holds(raw && !response.outputs.is_empty(), "raw_output_contents for every output", shape(&response))
        }),
        Grpc.must("output-selection", "of the outputs only the wanted one is returned", SOURCE).check(
            |subject| {
                infer(subject, |subject| {
                    let name = infer::last_output(subject)?;
                    let outputs = vec![InferRequestedOutputTensor { name, ..InferRequestedOutputTensor::default() }];
                    Ok(ModelInferRequest { outputs, ..typed(subject)? })
                })
            },
            |subject, answers| {
                let outputs = response(answers)?.outputs;
                let found: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
                let last = infer::last_output(subject)?;
                holds(found == [last.as_str()], format!("outputs [{last:?}]"), format!("{found:?}"))
            },
        ),
        Grpc.must("at-once", "16 calls in flight get each its own answer", SOURCE).check(
            |subject| {
                subject.grpc()?;
                let request = typed(subject)?;
                let ask = |n: usize| {
                    let request = ModelInferRequest { id: n.to_string(), ..request.clone() };
                    Ask::Grpc { path: path("ModelInfer"), message: request.encode_to_vec().into() }
                };
                Ok(Exchange { how: How::AtOnce, asks: (0..AT_ONCE).map(ask).collect() })
            },
            |_, answers| {
                for (n, answer) in answers.iter().enumerate() {
                    equal("id", &json!(n.to_string()), &json!(told::<ModelInferResponse>(answer)?.id))?;
                }
                Ok(())
            },
        ),
    ]
}

/// A call of `ModelInfer`; without gRPC nobody asks whether there is a request.
pub(super) fn infer(
    subject: &Subject,
    request: impl FnOnce(&Subject) -> Result<ModelInferRequest, Fault>,
) -> Result<Exchange, Fault> {
    subject.grpc()?;
    call(subject, "ModelInfer", &request(subject)?)
}

fn response(answers: &[Answer]) -> Result<ModelInferResponse, Fault> {
    told(&answers[0])
}

fn whole(_: &Subject, answers: &[Answer]) -> Verdict {
    let outputs = canonical(&response(answers)?)?;
    holds(!outputs.is_empty(), "at least one output", "none")
}

fn as_json(subject: &Subject, answers: &[Answer]) -> Verdict {
    let found = canonical(&response(answers)?)?;
    infer::same(&infer::baseline(subject)?, &found)
}

fn shape(response: &ModelInferResponse) -> String {
    let typed = response.outputs.iter().filter(|output| output.contents.is_some()).count();
    let raw = response.raw_output_contents.len();
    format!("{} outputs, {typed} with contents, {raw} raw", response.outputs.len())
}
