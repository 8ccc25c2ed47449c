//! How long fits take on synthetic shelves; the simpler models are the rivals.

use divan::{Bencher, black_box};
use train::{Algorithm, Builder, Dataset, TimeAxis, ials};

fn main() {
    divan::main();
}

/// `n_readers` readers of 20 books each out of `n_books`, in circles of a hundred books, from a fixed hash.
fn shelves(n_readers: u32, n_books: u32) -> Dataset {
    let mut builder = Builder::new(TimeAxis::None);
    for reader in 0..n_readers {
        for step in 0..20_u32 {
            let noise = (reader * 61 + step).wrapping_mul(2_654_435_761) >> 8;
            let book =
                if noise % 4 == 0 { noise / 4 % n_books } else { (reader % (n_books / 100)) * 100 + noise / 4 % 100 };
            let ids = (format!("r{reader}").parse(), format!("b{book}").parse());
            builder.add(&ids.0.expect("an id"), &ids.1.expect("an id"), 0, 1.0);
        }
    }
    builder.finish().0
}

fn bench(bencher: Bencher<'_, '_>, algorithm: &Algorithm) {
    bench_sized(bencher, algorithm, 1_000);
}

/// Twice as many readers as books.
fn bench_sized(bencher: Bencher<'_, '_>, algorithm: &Algorithm, n_books: u32) {
    let dataset = shelves(2 * n_books, n_books);
    bencher.bench_local(|| {
        let artifact = algorithm.fit(black_box(&dataset), 1, &|_| ()).expect("synthetic shelves can be learned");
        assert_eq!(artifact.catalogue().len(), n_books as usize);
        artifact
    });
}

#[divan::bench(name = "popularity/2000readers/1000books", sample_count = 10)]
fn popularity(bencher: Bencher<'_, '_>) {
    bench(bencher, &Algorithm::named("popularity").expect("a known name"));
}

#[divan::bench(name = "rp3beta/2000readers/1000books", sample_count = 10)]
fn rp3beta(bencher: Bencher<'_, '_>) {
    bench(bencher, &Algorithm::named("rp3beta").expect("a known name"));
}

#[divan::bench(name = "ease/2readers_a_book/books", args = [1_000, 2_000], sample_count = 10)]
fn ease(bencher: Bencher<'_, '_>, n_books: u32) {
    bench_sized(bencher, &Algorithm::named("ease").expect("a known name"), n_books);
}

#[divan::bench(name = "ease_sparse/2readers_a_book/books", args = [1_000, 2_000], sample_count = 10)]
fn ease_sparse(bencher: Bencher<'_, '_>, n_books: u32) {
    bench_sized(bencher, &Algorithm::named("ease_sparse").expect("a known name"), n_books);
}

#[divan::bench(name = "ials/2000readers/1000books/1epoch", args = [32, 64, 128], sample_count = 10)]
fn ials(bencher: Bencher<'_, '_>, factors: usize) {
    bench(bencher, &Algorithm::Ials(ials::Params { factors, epochs: 1, ..ials::Params::default() }));
}

/// 810,000 pairs of 30,000 readers and 41,000 books, both sides by a power law: the shape of a public set of check-ins.
fn check_ins() -> Dataset {
    let mut builder = Builder::new(TimeAxis::None);
    let mut state = 1_u64;
    // The inverse of a truncated Zipf law of exponent 1, from a 64-bit congruential generator.
    let mut draw = |n: f64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (n + 1.0).powf((state >> 11) as f64 / (1_u64 << 53) as f64) as u32
    };
    let mut pairs = std::collections::BTreeSet::new();
    while pairs.len() < 810_000 {
        // Readers differ less than books do.
        pairs.insert((draw(900.0) * 33 + draw(30.0) % 33, draw(41_000.0)));
    }
    for (reader, book) in pairs {
        let ids = (format!("r{reader}").parse(), format!("b{book}").parse());
        builder.add(&ids.0.expect("an id"), &ids.1.expect("an id"), 0, 1.0);
    }
    builder.finish().0
}

#[divan::bench(name = "ials/30000readers/41000books/810000pairs/1epoch", args = [64, 128], sample_count = 3)]
fn ials_check_ins(bencher: Bencher<'_, '_>, factors: usize) {
    let dataset = check_ins();
    let algorithm = Algorithm::Ials(ials::Params { factors, epochs: 1, ..ials::Params::default() });
    bencher.bench_local(|| {
        let artifact = algorithm.fit(black_box(&dataset), 1, &|_| ()).expect("check-ins can be learned");
        assert_eq!(artifact.catalogue().len(), dataset.catalogue().len());
        artifact
    });
}
