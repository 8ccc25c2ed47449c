//! What the mesh says of a caller: the claims of a token it has verified, as base64 of a JSON object in one header.
//!
//! Only the tenant is read. The mesh's word is believed, so a header that is not the mesh's must never reach this far.

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use models::TenantName;
use serde::Deserialize;

use super::json;
use crate::error::Refusal;

/// The longest header that is read, bytes.
const MAX_BYTES: usize = 8 * 1024;
const CONFIG: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
const FOR_URLS: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, CONFIG);

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    tenant: Option<TenantName>,
}

/// The claim `tenant` of `x-jwt-payload`, in either alphabet of base64, with or without padding; `None` without one.
///
/// Anything else than one JSON object with at most one tenant, by a name that can be one, is refused.
pub(crate) fn decode(header: &[u8]) -> Result<Option<TenantName>, Refusal> {
    let bad = |what: &str| Refusal::NoTenant(format!("x-jwt-payload: expected base64 of a JSON object, found {what}"));
    if header.len() > MAX_BYTES {
        return Err(bad(&format!("more than {MAX_BYTES} bytes")));
    }
    let engine = if header.iter().any(|byte| matches!(byte, b'-' | b'_')) { FOR_URLS } else { PLAIN };
    let claims = engine.decode(header).map_err(|_| bad("no base64"))?;
    let claims: Claims = json::object(&claims).map_err(|refusal| bad(&refusal.to_string()))?;
    Ok(claims.tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tenant as decoded, `-` for none, or why not.
    fn told(json: &str, engine: &GeneralPurpose) -> String {
        match decode(engine.encode(json).as_bytes()) {
            Ok(tenant) => tenant.map_or_else(|| "-".into(), Into::into),
            Err(refusal) => refusal.to_string(),
        }
    }

    #[test]
    fn either_alphabet_is_read_with_and_without_padding() {
        // `>>>???` encodes to both characters in which the alphabets differ.
        let claims = r#"{"sub":">>>???","tenant":"acme-books","roles":["tenant-member"]}"#;
        let (plain, for_urls) = (PLAIN.encode(claims), FOR_URLS.encode(claims));
        assert!(plain.contains(['+', '/']) && for_urls.contains(['-', '_']) && plain.ends_with('='));
        for text in [&plain, &for_urls, plain.trim_end_matches('='), for_urls.trim_end_matches('=')] {
            assert_eq!(decode(text.as_bytes()).unwrap().unwrap().as_str(), "acme-books", "{text}");
        }
    }

    #[test]
    fn a_tenant_is_one_name_or_none() {
        for nobody in ["{}", r#"{"tenant":null}"#, r#"{"Tenant":"acme-books"}"#, r#"{"realm":{"tenant":"acme-books"}}"#]
        {
            assert_eq!(told(nobody, &PLAIN), "-", "{nobody}");
        }
        for (garbage, words) in [
            ("", "empty body"),
            ("[]", "expected a JSON object"),
            ("acme-books", "JSON: expected value"),
            (r#"{"tenant":"acme-books""#, "EOF"),
            (r#"{"tenant":["acme-books"]}"#, "invalid type: sequence"),
            (r#"{"tenant":"../acme"}"#, "invalid tenant"),
            (r#"{"tenant":"acme-books","tenant":"other-books"}"#, "duplicate field `tenant`"),
        ] {
            let told = told(garbage, &PLAIN);
            assert!(told.starts_with("x-jwt-payload: expected base64") && told.contains(words), "{garbage}: {told}");
        }
        let deep = format!(r#"{{"a":{}{},"tenant":"acme-books"}}"#, "[".repeat(64), "]".repeat(64));
        assert!(told(&deep, &PLAIN).contains("nested deeper than 64"));
        for no_base64 in ["{}", "a.b.c", "+_==", "\u{e9}"] {
            assert!(decode(no_base64.as_bytes()).unwrap_err().to_string().ends_with("found no base64"), "{no_base64}");
        }
        assert!(decode(&[b'A'; MAX_BYTES + 1]).unwrap_err().to_string().contains("more than 8192 bytes"));
    }
}
