//! Defects of V2 over REST: health, metadata, inference.

use serde_json::{Value, json};

use super::{Defect, asked, told};
use crate::conform::wrong::{Asked, Told};

const MODEL: &str = "/v2/models/recommender";
pub(super) const NOBODY: &str = "conform-no-such-model";
/// Points that cannot do without a path that fails with `ready`.
const READY: &[&str] = &["v2.health.model-ready", "v2.health.model-ready-body", "http.keep-alive", "http.pipelining"];

pub(super) const DEFECTS: &[&[Defect]] = &[HEALTH, METADATA, INFERENCE];

const HEALTH: &[Defect] = &[
    told(
        "never live",
        |asked, told| {
            if asked.path == "/v2/health/live" {
                told.refuse(503);
            }
        },
        &["v2.health.live", "v2.health.live-body", "v2.errors.deep-json", "http.oversized"],
    ),
    told(
        "never ready",
        |asked, told| {
            if asked.path == "/v2/health/ready" {
                told.refuse(503);
            }
        },
        &["v2.health.ready", "v2.health.ready-body"],
    ),
    told(
        "the model is never ready",
        |asked, told| {
            if asked.path == format!("{MODEL}/ready") {
                told.refuse(503);
            }
        },
        READY,
    ),
    told(
        "health without a body",
        |asked, told| {
            if told.status == 200 && (asked.path.contains("/health/") || asked.path.ends_with("/ready")) {
                told.body = "".into();
            }
        },
        &["v2.health.*-body"],
    ),
    told(
        "ready and not live",
        |asked, told| {
            if asked.path == "/v2/health/ready" {
                told.say(200, &json!({ "ready": true, "live": false }));
            }
        },
        &["v2.health.ready-body"],
    ),
    told(
        "every model is ready",
        |asked, told| {
            if asked.path.contains(NOBODY) && asked.path.ends_with("/ready") {
                told.say(200, &json!({ "name": NOBODY, "ready": true }));
            }
        },
        &["v2.health.unknown-model", "v2.health.unknown-model-404"],
    ),
];

const METADATA: &[Defect] = &[
    told(
        "a server without extensions",
        |asked, told| member(asked, told, "/v2", "extensions", None),
        &["v2.metadata.server", "grpc.server-same", "http.keep-alive", "http.pipelining"],
    ),
    told(
        "another model's metadata",
        |asked, told| member(asked, told, MODEL, "name", Some(json!("other"))),
        &["v2.metadata.model-name"],
    ),
    told(
        "a model without platform",
        |asked, told| member(asked, told, MODEL, "platform", None),
        &["v2.metadata.model-platform"],
    ),
    told(
        "versions as numbers",
        |asked, told| member(asked, told, MODEL, "versions", Some(json!([7]))),
        &["v2.metadata.model-versions"],
    ),
    told(
        "an output without datatype",
        |asked, told| {
            if asked.path == MODEL {
                told.change(|body| drop(body["outputs"][0].as_object_mut().unwrap().remove("datatype")));
            }
        },
        &["v2.metadata.model-tensors", "v2.infer.as-declared", "grpc.model-same"],
    ),
    told(
        "nothing declared",
        |asked, told| {
            member(asked, told, MODEL, "inputs", Some(json!([])));
            member(asked, told, MODEL, "outputs", Some(json!([])));
        },
        &["v2.metadata.model-declares", "grpc.model-same"],
    ),
    told(
        "versions without metadata",
        |asked, told| {
            if asked.path == format!("{MODEL}/versions/7") {
                told.refuse(404);
            }
        },
        &["v2.metadata.model-version"],
    ),
    told(
        "metadata of everything",
        |asked, told| {
            let version = asked.path == format!("{MODEL}/versions/999999999");
            if version || asked.path == format!("/v2/models/{NOBODY}") {
                told.say(200, &json!({}));
            }
        },
        &["v2.metadata.unknown-*"],
    ),
    told(
        "lists of other models",
        |asked, told| {
            if asked.path.ends_with("/models") {
                told.say(200, &json!({ "models": ["other"] }));
            }
        },
        &["v2.metadata.listing", "v1.listing"],
    ),
];

/// Puts a member into an answer, or takes it out.
fn member(asked: &Asked, told: &mut Told, path: &str, name: &str, value: Option<Value>) {
    if asked.path == path {
        told.change(|body| match value {
            Some(value) => body[name] = value,
            None => drop(body.as_object_mut().unwrap().remove(name)),
        });
    }
}

