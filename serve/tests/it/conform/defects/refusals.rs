//! Defects of what V2 refuses, of its bytes, of V1, the repository and the statistics.

use serde_json::{Value, json};

use super::{Defect, asked, protocol::NOBODY, told};
use crate::conform::wrong::Told;

const INDEX: &str = "/v2/repository/index";
/// Length of the JSON in front of bytes.
const LENGTH: &str = "inference-header-content-length";

pub(super) const DEFECTS: &[&[Defect]] = &[REFUSALS, BYTES, V1, LISTS];

const REFUSALS: &[Defect] = &[
    told(
        "nothing is refused",
        |asked, told| {
            let predicts = asked.infers() || asked.path.ends_with(":predict");
            if predicts && asked.method == "POST" && told.status.as_u16() < 413 && told.status != 200 {
                told.say(200, &json!({}));
            }
        },
        &[
            "v2.errors.unknown-model",
            "v2.errors.unknown-version",
            "v2.errors.malformed-json",
            "v2.errors.empty-body",
            "v2.errors.not-an-object",
            "v2.errors.nan",
            "v2.errors.no-inputs",
            "v2.errors.input-missing",
            "v2.errors.unknown-input",
            "v2.errors.input-twice",
            "v2.errors.no-name",
            "v2.errors.no-shape",
            "v2.errors.no-datatype",
            "v2.errors.no-data",
            "v2.errors.element-count",
            "v2.errors.negative-shape",
            "v2.errors.huge-shape",
            "v2.errors.unknown-datatype",
            "v2.errors.wrong-datatype",
            "v2.errors.wrong-element",
            "v2.errors.unknown-output",
            "v2.errors.deep-json",
            "v2.errors.content-type",
            "binary.header-beyond-body",
            "binary.header-no-number",
            "binary.header-overflow",
            "binary.bytes-left-over",
            "binary.size-beyond-body",
            "binary.size-of-other-shape",
            "binary.data-and-size",
            "v1.not-a-list",
            "v1.neither",
            "v1.malformed-json",
            "v1.unknown-model",
            "v2.errors.*-400",
            "v2.errors.*-404",
            "binary.*-400",
            "v1.*-400",
            "v1.unknown-model-404",
        ],
    ),
    told(
        "refusals without words",
        |asked, told| {
            if told.status.as_u16() >= 400 && !asked.path.contains("GRPC") {
                told.say(told.status.as_u16(), &json!({ "detail": [{ "loc": ["body"] }] }));
            }
        },
        &[
            "v2.errors.unknown-model",
            "v2.errors.unknown-version",
            "v2.errors.malformed-json",
            "v2.errors.empty-body",
            "v2.errors.not-an-object",
            "v2.errors.nan",
            "v2.errors.no-inputs",
            "v2.errors.input-missing",
            "v2.errors.unknown-input",
            "v2.errors.input-twice",
            "v2.errors.no-name",
            "v2.errors.no-shape",
            "v2.errors.no-datatype",
            "v2.errors.no-data",
            "v2.errors.element-count",
            "v2.errors.negative-shape",
            "v2.errors.huge-shape",
            "v2.errors.unknown-datatype",
            "v2.errors.wrong-datatype",
            "v2.errors.wrong-element",
            "v2.errors.unknown-output",
            "v2.errors.deep-json",
            "v2.errors.content-type",
            "binary.header-beyond-body",
            "binary.header-no-number",
            "binary.header-overflow",
            "binary.bytes-left-over",
            "binary.size-beyond-body",
            "binary.size-of-other-shape",
            "binary.data-and-size",
            "v1.not-a-list",
            "v1.neither",
            "v1.malformed-json",
            "v1.unknown-model",
            "v2.health.unknown-model-404",
            "v2.metadata.unknown-model",
            "v2.metadata.unknown-version-404",
            "http.unknown-path",
            "v1.unknown-ready",
        ],
    ),
    told(
        "one status for everything",
        |asked, told| {
            if told.status.as_u16() >= 400 && !asked.path.contains("GRPC") {
                told.refuse(500);
            }
        },
        &[
            "v2.health.unknown-model-404",
            "v2.metadata.unknown-*-404",
            "v2.errors.*-400",
            "v2.errors.*-404",
            "http.unknown-path",
            "http.wrong-method",
            "http.oversized-413",
            "binary.*-400",
            "v1.*-400",
            "v1.*-404",
        ],
    ),
    told(
        "the program's inside in an error",
        |asked, told| {
            if asked.infers() && told.status == 400 {
                told.say(400, &json!({ "error": "Traceback (most recent call last):\n File \"server.py\"" }));
            }
        },
        &["v2.errors.no-trace"],
    ),
    told(
        "errors as text",
        |_, told| {
            if told.status.as_u16() >= 400 {
                told.headers.insert("content-type", "text/plain".parse().unwrap());
            }
        },
        &["v2.errors.content-type"],
    ),
    told(
        "a stack that overflows",
        |asked, told| {
            if asked.body.windows(9).any(|w| w == b"[[[[[[[[[") {
                told.body = "".into();
            }
        },
        &["v2.errors.deep-json"],
    ),
];

/// Changes the JSON in front of bytes, and the bytes.
fn binary(told: &mut Told, change: impl FnOnce(&mut Value, &mut Vec<u8>)) {
    let Some(length) = told.headers.get(LENGTH).map(|length| length.to_str().unwrap().parse().unwrap()) else { return };
    let (front, raw) = told.body.split_at(length);
    let (mut json, mut raw): (Value, _) = (serde_json::from_slice(front).unwrap(), raw.to_vec());
    change(&mut json, &mut raw);
    let front = json.to_string();
    told.headers.insert(LENGTH, front.len().into());
    told.body = [front.as_bytes(), &raw].concat().into();
}

