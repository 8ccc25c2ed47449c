//! One window against its reference, feature by feature: the step from profiles to numbers. What the numbers lead to
//! is decided elsewhere.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    feature::Feature,
    policy::{Policy, Rule},
    profile::TrainingProfile,
    quality::Incident,
    statistics::{
        Comparison, Method, Status,
        categories::{Aligned, Counts},
        classifier, holm, ks, psi,
        sample::Sample,
        two_proportions::{self, Share, Side},
        wasserstein,
    },
    window::{ROW_COLUMNS, WindowProfile},
};

/// What a window is compared with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reference<'a> {
    /// The watched model's training data.
    pub training: Option<&'a TrainingProfile>,
    /// An earlier piece of the stream, for what training cannot tell (and for baskets when there is no training).
    pub stream: Option<&'a WindowProfile>,
    /// Noise floors measured on that piece; the larger of measured and computed counts.
    pub floors: Option<&'a BTreeMap<Feature, f64>>,
    /// Why there is no earlier piece of the stream, said of every feature that needs one.
    pub without_stream: &'a str,
}

impl<'a> Reference<'a> {
    /// Training data alone.
    pub fn training(training: &'a TrainingProfile) -> Self {
        Self { training: Some(training), without_stream: "no earlier window was given", ..Self::default() }
    }

    /// An earlier window alone.
    pub fn window(window: &'a WindowProfile) -> Self {
        Self { stream: Some(window), ..Self::default() }
    }
}

/// Which side of the reference a feature was compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Against {
    /// The training data.
    Training,
    /// Earlier windows of the stream.
    Stream,
}

/// One feature of one window: what was measured and whether it moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The feature.
    pub feature: Feature,
    /// Compared with what.
    pub against: Against,
    /// The test; its floor is the larger of the computed and the measured one.
    pub test: Comparison,
    /// `p` after Holm's correction over the window's triggering features; absent when not tested.
    pub p_adjusted: Option<f64>,
    /// A second opinion without a p-value: PSI beside categories, Wasserstein beside numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub companion: Option<Comparison>,
    /// The rule it was judged by.
    pub rule: Rule,
    /// Surprising after correction, and at least `delta` above the floor.
    pub moved: bool,
    /// Moved, and at least the policy's factor of deltas above the floor.
    pub large: bool,
    /// Share or median in the reference; absent for categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<f64>,
    /// Share or median now; absent for categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<f64>,
    /// The category or number that changed most, in words; or why nothing was tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// One window judged once, without memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// Start of the window.
    pub from: Timestamp,
    /// End of the window.
    pub to: Timestamp,
    /// Requests in it.
    pub requests: u64,
    /// Readers in it.
    pub readers: u64,
    /// One per feature, in the order of [`Feature::ALL`].
    pub readings: Vec<Reading>,
    /// Defects past their limit; with any, the readings deserve no trust.
    pub incidents: Vec<Incident>,
}

/// Compares a window with its reference under a policy's rules. Pure: the same profiles give the same bytes.
pub fn assess(reference: Reference<'_>, current: &WindowProfile, policy: &Policy) -> Assessment {
    let mut readings: Vec<Reading> =
        Feature::ALL.into_iter().map(|feature| measure(feature, reference, current, policy.rule(feature))).collect();
    correct_for_family(&mut readings);
    for reading in &mut readings {
        let above_floor = reading.test.effect - reading.test.floor;
        let surprising = reading.p_adjusted.is_some_and(|p| p <= policy.alpha);
        reading.moved = surprising && above_floor >= reading.rule.delta;
        reading.large = reading.moved && above_floor >= policy.large_factor * reading.rule.delta;
    }
    Assessment {
        from: current.from,
        to: current.to,
        requests: current.requests,
        readers: current.readers,
        readings,
        incidents: policy.quality.incidents(&current.quality, current.requests),
    }
}

/// Holm over the features that may trigger; a feature that is only reported stands alone.
fn correct_for_family(readings: &mut [Reading]) {
    let family: Vec<usize> =
        (0..readings.len()).filter(|at| readings[*at].rule.triggers && readings[*at].test.p.is_some()).collect();
    let p: Vec<f64> = family.iter().filter_map(|at| readings[*at].test.p).collect();
    for reading in readings.iter_mut() {
        reading.p_adjusted = reading.test.p;
    }
    for (at, adjusted) in family.into_iter().zip(holm::adjust(&p)) {
        readings[at].p_adjusted = Some(adjusted);
    }
}

/// A comparison with what a person wants to see beside it.
struct Measured {
    test: Comparison,
    companion: Option<Comparison>,
    before: Option<f64>,
    after: Option<f64>,
    detail: Option<String>,
}

impl Measured {
    fn nothing(test: Comparison, why: &str) -> Self {
        Self { test, companion: None, before: None, after: None, detail: Some(why.to_owned()) }
    }
}

fn measure(feature: Feature, reference: Reference<'_>, current: &WindowProfile, rule: Rule) -> Reading {
    let from_training = reference.training.and_then(|training| against_training(feature, training, current));
    let against = if from_training.is_some() || reference.stream.is_none() && feature.is_known_from_training() {
        Against::Training
    } else {
        Against::Stream
    };
    let measured = from_training
        .or_else(|| reference.stream.map(|stream| against_stream(feature, stream, current)))
        .unwrap_or_else(|| untested(feature, reference));
    let mut test = measured.test;
    if let Some(floor) = reference.floors.and_then(|floors| floors.get(&feature))
        && against == Against::Stream
    {
        test.floor = test.floor.max(*floor);
    }
    Reading {
        feature,
        against,
        test,
        p_adjusted: None,
        companion: measured.companion,
        rule,
        moved: false,
        large: false,
        before: measured.before,
        after: measured.after,
        detail: measured.detail,
    }
}

