//! What a drive came to: answers by version and variant, failures with their first reasons, exact latency percentiles.

use std::{collections::BTreeMap, time::Duration};

/// Reasons that are kept word for word.
const MAX_REASONS: usize = 5;

/// Answers of one version in one variant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answered {
    /// How many.
    pub requests: u64,
    /// Lists in which a book was clicked.
    pub clicks: u64,
    /// Every latency, in microseconds, in order of request until [`percentile_ms`](Self::percentile_ms) sorts a copy.
    latencies_us: Vec<u32>,
}

impl Answered {
    pub(super) fn add(&mut self, latency: Duration, is_clicked: bool) {
        self.requests += 1;
        self.clicks += u64::from(is_clicked);
        self.latencies_us.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    /// The latency in ms that a share `q` in `(0, 1]` of answers did not exceed: nearest rank, no interpolation.
    ///
    /// `None` without answers.
    pub fn percentile_ms(&self, q: f64) -> Option<f64> {
        percentile_ms(&self.latencies_us, q)
    }
}

fn percentile_ms(latencies_us: &[u32], q: f64) -> Option<f64> {
    let mut sorted = latencies_us.to_vec();
    sorted.sort_unstable();
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).map(|us| f64::from(*us) / 1_000.0)
}

/// Everything that happened to a number of visits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DriveReport {
    /// Requests sent.
    pub requests: u64,
    /// Requests that got no usable answer.
    pub failed: u64,
    /// The first few reasons, in order of request.
    pub reasons: Vec<String>,
    /// Answers by version and variant (`stable`, `canary`).
    pub answers: BTreeMap<(u32, String), Answered>,
    /// Clicks and purchases told to the predictor.
    pub outcomes: u64,
    /// Clicks and purchases that the predictor did not take.
    pub outcomes_failed: u64,
    /// Orders put on the stream.
    pub orders: u64,
}

impl DriveReport {
    pub(super) fn fail(&mut self, reason: String) {
        self.failed += 1;
        self.keep(reason);
    }

    pub(super) fn keep(&mut self, reason: String) {
        if self.reasons.len() < MAX_REASONS {
            self.reasons.push(reason);
        }
    }

    /// Adds what happened later.
    pub fn merge(&mut self, later: Self) {
        self.requests += later.requests;
        self.failed += later.failed;
        self.outcomes += later.outcomes;
        self.outcomes_failed += later.outcomes_failed;
        self.orders += later.orders;
        later.reasons.into_iter().for_each(|reason| self.keep(reason));
        for (by, more) in later.answers {
            let answered = self.answers.entry(by).or_default();
            answered.requests += more.requests;
            answered.clicks += more.clicks;
            answered.latencies_us.extend(more.latencies_us);
        }
    }

    /// Answers of one version, all variants together.
    pub fn of_version(&self, version: u32) -> Answered {
        let mut all = Answered::default();
        for (_, answered) in self.answers.range((version, String::new())..).take_while(|((v, _), _)| *v == version) {
            all.requests += answered.requests;
            all.clicks += answered.clicks;
            all.latencies_us.extend(&answered.latencies_us);
        }
        all
    }

    /// Versions that answered, ascending.
    pub fn versions(&self) -> Vec<u32> {
        let mut versions: Vec<u32> = self.answers.keys().map(|(version, _)| *version).collect();
        versions.dedup();
        versions
    }

    /// As [`Answered::percentile_ms`], over all answers.
    pub fn percentile_ms(&self, q: f64) -> Option<f64> {
        let all: Vec<u32> = self.answers.values().flat_map(|answered| answered.latencies_us.iter().copied()).collect();
        percentile_ms(&all, q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(latencies_ms: impl IntoIterator<Item = u64>) -> Answered {
        let mut answered = Answered::default();
        latencies_ms.into_iter().for_each(|ms| answered.add(Duration::from_millis(ms), ms == 1));
        answered
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let answered = answered((1..=200).rev());
        assert_eq!(answered.percentile_ms(0.5), Some(100.0));
        assert_eq!(answered.percentile_ms(0.99), Some(198.0));
        assert_eq!(answered.percentile_ms(1.0), Some(200.0));
        assert_eq!(Answered::default().percentile_ms(0.5), None);
    }

    #[test]
    fn merging_keeps_versions_and_variants_apart_and_five_reasons() {
        let part = |ms: u64| DriveReport {
            requests: 2,
            failed: 1,
            reasons: vec![format!("reason {ms}")],
            answers: BTreeMap::from([
                ((1, "stable".into()), answered([ms])),
                ((2, "canary".into()), answered([2 * ms])),
            ]),
            ..DriveReport::default()
        };
        let mut whole = part(1);
        (2..=7).for_each(|ms| whole.merge(part(ms)));
        assert_eq!((whole.requests, whole.failed, whole.reasons.len()), (14, 7, 5));
        assert_eq!((whole.versions(), whole.of_version(2).requests), (vec![1, 2], 7));
        assert_eq!(whole.of_version(2).percentile_ms(1.0), Some(14.0));
        assert_eq!(whole.percentile_ms(0.5), Some(5.0), "1..7 and 2, 4 .. 14 have their 7th value at 5");
    }
}
