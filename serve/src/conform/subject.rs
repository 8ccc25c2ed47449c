//! What is known of a server before its points are graded, read from its own answers.

use serde_json::{Value, json};

use super::{
    check::{Fault, not_offered},
    exchange::Reply,
    sample,
    tensor::Tensor,
};

/// Names under which servers announce tensors as bytes.
const BINARY: [&str; 3] = ["binary_tensor_data", "binary_tensor", "binary_data"];
/// A model that nobody has.
pub(super) const NOBODY: &str = "conform-no-such-model";
/// A version that nobody has.
pub(super) const NO_VERSION: &str = "999999999";
/// The id of requests.
pub(super) const ID: &str = "conform-7f3";

/// The server as it was met.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) model: String,
    /// Extensions that the server says it has.
    pub(super) announced: Vec<String>,
    /// Versions that the model says it has.
    pub(super) versions: Vec<String>,
    pub(super) inputs: Vec<Tensor>,
    pub(super) outputs: Vec<Tensor>,
    /// A request that is answered, or why there is none.
    pub(super) sample: Result<Sample, String>,
    /// Whether V1 is spoken here.
    pub(super) v1: bool,
    /// Instances for V1, or why there are none.
    pub(super) instances: Result<Vec<Value>, String>,
    /// Whether gRPC is spoken, here or where the caller says.
    pub(super) grpc: bool,
}

/// A request and what the model answers.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// With JSON tensors and without an id.
    pub(super) body: Value,
    pub(super) answer: Value,
    /// Whether the same request was answered twice with the same tensors.
    pub(super) steady: bool,
}

impl Subject {
    /// A server of which only the model's name is known.
    pub(super) fn new(model: String) -> Self {
        Self {
            model,
            announced: Vec::new(),
            versions: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            sample: Err("no request was tried".to_owned()),
            v1: false,
            instances: Err("no instances were tried".to_owned()),
            grpc: false,
        }
    }

    /// A path below the model, as in `/infer`; the model's own with nothing.
    pub(super) fn path(&self, below: &str) -> String {
        path_of(&self.model, below)
    }

    /// The path of a version, of which there must be one.
    pub(super) fn version_path(&self, below: &str) -> Result<String, Fault> {
        match self.versions.first() {
            Some(version) => Ok(self.path(&format!("/versions/{}{below}", encoded(version)))),
            None => not_offered("the metadata lists no versions"),
        }
    }

    pub(super) fn v1_path(&self, verb: &str) -> String {
        format!("/v1/models/{}{verb}", encoded(&self.model))
    }

    /// The request that is answered.
    pub(super) fn sample(&self) -> Result<&Sample, Fault> {
        self.sample.as_ref().map_err(|reason| Fault::Skipped(reason.clone()))
    }

    /// That request, of a model that answers the same again.
    pub(super) fn steady(&self) -> Result<&Sample, Fault> {
        let sample = self.sample()?;
        if sample.steady {
            return Ok(sample);
        }
        not_offered("the model answers the same request differently every time")
    }

    pub(super) fn binary(&self) -> Result<(), Fault> {
        if self.announced.iter().any(|name| BINARY.contains(&name.as_str())) {
            return Ok(());
        }
        not_offered(format!("not among the announced extensions {:?}", self.announced))
    }

    pub(super) fn grpc(&self) -> Result<(), Fault> {
        if self.grpc { Ok(()) } else { not_offered("no gRPC at this address; --grpc names another") }
    }

    pub(super) fn v1(&self) -> Result<(), Fault> {
        if self.v1 { Ok(()) } else { not_offered("neither /v1/models nor the model below it") }
    }

    /// Instances, where V1 is spoken.
    pub(super) fn instances(&self) -> Result<&[Value], Fault> {
        self.v1()?;
        self.instances.as_deref().map_err(|reason| Fault::Skipped(reason.clone()))
    }

    /// Takes in what the server says of itself.
    pub(super) fn learn_server(&mut self, reply: &Reply) {
        self.announced = texts(&reply.object().unwrap_or_default()["extensions"]);
    }

    /// Takes in what the model says of itself.
    pub(super) fn learn_model(&mut self, reply: &Reply) {
        let metadata = reply.object().unwrap_or_default();
        let tensors = |name: &str| {
            let listed = metadata[name].as_array().map_or(&[][..], Vec::as_slice);
            listed.iter().filter_map(|tensor| Tensor::read(tensor, -1).ok()).collect()
        };
        (self.inputs, self.outputs) = (tensors("inputs"), tensors("outputs"));
        self.versions = texts(&metadata["versions"]);
    }

    /// Takes in a request and its two answers.
    pub(super) fn learn_sample(&mut self, body: Value, answers: [Value; 2]) {
        let [answer, again] = answers;
        let steady = answer["outputs"] == again["outputs"];
        self.sample = Ok(Sample { body, answer, steady });
    }

    /// Instances made from the sample: an object with the first element of each input.
    pub(super) fn made_instances(&self) -> Result<Vec<Value>, String> {
        let sample = self.sample.as_ref().map_err(Clone::clone)?;
        let member = |(input, elements): (Tensor, Vec<&Value>)| Some((input.name, (*elements.first()?).clone()));
        Ok(vec![sample::inputs(&sample.body).filter_map(member).collect()])
    }
}

/// A path below a model, which need not exist.
pub(super) fn path_of(model: &str, below: &str) -> String {
    format!("/v2/models/{}{below}", encoded(model))
}

/// The models that listings name, each once.
pub(super) fn listed<'a>(replies: impl IntoIterator<Item = &'a Reply>) -> Vec<String> {
    let mut names = Vec::new();
    for reply in replies.into_iter().filter(|reply| reply.status == 200) {
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let rows = body.as_array().map_or(&[][..], Vec::as_slice);
        let found = rows.iter().filter_map(|row| row["name"].as_str().map(str::to_owned));
        for name in texts(&body["models"]).into_iter().chain(found) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// The request as graded: with an id.
pub(super) fn named(sample: &Sample) -> Value {
    sample::with(&sample.body, json!({ "id": ID }))
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    list.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// A name as one segment of a path.
fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(body: &Value) -> Reply {
        Reply { status: 200, headers: Vec::new(), body: body.to_string().into() }
    }

    #[test]
    fn models_are_listed_once_whoever_names_them() {
        let replies = [
            reply(&json!({"models": ["a", "b"]})),
            reply(&json!([{"name": "b", "state": "READY"}, {"name": "c"}])),
            Reply { status: 404, ..reply(&json!({"models": ["d"]})) },
        ];
        assert_eq!(listed(&replies), ["a", "b", "c"]);
    }

    #[test]
    fn names_are_one_segment() {
        assert_eq!(path_of("a/b c", "/infer"), "/v2/models/a%2Fb%20c/infer");
    }

    #[test]
    fn instances_are_made_from_the_sample() {
        let mut subject = Subject::new("m".into());
        assert!(subject.made_instances().is_err());
        let input = json!({"name": "user_id", "datatype": "BYTES", "shape": [2], "data": ["u", "v"]});
        let answers = [json!({"id": 1, "outputs": []}), json!({"id": 2, "outputs": []})];
        subject.learn_sample(json!({ "inputs": [input] }), answers);
        assert_eq!(subject.made_instances(), Ok(vec![json!({"user_id": "u"})]));
        assert!(subject.steady().is_ok());
    }
}
