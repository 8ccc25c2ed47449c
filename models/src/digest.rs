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
