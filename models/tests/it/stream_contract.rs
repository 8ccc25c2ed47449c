//! What every stream adapter promises, run against the files adapter on two stores, against the broker that librdkafka
//! brings for tests, and against Kafka itself.

use std::{sync::Arc, time::Duration};

use models::{
    Store,
    event::Topic,
    stream::{
        Consumer, Message, Producer,
        files::{FileConsumer, FileProducer},
        kafka::{KafkaConsumer, KafkaProducer, Options},
    },
};
use rdkafka::mocking::MockCluster;

use crate::kafka_server::Broker;

fn message(topic: Topic, n: usize) -> Message {
    Message::json(topic, "acme-books", &serde_json::json!({ "n": n }))
}

async fn numbers(consumer: &mut dyn Consumer, want: usize) -> Vec<(Topic, u64)> {
    let mut got = Vec::new();
    // A Kafka group takes a few seconds to form; an idle poll returns empty and is repeated.
    for _ in 0..60 {
        for record in consumer.poll(3, Duration::from_millis(500)).await.unwrap() {
            let value: serde_json::Value = serde_json::from_slice(&record.payload).unwrap();
            assert_eq!(record.key, "acme-books");
            got.push((record.topic, value["n"].as_u64().unwrap()));
        }
        if got.len() >= want {
            break;
        }
    }
    got
}

/// `open` joins a named group; the suite opens several, as restarts do.
async fn contract<C: Consumer>(producer: Arc<dyn Producer>, open: impl AsyncFn(&str) -> C) {
    let first: Vec<Message> = (0..5).map(|n| message(Topic::Predictions, n)).collect();
    producer.send(first).await.unwrap();
    producer.send(vec![message(Topic::Outcomes, 100), message(Topic::Predictions, 5)]).await.unwrap();

    let mut reader = open("detector").await;
    let mut got = numbers(&mut reader, 7).await;
    got.sort_by_key(|(topic, _)| *topic); // Order holds within a topic; the sort is stable.
    let predictions: Vec<u64> = got.iter().filter(|(t, _)| *t == Topic::Predictions).map(|(_, n)| *n).collect();
    assert_eq!(predictions, [0, 1, 2, 3, 4, 5], "in order, each once");
    assert_eq!(got.last(), Some(&(Topic::Outcomes, 100)));

    // Without a commit a restart is given everything again; with one, only what is new.
    drop(reader);
    let mut reader = open("detector").await;
    assert_eq!(numbers(&mut reader, 7).await.len(), 7);
    reader.commit().await.unwrap();
    drop(reader);
    producer.send(vec![message(Topic::Predictions, 6)]).await.unwrap();
    let mut reader = open("detector").await;
    assert_eq!(numbers(&mut reader, 1).await, [(Topic::Predictions, 6)]);

    // Another group has its own place.
    let mut other = open("dataset").await;
    assert_eq!(numbers(&mut other, 8).await.len(), 8);
    assert!(other.poll(1, Duration::from_millis(50)).await.unwrap().is_empty(), "nothing more");
}

const TOPICS: [Topic; 2] = [Topic::Predictions, Topic::Outcomes];

pub async fn files_contract(store: Store) {
    let producer = Arc::new(FileProducer::new(store.clone(), "pod-1").unwrap());
    contract(producer, async |group: &str| FileConsumer::open(store.clone(), group, &TOPICS).await.unwrap()).await;
}

#[tokio::test]
async fn files_in_memory_keep_the_contract() {
    files_contract(Store::open("memory://stream-contract").unwrap()).await;
}

#[tokio::test]
async fn files_on_disk_keep_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    files_contract(Store::open(&format!("file://{}", folder.path().display())).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_keeps_the_contract() {
    let cluster = MockCluster::new(1).unwrap();
    for topic in TOPICS {
        cluster.create_topic(topic.name(), 3, 1).unwrap();
    }
    kafka_contract(&Options { bootstrap: cluster.bootstrap_servers(), properties: Vec::new() }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs BOOKLOOP_TEST_KAFKA"]
async fn a_real_broker_keeps_the_contract() {
    let mut broker = tokio::task::block_in_place(Broker::start);
    kafka_contract(&broker.options()).await;
    // What was acknowledged outlives the broker that took it.
    tokio::task::block_in_place(|| {
        broker.kill();
        broker.start_again();
    });
    let mut reader = KafkaConsumer::open(&broker.options(), "afterwards", &TOPICS).unwrap();
    assert_eq!(numbers(&mut reader, 8).await.len(), 8);
}

async fn kafka_contract(options: &Options) {
    let producer = Arc::new(KafkaProducer::new(options).unwrap());
    contract(producer, async |group: &str| KafkaConsumer::open(options, group, &TOPICS).unwrap()).await;
}

#[tokio::test]
async fn a_restarted_producer_overwrites_nothing() {
    let store = Store::open("memory://stream-restart").unwrap();
    for n in 0..3 {
        let producer = FileProducer::new(store.clone(), "pod-1").unwrap();
        producer.send(vec![message(Topic::Predictions, n)]).await.unwrap();
    }
    let mut reader = FileConsumer::open(store, "all", &TOPICS).await.unwrap();
    assert_eq!(numbers(&mut reader, 3).await.len(), 3);
}

#[tokio::test]
async fn a_line_that_is_no_record_reaches_the_reader_as_it_is() {
    let store = Store::open("memory://stream-garbage").unwrap();
    let segment = models::store::key::segment(Topic::Outcomes.name(), "stranger", 1);
    store.create(&segment, "{\"key\":\"a\",\"value\":1}\nnot json\n".into()).await.unwrap();
    let mut reader = FileConsumer::open(store, "all", &TOPICS).await.unwrap();
    let got = reader.poll(9, Duration::ZERO).await.unwrap();
    assert_eq!(got.len(), 2);
    assert_eq!((&got[1].payload[..], got[1].position.as_str()), (&b"not json"[..], "stranger/1:2"));
}
