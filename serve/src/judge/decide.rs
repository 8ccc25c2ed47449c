//! The decision: harm ends a trial at once, benefit has to be shown, and silence shows nothing.

use serde::{Deserialize, Serialize};

use super::{
    bound::{log_e_above, log_e_below},
    events::{Events, HARM_GRID, OUTCOME_GRID, log_e_ratio, log_sum_exp},
    evidence::{ArmEvidence, Evidence, StepEvidence},
    latency::log_e_slower,
    mixture::{Rates, difference, mixing_variance},
    policy::{Guard, Policy},
    preference::Preference,
    sample_ratio::{Arrivals, log_e_split},
};

/// A harm value from which on a step is no longer left upwards.
const SUSPICION: f64 = 20.0;

/// What a step has come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Decision {
    /// Every condition is shown to hold.
    Advance,
    /// Not shown yet.
    Hold {
        /// What is missing.
        why: String,
    },
    /// Harm is shown. Nobody meets the version again until a person has looked.
    RollBack {
        /// Which.
        why: String,
    },
    /// The step's time is over and its conditions were not shown. The trial ends, without blame.
    Expire {
        /// What was missing.
        why: String,
    },
}

/// A decision, with the numbers that made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The decision.
    #[serde(flatten)]
    pub decision: Decision,
    /// The numbers.
    pub numbers: Numbers,
}

/// What the decision was taken on: all of it, so that it can be taken again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// Harm over all checks, `ln(sum of weight * e)`.
    pub harm: Check,
    /// The checks in it, before their weights; those of an unsound split are left out.
    pub harm_checks: Vec<Check>,
    /// Whether readers arrive as planned. Here `shown` is an alarm.
    pub split: Check,
    /// What readers of lists of both versions click, where anybody is given such lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preference: Option<Preference>,
    /// What the step must show.
    pub conditions: Vec<Check>,
    /// The difference of click rates, where there is enough to tell.
    pub clicks: Option<ClickDifference>,
    /// The counts.
    pub evidence: Evidence,
    /// The rules.
    pub policy: Policy,
}

/// One test: its evidence and how much is needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Which.
    pub name: String,
    /// Log of its e-value.
    pub log_e: f64,
    /// Log of the e-value that shows it.
    pub needed: f64,
    /// Whether it is shown.
    pub shown: bool,
}

/// Canary minus stable, over readers whose window is over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClickDifference {
    /// Difference of the shares of readers who clicked.
    pub delta: f64,
    /// Lower end of the interval that holds at every look at once, level `1 - alpha_pass`.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Log of the mixture likelihood ratio against "the canary's rate is not lower".
    pub log_e_lower: f64,
}

impl Check {
    pub(super) fn new(name: &str, log_e: f64, needed: f64) -> Self {
        Self { name: name.to_owned(), log_e, needed, shown: log_e >= needed }
    }
}

/// Judges a trial as it stands. May be asked as often as one likes: every test in it holds at all looks together.
///
/// - **Roll back** when `sum of weight * e >= 1 / alpha_harm` over the harm checks: an average of e-values is one however they
///   depend on each other, so at most `alpha_harm` of harmless canaries are ever rolled back.
///   Readers who were given lists of both versions end it too, at `1 / alpha_interleaved` against the canary: the only
///   thing their clicks can do. So at most `alpha_harm + alpha_interleaved` where there are such readers.
/// - **Advance** when each condition's e-value reaches `1 / alpha_pass`, harm and those readers' dislike stay below 20, the split is sound and the
///   step has lasted. All must hold, so none needs a correction for the others.
/// - **Expire** when that has not happened within the step's most time, **hold** until then.
///
/// While the split is unsound, harm is judged without comparisons and nothing advances: they assume the split. Readers,
/// not requests, are counted, on the arm they were assigned to.
pub fn judge(evidence: &Evidence, policy: &Policy) -> Judgement {
    let alpha = |alpha: f64| -alpha.ln();
    let arrivals = |step: &StepEvidence| Arrivals {
        share: step.share(),
        canary: step.canary.arrived,
        stable: step.stable.arrived,
    };
    let arrivals: Vec<Arrivals> = evidence.steps.iter().map(arrivals).collect();
    let split = Check::new("split", log_e_split(&arrivals), alpha(policy.alpha_split));

    let (harm_checks, logs) = harm_checks(evidence, policy, !split.shown);
    let harm = Check::new("harm", log_sum_exp(logs.into_iter()), alpha(policy.alpha_harm));
    let conditions = conditions(evidence, policy, alpha(policy.alpha_pass));
    let preference = evidence.interleaved.preference(policy.alpha_interleaved);
    let shown = Shown { harm: &harm, harm_checks: &harm_checks, preference: preference.as_ref(), split: &split };
    let decision = decide(evidence, policy, &shown, &conditions);
    let clicks = clicks(evidence, policy);
    let (evidence, policy) = (evidence.clone(), policy.clone());
    Judgement {
        decision,
        numbers: Numbers { harm, harm_checks, split, preference, conditions, clicks, evidence, policy },
    }
}

