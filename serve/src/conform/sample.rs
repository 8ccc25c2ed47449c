//! Requests made up from what a model declares, and one request told in every form.

use serde_json::{Map, Value, json};

use super::{
    check::Fault,
    tensor::{self, Tensor, flat},
};

/// Requests to try on a model, likeliest first: all its inputs, then only the first, each with ones and then with zeros.
///
/// Metadata does not say which inputs may be left out, and zero, or no text, is no value that every model takes.
pub(super) fn candidates(inputs: &[Tensor]) -> Vec<Value> {
    let with = |inputs: &[Tensor], one: bool| {
        let inputs: Vec<Value> = inputs.iter().map(|input| filled(input, one)).collect();
        json!({ "inputs": inputs })
    };
    let first = inputs.get(..1).unwrap_or_default();
    match inputs.len() {
        0 => Vec::new(),
        1 => vec![with(first, true), with(first, false)],
        _ => vec![with(inputs, true), with(inputs, false), with(first, true), with(first, false)],
    }
}

/// An input of its declared shape, -1 read as 1.
fn filled(input: &Tensor, one: bool) -> Value {
    let shape: Vec<i64> = input.shape.iter().map(|d| if *d < 0 { 1 } else { *d }).collect();
    let count = shape.iter().product::<i64>().clamp(0, 1 << 20) as usize;
    let data = vec![tensor::element(&input.datatype, one); count];
    json!({ "name": input.name, "datatype": input.datatype, "shape": shape, "data": data })
}

/// Why a value is no request with JSON tensors, if it is none.
pub(super) fn problem(body: &Value) -> Option<String> {
    let Some(inputs) = body["inputs"].as_array().filter(|inputs| !inputs.is_empty()) else {
        return Some(r#"expected an object with "inputs", a list that is not empty"#.to_owned());
    };
    let bad = |input: &Value| {
        let tensor = Tensor::read(input, 0).ok()?;
        let elements = flat(input.get("data")?);
        (tensor.count()? == elements.len()).then_some(())
    };
    let place = inputs.iter().position(|input| bad(input).is_none())?;
    Some(format!("inputs[{place}]: expected name, shape, datatype, and data of as many elements as the shape says"))
}

/// The inputs of a request.
pub(super) fn inputs(body: &Value) -> impl Iterator<Item = (Tensor, Vec<&Value>)> {
    let inputs = body["inputs"].as_array().map_or(&[][..], Vec::as_slice);
    inputs.iter().filter_map(|input| Some((Tensor::read(input, 0).ok()?, flat(&input["data"]))))
}

/// The request with members of its own put in or replaced.
pub(super) fn with(body: &Value, members: Value) -> Value {
    let mut body = body.clone();
    if let (Some(body), Value::Object(members)) = (body.as_object_mut(), members) {
        body.extend(members);
    }
    body
}

/// The request with its first input changed.
pub(super) fn first(body: &Value, change: impl FnOnce(&mut Map<String, Value>)) -> Value {
    let mut body = body.clone();
    if let Some(input) = body["inputs"][0].as_object_mut() {
        change(input);
    }
    body
}

/// The request with every input as bytes: its JSON, and the bytes that go behind it.
pub(super) fn binary(body: &Value) -> Result<(Value, Vec<u8>), Fault> {
    let mut raw = Vec::new();
    let mut told = body.clone();
    for (place, (input, elements)) in inputs(body).enumerate() {
        let Ok(bytes) = tensor::bytes(&input.datatype, &elements) else {
            return Err(Fault::NotOffered(format!("input {:?} has no form in bytes here", input.name)));
        };
        if let Some(input) = told["inputs"][place].as_object_mut() {
            input.remove("data");
            input.insert("parameters".into(), json!({ "binary_data_size": bytes.len() }));
        }
        raw.extend(bytes);
    }
    Ok((told, raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, datatype: &str, shape: &[i64]) -> Tensor {
        Tensor { name: name.into(), datatype: datatype.into(), shape: shape.to_vec() }
    }

    #[test]
    fn candidates_fill_what_is_declared() {
        let made = candidates(&[tensor("a", "BYTES", &[-1]), tensor("b", "FP32", &[-1, 2])]);
        assert_eq!(made.len(), 4);
        let b = json!({"name": "b", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 1.0]});
        assert_eq!(made[0]["inputs"][1], b);
        assert_eq!(made[3]["inputs"], json!([{"name": "a", "datatype": "BYTES", "shape": [1], "data": [""]}]));
        assert_eq!(candidates(&[]), Vec::<Value>::new());
        assert!(made.iter().all(|body| problem(body).is_none()));
    }

    #[test]
    fn a_file_that_is_no_request_is_told_why() {
        assert!(problem(&json!([])).unwrap().contains("an object with \"inputs\""));
        let short = json!({"inputs": [{"name": "x", "datatype": "INT32", "shape": [2], "data": [1]}]});
        assert!(problem(&short).unwrap().starts_with("inputs[0]: "));
    }

    #[test]
    fn the_same_request_in_bytes() {
        let body = json!({"inputs": [
            {"name": "x", "datatype": "INT16", "shape": [2], "data": [1, 2]},
            {"name": "y", "datatype": "BYTES", "shape": [1], "data": ["a"]},
        ]});
        let (told, raw) = binary(&body).unwrap();
        assert_eq!(raw, b"\x01\0\x02\0\x01\0\0\0a");
        assert_eq!(told["inputs"][1]["parameters"]["binary_data_size"], 5);
        assert!(told["inputs"][0].get("data").is_none());
    }
}
