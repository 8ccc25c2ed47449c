//! Choosing an algorithm's settings: many tried on few readers, the better third of them on three times as many.
//!
//! Successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943) with a third kept each time, over settings drawn
//! from a grid. The last round is on all readers, so what is chosen was compared at full size; earlier rounds only have
//! to keep it. Nothing here looks at a test: the data given is divided again, into a past and a future of its own.

mod grid;

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use self::grid::grid;
use crate::{
    algorithm::Algorithm,
    dataset::Dataset,
    error::Error,
    evaluate::{Evaluation, evaluate},
    split::Split,
};

/// One in so many goes on to the next round.
const KEPT: usize = 3;
/// Rounds at most; the first is then on a ninth of the readers.
const MOST_ROUNDS: usize = 3;

/// How settings are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// Settings tried in the first round, at least 1; the ones given are always among them.
    pub settings: usize,
    /// Length of the lists judged.
    pub at: usize,
    /// Seed of the draws and of the fits.
    pub seed: u64,
}

/// One fit with what it was worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What was fitted.
    pub algorithm: Algorithm,
    /// Readers of the data it was fitted to and judged on.
    pub readers: usize,
    /// Mean NDCG over the readers judged; `None` where nobody could be.
    pub ndcg: Option<f64>,
    /// Its standard error over readers.
    pub se: Option<f64>,
}

/// The rounds of a search: how many settings each tries and on which share of the readers.
///
/// ```
/// assert_eq!(train::tune::rounds(27), [(27, 1.0 / 9.0), (9, 1.0 / 3.0), (3, 1.0)]);
/// assert_eq!(train::tune::rounds(2), [(2, 1.0)]);
/// ```
pub fn rounds(settings: usize) -> Vec<(usize, f64)> {
    let mut tried = vec![settings.max(1)];
    while tried.len() < MOST_ROUNDS && tried[tried.len() - 1] >= KEPT {
        tried.push(tried[tried.len() - 1] / KEPT);
    }
    let n_rounds = tried.len();
    let share = |round: usize| (KEPT as f64).powi(-((n_rounds - 1 - round) as i32));
    tried.into_iter().enumerate().map(|(round, settings)| (settings, share(round))).collect()
}

