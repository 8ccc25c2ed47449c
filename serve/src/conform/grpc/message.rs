//! The sample as a message, and the tensors of a message as canonical bytes.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    conform::{
        binary,
        check::{Fault, holds, wrong},
        infer::Canonical,
        sample,
        subject::{ID, Subject},
        tensor::{self, Tensor},
    },
    grpc::proto::{
        InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse, infer_parameter::ParameterChoice,
        model_infer_request::InferInputTensor, model_infer_response::InferOutputTensor,
    },
};

/// The sample, its tensors in typed lists.
pub(super) fn typed(subject: &Subject) -> Result<ModelInferRequest, Fault> {
    let body = &subject.sample()?.body;
    let input = |(input, elements): (Tensor, Vec<&Value>)| {
        let contents = contents(&input.datatype, &elements);
        let contents = contents.ok_or_else(|| Fault::NotOffered(format!("{} has no typed list", input.datatype)))?;
        let Tensor { name, datatype, shape } = input;
        Ok(InferInputTensor { name, datatype, shape, contents: Some(contents), parameters: BTreeMap::new() })
    };
    Ok(ModelInferRequest {
        model_name: subject.model.clone(),
        id: ID.to_owned(),
        parameters: parameters(&body["parameters"]),
        inputs: sample::inputs(body).map(input).collect::<Result<_, Fault>>()?,
        ..ModelInferRequest::default()
    })
}

/// The sample, its tensors as bytes beside the inputs.
pub(super) fn raw(subject: &Subject) -> Result<ModelInferRequest, Fault> {
    let mut request = typed(subject)?;
    for (input, elements) in sample::inputs(&subject.sample()?.body) {
        request.raw_input_contents.push(tensor::bytes(&input.datatype, &elements)?.into());
    }
    request.inputs.iter_mut().for_each(|input| input.contents = None);
    Ok(request)
}

fn parameters(given: &Value) -> BTreeMap<String, InferParameter> {
    let choice = |value: &Value| match value {
        Value::Bool(value) => Some(ParameterChoice::BoolParam(*value)),
        Value::String(text) => Some(ParameterChoice::StringParam(text.clone())),
        Value::Number(number) => {
            let whole = number.as_i64().map(ParameterChoice::Int64Param);
            whole.or_else(|| number.as_f64().map(ParameterChoice::DoubleParam))
        }
        _ => None,
    };
    let given = given.as_object().into_iter().flatten();
    given.map(|(name, value)| (name.clone(), InferParameter { parameter_choice: choice(value) })).collect()
}

/// Elements in the list of their datatype.
fn contents(datatype: &str, elements: &[&Value]) -> Option<InferTensorContents> {
    let mut to = InferTensorContents::default();
    for element in elements {
        match datatype {
            "BOOL" => to.bool_contents.push(element.as_bool().or_else(|| element.as_u64().map(|bit| bit == 1))?),
            "INT8" | "INT16" | "INT32" => to.int_contents.push(i32::try_from(element.as_i64()?).ok()?),
            "INT64" => to.int64_contents.push(element.as_i64()?),
            "UINT8" | "UINT16" | "UINT32" => to.uint_contents.push(u32::try_from(element.as_u64()?).ok()?),
            "UINT64" => to.uint64_contents.push(element.as_u64()?),
            "FP32" => to.fp32_contents.push(element.as_f64()? as f32),
            "FP64" => to.fp64_contents.push(element.as_f64()?),
            "BYTES" => to.bytes_contents.push(Bytes::copy_from_slice(element.as_str()?.as_bytes())),
            _ => return None,
        }
    }
    Some(to)
}

/// The outputs of an answer with their canonical bytes, whichever way they came.
pub(super) fn canonical(response: &ModelInferResponse) -> Result<Canonical, Fault> {
    let beside = response.raw_output_contents.len();
    let one_each = beside == 0 || beside == response.outputs.len();
    holds(one_each, format!("raw_output_contents: {}", response.outputs.len()), beside.to_string())?;
    let output = |(place, output): (usize, &InferOutputTensor)| {
        let told = json!({ "name": output.name, "datatype": output.datatype, "shape": output.shape });
        let tensor = Tensor::read(&told, 0)?;
        let bytes = match (response.raw_output_contents.get(place), &output.contents) {
            (Some(bytes), _) => bytes.to_vec(),
            (None, Some(contents)) => typed_bytes(&tensor, contents)?,
            (None, None) => Vec::new(),
        };
        binary::fits(&tensor, &bytes)?;
        Ok((tensor, bytes))
    };
    response.outputs.iter().enumerate().map(output).collect()
}

/// The canonical bytes of a typed list; those of any other list are not looked at, so that they come out too short.
fn typed_bytes(tensor: &Tensor, contents: &InferTensorContents) -> Result<Vec<u8>, Fault> {
    fn little<T: Copy, const N: usize>(list: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
        list.iter().flat_map(|element| bytes(*element)).collect()
    }
    let narrow = |element: Option<Vec<u8>>| {
        let expected = format!("output {:?}: elements of {}", tensor.name, tensor.datatype);
        element.ok_or_else(|| wrong(expected, "an element out of range"))
    };
    macro_rules! narrowed {
        ($list:expr, $to:ty) => {
            narrow(
                $list
                    .iter()
                    .map(|e| Some(<$to>::try_from(*e).ok()?.to_le_bytes()))
                    .collect::<Option<Vec<_>>>()
                    .map(|l| l.concat()),
            )?
        };
    }
    Ok(match tensor.datatype.as_str() {
        "BOOL" => contents.bool_contents.iter().map(|bit| u8::from(*bit)).collect(),
        "INT8" => narrowed!(contents.int_contents, i8),
        "INT16" => narrowed!(contents.int_contents, i16),
        "INT32" => little(&contents.int_contents, i32::to_le_bytes),
        "INT64" => little(&contents.int64_contents, i64::to_le_bytes),
        "UINT8" => narrowed!(contents.uint_contents, u8),
        "UINT16" => narrowed!(contents.uint_contents, u16),
        "UINT32" => little(&contents.uint_contents, u32::to_le_bytes),
        "UINT64" => little(&contents.uint64_contents, u64::to_le_bytes),
        "FP32" => little(&contents.fp32_contents, f32::to_le_bytes),
        "FP64" => little(&contents.fp64_contents, f64::to_le_bytes),
        "BYTES" => {
            let with_length = |text: &Bytes| [&(text.len() as u32).to_le_bytes(), &text[..]].concat();
            contents.bytes_contents.iter().flat_map(with_length).collect()
        }
        _ => return Err(wrong("a datatype with typed lists", &*tensor.datatype)),
    })
}
