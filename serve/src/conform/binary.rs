//! Tensors as bytes behind the JSON, where the server announces that it can: the same values to the bit.

use serde_json::{Value, json};

use super::{
    Level,
    Section::Binary,
    check::{Check, Fault, Verdict, holds, shown, wrong},
    exchange::{Reply, Request},
    infer::{self, Canonical},
    refuse::{self, Breach},
    sample,
    subject::{Subject, named},
    tensor::{self, Tensor, flat},
};

const SOURCE: &str = "binary_data_extension";
/// Length of the JSON in front of the bytes.
const HEADER: &str = "inference-header-content-length";

pub(super) fn checks() -> Vec<Check> {
    let all = |subject: &Subject| asked(subject, json!({ "parameters": { "binary_data_output": true } }));
    let mut checks = vec![
        Binary
            .must("inputs", "inputs as bytes are answered like inputs as JSON", SOURCE)
            .reply(|subject| in_bytes(subject, |told, raw| (told, raw)), infer::same_as_sample),
        Binary.must("outputs", "outputs come as bytes of the right length", SOURCE).reply(all, |_, reply| {
            let (json, tensors) = tensors(reply)?;
            let bytes = json["outputs"].as_array().is_some_and(|list| list.iter().all(|output| size(output).is_some()));
            holds(bytes && !tensors.is_empty(), "binary_data_size on every output", shown(&json["outputs"]))
        }),
        Binary.must("no-data", "outputs as bytes have no data in the JSON", SOURCE).reply(all, |_, reply| {
            let (json, _) = tensors(reply)?;
            let both =
                json["outputs"].as_array().into_iter().flatten().find(|o| o.get("data").is_some_and(|d| !d.is_null()));
            holds(both.is_none(), "no \"data\"", shown(both.unwrap_or(&Value::Null)))
        }),
        Binary
            .must("same-bits", "bytes and JSON are the same values to the bit", SOURCE)
            .reply(all, |subject, reply| infer::same(&infer::baseline(subject)?, &tensors(reply)?.1)),
        Binary.should("content-type", "such answers are application/octet-stream", "KServe, Triton").reply(
            all,
            |_, reply| {
                tensors(reply)?;
                let found = reply.header("content-type").unwrap_or("none");
                holds(reply.essence() == "application/octet-stream", "application/octet-stream", found)
            },
        ),
        Binary.must("one-output", "one output may be wanted as bytes", SOURCE).reply(
            |subject| {
                let name = infer::last_output(subject)?;
                asked(subject, json!({ "outputs": [{ "name": name, "parameters": { "binary_data": true } }] }))
            },
            |_, reply| {
                let (json, _) = tensors(reply)?;
                holds(size(&json["outputs"][0]).is_some(), "binary_data_size", shown(&json["outputs"][0]))
            },
        ),
        Binary.must("output-wins", "an output's own wish wins over the request's", SOURCE).reply(
            |subject| {
                let name = infer::last_output(subject)?;
                let outputs = json!([{ "name": name, "parameters": { "binary_data": false } }]);
                asked(subject, json!({ "parameters": { "binary_data_output": true }, "outputs": outputs }))
            },
            |_, reply| infer::outputs(&reply.object()?).map(drop),
        ),
        Binary.must("unasked", "who asks for no bytes gets none", SOURCE).reply(
            |subject| asked(subject, json!({})),
            |_, reply| {
                infer::outputs(&reply.object()?)?;
                holds(reply.header(HEADER).is_none(), format!("no {HEADER}"), reply.header(HEADER).unwrap_or_default())
            },
        ),
    ];
    checks.extend(refuse::checks(Binary, &breaches()));
    checks
}

fn breaches() -> [Breach; 7] {
    let must = |name, what, ask| Breach { name, what, level: Level::Must, status: 400, source: SOURCE, ask };
    [
        must("header-beyond-body", "a header that says more than there is", |s| headed(s, "999999")),
        must("header-no-number", "a header that is no number", |s| headed(s, "-1")),
        must("header-overflow", "a header no computer can hold", |s| headed(s, "99999999999999999999999")),
        must("bytes-left-over", "a byte too many", |s| in_bytes(s, |told, raw| (told, [raw, vec![0]].concat()))),
        must("size-beyond-body", "an input larger than the body", |s| {
            in_bytes(s, |told, raw| (sized(&told, 1 << 40), raw))
        }),
        must("size-of-other-shape", "bytes that are not the shape's elements", |s| {
            // Nothing at all is no number of elements but none.
            let first = first_size(s)?;
            in_bytes(s, |told, raw| (sized(&told, 0), raw[first..].to_vec()))
        }),
        must("data-and-size", "an input both as JSON and as bytes", |s| {
            let data = s.sample()?.body["inputs"][0]["data"].clone();
            in_bytes(s, |told, raw| (sample::first(&told, |input| drop(input.insert("data".into(), data))), raw))
        }),
    ]
}

