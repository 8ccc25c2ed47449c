//! What every store promises, run against folders and memory here and against a real S3 server in `minio.rs`.

use bytes::Bytes;
use futures::{StreamExt, future::join_all, stream};
use jiff::{SignedDuration, Timestamp};
use models::{
    Store,
    store::{Created, Error, IN_PARTS_ABOVE, key},
};

fn on_disk(folder: &tempfile::TempDir) -> Store {
    Store::open(&format!("file://{}", folder.path().display())).unwrap()
}

/// Every promise, on a store that holds nothing yet.
pub async fn contract(store: Store) {
    one_object_lives_and_dies(&store).await;
    listings_are_complete_and_in_order(&store).await;
    names_are_kept_exactly_or_refused(&store).await;
    large_objects_are_kept_exactly(&store).await;
    of_many_creates_one_wins(&store).await;
    store.probe().await.unwrap();
    assert!(store.list("probe").await.unwrap().is_empty(), "the probe leaves nothing");
}

async fn keys(store: &Store, prefix: &str) -> Vec<String> {
    store.list(prefix).await.unwrap().into_iter().map(|object| object.key).collect()
}

async fn one_object_lives_and_dies(store: &Store) {
    let began = Timestamp::now();
    assert_eq!(store.get("life/a").await.unwrap(), None);
    assert_eq!(store.head("life/a").await.unwrap(), None);
    assert_eq!(store.create("life/a", "one".into()).await.unwrap(), Created::New);
    assert_eq!(store.create("life/a", "other".into()).await.unwrap(), Created::Exists);
    assert_eq!(store.get("life/a").await.unwrap(), Some("one".into()), "a refused create changes nothing");
    let head = store.head("life/a").await.unwrap().unwrap();
    assert_eq!((head.key.as_str(), head.bytes), ("life/a", 3));
    // Two clocks and whole seconds lie between the two dates.
    let minute = SignedDuration::from_mins(1);
    assert!(head.modified > began - minute && head.modified < began + minute, "{} {began}", head.modified);
    let listed = store.list("life").await.unwrap();
    assert_eq!((listed.len(), listed[0].key.as_str(), listed[0].bytes), (1, "life/a", 3));
    assert!(listed[0].modified.duration_since(head.modified).abs() <= SignedDuration::from_secs(1));

    store.put("life/a", "longer".into()).await.unwrap();
    assert_eq!(store.get("life/a").await.unwrap(), Some("longer".into()));
    assert_eq!(store.head("life/a").await.unwrap().unwrap().bytes, 6);
    store.put("life/empty", Bytes::new()).await.unwrap();
    assert_eq!(store.get("life/empty").await.unwrap(), Some(Bytes::new()));
    assert_eq!(store.head("life/empty").await.unwrap().unwrap().bytes, 0);
    assert_eq!(store.create("life/empty", "x".into()).await.unwrap(), Created::Exists, "empty is not absent");
    assert_eq!(store.head("life").await.unwrap(), None, "a folder is no object");

    for object in ["life/a", "life/empty", "life/a", "life/never"] {
        store.delete(object).await.unwrap();
    }
    assert_eq!(store.get("life/a").await.unwrap(), None);
    assert!(keys(store, "life").await.is_empty());
    assert_eq!(store.create("life/a", "again".into()).await.unwrap(), Created::New);
    store.delete("life/a").await.unwrap();
}

async fn listings_are_complete_and_in_order(store: &Store) {
    for object in ["order/b", "order/a/2", "order/a.b", "order/a/10", "order/ab", "order/B"] {
        store.put(object, "x".into()).await.unwrap();
    }
    let bytewise = ["order/B", "order/a.b", "order/a/10", "order/a/2", "order/ab", "order/b"];
    assert_eq!(keys(store, "order").await, bytewise);
    assert_eq!(keys(store, "order/").await, bytewise);
    assert_eq!(keys(store, "order/a").await, ["order/a/10", "order/a/2"], "a folder, not a beginning");
    assert!(keys(store, "order/none").await.is_empty());
    let folder = store.folder("order").folder("a");
    assert_eq!(keys(&folder, "").await, ["10", "2"]);
    assert_eq!(folder.head("2").await.unwrap().unwrap().key, "2");

    for object in ["folders/b/x/1", "folders/a/1", "folders/a-b/1", "folders/a/2", "folders/file"] {
        store.put(object, "x".into()).await.unwrap();
    }
    assert_eq!(store.folder("folders").folders().await.unwrap(), ["a", "a-b", "b"], "folders alone, each once");
    assert!(store.folder("folders").folder("b").folder("x").folders().await.unwrap().is_empty());

    // More than one page of 1,000.
    let many: Vec<String> = (0..1005).map(|n| format!("pages/{n:020}")).collect();
    stream::iter(&many).for_each_concurrent(50, async |object| store.put(object, "x".into()).await.unwrap()).await;
    assert_eq!(keys(store, "pages").await, many);
}

