//! Bad input to `train`: the message names file, line, field, expected and found; the exit code says whose turn it is;
//! nothing is half registered.

use std::{io::Write, path::Path, process::Output};

use bookloop_tests::run;

/// Thirty readers who share books, so that a sound file trains, as `user_id,item_id,timestamp`.
pub fn sound_rows() -> Vec<String> {
    let mut rows = Vec::new();
    for reader in 0..30 {
        for place in 0..6 {
            let book = (reader + place * 7) % 20;
            rows.push(format!("r{reader},b{book},2026-01-{:02}T10:00:00Z", 1 + (reader + place * 5) % 28));
        }
    }
    rows
}

pub fn csv(rows: &[String]) -> String {
    format!("user_id,item_id,timestamp\n{}\n", rows.join("\n"))
}

fn train(folder: &Path, file: &str) -> Output {
    let store = folder.join("store");
    run(
        folder,
        &format!("train --interactions {file} --store file://{} --tenant acme-books --run one", store.display()),
    )
}

/// Exit code and standard error of training on `content` under the name `file`.
fn check(file: &str, content: &[u8]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(file), content).unwrap();
    let output = train(folder.path(), file);
    let log = folder.path().join("store/acme-books/log");
    if !output.status.success() {
        assert!(!log.exists(), "{file}: a failed run left a log entry");
    }
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[track_caller]
fn refused(file: &str, content: &[u8], code: i32, says: &[&str]) {
    let (got, stderr) = check(file, content);
    assert_eq!(got, Some(code), "{file}: {stderr}");
    for word in says {
        assert!(stderr.contains(word), "{file}: expected {word:?} in {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut child = std::process::Command::new("gzip")
        .arg("-nc")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[test]
fn a_sound_file_trains_registers_and_stages() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sound.csv"), csv(&sound_rows())).unwrap();
    let output = train(folder.path(), "sound.csv");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let store = format!("--store file://{}/store --tenant acme-books", folder.path().display());
    let list = run(folder.path(), &format!("models list --json {store}"));
    let rows: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(rows[0]["version"], 1);
    assert_eq!(rows[0]["aliases"][0], "staging");
    let again = train(folder.path(), "sound.csv");
    assert_eq!(again.status.code(), Some(0), "the same run twice");
    let list = run(folder.path(), &format!("models list --json {store}"));
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&list.stdout).unwrap().as_array().unwrap().len(), 1);
    assert_eq!(run(folder.path(), &format!("models verify {store}")).status.code(), Some(0));
    // Production needs a person's word first.
    let early = run(folder.path(), &format!("models promote {store} --version 1 --actor a --reason early"));
    assert_eq!(early.status.code(), Some(11), "{}", String::from_utf8_lossy(&early.stderr));
    let unknown = run(folder.path(), &format!("models approve {store} --version 9 --actor a --reason none"));
    assert_eq!(unknown.status.code(), Some(12));
}

#[test]
fn a_missing_column_is_named_with_the_columns_there_are() {
    refused("no-item.csv", b"user_id,book\nr1,b1\n", 12, &["no-item.csv", "item_id", "user_id, book"]);
}

#[test]
fn bad_rows_are_named_by_line_field_expected_and_found() {
    let mut rows = sound_rows();
    rows[4] = "r1,b1,next tuesday".to_owned();
    rows[9] = ",b1,2026-01-01T00:00:00Z".to_owned();
    rows[11] = "r1".to_owned();
    refused(
        "rows.csv",
        csv(&rows).as_bytes(),
        12,
        &["bad=3", "rows.csv:6", "timestamp", "next tuesday", "rows.csv:11", "rows.csv:13"],
    );
}

#[test]
fn numbers_that_are_none_are_bad_rows() {
    for weight in ["NaN", "inf", "-1", "heavy"] {
        let rows: Vec<String> = sound_rows().iter().map(|row| format!("{row},{weight}")).collect();
        let text = format!("user_id,item_id,timestamp,weight\n{}\n", rows.join("\n"));
        refused("weights.csv", text.as_bytes(), 12, &["weights.csv", "weight", weight]);
    }
}

#[test]
fn timestamps_in_the_future_are_bad_rows() {
    let rows: Vec<String> = sound_rows().iter().map(|row| row.replace("2026", "2199")).collect();
    refused("future.csv", csv(&rows).as_bytes(), 12, &["future.csv", "timestamp", "2199"]);
}

