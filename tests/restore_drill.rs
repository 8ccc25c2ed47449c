//! The drill of `deploy/runbooks/registry-restore.md`: its commands as they stand there, against a registry that is lost.

use std::{path::Path, process::Command};

use bookloop_tests::{Predictor, bookloop, http, predict, run};
use serde_json::Value;

use crate::bad_input::{csv, sound_rows};

const RUNBOOK: &str = include_str!("../deploy/runbooks/registry-restore.md");
const TENANT: &str = "acme-books";

/// The commands of the runbook's shell blocks, in order.
fn commands() -> Vec<&'static str> {
    let mut inside = false;
    let mut commands = Vec::new();
    for line in RUNBOOK.lines().map(str::trim) {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside => commands.push(line),
            _ => {}
        }
    }
    commands
}

fn shell(folder: &Path, line: &str) {
    let url = |name: &str| format!("file://{}/{name}", folder.display());
    let output = Command::new("sh")
        .args(["-euc", &format!("bookloop() {{ \"$BOOKLOOP\" \"$@\"; }}\n{line}")])
        .env("BOOKLOOP", bookloop().get_program())
        .env("STORE", url("store"))
        .env("BACKUP", url("backup"))
        .env("NEW", url("new"))
        .env("TENANT", TENANT)
        .env("USER", "ana")
        .output()
        .unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn answers(folder: &Path, store: &str) -> Vec<Value> {
    let predictor = Predictor::start(&format!("--store file://{}/{store} --tenant {TENANT}", folder.display()));
    let client = http();
    // It listens before its model is loaded.
    let begun = std::time::Instant::now();
    while predict(&client, &predictor.url, "r1", 5).await.is_err() {
        assert!(begun.elapsed().as_secs() < 60, "the predictor of {store} is never ready");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let mut answers = Vec::new();
    for reader in ["r1", "r7", "r29", "a stranger"] {
        answers.push(predict(&client, &predictor.url, reader, 5).await.unwrap());
    }
    answers
}

fn json(folder: &Path, arguments: &str) -> Value {
    let output = run(folder, &format!("models {arguments} --tenant {TENANT} --json"));
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_lost_registry_comes_back_as_the_runbook_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let store = format!("--store file://{}/store", folder.display());
    std::fs::write(folder.join("sales.csv"), csv(&sound_rows())).unwrap();
    let trained = run(folder, &format!("train --interactions sales.csv {store} --tenant {TENANT} --run one"));
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    for decision in ["approve", "promote"] {
        json(folder, &format!("{decision} {store} --version 1 --actor ana --reason drill"));
    }
    let (before, listed) = (answers(folder, "store").await, json(folder, &format!("list {store}")));

    let commands = commands();
    assert_eq!(commands.len(), 9, "{commands:#?}");
    for (number, line) in commands.into_iter().enumerate() {
        if line.starts_with("bookloop serve") {
            assert_eq!(line, "bookloop serve --store \"$NEW\" --tenant \"$TENANT\"");
            assert_eq!(answers(folder, "new").await, before, "readers see what they saw");
            continue;
        }
        shell(folder, line);
        if number == 0 {
            std::fs::remove_dir_all(folder.join("store")).unwrap();
        }
    }
    let new = format!("--store file://{}/new", folder.display());
    assert_eq!(json(folder, &format!("list {new}")), listed, "the same versions and aliases");
    let fence = json(folder, &format!("log {new} --last 1"));
    assert_eq!((&fence[0]["ops"][0]["op"], &fence[0]["actor"]), (&Value::from("fence"), &Value::from("ana")));
    json(folder, &format!("tag {new} --version 1 --key pin --value drill --actor ana --reason writable"));
}
