//! What the judge says becomes commits: up by steps, never into production, and down at once with the numbers.

use std::sync::Arc;

use bookloop::ramp::{Moved, Ramp};
use jiff::Timestamp;
use models::{
    Alias, Artifact, Book, Catalogue, ModelName, Readers, Registry, Scorer, Store, Version,
    manifest::{DataLineage, MODEL_FILE, Manifest, Trigger, TriggerKind},
    registry::{Draft, Error, Intent, Op},
    split::Salt,
};
use serve::{
    Experiment,
    judge::{ArmEvidence, Evidence, Judgement, Policy, StepEvidence, judge},
};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

pub(crate) fn name() -> ModelName {
    "recommender".parse().unwrap()
}

pub(crate) fn version(number: u32) -> Version {
    number.try_into().unwrap()
}

/// Two books, their titles marked.
pub(crate) fn books(title: &str, scorer: Scorer) -> Artifact {
    let shelf = ["b1", "b2"].map(|id| {
        let mut book = Book::bare(id.parse().unwrap());
        book.title = Some(format!("{title} {id}"));
        book
    });
    Artifact::new(Catalogue::new(shelf), vec![1.0, 2.0], scorer, Readers::new([])).unwrap()
}

/// Registers a model as the next version, approved, in `staging`.
pub(crate) async fn publish(registry: &Registry, artifact: &Artifact) {
    let intent = Intent::new("ana", "nightly", NOW);
    let data = DataLineage {
        source: "memory".into(),
        sha256: String::new(),
        interactions: 1,
        readers: 1,
        books: 2,
        from: None,
        to: None,
    };
    let manifest = Manifest {
        format: 1,
        name: name(),
        created_at: NOW,
        algorithm: "popularity".into(),
        params: serde_json::json!({}),
        tuning: None,
        seed: 7,
        data,
        metrics: std::collections::BTreeMap::new(),
        gate: "test".into(),
        code_revision: "test".into(),
        trigger: Trigger { kind: TriggerKind::Manual, id: models::digest::sha256(&models::format::encode(artifact)) },
        parent: None,
        profile: serde_json::Value::Null,
        files: Vec::new(),
    };
    let draft = Draft { manifest, files: vec![(MODEL_FILE.into(), models::format::encode(artifact))] };
    let version = registry.publish_staged(draft, &intent).await.unwrap().version;
    registry.commit(&intent, |_| Ok(vec![Op::Approve { name: name(), version }])).await.unwrap();
}

/// A registry with version 1 in production and version 2 approved, and its ramp.
async fn shop(test: &str) -> (Arc<Registry>, Ramp) {
    let store = Store::open(&format!("memory://ramp-{test}")).unwrap();
    let registry = Arc::new(Registry::open(store).await.unwrap());
    for title in ["Emma", "Dune"] {
        publish(&registry, &books(title, Scorer::Popularity)).await;
    }
    registry.promote(&name(), version(1), None, &Intent::new("ana", "nightly", NOW)).await.unwrap();
    let ramp = Ramp::new(Arc::clone(&registry), name(), "judge");
    (registry, ramp)
}

/// Version 2's trial at a share, after so many clean canary readers of whom so many failed.
fn experiment(weight_bp: u16, met: u64, failed: u64) -> Experiment {
    let policy = Policy::default();
    let clicks = ArmEvidence { arrived: 90_000, clicked: 9000, ..ArmEvidence::default() };
    let canary = ArmEvidence { met, met_bad: failed, failed, ..ArmEvidence::default() };
    let early = StepEvidence { weight_bp: 5000, stable: clicks, canary: clicks };
    let step = StepEvidence { weight_bp, canary, ..StepEvidence::default() };
    let evidence = Evidence {
        steps: vec![early, step],
        step_secs: policy.rule(weight_bp).unwrap().least_secs,
        ..Evidence::default()
    };
    let judgement = judge(&evidence, &policy);
    let (stable_version, canary_version) = (version(1), version(2));
    Experiment {
        trial: "2-1".into(),
        epoch: 3,
        stable_version,
        canary_version,
        aa: false,
        weight_bp,
        since: NOW,
        processes: 1,
        whole: true,
        judgement,
    }
}

fn weight(registry: &Registry) -> Option<u16> {
    registry.state().models[&name()].canary.map(|canary| canary.weight_bp)
}

