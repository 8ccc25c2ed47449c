//! Step 1: read what was pointed at, set bad rows aside, write down what was accepted.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use train::{Dataset, TimeAxis, read, snapshot::Snapshot};

use super::{Listener, Night, Note, heavy, object};
use crate::inputs;

/// What was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotFacts {
    /// Where from, as given.
    pub source: String,
    /// Digest of the accepted rows.
    pub sha256: String,
    /// What orders the rows: `clock`, `order` or `none`.
    pub axis: String,
    /// Rows seen.
    pub rows: u64,
    /// Accepted interactions.
    pub interactions: u64,
    /// Distinct readers.
    pub readers: u64,
    /// Books in the catalogue.
    pub books: u64,
    /// Exact repeats that were dropped.
    pub duplicates: u64,
    /// Rows left out for a low rating.
    pub below_rating: u64,
    /// Rows that were refused, here and in the catalogue.
    pub bad: u64,
    /// Time of the first interaction, where there is a clock.
    pub from: Option<Timestamp>,
    /// Time of the last one.
    pub to: Option<Timestamp>,
}

impl Night {
    pub(super) async fn snapshot(&self, listener: &Listener<'_>) -> anyhow::Result<()> {
        let options = read::Options { now: self.now, min_rating: self.min_rating, max_bad_share: self.max_bad_share };
        let items = match &self.items {
            Some(items) => {
                let files = inputs::open(items).await?;
                Some(heavy(|| read::read_items(files, &options))?)
            }
            None => None,
        };
        let (books, bad_items) = items.map_or_else(Default::default, |items| (items.books, items.bad));
        let mut files = Vec::new();
        for place in &self.interactions {
            files.push(inputs::open(place).await?);
        }
        let read = heavy(|| read::read_interactions(files.into_iter().flatten(), books, &options))?;
        let dataset = &read.dataset;
        let clock = |at: Option<i64>| {
            at.filter(|_| dataset.axis() == TimeAxis::Clock).and_then(|at| Timestamp::from_millisecond(at).ok())
        };
        let bad = read.bad.total + bad_items.total;
        let facts = SnapshotFacts {
            source: self.interactions.join(", "),
            sha256: dataset.digest(),
            axis: dataset.axis().name().to_owned(),
            rows: read.rows,
            interactions: dataset.interactions().len() as u64,
            readers: dataset.readers().len() as u64,
            books: dataset.catalogue().len() as u64,
            duplicates: read.duplicates,
            below_rating: read.below_rating,
            bad,
            from: clock(dataset.oldest()),
            to: clock(dataset.newest()),
        };
        let Snapshot { interactions, books } = heavy(|| train::snapshot::write(dataset));
        self.write(object::INTERACTIONS, interactions).await?;
        self.write(object::BOOKS, books).await?;
        if bad > 0 {
            self.write(object::QUARANTINE, read.bad.to_ndjson() + &bad_items.to_ndjson()).await?;
        }
        self.write_json(object::SNAPSHOT, &facts).await?;
        listener(Note::Said(facts.in_words()));
        Ok(())
    }

    /// The snapshot's data, as the first step wrote it.
    pub(super) async fn dataset(&self) -> anyhow::Result<Dataset> {
        let (interactions, books) = (self.read(object::INTERACTIONS).await?, self.read(object::BOOKS).await?);
        Ok(heavy(|| {
            train::snapshot::read(&format!("snapshot of run {}", self.run), &Snapshot { interactions, books })
        })?)
    }
}

impl SnapshotFacts {
    fn in_words(&self) -> String {
        let mut words =
            format!("{} interactions of {} readers with {} books", self.interactions, self.readers, self.books);
        for (count, what) in
            [(self.below_rating, "rated too low"), (self.duplicates, "repeated"), (self.bad, "refused and set aside")]
        {
            if count > 0 {
                write!(words, "; {count} {what}").expect("memory takes every write");
            }
        }
        words
    }
}
