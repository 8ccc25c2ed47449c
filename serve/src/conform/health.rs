//! Live, ready, model ready: a status that says it, and a body for clients that read one.

use serde_json::{Value, json};

use super::{
    Section::Health,
    check::{Check, equal, holds, shown},
    exchange::Request,
    subject::{NOBODY, path_of},
};

const SOURCE: &str = "inference_rest: Health";

pub(super) fn checks() -> Vec<Check> {
    let live = |_: &_| Ok(Request::get("/v2/health/live"));
    let ready = |_: &_| Ok(Request::get("/v2/health/ready"));
    let unknown = |_: &_| Ok(Request::get(path_of(NOBODY, "/ready")));
    vec![
        Health.must("live", "GET /v2/health/live answers 200", SOURCE).reply(live, |_, reply| reply.ok().map(drop)),
        Health.must("ready", "GET /v2/health/ready answers 200", SOURCE).reply(ready, |_, reply| reply.ok().map(drop)),
        Health
            .must("model-ready", "GET /v2/models/{m}/ready answers 200", SOURCE)
            .reply(|subject| Ok(Request::get(subject.path("/ready"))), |_, reply| reply.ok().map(drop)),
        Health
            .must("unknown-model", "a model that nobody has is not ready", SOURCE)
            .reply(unknown, |_, reply| holds(reply.status >= 400, "a status of 400 or above", reply.shown())),
        Health.should("unknown-model-404", "that is said by 404 with {\"error\": ...}", "KServe, Triton").reply(
            unknown,
            |_, reply| {
                holds(reply.status == 404, "status 404", reply.shown())?;
                reply.error().map(drop)
            },
        ),
        Health
            .should("live-body", "the body says {\"live\": true}", "inference_rest: Server Live Response")
            .reply(live, |_, reply| equal("live", &json!(true), &reply.object()?["live"])),
        Health.should("ready-body", "the body says that it is ready", "inference_rest: Server Ready Response").reply(
            ready,
            |_, reply| {
                // The published text names the member `live`; KServe's client reads `ready`.
                let body = reply.object()?;
                let told: Vec<&Value> = ["ready", "live"].iter().filter_map(|name| body.get(*name)).collect();
                let says = !told.is_empty() && told.iter().all(|value| **value == json!(true));
                holds(says, "\"ready\" or \"live\", true", shown(&body))
            },
        ),
        Health
            .should("model-ready-body", "the body names the model and says {\"ready\": true}", "inference_rest: Health")
            .reply(
                |subject| Ok(Request::get(subject.path("/ready"))),
                |subject, reply| {
                    let body = reply.object()?;
                    equal("name", &json!(subject.model), &body["name"])?;
                    equal("ready", &json!(true), &body["ready"])
                },
            ),
    ]
}
