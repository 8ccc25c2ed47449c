//! How often harmless trials are rolled back where a balancer sends every request to any of three processes.
//!
//! Readers differ: most never fail and a few fail half of the time, on both arms; some click often and most never. So one
//! reader's fates are alike wherever they are sent, and who counts a reader at every process counts one fate several
//! times.

use rand_distr::{Beta, Distribution, Geometric};

use super::*;
use crate::judge::{Decision, Evidence, Policy, StepEvidence, judge};

const PROCESSES: usize = 3;
/// Steps by share of readers, basis points.
const RAMP: [u16; 3] = [1000, 2500, 5000];
/// Seconds a click counts.
const WINDOW: i64 = 1800;

/// How readers are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counting {
    /// As the predictor does: processes tell each other facts, and each reader counts once.
    Once,
    /// Every process counts whom it met, and the counts are added.
    AtEach,
    /// A reader counts at the process that their number says, when they are sent there.
    AtOwn,
}

/// A trial in which nothing differs; whether any process ever called it harmful, and how many readers were counted.
fn rolled_back(seed: u64, readers_a_step: u64, counting: Counting, policy: &Policy) -> (bool, u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let processes = [(); PROCESSES].map(|()| Ledger::new(SignedDuration::from_secs(WINDOW), true));
    let mut heard = [[0; PROCESSES]; PROCESSES];
    let (mut second, mut counted) = (0, 0);
    let visits = Geometric::new(0.2).unwrap();
    let clicks = Beta::new(0.5, 9.5).unwrap();
    // Unit, place in the split, share of requests that fail, share of lists that are clicked.
    let mut readers: Vec<(u64, f64, f64, f64)> = Vec::new();
    for weight_bp in RAMP {
        let step = processes.iter().map(|process| process.begin_step(weight_bp)).max().unwrap();
        for _ in 0..readers_a_step {
            let frail = if random.random::<f64>() < 0.003 { 0.5 } else { 0.0 };
            readers.push((random.random(), random.random(), frail, clicks.sample(&mut random)));
        }
        // Those of earlier steps come again.
        let mut queue: Vec<usize> = Vec::new();
        for reader in 0..readers.len() {
            queue.extend(std::iter::repeat_n(reader, 1 + visits.sample(&mut random) as usize));
        }
        for place in 0..queue.len() {
            let other = random.random_range(place..queue.len());
            queue.swap(place, other);
            let (unit, split, frail, clicky) = readers[queue[place]];
            second += 1;
            let now = Timestamp::from_second(second).unwrap();
            let arm = if split * 10_000.0 < f64::from(weight_bp) { Arm::Canary } else { Arm::Stable };
            let here = random.random_range(0..PROCESSES);
            let (bad, clicked) = (random.random::<f64>() < frail, random.random::<f64>() < clicky);
            if counting != Counting::AtOwn || unit % PROCESSES as u64 == here as u64 {
                processes[here].exposed(step, &[meets(unit, arm)], bad, FAST, now);
                if clicked {
                    processes[here].clicked(unit, now);
                }
            }
            if second % 100 != 0 {
                continue;
            }
            // One of them hears the others and judges; what the rest were told last differs by a few requests.
            let judge_of = random.random_range(0..PROCESSES);
            let steps = match counting {
                Counting::Once => {
                    for other in (0..PROCESSES).filter(|other| *other != judge_of) {
                        let from = heard[judge_of][other];
                        let facts = processes[other].book().news[from..].to_vec();
                        heard[judge_of][other] += facts.len();
                        let requests = processes[other].book().own.clone();
                        processes[judge_of].hear(&other.to_string(), requests, &facts);
                    }
                    processes[judge_of].read(now)
                }
                Counting::AtEach | Counting::AtOwn => added(processes.iter().map(|process| process.read(now))),
            };
            counted = steps.iter().map(|step| step.stable.arrived + step.canary.arrived).sum();
            let judgement = judge(&Evidence { steps, ..Evidence::default() }, policy);
            if matches!(judgement.decision, Decision::RollBack { .. }) {
                return (true, counted);
            }
        }
    }
    (false, counted)
}

fn added(mut each: impl Iterator<Item = Vec<StepEvidence>>) -> Vec<StepEvidence> {
    let mut sum = each.next().unwrap();
    for steps in each {
        for (all, step) in sum.iter_mut().zip(&steps) {
            all.stable.merge(&step.stable);
            all.canary.merge(&step.canary);
        }
    }
    sum
}

/// How many of so many harmless trials are rolled back, on two threads; prints a line of a table.
fn harmless(trials: u64, readers_a_step: u64, counting: Counting) -> usize {
    let policy = Policy::default();
    let half = |odd: u64| -> Vec<(bool, u64)> {
        (0..trials)
            .filter(|seed| seed % 2 == odd)
            .map(|seed| rolled_back(seed, readers_a_step, counting, &policy))
            .collect()
    };
    let (even, odd) = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        (half(0), other.join().unwrap())
    });
    let hits = even.iter().chain(&odd).filter(|(back, _)| *back).count();
    let most = even.iter().chain(&odd).map(|(_, counted)| counted).max().unwrap();
    println!("| {counting:?} | {hits} of {trials} rolled back | {most} of {} readers counted |", 3 * readers_a_step);
    hits
}

#[test]
fn of_harmless_trials_over_three_processes_no_more_are_rolled_back_than_allowed() {
    // One in a hundred is 2 of 200; eight are four standard deviations above it.
    let hits = harmless(200, 300, Counting::Once);
    assert!(hits <= 8, "{hits} of 200, alpha .01");
}

#[test]
#[ignore = "minutes: 2,000 trials of 4,500 readers, counted in three ways"]
fn counting_readers_at_every_process_is_wrong_and_at_one_of_them_is_slow() {
    let hits = harmless(2000, 1500, Counting::Once);
    assert!(hits <= 20, "{hits} of 2000, alpha .01");
    for counting in [Counting::AtEach, Counting::AtOwn] {
        harmless(2000, 1500, counting);
    }
}
