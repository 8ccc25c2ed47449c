//! What judging costs: one Kolmogorov-Smirnov test at the sizes of a busy hour, by both laws, and a whole window.

use divan::{Bencher, black_box};
use drift::{Policy, Quality, Reference, Sample, Share, WindowProfile, assess, ks};
use jiff::Timestamp;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn main() {
    divan::main();
}

fn sample(n: usize, seed: u64) -> Sample {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    Sample::new((0..n).map(|_| random.random::<f64>()).collect()).expect("uniform values are finite")
}

fn window(n: usize, seed: u64) -> WindowProfile {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut baskets = drift::Counts::default();
    for _ in 0..n {
        let point: f64 = random.random();
        baskets.count(&format!("book-{}", (point * point * 1000.0) as u32));
    }
    let share = Share { hits: n as u64 / 5, of: n as u64 };
    WindowProfile {
        from: Timestamp::UNIX_EPOCH,
        to: Timestamp::UNIX_EPOCH,
        requests: n as u64,
        readers: n as u64,
        clicks: 0,
        purchases: 0,
        quality: Quality::default(),
        basket_subjects: baskets.clone(),
        basket_books: baskets,
        unknown_books: share,
        unknown_readers: share,
        clicked: share,
        activity: sample(n, seed + 1),
        top_scores: sample(n, seed + 2),
        list_popularity: sample(n, seed + 3),
        rows: Vec::new(),
    }
}

#[divan::bench]
fn ks_exact_1000_against_10000(bencher: Bencher<'_, '_>) {
    let (reference, current) = (sample(10_000, 1), sample(1000, 2));
    bencher.bench(|| {
        let p = ks::two_sample(black_box(&reference), black_box(&current)).p;
        assert!(p.is_some_and(|p| p > 0.001));
    });
}

#[divan::bench]
fn ks_limit_1000_against_10000(bencher: Bencher<'_, '_>) {
    let (reference, current) = (sample(10_000, 1), sample(1000, 2));
    bencher.bench(|| {
        let p = ks::Gap::between(black_box(&reference), black_box(&current)).limit_p();
        assert!(p > 0.001);
    });
}

#[divan::bench(args = [500, 2000])]
fn whole_window_against_six(bencher: Bencher<'_, '_>, n_readers: usize) {
    let (reference, current) = (window(6 * n_readers, 1), window(n_readers, 100));
    let policy = Policy::default();
    bencher.bench(|| {
        let assessment = assess(Reference::window(black_box(&reference)), black_box(&current), &policy);
        assert!(assessment.readings.iter().all(|reading| !reading.large));
    });
}
