use models::event::Arm;

use super::*;
use crate::ledger::Exposure;

const TRIAL: &str = "trials/recommender/2-1-00";

fn now() -> Timestamp {
    Timestamp::from_second(1_000).unwrap()
}

/// A process of a trial at 10 % and so many more steps.
fn process(name: &str, more_steps: u16) -> (Ledger, Exchange) {
    let ledger = Ledger::new(SignedDuration::from_mins(30), true);
    for step in 0..=more_steps {
        ledger.begin_step(1000 + step);
    }
    (ledger, Exchange::new(TRIAL.into(), name.into()))
}

/// So many readers of the canary, from number `from` on, one request each.
fn meet(ledger: &Ledger, step: usize, from: u64, n: u64) {
    let score = Duration::from_micros(120);
    let exposure = |unit| Exposure { unit, arm: Arm::Canary, failed: false, short: false, score };
    let exposures: Vec<Exposure> = (from..from + n).map(exposure).collect();
    ledger.exposed(step, &exposures, false, score, now());
}

/// Readers met and requests on the canary, over all steps; of how many processes.
fn counted((ledger, exchange): &(Ledger, Exchange)) -> (u64, u64, usize) {
    let steps = ledger.read(now());
    let sum = |of: fn(&crate::judge::ArmEvidence) -> u64| steps.iter().map(|step| of(&step.canary)).sum();
    (sum(|arm| arm.arrived), sum(|arm| arm.requests), exchange.heard().processes)
}

async fn turn((ledger, exchange): &(Ledger, Exchange), store: &Store) -> Result<(), String> {
    let done = exchange.turn(store, ledger, now()).await.map_err(|error| error.to_string());
    assert_eq!(exchange.heard().whole, done.is_ok());
    done
}

async fn keys(store: &Store) -> Vec<String> {
    let listed = store.list("trials").await.unwrap();
    listed.into_iter().map(|object| object.key[TRIAL.len() + 1..].to_owned()).collect()
}

#[tokio::test]
async fn many_readers_are_told_in_parts_that_never_change_and_are_read_once() {
    let store = Store::open("memory://exchange-parts").unwrap();
    let (a, b) = (process("a", 0), process("b", 0));
    meet(&a.0, 0, 0, 2 * PART as u64 + 5);
    turn(&a, &store).await.unwrap();
    assert_eq!(keys(&store).await, ["a.json", "a/00000000000000000000.json", "a/00000000000000000001.json"]);
    turn(&b, &store).await.unwrap();
    assert_eq!(counted(&b), (4101, 4101, 2));
    for key in ["a/00000000000000000000.json", "a/00000000000000000001.json"] {
        store.put(&format!("{TRIAL}/{key}"), Bytes::from_static(b"never read again")).await.unwrap();
    }
    // Half of these are known already; then the report's facts overflow into a third part.
    meet(&a.0, 0, 4096, 2000);
    turn(&a, &store).await.unwrap();
    turn(&b, &store).await.unwrap();
    assert_eq!(counted(&b), (6096, 6101, 2));
    meet(&a.0, 0, 10_000, 100);
    turn(&a, &store).await.unwrap();
    turn(&b, &store).await.unwrap();
    assert_eq!((counted(&b), keys(&store).await.len()), ((6196, 6201, 2), 5));
}

#[tokio::test]
async fn nothing_is_written_that_was_written_before() {
    let store = Store::open("memory://exchange-quiet").unwrap();
    let a = process("a", 0);
    turn(&a, &store).await.unwrap();
    store.delete(&format!("{TRIAL}/a.json")).await.unwrap();
    turn(&a, &store).await.unwrap();
    assert_eq!(keys(&store).await, Vec::<String>::new());
    meet(&a.0, 0, 7, 1);
    turn(&a, &store).await.unwrap();
    assert_eq!(keys(&store).await, ["a.json"]);
}

#[tokio::test]
async fn who_is_at_a_later_step_is_heard_once_that_step_has_come() {
    let store = Store::open("memory://exchange-steps").unwrap();
    let (behind, ahead) = (process("behind", 0), process("ahead", 1));
    meet(&ahead.0, 0, 0, 3);
    meet(&ahead.0, 1, 3, 4);
    turn(&ahead, &store).await.unwrap();
    turn(&behind, &store).await.unwrap();
    assert_eq!(counted(&behind), (0, 0, 1));
    behind.0.begin_step(1001);
    turn(&behind, &store).await.unwrap();
    assert_eq!(counted(&behind), (7, 7, 2));
    assert_eq!(behind.0.read(now()), ahead.0.read(now()));
}

#[tokio::test]
async fn a_report_that_cannot_be_read_is_named_and_the_others_are_heard() {
    let store = Store::open("memory://exchange-damage").unwrap();
    let (a, b, c) = (process("a", 0), process("b", 0), process("c", 0));
    meet(&a.0, 0, 0, 1);
    meet(&c.0, 0, 1, 1);
    turn(&a, &store).await.unwrap();
    turn(&c, &store).await.unwrap();
    let broken = [
        ("{", "EOF while parsing an object at line 1 column 1"),
        (r#"{"format":2}"#, "expected format 1, found 2"),
        (
            r#"{"format":1,"at":"2026-03-01T12:00:00Z","requests":[],"parts":0,"facts":[[1,1,"stable",0,"met",0]]}"#,
            "expected a step below 1, found 1",
        ),
        (
            r#"{"format":1,"at":"2026-03-01T12:00:00Z","requests":[],"parts":1,"facts":[]}"#,
            "expected a part, found nothing",
        ),
    ];
    for (text, why) in broken {
        store.put(&format!("{TRIAL}/a.json"), Bytes::from_static(text.as_bytes())).await.unwrap();
        let said = turn(&b, &store).await.unwrap_err();
        assert!(said.starts_with(TRIAL) && said.ends_with(why), "{said}");
        assert_eq!(counted(&b), (1, 1, 2), "c is heard");
    }
}
