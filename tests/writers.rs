//! Many writer processes on one registry, killed at random: nothing acknowledged is lost, doubled or reordered.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bookloop_tests::{
    acknowledged, events,
    judge::{self, Seen},
};
use models::{Registry, Store, signature::Trust, store::key};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::minio_server::Server;

/// How many, how much each, and how long they are left in peace.
struct Race {
    writers: usize,
    commits: u64,
    /// Mean milliseconds from one kill to the next; the waits are drawn from an exponential distribution.
    kill_every_ms: f64,
    seed: u64,
}

fn start(url: &str, settings: &BTreeMap<String, String>, folder: &Path, writer: usize, race: &Race) -> Child {
    Command::new(env!("CARGO_BIN_EXE_bookloop-test-writer"))
        .args([url, &writer.to_string(), &race.commits.to_string()])
        .arg(history(folder, writer))
        .envs(settings)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn history(folder: &Path, writer: usize) -> PathBuf {
    folder.join(format!("writer-{writer}.ndjson"))
}

/// Runs the race to its end; how many kills there were.
fn run(url: &str, settings: &BTreeMap<String, String>, folder: &Path, race: &Race) -> usize {
    let mut random = ChaCha8Rng::seed_from_u64(race.seed);
    let mut running: Vec<Option<Child>> =
        (0..race.writers).map(|writer| Some(start(url, settings, folder, writer, race))).collect();
    let mut kills = 0;
    while running.iter().any(Option::is_some) {
        let share = (f64::from(random.next_u32()) + 1.0) / (f64::from(u32::MAX) + 2.0);
        let next = Instant::now() + Duration::from_secs_f64(-share.ln() * race.kill_every_ms / 1000.0);
        while Instant::now() < next {
            std::thread::sleep(Duration::from_millis(5).min(next - Instant::now().min(next)));
            for child in &mut running {
                let ended = child.as_mut().and_then(|child| child.try_wait().unwrap());
                if let Some(status) = ended {
                    assert!(status.success(), "a writer ended by itself with {status}");
                    *child = None;
                }
            }
        }
        let victim = random.next_u32() as usize % race.writers;
        if let Some(mut child) = running[victim].take() {
            child.kill().unwrap();
            // It may have ended in the meantime: then the new one finds nothing to do.
            child.wait().unwrap();
            running[victim] = Some(start(url, settings, folder, victim, race));
            kills += 1;
        }
    }
    kills
}

/// The race, and then everything that must hold.
async fn nothing_is_lost(store: Store, url: &str, settings: &BTreeMap<String, String>, race: &Race) {
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let kills = run(url, settings, folder.path(), race);
    let took = begun.elapsed();

    let mut all = Vec::new();
    for writer in 0..race.writers {
        let text = std::fs::read_to_string(history(folder.path(), writer)).unwrap();
        let mine = events(&text);
        assert_eq!(acknowledged(&mine), race.commits, "writer {writer}");
        all.extend(mine);
    }
    let genesis = models::digest::sha256(&store.get(key::REGISTRY).await.unwrap().unwrap());
    let mut log = Vec::new();
    while let Some(bytes) = store.get(&key::log(log.len() as u64 + 1)).await.unwrap() {
        log.push(bytes);
    }
    assert_eq!(store.list(key::LOG).await.unwrap().len(), log.len(), "the log has no gap");
    let seen: Seen = judge::check(&genesis, &log, &all).unwrap();
    assert_eq!(seen.entries, race.writers as u64 * race.commits, "every key is acknowledged in the end");
    let verified = Registry::verify(store, &Trust::default()).await.unwrap();
    assert_eq!(verified.problems, Vec::<String>::new());
    assert_eq!(verified.entries, seen.entries);
    assert!(kills > 0, "nobody was killed");
    let rate = seen.entries as f64 / took.as_secs_f64();
    println!("{seen:?}, {} checkpoints, {kills} kills, {took:.1?}, {rate:.0} commits/s", verified.checkpoints);
}

async fn on_disk(race: Race) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    nothing_is_lost(Store::open(&url).unwrap(), &url, &BTreeMap::new(), &race).await;
}

#[tokio::test]
async fn four_killed_writers_on_disk_lose_nothing() {
    on_disk(Race { writers: 4, commits: 25, kill_every_ms: 60.0, seed: 4 }).await;
}

/// Commits of each of the sixteen: a thousand, or what `BOOKLOOP_TEST_COMMITS` says.
fn commits() -> u64 {
    std::env::var("BOOKLOOP_TEST_COMMITS")
        .map_or(1_000, |text| text.parse().expect("BOOKLOOP_TEST_COMMITS is a number"))
}

#[tokio::test]
#[ignore = "minutes: sixteen writers, a thousand commits each"]
async fn sixteen_killed_writers_on_disk_lose_nothing() {
    on_disk(Race { writers: 16, commits: commits(), kill_every_ms: 200.0, seed: 16 }).await;
}

#[tokio::test]
#[ignore = "minutes: sixteen writers, a thousand commits each; needs BOOKLOOP_TEST_MINIO"]
async fn sixteen_killed_writers_on_minio_lose_nothing() {
    let server = Server::start().await;
    let race = Race { writers: 16, commits: commits(), kill_every_ms: 200.0, seed: 16 };
    nothing_is_lost(server.store("race"), "s3://bookloop/race", &server.settings, &race).await;
}
