//! The judge over thousands of made-up trials: how often it is wrong where nothing is, and how soon it sees what is.
//!
//! One request a reader, so that readers and requests are the same number. Every figure is printed as a line of a table.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, LogNormal};
use serve::judge::{ArmEvidence, Decision, Evidence, Judgement, Policy, StepEvidence, judge};

/// What happens to the readers of one arm.
#[derive(Debug, Clone, Copy)]
struct Fate {
    clicks: f64,
    failures: f64,
    slow: f64,
    /// Added to every scoring, milliseconds.
    added_ms: f64,
}

const SOUND: Fate = Fate { clicks: 0.05, failures: 0.0002, slow: 0.001, added_ms: 0.0 };

/// Steps by share of readers in basis points, each with its number of readers.
type Ramp<'a> = &'a [(u16, u64)];

/// A trial, lived reader by reader.
struct Trial {
    random: ChaCha8Rng,
    scoring: LogNormal<f64>,
    canary: Fate,
    /// Readers the split really sends to the canary, over those it should.
    leak: f64,
    evidence: Evidence,
}

impl Trial {
    fn new(seed: u64, canary: Fate) -> Self {
        let random = ChaCha8Rng::seed_from_u64(seed);
        // Half of the lists take up to 0.8 ms, one in twenty over 1.8 ms.
        let scoring = LogNormal::new(0.8f64.ln(), 0.5).unwrap();
        Self { random, scoring, canary, leak: 1.0, evidence: Evidence::default() }
    }

    fn begin(&mut self, weight_bp: u16) {
        self.evidence.steps.push(StepEvidence { weight_bp, ..StepEvidence::default() });
    }

    fn reader(&mut self) {
        let step = self.evidence.steps.last_mut().unwrap();
        let on_canary = self.random.random::<f64>() < step.share() * self.leak;
        let (arm, fate) = if on_canary { (&mut step.canary, self.canary) } else { (&mut step.stable, SOUND) };
        let scored_ms = self.scoring.sample(&mut self.random) + fate.added_ms;
        let mut happens = |share: f64| u64::from(self.random.random::<f64>() < share);
        let (bad, slow, clicks) = (happens(fate.failures), happens(fate.slow), happens(fate.clicks));
        let ArmEvidence { requests, arrived, met, settled, .. } = arm;
        for count in [requests, arrived, met, settled] {
            *count += 1;
        }
        arm.bad += bad;
        arm.failed += bad;
        arm.met_bad += bad;
        arm.over_500ms += slow;
        arm.slow += slow;
        arm.met_slow += slow;
        arm.clicked += clicks;
        arm.settled_clicked += clicks;
        arm.scoring.record(Duration::from_secs_f64(scored_ms / 1000.0));
    }

    /// Lives through a ramp, judged every `every` readers, until `stop` says so; the readers until then.
    fn until(&mut self, ramp: Ramp<'_>, every: u64, stop: impl Fn(&Judgement) -> bool) -> Option<u64> {
        let policy = Policy::default();
        let mut readers = 0;
        for (weight_bp, n) in ramp {
            self.begin(*weight_bp);
            for _ in 0..*n {
                self.reader();
                readers += 1;
                if readers % every == 0 && stop(&judge(&self.evidence, &policy)) {
                    return Some(readers);
                }
            }
        }
        None
    }
}

/// `of(seed)` for every seed, on two threads, in the order of seeds.
pub(crate) fn over<T: Send>(seeds: u64, of: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut mine = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return mine;
            }
            mine.push((seed, of(seed)));
        }
    };
    let mut all: Vec<(u64, T)> = std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut mine = work();
        mine.extend(other.join().unwrap());
        mine
    });
    all.sort_by_key(|(seed, _)| *seed);
    all.into_iter().map(|(_, value)| value).collect()
}

/// The exact binomial interval of Clopper and Pearson, 95 %.
pub(crate) fn interval(hits: usize, of: usize) -> (f64, f64) {
    use statrs::distribution::{Beta, ContinuousCDF};
    let at = |a: usize, b: usize, p: f64| Beta::new(a as f64, b as f64).unwrap().inverse_cdf(p);
    let low = if hits == 0 { 0.0 } else { at(hits, of - hits + 1, 0.025) };
    let high = if hits == of { 1.0 } else { at(hits + 1, of - hits, 0.975) };
    (low, high)
}

