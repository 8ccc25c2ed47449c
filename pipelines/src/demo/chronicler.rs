//! Collects what happens for the timeline and the report.

use drift::{Standing, Verdict};
use jiff::Timestamp;
use models::{ModelName, Registry, Version, registry::Op};
use serve::{Experiment, judge::Decision};
use train::Evaluation;

use super::{Audience, Outcome, shop};
use crate::{
    night::{Judged, Night, object},
    report::{AliasMove, CanaryStep, Chronicle, EvidencePoint, MetricRow, Moment, MomentKind, Summary, TrafficPoint},
    simulate::DriveReport,
};

/// Builds a [`Chronicle`] while the rehearsal goes on.
pub(super) struct Chronicler<'a> {
    audience: &'a dyn Audience,
    chronicle: Chronicle,
    /// The last severity told, so that a lasting drift is told once per change.
    told: String,
}

impl<'a> Chronicler<'a> {
    pub(super) fn new(seed: u64, audience: &'a dyn Audience) -> Self {
        let chronicle = Chronicle {
            title: "One turn of the loop".to_owned(),
            seed,
            generated: shop::live_day(0),
            summary: Summary::default(),
            moments: Vec::new(),
            traffic: Vec::new(),
            evidence: Vec::new(),
            metrics: Vec::new(),
            aliases: Vec::new(),
            canary: Vec::new(),
        };
        Self { audience, chronicle, told: String::new() }
    }

    pub(super) fn tell(&mut self, at: Timestamp, kind: MomentKind, text: String) {
        let moment = Moment { at, kind, text };
        self.audience.moment(&moment);
        self.chronicle.moments.push(moment);
    }

    pub(super) fn day(&self, number: u32, of: u32) {
        self.audience.day(number, of);
    }

    /// The first night's table, in a sentence.
    pub(super) async fn trained(&mut self, night: &Night, at: Timestamp, version: Version) -> anyhow::Result<()> {
        let judged: Judged = night.result(object::JUDGED).await?;
        let ndcg = |evaluation: &Evaluation| evaluation.ndcg().unwrap_or(f64::NAN);
        let rows: Vec<String> =
            judged.rows.iter().map(|row| format!("{} {:.3}", row.name, ndcg(&row.evaluation))).collect();
        let text = format!("version {version} trained: {} wins on NDCG@10 ({})", judged.chosen.name, rows.join(", "));
        self.tell(at, MomentKind::Training, text);
        Ok(())
    }

    /// What the drift retrain made.
    pub(super) async fn retrained(
        &mut self,
        registry: &Registry,
        model: &ModelName,
        at: Timestamp,
        version: Version,
    ) -> anyhow::Result<()> {
        let manifest = registry.manifest(model, version).await?;
        let text = format!("version {version} trained ({}) and staged: {}", manifest.algorithm, manifest.gate);
        self.tell(at, MomentKind::Retrain, text);
        Ok(())
    }

    pub(super) fn verdict(&mut self, verdict: &Verdict) {
        for feature in &verdict.features {
            let reading = &feature.reading;
            self.chronicle.evidence.push(EvidencePoint {
                at: verdict.from,
                feature: reading.feature.as_str().to_owned(),
                effect: reading.test.effect,
                threshold: reading.test.floor + reading.rule.delta,
                p: reading.p_adjusted,
                moved: reading.moved,
            });
        }
        let told = match &verdict.standing {
            Standing::Judged(severity) => severity.as_str().to_owned(),
            other => other.as_str().to_owned(),
        };
        let is_news = told != self.told && told != "insufficient";
        if is_news || verdict.trigger_id().is_some() {
            self.tell(verdict.to, MomentKind::Drift, format!("{told}: {}", verdict.sentence));
        }
        self.told = told;
    }

    pub(super) fn traffic(&mut self, at: Timestamp, driven: &DriveReport) {
        for version in driven.versions() {
            let answered = driven.of_version(version);
            let p99_ms = answered.percentile_ms(0.99);
            self.chronicle.traffic.push(TrafficPoint { at, version, requests: answered.requests, failed: 0, p99_ms });
        }
        if driven.failed > 0 {
            let reasons = driven.reasons.join("; ");
            self.tell(at, MomentKind::Trouble, format!("{} requests failed: {reasons}", driven.failed));
        }
    }

    /// A canary step's counts; latency is that of the version's answers as the readers saw them that day.
    pub(super) fn canary(&mut self, at: Timestamp, experiment: &Experiment) {
        let version = experiment.canary_version.get();
        let of_version = self.chronicle.traffic.iter().rev().find(|point| point.version == version);
        let p99_ms = of_version.and_then(|point| point.p99_ms);
        let verdict = match &experiment.judgement.decision {
            Decision::Advance => "advance".to_owned(),
            Decision::Hold { why } => format!("hold: {why}"),
            Decision::RollBack { why } => format!("roll back: {why}"),
            Decision::Expire { why } => format!("end: {why}"),
        };
        let counts = experiment.step().canary;
        self.chronicle.canary.push(CanaryStep {
            at,
            weight_percent: f64::from(experiment.weight_bp) / 100.0,
            requests: counts.requests,
            failed: counts.bad,
            p99_ms,
            verdict,
        });
    }

    pub(super) fn worth(&mut self, version: Version, evaluation: &Evaluation) {
        let Some(all) = &evaluation.all else { return };
        let at = evaluation.at;
        for (metric, estimate) in [("NDCG", all.ndcg), ("Recall", all.recall), ("MRR", all.mrr), ("HR", all.hit_rate)] {
            self.chronicle.metrics.push(MetricRow {
                metric: format!("{metric}@{at}"),
                version: version.get(),
                value: estimate.mean,
                se: estimate.se,
            });
        }
        self.chronicle.metrics.push(MetricRow {
            metric: format!("coverage@{at}"),
            version: version.get(),
            value: evaluation.coverage,
            se: None,
        });
    }

    /// Every alias move so far, from the log itself.
    pub(super) async fn aliases(&mut self, registry: &Registry) -> anyhow::Result<()> {
        self.chronicle.aliases.clear();
        for entry in registry.entries().await? {
            for op in &entry.ops {
                if let Op::AliasSet { alias, expect, to, .. } = op {
                    self.chronicle.aliases.push(AliasMove {
                        at: entry.at,
                        alias: alias.to_string(),
                        from: expect.map(Version::get),
                        to: Some(to.get()),
                        actor: entry.actor.clone(),
                        reason: entry.reason.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self, outcome: &Outcome) -> Chronicle {
        self.chronicle.moments.sort_by_key(|moment| moment.at);
        self.chronicle.generated = self.chronicle.moments.last().map_or(self.chronicle.generated, |moment| moment.at);
        self.chronicle.summary = Summary {
            requests: outcome.requests,
            failed: outcome.failed,
            versions: outcome.versions as u32,
            onset: outcome.drift.map(|drift| drift.onset),
            suspected: outcome.drift.and_then(|drift| drift.suspected),
            confirmed: outcome.drift.and_then(|drift| drift.confirmed),
            retrain_version: outcome.retrain_version,
            production_version: Some(outcome.production_version),
            ndcg_before: outcome.ndcg_before,
            ndcg_before_se: outcome.ndcg_before_se,
            ndcg_after: outcome.ndcg_after,
            ndcg_after_se: outcome.ndcg_after_se,
            wall_seconds: outcome.wall_seconds,
        };
        self.chronicle
    }
}
