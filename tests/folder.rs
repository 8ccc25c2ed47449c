//! A version that leaves the registry for a folder and is served from there, as a cluster's storage does it: `bookloop
//! fetch`, then `bookloop serve --model-dir`.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use bookloop_tests::{Http, Predictor, bookloop, draft, http, post, run};
use http_body_util::Full;
use hyper::{Request, body::Bytes};
use jiff::Timestamp;
use models::{
    Artifact, Book, Catalogue, ModelName, Readers, Registry, Scorer, Store, format,
    registry::{Intent, Op},
    signature::SigningKey,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Books of a version: enough that its file is by far longer than its signature.
const BOOKS: usize = 500;
/// The signal of a file that is longer than it may be.
const SIGXFSZ: i32 = 25;

/// A store with versions 1 and 2 of acme-books/recommender, both signed, 2 in production; they order the books the other
/// way round.
struct Shop {
    folder: TempDir,
}

impl Shop {
    async fn open() -> Self {
        let shop = Self { folder: tempfile::tempdir().unwrap() };
        let key = SigningKey::from_secret(&[7; 32]);
        fs::write(shop.path("team.pub"), key.verifying_key().to_pem()).unwrap();
        fs::write(shop.path("other.pub"), SigningKey::from_secret(&[8; 32]).verifying_key().to_pem()).unwrap();
        let root = Store::open(&shop.store()).unwrap().tenant(&"acme-books".parse().unwrap());
        let registry = Registry::open(root).await.unwrap().signing(Some(key));
        let (name, intent) =
            ("recommender".parse::<ModelName>().unwrap(), Intent::new("test", "test", Timestamp::UNIX_EPOCH));
        for sign in [1.0, -1.0] {
            let books = Catalogue::new((0..BOOKS).map(|n| Book::bare(format!("b{n:03}").parse().unwrap())));
            let popularity = (0..BOOKS).map(|n| 1000.0 + sign * n as f32).collect();
            let artifact = Artifact::new(books, popularity, Scorer::Popularity, Readers::new([])).unwrap();
            let draft = draft(name.clone(), &format!("{sign}"), format::encode(&artifact));
            let version = registry.publish(draft, &intent).await.unwrap().version;
            let approved = Op::Approve { name: name.clone(), version };
            registry.commit(&intent, |_| Ok(vec![approved.clone()])).await.unwrap();
            registry.promote(&name, version, None, &intent).await.unwrap();
        }
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn store(&self) -> String {
        format!("file://{}/store", self.folder.path().display())
    }

    /// Exit code and what was said; STORE stands for the flag.
    fn run(&self, arguments: &str) -> (Option<i32>, String) {
        let output = run(self.folder.path(), &arguments.replace("STORE", &format!("--store {}", self.store())));
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!said.contains("panicked"), "{said}");
        (output.status.code(), said)
    }

    fn fetch(&self, which: &str, to: &str) {
        let (code, said) = self.run(&format!("fetch STORE bookloop://acme-books/recommender@{which} {to}"));
        assert_eq!(code, Some(0), "{said}");
    }

    /// Asks for something that must not be, and for the words that say why.
    #[track_caller]
    fn refuses(&self, arguments: &str, code: i32, says: &str) {
        let (got, said) = self.run(arguments);
        assert_eq!(got, Some(code), "{arguments}: {said}");
        assert!(said.contains(says), "{arguments}: expected {says:?} in {said}");
        assert!(!said.contains("listening"), "{arguments}: {said}");
    }

    /// A predictor of a folder.
    fn serve(&self, folder: &str) -> Predictor {
        Predictor::with(&format!("--model-dir {}", self.path(folder).display()))
    }

    /// Changes one byte of a file, and gives back what was there.
    fn damage(&self, file: &str) -> Vec<u8> {
        let sound = fs::read(self.path(file)).unwrap();
        let mut broken = sound.clone();
        let last = broken.len() - 1;
        broken[last] ^= 1;
        fs::write(self.path(file), broken).unwrap();
        sound
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const WHOLE: [&str; 4] = ["manifest.json", "model.safetensors", "model.sig", "origin.json"];

async fn ready(client: &Http, url: &str) {
    for _ in 0..200 {
        let probe = Request::get(format!("{url}/v2/health/ready")).body(Full::<Bytes>::default());
        if client.request(probe.unwrap()).await.is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{url} did not become ready in ten seconds");
}

/// Three books for two readers, as V1 and as V2.
async fn answers(client: &Http, url: &str) -> [Value; 2] {
    let v1 = json!({ "instances": [{ "user_id": "ann", "k": 3 }, { "user_id": "bob", "k": 3 }] });
    let v2 = json!({
        "id": "r-1",
        "inputs": [
            { "name": "user_id", "shape": [2], "datatype": "BYTES", "data": ["ann", "bob"] },
            { "name": "k", "shape": [1], "datatype": "INT32", "data": [3] },
        ],
    });
    let asked = |path: &str, body: Value| {
        let url = format!("{url}/{path}");
        async move { post(client, &url, body.to_string()).await.unwrap() }
    };
    [asked("v1/models/recommender:predict", v1).await, asked("v2/models/recommender/infer", v2).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_fetched_answers_as_the_registry_does() {
    let shop = Shop::open().await;
    let trust = format!("--trusted-key {} --require-signature", shop.path("team.pub").display());
    let (code, said) = shop.run(&format!("fetch STORE {trust} bookloop://acme-books/recommender@production in/here"));
    assert_eq!((code, said.trim()), (Some(0), "acme-books/recommender: version 2 is in in/here"));
    assert_eq!(names(&shop.path("in/here")), WHOLE);
    let registry = Predictor::start(&format!("--store {} --tenant acme-books", shop.store()));
    let mut folder = Predictor::with(&format!("--model-dir {} {trust}", shop.path("in/here").display()));
    let client = http();
    for predictor in [&registry, &folder] {
        ready(&client, &predictor.url).await;
    }
    let [expected, found] = [answers(&client, &registry.url).await, answers(&client, &folder.url).await];
    assert_eq!(found, expected);
    assert_eq!((&found[0]["predictions"][1]["model_version"], &found[1]["model_version"]), (&json!("2"), &json!("2")));
    assert!(tokio::task::block_in_place(|| folder.terminate()).success(), "told to leave, it drains and ends well");
}

/// What a cluster does with two revisions of one service and `canaryTrafficPercent: 10`: two pods, and a router that
/// knows no reader. Answers say which version gave them, so what is counted by version is counted right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_folders_behind_a_router_share_the_requests_and_each_names_its_own_version() {
    let shop = Shop::open().await;
    shop.fetch("1", "last");
    shop.fetch("2", "newest");
    let [last, newest] = ["last", "newest"].map(|folder| shop.serve(folder));
    let client = http();
    for predictor in [&last, &newest] {
        ready(&client, &predictor.url).await;
    }
    let mut met = [[0, 0], [0, 0]];
    for turn in 0..100 {
        let to_newest = turn % 10 == 9;
        let answers = answers(&client, if to_newest { &newest.url } else { &last.url }).await;
        let versions = [&answers[0]["predictions"][0]["model_version"], &answers[1]["model_version"]];
        let first =
            [&answers[0]["predictions"][0]["recommendations"][0]["book_id"], &answers[1]["outputs"][0]["data"][0]];
        let (version, book) = if to_newest { ("2", "b000") } else { ("1", "b499") };
        for protocol in 0..2 {
            assert_eq!((versions[protocol], first[protocol]), (&json!(version), &json!(book)), "{}", answers[protocol]);
            met[protocol][usize::from(to_newest)] += 1;
        }
    }
    assert_eq!(met, [[90, 10], [90, 10]]);
}

#[tokio::test]
async fn a_folder_that_is_not_what_was_registered_is_not_served() {
    let shop = Shop::open().await;
    shop.fetch("production", "here");
    let serve = "serve --http-port 0 --model-dir here";
    for (file, says) in [("model.safetensors", "corrupt model.safetensors"), ("manifest.json", "corrupt manifest.json")]
    {
        let sound = shop.damage(&format!("here/{file}"));
        shop.refuses(serve, 13, says);
        fs::write(shop.path("here").join(file), sound).unwrap();
    }
    let origin = fs::read_to_string(shop.path("here/origin.json")).unwrap();
    shop.fetch("1", "other");
    fs::copy(shop.path("other/origin.json"), shop.path("here/origin.json")).unwrap();
    shop.refuses(serve, 13, "origin.json: expected the manifest beside it");
    fs::write(shop.path("here/origin.json"), &origin).unwrap();
    shop.refuses(&format!("{serve} --model next-book"), 12, "expected model next-book, found recommender");
    shop.refuses(&format!("{serve} --model-version 1"), 12, "expected version 1, found 2");
    fs::remove_file(shop.path("here/origin.json")).unwrap();
    shop.refuses(serve, 12, "expected origin.json or --model-version, found neither");
    // A store, which may stand in the environment, is not asked.
    shop.refuses(&format!("{serve} STORE"), 12, "expected origin.json or --model-version, found neither");
    shop.refuses(&format!("{serve} --steer"), 2, "cannot be used with");
    shop.refuses(&format!("{serve} --model-version 2 --model-bytes 1KiB"), 2, "may take 1 KiB");

    let trust = "--require-signature --trusted-key";
    shop.refuses(&format!("{serve} {trust} other.pub"), 13, "which is not trusted");
    fs::remove_file(shop.path("here/model.sig")).unwrap();
    shop.refuses(&format!("{serve} {trust} team.pub"), 13, "not signed");
    fs::remove_file(shop.path("here/manifest.json")).unwrap();
    shop.refuses(serve, 12, "not found: manifest.json in here");
    shop.refuses("serve --http-port 0 --model-dir nowhere", 12, "not found: manifest.json in nowhere");
    shop.refuses("serve --http-port 0", 2, "--store");
}

#[tokio::test]
async fn a_fetch_may_be_repeated_and_follows_its_alias() {
    let shop = Shop::open().await;
    shop.fetch("previous", "here");
    let before = fs::metadata(shop.path("here/model.safetensors")).unwrap().modified().unwrap();
    let (code, said) = shop.run("fetch STORE bookloop://acme-books/recommender@1 here");
    assert_eq!((code, said.trim()), (Some(0), "acme-books/recommender: version 1 was in here"));
    assert_eq!(fs::metadata(shop.path("here/model.safetensors")).unwrap().modified().unwrap(), before);
    shop.damage("here/model.safetensors");
    shop.fetch("1", "here");
    shop.refuses("serve --http-port 0 --model-dir here --model-version 2", 12, "found 1");
    // The alias has moved between two starts of a pod whose volume stayed.
    shop.fetch("production", "here");
    assert_eq!(names(&shop.path("here")), WHOLE);
    shop.refuses("serve --http-port 0 --model-dir here --model-version 1", 12, "found 2");
}

#[tokio::test]
async fn what_cannot_be_fetched_leaves_no_folder() {
    let shop = Shop::open().await;
    let fetch = "fetch STORE bookloop://acme-books/recommender";
    for (arguments, code, says) in [
        (format!("{fetch}@staging to"), 12, "alias staging of acme-books/recommender points at no version"),
        (format!("{fetch}@9 to"), 12, "the highest is 2"),
        (format!("{fetch}@latest to"), 2, "alias"),
        (format!("{fetch} to"), 2, "expected bookloop://TENANT/MODEL@ALIAS"),
        (format!("{fetch}@1"), 2, "expected a folder after each source"),
        ("fetch STORE bookloop://acme-books/nobody@1 to".into(), 12, "nobody"),
        ("fetch bookloop://acme-books/recommender@1 to".into(), 2, "--store"),
        (format!("{fetch}@1 to --trusted-key other.pub"), 13, "which is not trusted"),
    ] {
        shop.refuses(&arguments, code, says);
        assert!(!shop.path("to").exists(), "{arguments}");
    }
    fs::create_dir(shop.path("theirs")).unwrap();
    fs::write(shop.path("theirs/notes.txt"), "mine").unwrap();
    shop.refuses(&format!("{fetch}@1 theirs"), 12, "expected an empty folder or a version, found notes.txt");
    assert_eq!(names(&shop.path("theirs")), ["notes.txt"]);
    let blob =
        walked(&shop.path("store")).into_iter().find(|path| path.components().any(|part| part.as_os_str() == "blobs"));
    let blob = blob.unwrap().strip_prefix(shop.folder.path()).unwrap().to_str().unwrap().to_owned();
    shop.damage(&blob);
    let damaged = ["1", "2"].map(|version| shop.run(&format!("{fetch}@{version} to{version}")).0);
    assert!([[Some(0), Some(13)], [Some(13), Some(0)]].contains(&damaged), "one of two files is damaged: {damaged:?}");
}

fn walked(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walked(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_fetch_that_is_killed_between_two_files_leaves_nothing_to_serve() {
    let shop = Shop::open().await;
    fs::create_dir(shop.path("mounted")).unwrap();
    for to in ["new", "mounted"] {
        // The signature fits into 4 KiB and the model does not: the system ends the process in the middle.
        let killed = Command::new("sh")
            .args(["-c", "ulimit -c 0; ulimit -f 8; exec \"$0\" \"$@\""])
            .arg(bookloop().get_program())
            .args(["fetch", "--store", &shop.store(), "bookloop://acme-books/recommender@2", to])
            .current_dir(shop.folder.path())
            .output()
            .unwrap();
        assert_eq!(killed.status.signal(), Some(SIGXFSZ), "{killed:?}");
        let left = if to == "new" { ".new.bookloop-fetch/files" } else { "mounted/.bookloop-fetch/files" };
        assert_eq!(names(&shop.path(left)), ["model.safetensors", "model.sig"]);
        shop.refuses(&format!("serve --http-port 0 --model-dir {to}"), 12, "not found: manifest.json");
    }
    assert!(!shop.path("new").exists());
    assert_eq!(names(&shop.path("mounted")), [".bookloop-fetch"]);
    for to in ["new", "mounted"] {
        shop.fetch("2", to);
        assert_eq!(names(&shop.path(to)), WHOLE);
    }
    assert!(!names(shop.folder.path()).iter().any(|name| name.starts_with('.')), "nothing is left beside them");
}
