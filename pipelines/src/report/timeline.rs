//! The moments of a run as lines for a terminal: days as headings, one symbol and word per kind, text in a column.

use std::{ffi::OsStr, fmt::Write};

use jiff::{civil::Date, tz::TimeZone};

use super::{Moment, MomentKind};

/// Column at which the text begins.
const TEXT_COLUMN: usize = 22;

/// The moments as lines; see [`Timeline`].
pub fn timeline(moments: &[Moment], width: usize, colour: bool) -> String {
    let mut lines = Timeline::new(width, colour);
    moments.iter().map(|moment| lines.tell(moment)).collect()
}

/// Moments as lines, one by one as they happen.
#[derive(Debug)]
pub struct Timeline {
    width: usize,
    colour: bool,
    /// The day last told; its heading is not repeated.
    day: Option<Date>,
}

impl Timeline {
    /// Lines of `width` columns (at least 40), in colour or plain.
    pub fn new(width: usize, colour: bool) -> Self {
        Self { width, colour, day: None }
    }

    /// The lines of one more moment, under a heading when its day is another than the last.
    pub fn tell(&mut self, moment: &Moment) -> String {
        let mut out = String::new();
        let at = moment.at.to_zoned(TimeZone::UTC);
        if self.day != Some(at.date()) {
            let gap = if self.day.is_some() { "\n" } else { "" };
            let heading = at.strftime("%A, %-d %B %Y").to_string();
            out += gap;
            out += &painted(&heading, "1", self.colour);
            out.push('\n');
            self.day = Some(at.date());
        }
        let label = format!("{} {:<10}", moment.kind.symbol(), moment.kind.word());
        let label = painted(&label, code(moment.kind), self.colour);
        let mut lines = wrapped(&moment.text, self.width.max(40) - TEXT_COLUMN).into_iter();
        let first = lines.next().unwrap_or_default();
        let time = at.strftime("%H:%M");
        writeln!(out, "  {time}  {label} {first}").expect("writing to memory cannot fail");
        for line in lines {
            writeln!(out, "{:TEXT_COLUMN$}{line}", "").expect("writing to memory cannot fail");
        }
        out
    }
}

/// Whether to use colours: on a terminal, unless the variable `NO_COLOR` is set to anything but nothing.
pub fn wants_colour(is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty)
}

/// ANSI code of a kind.
fn code(kind: MomentKind) -> &'static str {
    match kind {
        MomentKind::Data | MomentKind::Registry => "2",
        MomentKind::Training | MomentKind::Retrain => "34",
        MomentKind::Serving | MomentKind::Canary => "36",
        MomentKind::Approval | MomentKind::Promotion => "32",
        MomentKind::World => "35",
        MomentKind::Drift => "33",
        MomentKind::Trouble => "31",
    }
}

fn painted(text: &str, code: &str, colour: bool) -> String {
    if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Lines of at most `width` characters, broken between words; a longer word keeps a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn moments() -> Vec<Moment> {
        let moment = |at: &str, kind, text: &str| Moment { at: at.parse().unwrap(), kind, text: text.into() };
        vec![
            moment("2026-02-02T00:10:00Z", MomentKind::Training, "version 1 trained on 24 812 purchases"),
            moment(
                "2026-02-02T09:00:00Z",
                MomentKind::Approval,
                "a person approved version 1 for production because it beats popularity",
            ),
            moment("2026-02-09T00:00:00Z", MomentKind::World, "seven readers in ten turn to other genres"),
        ]
    }

    #[test]
    fn days_are_headings_and_text_keeps_its_column() {
        expect![[r"
            Monday, 2 February 2026
              00:10  ▲ training   version 1 trained on 24 812 purchases
              09:00  ✓ approval   a person approved version 1 for production
                                  because it beats popularity

            Monday, 9 February 2026
              00:00  ≈ readers    seven readers in ten turn to other genres
        "]]
        .assert_eq(&timeline(&moments(), 66, false));
    }

    #[test]
    fn colours_only_add_escapes() {
        let plain = timeline(&moments(), 80, false);
        let coloured = timeline(&moments(), 80, true);
        assert!(coloured.contains("\u{1b}[32m✓ approval"));
        let mut stripped = coloured;
        for code in ["1", "2", "31", "32", "33", "34", "35", "36", "0"] {
            stripped = stripped.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_eq!(stripped, plain);
    }

    #[test]
    fn colours_need_a_terminal_and_no_objection() {
        assert!(wants_colour(true, None));
        assert!(wants_colour(true, Some(OsStr::new(""))));
        assert!(!wants_colour(true, Some(OsStr::new("1"))));
        assert!(!wants_colour(false, None));
    }
}
