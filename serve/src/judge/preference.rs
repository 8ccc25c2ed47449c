//! Which version's books readers click who were given a list of both: a fair coin where they prefer neither.

use serde::{Deserialize, Serialize};

use super::{
    decide::Check,
    events::{Events, OUTCOME_GRID, log_e_ratio},
};

/// Readers who were given lists of both versions. Each counts once in the whole trial, by the first of their clicks on a
/// book that one side put there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credits {
    /// Readers who were given such a list.
    pub readers: u64,
    /// Of them, those who clicked a book of the canary's.
    pub wins: u64,
    /// Of them, those who clicked a book of stable's.
    pub losses: u64,
}

/// What those readers prefer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preference {
    /// The counts.
    #[serde(flatten)]
    pub credits: Credits,
    /// Against "the canary's books are clicked at least as often as stable's". Shown, it is harm.
    pub worse: Check,
    /// Against "they are clicked no more often". It moves nothing: clicks on one list say nothing about failures,
    /// latency, or what is bought days later.
    pub better: Check,
}

impl Credits {
    /// Log of the e-value against "the canary wins at least half of them".
    ///
    /// A reader who prefers neither clicks a book of either side with the same chance, as the coin that drafted the list
    /// was fair; so this is [`log_e_ratio`] at a share of one half and a ratio of 1, downwards. Ever `ln(1 / alpha)` with
    /// chance at most `alpha` where the canary is no worse, however often it is looked at.
    /// ```
    /// use serve::judge::{Credits, OUTCOME_GRID};
    /// // One loss: at a ratio of 1 / m it had the chance m / (1 + m), and one half at a ratio of 1.
    /// let want = OUTCOME_GRID.map(|m| 2.0 * m / (1.0 + m)).iter().sum::<f64>() / 6.0;
    /// let got = Credits { readers: 9, wins: 0, losses: 1 }.log_e_worse();
    /// assert!((got - want.ln()).abs() < 1e-12);
    /// ```
    pub fn log_e_worse(&self) -> f64 {
        self.log_e(&OUTCOME_GRID.map(f64::recip))
    }

    /// Log of the e-value against "the canary wins at most half of them"; see [`Self::log_e_worse`].
    pub fn log_e_better(&self) -> f64 {
        self.log_e(&OUTCOME_GRID)
    }

    fn log_e(&self, grid: &[f64]) -> f64 {
        log_e_ratio(&[Events { share: 0.5, canary: self.wins, stable: self.losses }], 1.0, grid)
    }

    /// What they come to at a level `alpha`, once a reader was given such a list.
    pub fn preference(self, alpha: f64) -> Option<Preference> {
        let needed = -alpha.ln();
        let worse = Check::new("readers of both lists prefer stable", self.log_e_worse(), needed);
        let better = Check::new("readers of both lists prefer the canary", self.log_e_better(), needed);
        (self.readers > 0).then_some(Preference { credits: self, worse, better })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credits(wins: u64, losses: u64) -> Credits {
        Credits { readers: 1000, wins, losses }
    }

    #[test]
    fn the_two_directions_mirror_each_other_and_silence_says_nothing() {
        assert!((credits(7, 3).log_e_better() - credits(3, 7).log_e_worse()).abs() < 1e-12);
        assert!(credits(0, 0).log_e_worse().abs() < 1e-15 && credits(0, 0).log_e_better().abs() < 1e-15);
        assert!(credits(500, 500).log_e_worse() < 0.0, "half and half speaks against a difference");
        assert_eq!(Credits::default().preference(0.01), None);
    }

    /// A loss is 2 m / (1 + m) times likelier under an alternative. To the power of 22 that is 561 for m = 2, 30 for 1.4, 7, 3,
    /// 2 and 1 for the rest: 603, a sixth of which is above 100. One loss less is a quarter less of most of it.
    #[test]
    fn losses_alone_are_harm_after_twenty_two() {
        let shown = |losses| credits(0, losses).preference(0.01).unwrap().worse.shown;
        assert_eq!((shown(21), shown(22)), (false, true));
        let won = credits(22, 0).preference(0.01).unwrap();
        assert_eq!((won.worse.shown, won.better.shown), (false, true));
    }
}
