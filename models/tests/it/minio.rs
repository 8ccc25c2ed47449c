//! Every contract against a real S3 server: MinIO on a loopback port, with a folder of its own.
//!
//! Not run by default: `BOOKLOOP_TEST_MINIO=/path/to/minio cargo test -p bookloop-models minio -- --ignored`.

use models::Store;

use crate::{minio_server::Server, registry_contract, store_contract, stream_contract};

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
