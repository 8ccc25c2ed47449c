//! Ed25519 keys (RFC 8032) and the PEM files they live in (RFC 8410), as `openssl genpkey -algorithm ed25519` and
//! `openssl pkey -pubout` write them.

use std::{fmt, str::FromStr};

use ed25519_dalek::{
    Signer,
    pkcs8::{
        DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes,
        spki::der::{pem::LineEnding, zeroize::Zeroizing},
    },
};
use serde::Serialize;

use super::{
    KeyError,
    pem::{Block, blocks},
};
use crate::digest;

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// Names a key: sha256 of its public key's PEM text, 64 lower-case hex digits.
///
/// What `sha256sum` prints for a file that [`VerifyingKey::to_pem`] or openssl wrote, and what OpenSSF model signing
/// puts in a bundle's hint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct KeyId(Box<str>);

impl KeyId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that is not 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key id is 64 lower-case hex digits")]
pub struct NotAKeyId;

impl FromStr for KeyId {
    type Err = NotAKeyId;
    fn from_str(text: &str) -> Result<Self, NotAKeyId> {
        if digest::is_sha256(text) { Ok(Self(text.into())) } else { Err(NotAKeyId) }
    }
}

/// The secret half of a key pair. Wiped from memory when dropped; printing it shows its [`KeyId`] only.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of 32 secret bytes: from a generator fit for keys, used for nothing else.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(secret))
    }

    /// Reads the one PKCS#8 block of a key file, unencrypted.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let blocks = blocks(text, PRIVATE)?;
        let [Block { line, text }] = blocks.as_slice() else {
            return Err(KeyError::Several { found: blocks.len() });
        };
        ed25519_dalek::SigningKey::from_pkcs8_pem(text)
            .map(Self)
            .map_err(|error| KeyError::NotEd25519 { line: *line, reason: error.to_string() })
    }

    /// The key file's text: PKCS#8 without the public half, as openssl writes it. Wiped from memory when dropped.
    pub fn to_pem(&self) -> Zeroizing<String> {
        let bytes = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        bytes.to_pkcs8_pem(LineEnding::LF).expect("32 bytes always fit their encoding")
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }

    /// Names the pair.
    pub fn key_id(&self) -> KeyId {
        self.verifying_key().key_id()
    }

    /// Signs a message; the same message always gives the same signature.
    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.key_id())
    }
}

/// The public half of a key pair.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// Reads every public key (SPKI) of a file: one, or several during a rotation. Comments begin with `#`.
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>, KeyError> {
        blocks(text, PUBLIC)?.iter().map(Self::from_block).collect()
    }

    fn from_block(Block { line, text }: &Block) -> Result<Self, KeyError> {
        let key = ed25519_dalek::VerifyingKey::from_public_key_pem(text)
            .map_err(|error| KeyError::NotEd25519 { line: *line, reason: error.to_string() })?;
        if key.is_weak() { Err(KeyError::Weak { line: *line }) } else { Ok(Self(key)) }
    }

    /// The key file's text.
    pub fn to_pem(&self) -> String {
        self.0.to_public_key_pem(LineEnding::LF).expect("32 bytes always fit their encoding")
    }

    /// Names the pair.
    pub fn key_id(&self) -> KeyId {
        KeyId(digest::sha256(self.to_pem().as_bytes()).into())
    }

    /// Whether this key signed that message. Strict: of all encodings of a signature only the one that signing gives
    /// is accepted, and neither keys nor signatures of small order are.
    pub(super) fn vouches(&self, message: &[u8], signature: &[u8]) -> bool {
        ed25519_dalek::Signature::from_slice(signature)
            .is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.key_id())
    }
}

#[cfg(test)]
mod tests;
