//! Tensors as JSON: row-major, flat or nested as their shape says.

use serde::{Deserialize, de};
use serde_json::value::RawValue;

use super::json;
use crate::error::Refusal;

/// The families of datatypes that our inputs use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Text,
    /// Integers with their range.
    Integer(i128, i128),
    Float,
}

/// The family of a datatype as written, whatever its case.
pub(super) fn family(datatype: &str) -> Result<Family, Refusal> {
    let signed = |bits: u32| Family::Integer(-(1 << (bits - 1)), (1 << (bits - 1)) - 1);
    let unsigned = |bits: u32| Family::Integer(0, (1 << bits) - 1);
    Ok(match datatype.to_ascii_uppercase().as_str() {
        "BYTES" => Family::Text,
        "INT8" => signed(8),
        "INT16" => signed(16),
        "INT32" => signed(32),
        "INT64" => signed(64),
        "UINT8" => unsigned(8),
        "UINT16" => unsigned(16),
        "UINT32" => unsigned(32),
        "UINT64" => unsigned(64),
        "FP32" | "FP64" => Family::Float,
        other => return Err(unknown(other)),
    })
}

/// No input is of this datatype, which may not even be one.
pub(super) fn unknown(datatype: &str) -> Refusal {
    match datatype {
        "FP16" | "BOOL" => Refusal::bad(format!("no input of this model is {datatype}")),
        other => Refusal::bad(format!("unknown datatype {:?}", crate::error::cut(other))),
    }
}

/// Number of elements of a shape; `[]` is one element.
pub(super) fn count(shape: &[i64]) -> Result<usize, Refusal> {
    let dimension = |d: &i64| usize::try_from(*d).map_err(|_| Refusal::bad(format!("shape {shape:?}: negative")));
    let dimensions: Vec<usize> = shape.iter().map(dimension).collect::<Result<_, _>>()?;
    if dimensions.contains(&0) {
        return Ok(0);
    }
    let product = dimensions.iter().try_fold(1_usize, |product, d| product.checked_mul(*d));
    product.ok_or_else(|| Refusal::bad(format!("shape {shape:?}: too large")))
}

/// One element, before its datatype is looked at.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Element {
    Text(String),
    Integer(i128),
    Float(f64),
}

/// The elements of `data` in row-major order, after checking nesting and number against `shape`.
pub(super) fn elements(data: &RawValue, shape: &[i64]) -> Result<Vec<Element>, Refusal> {
    let wanted = count(shape)?;
    let mut flat = Vec::new();
    let mut nesting = Nesting::default();
    flatten(data, 0, &mut flat, &mut nesting)?;
    let lengths: Vec<i64> = nesting.lengths.iter().map(|n| *n as i64).collect();
    // An empty tensor may be written as `[]` whatever its shape.
    let as_shaped = lengths == shape || (wanted == 0 && flat.is_empty());
    if flat.len() != wanted || !(as_shaped || lengths.len() <= 1) {
        return Err(Refusal::bad(format!(
            "expected shape {shape:?}, {wanted} elements; found data of shape {lengths:?}"
        )));
    }
    Ok(flat)
}

/// Length of the arrays at each depth, equal throughout, and the depth of the leaves.
#[derive(Default)]
struct Nesting {
    lengths: Vec<usize>,
    leaves_at: Option<usize>,
}

/// Walks nested arrays. As deep as the body at most, which was limited before.
fn flatten(data: &RawValue, depth: usize, flat: &mut Vec<Element>, nesting: &mut Nesting) -> Result<(), Refusal> {
    let ragged = || Refusal::bad("ragged data: arrays of one depth must have one length");
    if !data.get().starts_with('[') {
        if *nesting.leaves_at.get_or_insert(depth) != depth {
            return Err(ragged());
        }
        flat.push(json::parse::<Element>(data.get().as_bytes())?);
        return Ok(());
    }
    let json::Elements::<'_, { usize::MAX }>(inner) = json::parse(data.get().as_bytes())?;
    match nesting.lengths.get(depth) {
        Some(length) if *length != inner.len() => return Err(ragged()),
        Some(_) => {}
        None if nesting.leaves_at.is_some() => return Err(ragged()),
        None => nesting.lengths.push(inner.len()),
    }
    inner.into_iter().try_for_each(|element| flatten(element, depth + 1, flat, nesting))
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Element;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("text or a number")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Element, E> {
                Ok(Element::Text(text.to_owned()))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Element, E> {
                Ok(Element::Integer(number.into()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Element, E> {
                Ok(Element::Integer(number.into()))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Element, E> {
                Ok(Element::Float(number))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(shape: &[i64], data: &str) -> Result<usize, String> {
        let raw: &RawValue = serde_json::from_str(data).unwrap();
        elements(raw, shape).map(|flat| flat.len()).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn flat_and_nested_data_are_the_same_tensor() {
        assert_eq!(read(&[2, 2], "[1,2,3,4]"), Ok(4));
        assert_eq!(read(&[2, 2], "[[1,2],[3,4]]"), Ok(4));
        assert_eq!(read(&[], "[7]"), Ok(1));
        assert_eq!(read(&[0], "[]"), Ok(0));
        assert_eq!(read(&[2, 0], "[[],[]]"), Ok(0));
    }

    #[test]
    fn data_that_does_not_fit_its_shape_is_refused() {
        assert_eq!(read(&[3], "[1,2]"), Err("expected shape [3], 3 elements; found data of shape [2]".into()));
        assert!(read(&[2, 2], "[[1,2],[3]]").unwrap_err().starts_with("ragged"));
        assert!(read(&[3], "[1,[2,3]]").unwrap_err().starts_with("ragged"));
        assert!(read(&[3], "[[1,2],3]").unwrap_err().starts_with("ragged"));
        assert!(read(&[2, 3], "[[1,2],[3,4],[5,6]]").unwrap_err().contains("found data of shape [3, 2]"));
        assert_eq!(read(&[2, -5], "[]"), Err("shape [2, -5]: negative".into()));
        assert_eq!(
            read(&[16, 1_152_921_504_606_846_978], "[]"),
            Err("shape [16, 1152921504606846978]: too large".into())
        );
    }

    #[test]
    fn integers_have_the_range_of_their_datatype() {
        assert_eq!(family("int32").unwrap(), Family::Integer(-2_147_483_648, 2_147_483_647));
        assert_eq!(family("UINT64").unwrap(), Family::Integer(0, u64::MAX.into()));
        assert_eq!(family("FP16").unwrap_err().to_string(), "no input of this model is FP16");
        assert!(family("BF16").is_err());
    }
}
