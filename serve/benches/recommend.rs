//! One recommendation by matrix factorisation: 10,000 books, 64 factors, the best 20 for a history of 10 books.
//!
//! Beside it the simplest rival, the popularity list of the same artefact.

use models::{Artifact, Book, BookId, Catalogue, Factors, Objective, Readers, Scorer, Scratch, event::Arm};
use serve::{
    Resident, Snapshot,
    engine::{Ask, answer},
};

const N_BOOKS: usize = 10_000;
const D: usize = 64;

fn main() {
    divan::main();
}

fn artifact() -> Artifact {
    let books = (0..N_BOOKS).map(|row| Book::bare(format!("b{row:05}").parse().expect("a plain id")));
    // Deterministic values in [-0.5, 0.5) without a generator: the fractional parts of multiples of the golden ratio.
    let factors = ndarray::Array2::from_shape_fn((N_BOOKS, D), |(row, factor)| {
        ((row * D + factor) as f64 * 0.618_033_988_749_895).fract() as f32 - 0.5
    });
    let objective = Objective { unobserved_weight: 0.1, regularization: 0.01, frequency_exponent: 1.0 };
    let eigenvalues = ndarray::Array1::from_elem(D, N_BOOKS as f32 / 12.0);
    let factors = Factors::new(factors, eigenvalues, objective).expect("finite factors");
    let popularity = (0..N_BOOKS).map(|row| (N_BOOKS - row) as f32).collect();
    Artifact::new(Catalogue::new(books), popularity, Scorer::Factors(factors), Readers::new([])).expect("equal shapes")
}

fn recommend(bencher: divan::Bencher<'_, '_>, history: usize) {
    let version = models::Version::FIRST;
    let stable =
        Resident { version, arm: Arm::Stable, digest: String::new(), artifact: std::sync::Arc::new(artifact()) };
    let snapshot = Snapshot::fixed(stable);
    let history: Vec<BookId> = (0..history).map(|n| format!("b{:05}", n * 997).parse().expect("a plain id")).collect();
    let ask = Ask { reader: "ann".parse().ok(), k: 20, history, ..Ask::default() };
    let assigned = snapshot.assign("acme-books", ask.reader.as_ref());
    let want = answer(&snapshot, assigned, &ask, &mut Scratch::default()).expect("a finite model");
    assert_eq!(want.books.len(), 20);
    let mut scratch = Scratch::default();
    bencher.bench_local(|| {
        let got = answer(&snapshot, assigned, divan::black_box(&ask), &mut scratch);
        assert_eq!(got.as_ref(), Ok(&want));
    });
}

#[divan::bench(name = "recommend/factors/10000books/64factors/20best")]
fn by_factors(bencher: divan::Bencher<'_, '_>) {
    recommend(bencher, 10);
}

#[divan::bench(name = "recommend/popularity/10000books/20best")]
fn by_popularity(bencher: divan::Bencher<'_, '_>) {
    recommend(bencher, 0);
}
