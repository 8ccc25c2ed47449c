//! The command line: flags and environment in, one command's settings out, an exit code at the end.
//!
//! Every flag is also an environment variable, `BOOKLOOP_` and its name. Results go to standard output, as JSON with
//! `--json`; logs and progress go to standard error.

#![allow(clippy::doc_markdown, reason = "documentation here is help text for a terminal")]

mod conform;
mod demo;
mod drift;
mod evaluate;
mod fetch;
mod keys;
mod models;
mod pipelines;
mod print;
mod serve;
mod serve_api;
mod simulate;
mod stream;
mod telemetry;
mod train;

use std::{io::IsTerminal, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit;

/// Recommendations that stay fresh: train, serve, watch for drift, retrain, promote.
#[derive(Debug, Parser)]
#[command(name = "bookloop", version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    shared: Shared,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  bookloop demo                                  the whole loop on this machine, two minutes
  bookloop train --interactions sales.csv.gz --items books.csv.gz --store file:///var/lib/bookloop --tenant acme-books
  bookloop models approve --store file:///var/lib/bookloop --tenant acme-books --version 1 --actor ana --reason 'first model'
  bookloop serve --store file:///var/lib/bookloop --tenant acme-books

Exit codes: 0 done, 2 usage, 10 gate not met, 11 registry conflict, 12 bad input, 13 integrity failure,
69 a service is unavailable, 70 bug.";

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Shared {
    /// Print the result as one line of JSON.
    #[arg(long, global = true, env = "BOOKLOOP_JSON")]
    pub(crate) json: bool,
    /// How logs are written to standard error.
    #[arg(long, global = true, env = "BOOKLOOP_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// What is logged, as in `info` or `serve=debug,info`. [default: info for services, else warn]
    #[arg(long, global = true, env = "BOOKLOOP_LOG")]
    log: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Train(train::Arguments),
    Evaluate(evaluate::Arguments),
    Fetch(fetch::Arguments),
    Serve(Box<serve::Arguments>),
    #[command(subcommand)]
    Drift(drift::Command),
    #[command(subcommand)]
    Models(models::Command),
    #[command(subcommand)]
    Pipelines(pipelines::Command),
    Simulate(simulate::Arguments),
    Conform(conform::Arguments),
}

/// Which registry, and which model in it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// Root of the store: file:///folder, memory://name, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.
    ///
    /// Clouds are reached with the settings of their own tools: AWS_*, GOOGLE_* and AZURE_* in the environment.
    #[arg(long, env = "BOOKLOOP_STORE", value_name = "URL")]
    pub(crate) store: String,
    /// Tenant: 3 to 40 of a-z, 0-9 and -.
    #[arg(long, env = "BOOKLOOP_TENANT", default_value = "shared")]
    pub(crate) tenant: ::models::TenantName,
    /// Model name.
    #[arg(long, env = "BOOKLOOP_MODEL", default_value = "recommender")]
    pub(crate) model: ::models::ModelName,
}

impl Place {
    /// The tenant's root in the store.
    pub(crate) fn root(&self) -> Result<::models::Store, ::models::store::Error> {
        Ok(::models::Store::open(&self.store)?.tenant(&self.tenant))
    }
}

/// A share, 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("expected a number from 0 to 1, found {text:?}"))
}

/// Bytes as a number with a unit of 1024 or none: `4GiB`, `512 MiB`, `1000`.
fn bytes(text: &str) -> Result<u64, String> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let unit = units.into_iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    let parsed = number.trim_end().parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    parsed.ok_or_else(|| format!("expected a number of bytes such as 4GiB, 512MiB or 1000, found {text:?}"))
}

/// Parses, runs, and turns the outcome into an exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => {
            let code = if message.use_stderr() { exit::USAGE } else { 0 };
            // A closed pipe while printing help is nobody's problem.
            let _ = message.print();
            return ExitCode::from(code);
        }
    };
    let service = match &cli.command {
        Command::Serve(_) | Command::Drift(drift::Command::Watch(_)) => true,
        Command::Models(command) => command.is_service(),
        _ => false,
    };
    if let Err(problem) = start_logging(&cli.shared, service) {
        eprintln!("error: --log: {problem}");
        return ExitCode::from(exit::USAGE);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no threads to run on: {error}");
            return ExitCode::from(exit::UNAVAILABLE);
        }
    };
    let outcome = runtime.block_on(run(cli));
    // A reader thread blocked on standard input or a file must not hold the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", in_words(&error));
            ExitCode::from(exit::code(&error))
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let shared = cli.shared;
    match cli.command {
        Command::Demo(arguments) => arguments.run(&shared).await,
        Command::Train(arguments) => arguments.run(&shared).await,
        Command::Evaluate(arguments) => arguments.run(&shared).await,
        Command::Fetch(arguments) => arguments.run(&shared).await,
        Command::Serve(arguments) => arguments.run().await,
        Command::Drift(command) => command.run(&shared).await,
        Command::Models(command) => command.run(&shared).await,
        Command::Pipelines(command) => command.run(&shared).await,
        Command::Simulate(arguments) => arguments.run(&shared).await,
        Command::Conform(arguments) => arguments.run(&shared).await,
    }
}

fn start_logging(shared: &Shared, service: bool) -> Result<(), tracing_subscriber::filter::ParseError> {
    let level = shared.log.as_deref().unwrap_or(if service { "info" } else { "warn" });
    let filter = tracing_subscriber::EnvFilter::try_new(level)?;
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    match shared.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).init(),
    }
    Ok(())
}

/// The error with its causes on one line, without saying anything twice.
fn in_words(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if !words.contains(&cause) {
            let separator = if words.is_empty() { "" } else { ": " };
            words = format!("{words}{separator}{cause}");
        }
    }
    words
}

/// Resolves when the process is asked to stop: Ctrl-C or SIGTERM.
pub(crate) async fn asked_to_stop() {
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be handled");
            let _ = tokio::signal::ctrl_c().await;
            return;
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_flag_is_also_an_environment_variable_and_has_help() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} has no description");
            for flag in command.get_arguments().filter(|flag| flag.get_long().is_some()) {
                let long = flag.get_long().unwrap_or_default();
                if ["help", "version"].contains(&long) && flag.get_env().is_none() {
                    continue;
                }
                let want = format!("BOOKLOOP_{}", long.to_uppercase().replace('-', "_"));
                let found = flag.get_env().map(|name| name.to_string_lossy().into_owned());
                assert_eq!(found.as_deref(), Some(want.as_str()), "{path} --{long}");
                assert!(flag.get_help().is_some(), "{path} --{long} has no help");
            }
            command.get_subcommands().for_each(|below| check(below, &path));
        }
        let cli = Cli::command();
        cli.clone().debug_assert();
        check(&cli, "");
    }

    #[test]
    fn bytes_have_units_of_1024() {
        for (text, want) in [("0", 0), ("1000", 1000), ("3KiB", 3072), ("2 MiB", 2 << 20), ("4GiB", 4 << 30)] {
            assert_eq!(bytes(text), Ok(want), "{text}");
        }
        for bad in ["", "GiB", "-1", "1.5GiB", "4GB", "99999999999TiB"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
