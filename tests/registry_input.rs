//! Bad input to `models`: refused with a reason and the exit code that says whose turn it is, the registry unchanged.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use bookloop_tests::run;
use serde_json::Value;
use tempfile::TempDir;

use crate::bad_input::{csv, sound_rows};

/// A folder with a registry whose version 1 is in production, and what the commands need to find it.
struct Shop {
    folder: TempDir,
}

impl Shop {
    fn open() -> Self {
        let shop = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(shop.path("sales.csv"), csv(&sound_rows())).unwrap();
        assert_eq!(shop.run("train --interactions sales.csv --run one PLACE").0, 0);
        for decision in ["approve", "promote"] {
            assert_eq!(shop.run(&format!("models {decision} PLACE --version 1 WHO")).0, 0);
        }
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Exit code and what was said; PLACE, STORE, WHO stand for the flags.
    fn run(&self, arguments: &str) -> (i32, String) {
        let store = format!("--store file://{}/store", self.folder.path().display());
        let arguments = arguments
            .replace("PLACE", &format!("{store} --tenant acme-books"))
            .replace("STORE", &store)
            .replace("WHO", "--actor ana --reason test");
        let output = run(self.folder.path(), &arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!said.contains("panicked"), "{said}");
        (output.status.code().unwrap(), said)
    }

    fn json(&self, arguments: &str) -> Value {
        let (code, said) = self.run(&format!("{arguments} --json"));
        assert_eq!(code, 0, "{arguments}: {said}");
        serde_json::from_str(&said).unwrap()
    }

    /// Every byte of the store.
    fn bytes(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        gather(&self.path("store"), &mut found);
        found
    }

    #[track_caller]
    fn refuses(&self, arguments: &str, code: i32, says: &str) {
        let before = self.bytes();
        let (got, said) = self.run(arguments);
        assert_eq!(got, code, "{arguments}: {said}");
        assert!(said.contains(says), "{arguments}: expected {says:?} in {said}");
        assert!(self.bytes() == before, "{arguments}: the registry has changed");
    }
}

fn gather(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { gather(&path, found) } else { drop(found.insert(path.clone(), fs::read(path).unwrap())) }
    }
}

#[test]
fn bad_names_and_stale_decisions_change_nothing() {
    let shop = Shop::open();
    shop.refuses("models alias PLACE --version 1 --alias latest WHO", 2, "alias");
    shop.refuses("models alias PLACE --version 1 --alias v7 WHO", 2, "alias");
    shop.refuses("models list STORE --tenant ../acme", 2, "tenant");
    shop.refuses("models list STORE --tenant Acme", 2, "tenant");
    shop.refuses("models alias PLACE --version 1 --alias staging --expect 7 WHO", 11, "expected=7 found=1");
    shop.refuses("models promote PLACE --version 1 --expect 3 WHO", 11, "expected=3 found=1");
    shop.refuses("models revoke PLACE --version 1 WHO", 11, "move the alias first");
    shop.refuses("models tag PLACE --version 1 --key a#b --value x WHO", 11, "tag");
    shop.refuses("models tag PLACE --version 1 --key pin WHO", 2, "--value");
    shop.refuses("models revoke PLACE --version 9 WHO", 12, "the highest is 1");
    shop.refuses("models diff PLACE --from 1 --to 2", 12, "the highest is 1");
    shop.refuses("models gc PLACE --delete", 2, "--actor");
    shop.refuses("models gc PLACE --grace soon", 2, "expected a length of time");
    shop.refuses("models gc PLACE --min-age 1h", 11, "expected at least 24h");
    shop.refuses("models sign PLACE --version 1 WHO", 2, "--signing-key");
    shop.refuses("models promote PLACE --version 1 WHO --require-signature", 2, "--trusted-key");
    shop.refuses("models replicate PLACE", 2, "--to");
    shop.refuses("models replicate PLACE --take-over", 2, "--actor");
    shop.refuses("models replicate PLACE --take-over WHO", 11, "is not a replica");
    shop.refuses("models replicate PLACE --status", 12, "is not a replica");
    let store = format!("file://{}/store", shop.folder.path().display());
    shop.refuses(&format!("models backup PLACE --to {store}"), 11, "cannot be a copy of itself");
    shop.refuses(&format!("models restore PLACE --from {store}-other WHO"), 11, "is not empty");
    let diff = shop.json("models diff PLACE --from 1 --to 1");
    assert_eq!((&diff["lists"]["mean"], &diff["new_books"]), (&Value::from(1.0), &Value::from(0)));
    assert_eq!(shop.json("models gc PLACE")["collection"]["objects"], serde_json::json!([]));
}