#[tokio::test]
async fn a_sound_canary_climbs_every_step_and_waits_for_a_person() {
    let (registry, ramp) = shop("climbs").await;
    ramp.begin(version(2), 1000, Salt::new([1; 32]), "the gate was passed", NOW).await.unwrap();
    for (at, to) in [(1000, 2500), (2500, 5000), (5000, 10_000)] {
        let sound = experiment(at, 4000, 0);
        assert_eq!(ramp.follow(&sound, NOW).await.unwrap(), Moved::To(to));
        assert!(matches!(ramp.follow(&sound, NOW).await.unwrap(), Moved::Stays { .. }), "judged at {at}, now at {to}");
        assert_eq!(weight(&registry), Some(to));
    }
    assert_eq!(ramp.follow(&experiment(10_000, 4000, 0), NOW).await.unwrap(), Moved::AwaitsApproval);
    assert_eq!(registry.state().models[&name()].aliases[&Alias::production()], version(1));
    let silent = ramp.follow(&experiment(10_000, 0, 0), NOW).await.unwrap();
    assert!(matches!(silent, Moved::Stays { .. }), "{silent:?}");
}

#[tokio::test]
async fn harm_ends_the_trial_in_one_commit_from_whose_numbers_the_decision_can_be_taken_again() {
    let (registry, ramp) = shop("harm").await;
    ramp.begin(version(2), 1000, Salt::new([1; 32]), "the gate was passed", NOW).await.unwrap();
    let harmful = experiment(1000, 40, 6);
    let moved = ramp.follow(&harmful, NOW).await.unwrap();
    assert!(matches!(moved, Moved::RolledBack { .. }), "{moved:?}");
    assert_eq!(weight(&registry), None);
    let again = ramp.begin(version(2), 1000, Salt::new([2; 32]), "again", NOW).await;
    assert!(matches!(again, Err(Error::Refused(_))), "{again:?}");

    let entry = registry.entries().await.unwrap().pop().unwrap();
    assert_eq!((entry.actor.as_str(), entry.ops.len()), ("judge", 1));
    assert!(entry.reason.starts_with("rolled back: failures: e-value "), "{}", entry.reason);
    let judgement: Judgement = serde_json::from_value(entry.numbers.unwrap()).unwrap();
    assert_eq!(judgement, harmful.judgement);
    assert_eq!(judge(&judgement.numbers.evidence, &judgement.numbers.policy), judgement);
}

#[tokio::test]
async fn a_trial_whose_time_is_over_ends_without_blame() {
    let (registry, ramp) = shop("expires").await;
    ramp.begin(version(2), 1000, Salt::new([1; 32]), "the gate was passed", NOW).await.unwrap();
    let mut silent = experiment(1000, 0, 0);
    let numbers = &silent.judgement.numbers;
    silent.judgement = judge(&Evidence { step_secs: 48 * 3600, ..numbers.evidence.clone() }, &numbers.policy);
    let moved = ramp.follow(&silent, NOW).await.unwrap();
    assert!(matches!(moved, Moved::Expired { .. }), "{moved:?}");
    assert_eq!(weight(&registry), None);
    ramp.begin(version(2), 1000, Salt::new([2; 32]), "again", NOW).await.unwrap();
}

#[tokio::test]
async fn an_a_a_goes_nowhere_and_its_alarm_ends_it_without_a_quarantine() {
    let (registry, ramp) = shop("aa").await;
    let of_itself = |experiment: Experiment| Experiment { canary_version: version(1), aa: true, ..experiment };
    let begin = async |salt| ramp.begin(version(1), 5000, Salt::new([salt; 32]), "a new balancer", NOW).await.unwrap();
    begin(1).await;
    let waits = ramp.follow(&of_itself(experiment(5000, 10, 0)), NOW).await.unwrap();
    assert!(matches!(waits, Moved::Stays { .. }), "{waits:?}");
    let shown = of_itself(experiment(5000, 4000, 0));
    assert_eq!(shown.judgement.decision, serve::judge::Decision::Advance);
    assert_eq!(ramp.follow(&shown, NOW).await.unwrap(), Moved::Clean);
    assert_eq!(weight(&registry), None);
    begin(2).await;
    let alarm = ramp.follow(&of_itself(experiment(5000, 40, 20)), NOW).await.unwrap();
    assert!(matches!(alarm, Moved::Alarmed { .. }), "{alarm:?}");
    assert_eq!(weight(&registry), None);
    let state = registry.state();
    assert!(state.models[&name()].versions.values().all(|standing| standing.quarantine.is_none()));
    assert_eq!(state.models[&name()].aliases[&Alias::production()], version(1));
    assert!(registry.entries().await.unwrap().pop().unwrap().reason.starts_with("A/A alarm: failures: e-value"));
}
