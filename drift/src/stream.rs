//! Events in, closed windows out: tumbling windows of event time, closed by a watermark.
//!
//! The state is plain data. Whoever feeds it stores it beside the stream's offsets, and goes on after a restart
//! without reading anything twice.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use models::{
    Catalogue, Version,
    event::{Outcome, Prediction},
};
use serde::{Deserialize, Serialize};

use crate::window::{WindowBuilder, WindowProfile};

/// Length of windows and patience with late events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowSpec {
    /// Length in seconds; 0 counts as 1.
    pub length_secs: u32,
    /// How long after the newest event an older one is still waited for, in seconds.
    pub lateness_secs: u32,
}

impl Default for WindowSpec {
    fn default() -> Self {
        Self { length_secs: 3600, lateness_secs: 600 }
    }
}

/// Sorts the events of one tenant's model into windows.
///
/// Windows start at multiples of their length since 1970-01-01 UTC. The watermark is the newest event time minus the
/// lateness; a window ends when it passes the window's end. Windows without events do not appear.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Windower {
    spec: WindowSpec,
    open: BTreeMap<i64, WindowBuilder>,
    newest: Option<Timestamp>,
    late: u64,
    ahead: u64,
}

impl Windower {
    /// Starts with no windows.
    pub fn new(spec: WindowSpec) -> Self {
        Self { spec, open: BTreeMap::new(), newest: None, late: 0, ahead: 0 }
    }

    /// Adds an answered request. `now` is the clock's time: an event dated further ahead of it than the lateness is
    /// counted and dropped, since one wrong date would otherwise end every window at once.
    pub fn prediction(&mut self, prediction: &Prediction, catalogue: &Catalogue, now: Timestamp) {
        if let Some(index) = self.admit(prediction.at, now) {
            self.open.entry(index).or_default().prediction(prediction, catalogue);
        }
    }

    /// Adds a click or purchase. A click in the first minutes of a window (as many as the lateness) also marks its
    /// request in the window before, where the answer may have been given.
    pub fn outcome(&mut self, outcome: &Outcome, now: Timestamp) {
        let Some(index) = self.admit(outcome.at, now) else { return };
        self.open.entry(index).or_default().outcome(outcome);
        let into_window = outcome.at.duration_since(self.start(index));
        let before = index - 1;
        let before_is_open = self.watermark().is_none_or(|watermark| before >= self.index(watermark));
        if into_window < self.lateness() && before_is_open {
            self.open.entry(before).or_default().click(outcome);
        }
    }

    /// The watermark: no event before it is waited for.
    pub fn watermark(&self) -> Option<Timestamp> {
        self.newest.and_then(|newest| newest.checked_sub(self.lateness()).ok())
    }

    /// Windows the watermark has passed, oldest first, as seen for the `watched` version. Each is given once.
    pub fn close_ready(&mut self, watched: Version) -> Vec<WindowProfile> {
        let Some(watermark) = self.watermark() else { return Vec::new() };
        let still_open = self.index(watermark);
        let later = self.open.split_off(&still_open);
        let ready = std::mem::replace(&mut self.open, later);
        self.close(ready, watched)
    }

    /// All windows, ready or not, oldest first: the stream has ended.
    pub fn close_all(&mut self, watched: Version) -> Vec<WindowProfile> {
        let all = std::mem::take(&mut self.open);
        self.close(all, watched)
    }

    fn close(&mut self, windows: BTreeMap<i64, WindowBuilder>, watched: Version) -> Vec<WindowProfile> {
        let mut closed: Vec<WindowProfile> = windows
            .into_iter()
            .filter(|(_, builder)| !builder.is_empty())
            .map(|(index, builder)| builder.close(self.start(index), self.start(index + 1), watched))
            .collect();
        if let Some(first) = closed.first_mut() {
            first.quality.late += std::mem::take(&mut self.late);
            first.quality.ahead += std::mem::take(&mut self.ahead);
        }
        closed
    }

    /// The window an event belongs to, unless it came too late or from the future.
    fn admit(&mut self, at: Timestamp, now: Timestamp) -> Option<i64> {
        if at.duration_since(now) > self.lateness() {
            self.ahead += 1;
            return None;
        }
        let index = self.index(at);
        if self.watermark().is_some_and(|watermark| index < self.index(watermark)) {
            self.late += 1;
            return None;
        }
        self.newest = Some(self.newest.map_or(at, |newest| newest.max(at)));
        Some(index)
    }

    fn lateness(&self) -> SignedDuration {
        SignedDuration::from_secs(i64::from(self.spec.lateness_secs))
    }

    fn length_secs(&self) -> i64 {
        i64::from(self.spec.length_secs.max(1))
    }

    fn index(&self, at: Timestamp) -> i64 {
        let length = i128::from(self.length_secs()) * 1_000_000_000;
        at.as_nanosecond().div_euclid(length) as i64
    }

    fn start(&self, index: i64) -> Timestamp {
        // The window at either end of jiff's calendar may reach past it; there it is cut.
        let bound = if index < 0 { Timestamp::MIN } else { Timestamp::MAX };
        index.checked_mul(self.length_secs()).and_then(|secs| Timestamp::from_second(secs).ok()).unwrap_or(bound)
    }
}
