//! The nightly line-up: which recipes are tried, and which of them wins.

use serde::{Deserialize, Serialize};

use crate::{
    algorithm::{Algorithm, Progress},
    blend,
    dataset::TimeAxis,
    ease_sparse,
    evaluate::Evaluation,
    ials, item_knn, popularity,
    tune::Search,
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
    /// Where its settings come from, if from a search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Tuning>,
}

impl Recipe {
    /// A recipe under a name.
    pub fn new(name: impl Into<String>, algorithm: Algorithm) -> Self {
        Self { name: name.into(), algorithm, tuning: None }
    }
}

/// The search that a recipe's settings were found by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// How they were looked for.
    pub search: Search,
    /// Digest of the data's rows.
    pub data_sha256: String,
    /// Readers of the last round.
    pub readers: usize,
    /// Their NDCG there, on data cut from the past.
    pub ndcg: Option<f64>,
    /// Its standard error.
    pub se: Option<f64>,
}

/// The recipes of an ordinary night, simplest first; `popularity`, the rival of the gate, is always the first.
///
/// With a clock, each of the simple ones takes part in two more variants, which forget with half-lives of 14 and of 3
/// days. The blend comes last: it takes the shares of its members from the newest part of the past.
pub fn line_up(axis: TimeAxis) -> Vec<Recipe> {
    type With = fn(Option<f64>) -> Algorithm;
    let forgetting: &[_] = if axis == TimeAxis::Clock { &FORGETTING } else { &[] };
    let half_lives =
        || std::iter::once((None, None)).chain(forgetting.iter().map(|(name, days)| (Some(*name), Some(*days))));
    let families: [(&str, With); 4] = [
        ("popularity", |half_life_days| Algorithm::Popularity(popularity::Params { half_life_days })),
        ("item-knn", |half_life_days| Algorithm::ItemKnn(item_knn::Params { half_life_days, ..Default::default() })),
        ("ease-sparse", |half_life_days| {
            Algorithm::EaseSparse(ease_sparse::Params { half_life_days, ..Default::default() })
        }),
        ("ials", |half_life_days| Algorithm::Ials(ials::Params { factors: 64, half_life_days, ..Default::default() })),
    ];
    let mut recipes = Vec::new();
    for (family, with) in families {
        for (variant, half_life_days) in half_lives() {
            let name = variant.map_or_else(|| family.to_owned(), |variant| format!("{family}-{variant}"));
            recipes.push(Recipe::new(name, with(half_life_days)));
        }
    }
    recipes.push(Recipe::new("blend", Algorithm::Blend(blend::Params::default())));
    recipes
}

/// A recipe fitted to the past of a split, and what it is worth.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What was fitted.
    pub recipe: Recipe,
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
    use crate::{dataset::tests::toy, evaluate::evaluate, split};

    #[test]
    fn recent_variants_need_a_clock() {
        let names = |axis| line_up(axis).into_iter().map(|recipe| recipe.name).collect::<Vec<_>>().join(" ");
        assert_eq!(names(TimeAxis::None), "popularity item-knn ease-sparse ials blend");
        assert_eq!(
            names(TimeAxis::Clock),
            "popularity popularity-recent popularity-fresh item-knn item-knn-recent item-knn-fresh ease-sparse ease-sparse-recent ease-sparse-fresh ials ials-recent ials-fresh blend"
        );
    }

    #[test]
    fn of_equally_good_models_the_simpler_is_chosen() {
        // One book to foresee and two books in all: every model finds it.
        let split = split::given(&toy(TimeAxis::None, "ann: a b | bob: a"), &toy(TimeAxis::None, "bob: b")).unwrap();
        let judged = |recipe: Recipe| {
            let artifact = recipe.algorithm.fit(&split.train, 1, &|_| ()).unwrap();
            Candidate { recipe, evaluation: evaluate(&artifact, &split, 1) }
        };
        let candidates: Vec<Candidate> = line_up(TimeAxis::None).into_iter().rev().map(judged).collect();
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