/// Looks for the settings of `given` with the highest NDCG; gives the trials of the last round, best first.
///
/// `divide` cuts data into a past and a future. `known` is asked before each fit whether an interrupted search already
/// made it; `record` is told of each trial that was made now. Equal data, settings and seed try the same things in the
/// same order, so a search goes on where it was stopped; an error of `record` stops it. Of equally good settings the one drawn first is taken; those
/// given are drawn first of all. Fails where a grid is empty (a blend chooses its own shares) and where a fit does.
pub fn tune<E: From<Error>>(
    given: &Algorithm,
    search: Search,
    data: &Dataset,
    divide: &dyn Fn(&Dataset) -> Result<Split, Error>,
    known: &dyn Fn(&Algorithm, usize) -> Option<Trial>,
    record: &mut dyn FnMut(&Trial) -> Result<(), E>,
) -> Result<Vec<Trial>, E> {
    let mut contenders = grid::drawn(given, data.axis(), search.settings, search.seed)?;
    let mut order: Vec<u32> = (0..data.readers().len() as u32).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(search.seed));
    let mut trials = Vec::new();
    for (n_settings, share) in rounds(contenders.len()) {
        contenders.truncate(n_settings);
        let n_readers = ((order.len() as f64 * share).ceil() as usize).min(order.len());
        let mut taken = vec![false; order.len()];
        order[..n_readers].iter().for_each(|reader| taken[*reader as usize] = true);
        // Divided when the first trial of the round has to be made.
        let mut split: Option<Split> = None;
        trials.clear();
        for algorithm in &contenders {
            if let Some(trial) = known(algorithm, n_readers) {
                trials.push(trial);
                continue;
            }
            let split = match &split {
                Some(split) => split,
                None => split.insert(divide(&data.filtered(|row| taken[row.reader as usize]))?),
            };
            let evaluation = evaluate(&algorithm.fit(&split.train, search.seed, &|_| ())?, split, search.at);
            let se = evaluation.all.as_ref().and_then(|all| all.ndcg.se);
            let ndcg = Evaluation::ndcg(&evaluation);
            let trial = Trial { algorithm: algorithm.clone(), readers: n_readers, ndcg, se };
            record(&trial)?;
            trials.push(trial);
        }
        let worth = |trial: &Trial| trial.ndcg.filter(|ndcg| ndcg.is_finite()).unwrap_or(f64::NEG_INFINITY);
        // The sort is stable: of equals the earlier stays ahead.
        trials.sort_by(|a, b| worth(b).total_cmp(&worth(a)));
        contenders = trials.iter().map(|trial| trial.algorithm.clone()).collect();
    }
    Ok(trials)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::{
        dataset::{Builder, TimeAxis},
        item_knn, split,
    };

    /// 90 readers of five books each out of one of six circles of eight.
    fn circles() -> Dataset {
        let mut builder = Builder::new(TimeAxis::None);
        for reader in 0..90_u32 {
            for step in 0..5 {
                let book = (reader % 6) * 8 + (reader / 6 * 3 + step * 5 + step * step) % 8;
                let ids = (format!("r{reader}").parse().unwrap(), format!("b{book}").parse().unwrap());
                builder.add(&ids.0, &ids.1, 0, 1.0);
            }
        }
        builder.finish().0
    }

    const SEARCH: Search = Search { settings: 9, at: 5, seed: 4 };

    fn search(known: &[Trial], made: &RefCell<Vec<Trial>>, most: usize) -> Result<Vec<Trial>, Error> {
        let given = Algorithm::ItemKnn(item_knn::Params::default());
        let divide = |data: &Dataset| split::random_by_reader(data, 1, 0.4);
        let find = |algorithm: &Algorithm, readers: usize| {
            known.iter().find(|trial| trial.algorithm == *algorithm && trial.readers == readers).cloned()
        };
        let mut record = |trial: &Trial| {
            if made.borrow().len() == most {
                return Err(Error::CannotSplit("evicted".into()));
            }
            made.borrow_mut().push(trial.clone());
            Ok(())
        };
        tune(&given, SEARCH, &circles(), &divide, &find, &mut record)
    }

    #[test]
    fn each_round_keeps_a_third_on_three_times_the_readers() {
        assert_eq!(rounds(81), [(81, 1.0 / 9.0), (27, 1.0 / 3.0), (9, 1.0)]);
        assert_eq!(rounds(0), [(1, 1.0)]);
        let made = RefCell::default();
        let best = search(&[], &made, usize::MAX).unwrap();
        let readers: Vec<usize> = made.borrow().iter().map(|trial| trial.readers).collect();
        assert_eq!(readers, [vec![10; 9], vec![30; 3], vec![90; 1]].concat());
        assert_eq!((best.len(), best[0].readers), (1, 90));
        assert_eq!(made.borrow()[0].algorithm, Algorithm::ItemKnn(item_knn::Params::default()));
        // Circles of eight: what is left of a reader's own circle is among any neighbour model's best.
        assert!(best[0].ndcg.unwrap() > 0.5, "{best:?}");
    }

    #[test]
    fn a_search_that_was_stopped_goes_on_where_it_was() {
        let (whole, first, second) = (RefCell::default(), RefCell::default(), RefCell::default());
        let best = search(&[], &whole, usize::MAX).unwrap();
        search(&[], &first, 7).unwrap_err();
        assert_eq!(search(&first.borrow(), &second, usize::MAX).unwrap(), best);
        let (whole, both) = (whole.into_inner(), [first.into_inner(), second.into_inner()].concat());
        assert_eq!(both, whole);
    }
}
