//! Several processes try one version on their readers and judge it together.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{Router, body::Body, http::Request};
use models::{Version, stream::Producer};
use serde_json::Value;
use serve::{
    Experiment, ModelSource, Options, Running, Server,
    judge::{Decision, Durations, Evidence, Guard, Policy, StepRule},
};

use crate::world::{Recorder, World, artifact, options, overflowing, send};

/// One process of a fleet.
struct Replica {
    running: Running,
    router: Router,
}

/// A policy that a handful of sound readers satisfies.
fn easy() -> Policy {
    let sound = Policy::default();
    let guard = |of: Guard| Guard { bound: 0.9, ..of };
    let step = |weight_bp| StepRule { weight_bp, least_secs: 0, most_secs: 3600, clicks_above: None };
    let steps = [1000, 5000, 10_000].map(step).to_vec();
    Policy { failures: guard(sound.failures), slow: guard(sound.slow), steps, ..sound }
}

impl Replica {
    async fn of(world: &World, process: Option<&str>) -> Self {
        let mut options = Options { process: process.map(Into::into), policy: easy(), ..options() };
        // Rounds are asked for by hand.
        options.exchange_interval = Duration::from_hours(1);
        let source = ModelSource::Registry(Arc::clone(&world.registry));
        let stream = Arc::new(Recorder::default()) as Arc<dyn Producer>;
        let running = Server::start(options, source, stream).await.unwrap();
        running.look_now().await;
        let router = serve::rest(Arc::clone(running.fleet()));
        Self { running, router }
    }

    async fn post(&self, path: &str, id: &str, body: String) -> Value {
        let request = Request::post(path).header("x-request-id", id).body(Body::from(body)).unwrap();
        let reply = send(&self.router, request).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()
    }

