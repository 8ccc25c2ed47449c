//! Lists from factors that were learned: iALS with 64 factors on real check-ins, every reader of the data asked for their
//! best 20 unread books. One at a time on one thread, fold-in included, and all at once on every thread.
//!
//! `BOOKLOOP_BENCH_CHECKINS=FILE cargo bench --workspace --bench lists` with interactions such as gowalla's. Without it, and
//! under `cargo test --benches`, made-up circles of readers.

use std::{
    fs::File,
    path::Path,
    time::{Duration, Instant},
};

use models::{Query, Scorer, Scratch, artifact::MAX_HISTORY};
use train::{
    Algorithm, Builder, Dataset, TimeAxis, ials,
    read::{Input, Options, read_interactions},
};

const K: usize = 20;
/// Readers asked one at a time.
const ALONE: usize = 5_000;
/// Times all readers are asked at once.
const ROUNDS: usize = 5;

fn main() {
    let dataset = std::env::var_os("BOOKLOOP_BENCH_CHECKINS").map_or_else(made_up, |file| read(Path::new(&file)));
    let ials = Algorithm::Ials(ials::Params { factors: 64, ..Default::default() });
    let model = ials.fit(&dataset, 1, &|_| ()).expect("check-ins can be learned");
    let histories = dataset.histories();
    let queries: Vec<Query<'_>> =
        histories.iter().map(|history| Query { history, k: K, include_seen: false, exclude: &[] }).collect();
    println!("{} readers, {} books, 64 factors, the best {K}", histories.len(), model.catalogue().len());

    let mut scratch = Scratch::default();
    // The first list makes the coarse copy.
    model.recommend(queries[0], &mut scratch);
    let every = queries.len().div_ceil(ALONE);
    let mut lists = Vec::new();
    let mut times = Vec::new();
    for query in queries.iter().step_by(every) {
        let begun = Instant::now();
        lists.push(model.recommend(*query, &mut scratch));
        times.push(begun.elapsed());
    }
    times.sort();
    println!("alone: p50 {:.1} us, p90 {:.1} us, p99 {:.1} us", us(&times, 0.5), us(&times, 0.9), us(&times, 0.99));

    let Scorer::Factors(factors) = model.scorer() else { unreachable!("iALS makes factors") };
    let mut folding: Vec<Duration> = histories
        .iter()
        .step_by(every)
        .map(|history| {
            let newest = &history[history.len().saturating_sub(MAX_HISTORY)..];
            let begun = Instant::now();
            assert!(factors.fold_in(newest).iter().all(|value| value.is_finite()));
            begun.elapsed()
        })
        .collect();
    folding.sort();
    println!(
        "  fold-in alone: p50 {:.1} us, p90 {:.1} us, p99 {:.1} us",
        us(&folding, 0.5),
        us(&folding, 0.9),
        us(&folding, 0.99)
    );

    let rates: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            let many = model.recommend_many(&queries);
            let rate = queries.len() as f64 / begun.elapsed().as_secs_f64();
            assert!(many.iter().step_by(every).eq(&lists), "both ways give the same lists");
            rate
        })
        .collect();
    let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let most = rates.iter().copied().fold(0.0, f64::max);
    println!("at once on {} threads: {least:.0} to {most:.0} lists a second", rayon::current_num_threads());
}

/// A quantile of sorted times, microseconds.
fn us(sorted: &[Duration], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e6
}

fn read(path: &Path) -> Dataset {
    let reader = Box::new(File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    let input = Input { name: path.display().to_string(), reader };
    let options = Options::at("2100-01-01T00:00:00Z".parse().expect("a time"));
    let read = read_interactions([Ok(input)], Vec::new(), &options);
    read.unwrap_or_else(|error| panic!("{}: {error}", path.display())).dataset
}

/// Readers of ten books out of the hundred of their circle, from a fixed hash.
fn made_up() -> Dataset {
    let mut builder = Builder::new(TimeAxis::None);
    for reader in 0..400_u32 {
        for place in 0..10_u32 {
            let noise = (reader * 61 + place).wrapping_mul(2_654_435_761) >> 8;
            let book = format!("b{}", reader % 8 * 100 + noise % 100).parse().expect("an id");
            builder.add(&format!("r{reader}").parse().expect("an id"), &book, 0, 1.0);
        }
    }
    builder.finish().0
}
