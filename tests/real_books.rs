//! The README's main path on the real data sets: train, approve, promote, serve, ask.

use bookloop_tests::{Predictor, data, http, predict, run};
use serde_json::Value;

/// Trains on `interactions`, takes the version to production and asks for a reader's list over HTTP.
fn first_list(interactions: &str, items: Option<&str>, reader: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let place = format!("--store file://{}/books --tenant acme-books --model recommender", folder.path().display());
    let items = items.map(|items| format!(" --items {}", data(items).display())).unwrap_or_default();
    let train = format!("train --interactions {}{items} {place}", data(interactions).display());
    let begun = std::time::Instant::now();
    let output = run(folder.path(), &train);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("{interactions}: {:.1} s\n{}", begun.elapsed().as_secs_f64(), String::from_utf8_lossy(&output.stdout));
    for decision in ["approve", "promote"] {
        let command = format!("models {decision} {place} --version 1 --actor test --reason fit");
        assert!(run(folder.path(), &command).status.success(), "{decision}");
    }
    let predictor = Predictor::start(&place);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let client = http();
        for _ in 0..200 {
            if let Ok(list) = predict(&client, &predictor.url, reader, 5).await {
                return list;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the predictor never became ready");
    })
}

#[test]
#[ignore = "needs the release binary and the real data set"]
fn goodbooks_answers_with_titles() {
    let list = first_list("goodbooks/interactions.csv.gz", Some("goodbooks/items.csv.gz"), "58");
    let titles: Vec<&str> =
        list["recommendations"].as_array().unwrap().iter().map(|book| book["title"].as_str().unwrap()).collect();
    println!("{titles:?}");
    assert_eq!(titles.len(), 5);
    assert!(list.get("fallback").is_none_or(Value::is_null), "a known reader gets the model's own list: {list}");
}

#[test]
#[ignore = "needs the release binary and the real data set"]
fn ml_100k_answers() {
    let list = first_list("ml-100k/interactions.csv.gz", None, "196");
    assert_eq!(list["recommendations"].as_array().unwrap().len(), 5);
}

#[test]
#[ignore = "needs the release binary and the real data set"]
fn sessions_answer() {
    let list = first_list("sessions/train.csv.gz", None, "10036");
    assert_eq!(list["recommendations"].as_array().unwrap().len(), 5);
}

#[test]
#[ignore = "needs the release binary and the real data set"]
fn ials_on_gowalla_reaches_the_published_neighbourhood() {
    let folder = tempfile::tempdir().unwrap();
    let (train, test) = (data("gowalla/train.csv.gz"), data("gowalla/test.csv.gz"));
    let command =
        format!("evaluate --train {} --test {} --algorithm ials --at 20 --json", train.display(), test.display());
    let output = run(folder.path(), &command);
    let measured: Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("{measured}");
    assert!(measured["recall@20"].as_f64().unwrap() >= 0.165);
    assert!(measured["ndcg@20"].as_f64().unwrap() >= 0.137);
}
