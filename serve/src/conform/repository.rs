//! The repository's index: which models there are, and in which state.

use serde_json::{Value, json};

use super::{
    Section::Repository,
    check::{Check, Verdict, holds, not_offered, shown, wrong},
    exchange::{Reply, Request},
    subject::Subject,
};

const PATH: &str = "/v2/repository/index";
const SOURCE: &str = "Triton: extension_model_repository";

pub(super) fn checks() -> Vec<Check> {
    vec![
        Repository
            .extension("index", "POST /v2/repository/index lists the model as READY", SOURCE)
            .reply(|_| Ok(Request::json(PATH, &json!({}))), lists),
        Repository
            .extension("empty-body", "it may be asked without a body", SOURCE)
            .reply(|_| Ok(Request::post(PATH, "")), lists),
        Repository.extension("ready-only", "{\"ready\": true} lists ready models only", SOURCE).reply(
            |_| Ok(Request::json(PATH, &json!({ "ready": true }))),
            |subject, reply| {
                lists(subject, reply)?;
                let rows: Vec<Value> = serde_json::from_slice(&reply.body).unwrap_or_default();
                let other = rows.iter().find(|row| row["state"] != "READY");
                holds(other.is_none(), "state READY only", shown(other.unwrap_or(&Value::Null)))
            },
        ),
    ]
}

fn lists(subject: &Subject, reply: &Reply) -> Verdict {
    if [404, 405, 501].contains(&reply.status) {
        return not_offered(format!("POST {PATH} answers {}", reply.status));
    }
    let rows: Vec<Value> = serde_json::from_slice(&reply.ok()?.body).map_err(|_| wrong("a list", reply.shown()))?;
    let ready = rows.iter().any(|row| row["name"] == json!(subject.model) && row["state"] == "READY");
    let found = shown(&json!(rows));
    holds(ready, format!("{:?} in state READY", subject.model), found)
}
