//! Where each alias pointed, as lanes: a bar from one move to the next, with the version in it.

use jiff::Timestamp;
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, VPos},
};

use super::{Error, Ink, anchored, font, line, picture, time::Days};
use crate::report::AliasMove;

/// Height of a lane in drawn pixels.
const LANE: u32 = 84;

/// One lane an alias, in the order in which they first appear, up to `end`; `None` without moves.
pub(crate) fn alias_lanes(moves: &[AliasMove], versions: &[u32], end: Timestamp) -> Result<Option<String>, Error> {
    let mut names: Vec<&str> = Vec::new();
    for one in moves {
        if !names.contains(&one.alias.as_str()) {
            names.push(&one.alias);
        }
    }
    let Some(days) = Days::over(moves.iter().map(|one| one.at).chain([end])).filter(|_| !moves.is_empty()) else {
        return Ok(None);
    };
    let n_lanes = names.len() as f64;
    let draw = |canvas: &super::Canvas<'_>| {
        let mut chart = ChartBuilder::on(canvas)
            .margin(12)
            .margin_right(36)
            .x_label_area_size(56)
            .y_label_area_size(190)
            .build_cartesian_2d(days.from..days.to, 0.0..n_lanes)?;
        chart
            .configure_mesh()
            .disable_mesh()
            .disable_y_axis()
            .axis_style(line(Ink::Faint, 2))
            .label_style(font(30, Ink::Faint))
            .x_labels(8)
            .x_label_formatter(&|place| days.label(*place))
            .draw()?;
        for (lane, name) in names.iter().enumerate() {
            let bottom = n_lanes - lane as f64 - 1.0;
            let (x, y) = chart.backend_coord(&(days.from, bottom + 0.5));
            let own: Vec<&AliasMove> = moves.iter().filter(|one| one.alias == *name).collect();
            for (n, one) in own.iter().enumerate() {
                let Some(version) = one.to else { continue };
                let (from, to) = (days.place(one.at), own.get(n + 1).map_or(days.to, |next| days.place(next.at)));
                let ink = versions.iter().position(|known| *known == version).map_or(Ink::Grey, Ink::Series);
                let bar = [(from, bottom + 0.14), (to, bottom + 0.86)];
                chart.draw_series([Rectangle::new(bar, ink.colour().mix(0.30).filled())])?;
                chart.draw_series([PathElement::new([bar[0], (from, bar[1].1)], line(ink, 6))])?;
                // A short bar has no room for its version; the table below names it.
                if (to - from) / (days.to - days.from) > 0.05 {
                    let style = anchored(30, Ink::Text, HPos::Left, VPos::Center);
                    let text = Text::new(format!("v{version}"), (16, 0), style);
                    chart.draw_series([EmptyElement::at((from, bottom + 0.5)) + text])?;
                }
            }
            canvas.draw(&Text::new(*name, (x - 18, y), anchored(30, Ink::Text, HPos::Right, VPos::Center)))?;
        }
        Ok(())
    };
    picture("Versions that each alias pointed at over time", LANE * names.len() as u32 + 90, draw).map(Some)
}