async fn names_are_kept_exactly_or_refused(store: &Store) {
    let part = "p".repeat(key::MAX_PART_BYTES);
    let long = [part.as_str(), &part, &part, &part, &"q".repeat(96)].join("/");
    assert_eq!(long.len(), key::MAX_KEY_BYTES);
    let odd = ["my books 2026.csv", "date=2026-03-01/a+b@c,d(1)_e.ndjson", "-dash/.hidden", &part, &long];
    for name in odd {
        let name = format!("names/{name}");
        let name = if name.len() > key::MAX_KEY_BYTES { long.clone() } else { name };
        assert_eq!(store.create(&name, name.clone().into()).await.unwrap(), Created::New, "{name}");
        assert_eq!(store.get(&name).await.unwrap(), Some(name.clone().into()));
        assert_eq!(store.head(&name).await.unwrap().unwrap().key, name);
        let folder = name.rsplit_once('/').unwrap().0;
        assert!(keys(store, folder).await.contains(&name), "{name}");
        store.delete(&name).await.unwrap();
        assert_eq!(store.get(&name).await.unwrap(), None);
    }
    let over = format!("{long}q");
    let wide = format!("{part}p");
    let control = "a\nb";
    let hostile = [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "../a",
        "a/../b",
        "a/./b",
        "a.",
        "a./b",
        "a%2Fb",
        "%2e%2e/a",
        "a#1",
        "a?b",
        "a\\b",
        "a*",
        "a:b",
        "caf\u{e9}",
        "\u{4e66}",
        " a",
        "a ",
        "a\0",
        control,
        &wide,
        &over,
    ];
    for name in hostile {
        let refused = |error: Error| {
            assert!(matches!(error, Error::BadKey { .. }), "{name:?}: {error}");
            assert!(error.to_string().contains("parts of 1 to 200 joined by /"), "the rule is named: {error}");
        };
        refused(store.create(name, "x".into()).await.unwrap_err());
        refused(store.put(name, "x".into()).await.unwrap_err());
        refused(store.get(name).await.unwrap_err());
        refused(store.head(name).await.unwrap_err());
        refused(store.delete(name).await.unwrap_err());
        if !["", "/", "a/"].contains(&name) {
            refused(store.list(name).await.unwrap_err());
        }
    }
    assert!(keys(store, "names").await.is_empty());
}

async fn large_objects_are_kept_exactly(store: &Store) {
    // Each MiB differs, so that parts in the wrong order are seen.
    let bytes: Bytes = (0..=IN_PARTS_ABOVE).map(|at| (at >> 20) as u8).collect();
    store.put("large/put", bytes.clone()).await.unwrap();
    assert!(store.get("large/put").await.unwrap().unwrap() == bytes, "put in parts");
    assert_eq!(store.create("large/create", bytes.clone()).await.unwrap(), Created::New);
    assert_eq!(store.create("large/create", bytes.slice(1..)).await.unwrap(), Created::Exists);
    assert!(store.get("large/create").await.unwrap().unwrap() == bytes, "created in one request");
    assert_eq!(store.head("large/create").await.unwrap().unwrap().bytes, bytes.len() as u64);
    store.delete("large/put").await.unwrap();
    store.delete("large/create").await.unwrap();
}

async fn of_many_creates_one_wins(store: &Store) {
    let writers = (0..1000).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move { store.create("race/one", format!("writer {writer}").into()).await.unwrap() })
    });
    let results = join_all(writers).await;
    let winners: Vec<usize> = (0..1000).filter(|writer| matches!(results[*writer], Ok(Created::New))).collect();
    assert_eq!(winners.len(), 1, "exactly one was told that it won");
    let kept = store.get("race/one").await.unwrap().unwrap();
    assert_eq!(kept, format!("writer {}", winners[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    contract(on_disk(&folder)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    contract(Store::open("memory://store-contract/prefix").unwrap()).await;
    // The URL's prefix is in front of every key, also below a backend that wraps this one.
    let whole = Store::open("memory://store-contract").unwrap();
    let part = Store::open("memory://store-contract/prefix").unwrap();
    part.put("a/b", "x".into()).await.unwrap();
    Store::over(part.backend(), "wrapped").put("a/c", "x".into()).await.unwrap();
    assert_eq!(keys(&whole, "prefix/a").await, ["prefix/a/b", "prefix/a/c"]);
    assert_eq!(keys(&part, "a").await, ["a/b", "a/c"]);
}

#[test]
fn a_url_that_cannot_be_a_store_is_refused_with_what_would_do() {
    let settings = std::collections::BTreeMap::from([
        ("AWS_ENDPOINT_URL".to_owned(), "http://127.0.0.1:9".to_owned()),
        ("GOOGLE_BASE_URL".to_owned(), "127.0.0.1:9".to_owned()),
    ]);
    let wrong = [
        ("books", "a URL of scheme file, memory, s3, gs or az"),
        ("ftp://books", "s3, gs or az, found ftp"),
        ("http://dav/books", "WebDAV cannot create an object only if there is none"),
        ("https://dav/books", "two writers would overwrite each other"),
        ("file://host/books", "an absolute folder"),
        ("memory:///x", "a name, as in memory://demo"),
        ("s3://Bücher/x", "for a bucket, as in s3://bucket/prefix"),
        ("s3:///x", "for a bucket"),
        ("s3://bucket:9000/x", "for a bucket"),
        ("s3://bucket/a%2Fb", "a prefix of at most 120 bytes"),
        ("gs://bucket/x?y=1", "no ? and no #"),
        ("file:///tmp/a#b", "no ? and no #"),
        ("s3://bucket/x", "settings are missing or wrong: AWS_ENDPOINT_URL: expected https, or AWS_ALLOW_HTTP=true"),
        ("gs://bucket/x", "GOOGLE_BASE_URL: expected a URL as in https://host:port, found \"127.0.0.1:9\""),
        ("az://container/x", "Account must be specified"),
    ];
    for (url, expected) in wrong {
        let error = Store::open_with(url, &settings).unwrap_err();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        let message = format!("{error}{cause}");
        assert!(message.contains(expected), "{url}: {message}");
    }
    let secret = Store::open_with("s3://user:hunter2@bucket/x", &settings).unwrap_err().to_string();
    assert!(secret.contains("credentials come by the environment") && !secret.contains("hunter2"), "{secret}");
}
