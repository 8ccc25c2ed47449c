//! When people come to the shop: busy evenings, quiet nights, a little more at weekends.

use jiff::{SignedDuration, Timestamp, civil::Weekday, tz::TimeZone};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::random::weighted;

/// Seconds of a day.
const DAY_SECS: i64 = 86_400;

/// Relative number of visits by hour of the day (UTC), Monday to Friday.
const WORKDAY: [f64; 24] = [
    1.2, 0.7, 0.4, 0.3, 0.3, 0.5, 1.2, 2.2, 3.2, 3.6, 3.8, 4.2, 5.0, 4.4, 4.0, 4.0, 4.4, 5.2, 6.2, 7.2, 7.8, 7.0, 4.8,
    2.6,
];
/// The same on Saturday and Sunday: later mornings, flatter evenings.
const WEEKEND: [f64; 24] = [
    1.8, 1.1, 0.6, 0.4, 0.3, 0.4, 0.7, 1.4, 2.8, 4.4, 5.6, 6.0, 5.8, 5.6, 5.6, 5.4, 5.4, 5.4, 5.6, 6.0, 6.4, 6.0, 4.6,
    2.8,
];

/// The start of day `n` of a world whose day 0 starts at `start`. Every day has 24 hours.
pub(super) fn day_start(start: Timestamp, n: i64) -> Timestamp {
    start + SignedDuration::from_secs(DAY_SECS * n)
}

/// Whether the day that begins at `at` is a Saturday or a Sunday, UTC.
fn is_weekend(at: Timestamp) -> bool {
    matches!(at.to_zoned(TimeZone::UTC).weekday(), Weekday::Saturday | Weekday::Sunday)
}

/// How many visits the day gets, as a multiple of the average day; the week's mean is 1.
pub(super) fn busyness(day_start: Timestamp) -> f64 {
    // Five days at 0.96 and two at 1.1 make seven.
    if is_weekend(day_start) { 1.1 } else { 0.96 }
}

/// `n` moments of the day, ascending, dense where people come.
pub(super) fn moments(rng: &mut ChaCha8Rng, day_start: Timestamp, n: usize) -> Vec<Timestamp> {
    let hours = if is_weekend(day_start) { &WEEKEND } else { &WORKDAY };
    let moment = |_| {
        let hour = weighted(rng, hours).expect("hours have positive weights") as i64;
        day_start + SignedDuration::from_millis(hour * 3_600_000 + i64::from(rng.random_range(0..3_600_000_u32)))
    };
    let mut moments: Vec<Timestamp> = (0..n).map(moment).collect();
    moments.sort_unstable();
    moments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::random::{Purpose, stream};

    #[test]
    fn a_week_is_seven_average_days() {
        let monday: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
        let week: f64 = (0..7).map(|n| busyness(day_start(monday, n))).sum();
        assert!((week - 7.0).abs() < 1e-12, "{week}");
        assert!(busyness(day_start(monday, 5)) > busyness(monday), "Saturday is busier than Monday");
    }

    #[test]
    fn moments_stay_in_their_day_and_evenings_are_busy() {
        let monday: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
        let moments = moments(&mut stream(1, Purpose::Day, 0), monday, 2_000);
        assert!(moments.is_sorted());
        assert!(monday <= moments[0] && *moments.last().unwrap() < day_start(monday, 1));
        let in_hour = |hour| {
            let from = monday + SignedDuration::from_hours(hour);
            moments.iter().filter(|at| **at >= from && **at < from + SignedDuration::from_hours(1)).count()
        };
        assert!(in_hour(20) > 5 * in_hour(3), "{} {}", in_hour(20), in_hour(3));
    }
}
