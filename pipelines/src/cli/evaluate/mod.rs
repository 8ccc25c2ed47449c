//! `bookloop evaluate`: fit and measure algorithms, registering nothing.

mod results;
mod tune;

use std::{cell::Cell, time::Instant};

use clap::Args;
use jiff::Timestamp;
use train::{Algorithm, Dataset, Split, TimeAxis, read, split};

use self::{results::Measured, tune::Tune};
use super::{Shared, print, train::Reading};
use crate::{exit, inputs, progress::Progress};

/// Fit and measure algorithms, registering nothing.
///
/// Either --train with --test (a split that others made), or --interactions (cut by time, or at random by reader where
/// there is no time). Every reader gets a full ranking; metrics come with standard errors.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The past: file, folder or store URL.
    #[arg(
        long,
        env = "BOOKLOOP_TRAIN",
        requires = "test",
        required_unless_present = "interactions",
        value_name = "PLACE"
    )]
    train: Option<String>,
    /// The future.
    #[arg(long, env = "BOOKLOOP_TEST", requires = "train", value_name = "PLACE")]
    test: Option<String>,
    /// One data set, to be divided into past and future.
    #[arg(long, env = "BOOKLOOP_INTERACTIONS", conflicts_with = "train", value_name = "PLACE")]
    interactions: Option<String>,
    /// Catalogue of the books that may be recommended besides those in the interactions.
    #[arg(long, env = "BOOKLOOP_ITEMS", value_name = "PLACE")]
    items: Option<String>,
    /// An algorithm's name, or its settings as a JSON object: '{"algorithm":"ials","factors":64}'. May be repeated: all are
    /// judged on the same split, and the best is compared with each of the others.
    #[arg(long = "algorithm", env = "BOOKLOOP_ALGORITHM", default_value = "ials", value_name = "NAME|JSON")]
    algorithms: Vec<String>,
    /// Settings of the algorithm that differ from its defaults, as a JSON object: '{"factors":64}'.
    #[arg(long, env = "BOOKLOOP_PARAMS", value_name = "JSON")]
    params: Option<String>,
    /// Length of the lists; several, as in 20,100, judge the same lists at several lengths.
    #[arg(long, env = "BOOKLOOP_AT", default_value = "20", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1000))]
    at: Vec<u32>,
    /// Share of the newest interactions (or of each reader's) that is the future of --interactions.
    #[arg(long, env = "BOOKLOOP_TEST_SHARE", default_value_t = 0.2)]
    test_share: f64,
    /// Divide --interactions at random by reader, even where there is time.
    #[arg(long, env = "BOOKLOOP_AT_RANDOM", conflicts_with_all = ["train", "hold_out_readers"])]
    at_random: bool,
    /// Hold out this many whole readers of --interactions for validation and as many for the test; of each, a fifth of the
    /// books is to be foreseen.
    #[arg(long, env = "BOOKLOOP_HOLD_OUT_READERS", conflicts_with = "train", value_name = "N")]
    hold_out_readers: Option<usize>,
    /// Leave readers with fewer distinct books out of --interactions.
    #[arg(long, env = "BOOKLOOP_LEAST_BOOKS", default_value_t = 1, value_name = "N")]
    least_books: usize,
    /// The rows are clicks of sessions: foresee each click of --test from those before it.
    #[arg(long, env = "BOOKLOOP_NEXT_CLICK", requires = "test")]
    next_click: bool,
    /// Judge on a part cut from the past and leave the future alone: for choosing settings.
    #[arg(long, env = "BOOKLOOP_VALIDATION", conflicts_with = "next_click")]
    validation: bool,
    #[command(flatten)]
    tune: Tune,
    #[command(flatten)]
    reading: Reading,
    /// Seed of everything random.
    #[arg(long, env = "BOOKLOOP_SEED", default_value_t = 7)]
    seed: u64,
}

const EXAMPLES: &str = "\
Examples:
  bookloop evaluate --train past.csv.gz --test future.csv.gz --algorithm ials --at 20
  bookloop evaluate --interactions sales.csv.gz --algorithm rp3beta --json
  bookloop evaluate --interactions sales.csv.gz --validation --algorithm ease-sparse --algorithm ials --algorithm blend
  bookloop evaluate --interactions sales.csv.gz --algorithm ials --tune 27 --tune-journal ials.ndjson --recipe-out ials.json
  bookloop evaluate --interactions ratings.csv.gz --least-books 5 --hold-out-readers 300 --at 20,100
  bookloop evaluate --train clicks.csv.gz --test later.csv.gz --next-click --algorithm vmis-knn";

/// Share of a held-out reader's books that is folded in.
const INPUT_SHARE: f64 = 0.8;

