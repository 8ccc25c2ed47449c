//! The reference for what training cannot tell: the first accepted windows after a version took over, then frozen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    assess::effect_between, feature::Feature, policy::Policy, statistics::categories::Counts, window::WindowProfile,
};

/// Fewest windows from which a noise floor is measured.
const MIN_TO_MEASURE: usize = 3;

/// Windows on their way to become a reference, or the reference they became.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Settling {
    waiting: Vec<WindowProfile>,
    settled: Option<Settled>,
}

/// The frozen reference of the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settled {
    /// The windows as one.
    pub(crate) profile: WindowProfile,
    /// Largest effect that one of these windows had against the others: what an ordinary hour looks like from here.
    pub(crate) floors: BTreeMap<Feature, f64>,
}

impl Settling {
    pub(crate) fn settled(&self) -> Option<&Settled> {
        self.settled.as_ref()
    }

    /// Takes an accepted window, unless the reference is complete.
    pub(crate) fn offer(&mut self, window: &WindowProfile, policy: &Policy) {
        if self.settled.is_some() {
            return;
        }
        self.waiting.push(window.clone());
        if self.waiting.len() >= policy.settle_windows {
            self.settled = settle(&std::mem::take(&mut self.waiting));
        }
    }

    pub(crate) fn words(&self, policy: &Policy) -> String {
        format!("settling: {} of {} windows", self.waiting.len(), policy.settle_windows)
    }
}

fn settle(windows: &[WindowProfile]) -> Option<Settled> {
    let all: Vec<&WindowProfile> = windows.iter().collect();
    let mut profile = WindowProfile::pool(&all)?;
    let mut floors = BTreeMap::new();
    if windows.len() >= MIN_TO_MEASURE {
        for (at, window) in windows.iter().enumerate() {
            let others: Vec<&WindowProfile> =
                windows.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| other).collect();
            let others = WindowProfile::pool(&others)?;
            for feature in Feature::ALL.into_iter().filter(|feature| is_measured(*feature)) {
                let floor = floors.entry(feature).or_insert(0.0_f64);
                *floor = floor.max(effect_between(feature, &others, window));
            }
        }
    }
    // Names of books are only compared with training, and would be most of the stored state.
    profile.basket_books = Counts::default();
    Some(Settled { profile, floors })
}

/// The classifier learns anew on every window, so its floor is computed, not measured.
fn is_measured(feature: Feature) -> bool {
    !feature.is_known_from_training() && feature != Feature::ReaderMix
}