#[test]
fn a_file_of_aliases_is_applied_whole_or_not_at_all() {
    let shop = Shop::open();
    let sha256 = shop.json("models show PLACE --version 1")["manifest_sha256"].as_str().unwrap().to_owned();
    let line = |alias: &str, expect: &str| {
        format!(
            "- {{tenant: acme-books, name: recommender, alias: {alias}, version: 1, digest: 'sha256:{sha256}', \
             {expect}reason: weekly, ticket: OPS-412}}\n"
        )
    };
    let write = |lines: &str| fs::write(shop.path("models.yaml"), lines).unwrap();
    let head = "apiVersion: bookloop/v1\nmodels:\n";
    let apply = "models apply models.yaml STORE --actor gitops";

    write(&format!("{head}{}{}", line("vip", ""), line("beta", "expect: 3, ")));
    shop.refuses(apply, 11, "models.yaml: models[1], acme-books/recommender beta");
    write(&format!("{head}{}", line("v12", "")));
    shop.refuses(apply, 12, "models.yaml:3");
    write(&format!("{head}{}", line("vip", "until: May, ")));
    shop.refuses(apply, 12, "until");
    write(&format!("apiVersion: bookloop/v9\nmodels:\n{}", line("vip", "")));
    shop.refuses(apply, 12, "apiVersion: expected bookloop/v1");
    write(&format!("{head}{}", line("vip", "").replace(&sha256, &"0".repeat(64))));
    shop.refuses(apply, 11, "digest of version 1");
    shop.refuses("models apply nowhere.yaml STORE --actor gitops", 12, "nowhere.yaml");

    write(&format!("{head}{}{}", line("vip", ""), line("production", "")));
    shop.refuses("models apply models.yaml STORE --dry-run", 0, "acme-books/recommender vip: would move to 1");
    let (code, said) = shop.run(apply);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("vip: moved to 1") && said.contains("production: unchanged at 1"), "{said}");
    shop.refuses(apply, 0, "vip: unchanged at 1");
    let entry = &shop.json("models log PLACE --last 1")[0];
    assert_eq!((&entry["actor"], &entry["approval"]), (&Value::from("gitops"), &Value::from("OPS-412")));
}

