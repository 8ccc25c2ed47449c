//! `bookloop demo`: the whole loop on this machine.

use std::{io::IsTerminal, path::PathBuf, sync::Mutex};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Shared, print};
use crate::{
    demo::{self, Audience, Outcome},
    report::{Moment, Timeline, wants_colour},
};

/// The whole loop on this machine: train, serve, a change of taste, drift, retrain, canary, promotion.
///
/// Embedded parts, real HTTP on a free loopback port, simulated readers, time wound by hand. Prints a timeline and writes
/// an HTML report. The same seed takes the same decisions.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Everything random follows from it.
    #[arg(long, env = "BOOKLOOP_SEED", default_value_t = 7)]
    seed: u64,
    /// Let readers keep their taste: no drift, no retrain.
    #[arg(long, env = "BOOKLOOP_NO_SHIFT")]
    no_shift: bool,
    /// Folder with real ratings to replay: an interactions file (with order or timestamp) and an items file.
    #[arg(long, env = "BOOKLOOP_DATA", value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Folder for data, store and report.
    #[arg(long, env = "BOOKLOOP_OUT", default_value = "bookloop-demo", value_name = "FOLDER")]
    out: PathBuf,
}

impl Arguments {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let options = demo::Options { seed: self.seed, shift: !self.no_shift, data: self.data, out: self.out };
        let watching = std::io::stderr().is_terminal() && !shared.json;
        let crowd = Crowd { quiet: shared.json, lines: Mutex::new(lines()), bar: watching.then(bar) };
        let (outcome, _) = demo::run(&options, &crowd).await?;
        crowd.end();
        if shared.json {
            print::json(&outcome);
        } else {
            println!("\n{}", in_words(&outcome));
        }
        Ok(())
    }
}

/// Prints moments as they happen, above a bar of days.
struct Crowd {
    quiet: bool,
    lines: Mutex<Timeline>,
    bar: Option<Mutex<ProgressBar>>,
}

fn lines() -> Timeline {
    let width = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(110);
    let no_color = std::env::var_os("NO_COLOR");
    Timeline::new(width, wants_colour(std::io::stdout().is_terminal(), no_color.as_deref()))
}

fn bar() -> Mutex<ProgressBar> {
    let style = ProgressStyle::with_template("  day {pos:>2}/{len} {bar:40}").expect("the template is well formed");
    Mutex::new(ProgressBar::new(1).with_style(style))
}

impl Audience for Crowd {
    fn moment(&self, moment: &Moment) {
        tracing::info!(at = %moment.at, "{}", moment.text);
        if self.quiet {
            return;
        }
        let lines = self.lines.lock().expect("no panic happens while this lock is held").tell(moment);
        match &self.bar {
            Some(bar) => bar.lock().expect("no panic happens while this lock is held").suspend(|| print!("{lines}")),
            None => print!("{lines}"),
        }
    }

    fn day(&self, number: u32, of: u32) {
        if let Some(bar) = &self.bar {
            let bar = bar.lock().expect("no panic happens while this lock is held");
            bar.set_length(u64::from(of));
            bar.set_position(u64::from(number));
        }
    }
}

impl Crowd {
    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.lock().expect("no panic happens while this lock is held").finish_and_clear();
        }
    }
}

fn in_words(outcome: &Outcome) -> String {
    let mut lines = vec![format!(
        "{} requests, {} failed, {} versions answered; version {} is in production.",
        outcome.requests, outcome.failed, outcome.versions, outcome.production_version
    )];
    let estimate = |mean: Option<f64>, se: Option<f64>| match (mean, se) {
        (Some(mean), Some(se)) => format!("{mean:.4} ± {se:.4}"),
        (Some(mean), None) => format!("{mean:.4}"),
        _ => "not measured".to_owned(),
    };
    if outcome.ndcg_after.is_some() {
        lines.push(format!(
            "NDCG@10 on purchases after the retrain: {} before, {} after (standard errors; {} readers).",
            estimate(outcome.ndcg_before, outcome.ndcg_before_se),
            estimate(outcome.ndcg_after, outcome.ndcg_after_se),
            outcome.ndcg_readers.unwrap_or_default()
        ));
    } else {
        lines.push("No drift was confirmed, nothing was retrained.".to_owned());
    }
    lines.push(format!("Report: {} ({:.0} s)", outcome.report.display(), outcome.wall_seconds));
    lines.join("\n")
}
