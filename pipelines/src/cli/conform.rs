//! `bookloop conform`: any server of the Open Inference Protocol, graded point by point.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use ::serve::conform::{self, Error, Graded, Level, Options, Outcome, Report, Section};
use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Shared, print};
use crate::exit;

/// Grade a server of the Open Inference Protocol, this one or another: V1, V2, bytes behind JSON, gRPC.
///
/// Every point has an id, a level and a source. Must points that fail, or that could not be tried, end in exit code 10;
/// what a server does not offer is not held against it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Where the server is, as in http://127.0.0.1:8080.
    url: String,
    /// Where it speaks gRPC, as in http://127.0.0.1:8081. [default: looked for at URL]
    #[arg(long, env = "BOOKLOOP_GRPC", value_name = "URL")]
    grpc: Option<String>,
    /// Model to ask. [default: the only one that the server lists]
    #[arg(long, env = "BOOKLOOP_MODEL")]
    model: Option<String>,
    /// File with the V2 request to send, as JSON. [default: made up from the metadata]
    #[arg(long, env = "BOOKLOOP_INPUTS", value_name = "FILE")]
    inputs: Option<PathBuf>,
    /// File with the V1 instances to send, a JSON list or a body of :predict. [default: made up from the V2 request]
    #[arg(long, env = "BOOKLOOP_V1_INSTANCES", value_name = "FILE")]
    v1_instances: Option<PathBuf>,
    /// Beginnings of the ids to grade, comma separated, as in v2,binary or grpc.id-echoed. [default: all]
    #[arg(long, env = "BOOKLOOP_ONLY", value_name = "IDS", value_delimiter = ',')]
    only: Vec<String>,
    /// Seconds to wait for an answer.
    #[arg(long, env = "BOOKLOOP_TIMEOUT", value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Header of every request, also over gRPC; may be repeated.
    #[arg(long, env = "BOOKLOOP_HEADER", value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
}

const EXAMPLES: &str = "\
Examples:
  bookloop conform http://127.0.0.1:8080
  bookloop conform http://127.0.0.1:8080 --grpc http://127.0.0.1:8081 --model rec --inputs request.json
  bookloop conform http://127.0.0.1:8080 --only v2.infer,binary --header 'x-tenant: acme-books' --json";

fn header(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once(':').ok_or_else(|| format!("expected NAME: VALUE, found {text:?}"))?;
    Ok((parts.0.trim().to_owned(), parts.1.trim().to_owned()))
}

impl Arguments {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let mut options = Options::new(self.url);
        (options.grpc, options.model) = (self.grpc, self.model);
        options.inputs = self.inputs.map(|file| read::<Value>("--inputs", &file)).transpose()?;
        options.instances = self.v1_instances.map(|file| instances(&file)).transpose()?;
        options.only = self.only;
        options.timeout = Duration::from_secs(self.timeout);
        options.headers = self.header;
        let report = conform::grade(options).await.map_err(|error| exit::coded(code(&error), error.to_string()))?;
        if shared.json {
            let totals: serde_json::Map<_, _> =
                Level::ALL.iter().map(|level| (level.as_str().to_owned(), json!(report.tally(*level)))).collect();
            let Report { url, grpc, model, points } = &report;
            print::json(&json!({ "url": url, "grpc": grpc, "model": model, "totals": totals, "points": points }));
        } else {
            show(&report);
        }
        let unmet = report.unmet();
        if unmet.is_empty() {
            return Ok(());
        }
        Err(exit::coded(exit::GATE, format!("{} must points not met: {}", unmet.len(), unmet.join(", "))))
    }
}

fn code(error: &Error) -> u8 {
    match error {
        Error::Unreachable { .. } => exit::UNAVAILABLE,
        Error::Inputs { .. } => exit::BAD_INPUT,
        Error::Address { .. } | Error::Header { .. } | Error::Only { .. } | Error::Model { .. } => exit::USAGE,
    }
}

