//! RP3beta: a three-step random walk book, reader, book, with popular targets damped (Paudel et al. 2017).

use models::Scorer;
use serde::{Deserialize, Serialize};

use crate::{
    cooccurrence, dataset::Dataset, error::Error, item_knn::check_neighbours, matrix::Matrix,
    popularity::check_half_life,
};

/// Settings of RP3beta.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// How many targets are kept for each source book, at least 1.
    pub neighbours: usize,
    /// Exponent of the steps' probabilities, in `[0, 2]`.
    pub alpha: f64,
    /// Exponent of the target's popularity, in `[0, 2]`; 0 leaves popular books alone.
    pub beta: f64,
    /// Days after which an interaction counts half; only on a clock.
    pub half_life_days: Option<f64>,
}

impl Default for Params {
    fn default() -> Self {
        Self { neighbours: 200, alpha: 1.0, beta: 0.6, half_life_days: None }
    }
}

/// `W_ij = [sum over readers u of (c_ui / t_i)^alpha (c_uj / t_u)^alpha] / t_j^beta`, `W_ii = 0`, best per source kept.
///
/// `t` are totals of confidences, which are degrees when confidences are 1: then the first factor is `(1/deg i)^alpha`
/// and the second `(1/deg u)^alpha`.
pub(crate) fn fit(params: &Params, dataset: &Dataset) -> Result<Scorer, Error> {
    check_half_life(params.half_life_days)?;
    check_neighbours(params.neighbours)?;
    for (field, value) in [("alpha", params.alpha), ("beta", params.beta)] {
        if !(0.0..=2.0).contains(&value) {
            return Err(Error::Setting { field, expected: "a number in [0, 2]", found: value.to_string() });
        }
    }
    let matrix = Matrix::new(dataset, params.half_life_days);
    let (book_totals, reader_totals) = (matrix.by_book().totals(), matrix.by_reader().totals());
    let step = |totals: &[f64], row: usize, c: f32| (f64::from(c) / totals[row]).powf(params.alpha) as f32;
    let to_reader = matrix.by_book().mapped(|book, _, c| step(&book_totals, book, c));
    let to_book = matrix.by_reader().mapped(|reader, _, c| step(&reader_totals, reader, c));
    let damping: Vec<f64> = book_totals.iter().map(|total| total.powf(params.beta)).collect();
    let damped = |_: usize, j: usize, walked: f32| (f64::from(walked) / damping[j]) as f32;
    let lists = cooccurrence::best_of_rows(&to_reader, &to_book, params.neighbours, damped);
    Ok(Scorer::Neighbours(cooccurrence::by_source(&lists)?))
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact in binary")]
mod tests {
    use models::BookRow;

    use super::*;
    use crate::dataset::{TimeAxis, tests::toy};

    /// Weights of the toy shelves, four readers, books A to D in rows 0 to 3.
    fn weight(beta: f64, i: u32, j: u32) -> f32 {
        let dataset = toy(TimeAxis::None, "r1: A B | r2: A B C | r3: B C | r4: A D");
        let Scorer::Neighbours(neighbours) = fit(&Params { beta, ..Params::default() }, &dataset).unwrap() else {
            panic!("RP3beta is a neighbour model")
        };
        let (targets, weights) = neighbours.row(BookRow(i));
        targets.iter().position(|target| target.0 == j).map_or(0.0, |place| weights[place])
    }

    #[test]
    fn weights_are_walks() {
        assert!((weight(0.0, 0, 2) - 1.0 / 9.0).abs() < 1e-6); // A to C by r2 only: 1/3 * 1/3.
        assert!((weight(0.0, 1, 2) - 5.0 / 18.0).abs() < 1e-6); // B to C by r2 and r3: 1/3 * (1/3 + 1/2).
        assert!((weight(0.0, 0, 3) - 1.0 / 6.0).abs() < 1e-6);
        assert_eq!(weight(0.0, 2, 3), 0.0);
    }

    #[test]
    fn beta_damps_targets_with_many_readers() {
        assert!((weight(0.5, 0, 2) - 0.0786).abs() < 1e-4); // 1/9 over the root of C's two readers.
        assert!((weight(0.5, 0, 3) - 0.1667).abs() < 1e-4); // D has one reader.
    }
}