const INFERENCE: &[Defect] = &[
    told(
        "no outputs",
        |asked, told| {
            if asked.infers() && told.is_json() {
                told.change(|body| body["outputs"] = json!([]));
            }
        },
        &["v2.infer.answers", "http.gzip-response", "binary.same-bits", "grpc.same-typed", "grpc.same-raw"],
    ),
    told(
        "another model's name",
        |asked, told| {
            if asked.infers() {
                told.change(|body| body["model_name"] = json!("other"));
            }
        },
        &["v2.infer.model-name"],
    ),
    told(
        "ids are forgotten",
        |asked, told| {
            if asked.infers() {
                told.change(|body| drop(body.as_object_mut().unwrap().remove("id")));
            }
        },
        &["v2.infer.id-echoed", "v2.infer.any-id", "http.at-once"],
    ),
    told(
        "ids are cut",
        |asked, told| {
            if asked.infers() {
                told.change(|body| {
                    if let Some(id) = body["id"].as_str().map(|id| id.chars().take(36).collect::<String>()) {
                        body["id"] = json!(id);
                    }
                });
            }
        },
        &["v2.infer.any-id"],
    ),
    told(
        "answers of one caller for all",
        |asked, told| {
            if asked.infers() {
                told.change(|body| {
                    if body["id"].as_str().is_some_and(|id| id.parse::<u8>().is_ok()) {
                        body["id"] = json!("0");
                    }
                });
            }
        },
        &["http.at-once"],
    ),
    told(
        "outputs without shape",
        |asked, told| {
            if asked.infers() {
                told.output(|output| drop(output.as_object_mut().unwrap().remove("shape")));
            }
        },
        &[
            "v2.infer.answers",
            "v2.infer.output-*",
            "v2.infer.data-*",
            "v2.infer.as-declared",
            "v2.infer.id-optional",
            "v2.infer.nested-data",
            "v2.infer.unknown-*",
            "v2.infer.version",
            "http.gzip-request",
            "binary.inputs",
            "binary.output-wins",
            "binary.unasked",
        ],
    ),
    told(
        "an element is lost",
        |asked, told| {
            if asked.infers() {
                told.output(|output| drop(output["data"].as_array_mut().map(Vec::pop)));
            }
        },
        &["v2.infer.data-length", "binary.same-bits", "grpc.same-typed", "grpc.same-raw", "http.gzip-response"],
    ),
    told(
        "numbers for text",
        |asked, told| {
            if asked.infers() {
                told.output(|output| {
                    if output["name"] == "item_ids" {
                        output["data"][0] = json!(7);
                    }
                });
            }
        },
        &["v2.infer.data-type", "v2.infer.nested-data", "http.gzip-request", "binary.inputs"],
    ),
    told(
        "another datatype than declared",
        |asked, told| {
            if asked.infers() && told.is_json() {
                told.change(|body| {
                    if body["outputs"][1]["name"] == "scores" {
                        body["outputs"][1]["datatype"] = json!("FP64");
                    }
                });
            }
        },
        &["v2.infer.as-declared", "http.gzip-response", "binary.same-bits", "grpc.same-typed", "grpc.same-raw"],
    ),
    asked(
        "wanted outputs are not read",
        |asked| {
            if asked.infers() {
                asked.change(|body| drop(body.as_object_mut().unwrap().remove("outputs")));
            }
        },
        &[
            "v2.infer.output-selection",
            "v2.infer.output-order",
            "v2.errors.unknown-output*",
            "binary.one-output",
            "binary.output-wins",
        ],
    ),
    told(
        "outputs in an order of its own",
        |asked, told| {
            if asked.infers() && asked.json()["outputs"].as_array().is_some_and(|o| o.len() == 2) {
                told.change(|body| body["outputs"].as_array_mut().unwrap().reverse());
            }
        },
        &["v2.infer.output-order"],
    ),
    told(
        "flat data only",
        |asked, told| {
            if asked.infers()
                && asked.json()["inputs"].as_array().is_some_and(|i| i.iter().any(|i| i["data"][0].is_array()))
            {
                told.refuse(400);
            }
        },
        &["v2.infer.nested-data"],
    ),
    told(
        "nested data in columns",
        |asked, told| {
            if asked.infers()
                && asked.json()["inputs"].as_array().is_some_and(|i| i.iter().any(|i| i["data"][0].is_array()))
            {
                told.output(|output| output["data"].as_array_mut().unwrap().reverse());
            }
        },
        &["v2.infer.nested-data"],
    ),
    told(
        "ids are demanded",
        |asked, told| {
            if asked.infers()
                && asked.json()["inputs"].is_array()
                && asked.json()["id"].is_null()
                && asked.path.contains("recommender")
            {
                told.refuse(400);
            }
        },
        &["v2.infer.id-optional", "v2.errors.unknown-version-404"],
    ),
    told(
        "unknown parameters are refused",
        |asked, told| {
            if asked.json()["parameters"]["conform_unknown"].is_boolean() {
                told.refuse(400);
            }
        },
        &["v2.infer.unknown-parameters"],
    ),
    told(
        "unknown members are refused",
        |asked, told| {
            if asked.json()["conform_unknown"].is_array() {
                told.refuse(400);
            }
        },
        &["v2.infer.unknown-members"],
    ),
    told(
        "no version infers",
        |asked, told| {
            if asked.path.ends_with("/versions/7/infer") {
                told.refuse(501);
            }
        },
        &["v2.infer.version"],
    ),
    told(
        "a version nobody listed",
        |asked, told| {
            if asked.infers() {
                told.change(|body| body["model_version"] = json!("8"));
            }
        },
        &["v2.infer.version", "v2.infer.model-version"],
    ),
];
