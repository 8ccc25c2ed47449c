use std::cell::RefCell;

use models::{Artifact, BookRow, Scratch};
use ndarray::array;
use proptest::prelude::*;

use super::*;
use crate::{
    Algorithm,
    dataset::{Builder, TimeAxis, tests::toy},
};

const OBJECTIVE: Objective = Objective { unobserved_weight: 0.1, regularization: 0.1, frequency_exponent: 1.0 };

/// Three books with vectors (1,0), (0,1), (1,1) against readers with the given shelves.
fn solved(shelves: &str) -> (Array2<f32>, Array2<f32>) {
    let dataset = toy(TimeAxis::None, shelves);
    let books = gram::rotated(&array![[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).unwrap();
    let matrix = Matrix::new(&dataset, None);
    let ridges = ridges(OBJECTIVE, matrix.by_reader(), 3);
    (solve::rows(matrix.by_reader(), &books, &ridges, OBJECTIVE), books.vectors)
}

fn close(got: &[f32], want: &[f32]) {
    assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-5), "got {got:?}, want {want:?}");
}

#[test]
fn the_dual_solves_the_row_problem() {
    // x = (0.411523, 0.411523) against the matrix [[1.33, 1.1], [1.1, 1.33]] and right side (1, 1).
    let (readers, books) = solved("ann: c | other: a b c");
    close(&books.dot(&readers.row(0)).to_vec(), &[0.411_523, 0.411_523, 0.823_045]);
}

#[test]
fn the_primal_solves_the_row_problem() {
    // x = (0.7771, 0.1015) against [[2.43, 1.1], [1.1, 1.43]] and (2, 1); two pairs in two dimensions take the primal.
    let (readers, books) = solved("ann: a c | other: a b c");
    let x = [(2.0 * 1.43 - 1.1) / (2.43 * 1.43 - 1.21), (2.43 - 2.2) / (2.43 * 1.43 - 1.21)];
    close(&books.dot(&readers.row(0)).to_vec(), &[x[0], x[1], x[0] + x[1]]);
}

fn random_shelves(n_readers: u32, n_books: u32, seed: u32) -> Dataset {
    let mut builder = Builder::new(TimeAxis::None);
    for reader in 0..n_readers {
        for book in 0..n_books {
            // Readers like books of their own kind, with a little noise from a multiplicative hash.
            let noise = (reader * 7919 + book * 104_729 + seed).wrapping_mul(2_654_435_761) >> 24;
            let threshold = if reader % 3 == book % 3 { 90 } else { 12 };
            if noise < threshold {
                let ids = (format!("r{reader}").parse().unwrap(), format!("b{book:03}").parse().unwrap());
                builder.add(&ids.0, &ids.1, 0, 1.0 + (noise % 3) as f32);
            }
        }
    }
    builder.finish().0
}

fn fitted(dataset: &Dataset, params: Params) -> (Artifact, Vec<f64>) {
    let losses = RefCell::new(Vec::new());
    let artifact = Algorithm::Ials(params).fit(dataset, 7, &|p| losses.borrow_mut().push(p.loss)).unwrap();
    (artifact, losses.into_inner())
}

#[test]
fn the_loss_does_not_rise() {
    // Rows with fewer and with more pairs than factors, weights other than 1.
    let dataset = random_shelves(60, 45, 0);
    for factors in [4, 12] {
        let (_, losses) = fitted(&dataset, Params { factors, epochs: 8, ..Params::default() });
        assert_eq!(losses.len(), 8);
        assert!(losses.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-6)), "{losses:?}");
        assert!(losses[7] < 0.9 * losses[0], "{losses:?}");
    }
}

#[test]
fn the_loss_is_the_objective() {
    let dataset = toy(TimeAxis::None, "ann: a c | bob: b");
    let matrix = Matrix::new(&dataset, None);
    // Already in the eigenbasis: X'X = diag(1, 4).
    let readers = gram::rotated(&array![[1.0, 0.0], [0.0, 2.0]]).unwrap();
    let books = array![[0.5, 0.0], [0.0, 0.5], [0.25, 0.25]];
    let loss = loss::of(&matrix, &readers, &books, (&[0.1, 0.2], &[0.3, 0.4, 0.5]), OBJECTIVE);
    let scores = readers.vectors.dot(&books.t());
    let evidence = (1.0 - scores[[0, 0]]).powi(2) + (1.0 - scores[[0, 2]]).powi(2) + (1.0 - scores[[1, 1]]).powi(2);
    let all: f32 = scores.iter().map(|p| p * p).sum();
    let ridge = 0.1 * 1.0 + 0.2 * 4.0 + 0.3 * 0.25 + 0.4 * 0.25 + 0.5 * 0.125;
    assert!((loss - f64::from(evidence + 0.1 * all + ridge)).abs() < 1e-6);
}

