//! Steps 2 and 4: fit the line-up to the past; later, the winner to everything.

use jiff::Timestamp;
use models::{Alias, Artifact, Registry, Version, digest, format};
use serde::{Deserialize, Serialize};
use train::{Dataset, Recipe, Split, Stage, TimeAxis, line_up, split};

use super::{Judged, Listener, Night, Note, SnapshotFacts, heavy, object};
use crate::exit;

/// Fewer cases than this in the data that the model in use has not seen are too few to judge by.
const MIN_CASES: usize = 100;
/// So many cases judge well enough; with fewer the future reaches further back.
const GOOD_CASES: usize = 400;
/// The parts of the unseen data that are tried as the future, newest and smallest first.
const FUTURE_PARTS: [usize; 4] = [16, 8, 4, 2];

/// How past and future are divided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cut {
    /// By time: everything from `at` on is the future.
    Time {
        /// First instant of the future, on the data's own axis.
        at: i64,
        /// Whether the model in use was trained on none of that future, so that it can be judged on it too.
        incumbent_blind: bool,
    },
    /// At random by reader, for data without time.
    Random {
        /// Share of each reader's books held out.
        share: f64,
    },
}

impl Cut {
    pub(super) fn apply(self, dataset: &Dataset, seed: u64) -> Result<Split, train::Error> {
        match self {
            Self::Time { at, .. } => split::at_time(dataset, at),
            Self::Random { share } => split::random_by_reader(dataset, seed, share),
        }
    }
}

/// What the fit step did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fitted {
    /// How past and future were divided.
    pub cut: Cut,
    /// The recipes, with the seconds each took; simplest first.
    pub recipes: Vec<(Recipe, f64)>,
}

/// One candidate as it lies in the run's folder, and all that it came of: what a repeated step need not do again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FittedOne {
    recipe: Recipe,
    /// Digest of the snapshot's rows.
    data: String,
    cut: Cut,
    seed: u64,
    /// The version whose vectors it started from.
    warm_from: Option<Version>,
    code_revision: String,
    /// Digest of the artefact, hex.
    sha256: String,
    seconds: f64,
}

impl Night {
    /// Fits every recipe of the line-up to the past.
    ///
    /// What an earlier, interrupted attempt at this step has finished is kept, so an evicted pod loses the recipe at
    /// hand and no more. Recipes that can start from the model in use do so, where that model has seen nothing of the
    /// future that judges them.
    pub(super) async fn fit(&self, registry: &Registry, listener: &Listener<'_>) -> anyhow::Result<()> {
        let facts: SnapshotFacts = self.result(object::SNAPSHOT).await?;
        let dataset = self.dataset().await?;
        let production = self.production(registry).await?;
        let incumbent_to = match production {
            Some(version) => registry.manifest(&self.model, version).await?.data.to,
            None => None,
        };
        let cut = heavy(|| self.choose_cut(&dataset, incumbent_to))?;
        let split = heavy(|| cut.apply(&dataset, self.seed))?;
        let incumbent = match (production, cut) {
            (Some(version), Cut::Time { incumbent_blind: true, .. }) => {
                Some(registry.load(&self.model, version).await?)
            }
            _ => None,
        };
        let previous = incumbent.as_ref().map(|loaded| &*loaded.artifact);
        let line_up = line_up(dataset.axis()).into_iter().chain(self.recipes.iter().cloned());
        let mut recipes = Vec::new();
        for recipe in heavy(|| self.affordable(&dataset, line_up.collect(), listener))? {
            let mut one = FittedOne {
                recipe,
                data: facts.sha256.clone(),
                cut,
                seed: self.seed,
                warm_from: incumbent.as_ref().map(|loaded| loaded.version),
                code_revision: self.code_revision.clone(),
                sha256: String::new(),
                seconds: 0.0,
            };
            if let Some(seconds) = self.fitted_before(&one).await? {
                listener(Note::Said(format!("{} was fitted by an earlier attempt", one.recipe.name)));
                recipes.push((one.recipe, seconds));
                continue;
            }
            let recipe = &one.recipe;
            listener(Note::Recipe(recipe, Stage::Started));
            let begun = std::time::Instant::now();
            let tell = |pass| listener(Note::Recipe(recipe, Stage::Fitting(pass)));
            let artifact = heavy(|| recipe.algorithm.fit_from(previous, &split.train, self.seed, &tell))?;
            let bytes = heavy(|| format::encode(&artifact));
            (one.sha256, one.seconds) = (digest::sha256(&bytes), begun.elapsed().as_secs_f64());
            self.write(&object::candidate(&one.recipe.name), bytes).await?;
            self.write_json(&object::fitted_one(&one.recipe.name), &one).await?;
            listener(Note::Recipe(&one.recipe, Stage::Fitted));
            recipes.push((one.recipe, one.seconds));
        }
        self.write_json(object::FITTED, &Fitted { cut, recipes }).await
    }

