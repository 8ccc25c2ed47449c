//! V2, the Open Inference Protocol as JSON: named tensors in, named tensors out.
//!
//! Inputs: `user_id` BYTES `[n]`, and optionally `k` INT32 `[1]` or `[n]`, `history` BYTES `[n]`, each element a JSON list
//! of book ids as text (`"[\"b1\",\"b2\"]"`, empty text for none), and `features` FP32 `[n, f]`.
//!
//! Parameters of the request, all optional: `timeout` in microseconds, and rules that hold for every reader:
//! `available_only`, `max_per_author`, `max_per_series`, `diversity`, and as JSON lists inside text `languages`,
//! `exclude_authors`, `exclude_subjects`.
//!
//! Outputs, `w` being the longest list: `item_ids` BYTES, `scores` FP32 and `titles` BYTES, each `[n, w]`, shorter lists
//! padded by empty text and 0.0 (no book has an empty id); `model_versions` and `fallbacks` BYTES `[n]`, the version that
//! scored each reader and why its list is not the model's first choice, or empty text.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use models::top_k::Scored;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    DEFAULT_K, Id, TensorSpec, check_books, check_features, check_k, json,
    rules::{self, Given, Sent},
    tensor::{self, Element, Family},
};
use crate::{
    config::MAX_INSTANCES,
    engine::{Answer, Ask, Fallback},
    error::{Refusal, cut},
    service::Answered,
};

/// What may be sent.
pub(crate) const INPUTS: [TensorSpec; 4] =
    [("user_id", "BYTES", &[-1]), ("k", "INT32", &[-1]), ("history", "BYTES", &[-1]), ("features", "FP32", &[-1, -1])];

/// What is returned, in this order unless asked otherwise.
pub(crate) const OUTPUTS: [TensorSpec; 5] = [
    ("item_ids", "BYTES", &[-1, -1]),
    ("scores", "FP32", &[-1, -1]),
    ("titles", "BYTES", &[-1, -1]),
    ("model_versions", "BYTES", &[-1]),
    ("fallbacks", "BYTES", &[-1]),
];

/// A decoded inference request.
#[derive(Debug)]
pub(crate) struct Infer {
    pub(crate) id: Option<String>,
    pub(crate) asks: Vec<Ask>,
    /// Wanted outputs by name, in the wanted order.
    pub(crate) outputs: Vec<&'static str>,
    /// Least of the caller's patience and ours.
    pub(crate) timeout: Option<Duration>,
}

type Parameters = BTreeMap<String, Parameter>;

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Parameter {
    Switch(bool),
    Number(serde_json::Number),
    Text(String),
}

impl From<Parameter> for Given {
    fn from(parameter: Parameter) -> Self {
        match parameter {
            Parameter::Switch(value) => Self::Switch(value),
            Parameter::Number(number) => Self::Number(number),
            Parameter::Text(text) => Self::Text(text),
        }
    }
}

#[derive(Deserialize)]
struct Body<'a> {
    id: Option<String>,
    parameters: Option<Parameters>,
    #[serde(borrow)]
    inputs: Option<Vec<Input<'a>>>,
    #[serde(borrow)]
    outputs: Option<Vec<Output<'a>>>,
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    shape: Vec<i64>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(rename = "parameters")]
    _parameters: Option<Parameters>,
}

/// The questions of an `infer` body.
pub(crate) fn decode(body: &[u8]) -> Result<Infer, Refusal> {
    let Body { id, parameters, inputs, outputs } = json::object(body)?;
    let inputs = inputs.ok_or_else(|| Refusal::bad("expected \"inputs\""))?;
    let mut by_name: BTreeMap<&'static str, Input<'_>> = BTreeMap::new();
    for input in inputs {
        let Some((name, ..)) = INPUTS.iter().find(|(name, ..)| *name == input.name) else {
            return Err(Refusal::bad(format!(
                "unknown input {:?}; this model takes {}",
                cut(&input.name),
                names(&INPUTS)
            )));
        };
        if by_name.insert(name, input).is_some() {
            return Err(Refusal::bad(format!("input {name:?} given twice")));
        }
    }
    if !by_name.contains_key("user_id") {
        let found: Vec<&str> = by_name.keys().copied().collect();
        let words = format!("missing input \"user_id\"; this model takes {}, found {found:?}", names(&INPUTS));
        return Err(Refusal::bad(words));
    }
    let mut parameters = parameters.unwrap_or_default();
    let timeout = match parameters.remove("timeout") {
        None => None,
        Some(Parameter::Number(micros)) if micros.is_u64() => micros.as_u64().map(Duration::from_micros),
        Some(_) => return Err(Refusal::bad("parameter timeout: expected an integer of microseconds")),
    };
    let mut asks = asks(&by_name)?;
    obey(&mut asks, parameters.into_iter().map(|(name, value)| (name, value.into())).collect())?;
    Ok(Infer { id, asks, outputs: wanted(outputs.unwrap_or_default())?, timeout })
}