#[test]
fn a_folder_from_elsewhere_is_not_believed() {
    let shop = Shop::open();
    let there = "--store memory://other";
    let import = format!("models import {there} --from out WHO");
    assert_eq!(shop.run("models keygen --out key.pem").0, 0);
    assert_eq!(shop.run("models keygen --out other.pem").0, 0);
    assert_eq!(shop.run("models sign PLACE --version 1 --signing-key key.pem WHO").0, 0);
    shop.refuses("models sign PLACE --version 1 --signing-key key.pem WHO", 11, "has signed version 1");
    let (code, said) = shop.run("models export PLACE --version 1 --to out");
    assert_eq!(code, 0, "{said}");
    shop.refuses("models export PLACE --version 1 --to out", 12, "new or empty folder");
    shop.refuses("models import PLACE --from out WHO", 11, "it is version 1 of recommender already");
    for key in ["key.pem.pub", "other.pem.pub"] {
        let (code, said) = shop.run(&format!("{import} --trusted-key {key} --require-signature"));
        assert_eq!(code, if key == "key.pem.pub" { 0 } else { 13 }, "{said}");
    }
    shop.refuses(
        "models promote PLACE --version 1 WHO --trusted-key other.pem.pub --require-signature",
        13,
        "not vouched for",
    );
    let manifest = shop.path("out/manifest.json");
    let sound = fs::read_to_string(&manifest).unwrap();
    let import = "models import PLACE --from out WHO";
    for (from, to, code, says) in [
        ("\"model.safetensors\"", "\"../model.safetensors\"", 12, "without .."),
        ("\"model.safetensors\"", "\"/etc/passwd\"", 12, "without .."),
        ("\"format\": 1", "\"format\": 9", 12, "this build reads up to 1"),
        ("\"seed\": 7", "\"seed\": ", 12, "manifest.json"),
    ] {
        assert!(sound.contains(from), "{from}");
        fs::write(&manifest, sound.replacen(from, to, 1)).unwrap();
        shop.refuses(import, code, says);
    }
    fs::write(&manifest, &sound).unwrap();
    fs::write(shop.path("out/run-me.sh"), "boo").unwrap();
    shop.refuses(import, 12, "run-me.sh");
    fs::remove_file(shop.path("out/run-me.sh")).unwrap();
    let file = shop.path("out/model.safetensors");
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
    shop.refuses(import, 12, "found a link");
    fs::remove_file(&file).unwrap();
    fs::write(&file, &bytes[1..]).unwrap();
    shop.refuses(import, 13, "model.safetensors");
    fs::remove_file(&manifest).unwrap();
    shop.refuses(import, 12, "manifest.json");
    shop.refuses("models import PLACE --from nowhere WHO", 12, "nowhere");
}

#[test]
fn a_registry_of_a_newer_build_is_left_alone() {
    let shop = Shop::open();
    let marker = shop.path("store/acme-books/registry.json");
    let text = fs::read_to_string(&marker).unwrap();
    let body = text.strip_prefix("{\"body\":").unwrap().rsplit_once(",\"sha256\"").unwrap().0;
    let body = body.replace("\"min_reader\":1", "\"min_reader\":2");
    let sha256 = models::digest::sha256(body.as_bytes());
    fs::write(&marker, format!("{{\"body\":{body},\"sha256\":\"{sha256}\"}}")).unwrap();
    for command in ["list", "log", "verify", "gc", "rollback WHO", "revoke --version 1 WHO"] {
        shop.refuses(&format!("models {command} PLACE"), 13, "format 2; this build reads up to 1");
    }
    shop.refuses("train --interactions sales.csv --run two PLACE", 13, "reads up to 1");
}

#[test]
fn a_replica_follows_and_takes_over() {
    let shop = Shop::open();
    let eu = format!("--store file://{}/eu --tenant acme-books", shop.folder.path().display());
    let follow = format!("models replicate PLACE --to file://{}/eu --once", shop.folder.path().display());
    assert_eq!(shop.json(&follow)["last_id"], 3);
    let (_, said) = shop.run(&format!("models list {eu}"));
    assert!(said.contains("replica of file://") && said.contains("in step as of"), "{said}");
    let status = shop.json(&format!("models replicate {eu} --status"));
    assert_eq!(status["replica"]["last_id"], 3);
    assert!(status["registry_replica_lag_seconds"].as_f64().unwrap() < 600.0);
    let (code, said) = shop.run(&format!("models tag {eu} --version 1 --key a --value b WHO"));
    assert_eq!(code, 11, "{said}");
    assert!(said.contains("is a replica of"), "{said}");
    assert_eq!(shop.json(&format!("models replicate {eu} --take-over WHO"))["id"], 4);
    assert_eq!(shop.run(&format!("models tag {eu} --version 1 --key a --value b WHO")).0, 0);
    assert_eq!(shop.run(&follow).0, 11);
}