fn untested(feature: Feature, reference: Reference<'_>) -> Measured {
    let why = if feature.is_known_from_training() && reference.training.is_some() {
        "the training data does not tell"
    } else {
        reference.without_stream
    };
    Measured::nothing(Comparison::insufficient(Method::ChiSquared, 0, 0), why)
}

/// `None` when the training data does not tell.
fn against_training(feature: Feature, training: &TrainingProfile, current: &WindowProfile) -> Option<Measured> {
    let told = |counts: &Counts| counts.total() > 0;
    match feature {
        Feature::BasketBook if told(&training.basket_books) => {
            Some(categories(&training.basket_books, &current.basket_books))
        }
        Feature::BasketSubject if told(&training.basket_subjects) => {
            Some(categories(&training.basket_subjects, &current.basket_subjects))
        }
        Feature::BasketUnknownShare => training.growth.map(|growth| shares(growth, current.unknown_books, Side::Rise)),
        _ => None,
    }
}

pub(crate) fn effect_between(feature: Feature, reference: &WindowProfile, current: &WindowProfile) -> f64 {
    against_stream(feature, reference, current).test.effect
}

fn against_stream(feature: Feature, reference: &WindowProfile, current: &WindowProfile) -> Measured {
    match feature {
        Feature::BasketBook => categories(&reference.basket_books, &current.basket_books),
        Feature::BasketSubject => categories(&reference.basket_subjects, &current.basket_subjects),
        Feature::BasketUnknownShare => shares(reference.unknown_books, current.unknown_books, Side::Rise),
        Feature::ReaderUnknownShare => shares(reference.unknown_readers, current.unknown_readers, Side::Both),
        Feature::OutcomeClickRate => shares(reference.clicked, current.clicked, Side::Both),
        Feature::ReaderActivity => numbers(&reference.activity, &current.activity),
        Feature::ListTopScore => numbers(&reference.top_scores, &current.top_scores),
        Feature::ListPopularity => numbers(&reference.list_popularity, &current.list_popularity),
        Feature::ReaderMix => several(reference, current),
    }
}

fn categories(reference: &Counts, current: &Counts) -> Measured {
    let aligned = Aligned::new(reference, current);
    let test = aligned.compare();
    if test.status == Status::Insufficient {
        return Measured::nothing(test, "no values on one side");
    }
    let detail =
        aligned.strongest_mover().map(|mover| format!("{} {:.3} -> {:.3}", mover.category, mover.before, mover.after));
    let companion = Some(psi::compare(&aligned.reference, &aligned.current));
    Measured { test, companion, before: None, after: None, detail }
}

fn shares(reference: Share, current: Share, side: Side) -> Measured {
    let test = two_proportions::compare(reference, current, side);
    if test.status == Status::Insufficient {
        return Measured::nothing(test, "no values on one side");
    }
    Measured { test, companion: None, before: reference.value(), after: current.value(), detail: None }
}

fn numbers(reference: &Sample, current: &Sample) -> Measured {
    let test = ks::two_sample(reference, current);
    if test.status == Status::Insufficient {
        return Measured::nothing(test, "no values on one side");
    }
    let companion = Some(wasserstein::compare(reference, current));
    Measured { test, companion, before: reference.median(), after: current.median(), detail: None }
}

fn several(reference: &WindowProfile, current: &WindowProfile) -> Measured {
    let separation = classifier::compare(&reference.rows, &current.rows);
    if separation.comparison.status == Status::Insufficient {
        return Measured::nothing(separation.comparison, "too few readers for a classifier");
    }
    let detail = separation
        .strongest
        .map(|(column, weight)| format!("{} {}", ROW_COLUMNS[column], if weight > 0.0 { "larger" } else { "smaller" }));
    Measured { test: separation.comparison, companion: None, before: None, after: None, detail }
}

impl Reading {
    /// The measurement in one clause, as in `basket.subject moved by JS 0.31 (floor 0.06 + 0.08)`.
    pub fn clause(&self) -> String {
        format!(
            "{} {} by {} {:.2} (floor {:.2} + {:.2})",
            self.feature,
            if self.moved { "moved" } else { "differs" },
            self.feature.kind().effect_words(),
            self.test.effect,
            self.test.floor,
            self.rule.delta,
        )
    }

    /// What came of it, in two or three words.
    pub fn word(&self) -> &'static str {
        let above_floor = self.test.effect - self.test.floor;
        match (self.test.status, self.p_adjusted) {
            (Status::Insufficient, _) | (_, None) => "not tested",
            (Status::Degenerate, _) => "nothing varies",
            (Status::Ok, _) if self.large => "moved far",
            (Status::Ok, _) if self.moved => "moved",
            (Status::Ok, _) if above_floor < 0.0 => "within noise",
            (Status::Ok, _) if above_floor < self.rule.delta => "too small",
            (Status::Ok, Some(_)) => "may be chance",
        }
    }
}
