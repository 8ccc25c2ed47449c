//! The drift detector as a service: stream in, verdicts out, at most one retrain per cause.
//!
//! What it remembers is stored before the stream's place is committed, and a retrain's name follows from its cause, so
//! a crash anywhere repeats work and never doubles a retrain.

use std::{sync::Arc, time::Duration};

use drift::{
    Action, ActionFacts, Detector, DetectorState, Policy, Submission, TrainingProfile, Verdict, WindowSpec, Windower,
};
use jiff::Timestamp;
use models::{
    Alias, Artifact, ModelName, Registry, Store, TenantName, Version,
    event::{Outcome, Prediction, Topic},
    manifest::TriggerKind,
    store::key,
    stream::{Consumer, Message, Producer},
};
use serde::{Deserialize, Serialize};

use crate::{
    exit,
    trigger::{RetrainRequest, Trigger},
};

/// What the service watches and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Tenant; records of others are dropped and counted.
    pub tenant: TenantName,
    /// The model.
    pub model: ModelName,
    /// When a difference matters.
    pub policy: Policy,
    /// Length of windows and patience.
    pub windows: WindowSpec,
}

/// Stored between windows.
#[derive(Debug, Serialize, Deserialize)]
struct Memory {
    detector: DetectorState,
    windower: Windower,
}

/// The running detector of one model.
pub struct Watch {
    settings: Settings,
    root: Store,
    registry: Arc<Registry>,
    consumer: Box<dyn Consumer>,
    producer: Arc<dyn Producer>,
    trigger: Arc<Trigger>,
    detector: Detector,
    windower: Windower,
    artifact: Arc<Artifact>,
    /// Records that were no records, or another tenant's.
    refused: u64,
}

/// A verdict and what became of it.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// What the detector says.
    pub verdict: Verdict,
    /// The run that was started, if one was.
    pub workflow: Option<String>,
}

/// Records taken from the stream at a time.
const BATCH: usize = 10_000;
/// Records judged at a time: bounds memory when a long silence is caught up with.
const MOST_AT_ONCE: usize = 200_000;

/// A record of the stream.
enum Event {
    Prediction(Box<Prediction>),
    Outcome(Outcome),
}

impl Event {
    fn read(topic: Topic, payload: &[u8]) -> Option<Self> {
        match topic {
            Topic::Predictions => Some(Self::Prediction(serde_json::from_slice(payload).ok()?)),
            Topic::Outcomes => Some(Self::Outcome(serde_json::from_slice(payload).ok()?)),
            Topic::Drift | Topic::Orders => None,
        }
    }

    fn at(&self) -> Timestamp {
        match self {
            Self::Prediction(record) => record.at,
            Self::Outcome(record) => record.at,
        }
    }

    fn tenant(&self) -> &TenantName {
        match self {
            Self::Prediction(record) => &record.tenant,
            Self::Outcome(record) => &record.tenant,
        }
    }
}

impl Watch {
    /// Starts where the last one stopped, or afresh with the production version's profile as reference.
    ///
    /// Fails while no version is in production: there is nothing to watch.
    pub async fn start(
        settings: Settings,
        root: Store,
        registry: Arc<Registry>,
        consumer: Box<dyn Consumer>,
        producer: Arc<dyn Producer>,
        trigger: Arc<Trigger>,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        registry.refresh().await?;
        let version = production(&registry, &settings.model)?;
        let loaded = registry.load(&settings.model, version).await?;
        let (detector, windower) = match root.get(&key::detector(&settings.model)).await? {
            Some(bytes) => {
                let memory: Memory = serde_json::from_slice(&bytes).map_err(|error| {
                    exit::coded(exit::INTEGRITY, format!("{}: {error}", key::detector(&settings.model)))
                })?;
                (Detector::resume(settings.policy.clone(), memory.detector)?, memory.windower)
            }
            None => {
                let reference = reference(&loaded.manifest)?;
                let policy = settings.policy.clone();
                let detector = Detector::new(policy, settings.model.clone(), reference, version, now)?;
                (detector, Windower::new(settings.windows))
            }
        };
        let artifact = loaded.artifact;
        Ok(Self { settings, root, registry, consumer, producer, trigger, detector, windower, artifact, refused: 0 })
    }

    /// The detector's state, for reports.
    pub fn detector(&self) -> &Detector {
        &self.detector
    }

    /// Takes what is new from the stream, judges the windows that are over, acts, and remembers.
    ///
    /// Waits up to `wait` for the first record.
    pub async fn step(&mut self, now: Timestamp, wait: Duration) -> anyhow::Result<Vec<Judgement>> {
        self.follow_production(now).await?;
        let mut fresh = self.fetch(wait).await?;
        // Topics and partitions arrive one after the other; the watermark must not run ahead of any of them.
        fresh.sort_by_key(Event::at);
        for event in &fresh {
            match event {
                Event::Prediction(record) => self.windower.prediction(record, self.artifact.catalogue(), now),
                Event::Outcome(record) => self.windower.outcome(record, now),
            }
        }
        let before = (self.detector.clone(), self.windower.clone());
        let judged = self.judge(now).await;
        if judged.is_err() {
            // The windows are judged again next time, to the same verdicts and trigger ids.
            (self.detector, self.windower) = before;
        }
        let judgements = judged?;
        self.remember().await?;
        Ok(judgements)
    }

