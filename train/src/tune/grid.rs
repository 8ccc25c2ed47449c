//! Which values of which settings are worth trying.

use rand::{SeedableRng, seq::index};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::{algorithm::Algorithm, dataset::TimeAxis, error::Error};

/// The settings of an algorithm that are looked for, each with its values; what is not named stays as given.
///
/// Strengths go by factors of three or so, exponents by even steps. What only buys quality for time and memory (factors,
/// eigenvectors, neighbours kept) is not looked for, except where less can be better. Empty for a blend.
pub fn grid(algorithm: &Algorithm, axis: TimeAxis) -> Vec<(&'static str, Vec<Value>)> {
    let regression = || {
        vec![
            ("regularization", values(&[3.0, 10.0, 30.0, 100.0, 300.0, 1000.0])),
            ("normalization", values(&[0.0, 0.15, 0.3, 0.5, 0.7])),
            ("reader_exponent", values(&[0.0, 0.25, 0.5])),
            ("centred", vec![json!(false), json!(true)]),
        ]
    };
    let mut found = match algorithm {
        Algorithm::Popularity(_) => Vec::new(),
        Algorithm::ItemKnn(_) => vec![
            ("neighbours", numbers(&[20, 50, 100, 200, 500])),
            ("shrink", values(&[0.0, 1.0, 3.0, 10.0, 30.0, 100.0])),
        ],
        Algorithm::Rp3Beta(_) => vec![
            ("neighbours", numbers(&[50, 100, 200, 500])),
            ("alpha", values(&[0.6, 0.8, 1.0, 1.2, 1.5])),
            ("beta", values(&[0.1, 0.2, 0.4, 0.6, 0.8])),
        ],
        Algorithm::VmisKnn(_) => vec![
            ("clicks", numbers(&[2, 3, 4, 6, 9])),
            ("sample", numbers(&[500, 1000, 1500, 3000])),
            ("neighbours", numbers(&[50, 100, 200, 288, 500])),
            ("rarity", vec![json!(true), json!(false)]),
        ],
        Algorithm::Ease(_) | Algorithm::EaseSparse(_) => regression(),
        Algorithm::Ials(_) => vec![
            ("regularization", values(&[0.001, 0.003, 0.006, 0.01, 0.03, 0.1])),
            ("unobserved_weight", [vec![Value::Null], values(&[0.001, 0.003, 0.01, 0.03, 0.1, 0.3])].concat()),
            ("frequency_exponent", values(&[0.5, 0.75, 1.0])),
        ],
        Algorithm::Spectral(_) => vec![
            ("low_pass", values(&[0.0, 0.1, 0.2, 0.3, 0.5])),
            ("sharpening", values(&[0.0, 0.5, 1.0, 1.5, 2.0])),
            ("popularity_exponent", values(&[0.0, 0.2, 0.35, 0.5])),
        ],
        Algorithm::Blend(_) => return Vec::new(),
    };
    if axis == TimeAxis::Clock && !matches!(algorithm, Algorithm::VmisKnn(_)) {
        let days = values(&[3.0, 7.0, 14.0, 30.0, 90.0, 365.0]);
        found.push(("half_life_days", [vec![Value::Null], days].concat()));
    }
    found
}

fn values(values: &[f64]) -> Vec<Value> {
    values.iter().map(|value| json!(value)).collect()
}

fn numbers(numbers: &[usize]) -> Vec<Value> {
    numbers.iter().map(|number| json!(number)).collect()
}

/// `given` and up to `n - 1` other points of its grid, drawn without repetition.
pub(super) fn drawn(given: &Algorithm, axis: TimeAxis, n: usize, seed: u64) -> Result<Vec<Algorithm>, Error> {
    let grid = grid(given, axis);
    if grid.is_empty() {
        let found = given.name().to_owned();
        return Err(Error::Setting { field: "tune", expected: "an algorithm with settings to look for", found });
    }
    let n_points: usize = grid.iter().map(|(_, values)| values.len()).product();
    let plain = serde_json::to_value(given).expect("settings are plain");
    let point = |mut place: usize| {
        let mut settings = plain.clone();
        for (name, values) in &grid {
            settings[*name] = values[place % values.len()].clone();
            place /= values.len();
        }
        serde_json::from_value::<Algorithm>(settings).expect("a grid names settings that exist, with values that fit")
    };
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn = vec![given.clone()];
    // One more than needed, for the given settings may be among them.
    for place in index::sample(&mut random, n_points, n.min(n_points)) {
        let algorithm = point(place);
        if drawn.len() < n && algorithm != *given {
            drawn.push(algorithm);
        }
    }
    Ok(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::NAMES;

    #[test]
    fn draws_are_different_points_that_begin_with_what_was_given() {
        for (name, axis) in NAMES.iter().flat_map(|name| [(name, TimeAxis::None), (name, TimeAxis::Clock)]) {
            let given = Algorithm::named(name).unwrap();
            let n_points: usize = grid(&given, axis).iter().map(|(_, values)| values.len()).product();
            if grid(&given, axis).is_empty() {
                assert!(drawn(&given, axis, 5, 1).is_err(), "{name}");
                continue;
            }
            let some = drawn(&given, axis, 5, 1).unwrap();
            assert_eq!((some.len(), &some[0]), (5, &given), "{name}");
            assert_eq!(some, drawn(&given, axis, 5, 1).unwrap());
            let all = drawn(&given, axis, 10_000, 1).unwrap();
            assert!(all.iter().enumerate().all(|(place, one)| !all[..place].contains(one)), "{name}");
            assert!((n_points..=n_points + 1).contains(&all.len()), "{name}: {} of {n_points}", all.len());
        }
    }
}
