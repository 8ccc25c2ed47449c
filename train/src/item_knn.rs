//! Cosine item-kNN: a book is near another when the same readers took up both (Sarwar et al. 2001).

use models::Scorer;
use serde::{Deserialize, Serialize};

use crate::{cooccurrence, dataset::Dataset, error::Error, matrix::Matrix, popularity::check_half_life};

/// Settings of cosine item-kNN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// How many sources are kept for each target book, at least 1.
    pub neighbours: usize,
    /// Added to the denominator: damps pairs seen by few readers. Not negative.
    pub shrink: f64,
    /// Days after which an interaction counts half; only on a clock.
    pub half_life_days: Option<f64>,
}

impl Default for Params {
    fn default() -> Self {
        Self { neighbours: 100, shrink: 0.0, half_life_days: None }
    }
}

/// `w_ij = C_ij / (sqrt(C_ii C_jj) + shrink)`, `w_ii = 0`, the best `neighbours` sources kept per target `j`.
///
/// `C_ij = sum over readers of c_ui c_uj`, which counts shared readers when confidences are 1. Keeping per target, not
/// per source, lets every book with readers be reached from somewhere.
pub(crate) fn fit(params: &Params, dataset: &Dataset) -> Result<Scorer, Error> {
    check_half_life(params.half_life_days)?;
    check_neighbours(params.neighbours)?;
    if !(params.shrink.is_finite() && params.shrink >= 0.0) {
        let found = params.shrink.to_string();
        return Err(Error::Setting { field: "shrink", expected: "a finite number from 0", found });
    }
    let matrix = Matrix::new(dataset, params.half_life_days);
    let by_book = matrix.by_book();
    let norms: Vec<f64> = (0..by_book.len())
        .map(|book| by_book.row(book).1.iter().map(|c| f64::from(*c).powi(2)).sum::<f64>().sqrt())
        .collect();
    let cosine = |i: usize, j: usize, shared: f32| (f64::from(shared) / (norms[i] * norms[j] + params.shrink)) as f32;
    let lists = cooccurrence::best_of_rows(by_book, matrix.by_reader(), params.neighbours, cosine);
    // The weights are symmetric: the best of row j are the best sources of target j.
    Ok(Scorer::Neighbours(cooccurrence::by_target(&lists)?))
}

pub(crate) fn check_neighbours(neighbours: usize) -> Result<(), Error> {
    if neighbours == 0 {
        return Err(Error::Setting { field: "neighbours", expected: "at least 1", found: "0".to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use models::{BookRow, Neighbours};

    use super::*;
    use crate::dataset::{TimeAxis, tests::toy};

    /// Four readers, books A to D in rows 0 to 3.
    const SHELVES: &str = "r1: A B | r2: A B C | r3: B C | r4: A D";

    fn fitted(params: &Params) -> Neighbours {
        match fit(params, &toy(TimeAxis::None, SHELVES)).unwrap() {
            Scorer::Neighbours(neighbours) => neighbours,
            other => panic!("{}", other.family()),
        }
    }

    fn weight(neighbours: &Neighbours, i: u32, j: u32) -> f32 {
        let (targets, weights) = neighbours.row(BookRow(i));
        targets.iter().position(|target| target.0 == j).map_or(0.0, |place| weights[place])
    }

    #[test]
    fn weights_are_cosines() {
        let neighbours = fitted(&Params::default());
        for (i, j, want) in [(0, 1, 0.6667), (0, 2, 0.4082), (0, 3, 0.5774), (1, 2, 0.8165), (1, 3, 0.0), (0, 0, 0.0)] {
            assert!((weight(&neighbours, i, j) - want).abs() < 1e-4, "{i} {j}");
            assert!((weight(&neighbours, j, i) - want).abs() < 1e-4, "{j} {i}");
        }
    }

    #[test]
    fn shrinking_favours_pairs_with_many_readers() {
        let neighbours = fitted(&Params { shrink: 10.0, ..Params::default() });
        assert!((weight(&neighbours, 0, 1) - 0.1538).abs() < 1e-4);
        assert!((weight(&neighbours, 1, 2) - 0.1606).abs() < 1e-4);
    }

    #[test]
    fn each_target_keeps_its_best_source() {
        let neighbours = fitted(&Params { neighbours: 1, ..Params::default() });
        let kept: Vec<(u32, u32)> = (0..4)
            .flat_map(|i| (0..4).map(move |j| (i, j)))
            .filter(|(i, j)| weight(&neighbours, *i, *j) > 0.0)
            .collect();
        assert_eq!(kept, [(0, 3), (1, 0), (1, 2), (2, 1)]); // A<-B, B<-C, C<-B, D<-A.
    }
}