#[test]
fn bytes_that_are_not_text_are_bad_rows() {
    let mut text = csv(&sound_rows()).into_bytes();
    for _ in 0..20 {
        text.extend_from_slice(b"r\xff\xfe,b1,2026-01-01T00:00:00Z\n");
    }
    refused("latin.csv", &text, 12, &["latin.csv", "user_id", "UTF-8"]);
}

#[test]
fn empty_files_are_refused() {
    refused("empty.csv", b"", 12, &["empty.csv"]);
    refused("header.csv", b"user_id,item_id\n", 12, &["header.csv", "no rows"]);
    refused("empty.ndjson", b"", 12, &["empty.ndjson"]);
    refused("empty.parquet", b"", 12, &["empty.parquet"]);
}

#[test]
fn a_truncated_archive_is_damage_not_a_short_file() {
    let whole = gzip(csv(&sound_rows()).as_bytes());
    refused("cut.csv.gz", &whole[..whole.len() / 2], 12, &["cut.csv.gz", "damaged"]);
    refused("not.csv.gz", b"plain text", 12, &["not.csv.gz", "damaged"]);
}

#[test]
fn a_few_bad_rows_are_set_aside_and_training_goes_on() {
    let mut rows = sound_rows();
    rows.push(rows[0].clone()); // A repeat is dropped, not bad.
    rows.push("r1,b1,soon".to_owned());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mixed.csv"), csv(&rows)).unwrap();
    let output = train(folder.path(), "mixed.csv");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("1 repeated; 1 refused"), "{stderr}");
    let quarantine = folder.path().join("store/acme-books/runs/one/quarantine.ndjson");
    let set_aside: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(quarantine).unwrap()).unwrap();
    assert_eq!(
        (set_aside["line"].as_u64(), set_aside["field"].as_str()),
        (Some(183), Some("timestamp")),
        "{set_aside}"
    );
}

#[test]
fn a_file_that_is_not_there_and_a_format_nobody_knows() {
    let folder = tempfile::tempdir().unwrap();
    let missing = train(folder.path(), "nowhere.csv");
    assert_eq!(missing.status.code(), Some(12));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("nowhere.csv"));
    refused("sales.xlsx", b"PK", 12, &["sales.xlsx", "unknown format"]);
}

#[test]
fn a_store_that_cannot_be_written_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sound.csv"), csv(&sound_rows())).unwrap();
    std::fs::write(folder.path().join("wall"), "").unwrap();
    let store = format!("file://{}/wall/store", folder.path().display());
    let output = run(folder.path(), &format!("train --interactions sound.csv --store {store}"));
    assert_eq!(output.status.code(), Some(69), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_gate_keeps_what_does_not_reach_the_floor() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sound.csv"), csv(&sound_rows())).unwrap();
    let store = format!("file://{}/store", folder.path().display());
    let output = run(folder.path(), &format!("train --interactions sound.csv --store {store} --min-eval-score 1.1"));
    assert_eq!(output.status.code(), Some(10));
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not reach the floor 1.1"));
    assert!(!folder.path().join("store/shared/log").exists());
}

#[test]
fn a_wrong_command_line_is_usage() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in
        ["train", "train --nonsense", "models promote --version 0", "serve --store ftp://x", "evaluate --at 0"]
    {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(run(folder.path(), "--help").status.code(), Some(0));
}

#[test]
fn any_flipped_byte_of_a_stored_model_stops_the_registry() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sound.csv"), csv(&sound_rows())).unwrap();
    assert!(train(folder.path(), "sound.csv").status.success());
    let blobs = folder.path().join("store/acme-books/blobs/sha256");
    let shard = std::fs::read_dir(blobs).unwrap().next().unwrap().unwrap().path();
    let blob = std::fs::read_dir(shard).unwrap().next().unwrap().unwrap().path();
    let sound = std::fs::read(&blob).unwrap();
    for place in [0, 8, sound.len() / 2, sound.len() - 1] {
        let mut changed = sound.clone();
        changed[place] ^= 1;
        std::fs::write(&blob, changed).unwrap();
        let store = format!("--store file://{}/store --tenant acme-books", folder.path().display());
        let output = run(folder.path(), &format!("models verify {store}"));
        assert_eq!(output.status.code(), Some(13), "byte {place}");
    }
}
