use std::cell::RefCell;

use models::{Artifact, BookRow, Scratch};
use ndarray::array;

use super::*;
use crate::{
    Algorithm,
    dataset::{Builder, TimeAxis, tests::toy},
};

const OBJECTIVE: Objective = Objective { unobserved_weight: 0.1, regularization: 0.1, frequency_exponent: 1.0 };

/// Vectors in the leading columns of whole lines.
fn padded(vectors: &Array2<f32>) -> Array2<f32> {
    let mut wide = Array2::zeros((vectors.nrows(), vectors.ncols().next_multiple_of(WIDE)));
    wide.slice_mut(s![.., ..vectors.ncols()]).assign(vectors);
    wide
}

fn side(vectors: &Array2<f32>) -> Side {
    gram::rotated(padded(vectors), vectors.ncols()).unwrap().0
}

fn half_epoch(rows: &Rows, fixed: &Side, ridges: &[f64], objective: Objective) -> Solved {
    let unobserved_weight = f64::from(objective.unobserved_weight);
    HalfEpoch { rows, fixed, ridges, unobserved_weight, priors: None, enough: EXACT }
        .solve(Array2::zeros((rows.len(), fixed.width())))
}

/// Three books with vectors (1,0), (0,1), (1,1) against readers with the given shelves.
fn solved(shelves: &str) -> (Array2<f32>, Array2<f32>) {
    let dataset = toy(TimeAxis::None, shelves);
    let books = side(&array![[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]);
    let matrix = Matrix::new(&dataset, None);
    let ridges = ridges(OBJECTIVE, matrix.by_reader(), 3);
    (half_epoch(matrix.by_reader(), &books, &ridges, OBJECTIVE).vectors, books.vectors)
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
    // The value that falls out of the solve against the objective written out, at the vectors it found.
    let dataset = toy(TimeAxis::None, "ann: a c | bob: b | cid: a b c");
    let matrix = Matrix::new(&dataset, None);
    let readers = side(&array![[1.0, 0.2], [0.0, 2.0], [0.5, 0.5]]);
    let ridges = [0.3, 0.4, 0.5];
    let solved = half_epoch(matrix.by_book(), &readers, &ridges, OBJECTIVE);
    let scores = readers.vectors.dot(&solved.vectors.t());
    let evidence: f32 =
        [(0, 0), (0, 2), (1, 1), (2, 0), (2, 1), (2, 2)].map(|pair| (1.0 - scores[pair]).powi(2)).iter().sum();
    let all: f32 = scores.iter().map(|p| p * p).sum();
    let norms = solved.vectors.map_axis(Axis(1), |book| f64::from(book.dot(&book)));
    let ridge: f64 = norms.iter().zip(ridges).map(|(norm, ridge)| norm * ridge).sum();
    assert!((solved.ridge - ridge).abs() < 1e-6);
    assert!((solved.value - f64::from(evidence + 0.1 * all) - ridge).abs() < 1e-5);
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
    let mut eigenvalues = vec![0.0; WIDE];
    eigenvalues.iter_mut().zip(factors.eigenvalues()).for_each(|(to, e)| *to = f64::from(*e));
    let books = Side::new(padded(&factors.books().to_owned()), eigenvalues);
    let matrix = Matrix::new(&dataset, None);
    let ridges = ridges(factors.objective(), matrix.by_reader(), matrix.by_book().len());
    let trained = half_epoch(matrix.by_reader(), &books, &ridges, factors.objective()).vectors;
    for (reader, (_, history)) in artifact.readers().iter().enumerate() {
        let scores = artifact.scores(history, &mut Scratch::default()).to_vec();
        let want = books.vectors.dot(&trained.row(reader));
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
    let refused = |params: Params| match fit(&params, None, &dataset, 1, &|_| ()) {
        Err(Error::Setting { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(Params { factors: 0, ..Params::default() }), "factors");
    assert_eq!(refused(Params { epochs: 0, ..Params::default() }), "epochs");
    assert_eq!(refused(Params { unobserved_weight: Some(0.0), ..Params::default() }), "unobserved_weight");
    assert_eq!(refused(Params { regularization: f64::NAN, ..Params::default() }), "regularization");
    assert_eq!(refused(Params { frequency_exponent: 1.5, ..Params::default() }), "frequency_exponent");
}

/// Random rows of many sizes with weights and, if asked, priors, against the normal equations solved in `f64`.
fn against_the_normal_equations(d: usize, with_priors: bool, regularization: f32) -> [f64; 2] {
    let mut random = ChaCha8Rng::seed_from_u64(d as u64);
    let mut normal = |spread: f64| Normal::new(0.0, spread).unwrap().sample(&mut random);
    let n_books = 300;
    let books = side(&Array2::from_shape_fn((n_books, d), |_| normal(0.3) as f32));
    let width = books.width();
    let mut builder = Builder::new(TimeAxis::None);
    builder.list((0..n_books).map(|book| models::Book::bare(format!("b{book:03}").parse().unwrap())));
    for (reader, size) in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 40, 63, 65, 80, 100, 129, 200].iter().enumerate()
    {
        for step in 0..*size {
            let book = format!("b{:03}", (step * 37 + reader * 11) % n_books);
            let weight = 0.5 + (step % 5) as f32;
            builder.add(&format!("r{reader:02}").parse().unwrap(), &book.parse().unwrap(), 0, weight);
        }
    }
    let matrix = Matrix::new(&builder.finish().0, None);
    let rows = matrix.by_reader();
    let ridges = ridges(Objective { regularization, ..OBJECTIVE }, rows, n_books);
    let priors = Array2::from_shape_fn((rows.len(), width), |(_, k)| if k < d { normal(0.5) as f32 } else { 0.0 });
    let priors = with_priors.then_some(&priors);
    let solved = HalfEpoch { rows, fixed: &books, ridges: &ridges, unobserved_weight: 0.1, priors, enough: EXACT }
        .solve(Array2::from_elem((rows.len(), width), 7.0));
    let (mut worst, mut value) = (0.0_f64, 0.0);
    for row in 0..rows.len() {
        let prior = |k: usize| priors.map_or(0.0, |priors| f64::from(priors[[row, k]]));
        let mut system = Array2::<f64>::zeros((width, width));
        let mut right = ndarray::Array1::<f64>::zeros(width);
        for k in 0..width {
            system[[k, k]] = 0.1 * books.eigenvalues[k] + ridges[row];
            right[k] = ridges[row] * prior(k);
        }
        let (columns, confidences) = rows.row(row);
        let z = |column: u32| books.vectors.row(column as usize).mapv(f64::from);
        for (column, c) in columns.iter().zip(confidences) {
            let (z, c) = (z(*column), f64::from(*c));
            right.scaled_add(c, &z);
            for i in 0..width {
                system.row_mut(i).scaled_add(c * z[i], &z);
            }
        }
        let want = models::score::solve_in_place(system, right);
        let got = solved.vectors.row(row).mapv(f64::from);
        let error = (&got - &want).mapv(|e| e * e).sum().sqrt() / want.mapv(|e| e * e).sum().sqrt();
        worst = worst.max(error);
        value +=
            columns.iter().zip(confidences).map(|(k, c)| f64::from(*c) * (1.0 - z(*k).dot(&want)).powi(2)).sum::<f64>();
        for k in 0..width {
            value += 0.1 * books.eigenvalues[k] * want[k].powi(2) + ridges[row] * (want[k] - prior(k)).powi(2);
        }
    }
    [worst, (solved.value / value - 1.0).abs()]
}

#[test]
fn every_way_of_solving_a_row_meets_the_normal_equations() {
    // Systems side by side and rows by conjugate gradients; whole lines of factors and parts of one. An f32 solve of
    // condition k errs by about k 6e-8, and k stays below 100 here; gradients stop at a residual of 1e-3, which is k times
    // as much of the answer at worst, and of the objective's value its square.
    for d in [3, 16, 20, 64, 128] {
        for with_priors in [false, true] {
            let [answer, value] = against_the_normal_equations(d, with_priors, 0.1);
            assert!(answer < 1e-2 && value < 1e-5, "d {d}, priors {with_priors}: {answer:e} {value:e}");
        }
    }
}

#[test]
fn a_row_that_gradients_cannot_finish_is_solved_exactly() {
    // With next to no ridge k is about 1e4: gradients give up on the longer rows, and the panels' dual and
    // primal err by k 6e-8 or so.
    for d in [64, 128] {
        let [answer, value] = against_the_normal_equations(d, true, 1e-5);
        assert!(answer < 1e-2 && value < 1e-3, "d {d}: {answer:e} {value:e}");
    }
}

#[test]
fn equal_seeds_give_equal_bytes_on_any_number_of_threads() {
    let dataset = random_shelves(150, 90, 5);
    let on = |n_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        let (artifact, losses) =
            pool.install(|| fitted(&dataset, Params { factors: 20, epochs: 3, ..Params::default() }));
        let Scorer::Factors(factors) = artifact.scorer() else { panic!("iALS is a factor model") };
        (factors.books().iter().map(|v| v.to_bits()).collect::<Vec<_>>(), losses)
    };
    assert_eq!(on(1), on(3));
}

/// Passes planned and the last loss of a fit that may start from `previous`.
fn passes(previous: Option<&Artifact>, dataset: &Dataset, params: Params) -> (usize, f64) {
    let last = RefCell::new((0, f64::NAN));
    let tell = |pass: Progress| *last.borrow_mut() = (pass.epochs, pass.loss);
    Algorithm::Ials(params).fit_from(previous, dataset, 7, &tell).unwrap();
    last.into_inner()
}

#[test]
fn a_warm_start_comes_as_far_in_three_passes_as_a_cold_one_in_sixteen() {
    let tonight = random_shelves(120, 90, 11);
    let yesterday = tonight.filtered(|row| (row.reader + row.book.0) % 20 != 0);
    let params = Params { factors: 8, epochs: 16, ..Params::default() };
    let (before, _) = fitted(&yesterday, params.clone());
    let (cold_passes, cold) = passes(None, &tonight, params.clone());
    let (warm_passes, warm) = passes(Some(&before), &tonight, params.clone());
    assert_eq!((cold_passes, warm_passes), (16, 3));
    assert!(warm < 1.01 * cold, "cold {cold}, warm {warm}");
    // Three passes from nothing do not get there.
    let (_, short) = passes(None, &tonight, Params { epochs: 3, ..params.clone() });
    assert!(short > warm, "short {short}, warm {warm}");
    // A model of another length is a start too.
    let (longer_passes, longer) = passes(Some(&before), &tonight, Params { factors: 12, ..params });
    assert_eq!(longer_passes, 3);
    assert!(longer < warm, "12 factors {longer}, 8 factors {warm}");
}

#[test]
fn a_model_of_other_books_is_no_start() {
    let (stranger, _) = fitted(&toy(TimeAxis::None, "ann: x y | bob: y z"), Params { factors: 2, ..Params::default() });
    let dataset = toy(TimeAxis::None, "ann: dune emma | bob: emma x");
    assert_eq!(passes(Some(&stranger), &dataset, Params::default()).0, Params::default().epochs);
    let popular = Algorithm::named("popularity").unwrap().fit(&dataset, 1, &|_| ()).unwrap();
    assert_eq!(passes(Some(&popular), &dataset, Params::default()).0, Params::default().epochs);
}

#[test]
fn an_unread_book_is_known_by_its_author() {
    let mut builder = Builder::new(TimeAxis::None);
    let by = |id: String, author: &str| models::Book {
        authors: vec![author.to_owned()],
        ..models::Book::bare(id.parse().unwrap())
    };
    builder.list((0..8).flat_map(|i| [by(format!("ann{i}"), "Ann Author"), by(format!("bob{i}"), "Bob Writer")]));
    // Readers keep to one author; each has six of the first seven books, and nobody has the eighth.
    for reader in 0..40 {
        for book in (0..7).filter(|book| book != &(reader % 7)) {
            let author = if reader % 2 == 0 { "ann" } else { "bob" };
            builder.add(&format!("r{reader}").parse().unwrap(), &format!("{author}{book}").parse().unwrap(), 0, 1.0);
        }
    }
    let dataset = builder.finish().0;
    let scores = |features: bool| {
        let weak = Params { unobserved_weight: Some(0.01), regularization: 0.1, ..Params::default() };
        let (artifact, _) = fitted(&dataset, Params { factors: 4, features, ..weak });
        let row = |id: &str| artifact.catalogue().row(id).unwrap();
        let scores = artifact.scores(&[row("ann0"), row("ann1")], &mut Scratch::default()).to_vec();
        ["ann2", "ann7", "bob7"].map(|id| scores[row(id).index()])
    };
    let [read, own, other] = scores(true);
    assert!(own > 0.5 && own < read && other < 0.5 * own, "read {read}, own {own}, other {other}");
    let [_, own, other] = scores(false);
    assert_eq!([own.to_bits(), other.to_bits()], [0, 0]);
}