/// Puts the rules among a request's parameters on every reader.
fn obey(asks: &mut [Ask], parameters: BTreeMap<String, Given>) -> Result<(), Refusal> {
    let rules = Sent::from_parameters(parameters)?.check(1)?;
    for ask in asks {
        rules::fits(&rules, ask.k)?;
        ask.rules = rules.clone();
    }
    Ok(())
}

fn names(specs: &[TensorSpec]) -> String {
    format!("{:?}", specs.iter().map(|(name, ..)| *name).collect::<Vec<_>>())
}

fn wanted(outputs: Vec<Output<'_>>) -> Result<Vec<&'static str>, Refusal> {
    if outputs.is_empty() {
        return Ok(OUTPUTS.iter().map(|(name, ..)| *name).collect());
    }
    let mut wanted = Vec::with_capacity(outputs.len());
    for output in outputs {
        let Some((name, ..)) = OUTPUTS.iter().find(|(name, ..)| *name == output.name) else {
            let words = format!("unknown output {:?}; this model gives {}", cut(&output.name), names(&OUTPUTS));
            return Err(Refusal::bad(words));
        };
        if wanted.contains(name) {
            return Err(Refusal::bad(format!("output {name:?} asked for twice")));
        }
        wanted.push(*name);
    }
    Ok(wanted)
}

/// One input's elements, after its datatype was found to be of the right family.
fn data(name: &str, input: &Input<'_>, fits: impl Fn(Family) -> bool, want: &str) -> Result<Vec<Element>, Refusal> {
    let at = |refusal: Refusal| Refusal::bad(format!("input {name:?}: {refusal}"));
    if input.parameters.as_ref().is_some_and(|parameters| parameters.contains_key("binary_data_size")) {
        return Err(at(Refusal::bad("binary tensors are not offered, send \"data\"")));
    }
    let family = tensor::family(&input.datatype).map_err(at)?;
    if !fits(family) {
        return Err(at(Refusal::bad(format!("expected datatype {want}, found {}", cut(&input.datatype)))));
    }
    let data = input.data.ok_or_else(|| at(Refusal::bad("expected \"data\"")))?;
    let elements = tensor::elements(data, &input.shape).map_err(at)?;
    let belongs = |element: &Element| match (family, element) {
        (Family::Text, Element::Text(_)) | (Family::Float, Element::Integer(_) | Element::Float(_)) => true,
        (Family::Integer(low, high), Element::Integer(number)) => (low..=high).contains(number),
        _ => false,
    };
    match elements.iter().position(|element| !belongs(element)) {
        Some(place) => Err(at(Refusal::bad(format!("element {place} is not a {}", cut(&input.datatype))))),
        None => Ok(elements),
    }
}

fn asks(inputs: &BTreeMap<&'static str, Input<'_>>) -> Result<Vec<Ask>, Refusal> {
    let readers = texts(&inputs["user_id"], "user_id")?;
    let n = readers.len();
    if n > MAX_INSTANCES {
        return Err(Refusal::bad(format!("input \"user_id\": expected at most {MAX_INSTANCES} readers, found {n}")));
    }
    let one_each = |name: &str, found: usize| {
        if found == n {
            Ok(())
        } else {
            Err(Refusal::bad(format!("input {name:?}: expected {n} elements, found {found}")))
        }
    };
    let mut asks = Vec::with_capacity(n);
    for reader in readers {
        asks.push(Ask { reader: Some(Id(reader).reader()?), k: DEFAULT_K, ..Ask::default() });
    }
    if let Some(input) = inputs.get("k") {
        let elements = data("k", input, |family| matches!(family, Family::Integer(..)), "INT32")?;
        if elements.len() != 1 {
            one_each("k", elements.len())?;
        }
        for (ask, element) in asks.iter_mut().zip(elements.iter().cycle()) {
            let Element::Integer(k) = element else { continue };
            ask.k = check_k(*k)?;
        }
    }
    if let Some(input) = inputs.get("history") {
        let histories = texts(input, "history")?;
        one_each("history", histories.len())?;
        for (index, (ask, history)) in asks.iter_mut().zip(histories).enumerate() {
            if history.is_empty() {
                continue;
            }
            let at = |refusal: Refusal| Refusal::bad(format!("input \"history\": element {index}: {refusal}"));
            let ids: Vec<Id> = json::parse(history.as_bytes()).map_err(at)?;
            ask.history = check_books("history", &ids).map_err(at)?;
        }
    }
    if let Some(input) = inputs.get("features") {
        let elements = data("features", input, |family| family == Family::Float, "FP32")?;
        one_each("features", input.shape.first().map_or(1, |rows| *rows as usize))?;
        let width = elements.len().checked_div(n).unwrap_or(0);
        for (index, ask) in asks.iter_mut().enumerate() {
            let numbers = elements[index * width..(index + 1) * width].iter().map(|element| match element {
                Element::Float(number) => *number,
                Element::Integer(number) => *number as f64,
                Element::Text(_) => f64::NAN,
            });
            ask.features = check_features(&numbers.collect::<Vec<f64>>())?;
        }
    }
    Ok(asks)
}

fn texts(input: &Input<'_>, name: &str) -> Result<Vec<String>, Refusal> {
    let elements = data(name, input, |family| family == Family::Text, "BYTES")?;
    let text = |element| if let Element::Text(text) = element { Some(text) } else { None };
    Ok(elements.into_iter().filter_map(text).collect())
}

#[derive(Serialize)]
struct Response<'a> {
    model_name: &'a str,
    model_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    parameters: ResponseParameters,
    outputs: Vec<Tensor<'a>>,
}

