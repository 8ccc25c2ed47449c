//! Inference with tensors as JSON: what an answer must hold, and which liberties a request has.

use serde_json::{Value, json};

use super::{
    Section::Infer,
    check::{Check, Fault, Verdict, equal, holds, not_offered, shown, wrong},
    exchange::{Reply, Request},
    sample,
    subject::{ID, Subject, named},
    tensor::{self, Tensor, flat, nested},
};

const REQUEST: &str = "inference_rest: Inference Request JSON Object";
const RESPONSE: &str = "inference_rest: Inference Response JSON Object";
const DATA: &str = "inference_rest: Tensor Data";

pub(super) fn checks() -> Vec<Check> {
    let mut checks = answers();
    checks.extend(liberties());
    checks.extend(versions());
    checks
}

fn base(subject: &Subject) -> Result<Request, Fault> {
    Ok(Request::json(subject.path("/infer"), &named(subject.sample()?)))
}

/// The sample with members of its own.
fn asked(subject: &Subject, members: Value) -> Result<Request, Fault> {
    Ok(Request::json(subject.path("/infer"), &sample::with(&named(subject.sample()?), members)))
}

/// What an answer holds.
fn answers() -> Vec<Check> {
    vec![
        Infer.must("answers", "POST .../infer answers 200 with outputs", RESPONSE).reply(base, |_, reply| {
            let outputs = outputs(&reply.object()?)?;
            holds(!outputs.is_empty(), "at least one output", "none")
        }),
        Infer
            .must("model-name", "the answer names the model", RESPONSE)
            .reply(base, |subject, reply| equal("model_name", &json!(subject.model), &reply.object()?["model_name"])),
        Infer
            .must("id-echoed", "the request's id is in the answer", RESPONSE)
            .reply(base, |_, reply| equal("id", &json!(ID), &reply.object()?["id"])),
        Infer
            .must("output-tensors", "outputs have name, datatype, shape and data", RESPONSE)
            .reply(base, |_, reply| outputs(&reply.object()?).map(drop)),
        Infer.must("data-length", "as many elements as the shape says", DATA).reply(base, |_, reply| {
            for (output, data) in outputs(&reply.object()?)? {
                let (count, found) = (output.count(), flat(&data).len());
                let expected = format!("output {:?}: {count:?} elements of shape {:?}", output.name, output.shape);
                holds(count == Some(found), expected, format!("{found} elements"))?;
            }
            Ok(())
        }),
        Infer.must("data-type", "elements are of their datatype", DATA).reply(base, |_, reply| {
            let outputs = outputs(&reply.object()?)?;
            outputs.iter().try_for_each(|(output, data)| tensor::bytes(&output.datatype, &flat(data)).map(drop))
        }),
        Infer.must("as-declared", "outputs are what the metadata declares", "inference_rest: Model Metadata").reply(
            |subject| {
                if subject.outputs.is_empty() {
                    return not_offered("the metadata declares no outputs");
                }
                base(subject)
            },
            |subject, reply| {
                for (output, _) in outputs(&reply.object()?)? {
                    let declared = subject.outputs.iter().find(|declared| declared.name == output.name);
                    let expected = match declared {
                        Some(declared) => format!("{declared:?}"),
                        None => format!("one of {:?}", names(subject.outputs.iter())),
                    };
                    let fits = declared.is_some_and(|declared| declared.declares(&output));
                    holds(fits, expected, format!("{output:?}"))?;
                }
                Ok(())
            },
        ),
    ]
}

/// What a request may leave out, add, or ask for.
fn liberties() -> Vec<Check> {
    let fine = |_: &Subject, reply: &Reply| reply.object().and_then(|body| outputs(&body)).map(drop);
    let long_id = format!("{}\u{e9}\u{1f4da}\"\\", "x".repeat(996));
    let sent = long_id.clone();
    vec![
        Infer
            .must("id-optional", "a request without id is answered", REQUEST)
            .reply(|subject| Ok(Request::json(subject.path("/infer"), &subject.sample()?.body)), fine),
        Infer.must("output-selection", "of the outputs only the wanted one is returned", REQUEST).reply(
            |subject| {
                let last = last_output(subject)?;
                asked(subject, json!({ "outputs": [{ "name": last }] }))
            },
            |subject, reply| {
                let last = last_output(subject)?;
                let found = outputs(&reply.object()?)?;
                let found: Vec<&str> = found.iter().map(|(output, _)| output.name.as_str()).collect();
                holds(found == [last.as_str()], format!("outputs [{last:?}]"), format!("{found:?}"))
            },
        ),
        Infer.should("output-order", "wanted outputs come in the wanted order", REQUEST).reply(
            |subject| {
                let wanted: Vec<Value> = backwards(subject)?.iter().map(|name| json!({ "name": name })).collect();
                asked(subject, json!({ "outputs": wanted }))
            },
            |subject, reply| {
                let wanted = backwards(subject)?;
                let found = outputs(&reply.object()?)?;
                let found: Vec<&str> = found.iter().map(|(output, _)| output.name.as_str()).collect();
                holds(found == wanted, format!("outputs {wanted:?}"), format!("{found:?}"))
            },
        ),
        Infer.must("nested-data", "data may be nested as its shape says", DATA).reply(
            |subject| {
                let sample = subject.sample()?;
                let deep = sample::inputs(&sample.body).position(|(input, _)| input.shape.len() > 1);
                let Some(place) = deep else { return not_offered("no input of the request has two dimensions") };
                let mut body = named(sample);
                let (input, elements) = sample::inputs(&sample.body).nth(place).expect("it was found there");
                body["inputs"][place]["data"] = nested(&elements, &input.shape);
                Ok(Request::json(subject.path("/infer"), &body))
            },
            same_as_sample,
        ),
        Infer.should("any-id", "an id of 1,000 characters comes back as it was sent", REQUEST).reply(
            move |subject| asked(subject, json!({ "id": sent })),
            move |_, reply| equal("id", &json!(long_id), &reply.object()?["id"]),
        ),
        Infer.should("unknown-parameters", "parameters that mean nothing here are ignored", REQUEST).reply(
            |subject| asked(subject, json!({ "parameters": { "conform_unknown": true, "conform_text": "x" } })),
            fine,
        ),
        Infer
            .should("unknown-members", "members that mean nothing are ignored", "KServe, Triton clients")
            .reply(|subject| asked(subject, json!({ "model_name": subject.model, "conform_unknown": [1] })), fine),
    ]
}