fn asked(subject: &Subject, members: Value) -> Result<Request, Fault> {
    subject.binary()?;
    Ok(Request::json(subject.path("/infer"), &sample::with(&named(subject.sample()?), members)))
}

/// The sample with its inputs as bytes, changed.
fn in_bytes(subject: &Subject, change: impl FnOnce(Value, Vec<u8>) -> (Value, Vec<u8>)) -> Result<Request, Fault> {
    subject.binary()?;
    let (told, raw) = sample::binary(&named(subject.sample()?))?;
    let (told, raw) = change(told, raw);
    let json = told.to_string();
    let length = json.len().to_string();
    Ok(framed(subject, [json.into_bytes(), raw].concat(), length))
}

/// The same under another header.
fn headed(subject: &Subject, header: &str) -> Result<Request, Fault> {
    subject.binary()?;
    let (told, raw) = sample::binary(&named(subject.sample()?))?;
    Ok(framed(subject, [told.to_string().into_bytes(), raw].concat(), header.to_owned()))
}

fn framed(subject: &Subject, body: Vec<u8>, length: String) -> Request {
    let request = Request::post(subject.path("/infer"), body).with(HEADER, length);
    request.with("content-type", "application/octet-stream")
}

fn sized(told: &Value, size: u64) -> Value {
    sample::first(told, |input| drop(input.insert("parameters".into(), json!({ "binary_data_size": size }))))
}

/// Bytes of the first input, of which there must be some.
fn first_size(subject: &Subject) -> Result<usize, Fault> {
    let (told, _) = sample::binary(&subject.sample()?.body)?;
    match size(&told["inputs"][0]) {
        Some(size) if size > 0 => Ok(size),
        _ => Err(Fault::NotOffered("the first input of the request is empty".to_owned())),
    }
}

fn size(tensor: &Value) -> Option<usize> {
    usize::try_from(tensor["parameters"]["binary_data_size"].as_u64()?).ok()
}

/// JSON and tensors of an answer some of whose outputs are bytes behind it.
fn tensors(reply: &Reply) -> Result<(Value, Canonical), Fault> {
    reply.ok()?;
    let told = reply.header(HEADER).unwrap_or("none");
    let length = told.parse().ok().filter(|length| *length <= reply.body.len());
    let expected = || format!("{HEADER}: at most {}", reply.body.len());
    let (front, mut raw) = reply.body.split_at(length.ok_or_else(|| wrong(expected(), told))?);
    let json: Value = serde_json::from_slice(front).map_err(|error| wrong("JSON in front", error.to_string()))?;
    let mut tensors = Vec::new();
    for output in json["outputs"].as_array().ok_or_else(|| wrong("outputs: a list", shown(&json["outputs"])))? {
        let tensor = Tensor::read(output, 0)?;
        let bytes = match size(output) {
            None => tensor::bytes(&tensor.datatype, &flat(&output["data"]))?,
            Some(size) => {
                let cut = raw.split_at_checked(size);
                let (bytes, rest) = cut.ok_or_else(|| wrong(format!("{size} bytes"), format!("{}", raw.len())))?;
                raw = rest;
                fits(&tensor, bytes)?;
                bytes.to_vec()
            }
        };
        tensors.push((tensor, bytes));
    }
    holds(raw.is_empty(), "nothing behind the last output", format!("{} bytes", raw.len()))?;
    Ok((json, tensors))
}

/// Whether bytes can be a tensor's elements.
pub(super) fn fits(tensor: &Tensor, bytes: &[u8]) -> Verdict {
    let fits = tensor.count().is_some_and(|count| tensor::sized(&tensor.datatype, count, bytes));
    let expected = format!("output {:?}: bytes of {} {:?}", tensor.name, tensor.datatype, tensor.shape);
    holds(fits, expected, format!("{} bytes", bytes.len()))
}
