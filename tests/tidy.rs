//! The rules of the house, read off the manifests and files. A failure names the rule.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cargo_metadata::{DependencyKind, MetadataCommand};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Which of our crates each of our crates may use. Every other arrow is absent on purpose; see ARCHITECTURE.md.
const ARROWS: [(&str, &[&str]); 6] = [
    ("bookloop-models", &[]),
    ("bookloop-train", &["bookloop-models"]),
    ("bookloop-serve", &["bookloop-models"]),
    ("bookloop-drift", &["bookloop-models"]),
    ("bookloop", &["bookloop-models", "bookloop-train", "bookloop-serve", "bookloop-drift"]),
    ("bookloop-tests", &["bookloop", "bookloop-models", "bookloop-train", "bookloop-serve", "bookloop-drift"]),
];

#[test]
fn crates_import_only_along_the_arrows() {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    assert_eq!(metadata.packages.len(), allowed.len(), "a new crate needs its arrows in this test");
    for package in &metadata.packages {
        let may = allowed[package.name.as_str()];
        for dependency in package.dependencies.iter().filter(|d| d.kind != DependencyKind::Build) {
            let ours = allowed.contains_key(dependency.name.as_str());
            assert!(
                !ours || may.contains(&dependency.name.as_str()),
                "{} imports {}: not an arrow of the house",
                package.name,
                dependency.name
            );
        }
    }
}

/// Every file of the project that git would track, with its text.
fn files(ending: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["target", ".git", "bookloop-demo", "out"].contains(&name.as_str()) {
                    walk(&path, ending, found);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), ending, &mut found);
    found.sort();
    let named = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        std::fs::read_to_string(&path).ok().map(|text| (name, text))
    };
    found.into_iter().filter_map(named).collect()
}

/// Libraries with one place, and that place: everything else reaches them through it.
const OUTSIDE_ARROWS: [(&str, &[&str]); 6] = [
    ("object_store", &["models/src/store/"]),
    ("rdkafka", &["models/src/stream", "models/tests/", "tests/"]),
    ("axum", &["serve/", "models/tests/", "pipelines/tests/", "pipelines/src/simulate/http/tests.rs"]),
    ("prometheus_client", &["serve/src/"]),
    ("clap", &["pipelines/src/cli/"]),
    ("serde_saphyr", &["pipelines/src/argo", "pipelines/src/desired.rs", "pipelines/tests/"]),
];

#[test]
fn outside_libraries_are_named_only_where_they_belong() {
    for (name, text) in files(".rs") {
        for (library, places) in OUTSIDE_ARROWS {
            let used = [format!("use {library}"), format!("{library}::")];
            let names = text.lines().any(|line| {
                let code = line.split("//").next().unwrap_or_default();
                used.iter().any(|form| {
                    code.find(form.as_str()).is_some_and(|at| {
                        let before = code[..at].chars().last();
                        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
                    })
                })
            });
            let at_home = places.iter().any(|place| name.starts_with(place));
            assert!(!names || at_home, "{name} names {library}, which belongs in {places:?}");
        }
    }
}

#[test]
fn every_file_opens_with_why_it_exists() {
    for (name, text) in files(".rs").into_iter().filter(|(name, _)| !is_tests_module(name)) {
        assert!(text.starts_with("//! "), "{name} must open with `//! ` and a sentence");
    }
}

/// `name/tests.rs` is the tail of `name.rs` and has no head of its own.
fn is_tests_module(name: &str) -> bool {
    name.ends_with("/tests.rs")
}

/// No file may grow past this; see the style of the house: one sitting, two ideas at most.
const LONGEST: usize = 430;

#[test]
fn files_stay_small_enough_to_read_in_one_sitting() {
    let long: Vec<String> = files(".rs")
        .into_iter()
        .filter(|(_, text)| text.lines().count() > LONGEST)
        .map(|(name, text)| format!("{name}: {} lines", text.lines().count()))
        .collect();
    assert!(long.is_empty(), "over {LONGEST} lines, so two ideas share a file: {long:#?}");
}

#[test]
fn nothing_is_left_for_later_in_the_code() {
    for (name, text) in files(".rs").into_iter().filter(|(name, _)| name != "tests/tidy.rs") {
        for word in ["todo!", "unimplemented!", "TODO", "FIXME", "XXX"] {
            assert!(!text.contains(word), "{name} contains {word}");
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for (name, text) in files(".md") {
        let folder = root().join(&name).parent().unwrap().to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            assert!(folder.join(path).exists(), "{name} links to {target}, which does not exist");
        }
    }
}

#[test]
fn the_test_reader_of_links_can_fail() {
    let broken = "see [there](no/such/file.md)";
    let target = broken.split("](").nth(1).and_then(|rest| rest.split(')').next()).unwrap();
    assert!(!root().join(target).exists());
}
