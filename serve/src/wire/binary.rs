//! Tensors as bytes: little-endian, row-major, without padding; text with its length in front.
//!
//! Over HTTP the JSON part comes first, its length said by a header, and the bytes of those inputs that name a
//! `binary_data_size` follow back to back in the order of the inputs. gRPC carries the same bytes one by one.

use super::tensor::{self, Element};
use crate::error::Refusal;

/// A body cut where its JSON ends. Without the header there are no bytes behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(super) json: &'a [u8],
    pub(super) raw: Option<&'a [u8]>,
}

impl<'a> From<&'a [u8]> for Parts<'a> {
    fn from(json: &'a [u8]) -> Self {
        Self { json, raw: None }
    }
}

impl<'a> Parts<'a> {
    /// Cuts a body at the length that the header `Inference-Header-Content-Length` says, if it was sent.
    pub(crate) fn cut(body: &'a [u8], header: Option<&[u8]>) -> Result<Self, Refusal> {
        let Some(header) = header else { return Ok(Self::from(body)) };
        let found = String::from_utf8_lossy(header);
        let bad = |words: String| Refusal::bad(format!("Inference-Header-Content-Length: {words}"));
        let digits = !header.is_empty() && header.iter().all(u8::is_ascii_digit);
        let length = digits.then(|| found.parse::<usize>().ok()).flatten().filter(|length| *length <= body.len());
        match length {
            Some(0) => Err(bad("expected JSON; a body without any is taken only by models with one input".into())),
            Some(length) => {
                let (json, raw) = body.split_at(length);
                Ok(Self { json, raw: Some(raw) })
            }
            None => Err(bad(format!("expected at most {}, found {:?}", body.len(), crate::error::cut(&found)))),
        }
    }
}

/// Bytes not yet given to an input.
pub(super) struct Rest<'a>(Option<&'a [u8]>);

impl<'a> Rest<'a> {
    pub(super) fn of(parts: Parts<'a>) -> Self {
        Self(parts.raw)
    }

    /// The next input's bytes.
    pub(super) fn take(&mut self, size: usize) -> Result<&'a [u8], Refusal> {
        let Some(left) = self.0 else {
            return Err(Refusal::bad("binary_data_size needs the header Inference-Header-Content-Length"));
        };
        let Some((taken, left)) = left.split_at_checked(size) else {
            let words = format!("binary_data_size: expected at most the {} bytes left, found {size}", left.len());
            return Err(Refusal::bad(words));
        };
        self.0 = Some(left);
        Ok(taken)
    }

    /// Nothing may be left over.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        match self.0 {
            Some(left) if !left.is_empty() => {
                Err(Refusal::bad(format!("{} bytes after the last input's binary data", left.len())))
            }
            _ => Ok(()),
        }
    }
}

/// The elements of a tensor whose datatype was found to be known.
pub(super) fn elements(raw: &[u8], datatype: &str, shape: &[i64]) -> Result<Vec<Element>, Refusal> {
    let n = tensor::count(shape)?;
    let datatype = datatype.to_ascii_uppercase();
    match datatype.as_str() {
        "BYTES" => texts(raw, n),
        "INT8" => numbers(raw, n, &datatype, |bytes| Element::Integer(i8::from_le_bytes(bytes).into())),
        "INT16" => numbers(raw, n, &datatype, |bytes| Element::Integer(i16::from_le_bytes(bytes).into())),
        "INT32" => numbers(raw, n, &datatype, |bytes| Element::Integer(i32::from_le_bytes(bytes).into())),
        "INT64" => numbers(raw, n, &datatype, |bytes| Element::Integer(i64::from_le_bytes(bytes).into())),
        "UINT8" => numbers(raw, n, &datatype, |bytes| Element::Integer(u8::from_le_bytes(bytes).into())),
        "UINT16" => numbers(raw, n, &datatype, |bytes| Element::Integer(u16::from_le_bytes(bytes).into())),
        "UINT32" => numbers(raw, n, &datatype, |bytes| Element::Integer(u32::from_le_bytes(bytes).into())),
        "UINT64" => numbers(raw, n, &datatype, |bytes| Element::Integer(u64::from_le_bytes(bytes).into())),
        "FP32" => numbers(raw, n, &datatype, |bytes| Element::Float(f32::from_le_bytes(bytes).into())),
        "FP64" => numbers(raw, n, &datatype, |bytes| Element::Float(f64::from_le_bytes(bytes))),
        _ => Err(tensor::unknown(&datatype)),
    }
}

fn numbers<const W: usize>(
    raw: &[u8],
    n: usize,
    datatype: &str,
    read: impl Fn([u8; W]) -> Element,
) -> Result<Vec<Element>, Refusal> {
    if n.checked_mul(W) != Some(raw.len()) {
        let words = format!("expected {n} elements of {datatype}, {W} bytes each, found {} bytes", raw.len());
        return Err(Refusal::bad(words));
    }
    Ok(raw.as_chunks::<W>().0.iter().map(|bytes| read(*bytes)).collect())
}

fn texts(raw: &[u8], n: usize) -> Result<Vec<Element>, Refusal> {
    let mut found = Vec::new();
    let mut rest = raw;
    while !rest.is_empty() {
        let at = |words: String| Refusal::bad(format!("element {}: {words}", found.len()));
        let Some((length, after)) = rest.split_first_chunk::<4>() else {
            return Err(at(format!("expected 4 bytes of length, found {}", rest.len())));
        };
        let length = u32::from_le_bytes(*length) as usize;
        let Some((text, after)) = after.split_at_checked(length) else {
            return Err(at(format!("expected {length} bytes, found {}", after.len())));
        };
        let text = std::str::from_utf8(text).map_err(|_| at("not UTF-8".into()))?;
        found.push(Element::Text(text.to_owned()));
        rest = after;
    }
    if found.len() == n {
        return Ok(found);
    }
    Err(Refusal::bad(format!("expected {n} elements of BYTES, found {}", found.len())))
}