impl Arguments {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let algorithms = self.algorithms()?;
        let options = read::Options {
            now: Timestamp::now(),
            min_rating: self.reading.least_rating(),
            max_bad_share: self.reading.max_bad_share,
        };
        let progress = Progress::new(shared.json);
        let measured = self.measure(&algorithms, &options, &progress).await;
        progress.finish();
        let measured = measured?;
        if shared.json {
            print::json(&results::as_json(&measured, self.seed));
        } else {
            println!("{}", results::as_tables(&measured, self.seed));
        }
        Ok(())
    }

    fn algorithms(&self) -> anyhow::Result<Vec<Algorithm>> {
        let usage = |message: String| exit::coded(exit::USAGE, message);
        if self.params.is_some() && self.algorithms.len() > 1 {
            return Err(usage("--params is for one --algorithm; give several as JSON objects".into()));
        }
        let parse = |text: &String| {
            if text.trim_start().starts_with('{') {
                return serde_json::from_str(text).map_err(|error| usage(format!("--algorithm {text}: {error}")));
            }
            let names = || format!("--algorithm: expected one of {}, found {text:?}", train::NAMES.join(", "));
            Algorithm::named(text).ok_or_else(|| usage(names()))
        };
        let mut algorithms = self.algorithms.iter().map(parse).collect::<anyhow::Result<Vec<Algorithm>>>()?;
        if let (Some(params), [algorithm]) = (&self.params, algorithms.as_mut_slice()) {
            let mut settings = serde_json::to_value(&*algorithm).expect("settings are plain");
            let changes: serde_json::Map<String, serde_json::Value> = serde_json::from_str(params)
                .map_err(|error| usage(format!("--params: expected a JSON object: {error}")))?;
            settings.as_object_mut().expect("settings are an object").extend(changes);
            *algorithm = serde_json::from_value(settings).map_err(|error| usage(format!("--params: {error}")))?;
        }
        Ok(algorithms)
    }

    async fn dataset(&self, place: &str, options: &read::Options) -> anyhow::Result<Dataset> {
        let books = match &self.items {
            Some(items) => {
                let files = inputs::open(items).await?;
                tokio::task::block_in_place(|| read::read_items(files, options))?.books
            }
            None => Vec::new(),
        };
        let files = inputs::open(place).await?;
        Ok(tokio::task::block_in_place(|| read::read_interactions(files, books, options))?.dataset)
    }

    async fn split(&self, options: &read::Options) -> anyhow::Result<Split> {
        match (&self.train, &self.test, &self.interactions) {
            (Some(train), Some(test), _) => {
                let past = self.dataset(train, options).await?;
                if self.validation {
                    return Ok(self.divided(&past)?);
                }
                let future = self.dataset(test, options).await?;
                Ok(if self.next_click { split::next_clicks(&past, &future)? } else { split::given(&past, &future)? })
            }
            (_, _, Some(interactions)) => {
                let mut dataset = self.dataset(interactions, options).await?;
                if self.least_books > 1 {
                    dataset = split::of_readers_with(&dataset, self.least_books);
                }
                if let Some(n) = self.hold_out_readers {
                    let held_out = split::held_out_readers(&dataset, self.seed, n, n, INPUT_SHARE)?;
                    return Ok(if self.validation { held_out.validation } else { held_out.test });
                }
                let split = self.divided(&dataset)?;
                Ok(if self.validation { self.divided(&split.train)? } else { split })
            }
            _ => Err(exit::coded(exit::USAGE, "give --train and --test, or --interactions")),
        }
    }

    /// By time, or at random by reader where there is no time or it is not to count.
    fn divided(&self, dataset: &Dataset) -> Result<Split, train::Error> {
        if self.at_random || dataset.axis() == TimeAxis::None {
            split::random_by_reader(dataset, self.seed, self.test_share)
        } else {
            split::global_time(dataset, self.test_share)
        }
    }

    async fn measure(
        &self,
        algorithms: &[Algorithm],
        options: &read::Options,
        progress: &Progress,
    ) -> anyhow::Result<Vec<Measured>> {
        let split = self.split(options).await?;
        let ats: Vec<usize> = self.at.iter().map(|at| *at as usize).collect();
        let find =
            || self.tune.run(algorithms, &split.train, (ats[0], self.seed), &|data| self.divided(data), progress);
        let tuned = tokio::task::block_in_place(find)?;
        // What was found stands beside what was given, where it is something else.
        let found = tuned.iter().map(tune::Tuned::best).filter(|best| !algorithms.contains(best));
        let mut to_measure: Vec<(Algorithm, bool)> = found.map(|best| (best.clone(), true)).collect();
        to_measure.extend(algorithms.iter().map(|given| (given.clone(), false)));
        let measure = |(algorithm, tuned): &(Algorithm, bool)| -> anyhow::Result<Measured> {
            let epochs = Cell::new(1);
            let begun = Instant::now();
            let artifact = algorithm.fit(&split.train, self.seed, &|pass| {
                epochs.set(pass.epochs);
                progress.pass(algorithm.name(), pass);
            })?;
            let fit_seconds = begun.elapsed().as_secs_f64();
            let begun = Instant::now();
            let evaluations = train::evaluate_at(&artifact, &split, &ats);
            Ok(Measured {
                algorithm: algorithm.clone(),
                tuned: *tuned,
                shares: results::shares(&artifact),
                evaluations,
                fit_seconds,
                evaluate_seconds: begun.elapsed().as_secs_f64(),
                epochs: epochs.get(),
            })
        };
        tokio::task::block_in_place(|| to_measure.iter().map(measure).collect())
    }
}
