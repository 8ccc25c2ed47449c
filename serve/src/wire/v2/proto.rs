//! The same tensors as messages of gRPC: typed lists, or bytes beside the message.
//!
//! Bytes in, bytes out; typed in, typed out: clients decode what they sent.

use std::borrow::Cow;

use bytes::Bytes;

use super::{
    Data, INPUTS, Infer, Input, OUTPUTS, Output, Parameter, Parameters, TensorSpec, Wanted,
    answer::{Reported, Values, tensor_of},
    assemble,
    tensor::{self, Element},
};
use crate::{
    call::Answered,
    error::{Refusal, cut},
    grpc::proto::{
        InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse, infer_parameter::ParameterChoice,
        model_infer_request::InferInputTensor, model_infer_response::InferOutputTensor,
        model_metadata_response::TensorMetadata,
    },
};

/// Whether the answer's tensors go beside the message, as this request's did.
pub(crate) fn is_raw(request: &ModelInferRequest) -> bool {
    !request.raw_input_contents.is_empty()
}

/// The questions of a `ModelInfer` request.
pub(crate) fn decode(request: &ModelInferRequest) -> Result<Infer, Refusal> {
    let raw = &request.raw_input_contents;
    let n = request.inputs.len();
    if is_raw(request) && raw.len() != n {
        let words = format!("raw_input_contents: expected one entry for each of {n} inputs, found {}", raw.len());
        return Err(Refusal::bad(words));
    }
    let inputs = request.inputs.iter().enumerate().map(|(place, input)| filled(input, raw.get(place)));
    let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
    let parameters = parameters(&request.parameters)?;
    let outputs = request.outputs.iter().map(|output| Output { name: Cow::Borrowed(&output.name), parameters: None });
    let id = Some(request.id.clone()).filter(|id| !id.is_empty());
    assemble(id, parameters, inputs, outputs.collect())
}

fn filled<'a>(input: &'a InferInputTensor, raw: Option<&'a Bytes>) -> Result<Input<'a>, Refusal> {
    let InferInputTensor { name, datatype, shape, contents, .. } = input;
    let at = |refusal: Refusal| Refusal::bad(format!("input {:?}: {refusal}", cut(name)));
    let data = match (raw, contents) {
        (Some(raw), None) => Data::Raw(raw),
        (None, Some(contents)) => Data::Typed(typed(datatype, contents).map_err(at)?),
        // A list without elements is not sent at all.
        (None, None) => Data::Typed(Vec::new()),
        (Some(_), Some(_)) => return Err(at(Refusal::bad("expected contents or raw_input_contents, found both"))),
    };
    Ok(Input { name: Cow::Borrowed(name), shape: shape.clone(), datatype: Cow::Borrowed(datatype), data })
}

/// The one list that belongs to the datatype; the others must be empty.
fn typed(datatype: &str, contents: &InferTensorContents) -> Result<Vec<Element>, Refusal> {
    let InferTensorContents {
        bool_contents,
        int_contents,
        int64_contents,
        uint_contents,
        uint64_contents,
        fp32_contents,
        fp64_contents,
        bytes_contents,
    } = contents;
    let filled = [
        ("bool_contents", bool_contents.len()),
        ("int_contents", int_contents.len()),
        ("int64_contents", int64_contents.len()),
        ("uint_contents", uint_contents.len()),
        ("uint64_contents", uint64_contents.len()),
        ("fp32_contents", fp32_contents.len()),
        ("fp64_contents", fp64_contents.len()),
        ("bytes_contents", bytes_contents.len()),
    ];
    let datatype = datatype.to_ascii_uppercase();
    let (belongs, elements): (_, Vec<Element>) = match datatype.as_str() {
        "INT8" | "INT16" | "INT32" => ("int_contents", integers(int_contents)),
        "INT64" => ("int64_contents", integers(int64_contents)),
        "UINT8" | "UINT16" | "UINT32" => ("uint_contents", integers(uint_contents)),
        "UINT64" => ("uint64_contents", integers(uint64_contents)),
        "FP32" => ("fp32_contents", fp32_contents.iter().map(|number| Element::Float((*number).into())).collect()),
        "FP64" => ("fp64_contents", fp64_contents.iter().map(|number| Element::Float(*number)).collect()),
        "BYTES" => ("bytes_contents", texts(bytes_contents)?),
        _ => return Err(tensor::unknown(&datatype)),
    };
    match filled.into_iter().find(|(list, n)| *n > 0 && *list != belongs) {
        Some((list, _)) => Err(Refusal::bad(format!("expected {datatype} in {belongs}, found {list}"))),
        None => Ok(elements),
    }
}

