//! The nightly line-up: which recipes are tried, and which of them wins.

use models::Artifact;
use serde::{Deserialize, Serialize};

use crate::{
    algorithm::{Algorithm, Progress},
    dataset::TimeAxis,
    error::Error,
    evaluate::{Evaluation, evaluate},
    ials, item_knn, popularity, rp3beta,
    split::Split,
};

/// Half-lives of the variants that forget, with the ending of their names: the usual one, and one for a world that has
/// just changed.
const FORGETTING: [(&str, f64); 2] = [("recent", 14.0), ("fresh", 3.0)];

/// A named algorithm with its settings, as written into the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Unique within a line-up, such as `ials-recent`.
    pub name: String,
    /// What is fitted.
    pub algorithm: Algorithm,
}

impl Recipe {
    /// A recipe under a name.
    pub fn new(name: impl Into<String>, algorithm: Algorithm) -> Self {
        Self { name: name.into(), algorithm }
    }
}

/// The recipes of an ordinary night, simplest first; `popularity`, the rival of the gate, is always the first.
///
/// With a clock, each takes part in two more variants, which forget with half-lives of 14 and of 3 days.
pub fn line_up(axis: TimeAxis) -> Vec<Recipe> {
    type With = fn(Option<f64>) -> Algorithm;
    let forgetting: &[_] = if axis == TimeAxis::Clock { &FORGETTING } else { &[] };
    let half_lives =
        || std::iter::once((None, None)).chain(forgetting.iter().map(|(name, days)| (Some(*name), Some(*days))));
    let families: [(&str, With); 4] = [
        ("popularity", |half_life_days| Algorithm::Popularity(popularity::Params { half_life_days })),
        ("item-knn", |half_life_days| Algorithm::ItemKnn(item_knn::Params { half_life_days, ..Default::default() })),
        ("rp3beta", |half_life_days| Algorithm::Rp3Beta(rp3beta::Params { half_life_days, ..Default::default() })),
        ("ials", |half_life_days| Algorithm::Ials(ials::Params { factors: 64, half_life_days, ..Default::default() })),
    ];
    let mut recipes = Vec::new();
    for (family, with) in families {
        for (variant, half_life_days) in half_lives() {
            let name = variant.map_or_else(|| family.to_owned(), |variant| format!("{family}-{variant}"));
            recipes.push(Recipe::new(name, with(half_life_days)));
        }
    }
    recipes
}

/// A fitted recipe and what it is worth.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What was fitted.
    pub recipe: Recipe,
    /// The model, learned from the split's past only.
    pub artifact: Artifact,
    /// Its worth on the split's future.
    pub evaluation: Evaluation,
}

/// What happens while a line-up is tried.
#[derive(Debug, Clone, Copy)]
pub enum Stage<'a> {
    /// A recipe's turn has come.
    Started,
    /// A pass of its fit is done.
    Fitting(Progress),
    /// It is fitted; its cases are next.
    Fitted,
    /// It is fitted and judged.
    Evaluated(&'a Evaluation),
}

/// Fits every recipe to the past and judges it on the future, with lists of `at` books.
pub fn fit_all(
    recipes: &[Recipe],
    split: &Split,
    at: usize,
    seed: u64,
    progress: &dyn Fn(&Recipe, Stage<'_>),
) -> Result<Vec<Candidate>, Error> {
    let mut candidates = Vec::with_capacity(recipes.len());
    for recipe in recipes {
        progress(recipe, Stage::Started);
        let artifact = recipe.algorithm.fit(&split.train, seed, &|pass| progress(recipe, Stage::Fitting(pass)))?;
        progress(recipe, Stage::Fitted);
        let evaluation = evaluate(&artifact, split, at);
        progress(recipe, Stage::Evaluated(&evaluation));
        candidates.push(Candidate { recipe: recipe.clone(), artifact, evaluation });
    }
    Ok(candidates)
}

/// The candidate with the highest NDCG; of equals the simpler, then the earlier. `None` when none was measured.
pub fn choose(candidates: &[Candidate]) -> Option<&Candidate> {
    let measured = candidates.iter().filter(|c| c.evaluation.ndcg().is_some_and(f64::is_finite));
    measured.reduce(|best, next| {
        let key = |c: &Candidate| (c.evaluation.ndcg().unwrap_or(f64::NEG_INFINITY), c.recipe.algorithm.complexity());
        let ((best_ndcg, best_complexity), (ndcg, complexity)) = (key(best), key(next));
        let order = ndcg.total_cmp(&best_ndcg).then(best_complexity.cmp(&complexity));
        if order.is_gt() { next } else { best }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dataset::tests::toy, split};

    #[test]
    fn recent_variants_need_a_clock() {
        let names = |axis| line_up(axis).into_iter().map(|recipe| recipe.name).collect::<Vec<_>>().join(" ");
        assert_eq!(names(TimeAxis::None), "popularity item-knn rp3beta ials");
        assert_eq!(
            names(TimeAxis::Clock),
            "popularity popularity-recent popularity-fresh item-knn item-knn-recent item-knn-fresh rp3beta rp3beta-recent rp3beta-fresh ials ials-recent ials-fresh"
        );
    }

    #[test]
    fn of_equally_good_models_the_simpler_is_chosen() {
        // One book to foresee and two books in all: every model finds it.
        let split = split::given(&toy(TimeAxis::None, "ann: a b | bob: a"), &toy(TimeAxis::None, "bob: b")).unwrap();
        let mut recipes = line_up(TimeAxis::None);
        recipes.reverse();
        let seen = std::cell::RefCell::new(Vec::new());
        let note = |recipe: &Recipe, stage: Stage<'_>| {
            if matches!(stage, Stage::Evaluated(_)) {
                seen.borrow_mut().push(recipe.name.clone());
            }
        };
        let candidates = fit_all(&recipes, &split, 1, 1, &note).unwrap();
        assert_eq!(*seen.borrow(), ["ials", "rp3beta", "item-knn", "popularity"]);
        assert!(candidates.iter().all(|candidate| candidate.evaluation.ndcg() == Some(1.0)));
        assert_eq!(choose(&candidates).unwrap().recipe.name, "popularity");
        assert!(choose(&[]).is_none());
    }

    #[test]
    fn a_recipe_survives_json() {
        for recipe in line_up(TimeAxis::Clock) {
            let json = serde_json::to_string(&recipe).unwrap();
            assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
        }
    }
}
