//! The stream as files: each producer appends numbered segments of one JSON record a line to its own folder.
//!
//! Object stores cannot append, so a batch is a segment. Producers never meet in a folder and a segment is only ever
//! created, so nothing is overwritten and readers need nothing but the next number.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Consumer, Error, Message, Producer, Received};
use crate::{
    event::Topic,
    store::{Created, Store, key},
};

/// One line of a segment.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    key: String,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// Writes segments under one producer's name.
#[derive(Debug)]
pub struct FileProducer {
    store: Store,
    name: String,
    next: tokio::sync::Mutex<BTreeMap<Topic, u64>>,
}

impl FileProducer {
    /// `name` must be unique among the producers that write at the same time, and plain: letters, digits, `-`, `_`.
    pub fn new(store: Store, name: &str) -> Result<Self, Error> {
        plain("producer", name)?;
        Ok(Self { store, name: name.into(), next: tokio::sync::Mutex::default() })
    }
}

#[async_trait]
impl Producer for FileProducer {
    async fn send(&self, messages: Vec<Message>) -> Result<(), Error> {
        let mut segments: BTreeMap<Topic, Vec<u8>> = BTreeMap::new();
        for message in messages {
            let value: &RawValue = serde_json::from_slice(&message.payload).map_err(|_| Error::Setting {
                setting: "message payload",
                expected: "one JSON value",
                found: String::from_utf8_lossy(&message.payload).chars().take(80).collect(),
            })?;
            let segment = segments.entry(message.topic).or_default();
            serde_json::to_writer(&mut *segment, &Line { key: message.key, value })
                .expect("writing JSON to memory cannot fail");
            segment.push(b'\n');
        }
        let mut next = self.next.lock().await;
        for (topic, segment) in segments {
            let segment = bytes::Bytes::from(segment);
            let number = next.entry(topic).or_insert(1);
            // Numbers taken by an earlier life of the same producer are stepped over.
            while self.store.create(&key::segment(topic.name(), &self.name, *number), segment.clone()).await?
                == Created::Exists
            {
                *number += 1;
            }
            *number += 1;
        }
        Ok(())
    }
}

/// How far a group has read a topic: the next segment of each producer.
type Cursor = BTreeMap<String, u64>;

#[derive(Debug)]
struct Segment {
    topic: Topic,
    producer: String,
    number: u64,
    records: Vec<Received>,
    given: usize,
}

/// Reads every producer's segments in number order.
#[derive(Debug)]
pub struct FileConsumer {
    store: Store,
    group: String,
    cursors: BTreeMap<Topic, Cursor>,
    /// Segments fetched and not yet handed out completely; they are committed whole.
    ready: VecDeque<Segment>,
    /// Segments handed out completely: what a commit makes durable.
    done: BTreeMap<Topic, Cursor>,
}

/// Time between two looks at a store that had nothing new.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl FileConsumer {
    /// Joins a group, continuing where it committed last. One member per group at a time.
    pub async fn open(store: Store, group: &str, topics: &[Topic]) -> Result<Self, Error> {
        plain("group", group)?;
        let mut cursors = BTreeMap::new();
        for topic in topics {
            let object = key::group(topic.name(), group);
            let cursor: Cursor = match store.get(&object).await? {
                Some(bytes) => serde_json::from_slice(&bytes).map_err(|_| Error::Setting {
                    setting: "group state",
                    expected: "segment numbers by producer",
                    found: object,
                })?,
                None => Cursor::new(),
            };
            cursors.insert(*topic, cursor);
        }
        let done = cursors.clone();
        Ok(Self { store, group: group.into(), cursors, ready: VecDeque::new(), done })
    }

    /// Fetches what each producer has written since, in producer order.
    async fn fetch(&mut self) -> Result<(), Error> {
        let topics: Vec<Topic> = self.cursors.keys().copied().collect();
        for topic in topics {
            let folder = key::topic(topic.name());
            let mut producers: Vec<String> = self.cursors[&topic].keys().cloned().collect();
            for object in self.store.list(&folder).await? {
                let producer = object.key[folder.len() + 1..].split('/').next().unwrap_or_default().to_owned();
                if producers.last() != Some(&producer) && !producers.contains(&producer) {
                    producers.push(producer);
                }
            }
            producers.sort();
            for producer in producers {
                let mut number = self.cursors[&topic].get(&producer).copied().unwrap_or(1);
                while let Some(bytes) = self.store.get(&key::segment(topic.name(), &producer, number)).await? {
                    let records = parse(topic, &producer, number, &bytes);
                    self.ready.push_back(Segment { topic, producer: producer.clone(), number, records, given: 0 });
                    number += 1;
                }
                self.cursors.get_mut(&topic).expect("topics are its keys").insert(producer, number);
            }
        }
        Ok(())
    }
}

/// The records of a segment; a line that is not a record travels as it is, for the reader to count and set aside.
fn parse(topic: Topic, producer: &str, number: u64, bytes: &bytes::Bytes) -> Vec<Received> {
    let lines = bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    let record = |(at, line): (usize, &[u8])| {
        let position = format!("{producer}/{number}:{}", at + 1);
        let (key, payload) = match serde_json::from_slice::<Line<'_>>(line) {
            Ok(parsed) => (parsed.key, parsed.value.get().as_bytes()),
            Err(_) => (String::new(), line),
        };
        Received { topic, key, payload: bytes::Bytes::copy_from_slice(payload), position }
    };
    lines.map(record).collect()
}

#[async_trait]
impl Consumer for FileConsumer {
    async fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Received>, Error> {
        let deadline = tokio::time::Instant::now() + wait;
        while self.ready.is_empty() {
            self.fetch().await?;
            if self.ready.is_empty() {
                if tokio::time::Instant::now() >= deadline {
                    return Ok(Vec::new());
                }
                tokio::time::sleep(LOOK_AGAIN.min(wait)).await;
            }
        }
        let mut polled = Vec::new();
        while polled.len() < max {
            let Some(segment) = self.ready.front_mut() else { break };
            let take = (segment.records.len() - segment.given).min(max - polled.len());
            polled.extend_from_slice(&segment.records[segment.given..segment.given + take]);
            segment.given += take;
            if segment.given == segment.records.len() {
                let Segment { topic, producer, number, .. } = self.ready.pop_front().expect("it was just seen");
                self.done.entry(topic).or_default().insert(producer, number + 1);
            }
        }
        Ok(polled)
    }

    async fn commit(&mut self) -> Result<(), Error> {
        for (topic, cursor) in &self.done {
            let bytes = serde_json::to_vec(cursor).expect("a map from text to numbers is JSON");
            self.store.put(&key::group(topic.name(), &self.group), bytes.into()).await?;
        }
        Ok(())
    }
}

fn plain(setting: &'static str, name: &str) -> Result<(), Error> {
    let fits = (1..=80).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if fits {
        return Ok(());
    }
    Err(Error::Setting { setting, expected: "1 to 80 letters, digits, - or _", found: name.into() })
}
