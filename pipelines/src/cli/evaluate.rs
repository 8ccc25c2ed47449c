//! `bookloop evaluate`: fit and measure one algorithm, registering nothing.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use train::{Algorithm, Dataset, TimeAxis, read, split};

use super::{Shared, print, train::Reading};
use crate::{exit, inputs, progress::Progress};

/// Fit and measure one algorithm, registering nothing.
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
    /// popularity, item-knn, rp3beta or ials.
    #[arg(long, env = "BOOKLOOP_ALGORITHM", default_value = "ials")]
    algorithm: String,
    /// Settings of the algorithm that differ from its defaults, as a JSON object: '{"factors":64}'.
    #[arg(long, env = "BOOKLOOP_PARAMS", value_name = "JSON")]
    params: Option<String>,
    /// Length of the lists; several, as in 20,100, judge the same lists at several lengths.
    #[arg(long, env = "BOOKLOOP_AT", default_value = "20", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1000))]
    at: Vec<u32>,
    /// Share of the newest interactions (or of each reader's) that is the future of --interactions.
    #[arg(long, env = "BOOKLOOP_TEST_SHARE", default_value_t = 0.2)]
    test_share: f64,
    #[command(flatten)]
    reading: Reading,
    /// Seed of everything random.
    #[arg(long, env = "BOOKLOOP_SEED", default_value_t = 7)]
    seed: u64,
}

const EXAMPLES: &str = "\
Examples:
  bookloop evaluate --train past.csv.gz --test future.csv.gz --algorithm ials --at 20
  bookloop evaluate --interactions sales.csv.gz --algorithm rp3beta --json";

impl Arguments {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let algorithm = self.algorithm()?;
        let options = read::Options {
            now: Timestamp::now(),
            min_rating: self.reading.least_rating(),
            max_bad_share: self.reading.max_bad_share,
        };
        let progress = Progress::new(shared.json);
        let measured = self.measure(&algorithm, &options, &progress).await;
        progress.finish();
        let measured = measured?;
        if shared.json {
            print::json(&measured.as_json(&algorithm));
        } else {
            println!("{}", measured.as_table(&algorithm));
        }
        Ok(())
    }

    fn algorithm(&self) -> anyhow::Result<Algorithm> {
        let usage = |message: String| exit::coded(exit::USAGE, message);
        let named = Algorithm::named(&self.algorithm).ok_or_else(|| {
            usage(format!("--algorithm: expected one of {}, found {:?}", train::NAMES.join(", "), self.algorithm))
        })?;
        let Some(params) = &self.params else { return Ok(named) };
        let mut settings = serde_json::to_value(&named).expect("settings are plain");
        let changes: serde_json::Map<String, serde_json::Value> = serde_json::from_str(params)
            .map_err(|error| usage(format!("--params: expected a JSON object: {error}")))?;
        settings.as_object_mut().expect("settings are an object").extend(changes);
        serde_json::from_value(settings).map_err(|error| usage(format!("--params: {error}")))
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

    async fn measure(
        &self,
        algorithm: &Algorithm,
        options: &read::Options,
        progress: &Progress,
    ) -> anyhow::Result<Measured> {
        let split = match (&self.train, &self.test, &self.interactions) {
            (Some(train), Some(test), _) => {
                split::given(&self.dataset(train, options).await?, &self.dataset(test, options).await?)?
            }
            (_, _, Some(interactions)) => {
                let dataset = self.dataset(interactions, options).await?;
                if dataset.axis() == TimeAxis::None {
                    split::random_by_reader(&dataset, self.seed, self.test_share)?
                } else {
                    split::global_time(&dataset, self.test_share)?
                }
            }
            _ => return Err(exit::coded(exit::USAGE, "give --train and --test, or --interactions")),
        };
        let mut epochs = 1;
        let begun = std::time::Instant::now();
        let epochs_cell = std::cell::Cell::new(epochs);
        let artifact = tokio::task::block_in_place(|| {
            algorithm.fit(&split.train, self.seed, &|pass| {
                epochs_cell.set(pass.epochs);
                progress.pass(algorithm.name(), pass);
            })
        })?;
        epochs = epochs_cell.get();
        let fit_seconds = begun.elapsed().as_secs_f64();
        let begun = std::time::Instant::now();
        let ats: Vec<usize> = self.at.iter().map(|at| *at as usize).collect();
        let evaluations = tokio::task::block_in_place(|| train::evaluate_at(&artifact, &split, &ats));
        let evaluate_seconds = begun.elapsed().as_secs_f64();
        Ok(Measured { evaluations, fit_seconds, evaluate_seconds, epochs })
    }
}

struct Measured {
    /// One for each length.
    evaluations: Vec<train::Evaluation>,
    fit_seconds: f64,
    evaluate_seconds: f64,
    epochs: usize,
}

impl Measured {
    fn as_json(&self, algorithm: &Algorithm) -> serde_json::Value {
        let mut object = serde_json::Map::new();
        let mut errors = serde_json::Map::new();
        object.insert("algorithm".into(), json!(algorithm.name()));
        for evaluation in &self.evaluations {
            let at = evaluation.at;
            if let Some(all) = &evaluation.all {
                for (name, estimate) in [
                    ("recall", all.recall),
                    ("ndcg", all.ndcg),
                    ("mrr", all.mrr),
                    ("hit_rate", all.hit_rate),
                    ("recall_trunc", all.recall_trunc),
                ] {
                    object.insert(format!("{name}@{at}"), json!(estimate.mean));
                    errors.insert(format!("{name}@{at}"), json!(estimate.se));
                }
                object.insert("readers".into(), json!(all.n_readers));
            }
            object.insert(format!("coverage@{at}"), json!(evaluation.coverage));
            object.insert(format!("lists@{at}"), json!(evaluation.lists));
            object.insert(format!("by_degree@{at}"), json!(evaluation.by_degree));
            object.insert(format!("cold_books@{at}"), json!(evaluation.cold_books));
        }
        // The longest list is the hardest to fill.
        if let Some(longest) = self.evaluations.iter().max_by_key(|evaluation| evaluation.at) {
            object.insert("cold_book_share".into(), json!(longest.cold_book_share));
            object.insert("fallback_share".into(), json!(longest.fallback_share));
        }
        object.insert("se".into(), errors.into());
        object.insert("fit_seconds".into(), json!(self.fit_seconds));
        object.insert("evaluate_seconds".into(), json!(self.evaluate_seconds));
        object.insert("epochs".into(), json!(self.epochs));
        object.insert("params".into(), json!(algorithm));
        object.into()
    }

    fn as_table(&self, algorithm: &Algorithm) -> String {
        let tables = self.evaluations.iter().map(|evaluation| {
            let mut table = print::evaluation_table(evaluation.at);
            print::evaluation_rows(&mut table, algorithm.name(), Some(self.fit_seconds), evaluation);
            table.to_string()
        });
        tables.collect::<Vec<_>>().join("\n")
    }
}