fn rolled_back(judgement: &Judgement) -> bool {
    matches!(judgement.decision, Decision::RollBack { .. })
}

/// `| what | share seen | median | 90 % |`; how many saw it, and the median.
pub(crate) fn row(what: &str, mut seen: Vec<Option<u64>>) -> (usize, u64) {
    let n = seen.len();
    // Those that never saw it come last.
    seen.sort_by_key(|readers| readers.unwrap_or(u64::MAX));
    let show = |place: usize| seen[place].map_or_else(|| "-".to_owned(), |readers| readers.to_string());
    let hits = seen.iter().flatten().count();
    println!("| {what} | {hits} of {n} | {} | {} |", show(n / 2), show(n * 9 / 10));
    (hits, seen[n / 2].unwrap_or(u64::MAX))
}

/// A/A trials through 10, 25 and 50 %: how many were ever rolled back, and how many ever had their split doubted.
fn harmless(trials: u64, readers: u64, every: u64) -> (usize, usize) {
    let ramp = [(1000, readers), (2500, readers), (5000, readers)];
    let seen = over(trials, |seed| {
        let back = Trial::new(seed, SOUND).until(&ramp, every, rolled_back).is_some();
        let split = Trial::new(seed, SOUND).until(&ramp, every, |judgement| judgement.numbers.split.shown).is_some();
        (back, split)
    });
    let back = seen.iter().filter(|(back, _)| *back).count();
    let split = seen.iter().filter(|(_, split)| *split).count();
    for (what, hits, alpha) in [("rolled back", back, 0.01), ("split doubted", split, 0.001)] {
        let (low, high) = interval(hits, trials as usize);
        println!(
            "| A/A, {} readers, judged every {every}: {what} (alpha {alpha}) | {hits} of {trials} | {:.2} % | {:.2} to {:.2} % |",
            3 * readers,
            100.0 * hits as f64 / trials as f64,
            100.0 * low,
            100.0 * high
        );
    }
    (back, split)
}

#[test]
fn of_two_thousand_harmless_trials_watched_all_along_at_most_one_in_a_hundred_is_rolled_back() {
    let (back, split) = harmless(2000, 1500, 50);
    assert!(back <= 20, "{back} of 2000, alpha .01");
    // .001 of 2000 is 2; six is four standard deviations above it.
    assert!(split <= 8, "{split} of 2000, alpha .001");
}

#[test]
#[ignore = "minutes: the same over 60,000 readers each"]
fn long_harmless_trials_are_rolled_back_no_more_often() {
    let (back, split) = harmless(2000, 20_000, 100);
    assert!(back <= 20 && split <= 8, "{back} {split}");
}

#[test]
fn a_canary_exactly_at_its_margin_passes_at_most_one_time_in_twenty() {
    // At 25 % clicks must be above .8 of stable's.
    let at_margin = Fate { clicks: 0.8 * SOUND.clicks, ..SOUND };
    let passes = |judgement: &Judgement| judgement.numbers.conditions[2].shown;
    let seen = over(400, |seed| Trial::new(seed, at_margin).until(&[(2500, 20_000)], 100, passes));
    let (hits, _) = row("clicks exactly at the margin pass (alpha .05)", seen);
    assert!(hits <= 20, "{hits} of 400");
}

#[test]
fn silence_passes_nothing_however_long() {
    let mut policy = Policy::default();
    let steps: Vec<u16> = policy.steps.iter().map(|step| step.weight_bp).collect();
    policy.steps.iter_mut().for_each(|step| step.least_secs = 0);
    for weight_bp in steps {
        for step_secs in (0..60 * 24 * 3600).step_by(3600) {
            let step = StepEvidence { weight_bp, ..StepEvidence::default() };
            let evidence = Evidence { steps: vec![step], step_secs, ..Evidence::default() };
            let decision = judge(&evidence, &policy).decision;
            assert!(matches!(decision, Decision::Hold { .. } | Decision::Expire { .. }), "{weight_bp} {decision:?}");
        }
    }
}

