//! `evaluate --tune`: the search for settings, with a journal that an interrupted search goes on from.

use std::{
    cell::RefCell,
    fs::{File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use serde::{Deserialize, Serialize};
use train::{
    Algorithm, Dataset, Recipe, Split,
    plan::Tuning,
    tune::{self, Search, Trial},
};

use crate::{exit, progress::Progress};

/// Whether and how settings are looked for.
#[derive(Debug, Args)]
pub(super) struct Tune {
    /// Look for better settings of each --algorithm first: this many are tried on a ninth of the readers, a third of them on
    /// a third of the readers, a ninth on all. Judged on a part cut from the past; the future is looked at once, after.
    #[arg(long = "tune", env = "BOOKLOOP_TUNE", conflicts_with_all = ["validation", "next_click"], value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    settings: Option<u32>,
    /// Journal of the search: every trial is added to it as it ends, and none that it holds is made again.
    #[arg(long = "tune-journal", env = "BOOKLOOP_TUNE_JOURNAL", requires = "settings", value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Write the best settings found as a recipe for `bookloop train --recipe`.
    #[arg(long, env = "BOOKLOOP_RECIPE_OUT", requires = "settings", value_name = "FILE")]
    recipe_out: Option<PathBuf>,
}

/// What a search over one algorithm found.
pub(super) struct Tuned {
    /// The settings it began with.
    given: Algorithm,
    /// The trials of the last round, best first.
    trials: Vec<Trial>,
}

impl Tune {
    /// Searches for each algorithm in turn, on `past` alone; finds nothing where nothing is to be looked for.
    pub(super) fn run(
        &self,
        algorithms: &[Algorithm],
        past: &Dataset,
        (at, seed): (usize, u64),
        divide: &dyn Fn(&Dataset) -> Result<Split, train::Error>,
        progress: &Progress,
    ) -> anyhow::Result<Vec<Tuned>> {
        let Some(settings) = self.settings else { return Ok(Vec::new()) };
        if self.recipe_out.is_some() && algorithms.len() > 1 {
            return Err(exit::coded(exit::USAGE, "--recipe-out is for one --algorithm"));
        }
        let search = Search { settings: settings as usize, at, seed };
        let data = past.digest();
        let journal = RefCell::new(Journal::open(self.journal.as_deref(), &data, search)?);
        let mut found = Vec::new();
        for given in algorithms {
            let known = |algorithm: &Algorithm, readers: usize| journal.borrow().find(algorithm, readers);
            let mut record = |trial: &Trial| {
                let ndcg = trial.ndcg.unwrap_or(f64::NAN);
                progress.say(&format!("{}: NDCG@{at} {ndcg:.4} on {} readers", brief(trial), trial.readers));
                journal.borrow_mut().add(trial)
            };
            progress.spin(&format!("trying settings of {}", given.name()));
            let trials = tune::tune::<anyhow::Error>(given, search, past, divide, &known, &mut record)?;
            found.push(Tuned { given: given.clone(), trials });
        }
        if let (Some(path), [one]) = (&self.recipe_out, found.as_slice()) {
            let recipe = one.recipe(search, data);
            let text = serde_json::to_string_pretty(&recipe).expect("recipes are plain");
            std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(found)
    }
}

impl Tuned {
    /// The settings to use from now on.
    pub(super) fn best(&self) -> &Algorithm {
        self.trials.first().map_or(&self.given, |trial| &trial.algorithm)
    }

    fn recipe(&self, search: Search, data: String) -> Recipe {
        let best = self.trials.first();
        let tuning =
            best.map(|best| Tuning { search, data_sha256: data, readers: best.readers, ndcg: best.ndcg, se: best.se });
        Recipe { tuning, ..Recipe::new(format!("{}-tuned", self.given.name().replace('_', "-")), self.best().clone()) }
    }
}

/// A trial's settings, short: those that the grid varies.
fn brief(trial: &Trial) -> String {
    let settings = serde_json::to_value(&trial.algorithm).expect("settings are plain");
    let varied = tune::grid(&trial.algorithm, train::TimeAxis::Clock);
    let shown = varied.iter().filter(|(name, _)| !settings[*name].is_null());
    let shown: Vec<String> = shown.map(|(name, _)| format!("{name} {}", settings[*name])).collect();
    format!("{} {}", trial.algorithm.name(), shown.join(", "))
}

/// One line of the journal: a trial and all that it depends on.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    data_sha256: String,
    at: usize,
    seed: u64,
    code_revision: String,
    #[serde(flatten)]
    trial: Trial,
}

/// Trials made, in memory and on disk.
struct Journal {
    file: Option<(PathBuf, File)>,
    data: String,
    search: Search,
    lines: Vec<Line>,
}

impl Journal {
    /// Reads what is there. A last line without its end was being written when a search was stopped, and is dropped.
    fn open(path: Option<&Path>, data: &str, search: Search) -> anyhow::Result<Self> {
        let mut journal = Self { file: None, data: data.to_owned(), search, lines: Vec::new() };
        let Some(path) = path else { return Ok(journal) };
        let place = || path.display().to_string();
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = opened.with_context(|| format!("cannot open {}", place()))?;
        let text = std::io::read_to_string(&mut file).with_context(|| format!("cannot read {}", place()))?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        for (number, line) in text[..whole].lines().enumerate() {
            let line = serde_json::from_str(line).map_err(|error| {
                let words = format!("{}: line {}: expected a trial of a search: {error}", place(), number + 1);
                exit::coded(exit::BAD_INPUT, words)
            })?;
            journal.lines.push(line);
        }
        file.set_len(whole as u64).with_context(|| format!("cannot shorten {}", place()))?;
        file.seek(SeekFrom::End(0)).with_context(|| format!("cannot read {}", place()))?;
        journal.file = Some((path.to_owned(), file));
        Ok(journal)
    }

    fn find(&self, algorithm: &Algorithm, readers: usize) -> Option<Trial> {
        let of_this = |line: &&Line| {
            let Line { data_sha256, at, seed, code_revision, trial } = line;
            *data_sha256 == self.data
                && (*at, *seed) == (self.search.at, self.search.seed)
                && code_revision == crate::REVISION
                && trial.algorithm == *algorithm
                && trial.readers == readers
        };
        Some(self.lines.iter().find(of_this)?.trial.clone())
    }

    fn add(&mut self, trial: &Trial) -> anyhow::Result<()> {
        let Search { at, seed, .. } = self.search;
        let (data_sha256, code_revision) = (self.data.clone(), crate::REVISION.to_owned());
        let line = Line { data_sha256, at, seed, code_revision, trial: trial.clone() };
        if let Some((path, file)) = &mut self.file {
            let text = serde_json::to_string(&line).expect("trials are plain") + "\n";
            let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
            written.with_context(|| format!("cannot write {}", path.display()))?;
        }
        self.lines.push(line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(name: &str, readers: usize) -> Trial {
        Trial { algorithm: Algorithm::named(name).unwrap(), readers, ndcg: Some(0.25), se: None }
    }

    const SEARCH: Search = Search { settings: 9, at: 20, seed: 7 };

    #[test]
    fn a_journal_gives_back_whole_lines_of_the_same_search_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.ndjson");
        let open = |data: &str, search: Search| Journal::open(Some(&path), data, search).unwrap();
        let mut journal = open("d1", SEARCH);
        journal.add(&trial("ials", 10)).unwrap();
        journal.add(&trial("ease", 10)).unwrap();
        // The second line loses its end.
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 5]).unwrap();
        let mut journal = open("d1", SEARCH);
        let ials = Algorithm::named("ials").unwrap();
        assert_eq!(journal.find(&ials, 10), Some(trial("ials", 10)));
        assert_eq!(journal.find(&ials, 30), None);
        assert_eq!(journal.find(&Algorithm::named("ease").unwrap(), 10), None);
        journal.add(&trial("ease", 10)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(open("d2", SEARCH).find(&ials, 10), None);
        assert_eq!(open("d1", Search { at: 10, ..SEARCH }).find(&ials, 10), None);
        assert_eq!(open("d1", Search { settings: 27, ..SEARCH }).find(&ials, 10), Some(trial("ials", 10)));
    }

    #[test]
    fn a_file_that_is_no_journal_is_refused_with_its_line_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "{}\nnot a trial").unwrap();
        let error = Journal::open(Some(&path), "d", SEARCH).err().unwrap();
        assert!(error.to_string().contains("notes.txt: line 1: expected a trial of a search"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{}\nnot a trial");
    }
}