fn versions() -> Vec<Check> {
    let on_version = |subject: &Subject| {
        let path = subject.version_path("/infer")?;
        Ok(Request::json(path, &named(subject.sample()?)))
    };
    vec![
        Infer.must("version", "a listed version infers on its own path", "inference_rest: Inference").reply(
            on_version,
            |subject, reply| {
                let body = reply.object()?;
                outputs(&body)?;
                match &body["model_version"] {
                    Value::Null => Ok(()),
                    told => equal("model_version", &json!(subject.versions[0]), told),
                }
            },
        ),
        Infer.should("model-version", "an answer says which version gave it", RESPONSE).reply(
            base,
            |subject, reply| {
                if subject.versions.is_empty() {
                    return not_offered("the metadata lists no versions");
                }
                let told = &reply.object()?["model_version"];
                let known = told.as_str().is_some_and(|told| subject.versions.iter().any(|version| version == told));
                holds(known, format!("model_version: one of {:?}", subject.versions), shown(told))
            },
        ),
    ]
}

/// Tensors with their canonical bytes.
pub(super) type Canonical = Vec<(Tensor, Vec<u8>)>;

/// The outputs of an answer with JSON tensors.
pub(super) fn outputs(body: &Value) -> Result<Vec<(Tensor, Value)>, Fault> {
    let list = body["outputs"].as_array().ok_or_else(|| wrong("outputs: a list", shown(&body["outputs"])))?;
    let output = |value: &Value| {
        let tensor = Tensor::read(value, 0)?;
        if !value["data"].is_array() {
            return Err(wrong(format!("output {:?}: data, a list", tensor.name), shown(&value["data"])));
        }
        Ok((tensor, value["data"].clone()))
    };
    list.iter().map(output).collect()
}

/// Name, datatype, shape and canonical bytes of every output of an answer with JSON tensors.
pub(super) fn canonical(body: &Value) -> Result<Canonical, Fault> {
    let canonical = |(output, data): (Tensor, Value)| {
        let bytes = tensor::bytes(&output.datatype, &flat(&data))?;
        Ok((output, bytes))
    };
    outputs(body)?.into_iter().map(canonical).collect()
}

/// The sample's tensors, of a model that answers the same again.
pub(super) fn baseline(subject: &Subject) -> Result<Canonical, Fault> {
    let not_whole = |_| Fault::Skipped("the answer in JSON, to compare with, is not whole".to_owned());
    canonical(&subject.steady()?.answer).map_err(not_whole)
}

/// Whether an answer holds the very tensors of the sample's; whole ones, where those cannot be compared.
pub(super) fn same_as_sample(subject: &Subject, reply: &Reply) -> Verdict {
    let found = canonical(&reply.object()?)?;
    baseline(subject).map_or(Ok(()), |expected| same(&expected, &found))
}

/// Whether two lists of tensors are the same to the bit.
pub(super) fn same(expected: &[(Tensor, Vec<u8>)], found: &[(Tensor, Vec<u8>)]) -> Verdict {
    let shown = |list: &[(Tensor, Vec<u8>)]| format!("{:?}", names(list.iter().map(|(tensor, _)| tensor)));
    holds(expected.len() == found.len(), format!("outputs {}", shown(expected)), shown(found))?;
    for ((tensor, bytes), (other, others)) in expected.iter().zip(found) {
        holds(tensor == other, format!("{tensor:?}"), format!("{other:?}"))?;
        let at = bytes.iter().zip(others).position(|(a, b)| a != b);
        let differ = || format!("{} bytes that differ from byte {at:?} on", others.len());
        holds(bytes == others, format!("output {:?}: the same {} bytes", tensor.name, bytes.len()), differ())?;
    }
    Ok(())
}

fn names<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Vec<&'a str> {
    tensors.map(|tensor| tensor.name.as_str()).collect()
}

/// The names of the sample's outputs, of which there is at least one.
fn names_of_sample(subject: &Subject) -> Result<Vec<String>, Fault> {
    let list = subject.sample()?.answer["outputs"].as_array().map_or(&[][..], Vec::as_slice);
    let names: Vec<String> = list.iter().filter_map(|output| output["name"].as_str().map(str::to_owned)).collect();
    if names.is_empty() { Err(Fault::Skipped("the answer has no named outputs".to_owned())) } else { Ok(names) }
}

/// The name of the sample's last output.
pub(super) fn last_output(subject: &Subject) -> Result<String, Fault> {
    names_of_sample(subject).map(|mut names| names.pop().unwrap_or_default())
}

/// The last two names, last first.
fn backwards(subject: &Subject) -> Result<Vec<String>, Fault> {
    let mut names = names_of_sample(subject)?;
    if names.len() < 2 {
        return not_offered("the model has one output");
    }
    names.reverse();
    names.truncate(2);
    Ok(names)
}
