//! Every contract against a real S3 server: MinIO on a loopback port, with a folder of its own.
//!
//! Not run by default: `BOOKLOOP_TEST_MINIO=/path/to/minio cargo test -p bookloop-models minio -- --ignored`.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use models::Store;

use crate::{registry_contract, store_contract, stream_contract};

/// A running server; it and its folder are gone with the value.
struct Server {
    child: Child,
    settings: BTreeMap<String, String>,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    async fn start() -> Self {
        let binary = std::env::var_os("BOOKLOOP_TEST_MINIO")
            .expect("BOOKLOOP_TEST_MINIO must be the path of a minio binary to run this test");
        let folder = tempfile::tempdir().unwrap();
        // On a single drive a bucket is a folder.
        std::fs::create_dir(folder.path().join("bookloop")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(binary)
            .args(["server", "--quiet", "--address", &format!("127.0.0.1:{port}")])
            .arg(folder.path())
            .envs([
                ("MINIO_ROOT_USER", "bookloop"),
                ("MINIO_ROOT_PASSWORD", "a-test-password"),
                ("MINIO_BROWSER", "off"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let settings = [
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
            ("AWS_ALLOW_HTTP", "true".into()),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_ACCESS_KEY_ID", "bookloop".into()),
            ("AWS_SECRET_ACCESS_KEY", "a-test-password".into()),
        ];
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let server = Self { child, settings, _folder: folder };
        for _ in 0..100 {
            if server.store("start").get("nothing").await.is_ok() {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("minio did not answer within its time");
    }

    fn store(&self, prefix: &str) -> Store {
        Store::open_with(&format!("s3://bookloop/{prefix}"), &self.settings).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs BOOKLOOP_TEST_MINIO"]
async fn minio_keeps_the_store_contract() {
    let server = Server::start().await;
    store_contract::contract(server.store("some/prefix")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs BOOKLOOP_TEST_MINIO"]
async fn minio_keeps_the_registry_contract() {
    let server = Server::start().await;
    registry_contract::contract(server.store("contract")).await;
    registry_contract::commits_survive(server.store("race"), 0).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs BOOKLOOP_TEST_MINIO"]
async fn minio_keeps_the_stream_contract() {
    let server = Server::start().await;
    stream_contract::files_contract(server.store("stream")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs BOOKLOOP_TEST_MINIO"]
async fn minio_refusals_are_told_from_absence() {
    let server = Server::start().await;
    let refusal = |error: models::store::Error| {
        assert!(matches!(error, models::store::Error::Denied { .. }), "{error}");
        let cause = std::error::Error::source(&error).unwrap();
        cause.to_string()
    };
    let missing = Store::open_with("s3://no-such-bucket", &server.settings).unwrap();
    assert!(refusal(missing.get("a").await.unwrap_err()).contains("NoSuchBucket"));
    assert!(refusal(missing.head("a").await.unwrap_err()).contains("NoSuchBucket"));
    assert!(refusal(missing.create("a", "x".into()).await.unwrap_err()).contains("NoSuchBucket"));
    assert!(refusal(missing.put("a", "x".into()).await.unwrap_err()).contains("NoSuchBucket"));
    assert!(refusal(missing.list("").await.unwrap_err()).contains("NoSuchBucket"));
    assert!(refusal(missing.delete("a").await.unwrap_err()).contains("NoSuchBucket"));
    let mut settings = server.settings.clone();
    settings.insert("AWS_SECRET_ACCESS_KEY".into(), "another-password".into());
    let stranger = Store::open_with("s3://bookloop", &settings).unwrap();
    assert!(refusal(stranger.get("a").await.unwrap_err()).contains("SignatureDoesNotMatch"));
    assert!(refusal(stranger.create("a", "x".into()).await.unwrap_err()).contains("SignatureDoesNotMatch"));
}
