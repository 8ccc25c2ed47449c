//! Step 3: judge the candidates, choose one, and let the gate decide.

use models::{Registry, Version};
use serde::{Deserialize, Serialize};
use train::{Candidate, Contest, Decision, Evaluation, Recipe, Stage, choose, decide, evaluate};

use super::{Cut, Fitted, Listener, Night, Note, heavy, object};
use crate::exit;

/// What the evaluate step found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// How past and future were divided.
    pub cut: Cut,
    /// Interactions of the past.
    pub train_interactions: u64,
    /// Readers judged.
    pub cases: u64,
    /// One row per candidate, then the model in use if it could be judged.
    pub rows: Vec<Row>,
    /// The recipe with the highest NDCG.
    pub chosen: Recipe,
    /// The version in use that was compared with.
    pub incumbent: Option<Version>,
    /// What the gate decided.
    pub decision: Decision,
}

/// A model's worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Recipe, or `version N` for the model in use.
    pub name: String,
    /// Seconds its fit took; absent for the model in use.
    pub fit_seconds: Option<f64>,
    /// Its metrics.
    pub evaluation: Evaluation,
}

impl Judged {
    /// An error with the gate's exit code unless the model may be published.
    pub fn passed(&self) -> anyhow::Result<()> {
        if self.decision.publishes() {
            return Ok(());
        }
        Err(exit::coded(exit::GATE, format!("gate not met: {}", self.decision.sentences.join("; "))))
    }

    /// The chosen model's row.
    pub fn winner(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == self.chosen.name)
    }
}

impl Night {
    pub(super) async fn evaluate(&self, registry: &Registry, listener: &Listener<'_>) -> anyhow::Result<()> {
        let Fitted { cut, recipes } = self.result(object::FITTED).await?;
        let dataset = self.dataset().await?;
        let split = heavy(|| cut.apply(&dataset, self.seed))?;
        let mut candidates = Vec::new();
        for (recipe, _) in &recipes {
            let artifact = self.candidate(recipe).await?;
            let evaluation = heavy(|| evaluate(&artifact, &split, self.at));
            listener(Note::Recipe(recipe, Stage::Evaluated(&evaluation)));
            candidates.push(Candidate { recipe: recipe.clone(), evaluation });
        }
        let chosen = choose(&candidates)
            .ok_or_else(|| exit::coded(exit::GATE, "gate not met: no candidate could be measured"))?;
        let incumbent = self.judge_incumbent(cut, &split, registry).await?;
        let contest = Contest {
            challenger: &chosen.evaluation,
            popularity: &candidates[0].evaluation,
            incumbent: incumbent.as_ref().map(|(_, evaluation)| evaluation),
            floor: self.min_eval_score,
            seed: self.seed,
        };
        let decision = heavy(|| decide(contest));
        let seconds = recipes.iter().map(|(_, seconds)| Some(*seconds));
        let mut rows: Vec<Row> = candidates
            .iter()
            .zip(seconds)
            .map(|(candidate, fit_seconds)| Row {
                name: candidate.recipe.name.clone(),
                fit_seconds,
                evaluation: candidate.evaluation.clone(),
            })
            .collect();
        let version = incumbent.as_ref().map(|(version, _)| *version);
        rows.extend(incumbent.map(|(version, evaluation)| Row {
            name: format!("version {version}, in use"),
            fit_seconds: None,
            evaluation,
        }));
        let judged = Judged {
            cut,
            train_interactions: split.train.interactions().len() as u64,
            cases: split.cases.len() as u64,
            rows,
            chosen: chosen.recipe.clone(),
            incumbent: version,
            decision,
        };
        self.write_json(object::JUDGED, &judged).await?;
        judged.decision.sentences.iter().for_each(|sentence| listener(Note::Said(sentence.clone())));
        judged.passed()
    }

    /// The model in use on the same cases, where it has seen none of their answers.
    async fn judge_incumbent(
        &self,
        cut: Cut,
        split: &train::Split,
        registry: &Registry,
    ) -> anyhow::Result<Option<(Version, Evaluation)>> {
        let production = self.production(registry).await?;
        let (Some(version), Cut::Time { incumbent_blind: true, .. }) = (production, cut) else {
            return Ok(None);
        };
        let loaded = registry.load(&self.model, version).await?;
        Ok(Some((version, heavy(|| evaluate(&loaded.artifact, split, self.at)))))
    }
}
