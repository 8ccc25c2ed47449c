//! An assessment as a table a person reads in a terminal.

use std::fmt;

use crate::assess::{Assessment, Reading};

impl fmt::Display for Assessment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "window {} .. {}: {} requests of {} readers", self.from, self.to, self.requests, self.readers)?;
        for incident in &self.incidents {
            writeln!(f, "data incident: {incident}")?;
        }
        writeln!(
            f,
            "{:<22}{:>9}{:>9}{:>9}{:>7}{:>7}{:>7}{:>9}{:>9}  {:<14} detail",
            "feature", "before", "after", "effect", "floor", "delta", "m", "n", "p (Holm)", "verdict"
        )?;
        self.readings.iter().try_for_each(|reading| row(f, reading))
    }
}

fn row(f: &mut fmt::Formatter<'_>, reading: &Reading) -> fmt::Result {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let test = &reading.test;
    let p = reading.p_adjusted.map_or_else(|| "-".to_owned(), |p| format!("{p:.1e}"));
    let method = if test.p.is_some() { format!("{}; ", test.method.words()) } else { String::new() };
    let line = format!(
        "{:<22}{:>9}{:>9}{:>9.3}{:>7.3}{:>7.3}{:>7}{:>9}{:>9}  {:<14} {}{}",
        reading.feature,
        number(reading.before),
        number(reading.after),
        test.effect,
        test.floor,
        reading.rule.delta,
        test.m,
        test.n,
        p,
        reading.word(),
        method,
        reading.detail.as_deref().unwrap_or("")
    );
    writeln!(f, "{}", line.trim_end_matches([' ', ';']))
}
