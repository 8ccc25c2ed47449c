use super::*;
use crate::judge::Credits;

/// A step at 10 % after three days, in which nobody had any trouble.
fn calm(readers: u64) -> Evidence {
    let arm = |n: u64| ArmEvidence { requests: 2 * n, arrived: n, met: n, ..ArmEvidence::default() };
    let step = StepEvidence { weight_bp: 1000, stable: arm(readers - readers / 10), canary: arm(readers / 10) };
    Evidence { steps: vec![step], step_secs: 7200, ..Evidence::default() }
}

fn judged(evidence: &Evidence) -> String {
    match judge(evidence, &Policy::default()).decision {
        Decision::Advance => "advance".into(),
        Decision::Hold { why } => format!("hold: {why}"),
        Decision::RollBack { why } => format!("roll back: {why}"),
        Decision::Expire { why } => format!("expire: {why}"),
    }
}

#[test]
fn no_data_never_passes_and_ends_by_time_alone() {
    let mut nothing = Evidence::default();
    assert!(judged(&nothing).starts_with("hold: "), "{}", judged(&nothing));
    for weight_bp in [1000, 2500, 5000, 10_000] {
        nothing.steps = vec![StepEvidence { weight_bp, ..StepEvidence::default() }];
        nothing.step_secs = 30 * 3600;
        assert!(judged(&nothing).starts_with("hold: "), "{}", judged(&nothing));
        nothing.step_secs = 365 * 24 * 3600;
        assert!(judged(&nothing).starts_with("expire: "), "{}", judged(&nothing));
    }
    assert_eq!(
        judged(&Evidence { step_secs: 3600, ..Evidence::default() }),
        "hold: fewer than 0.001 of readers meet a failure: e-value 1.00 of 20.00; \
         fewer than 0.01 of readers wait over 0.5 s: e-value 1.00 of 20.00"
    );
}

#[test]
fn a_clean_first_step_advances_at_its_3556th_reader_and_not_before_its_hour() {
    assert_eq!(judged(&calm(35_560)), "advance");
    let short = judged(&calm(35_550));
    assert!(short.starts_with("hold: fewer than 0.001 of readers meet a failure: e-value 19.9"), "{short}");
    let early = Evidence { step_secs: 3599, ..calm(35_560) };
    assert_eq!(judged(&early), "hold: 3599 of 3600 s passed");
}

#[test]
fn a_canary_that_fails_at_once_is_rolled_back_at_its_fourth_reader() {
    let failing = |n: u64| {
        let mut evidence = calm(40);
        evidence.steps[0].canary.failed = n;
        evidence.steps[0].canary.met_bad = n;
        judged(&evidence)
    };
    assert!(failing(3).starts_with("hold: harm suspected"), "{}", failing(3));
    assert!(failing(4).starts_with("roll back: failures: e-value"), "{}", failing(4));
}

#[test]
fn what_both_arms_suffer_is_not_the_canarys_harm() {
    let mut outage = calm(20_000);
    (outage.steps[0].stable.failed, outage.steps[0].canary.failed) = (1800, 200);
    (outage.steps[0].stable.slow, outage.steps[0].canary.slow) = (1800, 200);
    assert!(judged(&outage).starts_with("hold: "), "{}", judged(&outage));
}

#[test]
fn at_100_percent_the_bound_itself_ends_the_trial() {
    let canary = ArmEvidence { arrived: 3, met: 3, met_bad: 3, failed: 3, ..ArmEvidence::default() };
    let step = StepEvidence { weight_bp: 10_000, canary, ..StepEvidence::default() };
    let alone = Evidence { steps: vec![step], step_secs: 1, ..Evidence::default() };
    assert!(judged(&alone).starts_with("roll back: failures"), "{}", judged(&alone));
}

#[test]
fn while_readers_arrive_otherwise_than_split_nothing_is_compared_and_nothing_advances() {
    let mut evidence = calm(40_000);
    evidence.steps[0].canary.arrived = 3000;
    assert!(judged(&evidence).starts_with("hold: readers do not arrive as split"), "{}", judged(&evidence));
    evidence.steps[0].canary.failed = 100;
    assert!(judged(&evidence).starts_with("hold: readers do not arrive as split"), "{}", judged(&evidence));
}