    /// Judges the windows that are over, and acts.
    async fn judge(&mut self, now: Timestamp) -> anyhow::Result<Vec<Judgement>> {
        let mut judgements = Vec::new();
        for window in self.windower.close_ready(self.detector.version()) {
            let verdict = self.detector.observe(&window, &self.facts(now).await?);
            let workflow = self.act(&verdict, now).await?;
            self.tell(&verdict, workflow.as_deref()).await?;
            judgements.push(Judgement { verdict, workflow });
        }
        Ok(judgements)
    }

    /// Everything new on the stream, at most [`MOST_AT_ONCE`] records; what is not ours is counted and set aside.
    async fn fetch(&mut self, mut wait: Duration) -> anyhow::Result<Vec<Event>> {
        let mut fresh = Vec::new();
        while fresh.len() < MOST_AT_ONCE {
            let batch = self.consumer.poll(BATCH, wait).await?;
            if batch.is_empty() {
                break;
            }
            wait = Duration::ZERO;
            for record in &batch {
                let ours = record.key == self.settings.tenant.as_str();
                match Event::read(record.topic, &record.payload)
                    .filter(|event| ours && event.tenant() == &self.settings.tenant)
                {
                    Some(event) => fresh.push(event),
                    None => {
                        self.refused += 1;
                        let (position, topic, refused) = (&record.position, record.topic.name(), self.refused);
                        tracing::warn!(position, topic, refused, "record set aside: no record of this tenant");
                    }
                }
            }
        }
        Ok(fresh)
    }

    /// Another version in production brings another reference.
    async fn follow_production(&mut self, now: Timestamp) -> anyhow::Result<()> {
        self.registry.refresh().await?;
        let version = production(&self.registry, &self.settings.model)?;
        if version != self.detector.version() {
            let loaded = self.registry.load(&self.settings.model, version).await?;
            self.detector.reset(reference(&loaded.manifest)?, version, now);
            self.artifact = loaded.artifact;
            tracing::info!(version = version.get(), "another version is in production; its profile is the reference");
        }
        Ok(())
    }

    /// What stands in the way of a retrain now: one that runs, a version that is on trial, a frozen budget.
    async fn facts(&self, now: Timestamp) -> anyhow::Result<ActionFacts> {
        let state = self.registry.state();
        let trial =
            state.model(&self.settings.model)?.canary.map(|trial| format!("version {} on trial", trial.version));
        let retrain_in_flight = match trial {
            Some(trial) => Some(trial),
            None => self.trigger.in_flight(&self.settings.tenant).await?,
        };
        Ok(ActionFacts {
            retrain_in_flight,
            budget_frozen: self.trigger.budget_frozen(&self.settings.tenant).await?,
            now,
        })
    }

    async fn act(&self, verdict: &Verdict, now: Timestamp) -> anyhow::Result<Option<String>> {
        let Action::Retrain { trigger_id } = &verdict.action else { return Ok(None) };
        let request = RetrainRequest {
            tenant: self.settings.tenant.clone(),
            model: self.settings.model.clone(),
            trigger_id: trigger_id.parse().expect("hex digits are a trigger id"),
            kind: TriggerKind::Drift,
            actor: "bookloop drift".to_owned(),
            reason: verdict.sentence.clone(),
            requested_at: now,
        };
        let fired = self.trigger.fire(&request).await?;
        tracing::info!(workflow = fired.workflow, repeated = fired.repeated, "retrain asked for");
        Ok(Some(fired.workflow))
    }

    async fn tell(&self, verdict: &Verdict, workflow: Option<&str>) -> anyhow::Result<()> {
        tracing::info!(from = %verdict.from, requests = verdict.requests, "{}", verdict.sentence);
        let submission = workflow.map_or(Submission::NotTried, |workflow| Submission::Started(workflow.to_owned()));
        let notices = verdict.notices(&self.settings.tenant, &submission);
        let message = |notice| Message::json(Topic::Drift, self.settings.tenant.as_str(), notice);
        let messages: Vec<Message> = notices.iter().map(message).collect();
        if !messages.is_empty() {
            self.producer.send(messages).await?;
        }
        Ok(())
    }

    async fn remember(&mut self) -> anyhow::Result<()> {
        let memory = Memory { detector: self.detector.state().clone(), windower: self.windower.clone() };
        let bytes = serde_json::to_vec(&memory).expect("profiles and counts are JSON");
        self.root.put(&key::detector(&self.settings.model), bytes.into()).await?;
        Ok(self.consumer.commit().await?)
    }
}

fn production(registry: &Registry, model: &ModelName) -> anyhow::Result<Version> {
    let state = registry.state();
    let production = state.model(model)?.aliases.get(&Alias::production()).copied();
    production.ok_or_else(|| {
        exit::coded(exit::CONFLICT, format!("no version of {model} is in production; promote one first"))
    })
}

fn reference(manifest: &models::Manifest) -> anyhow::Result<TrainingProfile> {
    serde_json::from_value(manifest.profile.clone())
        .map_err(|error| exit::coded(exit::INTEGRITY, format!("drift profile of {}: {error}", manifest.name)))
}
