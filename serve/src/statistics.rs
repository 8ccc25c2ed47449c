//! Counts and times per version since the process began, as Triton's tools read them between two moments.
//!
//! Beside the metrics because those are for a scraper that keeps history: here a caller subtracts by itself.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use models::Version;

use crate::metrics::KEPT_VERSIONS;

/// How often something happened and how long it took together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Timed {
    pub(crate) count: u64,
    /// Nanoseconds.
    pub(crate) ns: u64,
}

impl Timed {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.ns = self.ns.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// What one version did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// When it last answered, milliseconds since 1970; 0 before the first time.
    pub(crate) last_inference_ms: u64,
    /// Readers answered.
    pub(crate) readers: u64,
    /// Requests answered.
    pub(crate) requests: u64,
    pub(crate) success: Timed,
    pub(crate) fail: Timed,
    /// Scoring alone, of requests that were answered.
    pub(crate) score: Timed,
}

/// One request on one version.
pub(crate) struct Done {
    pub(crate) readers: u64,
    pub(crate) is_success: bool,
    pub(crate) total: Duration,
    pub(crate) score: Duration,
    /// Milliseconds since 1970.
    pub(crate) at_ms: u64,
}

/// The counts of the newest versions.
#[derive(Debug, Default)]
pub(crate) struct Statistics(Mutex<BTreeMap<Version, Counts>>);

impl Statistics {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Version, Counts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, version: Version, done: &Done) {
        let mut versions = self.lock();
        let counts = versions.entry(version).or_default();
        if done.is_success {
            counts.last_inference_ms = done.at_ms;
            counts.readers += done.readers;
            counts.requests += 1;
            counts.success.add(done.total);
            counts.score.add(done.score);
        } else {
            counts.fail.add(done.total);
        }
        if versions.len() > KEPT_VERSIONS {
            let oldest_other = versions.keys().copied().find(|kept| *kept != version);
            oldest_other.and_then(|oldest| versions.remove(&oldest));
        }
    }

    /// What a version did; nothing if it is not known.
    pub(crate) fn of(&self, version: Version) -> Counts {
        self.lock().get(&version).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(is_success: bool) -> Done {
        let (total, score) = (Duration::from_nanos(70), Duration::from_nanos(30));
        Done { readers: 3, is_success, total, score, at_ms: 5 }
    }

    #[test]
    fn failures_count_apart() {
        let statistics = Statistics::default();
        let version = Version::FIRST;
        statistics.count(version, &done(true));
        statistics.count(version, &done(true));
        statistics.count(version, &done(false));
        let counts = statistics.of(version);
        assert_eq!((counts.readers, counts.requests, counts.last_inference_ms), (6, 2, 5));
        let timed = |count, ns| Timed { count, ns };
        assert_eq!((counts.success, counts.fail, counts.score), (timed(2, 140), timed(1, 70), timed(2, 60)));
    }

    #[test]
    fn the_oldest_of_many_versions_are_forgotten() {
        let statistics = Statistics::default();
        for number in 1..=KEPT_VERSIONS as u32 + 1 {
            statistics.count(number.try_into().unwrap(), &done(true));
        }
        assert_eq!(statistics.of(Version::FIRST), Counts::default());
        assert_eq!(statistics.of(2.try_into().unwrap()).requests, 1);
    }
}
