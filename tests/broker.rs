//! Kafka is lost for a minute while readers ask: they notice nothing, and every record is accounted for.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bookloop_tests::{Predictor, http, metric, popular, readers};
use models::{
    event::{Prediction, Topic},
    stream::{Consumer, kafka::KafkaConsumer},
};

use crate::kafka_server::Broker;

/// Requests a second.
const RATE: u64 = 100;
/// How long the broker is away.
const AWAY: Duration = Duration::from_mins(1);
/// Longer than any answer may take.
const SOON: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "two minutes; needs BOOKLOOP_TEST_KAFKA"]
async fn a_minute_without_kafka_harms_no_answer_and_loses_no_record_uncounted() {
    let folder = tempfile::tempdir().unwrap();
    let store = popular(folder.path(), &["a", "b"]).await;
    let mut broker = tokio::task::block_in_place(Broker::start);
    let options = broker.options();
    let predictor = Predictor::start(&format!("--store {store} --tenant acme-books --kafka {}", options.bootstrap));
    let client = http();
    predictor.ready(&client).await;

    let stop = Arc::new(AtomicBool::new(false));
    let load = readers(&client, &predictor, RATE, &stop);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = metric(&client, &predictor.url, "bookloop_events_delivered_total").await;
    assert!(before > 0.0, "records arrive while the broker is there");
    tokio::task::block_in_place(|| broker.kill());
    tokio::time::sleep(AWAY).await;
    tokio::task::block_in_place(|| broker.start_again());
    tokio::time::sleep(Duration::from_secs(10)).await;
    stop.store(true, Ordering::SeqCst);
    let answers = load.await.unwrap();

    let failures: Vec<&String> = answers.iter().filter_map(|(answer, _)| answer.as_ref().err()).collect();
    let slowest = answers.iter().map(|(_, took)| *took).max().unwrap();
    println!("{} answers, {} failed, the slowest took {slowest:?}", answers.len(), failures.len());
    assert!(failures.is_empty(), "{failures:?}");
    assert!(slowest < SOON, "an answer waited {slowest:?}");

    let settling = Instant::now();
    while metric(&client, &predictor.url, "bookloop_event_queue_length").await > 0.0 {
        assert!(settling.elapsed() < Duration::from_secs(90), "records still wait though the broker is back");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let count = async |name: &str| metric(&client, &predictor.url, name).await as usize;
    let offered = count("bookloop_events_offered_total").await;
    let (delivered, dropped) =
        (count("bookloop_events_delivered_total").await, count("bookloop_events_dropped_total").await);
    assert_eq!(offered, delivered + dropped);
    assert!(offered >= answers.len());

    // What the broker holds is what was said to be delivered, or a little more: an acknowledgement can be lost too.
    let mut reader = KafkaConsumer::open(&options, "test", &[Topic::Predictions]).unwrap();
    let (mut found, begun) = (HashSet::new(), Instant::now());
    while found.len() < delivered && begun.elapsed() < Duration::from_mins(1) {
        for record in reader.poll(1000, Duration::from_millis(500)).await.unwrap_or_default() {
            let prediction: Prediction = serde_json::from_slice(&record.payload).unwrap();
            found.insert(prediction.event_id);
        }
    }
    println!(
        "{offered} records: {delivered} delivered, {dropped} dropped and counted, {} with the broker",
        found.len()
    );
    assert!((delivered..=offered).contains(&found.len()), "{} of {delivered} are with the broker", found.len());
}
