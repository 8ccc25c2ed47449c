//! The keys of an issuer, and whether one of them signed a token that is meant for us, at this moment. No input, output
//! or clock.
//!
//! Sources: RFC 7515 (compact form), RFC 7517 (key sets), RFC 7518 and 8037 (`RS256`, `ES256`, `EdDSA`), RFC 7519 (claims).
//! Of these only what signs with a public key: a token can ask neither for no signature nor for a shared secret.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use crate::wire::json;

/// How far the issuer's clock and ours may be apart.
const LEEWAY: SignedDuration = SignedDuration::from_secs(30);
/// The shortest RSA modulus that is believed, bytes.
const SHORTEST_MODULUS: usize = 256;

/// Whose tokens count, and for whom they must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The claim `iss`, exactly.
    pub issuer: String,
    /// The claim `aud` names one of these.
    pub audiences: Vec<String>,
}

/// Why a token counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Malformed,
    Algorithm,
    UnknownKey,
    Signature,
    Expired,
    TooEarly,
    Elsewhere,
}

impl Fault {
    /// For the caller: nothing of the keys there are, nor of who would have been accepted.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Malformed => "it is no JSON Web Token with an expiry, an issuer and an audience",
            Self::Algorithm => "its algorithm is none of RS256, ES256 and EdDSA, or not its key's",
            Self::UnknownKey => "its key is not known",
            Self::Signature => "its signature is not its key's",
            Self::Expired => "it has expired",
            Self::TooEarly => "it is not valid yet",
            Self::Elsewhere => "it was issued by or for somebody else",
        }
    }
}

/// Keys that sign, as their issuer publishes them.
#[derive(Debug)]
pub(super) struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    public: Public,
}

/// A public key, with the one way in which it signs here.
#[derive(Debug)]
enum Public {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// An uncompressed point of P-256.
    Curve(Vec<u8>),
    Edwards(Vec<u8>),
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// What is read of a key in a set; everything is text.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

/// Times in seconds since 1970, whole or not.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    exp: f64,
    nbf: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Keys {
    /// The keys of a JSON Web Key Set that sign as `RS256`, `ES256` or `EdDSA` (Ed25519); others are passed over, since an
    /// issuer may publish keys for others too. An error where none is left.
    pub(super) fn read(set: &[u8]) -> Result<Self, String> {
        let set: Set =
            serde_json::from_slice(set).map_err(|error| format!("expected a JSON Web Key Set, found none: {error}"))?;
        let found = set.keys.len();
        let keys: Vec<Key> = set.keys.into_iter().filter_map(Key::read).collect();
        if keys.is_empty() {
            return Err(format!("expected a key for RS256, ES256 or EdDSA, found none among {found}"));
        }
        Ok(Self(keys))
    }

    /// Whether a token is signed by one of the keys, and is `expected` at `now`. Its claims are its second part then.
    pub(super) fn verify(&self, token: &str, expected: &Expected, now: Timestamp) -> Result<(), Fault> {
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else { return Err(Fault::Malformed) };
        let header: Header = part(header)?;
        // What must be understood is more than anything here understands.
        if header.crit.is_some() {
            return Err(Fault::Malformed);
        }
        let key = self.chosen(header.kid.as_deref(), &header.alg)?;
        let message = &token[..token.len() - signature.len() - 1];
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Fault::Malformed)?;
        if !key.public.signed(message.as_bytes(), &signature) {
            return Err(Fault::Signature);
        }
        let claims: Claims = part(claims)?;
        let (now, leeway) = (now.as_duration().as_secs_f64(), LEEWAY.as_secs_f64());
        if now >= claims.exp + leeway {
            return Err(Fault::Expired);
        }
        if claims.nbf.is_some_and(|from| now < from - leeway) {
            return Err(Fault::TooEarly);
        }
        let is_ours = |audience: &String| expected.audiences.contains(audience);
        let is_for_us = match &claims.aud {
            Audience::One(audience) => is_ours(audience),
            Audience::Several(audiences) => audiences.iter().any(is_ours),
        };
        if claims.iss != expected.issuer || !is_for_us {
            return Err(Fault::Elsewhere);
        }
        Ok(())
    }

