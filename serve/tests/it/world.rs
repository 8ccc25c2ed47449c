//! A small bookshop for tests: a store that can go away, models that say which version they are, a stream that records.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request},
};
use bytes::Bytes;
use jiff::Timestamp;
use models::{
    Alias, Artifact, Book, BookRow, Catalogue, Factors, ModelName, Neighbours, Objective, Readers, Registry, Scorer,
    Store, Version,
    manifest::{DataLineage, MODEL_FILE, Manifest, Trigger, TriggerKind},
    registry::{Draft, Intent, Op},
    split::Salt,
    store::{self, Backend, Created, Listed},
    stream::{self, Message, Producer},
};
use serde_json::Value;
use serve::{Clock, Fleet, Options, Service, Watcher};
use tower::ServiceExt;

pub(crate) fn name() -> ModelName {
    "recommender".parse().unwrap()
}

pub(crate) fn version(number: u32) -> Version {
    Version::try_from(number).unwrap()
}

/// When everything happens.
pub(crate) fn noon() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// Options with a clock that stands still at noon.
pub(crate) fn options() -> Options {
    let mut options = Options::new("acme-books".parse().unwrap(), name());
    options.clock = Clock::new(noon);
    options.poll_interval = Duration::from_millis(20);
    options.drain.delay = Duration::ZERO;
    options
}

/// Five books, their titles marked with `tag`. b1 leads to b2 (.5) and b3 (.25), b2 to b3 (.125); b4 is the most
/// popular, then b5. Ann has read b1.
pub(crate) fn artifact(tag: &str) -> Artifact {
    let rows = [1, 2, 2].map(BookRow).to_vec();
    let scorer = Neighbours::new(5, vec![0, 2, 3, 3, 3, 3], rows, vec![0.5, 0.25, 0.125]).unwrap();
    let readers = Readers::new([("ann".parse().unwrap(), vec![BookRow(0)])]);
    shop(tag, Scorer::Neighbours(scorer), readers)
}

/// A model whose products overflow for readers of b1, who are solved to 1 / 0.1, times 3e38. It knows no reader, so its
/// rehearsal passes.
pub(crate) fn overflowing() -> Artifact {
    let objective = Objective { unobserved_weight: 1e-30, regularization: 1e-30, frequency_exponent: 0.0 };
    let books = ndarray::arr2(&[[0.1], [3e38], [3e38], [3e38], [3e38]]);
    let factors = Factors::new(books, ndarray::Array1::from_elem(1, 1e-30), objective).unwrap();
    shop("overflowing", Scorer::Factors(factors), Readers::new([]))
}

fn shop(tag: &str, scorer: Scorer, readers: Readers) -> Artifact {
    let shelf = [("b1", "Emma"), ("b2", "Persuasion"), ("b3", "Middlemarch"), ("b4", "Dune"), ("b5", "Solaris")];
    let books = shelf.map(|(id, title)| {
        let mut book = Book::bare(id.parse().unwrap());
        book.title = Some(format!("{title}{tag}"));
        if id == "b2" {
            book.authors = vec!["Jane Austen".into()];
        }
        book
    });
    Artifact::new(Catalogue::new(books), vec![1.0, 2.0, 3.0, 9.0, 4.0], scorer, readers).unwrap()
}

/// A store in memory that can be told to be away.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    objects: Mutex<BTreeMap<String, Bytes>>,
    pub(crate) away: AtomicBool,
    /// Whether whoever reads a model file waits.
    pub(crate) holds_models: AtomicBool,
    /// Model files read.
    pub(crate) models_read: AtomicUsize,
}

impl Shelf {
    fn here(&self, operation: &'static str, key: &str) -> Result<(), store::Error> {
        if !self.away.load(Ordering::SeqCst) {
            return Ok(());
        }
        let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        Err(store::Error::Unavailable { operation, key: key.into(), source: source.into() })
    }

