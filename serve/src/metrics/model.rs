//! What is counted of one model, under its labels in the metrics of its process.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use models::{ModelName, TenantName, Version, event::Arm};

use super::{
    KEPT_VERSIONS, Metrics, ModelReadings, Protocol, SCORED_CODES, Scored, ShadowSeries,
    labels::{ArmLabels, FallbackLabels, InfoLabels, JoinedLabels, Of, RequestLabels, ResultLabels},
};
use crate::{
    current::{Resident, Snapshot},
    engine::{Fallback, INTERLEAVED},
};

/// The metrics of one model: those of its process under its labels.
#[derive(Debug)]
pub(crate) struct ModelMetrics {
    pub(super) all: Arc<Metrics>,
    pub(super) of: Of,
    /// Versions whose series exist, the one that was live last at the end.
    kept: Mutex<VecDeque<Version>>,
    /// What the info shows of the resident versions.
    shown: Mutex<Vec<InfoLabels>>,
}

impl ModelMetrics {
    /// Those of one model in `all`.
    pub(super) fn new(all: Arc<Metrics>, tenant: &TenantName, model: &ModelName) -> Self {
        let of = Of { tenant: tenant.as_str().into(), model: model.as_str().into() };
        Self { all, of, kept: Mutex::default(), shown: Mutex::default() }
    }

    /// A request that reached the model, once per arm it touched.
    pub(crate) fn scored(&self, scored: Scored, protocol: Protocol, code: u16) {
        let Scored { version, arm, total, score } = scored;
        let labels = ArmLabels { of: self.of.clone(), version: version.to_string(), arm };
        self.all.durations.get_or_create(&labels).observe(total.as_secs_f64());
        self.all.score_durations.get_or_create(&labels).observe(score.as_secs_f64());
        let ArmLabels { of, version, arm } = labels;
        self.all.requests.get_or_create(&RequestLabels { of, version, arm, protocol: protocol.as_str(), code }).inc();
    }

    /// A request that was refused before it reached a version.
    pub(crate) fn refused(&self, protocol: Protocol, code: u16, kind: &'static str) {
        self.all.refused_by(&self.of, protocol, code, kind);
    }

    pub(crate) fn fell_back(&self, version: Version, arm: Arm, reason: &'static str) {
        let labels = FallbackLabels { of: self.of.clone(), version: version.to_string(), arm: arm.as_str(), reason };
        self.all.fallbacks.get_or_create(&labels).inc();
    }

    pub(crate) fn empty_list(&self, version: Version, arm: Arm) {
        let labels = ArmLabels { of: self.of.clone(), version: version.to_string(), arm: arm.as_str() };
        self.all.empty_lists.get_or_create(&labels).inc();
    }

    /// An outcome whose answer the model remembers.
    pub(crate) fn outcome(&self) {
        self.all.outcomes.get_or_create(&JoinedLabels { of: self.of.clone(), joined: "yes" }).inc();
    }

    /// What is counted of a version that nobody meets yet.
    pub(crate) fn shadow(&self) -> ShadowSeries {
        self.all.shadow.of(&self.of)
    }

    pub(crate) fn load_failed(&self) {
        self.swapped_with("failed");
    }

    /// A round of a trial's evidence was told and heard, or was not.
    pub(crate) fn exchanged(&self, whole: bool) {
        let result = if whole { "ok" } else { "failed" };
        self.all.exchanges.get_or_create(&ResultLabels { of: self.of.clone(), result }).inc();
    }

    /// A trial was ended here at once.
    pub(crate) fn trial_ended(&self, result: &'static str) {
        self.all.ended.get_or_create(&ResultLabels { of: self.of.clone(), result }).inc();
    }

    fn swapped_with(&self, result: &'static str) {
        self.all.swaps.get_or_create(&ResultLabels { of: self.of.clone(), result }).inc();
    }

    /// A new snapshot is live.
    pub(crate) fn swapped(&self, snapshot: &Snapshot) {
        self.swapped_with("ok");
        let info = |resident: &Resident| InfoLabels {
            of: self.of.clone(),
            version: resident.version.to_string(),
            digest: resident.digest.chars().take(12).collect(),
            role: resident.alias(),
        };
        self.show(snapshot.residents().map(info).collect());
        let mut kept = self.kept.lock().expect("no panic happens while this lock is held");
        for resident in snapshot.residents() {
            kept.retain(|version| *version != resident.version);
            kept.push_back(resident.version);
        }
        while kept.len() > KEPT_VERSIONS {
            if let Some(version) = kept.pop_front() {
                self.forget(version);
            }
        }
    }

    /// No snapshot is live any more.
    pub(crate) fn let_go(&self) {
        self.swapped_with("let-go");
        self.show(Vec::new());
    }

    fn show(&self, info: Vec<InfoLabels>) {
        let mut shown = self.shown.lock().expect("no panic happens while this lock is held");
        for labels in std::mem::replace(&mut *shown, info) {
            self.all.model_info.remove(&labels);
        }
        for labels in shown.iter() {
            self.all.model_info.get_or_create(labels).set(1);
        }
    }

    fn forget(&self, version: Version) {
        let of = || self.of.clone();
        for arm in [Arm::Stable.as_str(), Arm::Canary.as_str(), INTERLEAVED] {
            let labels = ArmLabels { of: of(), version: version.to_string(), arm };
            self.all.durations.remove(&labels);
            self.all.score_durations.remove(&labels);
            self.all.empty_lists.remove(&labels);
            for protocol in Protocol::ALL.map(Protocol::as_str) {
                for code in SCORED_CODES {
                    let version = version.to_string();
                    self.all.requests.remove(&RequestLabels { of: of(), version, arm, protocol, code });
                }
            }
            for reason in Fallback::ALL.map(Fallback::as_str) {
                self.all.fallbacks.remove(&FallbackLabels { of: of(), version: version.to_string(), arm, reason });
            }
        }
    }

    /// Takes down what is only read when somebody asks. A model that is not loaded has no weight and no number.
    pub(crate) fn read(&self, readings: &ModelReadings) {
        let (all, of) = (&self.all, &self.of);
        all.model_ready.get_or_create(of).set(i64::from(readings.is_ready));
        all.model_bytes.get_or_create(of).set(readings.bytes as i64);
        all.staleness.get_or_create(of).set(readings.staleness.as_secs_f64());
        all.interleaved.show(of, readings.preference.as_ref());
        match readings.live {
            Some((weight_bp, epoch)) => {
                all.weight.get_or_create(of).set(f64::from(weight_bp) / 10_000.0);
                all.epoch.get_or_create(of).set(epoch as i64);
            }
            None => {
                all.weight.remove(of);
                all.epoch.remove(of);
            }
        }
    }
}
