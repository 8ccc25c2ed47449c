//! What a person sees while work goes on: bars on a terminal, log lines elsewhere.

use std::{io::IsTerminal, sync::Mutex, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use train::Stage;

use crate::night::Note;

/// Shows progress on standard error.
#[derive(Debug)]
pub struct Progress {
    /// Whether a person is watching; without one, log lines are written instead.
    terminal: bool,
    quiet: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Progress {
    /// `quiet` leaves only the log.
    pub fn new(quiet: bool) -> Self {
        Self { terminal: std::io::stderr().is_terminal() && !quiet, quiet, bar: Mutex::default() }
    }

    /// A run's note.
    pub fn note(&self, note: &Note<'_>) {
        match note {
            Note::Step(step) => {
                tracing::info!(step = step.name(), "step begins");
                self.spin(step.describe());
            }
            Note::Recipe(recipe, Stage::Started) => self.spin(&format!("fitting {}", recipe.name)),
            Note::Recipe(recipe, Stage::Fitting(pass)) => self.pass(&recipe.name, *pass),
            Note::Recipe(recipe, Stage::Fitted) => tracing::info!(recipe = recipe.name, "fitted"),
            Note::Recipe(recipe, Stage::Evaluated(evaluation)) => {
                let ndcg = evaluation.ndcg().unwrap_or(f64::NAN);
                tracing::info!(recipe = recipe.name, ndcg, "evaluated");
                self.say(&format!("{}: NDCG@{} {ndcg:.4}", recipe.name, evaluation.at));
            }
            Note::Said(sentence) => {
                tracing::info!("{sentence}");
                self.say(sentence);
            }
        }
    }

    /// A pass of a fit.
    pub fn pass(&self, name: &str, pass: train::Progress) {
        tracing::debug!(recipe = name, epoch = pass.epoch, epochs = pass.epochs, loss = pass.loss, "pass done");
        if !self.terminal {
            return;
        }
        let mut slot = self.bar.lock().expect("no panic happens while this lock is held");
        let fresh = slot.as_ref().is_none_or(|bar| bar.length() != Some(pass.epochs as u64));
        if fresh {
            if let Some(old) = slot.take() {
                old.finish_and_clear();
            }
            let style = ProgressStyle::with_template("  {msg:<28} {bar:30} {pos}/{len}  {eta} left")
                .expect("the template is well formed");
            *slot = Some(ProgressBar::new(pass.epochs as u64).with_style(style));
        }
        if let Some(bar) = slot.as_ref() {
            bar.set_message(format!("{name}, loss {:.4e}", pass.loss));
            bar.set_position(pass.epoch as u64);
        }
    }

    /// A line that stays.
    pub fn say(&self, sentence: &str) {
        if self.quiet {
            return;
        }
        let slot = self.bar.lock().expect("no panic happens while this lock is held");
        match slot.as_ref() {
            Some(bar) => bar.suspend(|| eprintln!("  {sentence}")),
            None => eprintln!("  {sentence}"),
        }
    }

    /// Something of unknown length begins.
    pub fn spin(&self, what: &str) {
        if !self.terminal {
            return;
        }
        let mut slot = self.bar.lock().expect("no panic happens while this lock is held");
        if let Some(old) = slot.take() {
            old.finish_and_clear();
        }
        let style = ProgressStyle::with_template("  {spinner} {msg}").expect("the template is well formed");
        let bar = ProgressBar::new_spinner().with_style(style).with_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        *slot = Some(bar);
    }

    /// Takes the bars away.
    pub fn finish(&self) {
        if let Some(bar) = self.bar.lock().expect("no panic happens while this lock is held").take() {
            bar.finish_and_clear();
        }
    }
}
