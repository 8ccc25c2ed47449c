//! Whose signatures count, and whether there must be one.
//!
//! Apart from verification because keys and policy are a deployment's settings, and change without a bundle changing.

use super::{Error, KeyError, KeyId, VerifyingKey, verify};
use crate::manifest::Manifest;

/// The keys a deployment trusts, and its policy. The default trusts nobody and asks for nothing.
///
/// Rotation: trust the old key and the new, sign with the new, and drop the old when no version in use needs it.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    keys: Vec<VerifyingKey>,
    required: bool,
}

impl Trust {
    /// Trusts these keys. `required` (the policy `require-signature`) refuses versions without a signature, and is
    /// itself refused without a key.
    pub fn new(keys: Vec<VerifyingKey>, required: bool) -> Result<Self, KeyError> {
        if required && keys.is_empty() {
            return Err(KeyError::NoneTrusted);
        }
        Ok(Self { keys, required })
    }

    /// Trusts every key of a PEM file.
    pub fn from_pem(text: &str, required: bool) -> Result<Self, KeyError> {
        Self::new(VerifyingKey::all_from_pem(text)?, required)
    }

    /// The trusted keys, as given.
    pub fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }

    /// Whether a version without a signature is refused.
    pub fn required(&self) -> bool {
        self.required
    }

    pub(super) fn find(&self, key_id: &KeyId) -> Option<&VerifyingKey> {
        self.keys.iter().find(|key| key.key_id() == *key_id)
    }

    /// The policy: whether a version may be used, and by whose word.
    ///
    /// | `bundle` | no key trusted | keys trusted | and required |
    /// | --- | --- | --- | --- |
    /// | `None` | `Ok(None)` | `Ok(None)` | [`Error::Unsigned`] |
    /// | `Some` | `Ok(None)`, not looked at | as [`verify`] | as [`verify`] |
    ///
    /// So a signature that is there must be good as soon as there is a key to judge it by, whatever the policy.
    pub fn check(
        &self,
        bundle: Option<&[u8]>,
        manifest: &Manifest,
        manifest_sha256: &str,
    ) -> Result<Option<KeyId>, Error> {
        match bundle {
            None if self.required => Err(Error::Unsigned),
            None => Ok(None),
            Some(_) if self.keys.is_empty() => Ok(None),
            Some(bundle) => verify(bundle, manifest, manifest_sha256, self).map(Some),
        }
    }
}
