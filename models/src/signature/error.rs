//! Why a signature or a key was refused. What to do about it: another file (`KeyError`, and what is not a bundle),
//! another key (`Untrusted`, `Unsigned`), or an alarm (everything else).

use super::{KeyId, MEDIA_TYPE, PAYLOAD_TYPE};

/// A version that may not be used, or not be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The policy asks for a signature and there is none.
    #[error("not signed, and the policy requires a signature by a trusted key")]
    Unsigned,
    /// The bundle cannot be parsed at all.
    #[error("signature is not JSON: {0}")]
    NotJson(String),
    /// Another kind of document, or another version of this one.
    #[error("media type of the signature. expected={MEDIA_TYPE} found={found}")]
    MediaType {
        /// What it says it is, cut to 80 characters.
        found: String,
    },
    /// The right media type, but members are missing, unknown or of the wrong type.
    #[error("signature is not a bundle of one key: {0}")]
    NotABundle(String),
    /// The envelope holds something else than a statement.
    #[error("payload type of the signature. expected={PAYLOAD_TYPE} found={found}")]
    PayloadType {
        /// What it says it holds, cut to 80 characters.
        found: String,
    },
    /// There must be exactly one: with several, which one counted would be a guess.
    #[error("signatures in the bundle. expected=1 found={found}")]
    Signatures {
        /// How many.
        found: usize,
    },
    /// A member is not base64 (standard alphabet, padded, no stray bits at its end).
    #[error("signature has bad base64 in {member}")]
    Base64 {
        /// Which: `payload` or `sig`.
        member: &'static str,
    },
    /// The same content written differently: reordered, spaced, escaped.
    #[error("signature is not written the one way it can be; first difference at byte {at}")]
    NotCanonical {
        /// Offset, from 0.
        at: usize,
    },
    /// Signed by a key that is not trusted here.
    #[error("signed by key {key_id}, which is not trusted")]
    Untrusted {
        /// The key the bundle names.
        key_id: KeyId,
    },
    /// The named key did not sign this payload.
    #[error("bad signature under key {key_id}")]
    BadSignature {
        /// The key the bundle names.
        key_id: KeyId,
    },
    /// A trusted key signed something that is not a statement about a model in our layout.
    #[error("what was signed is not a statement about a model: {0}")]
    NotAStatement(String),
    /// The statement is about another model.
    #[error("signature is for another model. expected={expected} found={found}")]
    Model {
        /// The manifest's name.
        expected: String,
        /// The statement's, cut to 80 characters.
        found: String,
    },
    /// The version has a file that was not signed.
    #[error("{path} is not in the signed statement")]
    FileMissing {
        /// The file.
        path: String,
    },
    /// The statement lists a file that the version does not have.
    #[error("the signed statement lists {path}, which the manifest does not")]
    FileUnknown {
        /// The file, cut to 80 characters.
        path: String,
    },
    /// Another content of that file was signed.
    #[error("sha256 of {path}. signed={signed} found={found}")]
    Digest {
        /// The file.
        path: String,
        /// In the statement, cut to 80 characters.
        signed: String,
        /// In the manifest; for the manifest itself, in the log.
        found: String,
    },
    /// The manifest lists files in a way that no statement can repeat without doubt.
    #[error("manifest cannot be signed: {path}: {reason}")]
    Unsignable {
        /// The file, cut to 80 characters.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// A key file that cannot be used. Never repeats the file's content, which may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No key at all.
    #[error("no PEM block found; expected -----BEGIN {expected}-----")]
    Empty {
        /// The label that was looked for.
        expected: &'static str,
    },
    /// Text outside PEM blocks that is neither blank nor a comment (`#`).
    #[error("line {line} is outside a PEM block and not a # comment")]
    Stray {
        /// From 1.
        line: usize,
    },
    /// A block that does not end.
    #[error("the PEM block that begins on line {line} has no matching end")]
    Unfinished {
        /// From 1.
        line: usize,
    },
    /// A block of something else: a private key where a public one belongs, an encrypted or an old-style key.
    #[error("PEM block on line {line}. expected={expected} found={found}")]
    Label {
        /// From 1.
        line: usize,
        /// The label that was looked for.
        expected: &'static str,
        /// The block's, cut to 80 characters.
        found: String,
    },
    /// One key was expected.
    #[error("{found} keys where one belongs")]
    Several {
        /// How many.
        found: usize,
    },
    /// The block's content is not an Ed25519 key.
    #[error("PEM block on line {line} is not an Ed25519 key: {reason}")]
    NotEd25519 {
        /// From 1.
        line: usize,
        /// What the decoder says: another algorithm's identifier, a wrong length.
        reason: String,
    },
    /// A public key of small order: signatures under it prove nothing.
    #[error("PEM block on line {line} is a weak public key, under which anybody can sign")]
    Weak {
        /// From 1.
        line: usize,
    },
    /// A policy that could never be met.
    #[error("signatures are required but no key is trusted")]
    NoneTrusted,
}

/// At most 80 characters of foreign text, on one line.
pub(super) fn cut(text: &str) -> String {
    text.escape_debug().take(80).collect()
}
