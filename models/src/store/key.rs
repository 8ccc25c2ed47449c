//! Object keys, all of them, and the rule every key obeys. Numbers are padded to 20 digits so that listing order is
//! numeric order.
//!
//! The rule is the part of naming that all stores agree on. A name that one store keeps, another rewrites and a third
//! takes for a path would make the same registry mean different things in different places.

use jiff::Timestamp;

use super::Error;
use crate::{
    id::{ModelName, Version},
    split::Salt,
};

/// The longest key below the URL's own prefix, in bytes: S3 and Google stop at 1,024 and the prefix needs some of it.
pub const MAX_KEY_BYTES: usize = 900;
/// The longest part between two slashes, in bytes: file systems stop at 255 and staging names need some of it.
pub const MAX_PART_BYTES: usize = 200;
/// The rule, in words.
pub const RULE: &str = "1 to 900 bytes, in parts of 1 to 200 joined by /, each of A-Z, a-z, 0-9, spaces and -_.=+@,() \
                        without a space at either end or a dot at its end";

/// Refuses a key that some store would not give back exactly as it was.
///
/// ```
/// use models::store::key;
/// assert!(key::check("acme-books/log/00000000000000000001.json").is_ok());
/// for bad in ["", "/a", "a//b", "a/", "..", "a/../b", "a%2Fb", "a#1", "a\\b", "café", "a./b", " a"] {
///     assert!(key::check(bad).is_err(), "{bad}");
/// }
/// ```
pub fn check(key: &str) -> Result<(), Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" -_.=+@,()".contains(&byte);
    let sound = |part: &str| {
        (1..=MAX_PART_BYTES).contains(&part.len())
            && part.bytes().all(plain)
            && part.trim_ascii() == part
            && !part.ends_with('.')
    };
    if key.len() <= MAX_KEY_BYTES && key.split('/').all(sound) {
        return Ok(());
    }
    Err(Error::BadKey { key: key.chars().take(80).collect() })
}

/// The registry's format marker.
pub const REGISTRY: &str = "registry.json";
/// The commit log.
pub const LOG: &str = "log";

/// One entry of the commit log.
pub fn log(id: u64) -> String {
    format!("{LOG}/{id:020}.json")
}

/// The folder of folded states.
pub const CHECKPOINTS: &str = "checkpoints";
/// Where the newest checkpoint was when this was written.
pub const LAST_CHECKPOINT: &str = "checkpoints/_last";

/// The folded state after one entry of the log.
pub fn checkpoint(id: u64) -> String {
    format!("{CHECKPOINTS}/{id:020}.json")
}

/// The number that names an entry or checkpoint; `None` for other keys.
pub fn number(key: &str) -> Option<u64> {
    let digits = key.rsplit('/').next()?.strip_suffix(".json")?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

/// Says that a registry is a copy that follows another, and how far it is.
pub const REPLICA: &str = "replica.json";

/// The folder of all immutable bytes.
pub const BLOBS: &str = "blobs";

/// Immutable bytes, by their sha256 in hex.
pub fn blob(sha256: &str) -> String {
    format!("{BLOBS}/sha256/{}/{sha256}", &sha256[..2.min(sha256.len())])
}

/// An immutable manifest; its folder is named by the first 32 hex digits of its own sha256, so that publishing the
/// same manifest twice is the same object.
pub fn manifest(name: &ModelName, sha256: &str) -> String {
    format!("{MODELS}/{name}/versions/{}/manifest.json", &sha256[..32.min(sha256.len())])
}

/// The folder of all manifests and signatures.
pub const MODELS: &str = "models";

/// One signature of a version, beside its manifest.
pub fn signature(name: &ModelName, manifest_sha256: &str, number: usize) -> String {
    let folder = manifest(name, manifest_sha256);
    format!("{}/{}", folder.trim_end_matches("/manifest.json"), signature_file(number))
}

/// The file name of a version's signature, in the store and in an export: the first is `model.sig`, later ones are
/// numbered from 1.
pub fn signature_file(number: usize) -> String {
    if number == 0 { "model.sig".into() } else { format!("model.{number}.sig") }
}

/// The folder of one run's intermediate results.
pub fn run(run: &str) -> String {
    format!("runs/{run}")
}

/// The folder of one topic's segments.
pub fn topic(topic: &str) -> String {
    format!("streams/{topic}")
}

/// One segment of one producer, its number rising.
pub fn segment(topic: &str, producer: &str, number: u64) -> String {
    format!("streams/{topic}/{producer}/{number:020}.ndjson")
}

/// How far a consumer group has read a topic.
pub fn group(topic: &str, group: &str) -> String {
    format!("groups/{group}/{topic}.json")
}

/// The detector's own state for one model.
pub fn detector(model: &ModelName) -> String {
    format!("detector/{model}.json")
}

/// The folder of the evidence of trials.
pub const TRIALS: &str = "trials";

/// The name of one trial: of a version against the one in production, under a salt, from a moment on.
pub fn trial_name(version: Version, production: Version, salt: &Salt, began: Timestamp) -> String {
    let salt = salt.to_string();
    format!("{version}-{production}-{}-{}", &salt[..16], began.as_millisecond())
}

/// The folder of one trial's evidence.
pub fn trial(name: &ModelName, trial: &str) -> String {
    format!("{TRIALS}/{name}/{trial}")
}

/// What one process last said of a trial. It alone writes there.
pub fn evidence(trial: &str, process: &str) -> String {
    format!("{trial}/{process}.json")
}

/// An earlier part of what it said, from 0, which never changes.
pub fn evidence_part(trial: &str, process: &str, number: u64) -> String {
    format!("{trial}/{process}/{number:020}.json")
}

/// The folder of daily interaction files made from the streams.
pub const INTERACTIONS: &str = "interactions";