    /// The key that a header names; where it names none, the only one of its algorithm.
    fn chosen(&self, id: Option<&str>, algorithm: &str) -> Result<&Key, Fault> {
        if !["RS256", "ES256", "EdDSA"].contains(&algorithm) {
            return Err(Fault::Algorithm);
        }
        let of_it: Vec<&Key> = self.0.iter().filter(|key| key.public.algorithm() == algorithm).collect();
        let Some(id) = id else {
            return if let [only] = of_it[..] { Ok(only) } else { Err(Fault::UnknownKey) };
        };
        let named = |key: &&Key| key.id.as_deref() == Some(id);
        let is_known = self.0.iter().any(|key| named(&key));
        let fault = if is_known { Fault::Algorithm } else { Fault::UnknownKey };
        of_it.into_iter().find(named).ok_or(fault)
    }
}

/// A part of a token: base64url of one JSON object.
fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, Fault> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Fault::Malformed)?;
    json::object(&bytes).map_err(|_| Fault::Malformed)
}

impl Key {
    /// A key that signs tokens in a way that is accepted.
    fn read(value: Value) -> Option<Self> {
        let Jwk { kty, kid, alg, usage, crv, n, e, x, y } = serde_json::from_value(value).ok()?;
        let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
        let sized = |text: Option<String>| bytes(text).filter(|bytes| bytes.len() == 32);
        let public = match (kty.as_str(), crv.as_deref()) {
            ("RSA", _) => {
                let modulus = bytes(n).filter(|modulus| modulus.len() >= SHORTEST_MODULUS)?;
                Public::Rsa { modulus, exponent: bytes(e)? }
            }
            // 4: both coordinates follow.
            ("EC", Some("P-256")) => Public::Curve([vec![4], sized(x)?, sized(y)?].concat()),
            ("OKP", Some("Ed25519")) => Public::Edwards(sized(x)?),
            _ => return None,
        };
        let signs = usage.is_none_or(|usage| usage == "sig") && alg.is_none_or(|alg| alg == public.algorithm());
        signs.then_some(Self { id: kid, public })
    }
}

impl Public {
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RS256",
            Self::Curve(_) => "ES256",
            Self::Edwards(_) => "EdDSA",
        }
    }

    fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let held = match self {
            Self::Rsa { modulus, exponent } => RsaPublicKeyComponents { n: modulus, e: exponent }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
            Self::Curve(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature),
            Self::Edwards(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
        };
        held.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the token of RFC 7515, appendix A.2: whoever made them, it was not us.
    const MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-p\
         CgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapH\
         g665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4\
         FRWyuXpoQ";
    const TOKEN: [&str; 3] = [
        "eyJhbGciOiJSUzI1NiJ9",
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7\
         t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi1\
         2jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGl\
         UPQGe77Rw",
    ];

    fn keys(n: &str) -> Result<Keys, String> {
        Keys::read(serde_json::json!({ "keys": [{ "kty": "RSA", "n": n, "e": "AQAB" }] }).to_string().as_bytes())
    }

    #[test]
    fn the_published_example_is_signed_and_has_no_audience() {
        let expected = Expected { issuer: "joe".into(), audiences: vec!["us".into()] };
        let verified = |token: &str| keys(MODULUS).unwrap().verify(token, &expected, Timestamp::UNIX_EPOCH);
        assert_eq!(verified(&TOKEN.join(".")), Err(Fault::Malformed), "signed, but for nobody");
        let other = [TOKEN[0], &TOKEN[1].replacen("eyJpc3MiOiJqb2Ui", "eyJpc3MiOiJqb2Ux", 1), TOKEN[2]].join(".");
        assert_eq!(verified(&other), Err(Fault::Signature));
    }

    #[test]
    fn a_short_key_is_no_key() {
        assert!(keys(&MODULUS[..100]).unwrap_err().ends_with("found none among 1"));
    }
}
