//! Trials: begun once, moved from where they were judged, and never of a version in quarantine.

use jiff::Timestamp;
use models::{
    Alias, Registry, Version,
    registry::{Canary, Error, Intent, Op, Receipt},
    signature::Trust,
    split::Salt,
};

use crate::{
    life::memory,
    registry_contract::{draft, name, version},
};

fn intent(actor: &str, reason: &str) -> Intent {
    Intent::new(actor, reason, Timestamp::UNIX_EPOCH)
}

fn of(number: u32, weight_bp: u16) -> Canary {
    Canary { version: version(number), weight_bp, salt: Salt::new([3; 32]) }
}

/// A registry in which each title is a version, the first in production.
async fn shop(test: &str, titles: &[&str]) -> Registry {
    let registry = Registry::open(memory(test)).await.unwrap();
    for title in titles {
        registry.publish(draft(title), &intent("ana", "nightly").once(format!("{title}-{test}"))).await.unwrap();
    }
    approve(&registry, 1).await.unwrap();
    registry.promote(&name(), version(1), None, &intent("ana", "first")).await.unwrap();
    registry
}

async fn approve(registry: &Registry, number: u32) -> Result<Receipt, Error> {
    let op = Op::Approve { name: name(), version: version(number) };
    registry.commit(&intent("ana", "fine"), |_| Ok(vec![op.clone()])).await
}

fn words<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().to_string()
}

fn trial(registry: &Registry) -> Option<(Version, u16)> {
    registry.state().models[&name()].canary.map(|canary| (canary.version, canary.weight_bp))
}

#[tokio::test]
async fn a_trial_moves_only_from_where_it_was_judged() {
    let registry = shop("trial-moves", &["Emma", "Dune", "Odd"]).await;
    let judge = intent("judge", "every condition is shown");
    registry.begin_trial(&name(), of(2, 1000), &judge).await.unwrap();
    let second = words(registry.begin_trial(&name(), of(3, 1000), &judge).await);
    assert_eq!(second, "conflict: trial of recommender. expected=no trial found=version 2 on trial");
    registry.step_trial(&name(), of(2, 1000), 2500, &judge).await.unwrap();
    let stale = words(registry.step_trial(&name(), of(2, 1000), 2500, &judge).await);
    let (expected, found) = ("version 2 at 1000 basis points", "version 2 at 2500 basis points");
    assert_eq!(stale, format!("conflict: trial of recommender. expected={expected} found={found}"));
    assert_eq!(trial(&registry), Some((version(2), 2500)));
    registry.step_trial(&name(), of(2, 2500), 0, &judge).await.unwrap();
    assert_eq!(trial(&registry), None);
}

