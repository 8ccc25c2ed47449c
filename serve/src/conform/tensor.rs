//! Tensor arithmetic of the judge: counts, ranges, and one canonical form for values, their bytes.
//!
//! A tensor told as JSON, as bytes behind JSON and as messages is the same if its canonical bytes are: little-endian,
//! row-major, text with four bytes of length in front.

use serde_json::{Value, json};

use super::check::{Fault, shown, wrong};

/// The datatypes of the protocol.
const DATATYPES: [&str; 14] = [
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BF16",
    "BYTES",
];

pub(super) fn is_datatype(name: &str) -> bool {
    DATATYPES.contains(&name)
}

/// A tensor's name, datatype and shape, as metadata declares it or an answer holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) datatype: String,
    /// -1 for a dimension that varies, in metadata only.
    pub(super) shape: Vec<i64>,
}

impl Tensor {
    /// Reads one, whose dimensions may not be below `least`.
    pub(super) fn read(value: &Value, least: i64) -> Result<Self, Fault> {
        let expected = || {
            let dimensions = if least < 0 { "-1 or more" } else { "0 or more" };
            format!("name, a datatype of the protocol, and a shape of integers, {dimensions}")
        };
        let dimension = |d: &Value| d.as_i64().filter(|d| *d >= least);
        let shape = value["shape"].as_array().and_then(|shape| shape.iter().map(dimension).collect());
        let datatype = value["datatype"].as_str().filter(|datatype| is_datatype(datatype));
        match (value["name"].as_str().filter(|name| !name.is_empty()), datatype, shape) {
            (Some(name), Some(datatype), Some(shape)) => {
                Ok(Self { name: name.to_owned(), datatype: datatype.to_owned(), shape })
            }
            _ => Err(wrong(expected(), shown(value))),
        }
    }

    /// Number of elements; a shape without dimensions has one.
    pub(super) fn count(&self) -> Option<usize> {
        let dimensions = self.shape.iter().map(|d| usize::try_from(*d).ok());
        dimensions.into_iter().try_fold(1_usize, |product, d| product.checked_mul(d?))
    }

    /// Whether an answer's tensor is what this one, from the metadata, declares: -1 fits every length.
    pub(super) fn declares(&self, answered: &Self) -> bool {
        let fits = |(declared, found): (&i64, &i64)| *declared == -1 || declared == found;
        self.name == answered.name
            && self.datatype == answered.datatype
            && self.shape.len() == answered.shape.len()
            && self.shape.iter().zip(&answered.shape).all(fits)
    }
}

/// The elements of nested or flat arrays, in order.
pub(super) fn flat(data: &Value) -> Vec<&Value> {
    match data {
        Value::Array(inner) => inner.iter().flat_map(flat).collect(),
        leaf => vec![leaf],
    }
}

/// `data` nested as its shape says; the shape's product must be its number of elements.
pub(super) fn nested(data: &[&Value], shape: &[i64]) -> Value {
    match shape {
        [] | [_] => data.iter().map(|element| (*element).clone()).collect(),
        [first, rest @ ..] => {
            let width = data.len().checked_div(*first as usize).unwrap_or(0).max(1);
            data.chunks(width).map(|chunk| nested(chunk, rest)).collect()
        }
    }
}

/// An element that every model of this datatype can read: zero and empty, or one and "1".
pub(super) fn element(datatype: &str, one: bool) -> Value {
    match datatype {
        "BOOL" => json!(one),
        "BYTES" => json!(if one { "1" } else { "" }),
        "FP16" | "FP32" | "FP64" | "BF16" => json!(if one { 1.0 } else { 0.0 }),
        _ => json!(i64::from(one)),
    }
}

/// An element that is none of this datatype.
pub(super) fn stranger(datatype: &str) -> Value {
    if datatype == "BYTES" { json!({ "not": "text" }) } else { json!("not a number") }
}

/// The canonical bytes of elements told as JSON, or the first element that is none of the datatype.
pub(super) fn bytes(datatype: &str, elements: &[&Value]) -> Result<Vec<u8>, Fault> {
    let mut to = Vec::new();
    for (place, element) in elements.iter().enumerate() {
        if write(datatype, element, &mut to).is_none() {
            return Err(wrong(format!("elements of {datatype}"), format!("element {place} is {}", shown(element))));
        }
    }
    Ok(to)
}

