//! What server and model say of themselves.

use serde_json::{Value, json};

use super::{
    Section::Metadata,
    check::{Check, Fault, Verdict, equal, holds, not_offered, shown, wrong},
    exchange::{Reply, Request},
    subject::{NO_VERSION, NOBODY, Subject, path_of},
    tensor::Tensor,
};

const SERVER: &str = "inference_rest: Server Metadata";
const MODEL: &str = "inference_rest: Model Metadata";

pub(super) fn checks() -> Vec<Check> {
    let model = |subject: &Subject| Ok(Request::get(subject.path("")));
    let unknown = |_: &_| Ok(Request::get(path_of(NOBODY, "")));
    vec![
        Metadata.must("server", "GET /v2 tells name, version and extensions", SERVER).reply(
            |_| Ok(Request::get("/v2")),
            |_, reply| {
                let body = reply.object()?;
                text("name", &body)?;
                text("version", &body)?;
                strings("extensions", &body["extensions"])
            },
        ),
        Metadata
            .must("model-name", "GET /v2/models/{m} tells the model's name", MODEL)
            .reply(model, |subject, reply| equal("name", &json!(subject.model), &reply.object()?["name"])),
        Metadata
            .must("model-platform", "it tells the platform", MODEL)
            .reply(model, |_, reply| text("platform", &reply.object()?)),
        Metadata.must("model-versions", "versions, where listed, are texts", MODEL).reply(
            model,
            |_, reply| match reply.object()?.get("versions") {
                None | Some(Value::Null) => not_offered("the metadata lists no versions"),
                Some(versions) => strings("versions", versions),
            },
        ),
        Metadata.must("model-tensors", "inputs and outputs have name, datatype and shape", MODEL).reply(
            model,
            |_, reply| {
                let body = reply.object()?;
                for name in ["inputs", "outputs"] {
                    let list = body[name].as_array();
                    let list = list.ok_or_else(|| wrong(format!("{name}: a list"), shown(&body[name])))?;
                    list.iter().try_for_each(|tensor| Tensor::read(tensor, -1).map(drop))?;
                }
                Ok(())
            },
        ),
        Metadata.should("model-declares", "a client can make up a request from it", MODEL).reply(model, |_, reply| {
            let body = reply.object()?;
            let counts = ["inputs", "outputs"].map(|name| body[name].as_array().map_or(0, Vec::len));
            let found = format!("{} inputs, {} outputs", counts[0], counts[1]);
            holds(!counts.contains(&0), "inputs and outputs", found)
        }),
        Metadata.must("model-version", "a listed version has the same metadata path", MODEL).reply(
            |subject| subject.version_path("").map(Request::get),
            |subject, reply| equal("name", &json!(subject.model), &reply.object()?["name"]),
        ),
        Metadata
            .must("unknown-model", "a model that nobody has is refused with {\"error\": ...}", MODEL)
            .reply(unknown, |_, reply| reply.error().map(drop)),
        Metadata
            .should("unknown-model-404", "by status 404", "KServe, MLServer, Triton")
            .reply(unknown, |_, reply| holds(reply.status == 404, "status 404", reply.shown())),
        Metadata.should("unknown-version-404", "a version that nobody has is refused by 404", MODEL).reply(
            |subject| subject.version_path("").map(|_| Request::get(subject.path(&format!("/versions/{NO_VERSION}")))),
            |_, reply| {
                reply.error()?;
                holds(reply.status == 404, "status 404", reply.shown())
            },
        ),
        Metadata
            .extension("listing", "GET /v2/models lists the model", "KServe")
            .reply(|_| Ok(Request::get("/v2/models")), |subject, reply| listing(subject, reply, "/v2/models")),
    ]
}

/// A list of models with the one that is graded among them.
pub(super) fn listing(subject: &Subject, reply: &Reply, path: &str) -> Verdict {
    if [404, 405, 501].contains(&reply.status) {
        return not_offered(format!("{path} answers {}", reply.status));
    }
    let models = &reply.object()?["models"];
    strings("models", models)?;
    let known = models.as_array().is_some_and(|models| models.contains(&json!(subject.model)));
    holds(known, format!("models with {:?} among them", subject.model), shown(models))
}

fn text(name: &str, body: &Value) -> Verdict {
    let is_text = body[name].as_str().is_some_and(|text| !text.is_empty());
    holds(is_text, format!("{name}: text"), shown(&body[name]))
}

fn strings(name: &str, list: &Value) -> Result<(), Fault> {
    let are_texts = list.as_array().is_some_and(|list| list.iter().all(Value::is_string));
    holds(are_texts, format!("{name}: a list of texts"), shown(list))
}
