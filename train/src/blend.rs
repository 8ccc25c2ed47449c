//! Several models as one: fitted apart, summed in shares that a held-out part of the data chooses.
//!
//! The members learn from the past of a validation window, the window's readers choose the shares, and then the members
//! learn again from everything. What the sum is, and on which scale, is told at [`models::Blend`].

mod choose;
mod search;
mod window;

use models::{Artifact, Blend, Scorer, blend::Member};
use serde::{Deserialize, Serialize};

use crate::{
    algorithm::{Algorithm, Progress},
    bootstrap::Comparison,
    dataset::Dataset,
    ease_sparse,
    error::Error,
    ials, spectral,
    split::Split,
};

/// Books that are weighed for a window's readers at most, for each member.
pub(crate) const MOST_CANDIDATES: usize = choose::MAX_CASES * choose::CANDIDATES;

/// Length of the lists by which shares are chosen.
pub const AT: usize = 20;

/// Settings of a blend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// What is mixed: two algorithms or more, none a blend.
    pub members: Vec<Algorithm>,
    /// A share of each member, not negative and not all zero; `None` leaves the choice to the data.
    pub weights: Option<Vec<f64>>,
    /// What the shares are chosen on.
    pub window: Window,
    /// Share of the interactions, or of the readers, that make the validation window, in `(0, 1)`.
    pub validation_share: f64,
}

/// What the shares are chosen on. It should be held out as the readers are who will be served: a mix that foresees the
/// next spell of known readers best need not be the one that completes the shelves of strangers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// The newest interactions; without time, of each reader some books that are alike.
    #[default]
    Newest,
    /// Of each reader some books at random.
    AtRandom,
    /// Whole readers, at most 5,000, of whom four books in five are folded in.
    Readers,
}

impl Default for Params {
    fn default() -> Self {
        let members = vec![
            Algorithm::Spectral(spectral::Params::default()),
            Algorithm::EaseSparse(ease_sparse::Params::default()),
            Algorithm::Ials(ials::Params::default()),
        ];
        Self { members, weights: None, window: Window::Newest, validation_share: 0.2 }
    }
}

impl Params {
    fn check(&self) -> Result<(), Error> {
        let setting = |field, expected, found: String| Err(Error::Setting { field, expected, found });
        if self.members.len() < 2 {
            return setting("members", "two algorithms or more", self.members.len().to_string());
        }
        if self.members.iter().any(|member| matches!(member, Algorithm::Blend(_))) {
            return setting("members", "algorithms that are no blends", "a blend".to_owned());
        }
        if let Some(weights) = &self.weights {
            let fits = weights.len() == self.members.len() && weights.iter().all(|w| w.is_finite() && *w >= 0.0);
            if !fits || weights.iter().sum::<f64>() <= 0.0 {
                let expected = "one number from 0 for each member, not all 0";
                return setting("weights", expected, format!("{weights:?}"));
            }
        }
        let share = self.validation_share;
        if !(share > 0.0 && share < 1.0) {
            return setting("validation_share", "a number above 0 and below 1", share.to_string());
        }
        Ok(())
    }
}

/// The shares a window chose, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// A share of each member, multiples of 1/20 with sum 1.
    pub weights: Vec<f64>,
    /// Readers of the window by whom they were chosen.
    pub n_readers: usize,
    /// Mean NDCG at [`AT`] of each member alone on those readers.
    pub alone: Vec<f64>,
    /// That of the best mix, whether or not it was taken.
    pub mixed: f64,
    /// The best mix minus the best member; `None` when the best mix is that member. The mix is taken when the interval
    /// lies above 0.
    pub versus_best_member: Option<Comparison>,
}

/// Fits every member to the past of `split` and chooses shares by its cases, of which at most 5,000 are drawn.
///
/// Shares are found by moving twentieths from one member to another as long as NDCG rises, from the best member
/// alone. A mix that the paired bootstrap cannot tell from the best member gives way to it. `progress` is called by each
/// member's passes. Memory: all members' models at once, and each reader's best 200 books by any of them.
pub fn choose(members: &[Algorithm], split: &Split, seed: u64, progress: &dyn Fn(Progress)) -> Result<Choice, Error> {
    let fitted = members.iter().map(|member| member.fit(&split.train, seed, progress));
    let models = fitted.collect::<Result<Vec<_>, Error>>()?;
    let cases = choose::candidates(&models, split, seed);
    drop(models);
    Ok(search::best(&cases, members.len(), seed))
}

/// The members in given or chosen shares; a member without a share is not fitted, and one alone is no blend.
pub(crate) fn fit(
    params: &Params,
    previous: Option<&Artifact>,
    dataset: &Dataset,
    seed: u64,
    progress: &dyn Fn(Progress),
) -> Result<Scorer, Error> {
    params.check()?;
    let weights = match &params.weights {
        Some(weights) => weights.clone(),
        None => chosen(params, dataset, seed, progress)?,
    };
    let total: f64 = weights.iter().sum();
    let mut members = Vec::with_capacity(weights.len());
    for (member, weight) in params.members.iter().zip(weights) {
        let weight = (weight / total) as f32;
        if weight > 0.0 {
            members.push(Member { weight, scorer: member.fit_scorer(previous, dataset, seed, progress)? });
        }
    }
    if members.len() == 1 {
        return Ok(members.remove(0).scorer);
    }
    Ok(Scorer::Blend(Blend::new(members)?))
}

fn chosen(params: &Params, dataset: &Dataset, seed: u64, progress: &dyn Fn(Progress)) -> Result<Vec<f64>, Error> {
    match window::of(dataset, params.window, params.validation_share, seed) {
        Ok(split) => Ok(choose(&params.members, &split, seed, progress)?.weights),
        // Too little data to judge anything: no member is preferred.
        Err(Error::CannotSplit(_)) => Ok(vec![1.0; params.members.len()]),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
