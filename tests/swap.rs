//! Hot swap under load: the serving process, flipped by the command line's registry while readers ask.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bookloop_tests::{Http, Predictor, data, http, open_loop, predict, run};
use jiff::Timestamp;
use models::{
    Alias, Registry, Store, Version,
    registry::{Intent, Op},
};

/// The version that answers a reader with ten books.
async fn ask(client: &Http, url: &str, reader: usize) -> Result<String, String> {
    let answer = predict(client, url, &reader.to_string(), 10).await?;
    assert_eq!(answer["recommendations"].as_array().unwrap().len(), 10);
    Ok(answer["model_version"].as_str().unwrap().to_owned())
}

#[test]
#[ignore = "over a minute; needs the release binary and real ratings"]
fn a_hundred_swaps_in_a_minute_at_500_requests_a_second_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("file://{}/store", folder.path().display());
    for name in ["one", "two"] {
        let seed = if name == "one" { 1 } else { 2 };
        let ratings = data("ml-100k/interactions.csv.gz");
        let arguments = format!(
            "train --interactions {} --store {store} --tenant acme-books --run {name} --seed {seed}",
            ratings.display()
        );
        assert!(run(folder.path(), &arguments).status.success());
    }
    tokio::runtime::Runtime::new().unwrap().block_on(swaps(&store));
}

async fn swaps(store: &str) {
    const SECONDS: u64 = 60;
    const RATE: u64 = 500;
    const FLIPS: u64 = 100;
    let (name, version) = ("recommender".parse().unwrap(), |n: u64| Version::try_from(n as u32).unwrap());
    let root = Store::open(store).unwrap().tenant(&"acme-books".parse().unwrap());
    let registry = Registry::open(root).await.unwrap();
    let intent = |reason: String| Intent::new("test", reason, Timestamp::now());
    for n in [1, 2] {
        let op = Op::Approve { name: Clone::clone(&name), version: version(n) };
        registry.commit(&intent("fit".into()), |_| Ok(vec![op.clone()])).await.unwrap();
    }
    registry.promote(&name, version(1), None, &intent("first".into())).await.unwrap();
    let predictor = Predictor::start(&format!("--store {store} --tenant acme-books"));
    let client = http();
    predictor.ready(&client).await;

    let (begun, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
    let load = tokio::spawn({
        let (client, url, stop) = (client.clone(), predictor.url.clone(), Arc::clone(&stop));
        async move {
            let answers = open_loop(RATE, stop, |n| {
                let (client, url) = (client.clone(), url.clone());
                async move { ask(&client, &url, (n % 943) as usize).await }
            });
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            let mut failures = Vec::new();
            for (answer, _) in answers.await {
                match answer {
                    Ok(version) => *counts.entry(version).or_default() += 1,
                    Err(reason) => failures.push(reason),
                }
            }
            (counts, failures)
        }
    });
    for flip in 1..=FLIPS {
        tokio::time::sleep_until((begun + Duration::from_millis(flip * SECONDS * 1000 / (FLIPS + 1))).into()).await;
        let to = version(1 + flip % 2);
        registry.promote(&name, to, None, &intent(format!("flip {flip}"))).await.unwrap();
        // The new version answers within two polls.
        let seen = Instant::now();
        while ask(&client, &predictor.url, 5).await.unwrap() != to.to_string() {
            assert!(seen.elapsed() < Duration::from_secs(2), "flip {flip} was not followed");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    tokio::time::sleep_until((begun + Duration::from_secs(SECONDS)).into()).await;
    stop.store(true, Ordering::SeqCst);
    let (counts, failures) = load.await.unwrap();
    println!("answers by version: {counts:?}; {} failed", failures.len());
    assert_eq!(failures, Vec::<String>::new());
    assert_eq!(counts.keys().map(String::as_str).collect::<Vec<_>>(), ["1", "2"], "only versions that were live");
    assert!(counts.values().sum::<u64>() >= SECONDS * RATE);
    assert_eq!(registry.state().models[&name].aliases[&Alias::production()], version(1));
}
