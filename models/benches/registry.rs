//! What a commit costs, and what opening an old registry costs: on a folder, on a real S3 server, and the same decisions
//! through an MLflow server beside them.
//!
//! `cargo bench -p bookloop-models --bench registry`; with `BOOKLOOP_TEST_MINIO` and `BOOKLOOP_TEST_MLFLOW` naming the
//! programs `minio` and `mlflow`, those are measured too. Under `cargo test --benches` everything runs once, small.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on should stop")]

#[path = "../tests/it/minio_server.rs"]
mod minio_server;

use std::{
    fs,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use models::{
    Artifact, Book, Catalogue, Manifest, ModelName, Readers, Registry, Scorer, Store, Version,
    manifest::{DataLineage, MODEL_FILE, Trigger, TriggerKind},
    registry::{Draft, Intent, Op},
    store::key,
};
use serde_json::{Value, json};

fn main() {
    let whole = std::env::args().any(|argument| argument == "--bench");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure(whole));
}

async fn measure(whole: bool) {
    let (rounds, commits) = if whole { (200, 100_000) } else { (3, 300) };
    println!("{:<44} {:>9} {:>9} {:>9} {:>11}", "", "median ms", "p99 ms", "max ms", "a second");
    let folder = tempfile::tempdir().unwrap();
    let on_disk = Store::open(&format!("file://{}", folder.path().display())).unwrap();
    let ours = decisions("register + alias, file://", &on_disk.folder("decisions"), rounds).await;
    commits_alone("alias, file://", &on_disk.folder("alone"), rounds).await;
    let mut ours_on_s3 = None;
    if std::env::var_os("BOOKLOOP_TEST_MINIO").is_some() {
        let server = minio_server::Server::start().await;
        ours_on_s3 = Some(decisions("register + alias, MinIO", &server.store("decisions"), rounds).await);
        commits_alone("alias, MinIO", &server.store("alone"), rounds).await;
    }
    if let Some(program) = std::env::var_os("BOOKLOOP_TEST_MLFLOW") {
        let theirs = mlflow(Path::new(&program), rounds).await;
        println!("MLflow's median over ours on file://: {:.1}", theirs / ours);
        if let Some(s3) = ours_on_s3 {
            println!("MLflow's median over ours on MinIO:   {:.1}", theirs / s3);
        }
    }
    old_registry(commits).await;
}

fn name() -> ModelName {
    "recommender".parse().unwrap()
}

fn intent() -> Intent {
    Intent::new("bench", "measured", Timestamp::UNIX_EPOCH)
}

fn draft(seed: u64) -> Draft {
    let books = (0..10).map(|n| Book::bare(format!("b{n}").parse().unwrap()));
    let artifact = Artifact::new(Catalogue::new(books), vec![1.0; 10], Scorer::Popularity, Readers::new([])).unwrap();
    let data = DataLineage {
        source: "bench".into(),
        sha256: String::new(),
        interactions: 1,
        readers: 1,
        books: 10,
        from: None,
        to: None,
    };
    let manifest = Manifest {
        format: 1,
        name: name(),
        created_at: Timestamp::UNIX_EPOCH,
        algorithm: "popularity".into(),
        params: json!({}),
        tuning: None,
        seed,
        data,
        metrics: std::collections::BTreeMap::new(),
        gate: "measured".into(),
        code_revision: "bench".into(),
        trigger: Trigger { kind: TriggerKind::Manual, id: seed.to_string() },
        parent: None,
        profile: Value::Null,
        files: Vec::new(),
    };
    // Every version has bytes of its own, as every night does.
    let mut bytes = models::format::encode(&artifact).to_vec();
    bytes.extend(seed.to_le_bytes());
    Draft { manifest, files: vec![(MODEL_FILE.into(), bytes.into())] }
}

/// Prints one row and returns the median in milliseconds.
fn row(what: &str, times: &mut [Duration]) -> f64 {
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let at = |share: f64| ms(times[((times.len() - 1) as f64 * share).round() as usize]);
    let total: Duration = times.iter().sum();
    let a_second = times.len() as f64 / total.as_secs_f64();
    println!("{what:<44} {:>9.2} {:>9.2} {:>9.2} {a_second:>11.0}", at(0.5), at(0.99), at(1.0));
    at(0.5)
}

/// A night's decisions: a version with its file and manifest is registered and `staging` points at it.
async fn decisions(what: &str, store: &Store, rounds: u64) -> f64 {
    let registry = Registry::open(store.clone()).await.unwrap();
    let mut times = Vec::new();
    for round in 0..rounds {
        let draft = draft(round);
        let begun = Instant::now();
        registry.publish_staged(draft, &intent()).await.unwrap();
        times.push(begun.elapsed());
    }
    row(what, &mut times)
}