    /// Flips a byte of every model file that mentions `tag`.
    pub(crate) fn corrupt(&self, tag: &str) {
        let mut flipped = 0;
        for (key, bytes) in self.objects.lock().unwrap().iter_mut().filter(|(key, _)| key.contains("blobs/")) {
            if bytes.windows(tag.len()).any(|window| window == tag.as_bytes()) {
                let mut broken = bytes.to_vec();
                let last = broken.len() - 1;
                broken[last] ^= 1;
                *bytes = broken.into();
                flipped += 1;
                assert!(!key.is_empty());
            }
        }
        assert_eq!(flipped, 1, "one model file mentions {tag}");
    }
}

fn listed((key, bytes): (&String, &Bytes)) -> Listed {
    Listed { key: key.clone(), bytes: bytes.len() as u64, modified: Timestamp::UNIX_EPOCH }
}

#[async_trait]
impl Backend for Shelf {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, store::Error> {
        self.here("read", key)?;
        if key.contains("blobs/") {
            self.models_read.fetch_add(1, Ordering::SeqCst);
            while self.holds_models.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(self.objects.lock().unwrap().get(key).cloned())
    }
    async fn head(&self, key: &str) -> Result<Option<Listed>, store::Error> {
        self.here("look up", key)?;
        Ok(self.objects.lock().unwrap().get_key_value(key).map(listed))
    }
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, store::Error> {
        self.here("create", key)?;
        let mut objects = self.objects.lock().unwrap();
        if objects.contains_key(key) {
            return Ok(Created::Exists);
        }
        objects.insert(key.into(), bytes);
        Ok(Created::New)
    }
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), store::Error> {
        self.here("write", key)?;
        self.objects.lock().unwrap().insert(key.into(), bytes);
        Ok(())
    }
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, store::Error> {
        self.here("list", prefix)?;
        let objects = self.objects.lock().unwrap();
        Ok(objects.iter().filter(|(key, _)| key.starts_with(prefix)).map(listed).collect())
    }
    async fn delete(&self, key: &str) -> Result<(), store::Error> {
        self.here("delete", key)?;
        self.objects.lock().unwrap().remove(key);
        Ok(())
    }
}

/// A stream that keeps what it is sent, unless it is told to refuse or to keep everyone waiting.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) messages: Mutex<Vec<Message>>,
    pub(crate) refuses: AtomicBool,
    pub(crate) stalls: AtomicBool,
}

impl Recorder {
    /// The records of a topic, as JSON.
    pub(crate) fn records(&self, topic: &str) -> Vec<Value> {
        let messages = self.messages.lock().unwrap();
        let of_topic = messages.iter().filter(|message| message.topic.name() == topic);
        of_topic.map(|message| serde_json::from_slice(&message.payload).unwrap()).collect()
    }
}

#[async_trait]
impl Producer for Recorder {
    async fn send(&self, messages: Vec<Message>) -> Result<(), stream::Error> {
        while self.stalls.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if self.refuses.load(Ordering::SeqCst) {
            return Err(stream::Error::Setting { setting: "test", expected: "nothing", found: "refusal".into() });
        }
        self.messages.lock().unwrap().extend(messages);
        Ok(())
    }
}

/// A shelf as a store.
pub(crate) fn store(shelf: &Arc<Shelf>) -> Store {
    Store::over(Arc::clone(shelf) as Arc<dyn Backend>, "shelf://test")
}

/// A registry on a shelf.
pub(crate) struct World {
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) registry: Arc<Registry>,
}

pub(crate) fn intent(reason: &str) -> Intent {
    Intent::new("ana", reason, noon())
}

impl World {
    pub(crate) async fn new() -> Self {
        let shelf = Arc::new(Shelf::default());
        let registry = Arc::new(Registry::open(store(&shelf)).await.unwrap());
        Self { shelf, registry }
    }

    /// One tenant's registry on a shelf of several.
    pub(crate) async fn of(shelf: &Arc<Shelf>, tenant: &str) -> Self {
        let place = store(shelf).tenant(&tenant.parse().unwrap());
        Self { shelf: Arc::clone(shelf), registry: Arc::new(Registry::open(place).await.unwrap()) }
    }

    /// Registers a model, approves it and points `staging` at it.
    pub(crate) async fn stage(&self, artifact: &Artifact) -> Version {
        self.stage_as(&name(), artifact).await
    }

