//! What is signed: the in-toto statement that a manifest gives, and how another one differs from it.
//!
//! Source: in-toto attestation framework, Statement v1; OpenSSF model signing, predicate v1.0.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Error, error::cut};
use crate::{digest, manifest::Manifest};

/// The kind of statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// What it says about its subject: these are the model's files.
pub const PREDICATE_TYPE: &str = "https://model_signing/signature/v1.0";

/// The path under which a statement lists the manifest.
pub const MANIFEST_FILE: &str = "manifest.json";

/// The path of the signature itself, the only one a statement leaves out.
pub const SIGNATURE_FILE: &str = "model.sig";

/// A statement about one model. Members in the order they are written in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statement {
    #[serde(rename = "_type")]
    pub(super) kind: String,
    pub(super) subject: [Subject; 1],
    #[serde(rename = "predicateType")]
    pub(super) predicate_type: String,
    pub(super) predicate: Predicate,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) digest: RootDigest,
}

/// sha256 over the binary digests of all resources, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RootDigest {
    pub(super) sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Predicate {
    pub(super) serialization: Serialization,
    pub(super) resources: Vec<Resource>,
}

/// How a folder becomes resources: every file whole, by sha256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Serialization {
    pub(super) method: String,
    pub(super) hash_type: String,
    pub(super) allow_symlinks: bool,
    pub(super) ignore_paths: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resource {
    pub(super) name: String,
    pub(super) algorithm: String,
    pub(super) digest: String,
}

impl Resource {
    fn file(path: &str, sha256: &str) -> Self {
        Self { name: path.into(), algorithm: "sha256".into(), digest: sha256.into() }
    }

    /// Layout's order: by the parts of the path, so that `a/b` comes before `a-b`.
    fn parts(&self) -> impl Iterator<Item = &str> {
        self.name.split('/')
    }

    /// Why this path or digest would leave doubt about what was signed.
    fn doubt(&self) -> Option<&'static str> {
        if self.parts().any(|part| ["", ".", ".."].contains(&part)) {
            return Some("not a plain relative path");
        }
        if self.parts().next() == Some(SIGNATURE_FILE) {
            return Some("the place of the signature, which no signature covers");
        }
        if !digest::is_sha256(&self.digest) {
            return Some("its sha256 is not 64 lower-case hex digits");
        }
        None
    }
}

impl Statement {
    /// The one statement that vouches for this version.
    pub(super) fn of(manifest: &Manifest, manifest_sha256: &str) -> Result<Self, Error> {
        let unsignable = |path: &str, reason| Error::Unsignable { path: cut(path), reason };
        let mut resources = vec![Resource::file(MANIFEST_FILE, manifest_sha256)];
        resources.extend(manifest.files.iter().map(|file| Resource::file(&file.path, &file.sha256)));
        resources.sort_by(|a, b| a.parts().cmp(b.parts()));
        let mut root = Sha256::new();
        for resource in &resources {
            if let Some(reason) = resource.doubt() {
                return Err(unsignable(&resource.name, reason));
            }
            root.update(hex::decode(&resource.digest).expect("digests were just checked to be hex"));
        }
        if let Some(twice) = resources.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(unsignable(&twice[0].name, "listed twice, or in the place of the manifest"));
        }
        Ok(Self {
            kind: STATEMENT_TYPE.into(),
            subject: [Subject {
                name: manifest.name.to_string(),
                digest: RootDigest { sha256: hex::encode(root.finalize()) },
            }],
            predicate_type: PREDICATE_TYPE.into(),
            predicate: Predicate {
                serialization: Serialization {
                    method: "files".into(),
                    hash_type: "sha256".into(),
                    allow_symlinks: false,
                    ignore_paths: vec![SIGNATURE_FILE.into()],
                },
                resources,
            },
        })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a statement has no maps with odd keys")
    }

    /// Reads a payload whose signature was found good.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(bytes).map_err(|error| Error::NotAStatement(cut(&error.to_string())))
    }

    /// The first difference from what the manifest at hand gives, most telling first.
    pub(super) fn must_equal(&self, expected: &Self) -> Result<(), Error> {
        let [subject] = &self.subject;
        let [expected_subject] = &expected.subject;
        if subject.name != expected_subject.name {
            return Err(Error::Model { expected: expected_subject.name.clone(), found: cut(&subject.name) });
        }
        let signed = self.by_path();
        let ours = expected.by_path();
        for (path, found) in &ours {
            match signed.get(path) {
                None => return Err(Error::FileMissing { path: (*path).into() }),
                Some(digest) if digest != found => {
                    return Err(Error::Digest { path: (*path).into(), signed: cut(digest), found: (*found).into() });
                }
                Some(_) => {}
            }
        }
        if let Some(path) = signed.keys().find(|path| !ours.contains_key(*path)) {
            return Err(Error::FileUnknown { path: cut(path) });
        }
        if self == expected {
            return Ok(());
        }
        Err(Error::NotAStatement("type, serialization, order or root digest is not what these files give".into()))
    }

    fn by_path(&self) -> BTreeMap<&str, &str> {
        let resources = self.predicate.resources.iter();
        resources.map(|resource| (resource.name.as_str(), resource.digest.as_str())).collect()
    }
}