fn integers<T: Copy + Into<i128>>(numbers: &[T]) -> Vec<Element> {
    numbers.iter().map(|number| Element::Integer((*number).into())).collect()
}

fn texts(texts: &[Bytes]) -> Result<Vec<Element>, Refusal> {
    let text = |(place, bytes): (usize, &Bytes)| match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Element::Text(text.to_owned())),
        Err(_) => Err(Refusal::bad(format!("element {place}: not UTF-8"))),
    };
    texts.iter().enumerate().map(text).collect()
}

/// Typed elements, if there are as many as their shape says.
pub(super) fn counted(elements: &[Element], shape: &[i64]) -> Result<Vec<Element>, Refusal> {
    let wanted = tensor::count(shape)?;
    if elements.len() == wanted {
        return Ok(elements.to_vec());
    }
    Err(Refusal::bad(format!("expected shape {shape:?}, {wanted} elements; found {}", elements.len())))
}

fn parameters<'a>(given: impl IntoIterator<Item = (&'a String, &'a InferParameter)>) -> Result<Parameters, Refusal> {
    let parameter = |(name, given): (&String, &InferParameter)| {
        let value = match given.parameter_choice.as_ref()? {
            ParameterChoice::BoolParam(on) => Parameter::Switch(*on),
            ParameterChoice::Int64Param(number) => Parameter::Number((*number).into()),
            ParameterChoice::Uint64Param(number) => Parameter::Number((*number).into()),
            ParameterChoice::StringParam(text) => Parameter::Text(text.clone()),
            ParameterChoice::DoubleParam(number) => match serde_json::Number::from_f64(*number) {
                Some(number) => Parameter::Number(number),
                None => return Some(Err(Refusal::bad(format!("parameter {:?}: not a finite number", cut(name))))),
            },
        };
        Some(Ok((name.clone(), value)))
    };
    given.into_iter().filter_map(parameter).collect()
}

/// The answer to a `ModelInfer` request.
pub(crate) fn encode(
    model: &str,
    id: Option<String>,
    outputs: &[Wanted],
    answered: &Answered,
    raw: bool,
) -> ModelInferResponse {
    let reported = Reported::of(answered);
    let text = |text: &str| InferParameter { parameter_choice: Some(ParameterChoice::StringParam(text.to_owned())) };
    let mut response = ModelInferResponse {
        model_name: model.to_owned(),
        model_version: reported.version.to_string(),
        id: id.unwrap_or_default(),
        parameters: [("variant", reported.variant), ("alias", reported.alias)]
            .map(|(name, value)| (name.to_owned(), text(value)))
            .into(),
        ..ModelInferResponse::default()
    };
    for wanted in outputs {
        let tensor = tensor_of(wanted.name, answered);
        let mut contents = None;
        if let Some(values) = tensor.data {
            if raw {
                let mut bytes = Vec::new();
                values.write(&mut bytes);
                response.raw_output_contents.push(bytes.into());
            } else {
                contents = Some(contents_of(values));
            }
        }
        response.outputs.push(InferOutputTensor {
            name: tensor.name.to_owned(),
            datatype: tensor.datatype.to_owned(),
            shape: tensor.shape.iter().map(|n| *n as i64).collect(),
            contents,
            ..InferOutputTensor::default()
        });
    }
    response
}

fn contents_of(values: Values<'_>) -> InferTensorContents {
    match values {
        Values::Float(fp32_contents) => InferTensorContents { fp32_contents, ..InferTensorContents::default() },
        Values::Text(texts) => {
            let bytes_contents = texts.into_iter().map(|text| Bytes::from(text.into_owned())).collect();
            InferTensorContents { bytes_contents, ..InferTensorContents::default() }
        }
    }
}

/// Inputs and outputs as metadata.
pub(crate) fn metadata() -> (Vec<TensorMetadata>, Vec<TensorMetadata>) {
    let all = |specs: &[TensorSpec]| {
        let one = |(name, datatype, shape): &TensorSpec| TensorMetadata {
            name: (*name).to_owned(),
            datatype: (*datatype).to_owned(),
            shape: shape.to_vec(),
        };
        specs.iter().map(one).collect()
    };
    (all(&INPUTS), all(&OUTPUTS))
}