const BYTES: &[Defect] = &[
    told(
        "inputs as bytes are misread",
        |asked, told| {
            if !asked.header(LENGTH).is_empty() {
                told.output(|output| output["data"].as_array_mut().unwrap().reverse());
            }
        },
        &["binary.inputs"],
    ),
    told(
        "bytes of another length",
        |_, told| binary(told, |json, _| json["outputs"][0]["parameters"]["binary_data_size"] = json!(3)),
        &["binary.outputs", "binary.no-data", "binary.same-bits", "binary.content-type", "binary.one-output"],
    ),
    told(
        "bytes and data both",
        |_, told| binary(told, |json, _| json["outputs"][0]["data"] = json!(["b1"])),
        &["binary.no-data"],
    ),
    told(
        "a bit is flipped",
        |_, told| {
            // Behind the first output come scores, where any bit will do.
            binary(told, |json, raw| {
                if json["outputs"][1]["name"] == "scores" {
                    raw[json["outputs"][0]["parameters"]["binary_data_size"].as_u64().unwrap() as usize] ^= 1;
                }
            });
        },
        &["binary.same-bits"],
    ),
    told(
        "bytes called JSON",
        |_, told| {
            if told.headers.contains_key(LENGTH) {
                told.headers.insert("content-type", "application/json".parse().unwrap());
            }
        },
        &["binary.content-type"],
    ),
    asked(
        "bytes are never given",
        |asked| {
            if asked.infers() {
                asked.change(|body| {
                    for place in ["/parameters/binary_data_output", "/outputs/0/parameters/binary_data"] {
                        if let Some(wish) = body.pointer_mut(place) {
                            *wish = json!(false);
                        }
                    }
                });
            }
        },
        &["binary.outputs", "binary.no-data", "binary.same-bits", "binary.content-type", "binary.one-output"],
    ),
    asked(
        "an output's wish is not read",
        |asked| {
            if asked.infers() {
                asked.change(|body| {
                    if body["parameters"]["binary_data_output"] == true
                        && let Some(wishes) = body.pointer_mut("/outputs/0/parameters")
                    {
                        *wishes = json!({});
                    }
                });
            }
        },
        &["binary.output-wins"],
    ),
    told(
        "a length where no bytes are",
        |_, told| {
            if !told.headers.contains_key(LENGTH) {
                let length = told.body.len();
                told.headers.insert(LENGTH, length.into());
            }
        },
        &["binary.unasked"],
    ),
];

const V1: &[Defect] = &[
    told(
        "V1: ready without saying so",
        |asked, told| {
            if asked.path == "/v1/models/recommender" {
                told.say(200, &json!({}));
            }
        },
        &["v1.ready"],
    ),
    told(
        "V1: every model is ready",
        |asked, told| {
            if asked.path == format!("/v1/models/{NOBODY}") {
                told.say(200, &json!({ "name": NOBODY, "ready": true }));
            }
        },
        &["v1.unknown-ready*"],
    ),
    told(
        "V1: predictions under another name",
        |asked, told| {
            if asked.path.ends_with(":predict") {
                told.change(|body| {
                    let list = body["predictions"].take();
                    *body = json!({ "outputs": list });
                });
            }
        },
        &["v1.predict", "v1.one-each", "v1.no-instances", "v1.inputs", "v1.charset", "v1.no-content-type", "v1.rows"],
    ),
    told(
        "V1: one prediction, whoever asks",
        |asked, told| {
            if asked.path.ends_with(":predict") {
                told.change(|body| body["predictions"] = json!([{}]));
            }
        },
        &["v1.one-each", "v1.no-instances", "v1.rows"],
    ),
    told(
        "V1: instances only",
        |asked, told| {
            if asked.path.ends_with(":predict") && asked.json()["inputs"].is_array() {
                told.refuse(400);
            }
        },
        &["v1.inputs"],
    ),
];

const LISTS: &[Defect] = &[
    told(
        "a model that is never READY",
        |asked, told| {
            if asked.path == INDEX {
                told.change(|rows| rows[0]["state"] = json!("LOADING"));
            }
        },
        &["repository.*"],
    ),
    told(
        "an index that needs a body",
        |asked, told| {
            if asked.path == INDEX && asked.body.is_empty() {
                told.refuse(400);
            }
        },
        &["repository.empty-body"],
    ),
    told(
        "ready is not read",
        |asked, told| {
            if asked.path == INDEX && asked.json()["ready"] == true {
                told.change(|rows| {
                    rows.as_array_mut().unwrap().push(json!({ "name": "x", "state": "UNAVAILABLE" }));
                });
            }
        },
        &["repository.ready-only"],
    ),
    told(
        "statistics of nothing",
        |asked, told| {
            if asked.path.ends_with("/stats") {
                told.change(|body| body["model_stats"] = json!(7));
            }
        },
        &["statistics.*"],
    ),
    told(
        "statistics without times",
        |asked, told| {
            if asked.path.ends_with("/stats") {
                told.change(|body| body["model_stats"][0]["inference_stats"] = json!({}));
            }
        },
        &["statistics.model"],
    ),
    told(
        "counts that stand still",
        |asked, told| {
            if asked.path.ends_with("/stats") {
                told.change(|body| body["model_stats"][0]["execution_count"] = json!(1));
            }
        },
        &["statistics.rise"],
    ),
];
