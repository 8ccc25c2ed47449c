//! `bookloop simulate`: readers for a predictor, or their sales as files.

use std::{path::PathBuf, time::Duration};

use ::models::{ModelName, TenantName};
use clap::Args;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::json;

use super::{Shared, print};
use crate::{
    exit,
    simulate::{DriveReport, Driver, DriverOptions, Pace, Readers, Shift, World, WorldOptions, write_history},
};

/// Seeded readers: their sales as files (--out), or their visits as requests to a predictor (--url).
///
/// Readers have genres and authors they like, come by in a daily and weekly rhythm, and may change their taste.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Folder to write interactions.csv.gz and items.ndjson.gz of the first --days days to.
    #[arg(long, env = "BOOKLOOP_OUT", value_name = "FOLDER", required_unless_present = "url")]
    out: Option<PathBuf>,
    /// Predictor to visit on the days after --days, as in http://127.0.0.1:8080.
    #[arg(long, env = "BOOKLOOP_URL")]
    url: Option<String>,
    /// Tenant of the orders.
    #[arg(long, env = "BOOKLOOP_TENANT", default_value = "shared")]
    tenant: TenantName,
    /// Model to ask.
    #[arg(long, env = "BOOKLOOP_MODEL", default_value = "recommender")]
    model: ModelName,
    /// Everything random follows from it.
    #[arg(long, env = "BOOKLOOP_SEED", default_value_t = 7)]
    seed: u64,
    /// Days of history.
    #[arg(long, env = "BOOKLOOP_DAYS", default_value_t = 60)]
    days: u32,
    /// Days of visits to the predictor.
    #[arg(long, env = "BOOKLOOP_LIVE_DAYS", default_value_t = 1)]
    live_days: u32,
    /// Books on sale.
    #[arg(long, env = "BOOKLOOP_BOOKS", default_value_t = 1500)]
    books: usize,
    /// Readers.
    #[arg(long, env = "BOOKLOOP_READERS", default_value_t = 1200)]
    readers: usize,
    /// Visits of an average day.
    #[arg(long, env = "BOOKLOOP_VISITS_PER_DAY", default_value_t = 1500.0)]
    visits_per_day: f64,
    /// Day, from 0, on which readers change their taste.
    #[arg(long, env = "BOOKLOOP_SHIFT_DAY")]
    shift_day: Option<u32>,
    /// Requests per second, at fixed intervals whatever the answers take; as fast as possible if not given.
    #[arg(long, env = "BOOKLOOP_RATE")]
    rate: Option<f64>,
    /// Requests in flight at most.
    #[arg(long, env = "BOOKLOOP_CONCURRENCY", default_value_t = 16)]
    concurrency: usize,
}

const EXAMPLES: &str = "\
Examples:
  bookloop simulate --out shop --days 60
  bookloop simulate --url http://127.0.0.1:8080 --tenant acme-books --days 60 --live-days 3 --rate 200";

impl Arguments {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let usage = |message: String| exit::coded(exit::USAGE, message);
        if self.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
            return Err(usage("--rate: expected a number above 0".to_owned()));
        }
        // Days end today, so that no row lies in the future.
        let today = Timestamp::now().to_zoned(TimeZone::UTC).start_of_day()?.timestamp();
        let hours = |days: u32| SignedDuration::from_hours(24 * i64::from(days));
        let start = today - hours(self.days + self.live_days);
        let options = WorldOptions {
            n_books: self.books,
            n_readers: self.readers,
            visits_per_day: self.visits_per_day,
            shift: self.shift_day.map(|day| Shift::strong(start + hours(day))),
            ..WorldOptions::small(self.seed, start)
        };
        let mut world = World::new(options).map_err(|refused| usage(refused.to_string()))?;
        match &self.out {
            Some(folder) => {
                let written = write_history(&mut world, self.days, folder)
                    .map_err(|error| exit::coded(exit::UNAVAILABLE, format!("{}: {error}", folder.display())))?;
                if shared.json {
                    print::json(
                        &json!({ "rows": written.rows, "interactions": written.interactions, "items": written.items }),
                    );
                } else {
                    println!("{} sales in {}", written.rows, written.interactions.display());
                    println!("{} books in {}", world.catalogue().len(), written.items.display());
                }
            }
            None => (0..self.days).for_each(|_| drop(world.next_day())),
        }
        match self.url.clone() {
            Some(url) => self.visit(&url, world, shared).await,
            None => Ok(()),
        }
    }

    async fn visit(&self, url: &str, mut world: World, shared: &Shared) -> anyhow::Result<()> {
        let options = DriverOptions {
            base_url: url.to_owned(),
            tenant: self.tenant.clone(),
            model: self.model.clone(),
            concurrency: self.concurrency,
            timeout: Duration::from_secs(10),
        };
        let driver =
            Driver::new(options, None).map_err(|error| exit::coded(exit::USAGE, format!("--url {url}: {error}")))?;
        let pace = self.rate.map_or(Pace::AsFast, Pace::PerSecond);
        let mut driven = DriveReport::default();
        for _ in 0..self.live_days {
            let Some(day) = world.next_day() else { break };
            for tick in day.ticks() {
                driven.merge(driver.drive(&tick, &world, pace).await?);
            }
        }
        let ms = |q: f64| driven.percentile_ms(q);
        if shared.json {
            print::json(&json!({
                "requests": driven.requests, "failed": driven.failed, "reasons": driven.reasons,
                "versions": driven.versions(), "clicks_sent": driven.outcomes,
                "p50_ms": ms(0.5), "p99_ms": ms(0.99),
            }));
        } else {
            println!("{} requests, {} failed; versions {:?}", driven.requests, driven.failed, driven.versions());
            println!("p50 {:.2} ms, p99 {:.2} ms", ms(0.5).unwrap_or(f64::NAN), ms(0.99).unwrap_or(f64::NAN));
            driven.reasons.iter().for_each(|reason| println!("failed: {reason}"));
        }
        if driven.requests > 0 && driven.failed == driven.requests {
            return Err(exit::coded(exit::UNAVAILABLE, format!("{url} answered nothing")));
        }
        Ok(())
    }
}
