//! One writer of a test with many: commits its share, and notes every call and answer in a file of its own.
//!
//! `bookloop-test-writer STORE-URL INDEX COMMITS HISTORY-FILE`. Killed and started again, it goes on where its file ends
//! and repeats what was left in doubt under the same key.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    time::Duration,
};

use bookloop_tests::{
    acknowledged, draft, events,
    judge::{Answer, Deed, Event, Wish},
};
use jiff::Timestamp;
use models::{
    Alias, ModelName, Registry, Store, Version,
    registry::{Error, Intent, Op},
};
use rustix::time::{ClockId, clock_gettime};

/// Which commits, by the last digit of their number, are what: the others are notes.
const REGISTERS: u64 = 0;
const MOVES: [u64; 4] = [2, 4, 6, 8];
/// Commits from one read to the next.
const READ_EVERY: u64 = 5;

struct Writer {
    registry: Registry,
    name: ModelName,
    file: File,
}

/// Nanoseconds since the machine started: one clock for all processes.
fn now() -> u64 {
    let moment = clock_gettime(ClockId::Monotonic);
    moment.tv_sec as u64 * 1_000_000_000 + moment.tv_nsec as u64
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, index, commits, path] = arguments.as_slice() else { panic!("expected URL INDEX COMMITS FILE") };
    let commits: u64 = commits.parse().expect("COMMITS is a number");
    let past = events(&std::fs::read_to_string(path).unwrap_or_default());
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("the history file can be written");
    // A line that a kill cut short ends here.
    file.write_all(b"\n").expect("the history file can be written");
    let store = Store::open(url).expect("the URL is a store");
    let registry = loop {
        if let Ok(registry) = Registry::open(store.clone()).await {
            break registry;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let name = "recommender".parse().expect("this is a name");
    let mut writer = Writer { registry, name, file };

    let mut open = past.iter().rev().find_map(|event| match &event.deed {
        Deed::Commit { key, wish, answer } => Some((key.clone(), wish.clone(), *answer)),
        Deed::Read { .. } => None,
    });
    let mut calls = past.len();
    for n in acknowledged(&past)..commits {
        loop {
            let unsettled = open.take().filter(|(_, _, answer)| matches!(answer, Answer::Doubt | Answer::Failed));
            let (key, wish) = match unsettled {
                Some((key, wish, _)) => (key, wish),
                None => (format!("w{index}-{n}-{calls}"), writer.decide(n)),
            };
            calls += 1;
            let answer = writer.wish(&key, &wish).await;
            open = Some((key, wish, answer));
            if matches!(answer, Answer::Done { .. }) {
                break;
            }
        }
        if n % READ_EVERY == 0 {
            writer.read().await;
        }
    }
}

impl Writer {
    fn note(&mut self, invoked: u64, deed: Deed) {
        let event = Event { invoked, answered: now(), log_end: None, deed };
        let line = serde_json::to_string(&event).expect("an event has no maps with odd keys") + "\n";
        self.file.write_all(line.as_bytes()).expect("the history file can be written");
    }

    /// What commit `n` is to be, by the last state this writer has seen.
    fn decide(&self, n: u64) -> Wish {
        let state = self.registry.state();
        let Some(model) = state.models.get(&self.name) else { return Wish::Register };
        if n % 10 == REGISTERS {
            return Wish::Register;
        }
        if !MOVES.contains(&(n % 10)) {
            return Wish::Note;
        }
        let alias = ["staging", "shadow", "blue", "green"][(n / 10 % 4) as usize];
        let versions = model.versions.len() as u64;
        let at = model.aliases.get(alias).map(|version| version.get());
        Wish::Set { alias: alias.into(), expect: at, to: 1 + (n * 7 % versions) as u32 }
    }

    async fn read(&mut self) {
        let invoked = now();
        let Ok(state) = self.registry.refresh().await else { return };
        let model = state.models.get(&self.name);
        let aliases = model.into_iter().flat_map(|model| &model.aliases);
        let deed = Deed::Read {
            last_id: state.last_id,
            versions: model.map_or(0, |model| model.versions.len() as u32),
            aliases: aliases.map(|(alias, to)| (alias.to_string(), to.get())).collect(),
        };
        drop(state);
        self.note(invoked, deed);
    }

    /// One call; it is noted as in doubt before it is made, in case this process does not live to see the answer.
    async fn wish(&mut self, key: &str, wish: &Wish) -> Answer {
        let invoked = now();
        self.note(invoked, Deed::Commit { key: key.into(), wish: wish.clone(), answer: Answer::Doubt });
        let answer = match self.commit(key, wish).await {
            Ok(id) => Answer::Done { id },
            Err(Error::Conflict { .. } | Error::Refused(_) | Error::NotFound(_)) => Answer::Refused,
            Err(Error::Store(_)) => Answer::Doubt,
            Err(_) => Answer::Failed,
        };
        self.note(invoked, Deed::Commit { key: key.into(), wish: wish.clone(), answer });
        answer
    }

    async fn commit(&self, key: &str, wish: &Wish) -> Result<u64, Error> {
        let name = self.name.clone();
        let intent = Intent::new("writer", "a race", Timestamp::UNIX_EPOCH).once(key);
        let version = |number: u32| Version::try_from(number).expect("versions count from 1");
        let receipt = match wish {
            Wish::Set { alias, expect, to } => {
                let alias: Alias = alias.parse().expect("this is an alias");
                self.registry.set_alias(&name, &alias, expect.map(version), version(*to), &intent).await?
            }
            Wish::Note => {
                let note = Op::Tag { name, version: Version::FIRST, key: "note".into(), value: Some(key.into()) };
                self.registry.commit(&intent, |_| Ok(vec![note.clone()])).await?
            }
            _ => self.registry.publish(draft(name, key, key.to_owned().into()), &intent).await?.receipt,
        };
        Ok(receipt.entry.id)
    }
}
