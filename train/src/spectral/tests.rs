use models::{Artifact, BookRow, Scratch};
use ndarray::{Array1, Array2};

use super::*;
use crate::{
    Algorithm,
    dataset::{TimeAxis, tests::toy},
};

/// Four readers, books A to D in rows 0 to 3.
const SHELVES: &str = "r1: A B | r2: A B C | r3: B C | r4: A D";

fn fitted(params: Params, text: &str) -> Artifact {
    Algorithm::Spectral(params).fit(&toy(TimeAxis::None, text), 7, &|_| ()).unwrap()
}

fn scores(artifact: &Artifact, history: &[u32]) -> Vec<f32> {
    let history: Vec<BookRow> = history.iter().copied().map(BookRow).collect();
    artifact.scores(&history, &mut Scratch::default()).to_vec()
}

/// `D^-a h(F) D^a` written out, `F` from dense products and its powers; the low-pass from `low`, which is `V V'`.
fn by_hand(text: &str, params: &Params, low: &Array2<f64>) -> Array2<f64> {
    let matrix = Matrix::new(&toy(TimeAxis::None, text), None);
    let (n_readers, n_books) = (matrix.by_reader().len(), matrix.by_book().len());
    let mut r = Array2::<f64>::zeros((n_readers, n_books));
    for reader in 0..n_readers {
        for book in matrix.by_reader().row(reader).0 {
            let degrees = matrix.by_reader().degree(reader) * matrix.by_book().degree(*book as usize);
            r[(reader, *book as usize)] = (degrees as f64).sqrt().recip();
        }
    }
    let f = r.t().dot(&r);
    let mut y = &f + &(low * params.low_pass);
    let (start, mut term) = (y.clone(), y.clone());
    for power in 1..=4 {
        term = term.dot(&f) * (-params.sharpening / f64::from(power));
        y += &term;
    }
    assert!(params.sharpening > 0.0 || y == start);
    let frame: Array1<f64> =
        (0..n_books).map(|book| (matrix.by_book().degree(book) as f64).powf(params.popularity_exponent)).collect();
    Array2::from_shape_fn((n_books, n_books), |(i, j)| y[(i, j)] * frame[j] / frame[i])
}

#[test]
fn the_low_pass_of_the_toy_shelves_is_the_worked_one() {
    // Published form: the step unframed, the low-pass framed by a = 1/2. For r1 = {A, B} the step gives C 0.4763 and
    // D 0.2887, the low-pass at q 2 C 0.4718 and D 0.1891. Framed by 1/2 too, a step from i to j gains (t_j / t_i)^1/2.
    let with = |low_pass, popularity_exponent| {
        let params =
            Params { vectors: 2, low_pass, sharpening: 0.0, popularity_exponent, neighbours: 4, half_life_days: None };
        scores(&fitted(params, SHELVES), &[0, 1])
    };
    let (step, framed, both) = (with(0.0, 0.0), with(0.0, 0.5), with(0.3, 0.5));
    assert!((step[2] - 0.4763).abs() < 1e-4 && (step[3] - 0.2887).abs() < 1e-4, "{step:?}");
    for (book, low_pass, total) in [(2, 0.4718, 2.0_f32), (3, 0.1891, 1.0)] {
        assert!((framed[book] - step[book] * (total / 3.0).sqrt()).abs() < 1e-6, "{framed:?}");
        assert!(((both[book] - framed[book]) / 0.3 - low_pass).abs() < 1e-3, "{both:?}");
    }
}

#[test]
fn one_step_damps_the_top_direction_most_but_one_that_is_long() {
    // Multipliers of step 2.5 at 0, 1/4, 1/2, 3/4 and 1.
    let got = [0.0, 0.25, 0.5, 0.75, 1.0].map(|x| sharpened(2.5, x));
    for (got, want) in got.into_iter().zip([1.0, 0.536, 0.3075, 0.2992, 0.6484]) {
        assert!((got - want).abs() < 1e-4, "{got} {want}");
    }
    // And it is exp(-step x) up to the fifth power.
    assert!((sharpened(0.5, 0.4) - (-0.2_f64).exp()).abs() < 0.2_f64.powi(5) / 120.0);
}