#[derive(Serialize)]
struct ResponseParameters {
    variant: &'static str,
    alias: &'static str,
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'static str,
    shape: Vec<usize>,
    datatype: &'static str,
    data: Values<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Values<'a> {
    Text(Vec<Cow<'a, str>>),
    Float(Vec<f32>),
}

/// The body of an `infer` answer. When the readers of a call met both arms, `model_version` is production's, `variant`
/// is `mixed`, and `model_versions` tells them apart.
pub(crate) fn encode(model: &str, id: Option<String>, outputs: &[&'static str], answered: &Answered) -> Vec<u8> {
    let mut served = answered.rows.iter().map(|(_, answer)| answered.served(answer));
    let first = served.next().unwrap_or(&answered.snapshot.stable);
    let mixed = served.any(|other| other.arm != first.arm);
    let reported = if mixed { &answered.snapshot.stable } else { first };
    let variant = if mixed { "mixed" } else { reported.arm.as_str() };
    let response = Response {
        model_name: model,
        model_version: reported.version.to_string(),
        id,
        parameters: ResponseParameters { variant, alias: reported.alias() },
        outputs: outputs.iter().map(|name| tensor_of(name, answered)).collect(),
    };
    serde_json::to_vec(&response).expect("scores are finite and keys are text")
}

fn tensor_of<'a>(name: &'static str, answered: &'a Answered) -> Tensor<'a> {
    let n = answered.rows.len();
    let width = answered.rows.iter().map(|(_, answer)| answer.books.len()).max().unwrap_or(0);
    let book = |answer: &'a Answer, scored: &Scored| answered.served(answer).artifact.catalogue().book(scored.row);
    let text_lists = |text: &dyn Fn(models::BookRef<'a>) -> &'a str| {
        padded(answered, width, Cow::Borrowed(""), |answer, scored| Cow::Borrowed(text(book(answer, scored))))
    };
    let per_row = |text: &dyn Fn(&'a Answer) -> Cow<'a, str>| answered.rows.iter().map(|(_, a)| text(a)).collect();
    let (shape, datatype, data) = match name {
        "item_ids" => (vec![n, width], "BYTES", Values::Text(text_lists(&models::BookRef::item_id))),
        "titles" => (vec![n, width], "BYTES", Values::Text(text_lists(&|book| book.title().unwrap_or_default()))),
        "scores" => (vec![n, width], "FP32", Values::Float(padded(answered, width, 0.0, |_, scored| scored.score))),
        "model_versions" => {
            let versions = per_row(&|answer| answered.served(answer).version.to_string().into());
            (vec![n], "BYTES", Values::Text(versions))
        }
        _ => {
            let reasons = per_row(&|answer| answer.fallback.map_or("", Fallback::as_str).into());
            (vec![n], "BYTES", Values::Text(reasons))
        }
    };
    Tensor { name, shape, datatype, data }
}

/// One value per listed book, row-major `[n, width]`, short lists filled up with `pad`.
fn padded<'a, T: Clone>(
    answered: &'a Answered,
    width: usize,
    pad: T,
    value: impl Fn(&'a Answer, &Scored) -> T,
) -> Vec<T> {
    let mut values = Vec::with_capacity(width * answered.rows.len());
    for (row, (_, answer)) in answered.rows.iter().enumerate() {
        values.extend(answer.books.iter().map(|scored| value(answer, scored)));
        values.resize((row + 1) * width, pad.clone());
    }
    values
}

/// What the metadata calls show of tensors.
#[derive(Serialize)]
pub(crate) struct TensorMetadata {
    name: &'static str,
    datatype: &'static str,
    shape: &'static [i64],
}

/// Specifications as metadata.
pub(crate) fn metadata(specs: &[TensorSpec]) -> Vec<TensorMetadata> {
    specs.iter().map(|(name, datatype, shape)| TensorMetadata { name, datatype, shape }).collect()
}

/// Whether a repository index is asked for ready models only.
pub(crate) fn decode_index(body: &[u8]) -> Result<bool, Refusal> {
    #[derive(Deserialize)]
    struct Index {
        ready: Option<bool>,
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(false);
    }
    Ok(json::object::<Index>(body)?.ready.unwrap_or(false))
}

#[cfg(test)]
mod tests;
