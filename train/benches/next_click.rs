//! How long the next book of a running session takes by VMIS-kNN: every click of the test sessions, one at a time on one
//! thread, the best 20.
//!
//! `BOOKLOOP_BENCH_SESSIONS=FOLDER cargo bench --workspace --bench next_click` with `train.csv.gz` and `test.csv.gz` in
//! the folder. Without it, and under `cargo test --benches`, made-up sessions.

use std::{collections::BTreeMap, fs::File, path::Path, time::Instant};

use models::{BookId, BookRow, Query, ReaderId, Scratch};
use train::{
    Algorithm, Builder, Dataset, TimeAxis,
    read::{Input, Options, read_interactions},
};

const K: usize = 20;
/// After every click there is.
const LATEST: &str = "2100-01-01T00:00:00Z";

fn main() {
    let (train, test) = match std::env::var_os("BOOKLOOP_BENCH_SESSIONS") {
        Some(folder) => {
            let [train, test] = ["train.csv.gz", "test.csv.gz"].map(|name| read(&Path::new(&folder).join(name)));
            (train, test)
        }
        None => (made_up(0, 2_000), made_up(2_000, 100)),
    };
    let vmis = Algorithm::named("vmis_knn").expect("a known name");
    let begun = Instant::now();
    let model = vmis.fit(&train, 1, &|_| ()).expect("sessions can be learned");
    println!("{} clicks learned in {:.2} s", train.interactions().len(), begun.elapsed().as_secs_f64());

    let mut sessions: BTreeMap<u32, Vec<(i64, BookId)>> = BTreeMap::new();
    for click in test.interactions() {
        let book = test.catalogue().book(click.book).to_id();
        sessions.entry(click.reader).or_default().push((click.at, book));
    }
    let mut scratch = Scratch::default();
    let (mut times, mut found) = (Vec::new(), 0);
    for clicks in sessions.values_mut() {
        clicks.sort_by_key(|(at, _)| *at);
        let history: Vec<BookRow> =
            clicks.iter().filter_map(|(_, book)| model.catalogue().row(book.as_str())).collect();
        for length in 1..=history.len() {
            let query = Query { history: &history[..length], k: K, include_seen: true, exclude: &[] };
            let begun = Instant::now();
            let listed = model.recommend(query, &mut scratch);
            times.push(begun.elapsed());
            assert!(listed.books.len() <= K);
            found += usize::from(!listed.books.is_empty());
        }
    }
    assert!(found > 0, "some session has neighbours");
    times.sort();
    let us = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e6;
    println!("{} predictions: p50 {:.1} us, p90 {:.1} us, p99 {:.1} us", times.len(), us(0.5), us(0.9), us(0.99));
}

fn read(path: &Path) -> Dataset {
    let reader = Box::new(File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    let input = Input { name: path.display().to_string(), reader };
    let read = read_interactions([Ok(input)], Vec::new(), &Options::at(LATEST.parse().expect("a time")));
    read.unwrap_or_else(|error| panic!("{}: {error}", path.display())).dataset
}

/// Sessions of five clicks, each within a circle of fifty books out of a thousand, from a fixed hash.
fn made_up(first: u32, n_sessions: u32) -> Dataset {
    let mut builder = Builder::new(TimeAxis::Clock);
    for session in first..first + n_sessions {
        for click in 0..5_u32 {
            let noise = (session * 61 + click).wrapping_mul(2_654_435_761) >> 8;
            let book: BookId = format!("b{}", session % 20 * 50 + noise % 50).parse().expect("an id");
            let reader: ReaderId = format!("s{session}").parse().expect("an id");
            builder.add(&reader, &book, i64::from(session * 10 + click) * 1_000, 1.0);
        }
    }
    builder.finish().0
}
