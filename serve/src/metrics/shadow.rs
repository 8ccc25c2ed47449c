//! What is counted of a version that nobody meets yet.

use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use super::{
    add, durations,
    labels::{Of, ResultLabels},
};

/// The series of every model.
#[derive(Debug, Clone)]
pub(super) struct Families {
    pairs: Family<ResultLabels, Counter>,
    dropped: Family<Of, Counter>,
    overlap: Family<Of, Histogram, fn() -> Histogram>,
    score: Family<Of, Histogram, fn() -> Histogram>,
}

/// Those of one.
#[derive(Debug)]
pub(crate) struct ShadowSeries {
    all: Families,
    of: Of,
}

/// By tenths: what is counted is a share.
fn tenths() -> Histogram {
    Histogram::new((1..=10).map(|tenth| f64::from(tenth) / 10.0))
}

impl Families {
    pub(super) fn register(to: &mut Registry) -> Self {
        let family = |of: fn() -> Histogram| Family::new_with_constructor(of);
        Self {
            pairs: add(to, "shadow_pairs", "Requests that the next version scored too, for nobody", Family::default()),
            dropped: add(to, "shadow_dropped", "Requests that were not, because too many waited", Family::default()),
            overlap: add(to, "shadow_overlap_ratio", "Rank-biased overlap of the two lists", family(tenths)),
            score: add(
                to,
                "shadow_score_duration_seconds",
                "Scoring by the next version, for nobody",
                family(durations),
            ),
        }
    }

    pub(super) fn of(&self, of: &Of) -> ShadowSeries {
        ShadowSeries { all: self.clone(), of: of.clone() }
    }
}

impl ShadowSeries {
    /// A request that was scored twice: what became of it, how alike the lists are, and how long it took.
    pub(crate) fn pair(&self, result: &'static str, overlap: Option<f64>, score: Duration) {
        self.all.pairs.get_or_create(&ResultLabels { of: self.of.clone(), result }).inc();
        if let Some(overlap) = overlap {
            self.all.overlap.get_or_create(&self.of).observe(overlap);
        }
        self.all.score.get_or_create(&self.of).observe(score.as_secs_f64());
    }

    /// A request that was not.
    pub(crate) fn dropped(&self) {
        self.all.dropped.get_or_create(&self.of).inc();
    }

    /// How many were not.
    #[cfg(test)]
    pub(crate) fn n_dropped(&self) -> u64 {
        self.all.dropped.get_or_create(&self.of).get()
    }
}
