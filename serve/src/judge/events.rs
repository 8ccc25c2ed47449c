//! Which arm the next event belongs to: the test for clicks, failures and other things a reader does or suffers at most
//! once. Exact at any number of events, and blind to how often events come.

/// Ratios to the tolerated one at which harm is looked for.
pub const HARM_GRID: [f64; 6] = [1.25, 1.5, 2.0, 4.0, 10.0, 30.0];

/// Ratios to the tolerated one at which a difference of outcomes is looked for; their inverses when looking downwards.
pub const OUTCOME_GRID: [f64; 6] = [1.02, 1.05, 1.1, 1.2, 1.4, 2.0];

/// Events of both arms while the canary's share of readers was `share`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Events {
    /// The canary's share of readers, in `(0, 1)`. At 1 there is nothing to compare, and the events say nothing.
    pub share: f64,
    /// Events on the canary.
    pub canary: u64,
    /// Events on stable.
    pub stable: u64,
}

/// Log of the e-value against "the canary's rate is at most `ratio` times stable's".
///
/// A reader is on the canary with probability `share`, whatever becomes of them, so an event is the canary's with
/// probability `q(r) = share r / (share r + 1 - share)`, `r` the ratio of the two rates, however both change over time. For each
/// `m` of `grid` the events' likelihood at `r = m ratio` is divided by that at `r = ratio`; the result is
/// `ln(mean over m)`, 0 without events. Under the null the value itself is a supermartingale from 1, so that by Ville's
/// inequality it ever reaches `1 / alpha` with chance at most `alpha`: it may be looked at after every event.
///
/// With every `m` below 1 the null is "at least `ratio` times". Every reader counts at most once in a test; `ratio` and
/// all `m` are positive.
///
/// Source: Lindon and Malek 2022, with a mixture over a grid instead of a Dirichlet one.
/// ```
/// use serve::judge::{Events, HARM_GRID, log_e_ratio};
/// // One event, the canary's, at 10 %: q(1.25) = .125 / 1.025 and so on.
/// let q = |r: f64| 0.1 * r / (0.1 * r + 0.9);
/// let want = HARM_GRID.map(|m| q(1.25 * m) / q(1.25)).iter().sum::<f64>() / 6.0;
/// let got = log_e_ratio(&[Events { share: 0.1, canary: 1, stable: 0 }], 1.25, &HARM_GRID);
/// assert!((got - want.ln()).abs() < 1e-12);
/// ```
pub fn log_e_ratio(strata: &[Events], ratio: f64, grid: &[f64]) -> f64 {
    let of_step = |events: &Events, r: f64| {
        let (share, rest) = (events.share, 1.0 - events.share);
        if rest <= 0.0 {
            return 0.0;
        }
        // ln q(r) and ln (1 - q(r)), without the denominators they share until the end.
        let total = (share * r + rest).ln();
        events.canary as f64 * ((share * r).ln() - total) + events.stable as f64 * (rest.ln() - total)
    };
    let at = |r: f64| strata.iter().map(|events| of_step(events, r)).sum::<f64>();
    let null = at(ratio);
    log_mean_exp(grid.iter().map(|m| at(m * ratio) - null))
}

/// `ln(mean(exp(x)))` without overflow; minus infinity for none.
pub(super) fn log_mean_exp(logs: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = logs.clone().count() as f64;
    log_sum_exp(logs) - n.ln()
}

/// `ln(sum(exp(x)))` without overflow; minus infinity for none.
pub(super) fn log_sum_exp(logs: impl Iterator<Item = f64> + Clone) -> f64 {
    let most = logs.clone().fold(f64::NEG_INFINITY, f64::max);
    if most.is_infinite() { most } else { most + logs.map(|log| (log - most).exp()).sum::<f64>().ln() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The e-value after each of a row of events, `c` the canary's, `s` stable's, at 10 % and a tolerance of 1.25.
    fn after(row: &str) -> Vec<f64> {
        (1..=row.len())
            .map(|n| {
                let canary = row[..n].matches('c').count() as u64;
                let events = Events { share: 0.1, canary, stable: n as u64 - canary };
                log_e_ratio(&[events], 1.25, &HARM_GRID).exp()
            })
            .collect()
    }

    fn near(found: &[f64], wanted: &[f64]) {
        for (found, wanted) in found.iter().zip(wanted) {
            // The wanted figures have five digits.
            assert!((found / wanted - 1.0).abs() < 5e-5, "{found} for {wanted}");
        }
    }

    #[test]
    fn harm_is_shown_by_the_fifth_event_of_the_worked_example() {
        near(&after("csccc"), &[3.1197, 1.6622, 5.4831, 23.873, 122.76]);
    }

    #[test]
    fn failures_of_the_canary_alone_are_harm_after_four_six_and_eleven() {
        for (share, needed) in [(0.1, 4), (0.25, 6), (0.5, 11)] {
            let e = |canary| log_e_ratio(&[Events { share, canary, stable: 0 }], 1.25, &HARM_GRID).exp();
            assert!(e(needed - 1) < 100.0 && e(needed) >= 100.0, "{share}: {} {}", e(needed - 1), e(needed));
        }
    }

    #[test]
    fn nothing_seen_is_no_evidence() {
        assert!(log_e_ratio(&[], 1.25, &HARM_GRID).abs() < 1e-15);
        let none = [Events { share: 0.25, canary: 0, stable: 0 }];
        assert!(log_e_ratio(&none, 0.9, &OUTCOME_GRID).abs() < 1e-15);
        let alone = [Events { share: 1.0, canary: 50, stable: 0 }];
        assert!(log_e_ratio(&alone, 0.9, &OUTCOME_GRID).abs() < 1e-15, "at 100 % there is nothing to compare");
    }

    #[test]
    fn a_step_at_another_share_is_another_factor_of_every_alternative() {
        let (tenth, half) = (Events { share: 0.1, canary: 3, stable: 4 }, Events { share: 0.5, canary: 7, stable: 2 });
        let both = log_e_ratio(&[tenth, half], 1.1, &[2.0]);
        let apart = log_e_ratio(&[tenth], 1.1, &[2.0]) + log_e_ratio(&[half], 1.1, &[2.0]);
        assert!((both - apart).abs() < 1e-12);
        let turned = log_e_ratio(&[half, tenth], 1.1, &[2.0]);
        assert!((both - turned).abs() < 1e-12);
    }
}
