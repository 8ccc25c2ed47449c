//! Lists a second: one reader alone (p50 and p99 on one thread), many at once on all threads, and beside them the plain
//! way: a score for every book, then a full sort. Fold-in of 20 books is a part of all three. Then what rules add to one
//! list, and what long histories add to a fold-in.
//!
//! `cargo bench -p bookloop-models --bench score`; each row asserts that the ways give one list, or that the list obeys.
//! Under `cargo test --benches` a small catalogue runs once. `-- --bench rules` measures the rules and histories only.

use std::time::{Duration, Instant};

use models::{
    Artifact, Book, BookRow, Catalogue, Factors, Filter, Objective, Query, Readers, Rules, Scorer, Scratch,
    top_k::Scored,
};
use ndarray::{Array1, Array2};

/// Length of the lists.
const K: usize = 20;
/// Books of a reader's history.
const HISTORY: usize = 20;

fn main() {
    let asked = |word: &str| std::env::args().any(|argument| argument == word);
    let whole = asked("--bench");
    if !asked("rules") {
        lists(whole);
    }
    under_rules(whole);
    long_histories(whole);
}

fn lists(whole: bool) {
    println!(
        "{:<16} {:>10} {:>9} {:>9} {:>11} {:>11} {:>11}",
        "books x factors", "first ms", "p50 us", "p99 us", "alone /s", "at once /s", "by sort /s"
    );
    let sizes: &[(usize, usize, usize)] = if whole {
        &[
            (10_000, 64, 40_000),
            (40_981, 64, 20_000),
            (40_981, 192, 8_000),
            (40_981, 512, 4_000),
            (1_000_000, 64, 1_000),
        ]
    } else {
        &[(3_000, 16, 40)]
    };
    for (n_books, d, n_queries) in sizes {
        measure(&model(*n_books, *d), *d, *n_queries);
    }
}

fn measure(model: &Artifact, d: usize, n_queries: usize) {
    let n_books = model.catalogue().len();
    let histories: Vec<Vec<BookRow>> = (0..n_queries).map(|reader| history(reader, HISTORY, n_books)).collect();
    let queries: Vec<Query<'_>> =
        histories.iter().map(|history| Query { history, k: K, include_seen: false, exclude: &[] }).collect();

    let mut scratch = Scratch::default();
    let begun = Instant::now();
    let first = model.recommend(queries[0], &mut scratch);
    let first_ms = begun.elapsed().as_secs_f64() * 1e3;
    assert_eq!(first.books, by_sort(model, queries[0], &mut scratch));

    let alone = n_queries.min(2_000);
    let mut times = Vec::with_capacity(alone);
    let mut lists = Vec::with_capacity(alone);
    for query in &queries[..alone] {
        let begun = Instant::now();
        lists.push(model.recommend(*query, &mut scratch));
        times.push(begun.elapsed());
    }
    times.sort();
    let us = |share: f64| quantile_us(&times, share);
    let alone_rate = times.len() as f64 / times.iter().sum::<Duration>().as_secs_f64();

    let begun = Instant::now();
    let many = model.recommend_many(&queries);
    let rate = n_queries as f64 / begun.elapsed().as_secs_f64();
    assert!(many.iter().zip(&lists).all(|(many, alone)| many == alone), "both ways give the same lists");

    let sorted = n_queries.min(20);
    let begun = Instant::now();
    for (query, many) in queries.iter().zip(&many).take(sorted) {
        assert_eq!(many.books, by_sort(model, *query, &mut scratch));
    }
    let sort_rate = sorted as f64 / begun.elapsed().as_secs_f64();
    println!(
        "{:<16} {first_ms:>10.2} {:>9.1} {:>9.1} {alone_rate:>11.0} {rate:>11.0} {sort_rate:>11.0}",
        format!("{n_books} x {d}"),
        us(0.5),
        us(0.99)
    );
}

