//! The signature as a file: a Sigstore bundle around a DSSE envelope.
//!
//! Source: Sigstore bundle format v0.3; DSSE v1.0, protocol. There is one way to write a bundle, and reading accepts no
//! other, so that no bit of the file is without meaning.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

use super::{Error, KeyId, error::cut};

/// What the file says it is.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// What its envelope holds.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Members in the order they are written in.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Bundle {
    media_type: String,
    verification_material: VerificationMaterial,
    dsse_envelope: Envelope,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VerificationMaterial {
    public_key: PublicKey,
    /// Entries of a transparency log. Keys are trusted by configuration here, so there are none.
    tlog_entries: [(); 0],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublicKey {
    hint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    sig: String,
    /// Empty, as the layout's tool writes it: the hint names the key.
    keyid: String,
}

/// A bundle taken apart. Nothing in it is vouched for yet.
pub(super) struct Opened {
    /// The key it says it was signed by.
    pub(super) key_id: KeyId,
    /// What was signed.
    pub(super) payload: Vec<u8>,
    /// The signature over [`pae`] of it.
    pub(super) signature: Vec<u8>,
}

/// The bytes a signature is over: payload type and payload, each with its length.
pub(super) fn pae(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// Writes a bundle.
pub(super) fn seal(key_id: &KeyId, payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let bundle = Bundle {
        media_type: MEDIA_TYPE.into(),
        verification_material: VerificationMaterial {
            public_key: PublicKey { hint: key_id.to_string() },
            tlog_entries: [],
        },
        dsse_envelope: Envelope {
            payload: BASE64.encode(payload),
            payload_type: PAYLOAD_TYPE.into(),
            signatures: vec![Signature { sig: BASE64.encode(signature), keyid: String::new() }],
        },
    };
    serde_json::to_vec(&bundle).expect("a bundle has no maps with odd keys")
}

/// Takes a bundle apart; it must be, byte for byte, what [`seal`] makes of the parts.
pub(super) fn open(bytes: &[u8]) -> Result<Opened, Error> {
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| Error::NotJson(error.to_string()))?;
    // Before the members: those of another version are unknown ones, and that would be the lesser reason.
    match &value["mediaType"] {
        serde_json::Value::String(found) if found == MEDIA_TYPE => {}
        serde_json::Value::String(found) => return Err(Error::MediaType { found: cut(found) }),
        _ => return Err(Error::MediaType { found: "none".into() }),
    }
    let Bundle { verification_material, dsse_envelope: envelope, .. } =
        serde_json::from_value(value).map_err(|error| Error::NotABundle(cut(&error.to_string())))?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(Error::PayloadType { found: cut(&envelope.payload_type) });
    }
    let [signature] = envelope.signatures.as_slice() else {
        return Err(Error::Signatures { found: envelope.signatures.len() });
    };
    let hint = &verification_material.public_key.hint;
    let opened = Opened {
        key_id: hint.parse().map_err(|error| Error::NotABundle(format!("hint: {error}")))?,
        payload: BASE64.decode(&envelope.payload).map_err(|_| Error::Base64 { member: "payload" })?,
        signature: BASE64.decode(&signature.sig).map_err(|_| Error::Base64 { member: "sig" })?,
    };
    let canonical = seal(&opened.key_id, &opened.payload, &opened.signature);
    if canonical == bytes {
        return Ok(opened);
    }
    let same = canonical.iter().zip(bytes).take_while(|(ours, found)| ours == found).count();
    Err(Error::NotCanonical { at: same })
}
