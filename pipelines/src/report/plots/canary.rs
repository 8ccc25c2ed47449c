//! The canary's ramp: its share of readers over time, a dot for every verdict.

use jiff::SignedDuration;
use plotters::prelude::*;

use super::{
    Error, Ink, line, picture,
    time::{Axes, Days, chart},
};
use crate::report::CanaryStep;

/// Share of readers in percent as steps; `None` without verdicts.
pub(crate) fn canary_ramp(steps: &[CanaryStep]) -> Result<Option<String>, Error> {
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return Ok(None) };
    // Nobody told when the first weight was set; its step is drawn as long as the second.
    let length = steps.get(1).map_or(SignedDuration::from_hours(1), |second| second.at.duration_since(first.at));
    let start = first.at - length;
    let Some(days) = Days::over([start, last.at]) else { return Ok(None) };
    let axes = Axes { days, top: 110.0, values: "share of readers, %", label: &|y| format!("{y:.0}") };
    // A verdict judges the weight that held until then, so the weight's step ends at its verdict.
    let mut ramp = vec![(days.from, first.weight_percent)];
    for pair in steps.windows(2) {
        ramp.push((days.place(pair[0].at), pair[0].weight_percent));
        ramp.push((days.place(pair[0].at), pair[1].weight_percent));
    }
    ramp.push((days.place(last.at), last.weight_percent));
    let draw = |canvas: &super::Canvas<'_>| {
        let mut chart = chart(canvas, &axes)?;
        let mut area = ramp.clone();
        area.extend([(days.place(last.at), 0.0), (days.from, 0.0)]);
        chart.draw_series([Polygon::new(area, Ink::Series(0).colour().mix(0.18).filled())])?;
        chart.draw_series([PathElement::new(ramp, line(Ink::Series(0), 4))])?;
        let dots = steps.iter().map(|step| {
            let ink = if step.failed == 0 { Ink::Series(0) } else { Ink::Series(1) };
            Circle::new((days.place(step.at), step.weight_percent), 8, ink.colour().filled())
        });
        chart.draw_series(dots)?;
        Ok(())
    };
    picture("The canary's share of readers over time", 380, draw).map(Some)
}