/// 60 readers of about 8 of 40 books.
fn shelves() -> String {
    let shelf = |reader: u32| {
        let held =
            (0..40_u32).filter(|book| ((reader * 64 + book).wrapping_mul(2_654_435_761) >> 24).is_multiple_of(5));
        format!("r{reader}: {}", held.map(|book| format!("b{book}")).collect::<Vec<_>>().join(" "))
    };
    (0..60).map(shelf).collect::<Vec<_>>().join(" | ")
}

#[test]
fn with_all_eigenvectors_the_response_is_exact() {
    let text = shelves();
    let params = Params { vectors: 40, neighbours: 40, low_pass: 0.4, sharpening: 1.5, ..Params::default() };
    let identity = Array2::eye(40);
    let want = by_hand(&text, &params, &identity);
    let artifact = fitted(params, &text);
    for i in 0..40_u32 {
        // Own entries differ: a book does not point at itself in the sparse part.
        let got = scores(&artifact, &[i]);
        for j in (0..40).filter(|j| *j != i as usize) {
            let want = want[(i as usize, j)];
            assert!((f64::from(got[j]) - want).abs() < 2e-5, "{i} {j}: {} {want}", got[j]);
        }
    }
}

#[test]
fn beyond_the_held_eigenvectors_the_error_is_bounded_by_the_bend_of_the_response() {
    // Without low-pass, what is lost beyond x_q is x (m(x) - m(x_q / 2)) in norm, at most x_q |m(0) - m(x_q / 2)|
    // or x_q |m(x_q) - m(x_q / 2)|: below T x_q^2 / 2 as m falls no faster than T. The frame multiplies an entry by
    // (t_j / t_i)^a.
    let text = shelves();
    let params = Params {
        vectors: 8,
        neighbours: 40,
        low_pass: 0.0,
        sharpening: 1.0,
        popularity_exponent: 0.0,
        ..Params::default()
    };
    let want = by_hand(&text, &params, &Array2::zeros((40, 40)));
    let all = Params { vectors: 40, ..params.clone() };
    let matrix = Matrix::new(&toy(TimeAxis::None, &text), None);
    assert_eq!(matrix.by_book().len(), 40);
    let (few, many) = (fitted(params, &text), fitted(all, &text));
    let (mut lost, mut kept) = (0.0_f64, 0.0_f64);
    for i in 0..40_u32 {
        let (got, exact) = (scores(&few, &[i]), scores(&many, &[i]));
        for j in (0..40).filter(|j| *j != i as usize) {
            lost = lost.max((f64::from(got[j]) - want[(i as usize, j)]).abs());
            kept = kept.max((f64::from(exact[j]) - want[(i as usize, j)]).abs());
        }
    }
    // x_8 is below 0.4 here.
    assert!(kept < 2e-5, "{kept}");
    assert!(lost < 0.4 * 0.4 / 2.0 && lost > kept, "{lost}");
}

#[test]
fn settings_out_of_range_are_refused() {
    let refused = |params: Params| fit(&params, &toy(TimeAxis::None, SHELVES), 1).unwrap_err().to_string();
    let vectors = refused(Params { vectors: 0, ..Params::default() });
    assert_eq!(vectors, "setting vectors: expected 1 to 2048, found 0");
    let low_pass = refused(Params { low_pass: -0.1, ..Params::default() });
    assert_eq!(low_pass, "setting low_pass: expected a number in [0, 10], found -0.1");
    let sharpening = refused(Params { sharpening: f64::NAN, ..Params::default() });
    assert_eq!(sharpening, "setting sharpening: expected a number in [0, 3], found NaN");
    let exponent = refused(Params { popularity_exponent: 1.5, ..Params::default() });
    assert_eq!(exponent, "setting popularity_exponent: expected a number in [0, 1], found 1.5");
}
