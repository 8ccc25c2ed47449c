use models::{BookRow, top_k::Scored};

use super::*;
use crate::dataset::{TimeAxis, tests::toy};

/// Four readers, books A to D in rows 0 to 3; the Gram matrix plus 1 has determinant 40.
const SHELVES: &str = "r1: A B | r2: A B C | r3: B C | r4: A D";

/// Weights by source and target, zeros where nothing is kept.
fn square(lists: &[Vec<Scored>]) -> Vec<Vec<f32>> {
    let mut square = vec![vec![0.0; lists.len()]; lists.len()];
    for (j, list) in lists.iter().enumerate() {
        for scored in list {
            square[scored.row.index()][j] = scored.score;
        }
    }
    square
}

fn design(params: &Params) -> Design {
    Design::new(&toy(TimeAxis::None, SHELVES), &params.weighting())
}

fn both_ways(design: &Design) -> [Vec<Vec<f32>>; 2] {
    [dense::by_books(design, 9).unwrap(), dense::by_readers(design, 9).unwrap()].map(|lists| square(&lists))
}

fn close(got: &[f32], want: &[f32]) {
    assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 6e-5), "got {got:?}, want {want:?}");
}

#[test]
fn weights_are_those_of_the_inverse_from_either_side() {
    // 40 P = [[16, -8, 0, -8], [-8, 19, -10, 4], [0, -10, 20, 0], [-8, 4, 0, 24]]; column j over -P_jj.
    for weights in both_ways(&design(&Params { regularization: 1.0, normalization: 0.0, ..Params::default() })) {
        close(&weights[0], &[0.0, 8.0 / 19.0, 0.0, 8.0 / 24.0]);
        close(&weights[1], &[0.5, 0.0, 0.5, -4.0 / 24.0]);
        close(&weights[2], &[0.0, 10.0 / 19.0, 0.0, 0.0]);
        close(&weights[3], &[0.5, -4.0 / 19.0, 0.0, 0.0]);
    }
}

#[test]
fn centred_and_normalised_weights_are_those_of_the_random_field() {
    // Variations 3/4, 3/4, 1 and 3/4 to the power .375.
    let params = Params { regularization: 1.0, normalization: 0.75, centred: true, ..Params::default() };
    for weights in both_ways(&design(&params)) {
        close(&weights[0], &[0.0, -0.0496, -0.2608, 0.0496]);
        close(&weights[1], &[-0.0608, 0.0, 0.1886, -0.4324]);
    }
}

#[test]
fn a_reader_of_many_books_counts_less_for_each() {
    // With p = 1 the Gram matrix sums 1 / (books of the reader): A'A = 1/2 + 1/3 + 1/2, A'B = 1/2 + 1/3.
    let design = design(&Params { reader_exponent: 1.0, normalization: 0.0, ..Params::default() });
    let mut row = [0.0; 4];
    design.gram_row(0, &mut row);
    close(&row, &[4.0 / 3.0, 5.0 / 6.0, 1.0 / 3.0, 0.5]);
}

#[test]
fn the_sides_agree_on_many_books() {
    // 40 readers and 90 books: kinds of three, and strays from a multiplicative hash.
    let mut text = Vec::new();
    for reader in 0..40_u32 {
        let noise = |book: u32| (reader * 7919 + book * 104_729).wrapping_mul(2_654_435_761) >> 24;
        let likes = (0..90).filter(|book| noise(*book) < if reader % 3 == book % 3 { 80 } else { 10 });
        text.push(format!("r{reader}: {}", likes.map(|book| format!("b{book:02}")).collect::<Vec<_>>().join(" ")));
    }
    let dataset = toy(TimeAxis::None, &text.join("|"));
    for (normalization, centred) in [(0.0, false), (0.5, true)] {
        let params = Params { regularization: 2.0, normalization, centred, ..Params::default() };
        let design = Design::new(&dataset, &params.weighting());
        let n = dataset.catalogue().len();
        let books = square(&dense::by_books(&design, n).unwrap());
        let readers = square(&dense::by_readers(&design, n).unwrap());
        // The condition is below 600 (the largest sum of a row over the ridge): 600 * 2^-24 = 4e-5.
        let furthest = books.concat().iter().zip(readers.concat()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(furthest < 4e-5, "{furthest}");
    }
}

#[test]
fn what_everyone_read_says_nothing_when_centred() {
    let dataset = toy(TimeAxis::None, "r1: A B | r2: A B C | r3: A C");
    let params = Params { regularization: 1.0, normalization: 0.5, centred: true, ..Params::default() };
    let Scorer::Neighbours(neighbours) = fit(&params, &dataset).unwrap() else { panic!("EASE is a neighbour model") };
    assert!(neighbours.row(BookRow(0)).0.is_empty());
    assert!(neighbours.parts().1.iter().all(|target| target.0 != 0));
}

#[test]
fn a_ridge_lost_in_rounding_is_refused() {
    // Two books always read together: without a ridge the Gram matrix is singular, and 1e-9 is nothing beside 40.
    let text = (0..40).map(|reader| format!("r{reader}: A B")).collect::<Vec<_>>().join("|");
    let params = Params { regularization: 1e-9, normalization: 0.0, ..Params::default() };
    let refused = fit(&params, &toy(TimeAxis::None, &text)).unwrap_err();
    assert!(refused.to_string().starts_with("setting regularization"), "{refused}");
    // Two readers, each alone with their books: their whole variation is explained.
    let refused = fit(&params, &toy(TimeAxis::None, "r1: A | r2: B C")).unwrap_err();
    assert!(refused.to_string().starts_with("setting regularization"), "{refused}");
}

#[test]
fn a_catalogue_too_large_is_refused_with_the_form_that_is_not() {
    let text = (0..30_001).map(|reader| format!("r{reader}: b{reader}")).collect::<Vec<_>>().join("|");
    let refused = fit(&Params::default(), &toy(TimeAxis::None, &text)).unwrap_err().to_string();
    assert!(refused.contains("ease_sparse") && refused.contains("3.6 GB"), "{refused}");
}
