//! V1: instances in, one prediction each out, in order.

use serde_json::{Value, json};

use super::{
    Level,
    Section::V1,
    check::{Check, Fault, equal, holds, not_offered, shown, wrong},
    exchange::{Reply, Request},
    metadata,
    refuse::{self, Breach},
    subject::{NOBODY, Subject},
};

const SOURCE: &str = "KServe data plane: V1";

pub(super) fn checks() -> Vec<Check> {
    let mut checks = readiness();
    checks.extend(predictions());
    checks.extend(refuse::checks(V1, &breaches()));
    checks
}

fn readiness() -> Vec<Check> {
    let model = |subject: &Subject| {
        subject.v1()?;
        Ok(Request::get(subject.v1_path("")))
    };
    let unknown = |subject: &Subject| {
        subject.v1()?;
        Ok(Request::get(format!("/v1/models/{NOBODY}")))
    };
    vec![
        V1.should("listing", "GET /v1/models lists the model", SOURCE).reply(
            |subject| {
                subject.v1()?;
                Ok(Request::get("/v1/models"))
            },
            |subject, reply| metadata::listing(subject, reply, "/v1/models"),
        ),
        V1.must("ready", "GET /v1/models/{m} answers 200 with name and ready", SOURCE).reply(
            model,
            |subject, reply| {
                let body = reply.object()?;
                equal("name", &json!(subject.model), &body["name"])?;
                equal("ready", &json!(true), &body["ready"])
            },
        ),
        V1.must("unknown-ready", "a model nobody has is not ready", SOURCE)
            .reply(unknown, |_, reply| reply.error().map(drop)),
        V1.should("unknown-ready-404", "that is said by 404", SOURCE)
            .reply(unknown, |_, reply| holds(reply.status == 404, "status 404", reply.shown())),
    ]
}

fn predictions() -> Vec<Check> {
    let twice = |subject: &Subject| {
        let instances = subject.instances()?;
        Ok([instances, instances].concat())
    };
    vec![
        V1.must("predict", ":predict answers 200 with predictions", SOURCE).reply(
            |subject| predict(subject, &json!({ "instances": subject.instances()? })),
            |_, reply| predicted(reply).map(drop),
        ),
        V1.must("one-each", "one prediction for each instance", SOURCE).reply(
            move |subject| predict(subject, &json!({ "instances": twice(subject)? })),
            move |subject, reply| {
                let (expected, found) = (twice(subject)?.len(), predicted(reply)?.len());
                holds(expected == found, format!("{expected} predictions"), found.to_string())
            },
        ),
        V1.should("no-instances", "no instances, no predictions", SOURCE).reply(
            |subject| {
                subject.instances()?;
                predict(subject, &json!({ "instances": [] }))
            },
            |_, reply| {
                let found = predicted(reply)?.len();
                holds(found == 0, "no predictions", found.to_string())
            },
        ),
        V1.should("inputs", "\"inputs\" is another word for \"instances\"", SOURCE).reply(
            |subject| predict(subject, &json!({ "inputs": subject.instances()? })),
            |_, reply| predicted(reply).map(drop),
        ),
        V1.must("charset", "application/json; charset=utf-8 is JSON", "RFC 9110").reply(
            |subject| {
                let mut request = predict(subject, &json!({ "instances": subject.instances()? }))?;
                request.headers.clear();
                Ok(request.with("content-type", "application/json; charset=utf-8"))
            },
            |_, reply| predicted(reply).map(drop),
        ),
        V1.should("no-content-type", "a body without content type is read", "curl, Triton's client").reply(
            |subject| {
                let mut request = predict(subject, &json!({ "instances": subject.instances()? }))?;
                request.headers.clear();
                Ok(request)
            },
            |_, reply| predicted(reply).map(drop),
        ),
        V1.should("json-type-bare", "predictions are application/json and nothing behind it", "KServe's client").reply(
            |subject| predict(subject, &json!({ "instances": subject.instances()? })),
            |_, reply| {
                reply.ok()?;
                let found = reply.header("content-type").unwrap_or("none");
                holds(found == "application/json", "content-type application/json", found)
            },
        ),
        V1.extension("rows", "instances may be bare rows of numbers", SOURCE).reply(
            |subject| {
                if subject.instances()?.first().is_some_and(Value::is_array) {
                    return not_offered("the instances are rows already");
                }
                predict(subject, &json!({ "instances": [[0.0, 1.0], [1.0, 0.0]] }))
            },
            |_, reply| {
                if reply.status >= 400 {
                    return not_offered(reply.shown());
                }
                let found = predicted(reply)?.len();
                holds(found == 2, "2 predictions", found.to_string())
            },
        ),
    ]
}

fn breaches() -> Vec<Breach> {
    let must = |name, what, ask| Breach { name, what, level: Level::Must, status: 400, source: SOURCE, ask };
    vec![
        must("not-a-list", "instances that are no list", |s| tried(s, &json!({ "instances": "all" }))),
        must("neither", "neither instances nor inputs", |s| tried(s, &json!({}))),
        must("malformed-json", "half a body", |s| {
            s.instances()?;
            Ok(Request::post(s.v1_path(":predict"), "{\"instances\":[").with("content-type", "application/json"))
        }),
        Breach {
            status: 404,
            ..must("unknown-model", "a model nobody has", |s| {
                let body = json!({ "instances": s.instances()? });
                Ok(Request::json(format!("/v1/models/{NOBODY}:predict"), &body))
            })
        },
    ]
}

fn predict(subject: &Subject, body: &Value) -> Result<Request, Fault> {
    subject.v1()?;
    Ok(Request::json(subject.v1_path(":predict"), body))
}

/// Like [`predict`], for a model that answers when asked rightly.
fn tried(subject: &Subject, body: &Value) -> Result<Request, Fault> {
    subject.instances()?;
    predict(subject, body)
}

fn predicted(reply: &Reply) -> Result<Vec<Value>, Fault> {
    let mut body = reply.object()?;
    match body["predictions"].take() {
        Value::Array(list) => Ok(list),
        other => Err(wrong("predictions: a list", shown(&other))),
    }
}