    /// A reader comes; the arm that answers. `more` is added to the question.
    async fn meet(&self, reader: u32, more: &str) -> String {
        let body = format!(r#"{{"instances":[{{"user_id":"r{reader}","k":1{more}}}]}}"#);
        let told = self.post("/v1/models/recommender:predict", &format!("of-r{reader}"), body).await;
        told["predictions"][0]["variant"].as_str().unwrap().to_owned()
    }

    async fn click(&self, reader: u32) {
        let body = format!(r#"{{"request_id":"of-r{reader}","user_id":"r{reader}","item_id":"b4","kind":"click"}}"#);
        assert_eq!(self.post("/outcomes", "click", body).await["joined"], 1);
    }

    fn experiment(&self) -> Experiment {
        self.running.experiment().unwrap()
    }

    /// What was counted, without how long scoring took, which no two runs share.
    fn evidence(&self) -> Evidence {
        let mut evidence = self.experiment().judgement.numbers.evidence;
        for step in &mut evidence.steps {
            for arm in [&mut step.stable, &mut step.canary] {
                assert_eq!(arm.scoring.n(), arm.met, "every reader's first list was timed");
                arm.scoring = Durations::default();
            }
        }
        evidence
    }
}

/// A registry with a version in production and another on trial.
async fn on_trial(second: &models::Artifact, weight_bp: u16) -> (World, Version) {
    let world = World::new().await;
    let first = world.stage(&artifact(" one")).await;
    world.promote(first).await;
    let second = world.stage(second).await;
    world.trial(second, weight_bp).await;
    (world, second)
}

#[tokio::test]
async fn two_processes_with_half_of_the_traffic_each_say_what_one_with_all_of_it_says() {
    let (world, second) = on_trial(&artifact(" two"), 1000).await;
    let (a, b) = (Replica::of(&world, Some("a")).await, Replica::of(&world, Some("b")).await);
    let alone = Replica::of(&world, None).await;
    // Every fourth reader is sent to both, as a balancer does.
    for reader in 0..80 {
        let here = if reader % 2 == 0 { &a } else { &b };
        here.meet(reader, "").await;
        alone.meet(reader, "").await;
        if reader % 5 == 0 {
            here.click(reader).await;
            alone.click(reader).await;
        }
        if reader % 4 == 0 {
            b.meet(reader, "").await;
            alone.meet(reader, "").await;
        }
    }
    world.trial(second, 5000).await;
    for replica in [&a, &b, &alone] {
        replica.running.look_now().await;
    }
    for reader in 60..120 {
        let here = if reader % 2 == 0 { &b } else { &a };
        here.meet(reader, "").await;
        alone.meet(reader, "").await;
    }
    for replica in [&a, &b, &a] {
        replica.running.exchange_now().await;
    }
    let all = alone.evidence();
    let requests: u64 = all.steps.iter().map(|step| step.stable.requests + step.canary.requests).sum();
    let readers: u64 = all.steps.iter().map(|step| step.stable.arrived + step.canary.arrived).sum();
    assert_eq!((requests, readers, all.total(|step| &step.stable).clicked > 10), (160, 120, true));
    assert_eq!(a.evidence(), all);
    assert_eq!(b.evidence(), all);
    let (one, two) = (a.experiment(), alone.experiment());
    assert_eq!((one.processes, one.whole, two.processes, two.whole), (2, true, 1, true));
    assert_eq!(one.judgement.decision, two.judgement.decision);
    assert_eq!((&one.trial, one.since), (&two.trial, two.since));
}

#[tokio::test]
async fn what_a_killed_process_had_told_still_counts_and_a_drained_one_tells_everything() {
    let (world, _) = on_trial(&artifact(" two"), 5000).await;
    let killed = Replica::of(&world, Some("first")).await;
    for reader in 0..20 {
        killed.meet(reader, "").await;
    }
    killed.running.exchange_now().await;
    for reader in 20..23 {
        killed.meet(reader, "").await;
    }
    // It does not say goodbye: nothing of it is told from here on.
    drop(killed);
    let again = Replica::of(&world, Some("second")).await;
    again.running.exchange_now().await;
    let counted = |replica: &Replica| {
        let numbers = replica.experiment().judgement.numbers;
        let (stable, canary) =
            (numbers.evidence.total(|step| &step.stable), numbers.evidence.total(|step| &step.canary));
        (stable.arrived + canary.arrived, replica.experiment().processes)
    };
    assert_eq!(counted(&again), (20, 2), "all but what was met after it last told");
    again.meet(5, "").await;
    again.meet(23, "").await;
    again.running.shutdown().await;
    let third = Replica::of(&world, Some("third")).await;
    third.running.exchange_now().await;
    assert_eq!(counted(&third), (21, 3), "a reader of the first process is not a new one");
}

#[tokio::test]
async fn without_the_store_nothing_advances_and_harm_still_ends_a_trial() {
    let (world, _) = on_trial(&artifact(" two"), 5000).await;
    let a = Replica::of(&world, Some("a")).await;
    for reader in 0..40 {
        a.meet(reader, "").await;
    }
    let decided = |replica: &Replica| replica.experiment().judgement.decision;
    a.running.exchange_now().await;
    assert_eq!(decided(&a), Decision::Advance);
    world.shelf.away.store(true, Ordering::SeqCst);
    a.running.exchange_now().await;
    assert_eq!(decided(&a), Decision::Hold { why: "what other processes saw cannot be read".into() });
    assert!(!a.experiment().whole);
    let text = a.running.fleet().metrics_text();
    let failed = r#"bookloop_trial_exchanges_total{tenant="acme-books",model="recommender",result="failed"} 1"#;
    assert!(text.contains(failed), "{text}");
    world.shelf.away.store(false, Ordering::SeqCst);
    a.running.exchange_now().await;
    assert_eq!(decided(&a), Decision::Advance);

    let (world, _) = on_trial(&overflowing(), 5000).await;
    let b = Replica::of(&world, Some("b")).await;
    world.shelf.away.store(true, Ordering::SeqCst);
    for reader in 0..40 {
        b.meet(reader, r#","history":["b1"]"#).await;
    }
    b.running.exchange_now().await;
    assert!(matches!(decided(&b), Decision::RollBack { .. }), "{:?}", decided(&b));
}

#[tokio::test]
async fn a_trial_ended_here_meets_nobody_from_the_next_request_on_whatever_the_registry_says() {
    let (world, second) = on_trial(&artifact(" two"), 10_000).await;
    let a = Replica::of(&world, Some("a")).await;
    assert_eq!(a.meet(1, "").await, "canary");
    let service = a.running.fleet().service("acme-books", "recommender").unwrap();
    let trial = a.experiment();
    assert!(!service.end_trial(&Experiment { trial: "another".into(), ..trial.clone() }));
    assert_eq!(a.meet(1, "").await, "canary");
    world.shelf.away.store(true, Ordering::SeqCst);
    assert!(service.end_trial(&trial));
    assert_eq!(a.meet(1, "").await, "stable");
    world.shelf.away.store(false, Ordering::SeqCst);
    a.running.look_now().await;
    assert_eq!(
        (a.meet(1, "").await.as_str(), a.running.experiment()),
        ("stable", None),
        "a look does not bring it back"
    );
    assert!(!service.end_trial(&trial), "it is over");
    let told: Value =
        serde_json::from_str(&send(&a.router, Request::get("/experiments").body(Body::empty()).unwrap()).await.text)
            .unwrap();
    assert_eq!(
        (&told["ended"][0]["trial"], &told["experiments"]),
        (&trial.trial.as_str().into(), &serde_json::json!([]))
    );
    // A new trial is another one.
    world.trial_under(second, 10_000, 9).await;
    a.running.look_now().await;
    assert_eq!(a.meet(1, "").await, "canary");
}
