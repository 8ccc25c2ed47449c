//! Step 5: the winner becomes a version and `staging` points at it, in one commit.

use std::collections::BTreeMap;

use models::{
    Manifest, Registry, Version,
    manifest::{self, DataLineage, Estimate, MODEL_FILE},
    registry::{Draft, Intent},
};
use serde::{Deserialize, Serialize};

use super::{Judged, Listener, Night, Note, SnapshotFacts, object};

/// What the register step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Registered {
    pub(super) version: Version,
}

impl Night {
    pub(super) async fn register(&self, registry: &Registry, listener: &Listener<'_>) -> anyhow::Result<()> {
        let facts: SnapshotFacts = self.result(object::SNAPSHOT).await?;
        let judged: Judged = self.result(object::JUDGED).await?;
        judged.passed()?;
        let parent = self.production(registry).await?;
        let manifest = Manifest {
            format: manifest::FORMAT,
            name: self.model.clone(),
            created_at: self.now,
            algorithm: judged.chosen.name.clone(),
            params: serde_json::to_value(&judged.chosen.algorithm).expect("settings are plain"),
            tuning: judged
                .chosen
                .tuning
                .as_ref()
                .map(|tuning| serde_json::to_value(tuning).expect("a search is plain")),
            seed: self.seed,
            data: DataLineage {
                source: facts.source,
                sha256: facts.sha256,
                interactions: facts.interactions,
                readers: facts.readers,
                books: facts.books,
                from: facts.from,
                to: facts.to,
            },
            metrics: metrics(&judged),
            gate: judged.decision.sentences.join("; "),
            code_revision: self.code_revision.clone(),
            trigger: self.trigger.clone(),
            parent,
            profile: self.result(object::PROFILE).await?,
            files: Vec::new(),
        };
        let draft = Draft { manifest, files: vec![(MODEL_FILE.to_owned(), self.read(object::MODEL).await?)] };
        let reason = format!("{} run {}", self.trigger.kind.as_str(), self.run);
        let intent = Intent::new("bookloop train", reason, self.now).once(format!("register-{}", self.run));
        let published = registry.publish_staged(draft, &intent).await?;
        let version = published.version;
        self.write_json(object::REGISTERED, &Registered { version }).await?;
        listener(Note::Said(format!("version {version} of {} registered; staging points at it", self.model)));
        Ok(())
    }

    /// The version this run registered.
    pub async fn version(&self) -> anyhow::Result<Version> {
        Ok(self.result::<Registered>(object::REGISTERED).await?.version)
    }
}

/// The winner's metrics by name, with the number of readers they were taken over.
fn metrics(judged: &Judged) -> BTreeMap<String, Estimate> {
    let mut metrics = BTreeMap::new();
    let Some(row) = judged.winner() else { return metrics };
    let (at, evaluation) = (row.evaluation.at, &row.evaluation);
    if let Some(all) = &evaluation.all {
        let n = all.n_readers as u64;
        for (name, estimate) in
            [("ndcg", all.ndcg), ("recall", all.recall), ("mrr", all.mrr), ("hit-rate", all.hit_rate)]
        {
            metrics.insert(format!("{name}@{at}"), Estimate { mean: estimate.mean, se: estimate.se, n });
        }
        metrics.insert(format!("coverage@{at}"), Estimate { mean: evaluation.coverage, se: None, n });
    }
    metrics
}
