//! Cold start of a large model: a fresh process opens a `file://` registry, loads a version and answers one reader.
//!
//! Prints seconds and memory of several such processes. Under `cargo test --benches` the model is small, so that the
//! whole path runs in a moment.

use std::{
    fmt::Write as _,
    process::{Command, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use models::{
    Artifact, Book, BookRow, Catalogue, Factors, ModelName, Objective, Query, Readers, Registry, Scorer, Scratch,
    Store, Version, digest, format,
    manifest::{DataLineage, MODEL_FILE, Manifest, Trigger, TriggerKind},
    registry::{Draft, Intent},
    store::key,
};
use ndarray::{Array1, Array2};

/// Fresh processes measured.
const RUNS: usize = 5;
/// Readers' histories have this many books.
const HISTORY: u32 = 8;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, url] = arguments.as_slice()
        && flag == "--cold-start"
    {
        println!("{}", cold_start(url));
        return ExitCode::SUCCESS;
    }
    let full = arguments.iter().any(|argument| argument == "--bench");
    let (n_books, n_readers, d, runs) = if full { (1_000_000, 1_000_000, 128, RUNS) } else { (2_000, 500, 8, 1) };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let url = format!("file://{}", folder.path().display());
    let model = model(n_books, n_readers, d);
    let bytes = publish(&url, &model);
    println!("{n_books} books x {d} factors, {n_readers} readers: {bytes} bytes");
    println!("  open s   load s answer s  total s   peak MiB   anon MiB   file MiB");
    for _ in 0..runs {
        let this = std::env::current_exe().expect("this program has a path");
        let child = Command::new(this).args(["--cold-start", &url]).output().expect("this program starts");
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        print!("{}", String::from_utf8_lossy(&child.stdout));
    }
    steps(&url, &model, runs);
    ExitCode::SUCCESS
}

/// What loading consists of, one step after the other: each a fresh mapping of the same file.
fn steps(url: &str, model: &Artifact, runs: usize) {
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let store = Store::open(url).expect("the folder is there");
    let registry = runtime.block_on(Registry::open(store.clone())).expect("the registry is there");
    let manifest = runtime.block_on(registry.manifest(&name(), Version::FIRST)).expect("the version was published");
    let blob = key::blob(&manifest.file(MODEL_FILE).expect("it was published with the model").sha256);
    let map = || runtime.block_on(store.map(&blob)).expect("the folder is there").expect("the blob is there");
    let without_factors = Artifact::new(
        model.catalogue().clone(),
        model.popularity().to_vec(),
        Scorer::Popularity,
        model.readers().clone(),
    );
    let without_factors = format::encode(&without_factors.expect("the same parts"));
    let steps: [(&str, &dyn Fn()); 4] = [
        ("map", &|| assert!(!map().is_empty())),
        ("sha256", &|| assert!(blob.ends_with(&digest::sha256(&map())))),
        ("decode all but factors", &|| drop(format::decode(&without_factors).expect("it was just written"))),
        ("decode all", &|| drop(format::decode(&map()).expect("its digest is right"))),
    ];
    for (step, run) in steps {
        print!("{step:<24}");
        for _ in 0..runs {
            let start = Instant::now();
            run();
            print!(" {:>7.3}", start.elapsed().as_secs_f64());
        }
        println!(" s");
    }
}

/// The steps from nothing to a first answer, timed; a line of the table.
fn cold_start(url: &str) -> String {
    let peak = PeakAnonymous::watch();
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let start = Instant::now();
    let registry = runtime.block_on(async { Registry::open(Store::open(url)?).await.map_err(Box::from) });
    let registry = registry.unwrap_or_else(|error: Box<dyn std::error::Error>| panic!("{error}"));
    let opened = Instant::now();
    let loaded = runtime.block_on(registry.load(&name(), Version::FIRST)).expect("the version was published");
    let held = Instant::now();
    let history = loaded.artifact.history_of(Some("r00000007"), &[]);
    let query = Query { history: &history.rows, k: 10, include_seen: false, exclude: &[] };
    let answer = loaded.artifact.recommend(query, &mut Scratch::default());
    let answered = Instant::now();
    assert_eq!((history.reader_known, answer.books.len()), (true, 10));
    assert!(answer.books.iter().all(|scored| scored.score > 0.0), "books like those read come first");
    let steps = [(start, opened), (opened, held), (held, answered), (start, answered)];
    let seconds = steps.map(|(from, to)| to.duration_since(from).as_secs_f64());
    let mut line = String::new();
    for value in seconds {
        write!(line, "{value:>8.3} ").expect("texts grow");
    }
    let memory = [status("VmHWM:"), peak.stop(), status("RssFile:")].map(|kib| kib / 1024);
    write!(line, "{:>10} {:>10} {:>10}", memory[0], memory[1], memory[2]).expect("texts grow");
    line
}

