//! The fold over windows by hand: a shop with three subjects, so every number can be followed.

use drift::{
    Action, ActionFacts, Counts, Detector, DetectorState, Feature, Policy, Quality, Reference, Rule, Sample, Severity,
    Share, Standing, Submission, Suppression, TrainingProfile, Verdict, WindowProfile, assess,
};
use expect_test::expect;
use models::{TenantName, Version};

use crate::world::hour;

fn counts(love: u64, space: u64, crime: u64) -> Counts {
    Counts { named: [("love".into(), love), ("space".into(), space), ("crime".into(), crime)].into(), other: 0 }
}

fn training() -> TrainingProfile {
    TrainingProfile {
        format: 1,
        trained_to: hour(0),
        first: None,
        last: None,
        recent_from: None,
        events: 1000,
        readers: 1000,
        books: 3,
        basket_books: Counts::default(),
        basket_subjects: counts(500, 300, 200),
        growth: Some(Share { hits: 20, of: 1000 }),
        activity: [(1, 1000)].into(),
    }
}

/// Two hundred readers whose baskets look like this.
fn window(at: i64, baskets: Counts) -> WindowProfile {
    let numbers = |scale: f64| Sample::new((0..200).map(|i| f64::from(i * 37 % 200) * scale).collect()).unwrap();
    WindowProfile {
        from: hour(at),
        to: hour(at + 1),
        requests: 200,
        readers: 200,
        clicks: 20,
        purchases: 0,
        quality: Quality::default(),
        basket_books: Counts::default(),
        basket_subjects: baskets,
        unknown_books: Share { hits: 4, of: 200 },
        unknown_readers: Share { hits: 40, of: 200 },
        clicked: Share { hits: 20, of: 200 },
        activity: numbers(1.0),
        top_scores: numbers(0.01),
        list_popularity: numbers(0.005),
        rows: Vec::new(),
    }
}

fn calm(at: i64) -> WindowProfile {
    window(at, counts(100, 60, 40))
}

fn shifted(at: i64) -> WindowProfile {
    window(at, counts(20, 60, 120))
}

fn policy() -> Policy {
    Policy { min_readers: 100, ..Policy::default() }
}

fn detector() -> Detector {
    Detector::new(policy(), "books".parse().unwrap(), training(), Version::FIRST, hour(0)).unwrap()
}

fn facts(at: i64) -> ActionFacts {
    ActionFacts { retrain_in_flight: None, budget_frozen: false, now: hour(at) }
}

/// Calm from hour 0, shifted from `change` on, up to and without `end`.
fn run(detector: &mut Detector, change: i64, end: i64) -> Vec<Verdict> {
    (0..end).map(|at| detector.observe(&if at < change { calm(at) } else { shifted(at) }, &facts(at + 1))).collect()
}