#[test]
fn fold_in_equals_one_more_half_epoch() {
    let mut builder = Builder::new(TimeAxis::None);
    let weighted = random_shelves(40, 30, 3);
    for row in weighted.interactions() {
        let book = &weighted.catalogue().book(row.book).to_id();
        builder.add(&weighted.readers()[row.reader as usize], book, 0, 1.0);
    }
    let dataset = builder.finish().0;
    let (artifact, _) = fitted(&dataset, Params { factors: 6, epochs: 3, ..Params::default() });
    let Scorer::Factors(factors) = artifact.scorer() else { panic!("iALS is a factor model") };
    let books = Side {
        vectors: factors.books().to_owned(),
        eigenvalues: factors.eigenvalues().iter().copied().map(f64::from).collect(),
    };
    let matrix = Matrix::new(&dataset, None);
    let ridges = ridges(factors.objective(), matrix.by_reader(), matrix.by_book().len());
    let trained = solve::rows(matrix.by_reader(), &books, &ridges, factors.objective());
    for (reader, (_, history)) in artifact.readers().iter().enumerate() {
        let scores = artifact.scores(history, &mut Scratch::default()).to_vec();
        let want = factors.books().dot(&trained.row(reader));
        assert!(scores.iter().zip(&want).all(|(s, w)| (s - w).abs() < 1e-4), "reader {reader}");
    }
}

#[test]
fn a_book_without_readers_stays_at_zero() {
    let mut builder = Builder::new(TimeAxis::None);
    builder.list([models::Book::bare("unread".parse().unwrap())]);
    for (reader, book) in [("ann", "dune"), ("ann", "emma"), ("bob", "dune")] {
        builder.add(&reader.parse().unwrap(), &book.parse().unwrap(), 0, 1.0);
    }
    let (artifact, _) = fitted(&builder.finish().0, Params { factors: 2, ..Params::default() });
    let unread = artifact.catalogue().row("unread").unwrap();
    assert_eq!(artifact.scores(&[BookRow(0)], &mut Scratch::default())[unread.index()].to_bits(), 0.0_f32.to_bits());
}

#[test]
fn the_weight_of_all_pairs_follows_the_density() {
    // 4 pairs among 2 readers and 100 books: 15 * 4 / 200 = 0.3, and bounds for the extremes.
    let shelves = |n_unread: usize| {
        let mut builder = Builder::new(TimeAxis::None);
        builder.list((0..n_unread).map(|i| models::Book::bare(format!("unread{i}").parse().unwrap())));
        for (reader, book) in [("ann", "a"), ("ann", "b"), ("bob", "a"), ("bob", "c")] {
            builder.add(&reader.parse().unwrap(), &book.parse().unwrap(), 0, 1.0);
        }
        Matrix::new(&builder.finish().0, None)
    };
    assert!((weight_for(&shelves(97)) - 0.3).abs() < 1e-12);
    assert!((weight_for(&shelves(0)) - 0.5).abs() < 1e-12);
    assert!((weight_for(&shelves(99_997)) - 0.001).abs() < 1e-12);
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let dataset = toy(TimeAxis::None, "ann: dune");
    let refused = |params: Params| match fit(&params, &dataset, 1, &|_| ()) {
        Err(Error::Setting { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(Params { factors: 0, ..Params::default() }), "factors");
    assert_eq!(refused(Params { epochs: 0, ..Params::default() }), "epochs");
    assert_eq!(refused(Params { unobserved_weight: Some(0.0), ..Params::default() }), "unobserved_weight");
    assert_eq!(refused(Params { regularization: f64::NAN, ..Params::default() }), "regularization");
    assert_eq!(refused(Params { frequency_exponent: 1.5, ..Params::default() }), "frequency_exponent");
}

proptest! {
    #[test]
    fn dual_and_primal_agree(values in prop::collection::vec(-1.0_f32..1.0, 12), c in prop::collection::vec(0.1_f32..3.0, 3)) {
        // Three rows in four dimensions take the dual; a fourth, weightless row turns the same problem into the primal.
        let side = |n: usize| Side {
            vectors: Array2::from_shape_fn((n, 4), |(i, j)| if i < 3 { values[i * 4 + j] } else { 0.0 }),
            eigenvalues: vec![0.0, 0.5, 1.0, 2.0],
        };
        let pairs = |n: u32| {
            let mut builder = Builder::new(TimeAxis::None);
            for book in 0..n {
                let weight = c.get(book as usize).copied().unwrap_or(1.0);
                builder.add(&"ann".parse().unwrap(), &format!("b{book}").parse().unwrap(), 0, weight);
            }
            Matrix::new(&builder.finish().0, None)
        };
        let dual = solve::rows(pairs(3).by_reader(), &side(3), &[0.3], OBJECTIVE);
        let primal = solve::rows(pairs(4).by_reader(), &side(4), &[0.3], OBJECTIVE);
        prop_assert!(dual.iter().zip(&primal).all(|(a, b)| (a - b).abs() < 1e-4), "{dual} {primal}");
    }
}
