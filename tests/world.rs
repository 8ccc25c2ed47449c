//! What several tests need: the binary, a folder, small data, and a client.

#[path = "../models/tests/it/judge/mod.rs"]
pub mod judge;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jiff::Timestamp;
use models::{
    Artifact, Book, Catalogue, Manifest, ModelName, Readers, Registry, Scorer, Store, format,
    manifest::{DataLineage, MODEL_FILE, Trigger, TriggerKind},
    registry::{Draft, Intent, Op},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::task::JoinHandle;

use self::judge::{Answer, Deed, Event};

/// The `bookloop` binary: the one that `BOOKLOOP_TEST_BINARY` names, else the one built beside this test.
///
/// Panics with the command that builds it when it is missing.
pub fn bookloop() -> Command {
    let binary = std::env::var_os("BOOKLOOP_TEST_BINARY").map_or_else(beside_this_test, PathBuf::from);
    assert!(binary.exists(), "{} is missing: run cargo build --bin bookloop first", binary.display());
    let mut command = Command::new(binary);
    command.env("HOSTNAME", "test");
    command
}

fn beside_this_test() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let profile = test.ancestors().nth(2).expect("tests lie in a folder of their profile's folder");
    profile.join("bookloop")
}

/// Runs the binary with arguments separated by spaces, in a folder.
pub fn run(folder: &Path, arguments: &str) -> Output {
    bookloop().current_dir(folder).args(arguments.split(' ')).output().expect("the binary starts")
}

/// A predictor process, killed when dropped.
pub struct Predictor {
    child: Child,
    /// Where it answers, as in `http://127.0.0.1:4711`.
    pub url: String,
}

impl Predictor {
    /// Starts `bookloop serve` on a free port; `place` names store and tenant, which are looked at ten times a second.
    pub fn start(place: &str) -> Self {
        Self::with(&format!("{place} --poll-ms 100"))
    }

    /// Starts `bookloop serve` on a free port; `place` names what it serves.
    pub fn with(place: &str) -> Self {
        let mut child = bookloop()
            .args(format!("serve {place} --http-port 0 --drain-seconds 1").split(' '))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut lines =
            BufReader::new(child.stderr.take().expect("standard error is piped")).lines().map_while(Result::ok);
        let url = lines.by_ref().find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
        // A full pipe would stop the predictor.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: url.expect("the predictor says where it listens") }
    }
}

impl Predictor {
    /// Waits until it answers readers.
    pub async fn ready(&self, client: &Http) {
        let begun = Instant::now();
        while predict(client, &self.url, "ann", 2).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the predictor did not become ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks it to leave and waits until it has.
    pub fn terminate(&mut self) -> ExitStatus {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child has a process id");
        kill_process(id, Signal::TERM).expect("a child that was not waited for can be told");
        self.child.wait().expect("a child can be waited for")
    }
}

impl Drop for Predictor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that keeps its connections.
pub type Http = Client<HttpConnector, Full<Bytes>>;

/// A fresh [`Http`] client.
pub fn http() -> Http {
    Client::builder(TokioExecutor::new()).build_http()
}

/// The `k` books for a reader, as the predictor tells them under V1, or what went wrong.
pub async fn predict(client: &Http, url: &str, reader: &str, k: u32) -> Result<Value, String> {
    let body = format!("{{\"instances\":[{{\"user_id\":\"{reader}\",\"k\":{k}}}]}}");
    let mut answer = post(client, &format!("{url}/v1/models/recommender:predict"), body).await?;
    Ok(answer["predictions"][0].take())
}

/// What a predictor answers a body with, or what went wrong.
pub async fn post(client: &Http, url: &str, body: String) -> Result<Value, String> {
    let request = Request::post(url).body(Full::from(body)).expect("the predictor's address is a URL");
    let response = client.request(request).await.map_err(|error| format!("{error:?}"))?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    if !status.is_success() {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body)));
    }
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

