//! The time axis that the pictures share: days since a midnight, so that whole numbers are dates.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use plotters::prelude::*;

use super::{Error, Ink, anchored, font, line};
use plotters::style::text_anchor::{HPos, VPos};

/// Maps event time to units (a day, or less for short stretches) since the midnight (UTC) before the first event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Days {
    midnight: Timestamp,
    /// Length of the unit; the library's round numbers are multiples of it.
    unit_secs: f64,
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Days {
    /// The axis over all of `times`; `None` without any. A single moment gets an hour on either side.
    pub(super) fn over(times: impl IntoIterator<Item = Timestamp>) -> Option<Self> {
        let (mut first, mut last) = (None, None);
        for at in times {
            first = Some(first.map_or(at, |first: Timestamp| first.min(at)));
            last = Some(last.map_or(at, |last: Timestamp| last.max(at)));
        }
        let (mut first, mut last) = (first?, last?);
        if first == last {
            (first, last) = (first - SignedDuration::from_hours(1), last + SignedDuration::from_hours(1));
        }
        let midnight = first.to_zoned(TimeZone::UTC).start_of_day().ok()?.timestamp();
        let unit_secs = match last.duration_since(first).as_secs() {
            345_600.. => 86_400.0,
            86_400.. => 21_600.0,
            10_800.. => 3_600.0,
            _ => 60.0,
        };
        let mut days = Self { midnight, unit_secs, from: 0.0, to: 0.0 };
        (days.from, days.to) = (days.place(first), days.place(last));
        Some(days)
    }

    pub(super) fn place(&self, at: Timestamp) -> f64 {
        at.duration_since(self.midnight).as_secs_f64() / self.unit_secs
    }

    /// The date at midnight, the time of day elsewhere.
    pub(super) fn label(&self, place: f64) -> String {
        let at = self.midnight + SignedDuration::from_secs((place * self.unit_secs).round() as i64);
        let at = at.to_zoned(TimeZone::UTC);
        let is_midnight = at.hour() == 0 && at.minute() == 0;
        at.strftime(if is_midnight { "%-d %b" } else { "%H:%M" }).to_string()
    }
}

/// A chart over days with a value axis from 0.
pub(super) type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

/// What a chart's axes say.
pub(super) struct Axes<'a> {
    pub(super) days: Days,
    /// Upper end of the value axis.
    pub(super) top: f64,
    /// Name and unit of the value axis.
    pub(super) values: &'a str,
    pub(super) label: &'a dyn Fn(&f64) -> String,
}

/// Lays out axes, grid and labels.
pub(super) fn chart<'a, 'b>(canvas: &'a super::Canvas<'b>, axes: &Axes<'_>) -> Result<Chart<'a, 'b>, Error> {
    let mut chart = ChartBuilder::on(canvas)
        .margin(12)
        .margin_right(36)
        .x_label_area_size(56)
        .y_label_area_size(130)
        .build_cartesian_2d(axes.days.from..axes.days.to, 0.0..axes.top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(line(Ink::Grid, 2))
        .light_line_style(TRANSPARENT)
        .axis_style(line(Ink::Faint, 2))
        .label_style(font(30, Ink::Faint))
        .axis_desc_style(font(30, Ink::Faint))
        .x_labels(8)
        .y_labels(5)
        .x_label_formatter(&|place| axes.days.label(*place))
        .y_label_formatter(axes.label)
        .y_desc(axes.values)
        .draw()?;
    Ok(chart)
}

/// Upright lines with names at moments of the run, each name on its own height under the top.
pub(super) fn markers(chart: &mut Chart<'_, '_>, axes: &Axes<'_>, moments: &[(Timestamp, &str)]) -> Result<(), Error> {
    let days = axes.days;
    let inside = moments.iter().map(|(at, name)| (days.place(*at), name));
    let inside = inside.filter(|(place, _)| (days.from..=days.to).contains(place));
    for (level, (place, name)) in inside.enumerate() {
        let is_late = place > days.from + 0.8 * (days.to - days.from);
        let (h, gap) = if is_late { (HPos::Right, -14) } else { (HPos::Left, 14) };
        // Each line ends at its own name, below the names before it, and so crosses none of them.
        let height = axes.top * (0.96 - 0.085 * level as f64);
        chart.draw_series(DashedLineSeries::new([(place, 0.0), (place, height)], 8, 6, line(Ink::Text, 2)))?;
        let text = Text::new((*name).to_owned(), (gap, 0), anchored(30, Ink::Text, h, VPos::Center));
        chart.draw_series([EmptyElement::at((place, height)) + text])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(times: [&str; 2]) -> Days {
        Days::over(times.map(|time| time.parse().unwrap())).unwrap()
    }

    #[test]
    fn midnights_are_dates_and_other_places_times_of_day() {
        let week = over(["2026-02-03T06:00:00Z", "2026-02-09T18:00:00Z"]);
        assert!((week.from - 0.25).abs() < 1e-9 && (week.to - 6.75).abs() < 1e-9, "{week:?}");
        assert_eq!((week.label(1.0), week.label(1.5)), ("4 Feb".into(), "12:00".into()));
        let night = over(["2026-02-03T20:00:00Z", "2026-02-04T04:00:00Z"]);
        assert!((night.from - 20.0).abs() < 1e-9 && (night.to - 28.0).abs() < 1e-9, "{night:?}");
        assert_eq!((night.label(24.0), night.label(25.0)), ("4 Feb".into(), "01:00".into()));
    }

    #[test]
    fn a_single_moment_has_an_hour_on_either_side_and_none_has_no_axis() {
        let one = over(["2026-02-03T06:00:00Z", "2026-02-03T06:00:00Z"]);
        assert_eq!((one.label(one.from), one.label(one.to)), ("05:00".into(), "07:00".into()));
        assert!(Days::over([]).is_none());
    }
}
