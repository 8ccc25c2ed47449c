//! How good the versions were: one small panel a metric, one bar a version, with 95 % intervals.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, VPos},
};

use super::{Error, Ink, anchored, font, line, picture, round_up};
use crate::report::MetricRow;

/// Panels side by side.
const COLUMNS: usize = 3;
/// Half-width of a 95 % interval in standard errors.
const Z_95: f64 = 1.96;

/// Bars by metric, in the order in which metrics first appear; colours follow the place in `versions`.
pub(crate) fn metric_bars(rows: &[MetricRow], versions: &[u32]) -> Result<Option<String>, Error> {
    let mut metrics: Vec<&str> = Vec::new();
    for row in rows {
        if !metrics.contains(&row.metric.as_str()) {
            metrics.push(&row.metric);
        }
    }
    if metrics.is_empty() {
        return Ok(None);
    }
    let n_columns = metrics.len().min(COLUMNS);
    let n_rows = metrics.len().div_ceil(n_columns);
    let draw = |canvas: &super::Canvas<'_>| {
        for (panel, metric) in canvas.split_evenly((n_rows, n_columns)).iter().zip(&metrics) {
            let own: Vec<&MetricRow> = rows.iter().filter(|row| row.metric == *metric).collect();
            draw_panel(panel, metric, &own, versions)?;
        }
        Ok(())
    };
    picture("Metrics by version with 95 % intervals", 440 * n_rows as u32, draw).map(Some)
}

fn draw_panel(panel: &super::Canvas<'_>, metric: &str, rows: &[&MetricRow], versions: &[u32]) -> Result<(), Error> {
    let reach = |row: &MetricRow| row.se.unwrap_or(0.0) * Z_95;
    let top = round_up(rows.iter().map(|row| row.value + reach(row)).fold(0.0, f64::max) * 1.1);
    let (heading, panel) = panel.split_vertically(60);
    heading.draw(&Text::new(metric, (16, 32), anchored(32, Ink::Text, HPos::Left, VPos::Center)))?;
    let mut chart = ChartBuilder::on(&panel)
        .margin(16)
        .margin_right(28)
        .x_label_area_size(54)
        .y_label_area_size(96)
        .build_cartesian_2d(0.0..rows.len() as f64, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .bold_line_style(line(Ink::Grid, 2))
        .light_line_style(TRANSPARENT)
        .axis_style(line(Ink::Faint, 2))
        .label_style(font(28, Ink::Faint))
        .y_labels(4)
        .y_label_formatter(&|y| if top < 0.1 { format!("{y:.3}") } else { format!("{y:.2}") })
        .draw()?;
    // Half the room stays free, so that one bar does not become a wall.
    let half = 0.25 / (3.0 / rows.len() as f64).max(1.0);
    for (n, row) in rows.iter().enumerate() {
        let middle = n as f64 + 0.5;
        let colour = versions.iter().position(|version| *version == row.version).map_or(Ink::Grey, Ink::Series);
        let bar =
            Rectangle::new([(middle - half, 0.0), (middle + half, row.value)], colour.colour().mix(0.85).filled());
        chart.draw_series([bar])?;
        let (low, high) = ((row.value - reach(row)).max(0.0), row.value + reach(row));
        if row.se.is_some() {
            let cap =
                |y: f64| PathElement::new([(middle - half / 3.0, y), (middle + half / 3.0, y)], line(Ink::Text, 3));
            chart.draw_series([
                PathElement::new([(middle, low), (middle, high)], line(Ink::Text, 3)),
                cap(low),
                cap(high),
            ])?;
        }
        let (x, y) = chart.backend_coord(&(middle, 0.0));
        let (left, above) = panel.get_base_pixel();
        let name = anchored(28, Ink::Faint, HPos::Center, VPos::Top);
        panel.draw(&Text::new(format!("version {}", row.version), (x - left, y - above + 12), name))?;
    }
    Ok(())
}