#[test]
fn slower_scoring_is_seen_within_hundreds_of_readers() {
    for (added_ms, share, most) in [(5.0, 1000, 400), (50.0, 1000, 400), (5.0, 5000, 400)] {
        let slower = Fate { added_ms, ..SOUND };
        let seen = over(200, |seed| Trial::new(seed, slower).until(&[(share, 5000)], 5, rolled_back));
        let (hits, median) = row(&format!("+{added_ms} ms of scoring at {} %", share / 100), seen);
        assert_eq!(hits, 200);
        assert!(median <= most, "{median}");
    }
}

#[test]
fn failures_are_seen_the_sooner_the_more_there_are() {
    let seen = |times: f64| {
        let failing = Fate { failures: times * 0.001, ..SOUND };
        let seen = over(100, |seed| Trial::new(seed, failing).until(&[(1000, 60_000)], 20, rolled_back));
        row(&format!("failures of {} % against {} % at 10 %", times / 10.0, 100.0 * SOUND.failures), seen)
    };
    let (few, many) = (seen(5.0), seen(50.0));
    assert!(few.0 >= 95 && many.0 == 100 && many.1 < few.1, "{few:?} {many:?}");
    assert!(many.1 < 3000, "{many:?}");
}

#[test]
fn lost_clicks_are_seen_and_a_third_less_sooner_than_a_tenth() {
    let seen = |part: f64, share: u16, most: u64, trials: u64| {
        let losing = Fate { clicks: part * SOUND.clicks, ..SOUND };
        let seen = over(trials, |seed| Trial::new(seed, losing).until(&[(share, most)], 200, rolled_back));
        row(&format!("{:.0} % of clicks at {} %", 100.0 * (part - 1.0), share / 100), seen)
    };
    let third = seen(0.7, 5000, 100_000, 50);
    assert_eq!(third.0, 50);
    assert!(seen(0.7, 1000, 200_000, 50).1 > third.1);
    let tenth = seen(0.9, 5000, 400_000, 30);
    assert!(tenth.0 >= 24 && tenth.1 > third.1, "{tenth:?}");
}

#[test]
fn a_half_that_is_really_52_percent_is_an_alarm() {
    let alarm = |judgement: &Judgement| judgement.numbers.split.shown;
    let seen = over(200, |seed| {
        let mut trial = Trial::new(seed, SOUND);
        trial.leak = 1.04;
        trial.until(&[(5000, 60_000)], 100, alarm)
    });
    let (hits, median) = row("50/50 that is really 52/48: alarm", seen);
    assert!(hits >= 196, "{hits} of 200");
    // Each reader adds .0008 on average, and ln 1000 plus the prior's price is some ten of those thousands.
    assert!((5000..30_000).contains(&median), "{median}");
}

#[test]
fn the_interval_of_a_difference_covers_it_at_every_look() {
    let losing = Fate { clicks: 0.04, ..SOUND };
    let misses = over(400, |seed| {
        Trial::new(seed, losing).until(&[(1000, 8000), (5000, 8000)], 200, |judgement| {
            judgement.numbers.clicks.is_some_and(|clicks| clicks.low > -0.01 || clicks.high < -0.01)
        })
    });
    let missed = misses.iter().filter(|missed| missed.is_some()).count();
    println!("| the 95 % interval of the difference of clicks ever misses it | {missed} of 400 | | |");
    assert!(missed <= 20, "{missed} of 400");
    let widths: Vec<f64> = over(20, |seed| {
        let mut trial = Trial::new(seed, losing);
        trial.until(&[(1000, 20_000)], 20_000, |_| true);
        let clicks = judge(&trial.evidence, &Policy::default()).numbers.clicks.unwrap();
        clicks.high - clicks.low
    });
    // At its planned look it is 1.56 times as wide as an interval for one look: 2 * 1.96 sqrt(V), V = 2.1e-5 to 2.6e-5.
    let width = widths.iter().sum::<f64>() / 20.0;
    assert!((0.025..0.036).contains(&width), "{width}");
}
