//! Nights of several tenants, and nights with settings that a search found.

use std::path::Path;

use bookloop_tests::run;

use crate::bad_input::{csv, sound_rows};

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn versions(folder: &Path, tenant: &str) -> serde_json::Value {
    let output =
        run(folder, &format!("models list --store file://{}/store --tenant {tenant} --json", folder.display()));
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn one_tenant_that_fails_leaves_the_others_their_night() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (tenant, rows) in
        [("acme-books", sound_rows()), ("bad-books", vec!["r1".to_owned()]), ("cold-books", sound_rows())]
    {
        std::fs::create_dir(folder.join(tenant)).unwrap();
        std::fs::write(folder.join(tenant).join("sales.csv"), csv(&rows)).unwrap();
    }
    let store = format!("--store file://{}/store --run one", folder.display());
    let tenants = "--each-tenant acme-books,bad-books,cold-books";
    let mixed_up = run(folder, &format!("train --interactions acme-books/sales.csv {tenants} {store}"));
    assert_eq!(mixed_up.status.code(), Some(2));
    assert!(stderr(&mixed_up).contains("expected {tenant} in each place"), "{}", stderr(&mixed_up));

    let output = run(folder, &format!("train --interactions {{tenant}}/sales.csv {tenants} {store} --json"));
    assert_eq!(output.status.code(), Some(12), "{}", stderr(&output));
    assert!(stderr(&output).contains("1 of 3 tenants failed, first bad-books"), "{}", stderr(&output));
    let trained: Vec<serde_json::Value> =
        output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let whose: Vec<&str> = trained.iter().filter_map(|line| line["tenant"].as_str()).collect();
    assert_eq!(whose, ["acme-books", "cold-books"]);
    assert_eq!(versions(folder, "acme-books"), versions(folder, "cold-books"));
    assert!(!folder.join("store/bad-books/log").exists());
}

#[test]
fn settings_that_a_search_found_are_tried_at_night() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("sales.csv"), csv(&sound_rows())).unwrap();
    let search = "evaluate --interactions sales.csv --algorithm item-knn --at 5 --tune 9 --tune-journal journal.ndjson \
                  --recipe-out found.json --json";
    let first = run(folder, search);
    assert!(first.status.success(), "{}", stderr(&first));
    let journal = std::fs::read_to_string(folder.join("journal.ndjson")).unwrap();
    // Nine settings, three of them on three times the readers, one of those on all.
    assert_eq!(journal.lines().count(), 13);
    let recipe = std::fs::read_to_string(folder.join("found.json")).unwrap();

    // Stopped after four trials, the search ends as it did.
    let some: Vec<&str> = journal.lines().take(4).collect();
    std::fs::write(folder.join("journal.ndjson"), some.join("\n") + "\n").unwrap();
    assert!(run(folder, search).status.success());
    assert_eq!(std::fs::read_to_string(folder.join("journal.ndjson")).unwrap(), journal);
    assert_eq!(std::fs::read_to_string(folder.join("found.json")).unwrap(), recipe);

    let store = format!("--store file://{}/store --tenant acme-books", folder.display());
    let night =
        |recipes: &str| run(folder, &format!("train --interactions sales.csv {store} --run one --json {recipes}"));
    let twice = night("--recipe found.json --recipe found.json");
    assert_eq!(twice.status.code(), Some(12));
    assert!(stderr(&twice).contains("found.json: name: \"item-knn-tuned\" is another recipe's"), "{}", stderr(&twice));
    let output = night("--recipe found.json");
    assert!(output.status.success(), "{}", stderr(&output));
    let trained: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&str> =
        trained["models"].as_array().unwrap().iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names.last(), Some(&"item-knn-tuned"));
}
