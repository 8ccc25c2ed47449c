//! Requests that break a rule of V2, one rule each.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    Level,
    Section::Errors,
    check::{Check, Fault, Verdict, holds, not_offered},
    exchange::{Answer, Exchange, How, Request},
    refuse::{self, Breach},
    sample,
    subject::{NO_VERSION, NOBODY, Subject, path_of},
    tensor,
};

const ERROR: &str = "inference_rest: Inference Response JSON Error Object";
const INPUT: &str = "inference_rest: Request Input";
const DATA: &str = "inference_rest: Tensor Data";

/// Nesting that no honest request has, and that a reader which calls itself for every bracket does not survive.
const DEEP: usize = 100_000;
/// What errors must not tell: the inside of a program.
const TRACES: [&str; 5] = ["Traceback (most", "File \\\"", "panicked at", "stack backtrace", "goroutine "];

pub(super) fn checks() -> Vec<Check> {
    let mut checks = refuse::checks(Errors, &breaches());
    checks.extend([
        Errors.must("deep-json", "100,000 nested lists are refused and the server lives", DATA).check(
            deep,
            |_, answers| {
                answers[0].http()?.error()?;
                answers[1].http()?.ok().map(drop)
            },
        ),
        Errors.should("deep-json-400", "100,000 nested lists: status 400", DATA).check(deep, |_, answers| {
            let reply = answers[0].http()?;
            holds(reply.status == 400, "status 400", reply.shown())
        }),
        Errors.should("content-type", "errors are application/json", ERROR).reply(
            |subject| sent_to(NOBODY, subject),
            |_, reply| {
                reply.error()?;
                let found = reply.header("content-type").unwrap_or("none");
                holds(reply.essence() == "application/json", "content-type application/json", found)
            },
        ),
        Errors.should("no-trace", "errors do not show the inside of the program", ERROR).check(several, no_trace),
    ]);
    checks
}

fn breaches() -> Vec<Breach> {
    let must = |name, what, source, ask| Breach { name, what, level: Level::Must, status: 400, source, ask };
    let should = |name, what, source, ask| Breach { name, what, level: Level::Should, status: 400, source, ask };
    vec![
        Breach { status: 404, ..must("unknown-model", "a model nobody has", ERROR, |s| sent_to(NOBODY, s)) },
        Breach { status: 404, ..must("unknown-version", "a version nobody has", ERROR, unknown_version) },
        must("malformed-json", "half a body", ERROR, |s| {
            let body = s.sample()?.body.to_string().into_bytes();
            Ok(json_text(s, body[..body.len() / 2].to_vec()))
        }),
        must("empty-body", "no body", ERROR, |s| Ok(json_text(s, ""))),
        must("not-an-object", "a list for a body", ERROR, |s| Ok(json_text(s, "[]"))),
        should("nan", "NaN, which is not JSON", "RFC 8259, 6", |s| {
            let body = s.sample()?.body.to_string();
            Ok(json_text(s, format!("{},\"parameters\":{{\"x\":NaN}}}}", &body[..body.len() - 1])))
        }),
        must("no-inputs", "\"inputs\" left out", INPUT, |s| {
            let mut body = s.sample()?.body.clone();
            body.as_object_mut().map(|body| body.remove("inputs"));
            Ok(json_text(s, body.to_string()))
        }),
        must("input-missing", "no input at all", INPUT, |s| with(s, json!({ "inputs": [] }))),
        should("unknown-input", "an input nobody knows", INPUT, unknown_input),
        should("input-twice", "the same input twice", INPUT, |s| {
            let first = s.sample()?.body["inputs"][0].clone();
            with(s, json!({ "inputs": [first, first] }))
        }),
        must("no-name", "an input without name", INPUT, |s| without(s, "name")),
        must("no-shape", "an input without shape", INPUT, |s| without(s, "shape")),
        must("no-datatype", "an input without datatype", INPUT, |s| without(s, "datatype")),
        must("no-data", "an input without data", INPUT, |s| without(s, "data")),
        must("element-count", "one element more than the shape says", DATA, |s| {
            let flat: Vec<Value> = first_data(s)?.into_iter().cloned().collect();
            let more = flat.first().cloned().unwrap_or_default();
            put(s, "data", flat.into_iter().chain([more]).collect())
        }),
        must("negative-shape", "a dimension below zero", DATA, |s| put(s, "shape", json!([-1]))),
        must("huge-shape", "a shape whose product overflows", DATA, |s| {
            put(s, "shape", json!([1_u64 << 62, 1_u64 << 62]))
        }),
        must("unknown-datatype", "a datatype nobody has", INPUT, |s| put(s, "datatype", json!("INT7"))),
        must("wrong-datatype", "another datatype than declared", INPUT, wrong_datatype),
        must("wrong-element", "an element of another kind", DATA, |s| {
            let datatype = s.sample()?.body["inputs"][0]["datatype"].as_str().unwrap_or_default().to_owned();
            let data = vec![tensor::stranger(&datatype); first_data(s)?.len()];
            put(s, "data", data.into())
        }),
        should("unknown-output", "an output nobody has", "inference_rest: Request Output", |s| {
            with(s, json!({ "outputs": [{ "name": "conform_no_such_output" }] }))
        }),
    ]
}