#[tokio::test]
async fn a_version_in_quarantine_is_neither_tried_nor_promoted_until_a_person_releases_it() {
    let registry = shop("trial-held", &["Emma", "Dune"]).await;
    approve(&registry, 2).await.unwrap();
    registry.begin_trial(&name(), of(2, 1000), &intent("judge", "gate passed")).await.unwrap();
    let numbers = serde_json::json!({"harm": {"log_e": 0.1 + 0.2}});
    let harm = intent("judge", "rolled back: failures").given(numbers.clone());
    let receipt = registry.quarantine(&name(), version(2), &harm).await.unwrap();
    assert_eq!(trial(&registry), None, "the same commit ends the trial");

    let held = "version 2 of recommender is in quarantine (rolled back: failures)";
    let again = words(registry.begin_trial(&name(), of(2, 1000), &intent("judge", "again")).await);
    assert!(again.contains(held), "{again}");
    let promoted = words(registry.promote(&name(), version(2), None, &intent("ana", "hurry")).await);
    assert!(promoted.contains(held), "{promoted}");

    // Whoever opens the registry later knows it too, and the numbers are in the log as they were.
    let later = Registry::open(registry.store().clone()).await.unwrap();
    let standing = later.state().models[&name()].versions[&version(2)].clone();
    assert_eq!(standing.quarantine.unwrap().reason, "rolled back: failures");
    let entry = later.entries().await.unwrap().into_iter().find(|entry| entry.id == receipt.entry.id).unwrap();
    assert_eq!(entry.numbers, Some(numbers));

    later.release(&name(), version(2), &intent("ana", "the store was at fault")).await.unwrap();
    let twice = words(later.release(&name(), version(2), &intent("ana", "again")).await);
    assert_eq!(twice, "refused: version 2 of recommender is not in quarantine");
    later.begin_trial(&name(), of(2, 1000), &intent("ana", "again")).await.unwrap();
    assert_eq!(
        Registry::verify(later.store().clone(), &Trust::default()).await.unwrap().problems,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn the_same_model_does_not_come_back_under_another_number() {
    let registry = shop("trial-again", &["Emma", "Dune"]).await;
    registry.quarantine(&name(), version(2), &intent("judge", "failures")).await.unwrap();
    let mut again = draft("Dune");
    again.manifest.seed += 1;
    registry.publish(again, &intent("ana", "nightly").once("again")).await.unwrap();
    let refused = words(registry.begin_trial(&name(), of(3, 1000), &intent("judge", "gate passed")).await);
    let why = "refused: version 3 of recommender is the model of version 2, which is in quarantine (failures)";
    assert_eq!(refused, why);
    registry.publish(draft("Odd"), &intent("ana", "nightly").once("odd")).await.unwrap();
    registry.begin_trial(&name(), of(4, 1000), &intent("judge", "gate passed")).await.unwrap();
}

#[tokio::test]
async fn what_is_in_production_is_rolled_back_before_it_is_held() {
    let registry = shop("trial-production", &["Emma", "Dune"]).await;
    let refused = words(registry.quarantine(&name(), version(1), &intent("judge", "failures")).await);
    assert_eq!(refused, "refused: version 1 of recommender is in production; roll it back first");
    approve(&registry, 2).await.unwrap();
    registry.promote(&name(), version(2), None, &intent("ana", "better")).await.unwrap();
    registry.quarantine(&name(), version(1), &intent("judge", "failures")).await.unwrap();
    let back = words(registry.roll_back(&name(), &intent("ana", "p99")).await);
    assert!(back.contains("version 1 of recommender is in quarantine"), "{back}");
    assert_eq!(registry.state().models[&name()].aliases[&Alias::production()], version(2));
}

/// `share@since` of the trial's steps, basis points and seconds.
fn steps(registry: &Registry) -> Vec<String> {
    let steps = registry.state().models[&name()].trial_steps.clone();
    steps.iter().map(|step| format!("{}@{}", step.weight_bp, step.since.as_second())).collect()
}

#[tokio::test]
async fn the_log_says_when_each_step_of_a_trial_began() {
    let registry = shop("trial-steps", &["Emma", "Dune", "Odd"]).await;
    let at = |second| Intent::new("judge", "shown", Timestamp::from_second(second).unwrap());
    registry.begin_trial(&name(), of(2, 1000), &at(10)).await.unwrap();
    registry.step_trial(&name(), of(2, 1000), 2500, &at(20)).await.unwrap();
    assert_eq!(steps(&registry), ["1000@10", "2500@20"]);
    registry.step_trial(&name(), of(2, 2500), 2500, &at(30)).await.unwrap();
    assert_eq!(steps(&registry), ["1000@10", "2500@20"], "the same share again is the same step");
    // Against another version in production it is another comparison.
    approve(&registry, 3).await.unwrap();
    let alias = Alias::production();
    registry.set_alias(&name(), &alias, Some(version(1)), version(3), &at(40)).await.unwrap();
    assert_eq!(steps(&registry), ["2500@40"]);
    let later = Registry::open(registry.store().clone()).await.unwrap();
    assert_eq!(steps(&later), ["2500@40"], "whoever opens the registry later knows it too");
    registry.step_trial(&name(), of(2, 2500), 0, &at(50)).await.unwrap();
    assert_eq!((steps(&registry), trial(&registry)), (vec![], None));
    registry.begin_trial(&name(), of(2, 1000), &at(60)).await.unwrap();
    registry.quarantine(&name(), version(2), &at(70)).await.unwrap();
    assert_eq!(steps(&registry), [""; 0]);
    let twice = words(registry.quarantine(&name(), version(2), &at(71)).await);
    let (expected, found) = ("not in quarantine", "in quarantine (shown)");
    assert_eq!(twice, format!("conflict: version 2 of recommender. expected={expected} found={found}"));
}