/// Judges an A/A, in which one version is on both arms: as [`judge`], but that readers do not arrive as split ends it too.
///
/// Whatever is found is a fault of assignment, counting or the judge. At most `alpha_harm + alpha_split` of sound ones
/// ever end so.
pub fn judge_aa(evidence: &Evidence, policy: &Policy) -> Judgement {
    let mut judgement = judge(evidence, policy);
    let split = &judgement.numbers.split;
    if split.shown && !matches!(judgement.decision, Decision::RollBack { .. }) {
        let why = format!("readers do not arrive as split: e-value {} of {}", e(split.log_e), e(split.needed));
        judgement.decision = Decision::RollBack { why };
    }
    judgement
}

/// The harm checks, and the logs of their weighted e-values.
fn harm_checks(evidence: &Evidence, policy: &Policy, compares: bool) -> (Vec<Check>, Vec<f64>) {
    let ratio = |of: fn(&ArmEvidence) -> u64, tolerance: f64, grid: &[f64]| {
        if compares { log_e_ratio(&events(evidence, of), tolerance, grid) } else { 0.0 }
    };
    let whole = |of: fn(&ArmEvidence) -> u64, bound: f64| {
        // At 100 % there is nothing to compare with, and the bound itself is what must not be broken.
        let alone = evidence.steps.iter().filter(|step| !step.compares());
        let (bad, n) = alone.fold((0, 0), |(bad, n), step| (bad + of(&step.canary), n + step.canary.met));
        log_e_above(bad, n, bound)
    };
    let (stable, canary) = (evidence.total(|step| &step.stable), evidence.total(|step| &step.canary));
    let scoring = policy.scoring;
    let slower = log_e_slower(&stable.scoring, &canary.scoring, scoring.quantile, scoring.tolerance_secs);
    let falling = OUTCOME_GRID.map(f64::recip);
    let weighed = [
        ("failures", policy.failures.weight, {
            let Guard { bound, tolerance, .. } = policy.failures;
            ratio(|arm| arm.failed, tolerance, &HARM_GRID) + whole(|arm| arm.met_bad, bound)
        }),
        ("slow answers", policy.slow.weight, {
            let Guard { bound, tolerance, .. } = policy.slow;
            ratio(|arm| arm.slow, tolerance, &HARM_GRID) + whole(|arm| arm.met_slow, bound)
        }),
        ("short lists", policy.short.weight, ratio(|arm| arm.short, policy.short.tolerance, &HARM_GRID)),
        ("slow scoring", scoring.weight, if compares { slower } else { 0.0 }),
        ("fewer clicks", policy.clicks.weight, ratio(|arm| arm.clicked, policy.clicks.tolerance, &falling)),
    ];
    let needed = |weight: f64| -(policy.alpha_harm.ln() + weight.ln());
    let checks = weighed.iter().map(|(name, weight, log_e)| Check::new(name, *log_e, needed(*weight))).collect();
    (checks, weighed.iter().map(|(_, weight, log_e)| weight.ln() + log_e).collect())
}

/// What must be shown before the running step is left upwards.
fn conditions(evidence: &Evidence, policy: &Policy, needed: f64) -> Vec<Check> {
    let canary = evidence.total(|step| &step.canary);
    let mut conditions = vec![
        Check::new(
            &format!("fewer than {} of readers meet a failure", policy.failures.bound),
            log_e_below(canary.met_bad, canary.met, policy.failures.bound),
            needed,
        ),
        Check::new(
            &format!("fewer than {} of readers wait over 0.5 s", policy.slow.bound),
            log_e_below(canary.met_slow, canary.met, policy.slow.bound),
            needed,
        ),
    ];
    if let Some(margin) = policy.rule(evidence.weight_bp()).and_then(|rule| rule.clicks_above) {
        let log_e = log_e_ratio(&events(evidence, |arm| arm.clicked), margin, &OUTCOME_GRID);
        conditions.push(Check::new(&format!("clicks above {margin} of stable's"), log_e, needed));
    }
    conditions
}

