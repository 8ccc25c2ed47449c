//! Most popular books: the rival every model must beat, and the last resort of every artefact.

use models::Scorer;
use serde::{Deserialize, Serialize};

use crate::{
    dataset::{Dataset, TimeAxis},
    error::{Error, positive},
    matrix::DAY_MS,
};

/// Settings of the popularity model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Days after which an interaction counts half; only on a clock. `None` counts distinct readers instead.
    pub half_life_days: Option<f64>,
}

/// Checks the settings; the scores themselves are the artefact's popularity.
pub(crate) fn fit(params: &Params) -> Result<Scorer, Error> {
    check_half_life(params.half_life_days)?;
    Ok(Scorer::Popularity)
}

/// Refuses a half-life that is not a number of days.
pub(crate) fn check_half_life(days: Option<f64>) -> Result<(), Error> {
    days.map_or(Ok(()), |days| positive("half_life_days", days).map(|_| ()))
}

/// Popularity of each book, by row, shape `(n_books,)`, not negative.
///
/// On a clock with a half-life: `sum over interactions of weight * 2^(-(T - at) / half-life)` with `T` the newest
/// interaction of the data set, repeats counted. Otherwise the number of distinct readers, which one eager reader
/// cannot raise.
pub fn of_books(dataset: &Dataset, half_life_days: Option<f64>) -> Vec<f32> {
    let mut counts = vec![0.0_f64; dataset.catalogue().len()];
    if let (Some(days), TimeAxis::Clock, Some(newest)) = (half_life_days, dataset.axis(), dataset.newest()) {
        for row in dataset.interactions() {
            let age_days = (newest - row.at) as f64 / DAY_MS;
            counts[row.book.index()] += f64::from(row.weight) * (-age_days / days).exp2();
        }
    } else {
        let mut pairs: Vec<(u32, u32)> = dataset.interactions().iter().map(|row| (row.book.0, row.reader)).collect();
        pairs.sort_unstable();
        pairs.dedup();
        for (book, _) in pairs {
            counts[book as usize] += 1.0;
        }
    }
    counts.into_iter().map(|count| count as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Builder, tests::toy};

    #[test]
    fn old_interactions_fade_by_their_half_life() {
        let mut builder = Builder::new(TimeAxis::Clock);
        for (reader, days_ago) in [("ann", 0), ("bob", 3), ("cy", 10)] {
            builder.add(&reader.parse().unwrap(), &"dune".parse().unwrap(), -days_ago * 86_400_000, 1.0);
        }
        let popularity = of_books(&builder.finish().0, Some(7.0));
        assert!((popularity[0] - 2.1145).abs() < 1e-4, "{popularity:?}"); // 1 + 0.7430 + 0.3715
    }

    #[test]
    fn one_eager_reader_counts_once() {
        let dataset = toy(TimeAxis::Order, "ann: dune dune dune | bob: emma | cy: emma");
        assert_eq!(of_books(&dataset, Some(7.0)), [1.0, 2.0], "a half-life needs a clock");
    }

    #[test]
    fn a_half_life_is_a_positive_number() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(fit(&Params { half_life_days: Some(bad) }).is_err(), "{bad}");
        }
    }
}
