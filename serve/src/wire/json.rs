//! Limits that hold before and while JSON is parsed: depth without recursion, lists without more than allowed.

use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use crate::{config::MAX_DEPTH, error::Refusal};

/// Refuses bodies nested deeper than [`MAX_DEPTH`], by counting brackets outside of text.
pub(super) fn check_depth(body: &[u8]) -> Result<(), Refusal> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in body {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(Refusal::bad(format!("JSON nested deeper than {MAX_DEPTH}")));
        }
    }
    Ok(())
}

/// Parses a whole body as an object.
pub(crate) fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    check_depth(body)?;
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => parse(body),
        Some(_) => {
            // Malformed JSON is said to be so even when it would not have been an object.
            parse::<de::IgnoredAny>(body)?;
            Err(Refusal::bad("expected a JSON object"))
        }
        None => Err(Refusal::bad("expected a JSON object, found an empty body")),
    }
}

/// Parses, naming the place of the first fault.
pub(super) fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(json).map_err(|error| Refusal::bad(format!("JSON: {error}")))
}

/// The elements of an array, unparsed; never more than `N`.
#[derive(Debug)]
pub(super) struct Elements<'a, const N: usize>(pub(super) Vec<&'a RawValue>);

impl<'de, const N: usize> Deserialize<'de> for Elements<'de, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const N: usize>;
        impl<'de, const N: usize> de::Visitor<'de> for Visitor<N> {
            type Value = Elements<'de, N>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "a list of at most {N}")
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = list.next_element()? {
                    if elements.len() == N {
                        return Err(de::Error::custom(format!("expected at most {N} elements")));
                    }
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(Visitor::<N>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_text_only() {
        let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
        assert!(check_depth(&nested(64)).is_ok());
        assert!(check_depth(&nested(65)).is_err());
        assert!(check_depth(&b"[".repeat(250_000)).is_err());
        let text = format!(r#"["\"{}"]"#, "[".repeat(100));
        assert!(check_depth(text.as_bytes()).is_ok());
        let siblings = format!("[{}]", "[],".repeat(100) + "[]");
        assert!(check_depth(siblings.as_bytes()).is_ok());
    }

    #[test]
    fn lists_stop_at_their_limit() {
        assert_eq!(parse::<Elements<'_, 2>>(b"[1, [2]]").unwrap().0.len(), 2);
        assert!(parse::<Elements<'_, 2>>(b"[1, 2, 3]").is_err());
    }
}
