//! sha256 as bookloop writes it: 64 lower-case hex digits.

use sha2::{Digest, Sha256};

/// Digest of some bytes.
///
/// ```
/// assert_eq!(&models::digest::sha256(b"")[..8], "e3b0c442");
/// ```
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Whether a text is a digest as [`sha256`] writes it: 64 lower-case hex digits.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
