//! The algorithms behind one face: settings in, artefact out.
//!
//! A closed set as an enum, so that a plan can be written down, compared and read back.

use models::{Artifact, Readers, Scorer};
use serde::{Deserialize, Serialize};

use crate::{
    blend,
    dataset::{Dataset, check_not_empty},
    ease, ease_sparse,
    error::Error,
    ials, item_knn, popularity, rp3beta, spectral, vmis_knn,
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
    /// Every book regressed on all others in closed form.
    Ease(ease::Params),
    /// Every book regressed on its nearest ones, for large catalogues.
    EaseSparse(ease_sparse::Params),
    /// Matrix factorisation for implicit feedback by alternating least squares.
    Ials(ials::Params),
    /// A filter of the reader-book graph: what is near and what is smooth.
    Spectral(spectral::Params),
    /// Past sessions that look like the one at hand.
    VmisKnn(vmis_knn::Params),
    /// Several of the others as one, in shares chosen on the newest part of the data.
    Blend(blend::Params),
}

/// The names [`Algorithm::named`] knows, simplest first.
pub const NAMES: [&str; 9] =
    ["popularity", "item_knn", "rp3beta", "vmis_knn", "ease", "ease_sparse", "ials", "spectral", "blend"];

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
            "vmis_knn" => Some(Self::VmisKnn(vmis_knn::Params::default())),
            "ease" => Some(Self::Ease(ease::Params::default())),
            "ease_sparse" => Some(Self::EaseSparse(ease_sparse::Params::default())),
            "ials" => Some(Self::Ials(ials::Params::default())),
            "spectral" => Some(Self::Spectral(spectral::Params::default())),
            "blend" => Some(Self::Blend(blend::Params::default())),
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
            Self::VmisKnn(_) => 3,
            Self::Ease(_) => 4,
            Self::EaseSparse(_) => 5,
            Self::Ials(_) => 6,
            Self::Spectral(_) => 7,
            Self::Blend(_) => 8,
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
    /// iALS, alone or in a blend, starts from the vectors of the books that `previous` knows; the others have no use for
    /// it.
    pub fn fit_from(
        &self,
        previous: Option<&Artifact>,
        dataset: &Dataset,
        seed: u64,
        progress: &dyn Fn(Progress),
    ) -> Result<Artifact, Error> {
        check_not_empty(dataset)?;
        let scorer = self.fit_scorer(previous, dataset, seed, progress)?;
        let popularity = popularity::of_books(dataset, self.half_life_days());
        let readers = Readers::new(dataset.readers().iter().cloned().zip(dataset.histories()));
        Ok(Artifact::new(dataset.catalogue().clone(), popularity, scorer, readers)?)
    }

    /// [`Self::fit`] without what surrounds the scorer; `dataset` has interactions.
    pub(crate) fn fit_scorer(
        &self,
        previous: Option<&Artifact>,
        dataset: &Dataset,
        seed: u64,
        progress: &dyn Fn(Progress),
    ) -> Result<Scorer, Error> {
        match self {
            Self::Popularity(params) => popularity::fit(params),
            Self::ItemKnn(params) => item_knn::fit(params, dataset),
            Self::Rp3Beta(params) => rp3beta::fit(params, dataset),
            Self::VmisKnn(params) => vmis_knn::fit(params, dataset),
            Self::Ease(params) => ease::fit(params, dataset),
            Self::EaseSparse(params) => ease_sparse::fit(params, dataset),
            Self::Ials(params) => ials::fit(params, previous, dataset, seed, progress),
            Self::Spectral(params) => spectral::fit(params, dataset, seed),
            Self::Blend(params) => blend::fit(params, previous, dataset, seed, progress),
        }
    }

    /// The half-life that the popularity beside the scorer takes over; a blend has its first member's.
    fn half_life_days(&self) -> Option<f64> {
        match self {
            Self::Popularity(params) => params.half_life_days,
            Self::ItemKnn(params) => params.half_life_days,
            Self::Rp3Beta(params) => params.half_life_days,
            Self::VmisKnn(_) => None,
            Self::Ease(params) => params.half_life_days,
            Self::EaseSparse(params) => params.half_life_days,
            Self::Ials(params) => params.half_life_days,
            Self::Spectral(params) => params.half_life_days,
            Self::Blend(params) => params.members.first().and_then(Self::half_life_days),
        }
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
