//! The page's pictures as SVG text, drawn at twice their size so that whole pixels are fine enough.
//!
//! Colours are drawn as stand-ins and then replaced by CSS variables, so one picture serves light and dark pages.
//! Legends are the page's business: text that wraps cannot overlap.

mod aliases;
mod canary;
mod evidence;
mod metrics;
mod time;
mod traffic;

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

pub(super) use aliases::alias_lanes;
pub(super) use canary::canary_ramp;
pub(super) use evidence::{Evidence, drift_evidence};
pub(super) use metrics::metric_bars;
pub(super) use traffic::{latency, traffic};

/// Why a picture could not be drawn; a bug, as memory takes every byte.
pub(super) type Error = Box<dyn std::error::Error + Send + Sync>;

/// Width of every picture, in drawn pixels: twice the page's column.
const WIDTH: u32 = 1_840;
/// Colours of lines and areas that mean something.
pub(super) const N_COLOURS: usize = 8;

/// Stand-ins for the page's colours.
#[derive(Debug, Clone, Copy)]
enum Ink {
    /// Text and axes.
    Text,
    /// Text that matters less, and axis labels.
    Faint,
    /// Grid lines.
    Grid,
    /// What is shown but not told apart.
    Grey,
    /// A series, from 0.
    Series(usize),
}

impl Ink {
    const FIXED: [(Self, &'static str); 4] =
        [(Self::Text, "--ink"), (Self::Faint, "--faint"), (Self::Grid, "--grid"), (Self::Grey, "--grey")];

    fn colour(self) -> RGBColor {
        match self {
            Self::Text => RGBColor(1, 2, 1),
            Self::Faint => RGBColor(1, 2, 2),
            Self::Grid => RGBColor(1, 2, 3),
            Self::Grey => RGBColor(1, 2, 4),
            Self::Series(n) => RGBColor(1, 3, (n % N_COLOURS) as u8),
        }
    }
}

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws a picture of the given height and names it for those who cannot see it; `label` is plain words.
fn picture(label: &str, height: u32, draw: impl FnOnce(&Canvas<'_>) -> Result<(), Error>) -> Result<String, Error> {
    let mut svg = String::new();
    {
        let canvas = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw(&canvas)?;
        canvas.present()?;
    }
    // Attribute values only: quotes inside text are escaped, so this cannot meet a feature's name.
    let hex = |RGBColor(r, g, b): RGBColor| format!("\"#{r:02X}{g:02X}{b:02X}\"");
    for (ink, variable) in Ink::FIXED {
        svg = svg.replace(&hex(ink.colour()), &format!("\"var({variable})\""));
    }
    for n in 0..N_COLOURS {
        svg = svg.replace(&hex(Ink::Series(n).colour()), &format!("\"var(--s{n})\""));
    }
    let size = format!("<svg width=\"{WIDTH}\" height=\"{height}\"");
    Ok(svg.replacen(&size, &format!("<svg role=\"img\" aria-label=\"{label}\""), 1))
}

fn font(size: u32, ink: Ink) -> TextStyle<'static> {
    ("system-ui, sans-serif", size).into_font().color(&ink.colour())
}

fn anchored(size: u32, ink: Ink, h: HPos, v: VPos) -> TextStyle<'static> {
    font(size, ink).pos(Pos::new(h, v))
}

/// A line of the given width.
fn line(ink: Ink, width: u32) -> ShapeStyle {
    ink.colour().stroke_width(width)
}

/// The least round number that is at least `x`: 1, 2 or 5 times a power of ten; 1 for what is not positive.
fn round_up(x: f64) -> f64 {
    if x <= 0.0 || !x.is_finite() {
        return 1.0;
    }
    let unit = 10_f64.powf(x.log10().floor());
    [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 8.0, 10.0].iter().map(|step| step * unit).find(|round| *round >= x).unwrap_or(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_on_round_numbers() {
        assert!((round_up(130.0) - 150.0).abs() < 1e-9);
        assert!((round_up(0.062) - 0.08).abs() < 1e-9);
        assert!((round_up(5.0) - 5.0).abs() < 1e-9);
        assert!((round_up(0.0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn colours_are_the_pages_and_labels_keep_their_text() {
        let svg = picture("a dot", 100, |canvas| {
            canvas.draw(&Circle::new((5, 5), 3, Ink::Series(2).colour().filled()))?;
            canvas.draw(&Text::new("#010302 <b>", (9, 9), font(20, Ink::Text)))?;
            Ok(())
        });
        let svg = svg.unwrap();
        assert!(svg.contains("fill=\"var(--s2)\"") && svg.contains("fill=\"var(--ink)\""), "{svg}");
        assert!(svg.contains("#010302 &lt;b&gt;"), "{svg}");
        assert!(svg.starts_with("<svg role=\"img\" aria-label=\"a dot\" viewBox=\"0 0 1840 100\""), "{svg}");
    }
}