    /// The same under any name.
    pub(crate) async fn stage_as(&self, name: &ModelName, artifact: &Artifact) -> Version {
        let first_title = artifact.catalogue().book(BookRow(0)).title().unwrap().to_owned();
        let data = DataLineage {
            source: "memory".into(),
            sha256: String::new(),
            interactions: 1,
            readers: 1,
            books: 5,
            from: None,
            to: None,
        };
        let manifest = Manifest {
            format: 1,
            name: name.clone(),
            created_at: Timestamp::UNIX_EPOCH,
            algorithm: "test".into(),
            params: serde_json::json!({}),
            tuning: None,
            seed: 7,
            data,
            metrics: BTreeMap::new(),
            gate: "test".into(),
            code_revision: "test".into(),
            trigger: Trigger { kind: TriggerKind::Manual, id: first_title },
            parent: None,
            profile: Value::Null,
            files: Vec::new(),
        };
        let draft = Draft { manifest, files: vec![(MODEL_FILE.into(), models::format::encode(artifact))] };
        let version = self.registry.publish_staged(draft, &intent("nightly")).await.unwrap().version;
        self.commit(vec![Op::Approve { name: name.clone(), version }]).await;
        version
    }

    /// Puts a model under any name into production.
    pub(crate) async fn publish(&self, name: &str, artifact: &Artifact) -> Version {
        let name = name.parse().unwrap();
        let version = self.stage_as(&name, artifact).await;
        self.registry.promote(&name, version, None, &intent("good")).await.unwrap();
        version
    }

    pub(crate) async fn promote(&self, version: Version) {
        self.registry.promote(&name(), version, None, &intent("good")).await.unwrap();
    }

    /// Gives the staged version a share of readers, under the salt 00 01 .. 1f.
    pub(crate) async fn trial(&self, version: Version, weight_bp: u16) {
        self.trial_under(version, weight_bp, 0).await;
    }

    /// The same under another salt.
    pub(crate) async fn trial_under(&self, version: Version, weight_bp: u16, first_byte: u8) {
        let salt = Salt::new(std::array::from_fn(|i| first_byte.wrapping_add(i as u8)));
        self.commit(vec![Op::Canary { name: name(), version, weight_bp, salt }]).await;
    }

    pub(crate) async fn commit(&self, ops: Vec<Op>) {
        self.registry.commit(&intent("test"), |_| Ok(ops.clone())).await.unwrap();
    }

    pub(crate) fn alias(&self, alias: &Alias) -> Version {
        self.registry.state().models[&name()].aliases[alias]
    }
}

/// A service with a recorder behind it, its router, and nothing live yet.
pub(crate) struct Shop {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) service: Arc<Service>,
    pub(crate) router: Router,
    pub(crate) stream: Arc<Recorder>,
}

impl Shop {
    pub(crate) fn new(options: Options) -> Self {
        let stream = Arc::new(Recorder::default());
        let (fleet, service) = Fleet::of_one(options, Arc::clone(&stream) as Arc<dyn Producer>);
        Self { router: serve::rest(Arc::clone(&fleet)), fleet, service, stream }
    }

    /// Serving [`artifact`] as version 7.
    pub(crate) fn open() -> Self {
        let shop = Self::new(options());
        shop.service.install(version(7), Arc::new(artifact("")));
        shop
    }

    /// Following a registry, after the first look.
    pub(crate) async fn following(world: &World) -> (Self, Watcher) {
        let shop = Self::new(options());
        let mut watcher = Watcher::new(Arc::clone(&shop.service), Arc::clone(&world.registry));
        watcher.look().await;
        (shop, watcher)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        send(&self.router, Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Reply {
        send(&self.router, Request::post(path).body(body.into()).unwrap()).await
    }

    /// One reader's prediction through V1.
    pub(crate) async fn predict(&self, reader: &str, more: &str) -> Value {
        let body = format!(r#"{{"instances":[{{"user_id":"{reader}"{more}}}]}}"#);
        let reply = self.post("/v1/models/recommender:predict", body).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()["predictions"][0].clone()
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Reply {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    Reply { status: parts.status.as_u16(), headers: parts.headers, text }
}
