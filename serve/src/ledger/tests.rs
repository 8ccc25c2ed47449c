//! Readers counted once: by one process, and by several that tell each other.

mod replicas;
mod teams;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::judge::ArmEvidence;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(60 * minute).unwrap()
}

/// A ledger of one step at 10 %, whose clicks count within half an hour.
fn ledger() -> Ledger {
    let ledger = Ledger::new(SignedDuration::from_mins(30), true);
    ledger.begin_step(1000);
    ledger
}

fn meets(unit: u64, arm: Arm) -> Exposure {
    Exposure { unit, arm, failed: false, short: false, score: Duration::from_micros(120) }
}

/// `to` hears everything that `from` has to tell.
fn tell(from: &Ledger, name: &str, to: &Ledger) {
    let (requests, facts) = from.news();
    to.hear(name, requests, &facts);
}

/// `requests arrived met failed slow clicked/settled_clicked/settled` of an arm.
fn told(counts: &ArmEvidence) -> String {
    let ArmEvidence { requests, arrived, met, failed, slow, clicked, settled, settled_clicked, .. } = counts;
    format!("{requests} {arrived} {met} {failed} {slow} {clicked}/{settled_clicked}/{settled}")
}

const FAST: Duration = Duration::from_millis(3);
const LATE: Duration = Duration::from_millis(501);

#[test]
fn a_reader_who_comes_and_fails_often_is_one_reader_and_one_failure() {
    let ledger = ledger();
    ledger.exposed(0, &[meets(1, Arm::Canary), meets(2, Arm::Stable)], false, FAST, at(0));
    for minute in 1..5 {
        ledger.exposed(0, &[meets(1, Arm::Canary)], true, LATE, at(minute));
    }
    let step = &ledger.read(at(5))[0];
    assert_eq!((told(&step.canary), told(&step.stable)), ("5 1 1 1 1 0/0/0".into(), "1 1 1 0 0 0/0/0".into()));
    assert_eq!((step.canary.bad, step.canary.over_500ms), (4, 4), "requests are counted one by one");
    assert_eq!((step.canary.met_bad, step.canary.met_slow), (0, 0), "the first request was sound");
    assert_eq!((step.canary.scoring.n(), step.canary.scoring.above(0), step.canary.scoring.above(1)), (1, 1, 0));
}

#[test]
fn a_reader_moved_by_a_greater_share_is_met_anew_and_keeps_the_arm_of_arrival_for_clicks() {
    let ledger = ledger();
    ledger.exposed(0, &[meets(1, Arm::Stable)], false, FAST, at(0));
    let second = ledger.begin_step(2500);
    ledger.exposed(second, &[meets(1, Arm::Canary)], false, FAST, at(10));
    ledger.clicked(1, at(20));
    let steps = ledger.read(at(20));
    assert_eq!((told(&steps[0].stable), told(&steps[1].canary)), ("1 1 1 0 0 1/0/0".into(), "1 0 1 0 0 0/0/0".into()));
}

#[test]
fn a_click_counts_once_within_the_window_and_a_reader_is_settled_after_it() {
    let ledger = ledger();
    ledger.exposed(0, &[meets(1, Arm::Canary), meets(2, Arm::Canary)], false, FAST, at(10));
    ledger.clicked(1, at(9));
    ledger.clicked(3, at(11));
    ledger.clicked(2, at(41));
    assert_eq!(told(&ledger.read(at(40))[0].canary), "2 2 2 0 0 0/0/0", "before, unknown, too late");
    ledger.clicked(1, at(40));
    ledger.clicked(1, at(40));
    assert_eq!(told(&ledger.read(at(40))[0].canary), "2 2 2 0 0 1/0/0", "windows are open");
    assert_eq!(told(&ledger.read(at(41))[0].canary), "2 2 2 0 0 1/1/2");
}

#[test]
fn a_reader_met_by_two_processes_is_one_reader_whose_first_request_is_the_earlier() {
    let (here, there) = (ledger(), ledger());
    there.exposed(0, &[meets(1, Arm::Canary)], true, LATE, at(0));
    here.exposed(0, &[meets(1, Arm::Canary)], false, FAST, at(5));
    here.exposed(0, &[meets(1, Arm::Canary)], true, FAST, at(6));
    here.clicked(1, at(32));
    assert_eq!(told(&here.read(at(32))[0].canary), "2 1 1 1 0 1/0/0", "the click is in time by what is known here");
    tell(&there, "there", &here);
    tell(&there, "there", &here);
    let canary = here.read(at(32))[0].canary;
    assert_eq!(told(&canary), "3 1 1 1 1 0/0/1", "told twice or once; the window was over after half an hour");
    assert_eq!((canary.met_bad, canary.met_slow, canary.bad), (1, 1, 2));
    tell(&here, "here", &there);
    assert_eq!(there.read(at(32)), here.read(at(32)));
}

#[test]
fn what_another_process_told_is_not_told_again() {
    let (here, there) = (ledger(), ledger());
    there.exposed(0, &[meets(1, Arm::Canary)], true, FAST, at(0));
    tell(&there, "there", &here);
    here.exposed(0, &[meets(1, Arm::Canary)], true, FAST, at(1));
    let (requests, facts) = here.news();
    assert_eq!((requests[0][1], facts), (Requests { all: 1, bad: 1, slow: 0 }, Vec::new()));
    let alone = Ledger::new(SignedDuration::from_mins(30), false);
    alone.begin_step(1000);
    alone.exposed(0, &[meets(1, Arm::Canary)], true, FAST, at(0));
    assert_eq!(alone.news().1, Vec::new(), "who tells nobody keeps nothing to tell");
}

/// Ten readers come again and again through two steps, each time to any of three processes, which tell each other now and
/// then in any order.
#[test]
fn what_three_processes_know_together_is_what_one_with_all_the_traffic_knows() {
    for seed in 0..200 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (all, parts) = (ledger(), [(); 3].map(|()| ledger()));
        for minute in 0..80 {
            if minute == 40 {
                for ledger in std::iter::once(&all).chain(&parts) {
                    ledger.begin_step(5000);
                }
            }
            let (unit, part) = (random.random_range(0..10), &parts[random.random_range(0..3)]);
            let arm = if unit == 0 || (minute >= 40 && unit < 5) { Arm::Canary } else { Arm::Stable };
            let mut is = |share: f64| random.random::<f64>() < share;
            let (bad, total) = (is(0.2), if is(0.2) { LATE } else { FAST });
            let exposure = Exposure { failed: is(0.1), short: is(0.1), ..meets(unit, arm) };
            let clicks = is(0.3);
            for ledger in [&all, part] {
                ledger.exposed(usize::from(minute >= 40), &[exposure], bad, total, at(minute));
                if clicks {
                    ledger.clicked(unit, at(minute));
                }
            }
            if is(0.2) {
                let from = random.random_range(0..3);
                let to = (from + random.random_range(1..3)) % 3;
                tell(&parts[from], &from.to_string(), &parts[to]);
            }
        }
        for (to, part) in parts.iter().enumerate() {
            // A process does not hear itself: only the others.
            let others = parts.iter().enumerate().filter(|(from, _)| *from != to);
            for (from, other) in others {
                tell(other, &from.to_string(), part);
            }
        }
        for minute in [80, 120] {
            for (process, part) in parts.iter().enumerate() {
                assert_eq!(
                    part.read(at(minute)),
                    all.read(at(minute)),
                    "seed {seed}, process {process}, minute {minute}"
                );
            }
        }
    }
}
