//! The JSON beside a model's bytes: what it is made of, from what, how good it was, and what its data looked like.
//!
//! Immutable once written; the registry's log names it by digest.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    id::{ModelName, Version},
    registry::ORIGIN_FILE,
    signature,
    store::key,
};

/// The manifest format this build writes.
pub const FORMAT: u32 = 1;

/// The file of a version that holds the artefact.
pub const MODEL_FILE: &str = "model.safetensors";

/// Everything known about one version besides its bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// The model.
    pub name: ModelName,
    /// When it was trained, by the trainer's clock.
    pub created_at: Timestamp,
    /// Algorithm, as named on the command line.
    pub algorithm: String,
    /// Its parameters.
    pub params: serde_json::Value,
    /// The search that the parameters were found by, if by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<serde_json::Value>,
    /// Seed of everything random.
    pub seed: u64,
    /// What it was trained on.
    pub data: DataLineage,
    /// Metrics of the evaluation that let it pass, by name (`ndcg@10`, ...).
    pub metrics: BTreeMap<String, Estimate>,
    /// The gate's sentence.
    pub gate: String,
    /// Revision of the code that trained it.
    pub code_revision: String,
    /// What started the run.
    pub trigger: Trigger,
    /// The version in production at the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Version>,
    /// The drift detector's reference profile of the training data.
    pub profile: serde_json::Value,
    /// Every file of the version. Files that are not listed are never read.
    pub files: Vec<FileRef>,
}

impl Manifest {
    /// The listed file of that path.
    pub fn file(&self, path: &str) -> Option<&FileRef> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether the manifest is one this build can follow: its format, and its files' names, which become paths on disk.
    ///
    /// The error says what is wrong in a sentence.
    pub fn check(&self) -> Result<(), String> {
        if self.format > FORMAT {
            return Err(format!("manifest format {}; this build reads up to {FORMAT}", self.format));
        }
        for (place, file) in self.files.iter().enumerate() {
            let path = &file.path;
            let inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
            if !inside || key::check(path).is_err() {
                return Err(format!("file {path:?}: expected a relative path without .., of plain letters"));
            }
            if file.sha256.len() != 64 || !file.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(format!("file {path:?}: expected 64 hex digits as sha256, found {:?}", file.sha256));
            }
            let of_a_signature =
                path.strip_suffix(".sig").is_some_and(|stem| stem == "model" || stem.starts_with("model."));
            if [signature::MANIFEST_FILE, ORIGIN_FILE].contains(&path.as_str()) || of_a_signature {
                return Err(format!("file {path:?}: the name is taken"));
            }
            if self.files[..place].iter().any(|earlier| earlier.path == *path) {
                return Err(format!("file {path:?} is listed twice"));
            }
        }
        Ok(())
    }
}

/// Where the training data came from and what it covered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataLineage {
    /// Path or URL as given.
    pub source: String,
    /// Digest of the accepted rows, hex.
    pub sha256: String,
    /// Accepted interactions.
    pub interactions: u64,
    /// Distinct readers.
    pub readers: u64,
    /// Distinct books in the catalogue.
    pub books: u64,
    /// Time of the first interaction, where the data has a clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Time of the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
}

/// A mean over readers with its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Standard deviation over readers divided by the root of their number; `None` below two readers.
    pub se: Option<f64>,
    /// Readers it was taken over.
    pub n: u64,
}

/// What started a training run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// How it came about.
    pub kind: TriggerKind,
    /// Unique per cause: the same cause twice is the same run.
    pub id: String,
}

/// The ways a training run comes about; also the value of the platform's `trigger` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TriggerKind {
    /// The schedule.
    Nightly,
    /// The drift detector.
    Drift,
    /// A person.
    Manual,
}

impl TriggerKind {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nightly => "nightly",
            Self::Drift => "drift",
            Self::Manual => "manual",
        }
    }
}

/// One immutable file of a version, stored as a blob under its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// Relative path within the version, as on disk when exported.
    pub path: String,
    /// sha256 of the bytes, hex.
    pub sha256: String,
    /// Their number.
    pub bytes: u64,
}