/// The largest private memory of this process, looked at every few milliseconds; the kernel keeps no such mark.
struct PeakAnonymous {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    watcher: std::thread::JoinHandle<()>,
}

impl PeakAnonymous {
    fn watch() -> Self {
        let (stop, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, highest) = (Arc::clone(&stop), Arc::clone(&peak));
        let watcher = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                highest.fetch_max(status("RssAnon:"), Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(4));
            }
        });
        Self { stop, peak, watcher }
    }

    /// KiB.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.watcher.join().expect("the watcher only reads");
        self.peak.load(Ordering::SeqCst).max(status("RssAnon:"))
    }
}

/// One line of `/proc/self/status`, in KiB; 0 where there is no such file.
fn status(line: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = text.lines().find_map(|found| found.strip_prefix(line)).unwrap_or_default();
    value.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

fn name() -> ModelName {
    "recommender".parse().expect("a fixed name")
}

/// A catalogue with titles, authors and subjects, and factors from a fixed hash.
fn model(n_books: u32, n_readers: u32, d: usize) -> Artifact {
    let books = (0..n_books).map(|row| {
        let mut book = Book::bare(format!("b{row:07}").parse().expect("an id"));
        book.title = Some(format!("The {} of book number {row}", ["return", "silence", "history"][row as usize % 3]));
        book.authors = vec![format!("Author {}", row / 7), format!("Translator {}", row % 911)];
        book.subjects = vec![format!("subject {}", row % 37)];
        book.language = Some(if row % 5 == 0 { "de" } else { "en" }.into());
        book.year = Some(1900 + (row % 120) as i32);
        book.available = row % 50 != 0;
        book
    });
    let popularity: Vec<f32> = (0..n_books).map(|row| hash(row.into()) * 1000.0).collect();
    let readers = (0..n_readers).map(|reader| {
        let book = |step: u32| BookRow((hash(u64::from(reader * HISTORY + step)) * n_books as f32) as u32 % n_books);
        (format!("r{reader:08}").parse().expect("an id"), (0..HISTORY).map(book).collect())
    });
    let factors = Array2::from_shape_fn((n_books as usize, d), |(row, k)| hash((row * d + k) as u64) - 0.5);
    let eigenvalues = Array1::from_elem(d, n_books as f32 / 12.0);
    let objective = Objective { unobserved_weight: 0.1, regularization: 0.003, frequency_exponent: 1.0 };
    let factors = Factors::new(factors, eigenvalues, objective).expect("finite factors");
    Artifact::new(Catalogue::new(books), popularity, Scorer::Factors(factors), Readers::new(readers))
        .expect("equal shapes")
}

/// A number in `[0, 1)` that looks random (Steele, Lea and Flood 2014).
fn hash(seed: u64) -> f32 {
    let z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1_u64 << 24) as f32
}

/// Registers the model as version 1 and says how many bytes it has.
fn publish(url: &str, artifact: &Artifact) -> usize {
    let data = DataLineage {
        source: "bench".into(),
        sha256: String::new(),
        interactions: 0,
        readers: artifact.readers().len() as u64,
        books: artifact.catalogue().len() as u64,
        from: None,
        to: None,
    };
    let manifest = Manifest {
        format: models::manifest::FORMAT,
        name: name(),
        created_at: Timestamp::UNIX_EPOCH,
        algorithm: "ials".into(),
        params: serde_json::json!({}),
        tuning: None,
        seed: 0,
        data,
        metrics: std::collections::BTreeMap::new(),
        gate: "none".into(),
        code_revision: "bench".into(),
        trigger: Trigger { kind: TriggerKind::Manual, id: "bench".into() },
        parent: None,
        profile: serde_json::Value::Null,
        files: Vec::new(),
    };
    let bytes = format::encode(artifact);
    let length = bytes.len();
    let draft = Draft { manifest, files: vec![(MODEL_FILE.into(), bytes)] };
    let intent = Intent::new("bench", "cold start", Timestamp::UNIX_EPOCH);
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let published = runtime.block_on(async {
        let registry = Registry::open(Store::open(url).expect("a folder opens")).await.expect("an empty registry");
        registry.publish(draft, &intent).await.expect("a folder takes a version")
    });
    assert_eq!(published.version, Version::FIRST);
    length
}
