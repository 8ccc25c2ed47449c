//! What is shown of readers who are given lists of both versions: how many, what they clicked, and what that proves.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{add, labels::Of};
use crate::judge::Preference;

/// A model's arm, as the side of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfArm {
    #[prometheus(flatten)]
    of: Of,
    arm: &'static str,
}

/// The series of every model.
#[derive(Debug, Clone)]
pub(super) struct Families {
    readers: Family<Of, Gauge>,
    credits: Family<OfArm, Gauge>,
    log_e: Family<OfArm, Gauge<f64, AtomicU64>>,
}

impl Families {
    pub(super) fn register(to: &mut Registry) -> Self {
        Self {
            readers: add(to, "interleaved_readers", "Readers given lists of both versions", Family::default()),
            credits: add(to, "interleaved_credits", "Of these, by whose book was clicked first", Family::default()),
            log_e: add(
                to,
                "interleaved_log_e",
                "Log of the e-value for these readers preferring an arm's books",
                Family::default(),
            ),
        }
    }

    /// Shows how it stands; nothing where nobody is given such lists.
    pub(super) fn show(&self, of: &Of, preference: Option<&Preference>) {
        let arm = |arm| OfArm { of: of.clone(), arm };
        let Some(Preference { credits, worse, better }) = preference else {
            self.readers.remove(of);
            for arm in ["stable", "canary"].map(arm) {
                self.credits.remove(&arm);
                self.log_e.remove(&arm);
            }
            return;
        };
        self.readers.get_or_create(of).set(credits.readers as i64);
        for (arm, clicked, for_it) in
            [(arm("stable"), credits.losses, worse.log_e), (arm("canary"), credits.wins, better.log_e)]
        {
            self.credits.get_or_create(&arm).set(clicked as i64);
            self.log_e.get_or_create(&arm).set(for_it);
        }
    }
}
