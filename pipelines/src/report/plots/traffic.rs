//! Who answered: requests per interval as areas stacked by version, and the slow end of each version's latency.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plotters::prelude::*;

use super::{
    Error, Ink, line, picture, round_up,
    time::{Axes, Days, chart, markers},
};
use crate::report::TrafficPoint;

/// Requests per interval, stacked in the order of `versions`; `None` where nothing can be drawn.
///
/// `marks` are moments with names.
pub(crate) fn traffic(
    points: &[TrafficPoint],
    versions: &[u32],
    marks: &[(Timestamp, &str)],
) -> Result<Option<String>, Error> {
    let mut stacks: BTreeMap<Timestamp, Vec<f64>> = BTreeMap::new();
    for point in points {
        let stack = stacks.entry(point.at).or_insert_with(|| vec![0.0; versions.len()]);
        if let Some(layer) = versions.iter().position(|version| *version == point.version) {
            stack[layer] += point.requests as f64;
        }
    }
    let Some(days) = Days::over(stacks.keys().copied()).filter(|_| stacks.len() > 1) else { return Ok(None) };
    let highest = stacks.values().map(|stack| stack.iter().sum()).fold(0.0, f64::max);
    // A quarter more than the highest leaves the names of the marks room.
    let values = format!("requests per {}", interval(&stacks));
    let axes = Axes { days, top: round_up(highest * 1.25), values: &values, label: &|y| format!("{y:.0}") };
    let draw = |canvas: &super::Canvas<'_>| {
        let mut chart = chart(canvas, &axes)?;
        for layer in 0..versions.len() {
            let upto =
                |n: usize| stacks.iter().map(move |(at, stack)| (days.place(*at), stack[..n].iter().sum::<f64>()));
            let lower: Vec<(f64, f64)> = upto(layer).collect();
            let mut outline: Vec<(f64, f64)> = upto(layer + 1).collect();
            outline.extend(lower.into_iter().rev());
            chart.draw_series([Polygon::new(outline, Ink::Series(layer).colour().mix(0.85).filled())])?;
        }
        markers(&mut chart, &axes, marks)
    };
    picture("Requests per interval, stacked by version", 560, draw).map(Some)
}

/// 99th percentile of latency by version; `None` where none was measured.
pub(crate) fn latency(points: &[TrafficPoint], versions: &[u32]) -> Result<Option<String>, Error> {
    let measured: Vec<(&TrafficPoint, f64)> = points.iter().filter_map(|p| p.p99_ms.map(|ms| (p, ms))).collect();
    let Some(days) = Days::over(measured.iter().map(|(point, _)| point.at)) else { return Ok(None) };
    let highest = measured.iter().map(|(_, ms)| *ms).fold(0.0, f64::max);
    let digits = usize::from(highest < 10.0);
    let axes = Axes { days, top: round_up(highest), values: "p99 latency, ms", label: &|y| format!("{y:.digits$}") };
    let draw = |canvas: &super::Canvas<'_>| {
        let mut chart = chart(canvas, &axes)?;
        for (layer, version) in versions.iter().enumerate() {
            let own = measured.iter().filter(|(point, _)| point.version == *version);
            let own = own.map(|(point, ms)| (days.place(point.at), *ms));
            chart.draw_series(LineSeries::new(own, line(Ink::Series(layer), 3)))?;
        }
        Ok(())
    };
    picture("99th percentile of latency by version", 380, draw).map(Some)
}

/// The least distance between intervals, in words.
fn interval(stacks: &BTreeMap<Timestamp, Vec<f64>>) -> String {
    let times: Vec<&Timestamp> = stacks.keys().collect();
    let least = times.windows(2).map(|pair| pair[1].duration_since(*pair[0]).as_secs()).min().unwrap_or(0);
    match least {
        3_600 => "hour".into(),
        86_400 => "day".into(),
        secs if secs % 3_600 == 0 => format!("{} hours", secs / 3_600),
        60 => "minute".into(),
        secs if secs % 60 == 0 => format!("{} minutes", secs / 60),
        secs => format!("{secs} s"),
    }
}
