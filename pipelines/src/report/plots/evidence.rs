//! What the detector saw: each feature's effect as a multiple of the effect that matters, window by window.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plotters::prelude::*;

use super::{
    Error, Ink, line, picture, round_up,
    time::{Axes, Days, chart, markers},
};
use crate::report::EvidencePoint;

/// Features that get a colour of their own at most.
const MAX_COLOURED: usize = 6;

/// The picture and the features with colours of their own, in the order of the colours.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Evidence {
    pub(crate) svg: String,
    pub(crate) coloured: Vec<String>,
    /// How many features are drawn grey.
    pub(crate) n_grey: usize,
}

/// Effect over threshold by feature and time, with a line at 1; `None` without evidence.
///
/// Features the detector ever held for moved get colours, strongest first; when there are more than six the rest
/// stay grey with those that never moved.
pub(crate) fn drift_evidence(points: &[EvidencePoint], marks: &[(Timestamp, &str)]) -> Result<Option<Evidence>, Error> {
    let mut features: BTreeMap<&str, Vec<(Timestamp, f64)>> = BTreeMap::new();
    for point in points.iter().filter(|point| point.threshold > 0.0 && point.effect.is_finite()) {
        features.entry(&point.feature).or_default().push((point.at, point.effect / point.threshold));
    }
    for line in features.values_mut() {
        line.sort_by_key(|(at, _)| *at);
    }
    let Some(days) = Days::over(features.values().flatten().map(|(at, _)| *at)) else { return Ok(None) };
    let peak = |feature: &str| features[feature].iter().map(|(_, ratio)| *ratio).fold(0.0, f64::max);
    let moved = |feature: &str| points.iter().any(|point| point.moved && point.feature == feature);
    let mut coloured: Vec<&str> = features.keys().copied().filter(|feature| moved(feature)).collect();
    coloured.sort_by(|a, b| peak(b).total_cmp(&peak(a)).then(a.cmp(b)));
    coloured.truncate(MAX_COLOURED);
    let highest = features.keys().map(|feature| peak(feature)).fold(1.0, f64::max);
    let axes = Axes {
        days,
        top: round_up(highest * 1.25),
        values: "effect / threshold",
        label: &|y| if y.fract() == 0.0 { format!("{y:.0}") } else { format!("{y:.1}") },
    };
    let draw = |canvas: &super::Canvas<'_>| {
        let mut chart = chart(canvas, &axes)?;
        let mut plot = |feature: &str, style: ShapeStyle| -> Result<(), Error> {
            let line = features[feature].iter().map(|(at, ratio)| (days.place(*at), *ratio));
            chart.draw_series(LineSeries::new(line, style))?;
            Ok(())
        };
        for feature in features.keys().filter(|feature| !coloured.contains(feature)) {
            plot(feature, line(Ink::Grey, 2))?;
        }
        for (n, feature) in coloured.iter().enumerate().rev() {
            plot(feature, line(Ink::Series(n), 4))?;
        }
        chart.draw_series([PathElement::new([(days.from, 1.0), (days.to, 1.0)], line(Ink::Text, 3))])?;
        markers(&mut chart, &axes, marks)
    };
    let svg = picture("Drift evidence by feature, as a multiple of the threshold", 640, draw)?;
    let n_grey = features.len() - coloured.len();
    Ok(Some(Evidence { svg, coloured: coloured.into_iter().map(str::to_owned).collect(), n_grey }))
}