/// What speaks against a step.
struct Shown<'a> {
    harm: &'a Check,
    harm_checks: &'a [Check],
    preference: Option<&'a Preference>,
    split: &'a Check,
}

fn decide(evidence: &Evidence, policy: &Policy, shown: &Shown<'_>, conditions: &[Check]) -> Decision {
    let Shown { harm, harm_checks, preference, split } = shown;
    let dislike = preference.map(|preference| &preference.worse);
    if harm.shown {
        let most = harm_checks.iter().max_by(|a, b| (a.log_e - a.needed).total_cmp(&(b.log_e - b.needed)));
        let what = most.map_or("harm", |check| check.name.as_str());
        let why = format!("{what}: e-value {} where {} ends a trial", e(harm.log_e), e(harm.needed));
        return Decision::RollBack { why };
    }
    if let Some(worse) = dislike.filter(|worse| worse.shown) {
        let why = format!("{}: e-value {} where {} ends a trial", worse.name, e(worse.log_e), e(worse.needed));
        return Decision::RollBack { why };
    }
    let mut missing: Vec<String> = Vec::new();
    if split.shown {
        missing.push(format!("readers do not arrive as split: e-value {} of {}", e(split.log_e), e(split.needed)));
    }
    if harm.log_e >= SUSPICION.ln() {
        missing.push(format!("harm suspected: e-value {}", e(harm.log_e)));
    }
    if let Some(worse) = dislike.filter(|worse| worse.log_e >= SUSPICION.ln()) {
        missing.push(format!("{}: e-value {}", worse.name, e(worse.log_e)));
    }
    for check in conditions.iter().filter(|check| !check.shown) {
        missing.push(format!("{}: e-value {} of {}", check.name, e(check.log_e), e(check.needed)));
    }
    let rule = policy.rule(evidence.weight_bp());
    let least = rule.map_or(0, |rule| rule.least_secs);
    if evidence.step_secs < least {
        missing.push(format!("{} of {least} s passed", evidence.step_secs));
    }
    if missing.is_empty() {
        return Decision::Advance;
    }
    let why = missing.join("; ");
    if rule.is_some_and(|rule| evidence.step_secs >= rule.most_secs) {
        return Decision::Expire { why };
    }
    Decision::Hold { why }
}

/// An e-value for people.
fn e(log_e: f64) -> String {
    let e = log_e.exp();
    match e {
        _ if e >= 1e6 => format!("{e:.0e}"),
        _ if e >= 100.0 => format!("{e:.0}"),
        _ => format!("{e:.2}"),
    }
}

fn events(evidence: &Evidence, of: fn(&ArmEvidence) -> u64) -> Vec<Events> {
    let compared = evidence.steps.iter().filter(|step| step.compares());
    compared.map(|step| Events { share: step.share(), canary: of(&step.canary), stable: of(&step.stable) }).collect()
}

fn clicks(evidence: &Evidence, policy: &Policy) -> Option<ClickDifference> {
    let rates = |step: &StepEvidence| Rates {
        stable: step.stable.settled,
        stable_events: step.stable.settled_clicked,
        canary: step.canary.settled,
        canary_events: step.canary.settled_clicked,
    };
    let rates: Vec<Rates> = evidence.steps.iter().filter(|step| step.compares()).map(rates).collect();
    let found = difference(&rates)?;
    // The plan is the first step's share, whatever the shares have become: it must not follow the data.
    let share = f64::from(policy.steps.first()?.weight_bp) / 10_000.0;
    let (p, n) = (policy.clicks.planned_rate, policy.clicks.planned_readers as f64);
    let planned = p * (1.0 - p) * (1.0 / (share * n) + 1.0 / ((1.0 - share) * n));
    let (low, high) = found.interval(mixing_variance(planned, policy.alpha_pass), policy.alpha_pass);
    let log_e_lower = found.log_e_lower(mixing_variance(planned, 2.0 * policy.alpha_harm));
    Some(ClickDifference { delta: found.delta, low, high, log_e_lower })
}

#[cfg(test)]
mod tests;