/// Numbers as bytes.
pub(super) fn write_floats(values: &[f32], to: &mut Vec<u8>) {
    to.reserve(4 * values.len());
    for value in values {
        to.extend_from_slice(&value.to_le_bytes());
    }
}

/// Text as bytes. Ids and titles are shorter than 4 GiB by the bounds of an artefact.
pub(super) fn write_texts<'t>(values: impl Iterator<Item = &'t str>, to: &mut Vec<u8>) {
    for text in values {
        to.extend_from_slice(&(text.len() as u32).to_le_bytes());
        to.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_body_is_cut_where_its_header_says() {
        let parts = Parts::cut(b"{}abc", Some(b"2")).unwrap();
        assert_eq!((parts.json, parts.raw), (b"{}".as_slice(), Some(b"abc".as_slice())));
        assert_eq!(Parts::cut(b"{}", None).unwrap().raw, None);
        for bad in ["3", "-1", "+2", "", "2.0", "99999999999", "99999999999999999999999"] {
            let words = refused(Parts::cut(b"{}", Some(bad.as_bytes())));
            assert_eq!(words, format!("Inference-Header-Content-Length: expected at most 2, found {bad:?}"));
        }
        assert!(refused(Parts::cut(b"u-17", Some(b"0"))).contains("models with one input"));
    }

    #[test]
    fn bytes_are_given_out_once_and_none_is_left() {
        let mut rest = Rest::of(Parts::cut(b"{}abc", Some(b"2")).unwrap());
        assert_eq!((rest.take(2).unwrap(), rest.take(0).unwrap()), (b"ab".as_slice(), b"".as_slice()));
        assert_eq!(refused(rest.take(2)), "binary_data_size: expected at most the 1 bytes left, found 2");
        assert_eq!(refused(rest.finish()), "1 bytes after the last input's binary data");
        let mut none = Rest::of(Parts::from(b"{}".as_slice()));
        assert_eq!(refused(none.take(0)), "binary_data_size needs the header Inference-Header-Content-Length");
    }

    #[test]
    fn every_datatype_is_read_at_its_limits() {
        let integer = |datatype: &str, raw: &[u8]| match elements(raw, datatype, &[1]).unwrap()[0] {
            Element::Integer(number) => number,
            _ => panic!("not an integer"),
        };
        assert_eq!((integer("INT8", &[0x80]), integer("UINT8", &[0xff])), (-128, 255));
        assert_eq!((integer("INT16", &[0, 0x80]), integer("UINT16", &[1, 0])), (-32_768, 1));
        assert_eq!((integer("int32", &[7, 0, 0, 0]), integer("UINT32", &[0xff; 4])), (7, u32::MAX.into()));
        assert_eq!((integer("INT64", &[0xff; 8]), integer("UINT64", &[0xff; 8])), (-1, u64::MAX.into()));
        assert_eq!(elements(&[0, 0, 0x80, 0x3f], "FP32", &[]).unwrap(), [Element::Float(1.0)]);
        assert_eq!(elements(&2.5_f64.to_le_bytes(), "FP64", &[1, 1]).unwrap(), [Element::Float(2.5)]);
        assert_eq!(elements(b"", "INT64", &[3, 0]).unwrap(), []);
    }

    #[test]
    fn sizes_must_be_exact() {
        let words = "expected 2 elements of INT32, 4 bytes each, found 7 bytes";
        assert_eq!(refused(elements(&[0; 7], "INT32", &[2])), words);
        assert!(refused(elements(&[0; 8], "FP32", &[1 << 62])).contains("found 8 bytes"));
        assert!(refused(elements(&[0; 8], "FP32", &[1 << 62, 1 << 62])).ends_with("too large"));
        assert!(refused(elements(&[0; 2], "FP16", &[1])).contains("FP16"));
    }

    #[test]
    fn text_is_walked_within_its_bounds() {
        let mut raw = Vec::new();
        write_texts(["a\0b", "", "é"].into_iter(), &mut raw);
        assert_eq!(raw, b"\x03\0\0\0a\0b\0\0\0\0\x02\0\0\0\xc3\xa9");
        let found = elements(&raw, "BYTES", &[3]).unwrap();
        assert_eq!(found, ["a\0b", "", "é"].map(|text| Element::Text(text.into())));
        assert_eq!(refused(elements(&raw, "BYTES", &[2])), "expected 2 elements of BYTES, found 3");
        assert_eq!(refused(elements(b"\x01\0\0", "BYTES", &[1])), "element 0: expected 4 bytes of length, found 3");
        assert_eq!(
            refused(elements(b"\xff\xff\xff\xffab", "BYTES", &[1])),
            "element 0: expected 4294967295 bytes, found 2"
        );
        assert_eq!(refused(elements(b"\x01\0\0\0\xff", "BYTES", &[1])), "element 0: not UTF-8");
    }

    #[test]
    fn numbers_are_written_little_end_first() {
        let mut raw = Vec::new();
        write_floats(&[1.0, -0.0], &mut raw);
        assert_eq!(raw, [0, 0, 0x80, 0x3f, 0, 0, 0, 0x80]);
    }
}
