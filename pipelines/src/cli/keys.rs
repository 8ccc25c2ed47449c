//! Keys on the command line: making a pair, signing with one, and saying whose signatures count.
//!
//! One file for all three, so that the commands that sign and those that load read key files the same way.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use ::models::signature::{KeyId, SigningKey, Trust, VerifyingKey};
use clap::Args;
use serde_json::json;

use super::{Shared, print};
use crate::exit;

/// Whose signatures count when a version is loaded.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Trusted {
    /// PEM file of one or more Ed25519 public keys whose signatures count; may be given several times.
    #[arg(long, env = "BOOKLOOP_TRUSTED_KEY", value_name = "FILE", value_delimiter = ',')]
    trusted_key: Vec<PathBuf>,
    /// Refuse versions that no trusted key has signed. Without it only signatures that are there are checked.
    #[arg(long, env = "BOOKLOOP_REQUIRE_SIGNATURE")]
    require_signature: bool,
}

impl Trusted {
    /// The keys and the policy.
    pub(super) fn trust(&self) -> anyhow::Result<Trust> {
        let mut keys = Vec::new();
        for path in &self.trusted_key {
            let found = VerifyingKey::all_from_pem(&read("--trusted-key", path)?);
            keys.extend(found.map_err(|error| bad("--trusted-key", path, &error))?);
        }
        Trust::new(keys, self.require_signature)
            .map_err(|error| exit::coded(exit::USAGE, format!("--require-signature: {error}; give --trusted-key")))
    }
}

/// Which key signs the versions that are registered.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct SignWith {
    /// PEM file of the Ed25519 key that signs what is registered; see `bookloop models keygen`.
    #[arg(long, env = "BOOKLOOP_SIGNING_KEY", value_name = "FILE")]
    signing_key: Option<PathBuf>,
}

impl SignWith {
    /// The key, where one is given.
    pub(super) fn key(&self) -> anyhow::Result<Option<SigningKey>> {
        let Some(path) = &self.signing_key else { return Ok(None) };
        let key = SigningKey::from_pem(&read("--signing-key", path)?);
        key.map(Some).map_err(|error| bad("--signing-key", path, &error))
    }
}

/// Make an Ed25519 key pair: FILE signs and is secret, FILE.pub is for whoever loads models.
#[derive(Debug, Args)]
pub(super) struct Keygen {
    /// Where the signing key goes (mode 0600); the public key goes beside it. Neither may exist.
    #[arg(long, env = "BOOKLOOP_OUT", value_name = "FILE")]
    out: PathBuf,
}

impl Keygen {
    pub(super) fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)
            .map_err(|error| exit::coded(exit::UNAVAILABLE, format!("no randomness from this machine: {error}")))?;
        let out = self.out;
        let public = public_beside(&out);
        let key_id = write_pair(&out, &public, &SigningKey::from_secret(&secret))?;
        if shared.json {
            print::json(&json!({ "key_id": key_id, "signing_key": out, "public_key": public }));
        } else {
            println!("key id       {key_id}");
            println!("signing key  {} (secret: whoever reads it can sign)", out.display());
            println!("public key   {}", public.display());
        }
        Ok(())
    }
}

fn public_beside(out: &Path) -> PathBuf {
    let mut path = out.to_owned().into_os_string();
    path.push(".pub");
    path.into()
}

/// Writes both files or neither, and reads them back the way the other commands will.
fn write_pair(out: &Path, public: &Path, key: &SigningKey) -> anyhow::Result<KeyId> {
    write_new(out, 0o600, &key.to_pem())?;
    if let Err(error) = write_new(public, 0o644, &key.verifying_key().to_pem()) {
        // Created a moment ago by this very call, so nobody uses it yet; the first error is the one to report.
        let _ = fs::remove_file(out);
        return Err(error);
    }
    let signing = SignWith { signing_key: Some(out.into()) }.key()?;
    let trust = Trusted { trusted_key: vec![public.into()], require_signature: true }.trust()?;
    let expected = key.key_id();
    for found in signing.iter().map(SigningKey::key_id).chain(trust.keys().iter().map(VerifyingKey::key_id)) {
        if found != expected {
            let what = format!("{} reads back as key {found}, not {expected}", out.display());
            return Err(exit::coded(exit::INTEGRITY, what));
        }
    }
    Ok(expected)
}

/// Writes a file that must not exist, wholly or not at all.
fn write_new(path: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    let refused = |error: io::Error| {
        let why = match error.kind() {
            io::ErrorKind::AlreadyExists => "exists, and a key is never overwritten".to_owned(),
            _ => format!("cannot be written: {error}"),
        };
        exit::coded(exit::BAD_INPUT, format!("--out: {} {why}", path.display()))
    };
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(refused)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
        let _ = fs::remove_file(path);
        refused(error)
    })
}

