//! What each cloud's answers mean here, from replies in the shapes that S3, Google and Azure send.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use models::{
    Store,
    store::{Created, Error, Listed},
};

use crate::stub::{Asked, Reply, Stub};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Cloud {
    S3,
    Google,
    Azure,
}

use Cloud::{Azure, Google, S3};

const DATE: &str = "Sun, 01 Mar 2026 02:00:00 GMT";

fn open(cloud: Cloud, endpoint: &str, more: &[(&str, &str)]) -> Store {
    let (url, settings): (_, &[(&str, &str)]) = match cloud {
        S3 => (
            "s3://shop/books",
            &[
                ("AWS_ENDPOINT_URL", endpoint),
                ("AWS_ALLOW_HTTP", "true"),
                ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
                ("AWS_SECRET_ACCESS_KEY", "secret"),
                ("AWS_SESSION_TOKEN", ""),
            ],
        ),
        Google => (
            "gs://shop/books",
            &[("GOOGLE_BASE_URL", endpoint), ("GOOGLE_ALLOW_HTTP", "true"), ("GOOGLE_BEARER_TOKEN", "token")],
        ),
        Azure => (
            "az://shop/books",
            &[
                ("AZURE_STORAGE_ENDPOINT", endpoint),
                ("AZURE_ALLOW_HTTP", "true"),
                ("AZURE_STORAGE_ACCOUNT_NAME", "acme"),
                ("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0"),
            ],
        ),
    };
    let settings: BTreeMap<String, String> =
        settings.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Store::open_with(url, &settings).unwrap()
}

/// An error in the cloud's own shape.
fn error(cloud: Cloud, status: u16, code: &str) -> Reply {
    let message = format!("What {code} means.");
    match cloud {
        S3 => Reply::new(
            status,
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
                 <RequestId>4442587FB7D0A2F9</RequestId><HostId>a1b2</HostId></Error>"
            ),
        )
        .header("content-type", "application/xml"),
        Google => Reply::new(
            status,
            format!(
                "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
            ),
        )
        .header("content-type", "application/xml; charset=UTF-8"),
        Azure => Reply::new(
            status,
            format!(
                "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}\n\
                 RequestId:0e4c1c1e-801e-0000-0000-000000000000\nTime:2026-03-01T02:00:00.0000000Z</Message></Error>"
            ),
        )
        .header("x-ms-error-code", code)
        .header("content-type", "application/xml"),
    }
}

fn is_list(asked: &Asked) -> bool {
    asked.target.contains("list-type=2") || asked.target.contains("comp=list")
}

/// What the cloud answers when all is well and one object, `books/log/1.json` with `hello`, is there.
fn well(cloud: Cloud, asked: &Asked) -> Reply {
    if is_list(asked) {
        return Reply::new(200, listing(cloud));
    }
    let dated = |reply: Reply| reply.header("etag", "\"5d41402a\"").header("last-modified", DATE);
    match asked.method.as_str() {
        "GET" | "HEAD" => dated(Reply::new(200, "hello")),
        "PUT" => dated(Reply::new(if cloud == Azure { 201 } else { 200 }, "")),
        "DELETE" => Reply::new(204, ""),
        _ => batch("202 Accepted", ""),
    }
}

fn listing(cloud: Cloud) -> String {
    if cloud == Azure {
        return "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://acme.blob.\
                core.windows.net/\" ContainerName=\"shop\"><Prefix>books/log/</Prefix><Blobs><Blob><Name>books/log/1.json\
                </Name><Properties><Creation-Time>Sun, 01 Mar 2026 02:00:00 GMT</Creation-Time><Last-Modified>Sun, 01 Mar \
                2026 02:00:00 GMT</Last-Modified><Etag>0x8D4BCC2E4835CD0</Etag><Content-Length>5</Content-Length>\
                <Content-Type>application/octet-stream</Content-Type><BlobType>BlockBlob</BlobType></Properties></Blob>\
                </Blobs><NextMarker /></EnumerationResults>"
            .into();
    }
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
     <Name>shop</Name><Prefix>books/log/</Prefix><KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false\
     </IsTruncated><Contents><Key>books/log/1.json</Key><LastModified>2026-03-01T02:00:00.000Z</LastModified>\
     <ETag>&quot;5d41402a&quot;</ETag><Size>5</Size><StorageClass>STANDARD</StorageClass></Contents></ListBucketResult>"
        .into()
}

/// Azure's answer to a batch of one delete.
fn batch(status: &str, code: &str) -> Reply {
    let code = if code.is_empty() { String::new() } else { format!("x-ms-error-code: {code}\r\n") };
    let boundary = "batchresponse_66925647-d0cb-4109-b6d3-28efe3e1e5ed";
    let part = "Content-Type: application/http\r\nContent-ID: 0";
    Reply::new(
        202,
        format!("--{boundary}\r\n{part}\r\n\r\nHTTP/1.1 {status}\r\n{code}x-ms-version: 2021-06-08\r\n\r\n--{boundary}--\r\n"),
    )
    .header("content-type", format!("multipart/mixed; boundary={boundary}"))
}

const KEY: &str = "log/1.json";

