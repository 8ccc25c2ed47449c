//! `bookloop models export` and `import`: a version as a folder, byte for byte as it was stored.
//!
//! A folder from elsewhere is not believed: links, files that the manifest does not list and what is no file at all are
//! refused before anything is written to the registry.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use ::models::{
    Manifest, Registry, Version,
    registry::{Exported, ORIGIN_FILE},
    signature::{MANIFEST_FILE, SIGNATURE_FILE},
    store::key,
};
use bytes::Bytes;
use clap::Args;
use serde_json::json;

use super::{Place, Shared, Who, keys, print};
use crate::exit;

/// Write a version to a folder: its manifest, its signatures and its files, as they were stored.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Export {
    #[command(flatten)]
    place: Place,
    /// Version number.
    #[arg(long, env = "BOOKLOOP_VERSION")]
    version: Version,
    /// The folder: new or empty. It is there whole or not at all.
    #[arg(long, env = "BOOKLOOP_TO", value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    trusted: keys::Trusted,
}

/// Register a version from a folder that was exported elsewhere, with the same bytes and the next number here.
///
/// Its digests must agree with its manifest, and its signatures with the keys that are trusted here. No alias moves.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Import {
    #[command(flatten)]
    place: Place,
    /// The folder.
    #[arg(long, env = "BOOKLOOP_FROM", value_name = "DIR")]
    from: PathBuf,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    trusted: keys::Trusted,
}

const EXAMPLES: &str = "\
Examples:
  bookloop models export --store file:///var/lib/bookloop --tenant acme-books --version 4 --to v4
  bookloop models import --store s3://models --tenant acme-books --from v4 --actor ana --reason 'moved from the old site' --trusted-key team.pub --require-signature";

impl Export {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let registry = Registry::open(self.place.root()?).await?.trusting(self.trusted.trust()?);
        let version = registry.export(&self.place.model, self.version).await?;
        write(&version.in_folder(&self.place.tenant, self.version), &self.to).map_err(|error| {
            let code = if error.kind() == io::ErrorKind::AlreadyExists { exit::BAD_INPUT } else { exit::UNAVAILABLE };
            exit::coded(code, format!("--to {}: {error}", self.to.display()))
        })?;
        let (files, signatures) = (version.files.len(), version.signatures.len());
        if shared.json {
            print::json(&json!({
                "model": self.place.model, "version": self.version, "to": self.to, "files": files,
                "signatures": signatures,
            }));
        } else {
            let (model, to) = (&self.place.model, self.to.display());
            println!("{model}: version {} with {files} files and {signatures} signatures is in {to}", self.version);
        }
        Ok(())
    }
}

impl Import {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let version = read(&self.from)
            .map_err(|error| exit::coded(exit::BAD_INPUT, format!("--from {}: {error}", self.from.display())))?;
        let registry = Registry::open(self.place.root()?).await?.trusting(self.trusted.trust()?);
        let published = registry.import(&self.place.model, &version, &self.who.intent()?).await?;
        let (id, version) = (published.receipt.entry.id, published.version);
        if shared.json {
            print::json(&json!({ "id": id, "model": self.place.model, "version": version }));
        } else {
            println!("{}: version {version} is registered", self.place.model);
        }
        Ok(())
    }
}

/// Writes everything beside the folder's place, then moves it there.
fn write(files: &[(String, Bytes)], to: &Path) -> io::Result<()> {
    if fs::read_dir(to).is_ok_and(|mut inside| inside.next().is_some()) || to.is_file() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "expected a new or empty folder"));
    }
    let absolute = std::path::absolute(to)?;
    let name = absolute.file_name().ok_or_else(|| io::Error::other("expected the name of a folder"))?;
    let parent = absolute.parent().ok_or_else(|| io::Error::other("expected a folder in another"))?;
    fs::create_dir_all(parent)?;
    let mut partial = OsString::from(".");
    partial.push(name);
    partial.push(format!(".partial-{}", std::process::id()));
    let partial = parent.join(partial);
    let written = write_all(files, &partial).and_then(|()| fs::rename(&partial, &absolute));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_dir_all(&partial);
    }
    written
}

fn write_all(files: &[(String, Bytes)], folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    for (path, bytes) in files {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = File::create_new(&path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    Ok(())
}

/// Reads an exported folder. Whether the bytes agree with each other is the registry's to say.
fn read(folder: &Path) -> Result<Exported, String> {
    let mut paths = Vec::new();
    walk(folder, "", &mut paths)?;
    paths.sort();
    let text = |path: &str| fs::read(folder.join(path)).map_err(|error| format!("{path}: {error}"));
    if !paths.iter().any(|path| path == MANIFEST_FILE) {
        return Err(format!("expected {MANIFEST_FILE}, found no such file"));
    }
    let manifest = text(MANIFEST_FILE)?;
    // Only to tell files from signatures and strangers: the registry reads it again and checks it.
    let listed = serde_json::from_slice::<Manifest>(&manifest).map_err(|error| format!("{MANIFEST_FILE}: {error}"))?;
    listed.check().map_err(|problem| format!("{MANIFEST_FILE}: {problem}"))?;
    let mut signatures = Vec::new();
    while let Some(place) = paths.iter().position(|path| *path == key::signature_file(signatures.len())) {
        signatures.push(text(&paths.swap_remove(place))?.into());
    }
    let mut files = Vec::new();
    paths.sort();
    for path in paths.into_iter().filter(|path| ![MANIFEST_FILE, ORIGIN_FILE].contains(&path.as_str())) {
        if listed.file(&path).is_none() {
            let expected = format!("{MANIFEST_FILE}, {ORIGIN_FILE}, {SIGNATURE_FILE} and what the manifest lists");
            return Err(format!("{path}: expected only {expected}"));
        }
        let bytes = text(&path)?;
        files.push((path, bytes.into()));
    }
    Ok(Exported { manifest: manifest.into(), signatures, files })
}

/// Every file below `folder/prefix` by relative path, refusing what is neither file nor folder.
fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) -> Result<(), String> {
    let here = folder.join(prefix);
    let failed = |error: io::Error| format!("{}: {error}", if prefix.is_empty() { "." } else { prefix });
    for entry in fs::read_dir(here).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { return Err(format!("{}: expected a name that is text", name.display())) };
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        // Of the entry itself: a link is not followed.
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            walk(folder, &path, found)?;
        } else if kind.is_file() {
            found.push(path);
        } else {
            return Err(format!("{path}: expected a file, found a link or a device"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<(String, Bytes)> {
        let version = Exported {
            manifest: "{}".into(),
            signatures: vec!["s0".into(), "s1".into()],
            files: vec![("a/b.txt".into(), "b".into())],
        };
        version.in_folder(&"acme-books".parse().unwrap(), Version::FIRST)
    }

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let here = tempfile::tempdir().unwrap();
        let to = here.path().join("v1");
        fs::create_dir(&to).unwrap();
        write(&files(), &to).unwrap();
        let mut paths = Vec::new();
        walk(here.path(), "", &mut paths).unwrap();
        paths.sort();
        assert_eq!(paths, ["v1/a/b.txt", "v1/manifest.json", "v1/model.1.sig", "v1/model.sig", "v1/origin.json"]);
        let full = write(&files(), &to).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::AlreadyExists);

        let mut clash = files();
        clash.push(("a".into(), "not a folder".into()));
        assert!(write(&clash, &here.path().join("v2")).is_err());
        assert_eq!(fs::read_dir(here.path()).unwrap().count(), 1, "nothing is left of the failed one");
    }
}
