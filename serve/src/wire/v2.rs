//! V2, the Open Inference Protocol: named tensors in, named tensors out, as JSON, as bytes behind it, or as messages.
//!
//! Inputs, at least one of the first three: `user_id` BYTES `[n]`; `book_id` BYTES `[n]`, a book to which similar ones are
//! wanted; `history` BYTES `[n]`, each element a JSON list of book ids as text (`"[\"b1\",\"b2\"]"`). Besides, `exclude`
//! BYTES `[n]`, lists like histories; `k` INT32 `[1]` or `[n]`; `features` FP32 `[n, f]`. Empty text stands for nothing; who
//! is nothing at all is a reader of whom nothing is known.
//!
//! Parameters of the request, all optional: `timeout` in microseconds, `include_seen`, and rules that hold for every
//! reader: `available_only`, `max_per_author`, `max_per_series`, `diversity`, and as JSON lists inside text `languages`,
//! `exclude_authors`, `exclude_subjects`.
//!
//! Outputs, `w` being the longest list: `item_ids` BYTES, `scores` FP32 and `titles` BYTES, each `[n, w]`, shorter lists
//! padded by empty text and 0.0 (no book has an empty id); `model_versions` and `fallbacks` BYTES `[n]`, the version that
//! scored each reader and why its list is not the model's first choice, or empty text.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use models::BookId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    DEFAULT_K, Id, TensorSpec,
    binary::{self, Parts, Rest},
    check_books, check_features, check_k, json,
    rules::{self, Given, Sent},
    tensor::{self, Element, Family},
};
use crate::{
    config::MAX_INSTANCES,
    engine::Ask,
    error::{Refusal, cut},
};

pub(crate) use self::answer::{Encoded, encode};

/// What may be sent.
pub(crate) const INPUTS: [TensorSpec; 6] = [
    ("user_id", "BYTES", &[-1]),
    ("book_id", "BYTES", &[-1]),
    ("history", "BYTES", &[-1]),
    ("exclude", "BYTES", &[-1]),
    ("k", "INT32", &[-1]),
    ("features", "FP32", &[-1, -1]),
];

/// What a list may be for; one of them says how many lists are wanted.
const SUBJECTS: [&str; 3] = ["user_id", "book_id", "history"];

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
    /// Wanted outputs, in the wanted order.
    pub(crate) outputs: Vec<Wanted>,
    /// Least of the caller's patience and ours.
    pub(crate) timeout: Option<Duration>,
}

/// An output as it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: &'static str,
    /// As bytes behind the JSON instead of inside it.
    pub(crate) binary: bool,
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
    inputs: Option<Vec<JsonInput<'a>>>,
    #[serde(borrow)]
    outputs: Option<Vec<Output<'a>>>,
}

#[derive(Deserialize)]
struct JsonInput<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    shape: Vec<i64>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    parameters: Option<Parameters>,
}

/// A named tensor, whichever way its elements came.
struct Input<'a> {
    name: Cow<'a, str>,
    shape: Vec<i64>,
    datatype: Cow<'a, str>,
    data: Data<'a>,
}

enum Data<'a> {
    Json(&'a RawValue),
    Raw(&'a [u8]),
    Typed(Vec<Element>),
}

impl<'a> JsonInput<'a> {
    /// With its elements, which are in the JSON or next in the bytes behind it.
    fn filled(self, rest: &mut Rest<'a>) -> Result<Input<'a>, Refusal> {
        let Self { name, shape, datatype, data, parameters } = self;
        let at = |refusal: Refusal| Refusal::bad(format!("input {:?}: {refusal}", cut(&name)));
        let size = parameters.and_then(|mut parameters| parameters.remove("binary_data_size"));
        let data = match (data, size) {
            (Some(data), None) => Data::Json(data),
            (None, Some(Parameter::Number(size))) if size.is_u64() => {
                let size = size.as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX);
                Data::Raw(rest.take(size).map_err(at)?)
            }
            (None, Some(_)) => return Err(at(Refusal::bad("binary_data_size: expected a number of bytes"))),
            (None, None) => return Err(at(Refusal::bad("expected \"data\" or binary_data_size"))),
            (Some(_), Some(_)) => return Err(at(Refusal::bad("expected \"data\" or binary_data_size, found both"))),
        };
        Ok(Input { name, shape, datatype, data })
    }
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    parameters: Option<Parameters>,
}

/// The questions of an `infer` body: JSON, or JSON with bytes behind it.
pub(crate) fn decode<'a>(body: impl Into<Parts<'a>>) -> Result<Infer, Refusal> {
    let parts = body.into();
    let Body { id, parameters, inputs, outputs } = json::object(parts.json)?;
    let inputs = inputs.ok_or_else(|| Refusal::bad("expected \"inputs\""))?;
    let mut rest = Rest::of(parts);
    let inputs = inputs.into_iter().map(|input| input.filled(&mut rest)).collect::<Result<Vec<_>, _>>()?;
    rest.finish()?;
    assemble(id, parameters.unwrap_or_default(), inputs, outputs.unwrap_or_default())
}

