//! The loop turns: the demo, as a newcomer starts it.

use std::{collections::BTreeSet, path::Path};

use bookloop_tests::run;
use serde_json::Value;

fn demo(folder: &Path, arguments: &str) -> Value {
    let output = run(folder, &format!("demo --json {arguments}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "demo {arguments}: {stderr}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
}

/// What a repeated seed must repeat: everything but the seconds.
fn decisions(mut outcome: Value) -> Value {
    let members = outcome.as_object_mut().unwrap();
    members.remove("wall_seconds");
    members.remove("report");
    outcome
}

#[test]
#[ignore = "a minute; needs the release binary"]
fn taste_changes_and_the_loop_comes_round() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = demo(folder.path(), "--seed 7 --out one");
    println!("{outcome}");
    assert_eq!(outcome["failed"], 0);
    assert!(outcome["requests"].as_u64().unwrap() > 10_000);
    assert!(outcome["versions"].as_u64().unwrap() >= 2);
    let times: BTreeSet<&str> =
        ["onset", "suspected", "confirmed"].map(|time| outcome["drift"][time].as_str().unwrap()).into();
    assert_eq!(times.len(), 3, "onset, suspected and confirmed are three moments");
    assert_eq!(outcome["canary_steps"], serde_json::json!([10, 25, 50, 100]));
    assert_eq!(outcome["production_version"], outcome["retrain_version"]);
    assert!(outcome["ndcg_after"].as_f64().unwrap() > outcome["ndcg_before"].as_f64().unwrap());
    assert!(outcome["ndcg_difference"]["low"].as_f64().unwrap() > 0.0, "beyond chance");
    assert!(outcome["wall_seconds"].as_f64().unwrap() < 120.0);

    let again = demo(folder.path(), "--seed 7 --out two");
    assert_eq!(decisions(again), decisions(outcome), "the same seed takes the same decisions");

    let page = std::fs::read_to_string(folder.path().join("one/report.html")).unwrap();
    assert!(page.contains("<svg") && !page.contains("<script"));
    let screenshot = folder.path().join("page.png");
    let browser = std::process::Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("--screenshot={}", screenshot.display()))
        .args(["--window-size=1100,3000"])
        .arg(format!("file://{}", folder.path().join("one/report.html").display()))
        .output()
        .expect("chromium is installed by tests/run");
    assert!(browser.status.success());
    // A blank page of this size compresses to a few kilobytes.
    assert!(std::fs::metadata(screenshot).unwrap().len() > 60_000, "the page shows something");
}

#[test]
#[ignore = "four minutes; needs the release binary"]
fn without_a_change_of_taste_nothing_is_retrained() {
    for seed in 1..=10 {
        let folder = tempfile::tempdir().unwrap();
        let outcome = demo(folder.path(), &format!("--no-shift --seed {seed}"));
        assert_eq!(outcome["failed"], 0, "seed {seed}");
        assert_eq!(outcome["drift"], Value::Null, "seed {seed}");
        assert_eq!(outcome["retrain_version"], Value::Null, "seed {seed}");
        assert_eq!(outcome["production_version"], 1, "seed {seed}");
    }
}
