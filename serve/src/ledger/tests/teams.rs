//! Readers of lists of both versions: each counts once, wherever they are sent and whatever comes first.

use super::*;

/// `readers wins/losses`.
fn told(ledger: &Ledger) -> String {
    let Credits { readers, wins, losses } = ledger.credits();
    format!("{readers} {wins}/{losses}")
}

#[test]
fn a_reader_counts_once_by_the_first_click_within_the_window_of_its_list() {
    let ledger = ledger();
    for minute in [0, 40] {
        ledger.drafted(0, &[1, 2, 3], at(minute));
    }
    ledger.credited(1, Arm::Canary, at(0), at(31));
    ledger.credited(1, Arm::Canary, at(40), at(39));
    assert_eq!(told(&ledger), "3 0/0", "too late for its list, and before it");
    ledger.credited(1, Arm::Stable, at(40), at(70));
    ledger.credited(1, Arm::Canary, at(40), at(70));
    ledger.credited(2, Arm::Canary, at(40), at(41));
    assert_eq!(told(&ledger), "3 1/1");
}

#[test]
fn they_are_on_no_arm_and_in_no_guard_rail() {
    let ledger = ledger();
    ledger.drafted(0, &[1, 2], at(0));
    ledger.credited(1, Arm::Canary, at(0), at(1));
    ledger.clicked(2, at(1));
    assert_eq!(ledger.read(at(90)), [StepEvidence { weight_bp: 1000, ..StepEvidence::default() }]);
}

/// Facts of forty clicks of five readers, told by three processes in any order, some twice.
#[test]
fn what_three_processes_tell_in_any_order_comes_to_what_one_saw() {
    for seed in 0..100 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (all, parts) = (ledger(), [(); 3].map(|()| ledger()));
        for minute in 0..40 {
            let (unit, part) = (random.random_range(0..5), &parts[random.random_range(0..3)]);
            let team = if random.random() { Arm::Canary } else { Arm::Stable };
            let clicks = random.random::<f64>() < 0.3;
            for ledger in [&all, part] {
                ledger.drafted(0, &[unit], at(minute));
                if clicks {
                    ledger.credited(unit, team, at(minute), at(minute));
                }
            }
        }
        let listener = ledger();
        for _ in 0..2 {
            let from = random.random_range(0..3);
            for part in [from, (from + 1) % 3, (from + 2) % 3] {
                tell(&parts[part], &part.to_string(), &listener);
            }
        }
        assert_eq!(told(&listener), told(&all), "seed {seed}");
    }
}

#[test]
fn a_credit_that_is_heard_before_its_list_counts_with_it() {
    let (here, there) = (ledger(), ledger());
    there.drafted(0, &[1], at(0));
    there.credited(1, Arm::Canary, at(0), at(1));
    let (requests, facts) = there.news();
    here.hear("there", requests.clone(), &facts[1..]);
    assert_eq!(told(&here), "0 0/0");
    here.hear("there", requests, &facts[..1]);
    assert_eq!(told(&here), "1 1/0");
}