/// [`open_loop`] of readers who ask one predictor for two books each, in a task of its own.
pub fn readers(
    client: &Http,
    predictor: &Predictor,
    rate: u64,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<Vec<(Result<Value, String>, Duration)>> {
    let (client, url, stop) = (client.clone(), predictor.url.clone(), Arc::clone(stop));
    tokio::spawn(open_loop(rate, stop, move |n| {
        let (client, url) = (client.clone(), url.clone());
        async move { predict(&client, &url, &format!("reader-{n}"), 2).await }
    }))
}

/// Asks at `rate` a second until told to stop, request `n` when it is due whatever the others take. What came of each, in
/// their order, with the time from when it was due.
pub async fn open_loop<T, F>(
    rate: u64,
    stop: Arc<AtomicBool>,
    ask: impl Fn(u64) -> F + Send,
) -> Vec<(Result<T, String>, Duration)>
where
    T: Send + 'static,
    F: Future<Output = Result<T, String>> + Send + 'static,
{
    let begun = Instant::now();
    let mut asked = Vec::new();
    for n in 0.. {
        let due = begun + Duration::from_micros(n * 1_000_000 / rate);
        tokio::time::sleep_until(due.into()).await;
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let answer = ask(n);
        asked.push(tokio::spawn(async move { (answer.await, due.elapsed()) }));
    }
    let mut answers = Vec::with_capacity(asked.len());
    for answer in asked {
        answers.push(answer.await.expect("a request does not panic"));
    }
    answers
}

/// The numbers of a predictor's metrics whose lines begin with `name`, added up.
pub async fn metric(client: &Http, url: &str, name: &str) -> f64 {
    let request = Request::get(format!("{url}/metrics")).body(Full::default());
    let response = client.request(request.expect("the predictor's address is a URL")).await.expect("metrics are there");
    let text = response.into_body().collect().await.expect("metrics are short").to_bytes();
    let text = String::from_utf8_lossy(&text).into_owned();
    let numbers = text.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit_once(' '));
    numbers.map(|(_, number)| number.parse::<f64>().expect("a metric is a number")).sum()
}

/// The real data sets, beside the project.
///
/// Panics when they are missing: a test that needs them says so and fails.
pub fn data(file: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(file);
    assert!(path.exists(), "this test needs the real data set {}, which is missing", path.display());
    path
}

/// A version of one file with a whole manifest, started by hand under the id `trigger`.
pub fn draft(name: ModelName, trigger: &str, model: Bytes) -> Draft {
    let data = DataLineage {
        source: "none".into(),
        sha256: String::new(),
        interactions: 0,
        readers: 0,
        books: 0,
        from: None,
        to: None,
    };
    let manifest = Manifest {
        format: 1,
        name,
        created_at: Timestamp::UNIX_EPOCH,
        algorithm: "none".into(),
        params: serde_json::json!({}),
        tuning: None,
        seed: 0,
        data,
        metrics: BTreeMap::new(),
        gate: "none".into(),
        code_revision: "test".into(),
        trigger: Trigger { kind: TriggerKind::Manual, id: trigger.into() },
        parent: None,
        profile: Value::Null,
        files: Vec::new(),
    };
    Draft { manifest, files: vec![(MODEL_FILE.into(), model)] }
}

/// Puts a model into production in a tenant's registry at `store`, as version 1.
pub async fn produce(store: &str, tenant: &str, artifact: &Artifact) {
    let root = Store::open(store).expect("the URL is a store").tenant(&tenant.parse().expect("this is a tenant"));
    let registry = Registry::open(root).await.expect("the store answers");
    let name: ModelName = "recommender".parse().expect("this is a name");
    let intent = Intent::new("test", "first", Timestamp::UNIX_EPOCH);
    let draft = draft(name.clone(), "first", format::encode(artifact));
    let version = registry.publish(draft, &intent).await.expect("a first version").version;
    let approved = Op::Approve { name: name.clone(), version };
    registry.commit(&intent, |_| Ok(vec![approved.clone()])).await.expect("it is there");
    registry.promote(&name, version, None, &intent).await.expect("it is approved");
}

/// Puts a model into production for the tenant `acme-books`, in a store below `folder`: the books by falling popularity, for
/// everyone. Gives the store's URL.
pub async fn popular(folder: &Path, books: &[&str]) -> String {
    let store = format!("file://{}/store", folder.display());
    let catalogue = Catalogue::new(books.iter().map(|id| Book::bare(id.parse().expect("this is an id"))));
    let popularity = (1..=books.len()).rev().map(|n| n as f32).collect();
    let artifact = Artifact::new(catalogue, popularity, Scorer::Popularity, Readers::new([]));
    produce(&store, "acme-books", &artifact.expect("the shapes agree")).await;
    store
}

/// What a writer noted, one event a line. A line that its death cut short is no event.
pub fn events(lines: &str) -> Vec<Event> {
    lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// How many commits a writer was told are done, repeats counted once.
pub fn acknowledged(events: &[Event]) -> u64 {
    let keys = events.iter().filter_map(|event| match &event.deed {
        Deed::Commit { key, answer: Answer::Done { .. }, .. } => Some(key.as_str()),
        _ => None,
    });
    keys.collect::<BTreeSet<_>>().len() as u64
}