#[test]
fn clicks_must_be_shown_to_be_no_worse_before_half_of_the_readers_is_left() {
    let mut evidence = calm(80_000);
    evidence.steps.push(StepEvidence { weight_bp: 5000, ..StepEvidence::default() });
    evidence.step_secs = 8 * 24 * 3600;
    assert_eq!(judged(&evidence), "hold: clicks above 0.95 of stable's: e-value 1.00 of 20.00");
    let arm = |arrived, clicked| ArmEvidence { arrived, met: arrived, clicked, ..ArmEvidence::default() };
    evidence.steps[1] = StepEvidence { weight_bp: 5000, stable: arm(90_000, 9000), canary: arm(90_000, 9000) };
    assert_eq!(judged(&evidence), "advance");
    evidence.steps[1].canary.clicked = 8100;
    assert!(judged(&evidence).starts_with("roll back: fewer clicks"), "a tenth less: {}", judged(&evidence));
}

#[test]
fn a_judgement_survives_its_text_and_can_be_taken_again_from_it() {
    let mut evidence = calm(27_000);
    let arm = &mut evidence.steps[0].stable;
    (arm.settled, arm.settled_clicked) = (24_000, 1200);
    let arm = &mut evidence.steps[0].canary;
    (arm.settled, arm.settled_clicked) = (2600, 140);
    let judgement = judge(&evidence, &Policy::default());
    let clicks = judgement.numbers.clicks.unwrap();
    assert!(clicks.low < clicks.delta && clicks.delta < clicks.high && clicks.delta > 0.0, "{clicks:?}");
    let text = serde_json::to_string(&judgement).unwrap();
    let read: Judgement = serde_json::from_str(&text).unwrap();
    assert_eq!(read, judgement);
    assert_eq!(judge(&read.numbers.evidence, &read.numbers.policy), judgement);
    assert!(text.starts_with(r#"{"verdict":"hold","why":"#), "{text}");
}

#[test]
fn counts_of_two_processes_are_judged_as_their_sum() {
    let one = calm(20_000).steps[0].canary;
    let mut sum = one;
    sum.merge(&one);
    assert_eq!((sum.requests, sum.arrived, sum.met), (8000, 4000, 4000));
}

/// Losses alone: see `preference.rs`.
#[test]
fn readers_who_prefer_stable_end_a_trial_and_those_who_prefer_the_canary_move_nothing() {
    let with = |wins, losses| {
        let interleaved = Credits { readers: 400, wins, losses };
        judged(&Evidence { interleaved, ..calm(40_000) })
    };
    assert_eq!((with(0, 0), with(300, 0)), ("advance".into(), "advance".into()));
    assert_eq!(with(0, 17), "hold: readers of both lists prefer stable: e-value 26.01");
    assert_eq!(with(0, 22), "roll back: readers of both lists prefer stable: e-value 100 where 100.00 ends a trial");
    let waiting = Evidence { interleaved: Credits { readers: 400, wins: 300, losses: 0 }, ..calm(100) };
    assert!(judged(&waiting).starts_with("hold: fewer than 0.001 of readers"), "{}", judged(&waiting));
    let unsplit = |losses| {
        let mut evidence = Evidence { interleaved: Credits { readers: 400, wins: 0, losses }, ..calm(40_000) };
        evidence.steps[0].canary.arrived = 3000;
        judged(&evidence)
    };
    assert!(unsplit(0).starts_with("hold: ") && unsplit(22).starts_with("roll back: "), "the coin knows no split");
}

/// A decision written down before readers were given such lists.
#[test]
fn a_record_without_interleaved_readers_is_read() {
    let judgement = judge(&calm(40_000), &Policy::default());
    let mut record = serde_json::to_value(&judgement).unwrap();
    assert!(record["numbers"].get("preference").is_none());
    record["numbers"]["evidence"].as_object_mut().unwrap().remove("interleaved").unwrap();
    record["numbers"]["policy"].as_object_mut().unwrap().remove("alpha_interleaved").unwrap();
    assert_eq!(serde_json::from_value::<Judgement>(record).unwrap(), judgement);
}

#[test]
fn an_a_a_ends_when_readers_do_not_arrive_as_split_and_a_trial_only_waits() {
    let mut evidence = calm(40_000);
    assert_eq!(judge_aa(&evidence, &Policy::default()), judge(&evidence, &Policy::default()));
    evidence.steps[0].canary.arrived = 3000;
    let Decision::RollBack { why } = judge_aa(&evidence, &Policy::default()).decision else { panic!("no alarm") };
    assert!(why.starts_with("readers do not arrive as split: e-value "), "{why}");
    assert!(matches!(judge(&evidence, &Policy::default()).decision, Decision::Hold { .. }));
}
