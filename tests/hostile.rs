//! Connections that mean no good, hundreds at once, beside readers who notice nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bookloop_tests::{Predictor, http, metric, popular, readers};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Connections of each kind held at once.
const EACH: usize = 200;
/// Requests a second of the readers.
const RATE: u64 = 100;

/// What a bad connection does.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A request whose head comes a byte a second (slow-loris).
    Head,
    /// A request whose body comes a byte a second.
    Body,
    /// Connected, and silent.
    Silent,
    /// Bytes that are no HTTP.
    Garbage,
    /// A request half of which is sent before the line is dropped.
    Dropped,
}

/// One connection until the server or it ends it; counts those that the server ended.
async fn attack(kind: Kind, address: &str, seed: u64, ended: &AtomicUsize) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let slow = match kind {
        Kind::Head => {
            "POST /v1/models/recommender:predict HTTP/1.1\r\nhost: a\r\nx-a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        }
        Kind::Body => {
            let head = "POST /v1/models/recommender:predict HTTP/1.1\r\nhost: a\r\ncontent-length: 9000\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            "                                                                          "
        }
        Kind::Silent => "",
        Kind::Garbage => {
            let mut noise = vec![0; 4096];
            ChaCha8Rng::seed_from_u64(seed).fill(&mut noise[..]);
            stream.write_all(&noise).await?;
            ""
        }
        Kind::Dropped => {
            stream
                .write_all(
                    b"POST /v1/models/recommender:predict HTTP/1.1\r\nhost: a\r\ncontent-length: 90\r\n\r\n{\"inst",
                )
                .await?;
            return Ok(());
        }
    };
    let mut bytes = slow.bytes();
    let mut answer = [0; 512];
    loop {
        match tokio::time::timeout(Duration::from_secs(1), stream.read(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => {
                ended.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
            Ok(Ok(_)) => {}
            Err(_) => {
                if let Some(byte) = bytes.next() {
                    stream.write_all(&[byte]).await?;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "most of a minute"]
async fn a_thousand_bad_connections_harm_no_reader() {
    let folder = tempfile::tempdir().unwrap();
    let store = popular(folder.path(), &["a", "b"]).await;
    let predictor = Predictor::start(&format!("--store {store} --tenant acme-books"));
    let client = http();
    predictor.ready(&client).await;

    let stop = Arc::new(AtomicBool::new(false));
    let load = readers(&client, &predictor, RATE, &stop);
    let address = predictor.url.strip_prefix("http://").unwrap().to_owned();
    let ended = Arc::new(AtomicUsize::new(0));
    let kinds = [Kind::Head, Kind::Body, Kind::Silent, Kind::Garbage, Kind::Dropped];
    let attacks: Vec<_> = (0..EACH)
        .flat_map(|n| kinds.map(|kind| (n, kind)))
        .map(|(n, kind)| {
            let (address, ended) = (address.clone(), Arc::clone(&ended));
            tokio::spawn(async move { attack(kind, &address, n as u64, &ended).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(30)).await;
    stop.store(true, Ordering::SeqCst);
    let answers = load.await.unwrap();
    let failures: Vec<&String> = answers.iter().filter_map(|(answer, _)| answer.as_ref().err()).collect();
    println!(
        "{} answers beside {} bad connections, {} failed; {} connections were ended",
        answers.len(),
        attacks.len(),
        failures.len(),
        ended.load(Ordering::SeqCst)
    );
    assert!(failures.is_empty(), "{failures:?}");
    // Whoever sends no HTTP, or no head within its time, is shown the door; nobody holds a place in the room.
    assert!(ended.load(Ordering::SeqCst) >= 2 * EACH, "bad connections stay");
    assert!(metric(&client, &predictor.url, "bookloop_permits_in_use").await < 1.0);
    attacks.iter().for_each(tokio::task::JoinHandle::abort);
}