/// A quantile of sorted times, microseconds.
fn quantile_us(times: &[Duration], share: f64) -> f64 {
    times[((times.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e6
}

/// One list at a time under rules, after the first, which finds out which books have what in common.
fn under_rules(whole: bool) {
    println!("\n{:<34} {:>10} {:>9} {:>9}", "rules, books x factors", "first ms", "p50 us", "p99 us");
    let (sizes, n_queries): (&[(usize, usize)], _) =
        if whole { (&[(40_981, 64), (1_000_000, 64)], 500) } else { (&[(3_000, 16)], 10) };
    let speaking = |language: &str| Filter { languages: vec![language.into()], ..Filter::default() };
    let not_by = Filter { exclude_authors: (0..20).map(author).collect(), ..Filter::default() };
    let rules = [
        ("none", Rules::default()),
        ("language of 9 in 10", Rules { filter: speaking("en"), ..Rules::default() }),
        ("language of 1 in 100", Rules { filter: speaking("is"), ..Rules::default() }),
        ("not by 20 authors", Rules { filter: not_by, ..Rules::default() }),
        ("one of an author", Rules { max_per_author: Some(1), ..Rules::default() }),
        ("diversity .3", Rules { diversity: 0.3, ..Rules::default() }),
    ];
    for (n_books, d) in sizes {
        for (name, rules) in &rules {
            let model = model(*n_books, *d);
            let mut scratch = Scratch::default();
            let mut ask = |reader: usize| {
                let history = history(reader, HISTORY, *n_books);
                let query = Query { history: &history, k: K, include_seen: false, exclude: &[] };
                let begun = Instant::now();
                let listed = model.recommend_under(query, rules, &mut scratch);
                let time = begun.elapsed();
                assert_eq!(listed.books.len(), K);
                let mut books = listed.books.iter().map(|scored| model.catalogue().book(scored.row));
                assert!(
                    rules.filter.languages.is_empty()
                        || books.all(|book| book.language() == Some(&*rules.filter.languages[0]))
                );
                time
            };
            // The coarse copy of the factors is another matter.
            model.recommend(
                Query { history: &[BookRow(0)], k: 1, include_seen: true, exclude: &[] },
                &mut Scratch::default(),
            );
            let first_ms = ask(0).as_secs_f64() * 1e3;
            let mut times: Vec<Duration> = (0..n_queries).map(&mut ask).collect();
            times.sort();
            let [middle, late] = [0.5, 0.99].map(|share| quantile_us(&times, share));
            println!("{:<34} {first_ms:>10.2} {middle:>9.1} {late:>9.1}", format!("{name}, {n_books} x {d}"));
        }
    }
}

/// Fold-ins alone, by the books of a history.
fn long_histories(whole: bool) {
    println!("\n{:<34} {:>9} {:>9}", "fold-in, books read x factors", "p50 us", "p99 us");
    let (factors, lengths, n_readers): (&[usize], &[usize], _) =
        if whole { (&[64, 192, 512], &[20, 200, 500, 1_000], 100) } else { (&[16], &[40], 3) };
    for d in factors {
        let n_books = 10_000;
        let model = model(n_books, *d);
        let Scorer::Factors(factors) = model.scorer() else { unreachable!("the model is one of factors") };
        for length in lengths {
            let fold_in = |reader: usize| {
                let history = history(reader, *length, n_books);
                let begun = Instant::now();
                let vector = factors.fold_in(&history);
                let time = begun.elapsed();
                assert!(vector.iter().all(|value| value.is_finite()));
                time
            };
            let mut times: Vec<Duration> = (0..n_readers).map(fold_in).collect();
            times.sort();
            let [middle, late] = [0.5, 0.99].map(|share| quantile_us(&times, share));
            println!("{:<34} {middle:>9.1} {late:>9.1}", format!("{length} x {d}"));
        }
    }
}

/// The rival: all scores, all sorted.
fn by_sort(model: &Artifact, query: Query<'_>, scratch: &mut Scratch) -> Vec<Scored> {
    let scores = model.scores(query.history, scratch);
    let mut all: Vec<Scored> =
        scores.iter().zip(0..).map(|(score, row)| Scored { row: BookRow(row), score: *score }).collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    all.retain(|scored| !query.history.contains(&scored.row));
    all.truncate(K);
    all
}

/// Numbers in [-1, 1] from a fixed hash, near enough to independent.
fn noise(seed: usize) -> f32 {
    let mut x = (seed as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x >> 40) as f32) / 8_388_608.0 - 1.0
}

fn history(reader: usize, length: usize, n_books: usize) -> Vec<BookRow> {
    (0..length).map(|n| BookRow(((noise(reader * length + n) + 1.0) * 0.49 * n_books as f32) as u32)).collect()
}

fn author(number: usize) -> String {
    format!("Author Number {number}")
}

/// Factors whose energy falls from column to column, as in an eigenbasis, and whose rows are of unequal length.
fn model(n_books: usize, d: usize) -> Artifact {
    let mut books = Array2::from_shape_fn((n_books, d), |(row, factor)| {
        noise(row * d + factor) / (1.0 + factor as f32 / 8.0).sqrt() * (0.2 + noise(row).abs())
    });
    books.mapv_inplace(|value| value / 4.0);
    let energy = |column: ndarray::ArrayView1<'_, f32>| column.iter().map(|value| value * value).sum::<f32>();
    let eigenvalues: Array1<f32> = books.columns().into_iter().map(energy).collect();
    let objective = Objective { unobserved_weight: 0.01, regularization: 0.01, frequency_exponent: 1.0 };
    let shelf = Catalogue::new((0..n_books).map(|n| Book {
        language: Some(if n % 100 == 7 { "is" } else { ["en", "de"][usize::from(n % 10 == 3)] }.into()),
        authors: vec![author(n * 7_919 % (n_books / 4))],
        ..Book::bare(format!("b{n:07}").parse().expect("an id"))
    }));
    let factors = Factors::new(books, eigenvalues, objective).expect("the shapes agree");
    Artifact::new(shelf, vec![1.0; n_books], Scorer::Factors(factors), Readers::new([])).expect("the parts agree")
}