fn json_text(subject: &Subject, body: impl Into<Bytes>) -> Request {
    Request::post(subject.path("/infer"), body).with("content-type", "application/json")
}

/// The sample, sent to another model.
fn sent_to(model: &str, subject: &Subject) -> Result<Request, Fault> {
    Ok(Request::json(path_of(model, "/infer"), &subject.sample()?.body))
}

fn with(subject: &Subject, members: Value) -> Result<Request, Fault> {
    Ok(Request::json(subject.path("/infer"), &sample::with(&subject.sample()?.body, members)))
}

/// The sample, its first input having another member.
fn put(subject: &Subject, name: &str, value: Value) -> Result<Request, Fault> {
    let body = sample::first(&subject.sample()?.body, |input| drop(input.insert(name.to_owned(), value)));
    Ok(Request::json(subject.path("/infer"), &body))
}

fn without(subject: &Subject, name: &str) -> Result<Request, Fault> {
    let body = sample::first(&subject.sample()?.body, |input| drop(input.remove(name)));
    Ok(Request::json(subject.path("/infer"), &body))
}

fn first_data(subject: &Subject) -> Result<Vec<&Value>, Fault> {
    Ok(tensor::flat(&subject.sample()?.body["inputs"][0]["data"]))
}

fn unknown_version(subject: &Subject) -> Result<Request, Fault> {
    subject.version_path("")?;
    let path = subject.path(&format!("/versions/{NO_VERSION}/infer"));
    Ok(Request::json(path, &subject.sample()?.body))
}

fn unknown_input(subject: &Subject) -> Result<Request, Fault> {
    if subject.inputs.is_empty() {
        return not_offered("the metadata declares no inputs");
    }
    let mut inputs = subject.sample()?.body["inputs"].as_array().cloned().unwrap_or_default();
    inputs.push(json!({ "name": "conform_no_such_input", "datatype": "INT32", "shape": [1], "data": [1] }));
    with(subject, json!({ "inputs": inputs }))
}

/// A first input that is right in itself and not what the metadata declares.
fn wrong_datatype(subject: &Subject) -> Result<Request, Fault> {
    let body = &subject.sample()?.body;
    let Some((input, elements)) = sample::inputs(body).next() else { return not_offered("no input was sent") };
    if !subject.inputs.iter().any(|declared| declared.name == input.name) {
        return not_offered("the metadata does not declare the input");
    }
    let other = if input.datatype == "BYTES" { "FP32" } else { "BYTES" };
    let data = vec![tensor::element(other, true); elements.len()];
    let body = sample::first(body, |input| {
        input.insert("datatype".to_owned(), json!(other));
        input.insert("data".to_owned(), data.into());
    });
    Ok(Request::json(subject.path("/infer"), &body))
}

/// A nested request, and then whether the server lives.
fn deep(subject: &Subject) -> Result<Exchange, Fault> {
    let body = subject.sample()?.body.to_string();
    let lists = format!("{},\"parameters\":{}{}}}", &body[..body.len() - 1], "[".repeat(DEEP), "]".repeat(DEEP));
    Ok(Exchange::of(How::InTurn, [json_text(subject, lists), Request::get("/v2/health/live")]))
}

/// Different ways to go wrong, of which some may not have been thought of.
fn several(subject: &Subject) -> Result<Exchange, Fault> {
    let wanted = ["unknown-model", "malformed-json", "input-missing", "no-data", "wrong-element", "unknown-datatype"];
    let asked = breaches().into_iter().filter(|breach| wanted.contains(&breach.name));
    let requests = asked.map(|breach| (breach.ask)(subject)).collect::<Result<Vec<_>, _>>()?;
    Ok(Exchange::of(How::InTurn, requests))
}

fn no_trace(_: &Subject, answers: &[Answer]) -> Verdict {
    for answer in answers {
        let reply = answer.http()?;
        let body = String::from_utf8_lossy(&reply.body);
        let told = TRACES.iter().find(|trace| body.contains(**trace));
        holds(told.is_none(), "an error in words for the caller", reply.shown())?;
    }
    Ok(())
}