fn described(object: &Listed) -> String {
    format!("{} {} {}", object.key, object.bytes, object.modified)
}

/// One operation's outcome in a word.
async fn outcome(store: &Store, operation: &str) -> String {
    let word = |error: Error| match error {
        Error::Denied { .. } => "denied".to_owned(),
        Error::Unavailable { .. } => "unavailable".to_owned(),
        other => panic!("{other}"),
    };
    match operation {
        "get" => match store.get(KEY).await {
            Ok(Some(bytes)) => String::from_utf8(bytes.to_vec()).unwrap(),
            Ok(None) => "none".into(),
            Err(error) => word(error),
        },
        "head" => match store.head(KEY).await {
            Ok(Some(object)) => described(&object),
            Ok(None) => "none".into(),
            Err(error) => word(error),
        },
        "create" => match store.create(KEY, "hello".into()).await {
            Ok(Created::New) => "new".into(),
            Ok(Created::Exists) => "exists".into(),
            Err(error) => word(error),
        },
        "put" => store.put(KEY, "hello".into()).await.map_or_else(word, |()| "done".into()),
        "list" => match store.list("log").await {
            Ok(objects) => objects.iter().map(described).collect::<Vec<_>>().join(", "),
            Err(error) => word(error),
        },
        "delete" => store.delete(KEY).await.map_or_else(word, |()| "done".into()),
        other => panic!("{other} is no operation"),
    }
}

const OPERATIONS: [&str; 6] = ["get", "head", "create", "put", "list", "delete"];

/// Runs every operation against one reply, each on a server of its own: the outcome and how often the server was asked.
async fn outcomes(cloud: Cloud, reply: Reply) -> Vec<(String, usize)> {
    join_all(OPERATIONS.map(|operation| {
        let reply = reply.clone();
        async move {
            let stub = Stub::answering(move |_| reply.clone()).await;
            let word = outcome(&open(cloud, &stub.url, &[]), operation).await;
            (word, stub.asked().len())
        }
    }))
    .await
}

/// `want` has a word for each of get, head, create, put, list and delete; `-` where the service never says this.
async fn table(cloud: Cloud, rows: &[(u16, &str, &str)]) {
    let checks = rows.iter().map(|&(status, code, want)| async move {
        let got = outcomes(cloud, error(cloud, status, code)).await;
        for ((operation, want), (got, _)) in OPERATIONS.iter().zip(want.split(' ')).zip(&got) {
            assert!(want == "-" || want == got, "{cloud:?} {status} {code}: {operation} was {got}, expected {want}");
        }
    });
    join_all(checks).await;
}

const DENIED: &str = "denied denied denied denied denied denied";
const AWAY: &str = "unavailable unavailable unavailable unavailable unavailable unavailable";

