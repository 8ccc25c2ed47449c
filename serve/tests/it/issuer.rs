//! An issuer of tokens for tests, with a key of every kind that is accepted; and tokens that nobody should accept.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    rsa::{KeyPairComponents, PublicKeyComponents},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use serde_json::{Value, json};

/// The RSA key of RFC 7515, appendix A.2: *ring* makes none. Modulus, exponent, private exponent, primes and what
/// follows from them, base64url.
const RSA: [&str; 8] = [
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCg\
     NMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665\
     xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuX\
     poQ",
    "AQAB",
    "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ\
     1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt\
     4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOop\
     znQ",
    "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcm\
     nPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc",
    "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-T\
     nBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc",
    "BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2\
     zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0",
    "h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-\
     kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU",
    "IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOP\
     LUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U",
];

/// Whoever says who a caller is. Two issuers share no key but the RSA key.
pub struct Issuer {
    random: SystemRandom,
    edwards: Ed25519KeyPair,
    curve: EcdsaKeyPair,
    rsa: RsaKeyPair,
}

impl Issuer {
    /// One with fresh keys.
    pub fn new() -> Self {
        let random = SystemRandom::new();
        let edwards = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let how = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let curve = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
        let [n, e, d, p, q, dp, dq, q_inverse] = RSA.map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
        let public_key = PublicKeyComponents { n, e };
        let rsa = KeyPairComponents { public_key, d, p, q, dP: dp, dQ: dq, qInv: q_inverse };
        Self {
            edwards: Ed25519KeyPair::from_pkcs8(edwards.as_ref()).unwrap(),
            curve: EcdsaKeyPair::from_pkcs8(how, curve.as_ref(), &random).unwrap(),
            rsa: RsaKeyPair::from_components(&rsa).unwrap(),
            random,
        }
    }

    /// Its public keys `ed`, `ec` and `rsa`, as it publishes them, beside some that sign nothing for us.
    pub fn keys(&self) -> Value {
        let point = self.curve.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let [x, y] = [x, y].map(|half| URL_SAFE_NO_PAD.encode(half));
        json!({ "keys": [
            { "kid": "ed", "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(self.edwards.public_key()) },
            { "kid": "ec", "kty": "EC", "crv": "P-256", "use": "sig", "x": x, "y": y },
            { "kid": "rsa", "kty": "RSA", "alg": "RS256", "n": RSA[0], "e": RSA[1] },
            { "kid": "wraps", "kty": "RSA", "use": "enc", "alg": "RSA-OAEP", "n": RSA[0], "e": RSA[1] },
            { "kid": "shared", "kty": "oct", "k": "c2VjcmV0" },
            { "kid": "new", "kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA" },
        ] })
    }

    /// A token signed as `algorithm` says, with its key's name in the header unless another header is given.
    pub fn token(&self, algorithm: &str, claims: &Value) -> String {
        let kid = match algorithm {
            "EdDSA" => "ed",
            "ES256" => "ec",
            _ => "rsa",
        };
        self.headed(algorithm, &json!({ "alg": algorithm, "kid": kid, "typ": "JWT" }), claims)
    }

    /// The same with any header.
    pub fn headed(&self, algorithm: &str, header: &Value, claims: &Value) -> String {
        self.sealed(algorithm, header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// The same with any bytes for a header and for claims.
    pub fn sealed(&self, algorithm: &str, header: &[u8], claims: &[u8]) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signed = message.as_bytes();
        let signature = match algorithm {
            "EdDSA" => self.edwards.sign(signed).as_ref().to_vec(),
            "ES256" => self.curve.sign(&self.random, signed).unwrap().as_ref().to_vec(),
            "RS256" => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &self.random, signed, &mut signature).unwrap();
                signature
            }
            // Signed with what everyone knows: the public key's own bytes.
            "HS256" => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &URL_SAFE_NO_PAD.decode(RSA[0]).unwrap());
                hmac::sign(&key, signed).as_ref().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