fn write(datatype: &str, element: &Value, to: &mut Vec<u8>) -> Option<()> {
    macro_rules! put {
        ($number:expr, $narrow:ty) => {
            to.extend_from_slice(&<$narrow>::try_from($number).ok()?.to_le_bytes())
        };
    }
    match datatype {
        "BOOL" => to.push(match element {
            Value::Bool(bit) => u8::from(*bit),
            other => u8::try_from(other.as_u64().filter(|bit| *bit < 2)?).ok()?,
        }),
        "BYTES" => {
            let text = element.as_str()?;
            put!(text.len(), u32);
            to.extend_from_slice(text.as_bytes());
        }
        "INT8" => put!(element.as_i64()?, i8),
        "INT16" => put!(element.as_i64()?, i16),
        "INT32" => put!(element.as_i64()?, i32),
        "INT64" => put!(element.as_i64()?, i64),
        "UINT8" => put!(element.as_u64()?, u8),
        "UINT16" => put!(element.as_u64()?, u16),
        "UINT32" => put!(element.as_u64()?, u32),
        "UINT64" => put!(element.as_u64()?, u64),
        "FP32" => to.extend_from_slice(&(element.as_f64()? as f32).to_le_bytes()),
        "FP64" => to.extend_from_slice(&element.as_f64()?.to_le_bytes()),
        // Neither half has a form in JSON.
        _ => return None,
    }
    Some(())
}

/// Whether so many bytes can be `count` elements of a datatype.
pub(super) fn sized(datatype: &str, count: usize, raw: &[u8]) -> bool {
    let width = match datatype {
        "BYTES" => return texts(raw) == Some(count),
        "BOOL" | "INT8" | "UINT8" => 1,
        "INT16" | "UINT16" | "FP16" | "BF16" => 2,
        "INT32" | "UINT32" | "FP32" => 4,
        _ => 8,
    };
    count.checked_mul(width) == Some(raw.len())
}

/// How many texts with their lengths in front fill these bytes exactly.
fn texts(mut raw: &[u8]) -> Option<usize> {
    let mut found = 0;
    while !raw.is_empty() {
        let (length, rest) = raw.split_first_chunk::<4>()?;
        raw = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?.1;
        found += 1;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(datatype: &str, data: &Value) -> Option<Vec<u8>> {
        bytes(datatype, &flat(data)).ok()
    }

    #[test]
    fn elements_outside_of_their_datatype_are_found() {
        assert_eq!(canonical("INT8", &json!([-128, [127]])), Some(vec![0x80, 0x7f]));
        assert_eq!(canonical("BOOL", &json!([true, 0])), Some(vec![1, 0]));
        assert_eq!(canonical("BYTES", &json!(["é"])), Some(b"\x02\0\0\0\xc3\xa9".to_vec()));
        assert_eq!(canonical("FP32", &json!([1, 0.1])).unwrap()[4..], 0.1_f32.to_le_bytes());
        for (datatype, bad) in [
            ("INT8", json!(128)),
            ("UINT8", json!(-1)),
            ("INT32", json!(1.5)),
            ("FP32", Value::Null),
            ("FP64", json!("NaN")),
            ("BYTES", json!(7)),
            ("BOOL", json!(2)),
            ("FP16", json!(1.0)),
        ] {
            assert_eq!(canonical(datatype, &bad), None, "{datatype} {bad}");
        }
    }

    #[test]
    fn a_shape_of_nothing_is_one_element_and_one_that_overflows_is_none() {
        let of = |shape: &[i64]| Tensor { name: "x".into(), datatype: "FP32".into(), shape: shape.to_vec() };
        assert_eq!((of(&[]).count(), of(&[2, 3]).count(), of(&[4, 0]).count()), (Some(1), Some(6), Some(0)));
        assert_eq!((of(&[1 << 62, 4]).count(), of(&[-1]).count()), (None, None));
        assert!(of(&[-1, 3]).declares(&of(&[7, 3])) && !of(&[-1, 3]).declares(&of(&[7, 4])));
        assert!(!of(&[-1]).declares(&of(&[7, 1])));
    }

    #[test]
    fn nesting_follows_the_shape() {
        let data = json!([1, 2, 3, 4, 5, 6]);
        assert_eq!(nested(&flat(&data), &[2, 3]), json!([[1, 2, 3], [4, 5, 6]]));
        assert_eq!(nested(&flat(&data), &[3, 2, 1]), json!([[[1], [2]], [[3], [4]], [[5], [6]]]));
        assert_eq!(nested(&flat(&data), &[6]), data);
    }

    #[test]
    fn bytes_must_be_the_elements_and_nothing_more() {
        assert!(sized("INT16", 2, &[0; 4]) && !sized("INT16", 2, &[0; 5]));
        assert!(sized("BYTES", 2, b"\x01\0\0\0a\0\0\0\0") && !sized("BYTES", 1, b"\x02\0\0\0a"));
    }
}