/// A file of JSON.
fn read<T: DeserializeOwned>(flag: &str, file: &Path) -> anyhow::Result<T> {
    let bad = |problem: String| exit::coded(exit::BAD_INPUT, format!("{flag} {}: {problem}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| bad(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| bad(format!("JSON: {error}")))
}

/// A list, or the one under `instances`.
fn instances(file: &Path) -> anyhow::Result<Vec<Value>> {
    let mut found: Value = read("--v1-instances", file)?;
    let list = if found.is_object() { found["instances"].take() } else { found };
    match list {
        Value::Array(list) if !list.is_empty() => Ok(list),
        _ => {
            let words = format!("--v1-instances {}: expected a list that is not empty", file.display());
            Err(exit::coded(exit::BAD_INPUT, words))
        }
    }
}

fn show(report: &Report) {
    println!("model {} at {}, gRPC at {}", report.model, report.url, report.grpc);
    let mut table = print::table(&["point", "level", "outcome", "what"]);
    for section in Section::ALL {
        let mut points = report.points.iter().filter(|graded| graded.point.section == section).peekable();
        if points.peek().is_some() {
            table.add_row([title(section), "", "", ""]);
        }
        for graded in points {
            let id = format!("  {}", graded.point.id);
            table.add_row([id, graded.point.level.as_str().into(), graded.outcome.as_str().into(), what(graded)]);
        }
    }
    println!("{table}");
    let mut totals = print::table(&["level", "points", "pass", "FAIL", "not offered", "skipped"]);
    for level in Level::ALL {
        let tally = report.tally(level);
        let counts = [tally.pass, tally.fail, tally.not_offered, tally.skipped];
        let counts = [counts.iter().sum(), tally.pass, tally.fail, tally.not_offered, tally.skipped];
        totals.add_row([level.as_str().to_owned()].into_iter().chain(counts.map(|count: usize| count.to_string())));
    }
    println!("{totals}");
}

fn title(section: Section) -> &'static str {
    match section {
        Section::Health => "V2: health",
        Section::Metadata => "V2: metadata",
        Section::Infer => "V2: inference",
        Section::Errors => "V2: refusals",
        Section::Http => "HTTP below V2",
        Section::Binary => "V2: tensors as bytes",
        Section::V1 => "V1",
        Section::Grpc => "gRPC",
        Section::Repository => "Repository",
        Section::Statistics => "Statistics",
    }
}

/// What a passed point promises; of the others, why they are not passed.
fn what(graded: &Graded) -> String {
    match &graded.outcome {
        Outcome::Pass => graded.point.promise.clone(),
        Outcome::Fail { expected, found } => {
            format!("{} ({}): expected {expected}; found {found}", graded.point.promise, graded.point.source)
        }
        Outcome::NotOffered { reason } | Outcome::Skipped { reason } => reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_a_name_and_a_value() {
        assert_eq!(header("x-tenant: acme: books"), Ok(("x-tenant".into(), "acme: books".into())));
        assert_eq!(header("x-tenant"), Err("expected NAME: VALUE, found \"x-tenant\"".into()));
    }

    #[test]
    fn instances_are_a_list_or_a_whole_body() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            let file = folder.path().join("instances.json");
            std::fs::write(&file, text).unwrap();
            instances(&file)
        };
        assert_eq!(read("[[1]]").unwrap(), [json!([1])]);
        assert_eq!(read(r#"{"instances":[{"user":1}]}"#).unwrap(), [json!({"user": 1})]);
        for bad in ["[]", "{}", "7", "[1"] {
            let error = read(bad).unwrap_err();
            assert_eq!(exit::code(&error), exit::BAD_INPUT);
            assert!(error.to_string().starts_with("--v1-instances "), "{error}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_away_and_a_wish_that_is_none_have_codes_of_their_own() {
        let mut options = Options::new("http://127.0.0.1:9");
        assert_eq!(code(&conform::grade(options.clone()).await.unwrap_err()), exit::UNAVAILABLE);
        options.only = vec!["v3".into()];
        assert_eq!(code(&conform::grade(options.clone()).await.unwrap_err()), exit::USAGE);
        options.only.clear();
        options.inputs = Some(json!({}));
        assert_eq!(code(&conform::grade(options).await.unwrap_err()), exit::BAD_INPUT);
    }
}