/// A request whose tensors are found, whichever door it came through.
fn assemble(
    id: Option<String>,
    mut parameters: Parameters,
    inputs: Vec<Input<'_>>,
    outputs: Vec<Output<'_>>,
) -> Result<Infer, Refusal> {
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
    let timeout = match parameters.remove("timeout") {
        None => None,
        Some(Parameter::Number(micros)) if micros.is_u64() => micros.as_u64().map(Duration::from_micros),
        Some(_) => return Err(Refusal::bad("parameter timeout: expected an integer of microseconds")),
    };
    let binary = switch(&parameters, "binary_data_output")?.unwrap_or(false);
    let outputs = wanted(outputs, binary)?;
    let include_seen = switch(&parameters, "include_seen")?.unwrap_or(false);
    let mut asks = asks(&by_name, include_seen)?;
    obey(&mut asks, parameters.into_iter().map(|(name, value)| (name, value.into())).collect())?;
    Ok(Infer { id, asks, outputs, timeout })
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

/// A parameter that is true or false, if it is there.
fn switch(parameters: &Parameters, name: &str) -> Result<Option<bool>, Refusal> {
    match parameters.get(name) {
        None => Ok(None),
        Some(Parameter::Switch(on)) => Ok(Some(*on)),
        Some(_) => Err(Refusal::bad(format!("parameter {name}: expected true or false"))),
    }
}

/// The wanted outputs, as bytes where they or, failing that, the whole request say so.
fn wanted(outputs: Vec<Output<'_>>, binary: bool) -> Result<Vec<Wanted>, Refusal> {
    if outputs.is_empty() {
        return Ok(OUTPUTS.iter().map(|(name, ..)| Wanted { name, binary }).collect());
    }
    let mut wanted: Vec<Wanted> = Vec::with_capacity(outputs.len());
    for output in outputs {
        let Some((name, ..)) = OUTPUTS.iter().find(|(name, ..)| *name == output.name) else {
            let words = format!("unknown output {:?}; this model gives {}", cut(&output.name), names(&OUTPUTS));
            return Err(Refusal::bad(words));
        };
        if wanted.iter().any(|wanted| wanted.name == *name) {
            return Err(Refusal::bad(format!("output {name:?} asked for twice")));
        }
        let own = switch(&output.parameters.unwrap_or_default(), "binary_data")?;
        wanted.push(Wanted { name, binary: own.unwrap_or(binary) });
    }
    Ok(wanted)
}

/// One input's elements, after its datatype was found to be of the right family.
fn data(name: &str, input: &Input<'_>, fits: impl Fn(Family) -> bool, want: &str) -> Result<Vec<Element>, Refusal> {
    let at = |refusal: Refusal| Refusal::bad(format!("input {name:?}: {refusal}"));
    let family = tensor::family(&input.datatype).map_err(at)?;
    if !fits(family) {
        return Err(at(Refusal::bad(format!("expected datatype {want}, found {}", cut(&input.datatype)))));
    }
    let elements = match &input.data {
        Data::Json(data) => tensor::elements(data, &input.shape),
        Data::Raw(bytes) => binary::elements(bytes, &input.datatype, &input.shape),
        Data::Typed(elements) => proto::counted(elements, &input.shape),
    };
    let elements = elements.map_err(at)?;
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

fn asks(inputs: &BTreeMap<&'static str, Input<'_>>, include_seen: bool) -> Result<Vec<Ask>, Refusal> {
    let Some((subject, input)) = SUBJECTS.iter().find_map(|name| Some((*name, inputs.get(name)?))) else {
        let found: Vec<&str> = inputs.keys().copied().collect();
        let words = format!("expected an input of {SUBJECTS:?}; this model takes {}, found {found:?}", names(&INPUTS));
        return Err(Refusal::bad(words));
    };
    let n = texts(input, subject)?.len();
    if n > MAX_INSTANCES {
        return Err(Refusal::bad(format!("input {subject:?}: expected at most {MAX_INSTANCES} elements, found {n}")));
    }
    let one_each = |name: &str, found: usize| {
        if found == n {
            Ok(())
        } else {
            Err(Refusal::bad(format!("input {name:?}: expected {n} elements, found {found}")))
        }
    };
    let mut asks = vec![Ask { k: DEFAULT_K, include_seen, ..Ask::default() }; n];
    let mut each = |name: &str, put: fn(&mut Ask, String) -> Result<(), Refusal>| {
        let Some(input) = inputs.get(name) else { return Ok(()) };
        let elements = texts(input, name)?;
        one_each(name, elements.len())?;
        for (index, (ask, text)) in asks.iter_mut().zip(elements).enumerate() {
            if !text.is_empty() {
                let at = |refusal| Refusal::bad(format!("input {name:?}: element {index}: {refusal}"));
                put(ask, text).map_err(at)?;
            }
        }
        Ok(())
    };
    each("user_id", |ask, id| Id(id).reader().map(|reader| ask.reader = Some(reader)))?;
    each("book_id", |ask, id| Id(id).book().map(|book| ask.book = Some(book)))?;
    each("history", |ask, list| books("history", &list).map(|books| ask.history = books))?;
    each("exclude", |ask, list| books("exclude", &list).map(|books| ask.exclude = books))?;
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

/// Books of a list inside text.
fn books(name: &'static str, list: &str) -> Result<Vec<BookId>, Refusal> {
    check_books(name, &json::parse::<Vec<Id>>(list.as_bytes())?)
}

fn texts(input: &Input<'_>, name: &str) -> Result<Vec<String>, Refusal> {
    let elements = data(name, input, |family| family == Family::Text, "BYTES")?;
    let text = |element| if let Element::Text(text) = element { Some(text) } else { None };
    Ok(elements.into_iter().filter_map(text).collect())
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

mod answer;
pub(crate) mod proto;
#[cfg(test)]
mod tests;