#[test]
fn the_story_of_a_drift_reads_like_one() {
    let mut detector = detector();
    let story: Vec<String> = run(&mut detector, 7, 14)
        .iter()
        .map(|verdict| format!("{:<10}{}", verdict.standing.as_str(), verdict.sentence))
        .collect();
    expect![[r"
        steady    nothing moved in 2 features (settling: 1 of 6 windows): nothing to do
        steady    nothing moved in 2 features (settling: 2 of 6 windows): nothing to do
        steady    nothing moved in 2 features (settling: 3 of 6 windows): nothing to do
        steady    nothing moved in 2 features (settling: 4 of 6 windows): nothing to do
        steady    nothing moved in 2 features (settling: 5 of 6 windows): nothing to do
        steady    nothing moved in 2 features: nothing to do
        steady    nothing moved in 7 features: nothing to do
        watch     basket.subject moved by JS 0.42 (floor 0.11 + 0.08), 1 of the last 5 windows: no retrain yet, it has not lasted long enough
        suspected basket.subject moved by JS 0.42 (floor 0.11 + 0.08), 2 of the last 5 windows: no retrain yet, it has not lasted long enough
        suspected basket.subject moved by JS 0.42 (floor 0.11 + 0.08), 3 of the last 5 windows: no retrain yet, it has not lasted long enough
        confirmed basket.subject moved by JS 0.42 (floor 0.11 + 0.08), 4 of the last 5 windows: retrain
        confirmed basket.subject moved by JS 0.42 (floor 0.11 + 0.08), 5 of the last 5 windows: no retrain, cooling down until 1970-01-01T17:00:00Z
        confirmed basket.subject moved by JS 0.42 (floor 0.11 + 0.08), 5 of the last 5 windows: no retrain, cooling down until 1970-01-01T17:00:00Z
        confirmed basket.subject moved by JS 0.42 (floor 0.11 + 0.08), 5 of the last 5 windows: no retrain, cooling down until 1970-01-01T17:00:00Z"]].assert_eq(&story.join("\n"));
    let episode = detector.episode().unwrap();
    assert_eq!((episode.onset, episode.suspected, episode.confirmed), (hour(7), Some(hour(9)), Some(hour(11))));
    assert_eq!((episode.triggered, &episode.features), (Some(hour(11)), &[Feature::BasketSubject].into()));
}

/// The action of the eleventh window, the first in which the drift is confirmed, under other circumstances.
fn action_when(facts: &ActionFacts) -> Action {
    let mut detector = detector();
    run(&mut detector, 7, 10);
    detector.observe(&shifted(10), facts).action
}

#[test]
fn the_gate_asks_its_questions_in_order() {
    let frozen = ActionFacts { budget_frozen: true, ..facts(11) };
    let running = ActionFacts { retrain_in_flight: Some("retrain-7".into()), ..facts(11) };
    let both = ActionFacts { budget_frozen: true, ..running.clone() };
    let early = ActionFacts { now: hour(5), ..facts(11) };
    let running_early = ActionFacts { retrain_in_flight: Some("retrain-7".into()), ..early.clone() };
    let in_flight = Action::Suppressed(Suppression::InFlight { run: "retrain-7".into() });
    assert!(matches!(action_when(&facts(11)), Action::Retrain { .. }));
    assert_eq!(action_when(&frozen), Action::Suppressed(Suppression::BudgetFrozen));
    assert_eq!(action_when(&both), Action::Suppressed(Suppression::BudgetFrozen));
    assert_eq!(action_when(&running), in_flight);
    assert_eq!(action_when(&running_early), in_flight);
    let cooling = Action::Suppressed(Suppression::CoolDown { until: hour(6) });
    assert_eq!(action_when(&early), cooling);
}

#[test]
fn broken_records_are_not_judged_and_block_triggers_until_three_clean_windows() {
    let mut detector = detector();
    run(&mut detector, 7, 10);
    let mut broken = shifted(10);
    broken.quality.empty_lists = 150;
    let verdict = detector.observe(&broken, &facts(11));
    assert_eq!((verdict.standing, verdict.features.len()), (Standing::Incident, 0));
    expect!["empty lists in 75.0 % of requests (limit 20.0 %): not judged; 3 clean windows must pass"]
        .assert_eq(&verdict.sentence);
    let actions: Vec<Action> = (11..14).map(|at| detector.observe(&shifted(at), &facts(at + 1)).action).collect();
    assert_eq!(actions[..2], [const { Action::Suppressed(Suppression::DataIncident) }; 2]);
    assert!(matches!(actions[2], Action::Retrain { .. }));
}

#[test]
fn the_same_drift_has_the_same_trigger_and_another_drift_another() {
    let trigger = |version: u32, change: i64| {
        let version = Version::try_from(version).unwrap();
        let mut detector = Detector::new(policy(), "books".parse().unwrap(), training(), version, hour(0)).unwrap();
        let verdicts = run(&mut detector, change, change + 5);
        verdicts.iter().find_map(|verdict| verdict.trigger_id().map(str::to_owned)).unwrap()
    };
    assert_eq!(trigger(1, 7), trigger(1, 7));
    assert_ne!(trigger(1, 7), trigger(2, 7));
    assert_eq!(trigger(1, 7).len(), 32);
}

#[test]
fn state_survives_a_restart_and_a_repeated_window_changes_nothing() {
    let (mut steady, mut restarted) = (detector(), detector());
    for at in 0..12 {
        let window = if at < 7 { calm(at) } else { shifted(at) };
        let want = steady.observe(&window, &facts(at + 1));
        // Judged, but the state was lost before it was stored; then judged again.
        let mut lost = restarted.clone();
        assert_eq!(lost.observe(&window, &facts(at + 1)), want);
        assert_eq!(restarted.observe(&window, &facts(at + 1)), want);
        let state: DetectorState = serde_json::from_str(&serde_json::to_string(restarted.state()).unwrap()).unwrap();
        restarted = Detector::resume(policy(), state).unwrap();
    }
    let again = restarted.observe(&shifted(11), &facts(12));
    assert_eq!((again.standing, again.action), (Standing::Insufficient, Action::Nothing));
    assert_eq!(restarted.state(), steady.state());
}

#[test]
fn a_new_version_starts_with_a_clean_sheet_and_a_cool_down() {
    let mut detector = detector();
    run(&mut detector, 7, 12);
    let mut reference = training();
    reference.basket_subjects = counts(100, 300, 600);
    detector.reset(reference, Version::FIRST.next(), hour(12));
    assert!(detector.episode().is_none());
    let verdict = detector.observe(&shifted(12), &facts(13));
    assert_eq!(verdict.standing, Standing::Judged(Severity::Steady));
    // The old taste would now be the drift; confirmed in its fourth window, inside the six hours' cool-down.
    let actions: Vec<Action> = (13..17).map(|at| detector.observe(&calm(at), &facts(at + 1)).action).collect();
    assert_eq!(actions[3], Action::Suppressed(Suppression::CoolDown { until: hour(18) }));
}

#[test]
fn few_readers_and_old_windows_leave_no_trace() {
    let mut detector = detector();
    let before = detector.state().clone();
    let few = WindowProfile { readers: 99, ..shifted(1) };
    assert_eq!(detector.observe(&few, &facts(2)).standing, Standing::Insufficient);
    assert_eq!(detector.observe(&shifted(-1), &facts(2)).standing, Standing::Insufficient);
    assert_eq!(detector.state(), &before);
}

#[test]
fn what_training_cannot_tell_waits_for_six_windows() {
    let mut detector = detector();
    let scores = |verdict: &Verdict| {
        verdict.features.iter().find(|f| f.reading.feature == Feature::ListTopScore).unwrap().reading.clone()
    };
    let verdicts = run(&mut detector, 99, 7);
    assert_eq!(scores(&verdicts[5]).detail.as_deref(), Some("settling: 5 of 6 windows"));
    assert_eq!(scores(&verdicts[5]).p_adjusted, None);
    assert_eq!(scores(&verdicts[6]).test.m, 1200);
    // The reference stays what it was, however many windows follow.
    assert_eq!(scores(&detector.observe(&calm(7), &facts(8))).test.m, 1200);
}

#[test]
fn a_feature_that_is_only_reported_never_triggers() {
    let mut policy = policy();
    policy.rules.insert(Feature::BasketSubject, Rule { delta: 0.08, triggers: false });
    let mut detector = Detector::new(policy, "books".parse().unwrap(), training(), Version::FIRST, hour(0)).unwrap();
    let last = run(&mut detector, 7, 14).pop().unwrap();
    assert_eq!((last.standing, &last.action), (Standing::Judged(Severity::Steady), &Action::Nothing));
    assert!(last.features.iter().any(|feature| feature.severity == Severity::Confirmed));
}

#[test]
fn a_notice_says_what_moved_and_what_was_done() {
    let tenant: TenantName = "acme-books".parse().unwrap();
    let verdicts = run(&mut detector(), 7, 12);
    let told: Vec<String> = verdicts
        .iter()
        .flat_map(|verdict| {
            let submission = match verdict.trigger_id() {
                Some(_) => Submission::Started("retrain-books-1".into()),
                None => Submission::NotTried,
            };
            verdict.notices(&tenant, &submission)
        })
        .map(|notice| {
            format!(
                "{} {} {} ks={:.3} n={} {} {:?}",
                notice.window_to,
                notice.feature,
                notice.severity,
                notice.ks,
                notice.window_n,
                notice.action,
                notice.workflow
            )
        })
        .collect();
    expect![[r#"
        1970-01-01T08:00:00Z basket.subject watch ks=0.425 n=200 suppressed-persistence None
        1970-01-01T09:00:00Z basket.subject suspected ks=0.425 n=200 suppressed-persistence None
        1970-01-01T10:00:00Z basket.subject suspected ks=0.425 n=200 suppressed-persistence None
        1970-01-01T11:00:00Z basket.subject confirmed ks=0.425 n=200 retrain-submitted Some("retrain-books-1")
        1970-01-01T12:00:00Z basket.subject confirmed ks=0.425 n=200 suppressed-cooldown None"#]]
    .assert_eq(&told.join("\n"));
    let again = run(&mut detector(), 7, 8).pop().unwrap().notices(&tenant, &Submission::NotTried);
    assert_eq!(again[0].event_id, verdicts[7].notices(&tenant, &Submission::NotTried)[0].event_id);
}

#[test]
fn two_windows_are_compared_in_a_table() {
    let table = assess(Reference::window(&calm(0)), &shifted(1), &policy()).to_string();
    expect![[r"
        window 1970-01-01T01:00:00Z .. 1970-01-01T02:00:00Z: 200 requests of 200 readers
        feature                  before    after   effect  floor  delta      m        n p (Holm)  verdict        detail
        basket.book                   -        -    0.000  0.000  0.080      0        0        -  not tested     no values on one side
        basket.subject                -        -    0.425  0.145  0.080    200      200  3.8e-20  moved far      chi-square; love 0.500 -> 0.100
        basket.unknown_share      0.020    0.020    0.000  0.038  0.020    200      200    1.0e0  within noise   Fisher exact
        reader.unknown_share      0.200    0.200    0.000  0.119  0.020    200      200    1.0e0  within noise   two shares
        reader.activity          99.500   99.500    0.000  0.180  0.050    200      200    1.0e0  within noise   KS, binned p
        list.top_score            0.995    0.995    0.000  0.180  0.050    200      200    1.0e0  within noise   KS, binned p
        list.popularity           0.497    0.497    0.000  0.180  0.050    200      200    1.0e0  within noise   KS, binned p
        outcome.click_rate        0.100    0.100    0.000  0.089  0.020    200      200    1.0e0  within noise   two shares
        reader.mix                    -        -    0.000  0.000  0.100      0        0        -  not tested     too few readers for a classifier
    "]].assert_eq(&table);
}

#[test]
fn an_assessment_reads_back_as_written() {
    let assessment = assess(Reference::training(&training()), &shifted(1), &policy());
    let json = serde_json::to_string(&assessment).unwrap();
    assert_eq!(serde_json::from_str::<drift::Assessment>(&json).unwrap(), assessment);
    let verdict = run(&mut detector(), 7, 12).pop().unwrap();
    let json = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
}
