//! The algorithms behind one face: settings in, artefact out.
//!
//! A closed set as an enum, so that a plan can be written down, compared and read back.

use models::{Artifact, Readers};
use serde::{Deserialize, Serialize};

use crate::{
    dataset::{Dataset, check_not_empty},
    error::Error,
    ials, item_knn, popularity, rp3beta,
};

/// One algorithm with its settings.
///
/// ```
/// use train::Algorithm;
/// let ials: Algorithm = serde_json::from_str(r#"{"algorithm": "ials", "factors": 32}"#).unwrap();
/// assert_eq!(ials.name(), "ials"); // Settings that are not given take their defaults.
/// assert!(serde_json::from_str::<Algorithm>(r#"{"algorithm": "ials", "factor": 32}"#).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "algorithm", rename_all = "snake_case")]
pub enum Algorithm {
    /// The same list for everyone: what most readers took up, lately if a half-life is given.
    Popularity(popularity::Params),
    /// Books read by the same readers, by cosine.
    ItemKnn(item_knn::Params),
    /// Books reached by a three-step walk, with popular targets damped.
    #[serde(rename = "rp3beta")]
    Rp3Beta(rp3beta::Params),
    /// Matrix factorisation for implicit feedback by alternating least squares.
    Ials(ials::Params),
}

/// The names [`Algorithm::named`] knows, simplest first.
pub const NAMES: [&str; 4] = ["popularity", "item_knn", "rp3beta", "ials"];

/// How far a fit has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Passes over both sides done.
    pub epoch: usize,
    /// Passes planned.
    pub epochs: usize,
    /// The objective after this pass; does not rise from one pass to the next.
    pub loss: f64,
}

impl Algorithm {
    /// The algorithm of that name with default settings; hyphens are read as underscores.
    pub fn named(name: &str) -> Option<Self> {
        match name.replace('-', "_").as_str() {
            "popularity" => Some(Self::Popularity(popularity::Params::default())),
            "item_knn" => Some(Self::ItemKnn(item_knn::Params::default())),
            "rp3beta" => Some(Self::Rp3Beta(rp3beta::Params::default())),
            "ials" => Some(Self::Ials(ials::Params::default())),
            _ => None,
        }
    }

    /// The algorithm's name, one of [`NAMES`].
    pub fn name(&self) -> &'static str {
        NAMES[self.complexity()]
    }

    /// Place in the order from simple to involved: of two equally good models the simpler one is taken.
    pub fn complexity(&self) -> usize {
        match self {
            Self::Popularity(_) => 0,
            Self::ItemKnn(_) => 1,
            Self::Rp3Beta(_) => 2,
            Self::Ials(_) => 3,
        }
    }

    /// Fits a model to all interactions of `dataset`; its catalogue holds every book of the data set, read or not.
    ///
    /// Equal data, settings and seed give equal bytes whatever the number of threads. `progress` is called after each
    /// pass of the algorithms that make several. Fails on settings out of range and on a data set without interactions.
    pub fn fit(&self, dataset: &Dataset, seed: u64, progress: &dyn Fn(Progress)) -> Result<Artifact, Error> {
        self.fit_from(None, dataset, seed, progress)
    }

    /// As [`Self::fit`], starting from an earlier model where the algorithm can: fewer passes then do.
    ///
    /// iALS starts from the vectors of the books that `previous` knows; the others have no use for it.
    pub fn fit_from(
        &self,
        previous: Option<&Artifact>,
        dataset: &Dataset,
        seed: u64,
        progress: &dyn Fn(Progress),
    ) -> Result<Artifact, Error> {
        check_not_empty(dataset)?;
        let (scorer, half_life_days) = match self {
            Self::Popularity(params) => (popularity::fit(params)?, params.half_life_days),
            Self::ItemKnn(params) => (item_knn::fit(params, dataset)?, params.half_life_days),
            Self::Rp3Beta(params) => (rp3beta::fit(params, dataset)?, params.half_life_days),
            Self::Ials(params) => (ials::fit(params, previous, dataset, seed, progress)?, params.half_life_days),
        };
        let popularity = popularity::of_books(dataset, half_life_days);
        let readers = Readers::new(dataset.readers().iter().cloned().zip(dataset.histories()));
        Ok(Artifact::new(dataset.catalogue().clone(), popularity, scorer, readers)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_names_an_algorithm_and_settings_survive_json() {
        for name in NAMES {
            let algorithm = Algorithm::named(name).unwrap();
            assert_eq!(algorithm.name(), name);
            let json = serde_json::to_string(&algorithm).unwrap();
            assert_eq!(serde_json::from_str::<Algorithm>(&json).unwrap(), algorithm);
        }
        assert_eq!(Algorithm::named("item-knn").unwrap().name(), "item_knn");
        assert!(Algorithm::named("oracle").is_none());
    }
}