#[tokio::test(flavor = "multi_thread")]
async fn what_s3_answers_is_understood() {
    table(
        S3,
        &[
            (404, "NoSuchKey", "none none - - - done"),
            (404, "NoSuchBucket", DENIED),
            (403, "AccessDenied", DENIED),
            (403, "SignatureDoesNotMatch", DENIED),
            (400, "ExpiredToken", DENIED),
            (400, "EntityTooLarge", "- - denied denied - -"),
            (301, "PermanentRedirect", DENIED),
            (501, "NotImplemented", DENIED),
            (409, "ConditionalRequestConflict", "- - exists unavailable - unavailable"),
            (412, "PreconditionFailed", "- - exists unavailable - unavailable"),
            (304, "NotModified", "- - exists - - -"),
            // HEAD has no body to time out.
            (400, "RequestTimeout", "unavailable - unavailable unavailable unavailable unavailable"),
            (400, "BadDigest", "- - unavailable unavailable - -"),
            (429, "TooManyRequests", AWAY),
            (500, "InternalError", AWAY),
            (503, "SlowDown", AWAY),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_google_answers_is_understood() {
    table(
        Google,
        &[
            (404, "NoSuchKey", "none none - - - done"),
            (404, "NoSuchBucket", DENIED),
            (401, "AuthenticationRequired", DENIED),
            (403, "AccessDenied", DENIED),
            (400, "InvalidArgument", DENIED),
            (412, "PreconditionFailed", "- - exists unavailable - unavailable"),
            (429, "SlowDown", AWAY),
            (500, "InternalError", AWAY),
            (503, "ServiceUnavailable", AWAY),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_azure_answers_is_understood() {
    table(
        Azure,
        &[
            (404, "BlobNotFound", "none none - - - -"),
            (404, "ContainerNotFound", DENIED),
            (403, "AuthenticationFailed", DENIED),
            (403, "AuthorizationPermissionMismatch", DENIED),
            (400, "Md5Mismatch", "- - unavailable unavailable - -"),
            (409, "BlobAlreadyExists", "- - exists - - -"),
            (412, "ConditionNotMet", "- - exists unavailable - -"),
            (429, "TooManyRequests", AWAY),
            (500, "InternalError", AWAY),
            (503, "ServerBusy", AWAY),
        ],
    )
    .await;
    // A delete travels in a batch, which succeeds as a whole while its part may not.
    let parts = [
        ("404 The specified blob does not exist.", "BlobNotFound", "done"),
        ("403 This request is not authorized.", "AuthorizationPermissionMismatch", "denied"),
        ("503 The server is busy.", "ServerBusy", "unavailable"),
    ];
    for (status, code, want) in parts {
        let stub = Stub::answering(move |_| batch(status, code)).await;
        assert_eq!(outcome(&open(Azure, &stub.url, &[]), "delete").await, want, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_are_conditional_and_nothing_else_is() {
    for (cloud, header, value) in
        [(S3, "if-none-match", "*"), (Google, "x-goog-if-generation-match", "0"), (Azure, "if-none-match", "*")]
    {
        for operation in OPERATIONS {
            let stub = Stub::answering(move |asked| well(cloud, asked)).await;
            let got = outcome(&open(cloud, &stub.url, &[]), operation).await;
            let want = match operation {
                "get" => "hello",
                "create" => "new",
                "put" | "delete" => "done",
                _ => "log/1.json 5 2026-03-01T02:00:00Z",
            };
            assert_eq!(got, want, "{cloud:?} {operation}");
            let asked = stub.asked();
            assert_eq!(asked.len(), 1, "{cloud:?} {operation}: one request, {asked:?}");
            let condition = asked[0].headers.get(header).map(|value| value.to_str().unwrap());
            assert_eq!(condition, (operation == "create").then_some(value), "{cloud:?} {operation}");
            assert!(asked[0].target.starts_with("/shop"), "the bucket is in the path: {}", asked[0].target);
            if operation == "list" {
                assert!(asked[0].target.contains("books%2Flog%2F"), "only the folder: {}", asked[0].target);
            }
            if cloud == S3 && ["create", "put"].contains(&operation) {
                // echo -n hello | sha256sum | xxd -r -p | base64
                let sum = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
                assert_eq!(asked[0].headers["x-amz-checksum-sha256"], sum);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_store_is_asked_seven_times_and_a_refusing_one_once() {
    let rows = [(503, "SlowDown", [7; 6]), (403, "AccessDenied", [1; 6]), (501, "NotImplemented", [1; 6])];
    for (status, code, want) in rows {
        let asked: Vec<usize> = outcomes(S3, error(S3, status, code)).await.into_iter().map(|(_, n)| n).collect();
        assert_eq!(asked, want, "{status} {code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_unavailable_and_a_doubtful_create_is_not_repeated() {
    let silent = |_: &Asked| Reply { after: Duration::from_mins(1), ..Reply::new(200, "") };
    let checks = [(S3, "AWS_READ_TIMEOUT"), (Google, "GOOGLE_READ_TIMEOUT"), (Azure, "AZURE_READ_TIMEOUT")]
        .into_iter()
        .flat_map(|(cloud, setting)| OPERATIONS.map(|operation| (cloud, setting, operation)))
        .map(|(cloud, setting, operation)| async move {
            let stub = Stub::answering(silent).await;
            let store = open(cloud, &stub.url, &[(setting, "200ms")]);
            assert_eq!(outcome(&store, operation).await, "unavailable", "{cloud:?} {operation}");
            if operation == "create" {
                assert!(stub.asked().len() <= 1, "{cloud:?}: whether it landed is for the caller to read back");
            }
        });
    join_all(checks).await;
    // Nobody listens at all.
    let closed = Stub::answering(silent).await.url.replace("127.0.0.1", "127.0.0.2");
    assert_eq!(outcome(&open(S3, &closed, &[]), "get").await, "unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_is_given_more_time_than_a_small_one() {
    for cloud in [S3, Google, Azure] {
        // Slower than the silence that is allowed; a MiB more than 1 MiB is given a second more than the usual 20.
        let slow = move |asked: &Asked| Reply { after: Duration::from_millis(600), ..well(cloud, asked) };
        let stub = Stub::answering(slow).await;
        let short = [("AWS_READ_TIMEOUT", "200ms"), ("GOOGLE_READ_TIMEOUT", "200ms"), ("AZURE_READ_TIMEOUT", "200ms")];
        let store = open(cloud, &stub.url, &short);
        assert!(store.create(KEY, "small".into()).await.is_err(), "{cloud:?}");
        let large = vec![0; 2 << 20];
        assert_eq!(store.create(KEY, large.into()).await.unwrap(), Created::New, "{cloud:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_ends_early_is_not_an_object() {
    let short = |_: &Asked| {
        Reply::new(200, "hel").header("content-length", "5").header("etag", "\"5d\"").header("last-modified", DATE)
    };
    for cloud in [S3, Google, Azure] {
        let stub = Stub::answering(short).await;
        assert_eq!(outcome(&open(cloud, &stub.url, &[]), "get").await, "unavailable", "{cloud:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_in_the_services_own_words() {
    let stub = Stub::answering(|_| error(S3, 403, "AccessDenied")).await;
    let refused = open(S3, &stub.url, &[]).create(KEY, "x".into()).await.unwrap_err();
    assert_eq!(refused.to_string(), "store refused to create books/log/1.json".replace("books/", ""));
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains("403 AccessDenied: What AccessDenied means."), "{cause}");
}
