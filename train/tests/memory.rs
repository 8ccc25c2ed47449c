//! Every fit stays within the memory it said it might need. Alone in its process: the allocator counts for all threads.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use models::Book;
use peak_alloc::PeakAlloc;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use train::{Algorithm, Builder, Dataset, TimeAxis};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const MIB: u64 = 1 << 20;
/// What two threads may keep.
const KEPT: u64 = 144 * MIB;

/// Every family, large enough beside the share of a thread that its own arrays are what counts.
const ALGORITHMS: [&str; 12] = [
    r#"{"algorithm": "popularity"}"#,
    r#"{"algorithm": "item_knn", "neighbours": 300}"#,
    r#"{"algorithm": "rp3beta", "neighbours": 300}"#,
    r#"{"algorithm": "vmis_knn"}"#,
    r#"{"algorithm": "ease"}"#,
    r#"{"algorithm": "ease_sparse", "candidates": 60, "neighbours": 300}"#,
    r#"{"algorithm": "ease_sparse", "centred": true, "candidates": 60}"#,
    r#"{"algorithm": "ials", "factors": 128, "epochs": 2}"#,
    r#"{"algorithm": "ials", "factors": 64, "epochs": 2, "features": true}"#,
    r#"{"algorithm": "spectral", "vectors": 256}"#,
    r#"{"algorithm": "spectral", "vectors": 16, "neighbours": 40}"#,
    r#"{"algorithm": "blend", "members": [{"algorithm": "ials", "factors": 64, "epochs": 2}, {"algorithm": "ease_sparse", "candidates": 30}]}"#,
];

/// Readers of `each` books, drawn so that book `b` is about `1 / (b + 10)` as popular.
fn shop(n_readers: usize, n_books: usize, each: usize) -> Dataset {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut builder = Builder::new(TimeAxis::Clock);
    builder.list((0..n_books).map(|book| Book {
        title: Some(format!("The {} and the {}", book % 97, book % 89)),
        authors: vec![format!("author {}", book % 211)],
        ..Book::bare(format!("book-{book}").parse().unwrap())
    }));
    let (low, high) = (10.0_f64.ln(), (n_books as f64 + 10.0).ln());
    for reader in 0..n_readers {
        let id = format!("reader-{reader}").parse().unwrap();
        for click in 0..each {
            let book = (random.random_range(low..high).exp() - 10.0).floor().max(0.0);
            builder.add(&id, &format!("book-{book}").parse().unwrap(), (reader * each + click) as i64, 1.0);
        }
    }
    builder.finish().0
}

/// Bytes in use.
fn used() -> u64 {
    MEMORY.current_usage() as u64
}

#[test]
fn a_fit_never_takes_more_than_it_said_nor_says_many_times_what_it_takes() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let mut wrong = Vec::new();
    for (readers, books, each) in [(12_000, 1_500, 20), (900, 6_000, 60)] {
        let before = used();
        MEMORY.reset_peak_usage();
        let dataset = shop(readers, books, each);
        let (data, told) = (MEMORY.peak_usage() as u64 - before, dataset.bytes());
        if data > told || told > 4 * data {
            wrong.push(format!("data of {readers} x {books}: {data} taken, {told} told"));
        }
        for json in ALGORITHMS {
            let algorithm: Algorithm = serde_json::from_str(json).unwrap();
            let need = pool.install(|| algorithm.need(&dataset));
            let before = used();
            MEMORY.reset_peak_usage();
            let model = pool.install(|| algorithm.fit(&dataset, 1, &|_| ())).unwrap();
            let (peak, held) = (MEMORY.peak_usage() as u64 - before, used().saturating_sub(before));
            // What threads keep for dense products is bounded by a constant, whose whole size only large products reach.
            let loose = need.peak.saturating_sub(KEPT) > 8 * peak + MIB;
            if peak > need.peak || held > need.model + KEPT || loose {
                wrong.push(format!("{readers} x {books}, {json}: {peak} at most and {held} in the end, told {need:?}"));
            }
            drop(model);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
