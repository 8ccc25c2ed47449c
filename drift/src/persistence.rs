//! Memory over windows: one bad hour is weather, the same feature hour after hour is climate.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    feature::Feature,
    policy::{Among, Policy},
};

/// How far a feature, or a window, has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing to see.
    Steady,
    /// Moved in this window.
    Watch,
    /// Moved in several of the last windows.
    Suspected,
    /// Moved for long enough, or far enough, to act on.
    Confirmed,
}

impl Severity {
    /// The word in notices and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Watch => "watch",
            Self::Suspected => "suspected",
            Self::Confirmed => "confirmed",
        }
    }
}

/// One feature's last 32 judged windows, newest in the lowest bit. Windows that were not judged leave no trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Track {
    moved: u32,
    large: u32,
}

impl Track {
    /// Adds a judged window.
    pub fn push(&mut self, moved: bool, large: bool) {
        self.moved = self.moved << 1 | u32::from(moved);
        self.large = self.large << 1 | u32::from(large);
    }

    /// Where the feature stands after the windows so far.
    pub fn severity(self, policy: &Policy) -> Severity {
        let reached = |bits: u32, among: Among| last(bits, among.of) >= among.hits;
        if reached(self.large, policy.confirmed_large) || reached(self.moved, policy.confirmed_lasting) {
            Severity::Confirmed
        } else if reached(self.moved, policy.suspected) {
            Severity::Suspected
        } else if self.moved & 1 == 1 {
            Severity::Watch
        } else {
            Severity::Steady
        }
    }

    /// The run in words: the rule that was reached, or the short one.
    pub fn words(self, policy: &Policy) -> String {
        let (bits, of) = if last(self.large, policy.confirmed_large.of) >= policy.confirmed_large.hits {
            (self.large, policy.confirmed_large.of)
        } else if last(self.moved, policy.confirmed_lasting.of) >= policy.confirmed_lasting.hits {
            (self.moved, policy.confirmed_lasting.of)
        } else {
            (self.moved, policy.confirmed_large.of)
        };
        format!("{} of the last {of} windows", last(bits, of))
    }
}

/// Windows among the newest `of` whose bit is set.
fn last(bits: u32, of: u32) -> u32 {
    let mask = if of >= 32 { u32::MAX } else { (1 << of) - 1 };
    (bits & mask).count_ones()
}

/// Quiet windows after which an episode is over.
const QUIET_WINDOWS: u32 = 3;

/// One change of the readers' world, from its first sign on. Times are event times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// Counts up over the watched version's life, from 1; part of the trigger's name.
    pub number: u32,
    /// Start of the first window that showed it.
    pub onset: Timestamp,
    /// End of the window in which it became suspected.
    pub suspected: Option<Timestamp>,
    /// End of the window in which it was confirmed.
    pub confirmed: Option<Timestamp>,
    /// When a retrain was asked for.
    pub triggered: Option<Timestamp>,
    /// Features that moved so far.
    pub features: BTreeSet<Feature>,
    quiet: u32,
}

impl Episode {
    fn opened(number: u32, onset: Timestamp) -> Self {
        let features = BTreeSet::new();
        Self { number, onset, suspected: None, confirmed: None, triggered: None, features, quiet: 0 }
    }

    /// The episode that goes on when the trigger of this one led to no new version: same onset, next number.
    #[must_use]
    pub(crate) fn continued(&self) -> Self {
        Self { number: self.number + 1, triggered: None, ..self.clone() }
    }
}

/// What a window adds to the current episode.
pub(crate) struct Sign<'a> {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) severity: Severity,
    pub(crate) moved: &'a [Feature],
}

/// The episode after one more judged window; `None` while all is quiet. `so_far` episodes were opened before.
pub(crate) fn next_episode(current: Option<Episode>, so_far: u32, sign: &Sign<'_>) -> Option<Episode> {
    if sign.severity == Severity::Steady {
        let mut episode = current?;
        episode.quiet += 1;
        return (episode.quiet < QUIET_WINDOWS).then_some(episode);
    }
    let mut episode = current.unwrap_or_else(|| Episode::opened(so_far + 1, sign.from));
    episode.quiet = 0;
    episode.features.extend(sign.moved);
    if sign.severity >= Severity::Suspected {
        episode.suspected.get_or_insert(sign.to);
    }
    if sign.severity == Severity::Confirmed {
        episode.confirmed.get_or_insert(sign.to);
    }
    Some(episode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(windows: &[(bool, bool)]) -> Severity {
        let mut track = Track::default();
        for (moved, large) in windows {
            track.push(*moved, *large);
        }
        track.severity(&Policy::default())
    }

    const QUIET: (bool, bool) = (false, false);
    const SMALL: (bool, bool) = (true, false);
    const LARGE: (bool, bool) = (true, true);

    #[test]
    fn two_of_three_are_a_suspicion() {
        assert_eq!(after(&[SMALL]), Severity::Watch);
        assert_eq!(after(&[SMALL, QUIET, SMALL]), Severity::Suspected);
        assert_eq!(after(&[SMALL, QUIET, QUIET, SMALL]), Severity::Watch);
    }

    #[test]
    fn four_large_of_five_confirm_and_three_do_not() {
        assert_eq!(after(&[LARGE, LARGE, QUIET, LARGE, LARGE]), Severity::Confirmed);
        assert_eq!(after(&[LARGE, LARGE, QUIET, LARGE, SMALL]), Severity::Suspected);
    }

    #[test]
    fn small_but_lasting_confirms_after_eighteen_windows() {
        assert_eq!(after(&[SMALL; 17]), Severity::Suspected);
        assert_eq!(after(&[SMALL; 18]), Severity::Confirmed);
    }

    #[test]
    fn an_episode_ends_after_three_quiet_windows() {
        let at = |hour: i64| Timestamp::from_second(hour * 3600).unwrap();
        let step = |episode, hour, severity| {
            next_episode(
                episode,
                4,
                &Sign { from: at(hour), to: at(hour + 1), severity, moved: &[Feature::BasketBook] },
            )
        };
        let mut episode = step(None, 10, Severity::Watch);
        episode = step(episode, 11, Severity::Suspected);
        episode = step(episode, 12, Severity::Confirmed);
        let open = episode.clone().unwrap();
        assert_eq!((open.number, open.onset), (5, at(10)));
        assert_eq!((open.suspected, open.confirmed), (Some(at(12)), Some(at(13))));
        for hour in 13..15 {
            episode = step(episode, hour, Severity::Steady);
            assert!(episode.is_some());
        }
        assert_eq!(step(episode, 15, Severity::Steady), None);
    }
}
