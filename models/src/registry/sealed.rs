//! How the registry stores its own JSON: a body and the digest of the body's bytes, so that an object shows by itself
//! whether it is whole. The chain of digests then says whether it is the right one.

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::Error;
use crate::digest;

/// The stored form, one line: `{"body":…,"sha256":"<digest of the body's bytes>"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow)]
    body: &'a RawValue,
    sha256: &'a str,
}

/// The bytes of `body` as an object; equal bodies give equal bytes.
pub(super) fn seal(body: &impl Serialize) -> Bytes {
    let body = serde_json::to_string(body).expect("the registry's records have no maps with odd keys");
    written(&body).into()
}

fn written(body: &str) -> String {
    format!("{{\"body\":{body},\"sha256\":\"{}\"}}", digest::sha256(body.as_bytes()))
}

/// The body of an object, if it is exactly what [`seal`] wrote and its `format` is at most `supported`.
pub(super) fn unseal<T: DeserializeOwned>(object: &str, bytes: &[u8], supported: u32) -> Result<T, Error> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let corrupt =
        |expected: &str, found: String| Error::Corrupt { object: object.into(), expected: expected.into(), found };
    let envelope: Envelope<'_> =
        serde_json::from_slice(bytes).map_err(|error| corrupt("a body and its sha256", error.to_string()))?;
    // Compared with all that was read: no byte is outside the digest, not even a space.
    if written(envelope.body.get()).as_bytes() != bytes {
        return Err(corrupt(envelope.sha256, digest::sha256(envelope.body.get().as_bytes())));
    }
    let body = envelope.body.get();
    let unreadable = |error: serde_json::Error| corrupt("a record of the registry", error.to_string());
    let found = serde_json::from_str::<Format>(body).map_err(unreadable)?.format;
    if found > supported {
        return Err(Error::Unsupported { object: object.into(), found, supported });
    }
    serde_json::from_str(body).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn any_changed_or_missing_byte_is_seen() {
        let bytes = seal(&json!({"format": 1, "ops": [{"to": 12}], "reason": "weekly"}));
        assert_eq!(unseal::<Value>("log/1", &bytes, 1).unwrap()["ops"][0]["to"], 12);
        for place in 0..bytes.len() {
            for mask in 1..=255 {
                let mut changed = bytes.to_vec();
                changed[place] ^= mask;
                assert!(matches!(unseal::<Value>("log/1", &changed, 1), Err(Error::Corrupt { .. })), "{place} {mask}");
            }
            assert!(unseal::<Value>("log/1", &bytes[..place], 1).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn a_newer_format_is_told_apart_from_damage() {
        let bytes = seal(&json!({"format": 2, "unheard_of": true}));
        let error = unseal::<Value>("log/1", &bytes, 1).unwrap_err();
        assert_eq!(error.to_string(), "log/1 has format 2; this build reads up to 1");
    }
}
