//! Answers as tensors: inside the JSON, or as bytes behind it where they are wanted so.

use std::borrow::Cow;

use models::BookRef;
use serde::Serialize;

use super::Wanted;
use crate::{
    call::Answered,
    engine::{Answer, Fallback},
    wire::binary,
};

#[derive(Serialize)]
struct Response<'a> {
    model_name: &'a str,
    model_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    parameters: Reported,
    outputs: Vec<Tensor<'a>>,
}

/// The arm that an answer names as its own.
#[derive(Serialize)]
pub(super) struct Reported {
    #[serde(skip)]
    pub(super) version: models::Version,
    pub(super) variant: &'static str,
    pub(super) alias: &'static str,
}

impl Reported {
    /// When the readers of a call met both arms, the version is production's and `variant` is `mixed`; the output
    /// `model_versions` tells them apart. Lists of both versions go under production's too.
    pub(super) fn of(answered: &Answered) -> Self {
        let mut rows = answered.rows.iter().map(|(_, answer)| answer);
        let first = rows.next();
        let mixed = first.is_some_and(|first| rows.any(|other| other.variant() != first.variant()));
        let stable = &answered.snapshot.stable;
        let reported = first.filter(|_| !mixed).map_or(stable, |first| answered.served(first));
        let variant = if mixed { "mixed" } else { first.map_or(stable.arm.as_str(), Answer::variant) };
        Self { version: reported.version, variant, alias: answered.snapshot.alias(reported.arm) }
    }
}

#[derive(Serialize)]
pub(super) struct Tensor<'a> {
    pub(super) name: &'static str,
    pub(super) shape: Vec<usize>,
    pub(super) datatype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<BinarySize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<Values<'a>>,
}

/// What stands in a tensor's place when its elements are behind the JSON.
#[derive(Serialize)]
struct BinarySize {
    binary_data_size: usize,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Values<'a> {
    Text(Vec<Cow<'a, str>>),
    Float(Vec<f32>),
}

impl Values<'_> {
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Text(texts) => binary::write_texts(texts.iter().map(AsRef::as_ref), to),
            Self::Float(floats) => binary::write_floats(floats, to),
        }
    }
}

/// The body of an answer.
pub(crate) struct Encoded {
    pub(crate) body: Vec<u8>,
    /// Length of the JSON in front, when any output is behind it.
    pub(crate) json: Option<usize>,
}

/// The body of an `infer` answer.
pub(crate) fn encode(model: &str, id: Option<String>, outputs: &[Wanted], answered: &Answered) -> Encoded {
    let reported = Reported::of(answered);
    let mut behind = Vec::new();
    let mut tensor = |wanted: &Wanted| {
        let mut tensor = tensor_of(wanted.name, answered);
        if let Some(values) = tensor.data.take_if(|_| wanted.binary) {
            let begin = behind.len();
            values.write(&mut behind);
            tensor.parameters = Some(BinarySize { binary_data_size: behind.len() - begin });
        }
        tensor
    };
    let outputs: Vec<Tensor<'_>> = outputs.iter().map(&mut tensor).collect();
    let has_binary = outputs.iter().any(|tensor| tensor.parameters.is_some());
    let model_version = reported.version.to_string();
    let response = Response { model_name: model, model_version, id, parameters: reported, outputs };
    let mut body = serde_json::to_vec(&response).expect("scores are finite and keys are text");
    let json = has_binary.then_some(body.len());
    body.append(&mut behind);
    Encoded { body, json }
}

pub(super) fn tensor_of<'a>(name: &'static str, answered: &'a Answered) -> Tensor<'a> {
    let n = answered.rows.len();
    let width = answered.rows.iter().map(|(_, answer)| answer.books.len()).max().unwrap_or(0);
    let text_lists = |text: &dyn Fn(BookRef<'a>) -> &'a str| {
        padded(answered, width, Cow::Borrowed(""), |book, _| Cow::Borrowed(text(book)))
    };
    let per_row = |text: &dyn Fn(&'a Answer) -> Cow<'a, str>| answered.rows.iter().map(|(_, a)| text(a)).collect();
    let (shape, datatype, data) = match name {
        "item_ids" => (vec![n, width], "BYTES", Values::Text(text_lists(&BookRef::item_id))),
        "titles" => (vec![n, width], "BYTES", Values::Text(text_lists(&|book| book.title().unwrap_or_default()))),
        "scores" => (vec![n, width], "FP32", Values::Float(padded(answered, width, 0.0, |_, score| score))),
        "model_versions" => {
            let versions = per_row(&|answer| answered.served(answer).version.to_string().into());
            (vec![n], "BYTES", Values::Text(versions))
        }
        _ => {
            let reasons = per_row(&|answer| answer.fallback.map_or("", Fallback::as_str).into());
            (vec![n], "BYTES", Values::Text(reasons))
        }
    };
    Tensor { name, shape, datatype, parameters: None, data: Some(data) }
}

/// One value per listed book, row-major `[n, width]`, short lists filled up with `pad`.
fn padded<'a, T: Clone>(answered: &'a Answered, width: usize, pad: T, value: impl Fn(BookRef<'a>, f32) -> T) -> Vec<T> {
    let mut values = Vec::with_capacity(width * answered.rows.len());
    for (row, (_, answer)) in answered.rows.iter().enumerate() {
        values.extend(answered.listed(answer).map(|(book, score)| value(book, score)));
        values.resize((row + 1) * width, pad.clone());
    }
    values
}
