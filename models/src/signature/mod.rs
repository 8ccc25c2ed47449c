//! Signatures over versions: who vouches for these bytes.
//!
//! Apart from the registry because a signature holds where its log does not reach: in an export, a backup, a folder that
//! a predictor mounts. Pure functions: no input, output, clock or entropy.
//!
//! The layout is that of OpenSSF model signing, as the tool `model-signing` 1.1.1 writes and reads it: a Sigstore bundle
//! (v0.3, JSON) around a DSSE envelope around an in-toto statement (v1) of predicate [`PREDICATE_TYPE`]. The statement
//! has one subject, the model's name with a root digest, and its predicate lists every file with its sha256. Among
//! them is [`MANIFEST_FILE`], so everything the manifest says is vouched for too. The version's number is not: the log
//! gives it. Where we leave the layout: keys are Ed25519, which it does not name (it has ECDSA on P-256, P-384 and
//! P-521), because signing the same version twice then gives the same bytes and needs no randomness.
//!
//! The key's hint is, as in the tool, the sha256 of the public key's PEM text; see [`KeyId`].

mod bundle;
mod error;
mod key;
mod pem;
mod statement;
mod trust;

#[cfg(test)]
mod tests;

pub use bundle::{MEDIA_TYPE, PAYLOAD_TYPE};
pub use error::{Error, KeyError};
pub use key::{KeyId, SigningKey, VerifyingKey};
pub use statement::{MANIFEST_FILE, PREDICATE_TYPE, SIGNATURE_FILE, STATEMENT_TYPE};
pub use trust::Trust;

use crate::{digest, manifest::Manifest};
use statement::Statement;

/// Signs a version: the bytes of its [`SIGNATURE_FILE`].
///
/// `manifest_bytes` are those that were stored, which `manifest` was read from or written as. The same key and version
/// give the same bytes. The only error is [`Error::Unsignable`].
pub fn sign(key: &SigningKey, manifest: &Manifest, manifest_bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let statement = Statement::of(manifest, &digest::sha256(manifest_bytes))?;
    let payload = statement.to_bytes();
    let signature = key.sign(&bundle::pae(&payload));
    Ok(bundle::seal(&key.key_id(), &payload, &signature))
}

/// Whether a trusted key signed exactly this version, and which.
///
/// `manifest_sha256` is the digest of the manifest's stored bytes, hex, as the log has it; the caller has checked that
/// `manifest` was read from such bytes. Nothing inside the envelope is read before its signature is found good. No
/// byte of the bundle can differ from what [`sign`] wrote: members, their order and white space are compared too.
///
/// Ignores [`Trust::required`]; [`Trust::check`] is the whole policy.
pub fn verify(
    bundle_bytes: &[u8],
    manifest: &Manifest,
    manifest_sha256: &str,
    trusted: &Trust,
) -> Result<KeyId, Error> {
    let opened = bundle::open(bundle_bytes)?;
    let key_id = opened.key_id;
    let key = trusted.find(&key_id).ok_or_else(|| Error::Untrusted { key_id: key_id.clone() })?;
    if !key.vouches(&bundle::pae(&opened.payload), &opened.signature) {
        return Err(Error::BadSignature { key_id });
    }
    let found = Statement::from_bytes(&opened.payload)?;
    found.must_equal(&Statement::of(manifest, manifest_sha256)?)?;
    Ok(key_id)
}
