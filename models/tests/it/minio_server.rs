//! A real S3 server on a loopback port: MinIO over a folder of its own. Used by tests and benchmarks.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use models::Store;

/// A running server; it and its folder are gone with the value.
pub struct Server {
    child: Child,
    pub settings: BTreeMap<String, String>,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts the binary that `BOOKLOOP_TEST_MINIO` names and waits until it answers.
    pub async fn start() -> Self {
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

    /// A store below `prefix` of its one bucket.
    pub fn store(&self, prefix: &str) -> Store {
        Store::open_with(&format!("s3://bookloop/{prefix}"), &self.settings).unwrap()
    }
}
