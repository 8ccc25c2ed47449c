//! V2 with bytes behind its JSON: the same tensors written as JSON ask the same. Answers are read here by a reader of their
//! own, which takes every byte or fails.

use axum::http::HeaderMap;
use serde_json::Value;

use super::{STREET, Sent, Told, V2};

const LENGTH: &str = "inference-header-content-length";

/// A request with headers, of which one says how long its JSON is.
pub fn binary(case: &[u8]) -> bool {
    let Some(sent) = Sent::read(V2, case) else { return false };
    STREET.with(|street| {
        let told = street.ask(&street.anyone, &sent);
        // What is packed, either way, is not looked into.
        let is_packed = |headers: &HeaderMap| headers.contains_key("content-encoding");
        if told.status != 200 || is_packed(&sent.headers) || is_packed(&told.headers) {
            return false;
        }
        let found = tensors(&told);
        let length = sent.header(LENGTH).map_or(sent.body.len(), |length| length.parse().unwrap());
        let (front, mut behind) = sent.body.split_at(length);
        let Ok(mut question) = serde_json::from_slice::<Value>(front) else { return false };
        for input in question["inputs"].as_array_mut().unwrap() {
            let Some(size) = input["parameters"]["binary_data_size"].as_u64() else { continue };
            let (bytes, rest) = behind.split_at(size as usize);
            behind = rest;
            input["data"] = values(input["datatype"].as_str().unwrap(), bytes).into();
            input["parameters"].as_object_mut().unwrap().remove("binary_data_size");
        }
        let mut again = sent.clone();
        again.headers.remove(LENGTH);
        again.body = question.to_string().into();
        let told = street.ask(&street.anyone, &again);
        let is_patient = told.status != 504;
        if is_patient {
            assert_eq!((told.status, tensors(&told)), (200, found), "to {again:?}");
        }
        is_patient
    })
}

/// Elements of a tensor, as JSON would have them.
fn values(datatype: &str, bytes: &[u8]) -> Vec<Value> {
    macro_rules! numbers {
        ($number:ty) => {
            bytes.as_chunks().0.iter().map(|bytes| <$number>::from_le_bytes(*bytes).into()).collect()
        };
    }
    match datatype.to_ascii_uppercase().as_str() {
        "INT8" => numbers!(i8),
        "INT16" => numbers!(i16),
        "INT32" => numbers!(i32),
        "INT64" => numbers!(i64),
        "UINT8" => numbers!(u8),
        "UINT16" => numbers!(u16),
        "UINT32" => numbers!(u32),
        "UINT64" => numbers!(u64),
        "FP32" => numbers!(f32),
        "FP64" => numbers!(f64),
        _ => texts(bytes).into_iter().map(Value::from).collect(),
    }
}

/// Texts with their lengths in front, to the last byte.
pub(super) fn texts(mut bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (text, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        found.push(String::from_utf8(text.to_vec()).unwrap());
        bytes = rest;
    }
    assert!(bytes.is_empty(), "{bytes:?} after {found:?}");
    found
}

/// Name, shape and elements, texts as they are and scores as the number they print.
pub(super) type Tensor = (String, Vec<u64>, Vec<String>);

/// The tensors of an answer, wherever it has them; as many elements each as its shape says.
pub(super) fn tensors(told: &Told) -> Vec<Tensor> {
    let length = told.header(LENGTH).map_or(told.body.len(), |length| length.parse().unwrap());
    let (front, mut behind) = told.body.split_at(length);
    let answer: Value = serde_json::from_slice(front).unwrap();
    let tensor = |output: &Value| {
        let text = |name: &str| output[name].as_str().unwrap().to_owned();
        let shape: Vec<u64> = output["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
        let elements: Vec<String> = match output.get("data") {
            Some(data) => data.as_array().unwrap().iter().map(printed).collect(),
            None => {
                let size = output["parameters"]["binary_data_size"].as_u64().unwrap();
                let (bytes, rest) = behind.split_at(size as usize);
                behind = rest;
                values(&text("datatype"), bytes).iter().map(printed).collect()
            }
        };
        assert_eq!(elements.len() as u64, shape.iter().product::<u64>(), "{output}");
        (text("name"), shape, elements)
    };
    let found = answer["outputs"].as_array().unwrap().iter().map(tensor).collect();
    assert!(behind.is_empty(), "{} bytes behind the last tensor", behind.len());
    found
}

fn printed(value: &Value) -> String {
    value.as_f64().map_or_else(|| value.as_str().unwrap().to_owned(), |number| (number as f32).to_string())
}
