use models::{BookRow, Neighbours};

use super::*;
use crate::{
    dataset::{TimeAxis, tests::toy},
    ease,
};

fn neighbours(scorer: Scorer) -> Neighbours {
    match scorer {
        Scorer::Neighbours(neighbours) => neighbours,
        other => panic!("{}", other.family()),
    }
}

fn weight(neighbours: &Neighbours, i: u32, j: u32) -> f32 {
    let (targets, weights) = neighbours.row(BookRow(i));
    targets.iter().position(|target| target.0 == j).map_or(0.0, |place| weights[place])
}

/// Every pair of its four books has a reader in common and none is without correlation.
const CONNECTED: &str = "r1: A B | r2: A B C | r3: B C | r4: A D | r5: B D | r6: C D | r7: A B C";

#[test]
fn with_every_book_near_it_is_ease() {
    let dataset = toy(TimeAxis::None, CONNECTED);
    for (normalization, centred, reader_exponent) in [(0.0, false, 0.0), (0.75, true, 0.0), (0.5, false, 0.5)] {
        let dense = ease::Params { regularization: 1.0, normalization, centred, reader_exponent, ..Default::default() };
        let local = Params { regularization: 1.0, normalization, centred, reader_exponent, ..Default::default() };
        let (dense, local) =
            (neighbours(ease::fit(&dense, &dataset).unwrap()), neighbours(fit(&local, &dataset).unwrap()));
        for (i, j) in (0..4).flat_map(|i| (0..4).map(move |j| (i, j))) {
            let (want, got) = (weight(&dense, i, j), weight(&local, i, j));
            assert!((want - got).abs() < 1e-5, "{i} {j}: {got}, want {want}");
        }
    }
}

#[test]
fn one_candidate_is_a_regression_on_one_book() {
    // C has readers in common with A (one) and B (two): b = x_B'x_C / (x_B'x_B + lambda) = 2 / (3 + 1).
    let dataset = toy(TimeAxis::None, "r1: A B | r2: A B C | r3: B C | r4: A D");
    let params = Params { regularization: 1.0, candidates: 1, normalization: 0.0, ..Params::default() };
    let got = neighbours(fit(&params, &dataset).unwrap());
    assert!((weight(&got, 1, 2) - 0.5).abs() < 1e-6);
    assert_eq!(got.parts().1.len(), 4, "one source for each target");
}

#[test]
fn settings_out_of_range_are_refused() {
    let dataset = toy(TimeAxis::None, CONNECTED);
    for params in [
        Params { candidates: 0, ..Params::default() },
        Params { neighbours: 0, ..Params::default() },
        Params { regularization: 0.0, ..Params::default() },
        Params { normalization: 1.5, ..Params::default() },
    ] {
        assert!(matches!(fit(&params, &dataset), Err(Error::Setting { .. })), "{params:?}");
    }
}
