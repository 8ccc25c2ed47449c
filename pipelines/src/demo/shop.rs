//! Where the readers come from: a made-up shop, or real ratings replayed as days.

use std::path::Path;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use models::{BookId, BookRef, ReaderId};
use train::{TimeAxis, read};

use super::Options;
use crate::{
    exit,
    simulate::{Readers, Replay, ReplayOptions, Shift, World, WorldOptions},
};

/// Days of history before the shop opens here.
pub(super) const HISTORY_DAYS: u32 = 60;
/// Days after the opening on which taste changes.
pub(super) const SHIFT_DAY: u32 = 10;
/// The most days the rehearsal goes on.
pub(super) const LIVE_DAYS: u32 = 26;

/// The first day of history: a Monday.
fn first_day() -> Timestamp {
    "2026-01-05T00:00:00Z".parse().expect("a date")
}

/// Midnight of a live day.
pub(super) fn live_day(number: u32) -> Timestamp {
    first_day() + SignedDuration::from_hours(24 * i64::from(HISTORY_DAYS + number))
}

/// The readers of a rehearsal.
pub(super) fn readers(options: &Options) -> anyhow::Result<Box<dyn Readers>> {
    let shift = options.shift.then(|| Shift::strong(live_day(SHIFT_DAY)));
    match &options.data {
        None => Ok(Box::new(World::new(WorldOptions { shift, ..WorldOptions::small(options.seed, first_day()) })?)),
        Some(folder) => replay(folder, options.seed, shift),
    }
}

/// Real ratings of 4 and more in their order, spread over the rehearsal's days.
fn replay(folder: &Path, seed: u64, shift: Option<Shift>) -> anyhow::Result<Box<dyn Readers>> {
    let find = |stem: &str| {
        let endings = ["csv.gz", "csv", "ndjson.gz", "ndjson", "parquet"];
        let place = endings.iter().map(|ending| folder.join(format!("{stem}.{ending}"))).find(|path| path.exists());
        place.ok_or_else(|| exit::coded(exit::BAD_INPUT, format!("{}: no {stem} file", folder.display())))
    };
    let options = read::Options { min_rating: Some(4.0), ..read::Options::at(Timestamp::now()) };
    let books = read::read_items(read::local(&find("items")?)?, &options)?.books;
    let dataset = read::read_interactions(read::local(&find("interactions")?)?, books, &options)?.dataset;
    if dataset.axis() == TimeAxis::None {
        let message = format!("{}: ratings without timestamp or order cannot be replayed", folder.display());
        return Err(exit::coded(exit::BAD_INPUT, message));
    }
    let records: Vec<(ReaderId, BookId)> = dataset
        .interactions()
        .iter()
        .map(|row| {
            let reader = dataset.readers()[row.reader as usize].clone();
            (reader, dataset.catalogue().book(row.book).to_id())
        })
        .collect();
    let days = HISTORY_DAYS + LIVE_DAYS;
    let options = ReplayOptions { seed, days, start: first_day(), shift };
    let replay = Replay::new(dataset.catalogue().books().map(BookRef::to_book).collect(), &records, options);
    Ok(Box::new(replay.context("the ratings cannot be replayed")?))
}