fn read(flag: &str, path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).map_err(|error| bad(flag, path, &error))
}

fn bad(flag: &str, path: &Path, error: &dyn std::error::Error) -> anyhow::Error {
    exit::coded(exit::BAD_INPUT, format!("{flag} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Flags {
        #[command(flatten)]
        trusted: Trusted,
        #[command(flatten)]
        sign_with: SignWith,
    }

    fn key(n: u8) -> SigningKey {
        SigningKey::from_secret(&[n; 32])
    }

    /// A folder with the pairs of keys 1 and 2: `1`, `1.pub`, `2`, `2.pub`.
    fn pairs() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for n in [1, 2] {
            let out = folder.path().join(n.to_string());
            assert_eq!(write_pair(&out, &public_beside(&out), &key(n)).unwrap(), key(n).key_id());
        }
        folder
    }

    fn flags(folder: &tempfile::TempDir, arguments: &[&str]) -> Flags {
        let at = folder.path().display().to_string();
        let arguments = arguments.iter().map(|argument| argument.replace("AT", &at));
        Flags::try_parse_from(std::iter::once("bookloop".to_owned()).chain(arguments)).unwrap()
    }

    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_the_owner_can_read_a_new_signing_key() {
        let folder = pairs();
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("1"), 0o600);
        assert_eq!(mode("1.pub") & 0o400, 0o400);
        assert!(!fs::read_to_string(folder.path().join("1.pub")).unwrap().contains("PRIVATE"));
    }

    #[test]
    fn no_key_is_overwritten_and_no_half_pair_left() {
        let folder = pairs();
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let before = text("1");
        let new = |name: &str| {
            let out = folder.path().join(name);
            let error = write_pair(&out, &public_beside(&out), &key(3)).unwrap_err();
            assert_eq!(exit::code(&error), exit::BAD_INPUT, "{error}");
            error.to_string()
        };
        assert!(new("1").contains("/1 exists"));
        assert_eq!(text("1"), before);
        fs::remove_file(folder.path().join("2")).unwrap();
        assert!(new("2").contains("/2.pub exists"));
        assert!(new("no/folder").contains("cannot be written"));
        assert_eq!(names(&folder), ["1", "1.pub", "2.pub"]);
    }

    #[test]
    fn several_keys_may_be_trusted_by_flags_commas_or_one_file() {
        let folder = pairs();
        let both = ["1.pub", "2.pub"].map(|name| fs::read_to_string(folder.path().join(name)).unwrap()).concat();
        fs::write(folder.path().join("both.pub"), both).unwrap();
        for arguments in [
            &["--trusted-key", "AT/1.pub", "--trusted-key", "AT/2.pub"][..],
            &["--trusted-key", "AT/1.pub,AT/2.pub"],
            &["--trusted-key", "AT/both.pub", "--require-signature"],
        ] {
            let trust = flags(&folder, arguments).trusted.trust().unwrap();
            assert_eq!(trust.keys(), [1, 2].map(|n| key(n).verifying_key()));
            assert_eq!(trust.required(), arguments.contains(&"--require-signature"));
        }
        let none = flags(&folder, &[]);
        assert_eq!(none.trusted.trust().unwrap().keys(), []);
        assert!(none.sign_with.key().unwrap().is_none());
        let signing = flags(&folder, &["--signing-key", "AT/2"]).sign_with.key().unwrap().unwrap();
        assert_eq!(signing.key_id(), key(2).key_id());
    }

    #[test]
    fn a_bad_key_file_is_named_with_what_is_wrong() {
        let folder = pairs();
        let trusted = |path: &str| flags(&folder, &["--trusted-key", path]).trusted.trust().unwrap_err();
        let signing = |path: &str| flags(&folder, &["--signing-key", path]).sign_with.key().unwrap_err();
        for (error, words) in [
            (trusted("AT/1"), "/1: PEM block on line 1. expected=PUBLIC KEY found=PRIVATE KEY"),
            (signing("AT/1.pub"), "/1.pub: PEM block on line 1. expected=PRIVATE KEY found=PUBLIC KEY"),
            (trusted("AT/3.pub"), "/3.pub: No such file"),
            (signing("AT"), ": Is a directory"),
        ] {
            assert_eq!(exit::code(&error), exit::BAD_INPUT, "{error}");
            assert!(error.to_string().starts_with("--"), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
        let nobody = flags(&folder, &["--require-signature"]).trusted.trust().unwrap_err();
        assert_eq!(exit::code(&nobody), exit::USAGE, "{nobody}");
    }
}