    /// The seconds it took to fit a candidate that lies in the run's folder whole and came of the same things as `one`.
    async fn fitted_before(&self, one: &FittedOne) -> anyhow::Result<Option<f64>> {
        let note = self.root.get(&self.object(&object::fitted_one(&one.recipe.name))).await?;
        let Some(found) = note.and_then(|bytes| serde_json::from_slice::<FittedOne>(&bytes).ok()) else {
            return Ok(None);
        };
        let same = FittedOne { sha256: found.sha256.clone(), seconds: found.seconds, ..one.clone() } == found;
        if !same {
            return Ok(None);
        }
        let bytes = self.root.get(&self.object(&object::candidate(&one.recipe.name))).await?;
        Ok(bytes.filter(|bytes| heavy(|| digest::sha256(bytes)) == found.sha256).map(|_| found.seconds))
    }

    /// A candidate as the fit step wrote it.
    pub(super) async fn candidate(&self, recipe: &Recipe) -> anyhow::Result<Artifact> {
        let bytes = self.read(&object::candidate(&recipe.name)).await?;
        heavy(|| format::decode(&bytes)).map_err(|error| {
            exit::coded(exit::INTEGRITY, format!("run {}: candidate {}: {error}", self.run, recipe.name))
        })
    }

    /// Fits the winner again, to everything; it starts from itself as fitted to the past, where it can.
    pub(super) async fn refit(&self, listener: &Listener<'_>) -> anyhow::Result<()> {
        let judged: Judged = self.result(object::JUDGED).await?;
        judged.passed()?;
        let dataset = self.dataset().await?;
        let recipe = &judged.chosen;
        let candidate = self.candidate(recipe).await?;
        listener(Note::Recipe(recipe, Stage::Started));
        let tell = |pass| listener(Note::Recipe(recipe, Stage::Fitting(pass)));
        let artifact = heavy(|| recipe.algorithm.fit_from(Some(&candidate), &dataset, self.seed, &tell))?;
        self.write(object::MODEL, heavy(|| format::encode(&artifact))).await?;
        listener(Note::Recipe(recipe, Stage::Fitted));
        let profile = heavy(|| profile_of(&dataset, self.now));
        self.write_json(object::PROFILE, &profile).await
    }

    /// The version in production.
    pub(super) async fn production(&self, registry: &Registry) -> anyhow::Result<Option<Version>> {
        let state = registry.refresh().await?;
        Ok(state.models.get(&self.model).and_then(|model| model.aliases.get(&Alias::production()).copied()))
    }

    /// The future is the newest part of what the model in use has not seen: tonight's model learns from the older part
    /// what the other could not, and both are judged on data that is new to both. It is as short as can be judged, so
    /// that after a change most of what is new can be learned from, and at most half. Where that is too little, or
    /// there is no such model, it is the newest `test_share` of everything.
    fn choose_cut(&self, dataset: &Dataset, incumbent_to: Option<Timestamp>) -> Result<Cut, train::Error> {
        if dataset.axis() == TimeAxis::None {
            return Ok(Cut::Random { share: self.test_share });
        }
        let seen_to = incumbent_to.filter(|_| dataset.axis() == TimeAxis::Clock).map(Timestamp::as_millisecond);
        if let Some(seen_to) = seen_to {
            let unseen = dataset.interactions().partition_point(|row| row.at <= seen_to);
            let rows = &dataset.interactions()[unseen..];
            for part in FUTURE_PARTS {
                let Some(first) = rows.len().checked_sub((rows.len() / part).max(1)) else { break };
                let cut = Cut::Time { at: rows[first].at, incumbent_blind: true };
                let least = if part == 2 { MIN_CASES } else { GOOD_CASES };
                if cut.apply(dataset, self.seed).is_ok_and(|split| split.cases.len() >= least) {
                    return Ok(cut);
                }
            }
        }
        let at = split::global_time(dataset, self.test_share)?.cut.expect("a split by time has a cut");
        Ok(Cut::Time { at, incumbent_blind: seen_to.is_some_and(|seen_to| seen_to < at) })
    }
}

/// The drift detector's reference: the facts of the training data.
fn profile_of(dataset: &Dataset, now: Timestamp) -> drift::TrainingProfile {
    let clock = |at: i64| {
        Some(at).filter(|_| dataset.axis() == TimeAxis::Clock).and_then(|at| Timestamp::from_millisecond(at).ok())
    };
    let mut builder = drift::TrainingProfileBuilder::new(dataset.catalogue(), now);
    for row in dataset.interactions() {
        let reader = dataset.readers()[row.reader as usize].as_str();
        let book = dataset.catalogue().book(row.book).item_id();
        builder.add(reader, book, clock(row.at));
    }
    builder.finish()
}