/// Commits of one op by one writer that stays open.
async fn commits_alone(what: &str, store: &Store, rounds: u64) {
    let registry = Registry::open(store.clone()).await.unwrap();
    for round in 0..2 {
        registry.publish(draft(round), &intent()).await.unwrap();
    }
    let mut times = Vec::new();
    for round in 0..rounds * 5 {
        let begun = Instant::now();
        registry.commit(&intent(), |_| Ok(vec![to_and_fro(round)])).await.unwrap();
        times.push(begun.elapsed());
    }
    row(what, &mut times);
}

/// `staging` to version 1, to 2, and back.
fn to_and_fro(round: u64) -> Op {
    let version = |round: u64| Version::try_from(1 + (round % 2) as u32).unwrap();
    let expect = round.checked_sub(1).map(version);
    Op::AliasSet { name: name(), alias: "staging".parse().unwrap(), expect, to: version(round) }
}

/// Opening a registry with many commits, all of them with idempotency keys, one in a hundred a registration.
async fn old_registry(commits: u64) {
    // Written in memory and laid out as files afterwards: a hundred thousand synced writes are not what is measured.
    let memory = Store::open("memory://bench").unwrap();
    let registry = Registry::open(memory.clone()).await.unwrap();
    for round in 0..commits {
        let versions = registry.state().models.get(&name()).map_or(0, |model| model.versions.len() as u64);
        let op = if round % 100 < 1 || versions < 2 {
            let version = Version::try_from(versions as u32 + 1).unwrap();
            Op::Register { name: name(), version, manifest_sha256: format!("{round:064x}"), signature_sha256: None }
        } else {
            let alias = "staging".parse().unwrap();
            let expect = registry.state().model(&name()).unwrap().aliases.get(&alias).copied();
            let to = Version::try_from(1 + (round % versions) as u32).unwrap();
            Op::AliasSet { name: name(), alias, expect, to }
        };
        registry.commit(&intent().once(format!("key-{round}")), |_| Ok(vec![op.clone()])).await.unwrap();
        if round % 1_000 == 999 {
            let stored = memory.list(key::CHECKPOINTS).await.unwrap();
            for old in stored.iter().rev().filter(|object| key::number(&object.key).is_some()).skip(4) {
                memory.delete(&old.key).await.unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    for object in memory.list("").await.unwrap() {
        let path = folder.path().join(&object.key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, memory.get(&object.key).await.unwrap().unwrap()).unwrap();
    }
    let store = Store::open(&format!("file://{}", folder.path().display())).unwrap();
    let mut times = Vec::new();
    for _ in 0..10 {
        let begun = Instant::now();
        let opened = Registry::open(store.clone()).await.unwrap();
        times.push(begun.elapsed());
        assert_eq!(opened.state(), registry.state());
    }
    row(&format!("open after {commits} commits, file://"), &mut times);
    let looking = Registry::open(store.clone()).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..100 {
        let begun = Instant::now();
        looking.refresh().await.unwrap();
        times.push(begun.elapsed());
    }
    row("look for a next entry that is not there", &mut times);
    if commits < 10_000 {
        for object in store.list(key::CHECKPOINTS).await.unwrap() {
            store.delete(&object.key).await.unwrap();
        }
        assert_eq!(Registry::open(store).await.unwrap().state(), registry.state(), "a checkpoint is only a shortcut");
    }
}

/// The same two decisions through an MLflow tracking server with SQLite, by its REST interface over a kept connection.
async fn mlflow(program: &Path, rounds: u64) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Command::new(program)
        .args(["server", "--host", "127.0.0.1", "--port", &port.to_string(), "--workers", "1"])
        .args(["--backend-store-uri", &format!("sqlite:///{}", folder.path().join("mlflow.db").display())])
        .current_dir(folder.path())
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _server = Killed(server);
    let client = reqwest::Client::new();
    let api = format!("http://127.0.0.1:{port}/api/2.0/mlflow");
    let post = |path: &'static str, body: Value| {
        let request = client.post(format!("{api}/{path}")).body(body.to_string());
        let request = request.header("content-type", "application/json");
        async move {
            let reply = request.send().await.map_err(|error| error.to_string())?;
            let (status, text) = (reply.status(), reply.text().await.unwrap_or_default());
            if !status.is_success() {
                return Err(format!("{status}: {text}"));
            }
            serde_json::from_str::<Value>(&text).map_err(|error| error.to_string())
        }
    };
    let mut last = Err(String::new());
    for _ in 0..300 {
        last = post("registered-models/create", json!({ "name": "recommender" })).await;
        if last.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    last.expect("the MLflow server takes a first model within a minute");
    let mut times = Vec::new();
    for round in 0..rounds {
        let begun = Instant::now();
        let version = json!({ "name": "recommender", "source": format!("s3://bucket/{round}") });
        let created = post("model-versions/create", version).await.unwrap();
        let version = created["model_version"]["version"].as_str().unwrap().to_owned();
        let alias = json!({ "name": "recommender", "alias": "staging", "version": version });
        post("registered-models/alias", alias).await.unwrap();
        times.push(begun.elapsed());
    }
    row("register + alias, MLflow server with SQLite", &mut times)
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Its workers are processes of their own, all in the group that was made for them.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.0.id())]).status();
        let _ = self.0.wait();
    }
}
