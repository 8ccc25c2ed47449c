//! Rows of who took up which book, into a data set.

use models::{Book, BookId, ReaderId};

use super::{Cell, Event, Input, MAX_FIELDS, Options, Quarantine, quarantine::Fault, stream};
use crate::{
    dataset::{Builder, Dataset, TimeAxis, check_not_empty},
    error::{Error, share},
};

/// The columns that are looked at, in the order of the cells.
const FIELDS: [&str; 7] = ["user_id", "session_id", "item_id", "timestamp", "order", "weight", "rating"];

/// How far past the run's time a row may lie: clocks differ, days do not.
const TOLERANCE_MS: i64 = 86_400_000;

/// What was read.
#[derive(Debug)]
pub struct Interactions {
    /// The accepted rows with their readers and books.
    pub dataset: Dataset,
    /// Rows seen.
    pub rows: u64,
    /// Exact repeats of reader, book and time that were dropped.
    pub duplicates: u64,
    /// Rows left out for their rating.
    pub below_rating: u64,
    /// Rows that were refused.
    pub bad: Quarantine,
}

/// Reads interactions from any number of files, streaming, and joins them with the listed `books`.
///
/// Columns: `item_id`, and `user_id` or (without it) `session_id`; optional `timestamp` (unix seconds or milliseconds,
/// RFC 3339), `order` (a rank in time, looked at without `timestamp`), `weight` (above 0) and `rating`; others are
/// ignored. Ids are text. All files must agree on which of the two times they have.
pub fn read_interactions(
    inputs: impl IntoIterator<Item = Result<Input, Error>>,
    books: Vec<Book>,
    options: &Options,
) -> Result<Interactions, Error> {
    share("max_bad_share", options.max_bad_share)?;
    let mut intake = Intake::new(options);
    for input in inputs {
        let input = input?;
        let name = input.name.clone();
        stream(input, &FIELDS, &mut |event| intake.take(&name, event))?;
    }
    intake.bad.check(intake.rows, options.max_bad_share)?;
    let mut builder = intake.builder.ok_or(Error::NothingToLearn)?;
    builder.list(books);
    let (dataset, duplicates) = builder.finish();
    check_not_empty(&dataset)?;
    let Intake { rows, below_rating, bad, .. } = intake;
    Ok(Interactions { dataset, rows, duplicates, below_rating, bad })
}

struct Intake {
    /// The latest acceptable time, unix milliseconds.
    latest: i64,
    min_rating: Option<f64>,
    axis: TimeAxis,
    /// Begun with the first file's columns.
    builder: Option<Builder>,
    rows: u64,
    below_rating: u64,
    bad: Quarantine,
}

/// A row that passed.
enum Taken {
    Row { reader: ReaderId, book: BookId, at: i64, weight: f32 },
    BelowRating,
}

impl Intake {
    fn new(options: &Options) -> Self {
        Self {
            latest: options.now.as_millisecond() + TOLERANCE_MS,
            min_rating: options.min_rating,
            axis: TimeAxis::None,
            builder: None,
            rows: 0,
            below_rating: 0,
            bad: Quarantine::default(),
        }
    }

    fn take(&mut self, name: &str, event: Event<'_>) -> Result<(), Error> {
        match event {
            Event::Columns(columns) => return self.columns(name, columns),
            Event::Row { line, cells } => match self.judge(cells) {
                Ok(Taken::Row { reader, book, at, weight }) => {
                    let builder = self.builder.as_mut().expect("columns come before rows");
                    builder.add(&reader, &book, at, weight);
                }
                Ok(Taken::BelowRating) => self.below_rating += 1,
                Err(fault) => self.bad.add(name, line, fault),
            },
            Event::Broken { line, expected, found } => self.bad.add(name, line, Fault::new("row", expected, &found)),
        }
        self.rows += 1;
        Ok(())
    }

    fn columns(&mut self, name: &str, columns: &[String]) -> Result<(), Error> {
        let has = |wanted: &str| columns.iter().any(|column| column == wanted);
        let missing = |expected| Error::MissingColumn { name: name.to_owned(), expected, found: columns.join(", ") };
        if !has("item_id") {
            return Err(missing("item_id"));
        }
        if !has("user_id") && !has("session_id") {
            return Err(missing("user_id or session_id"));
        }
        let axis = match () {
            () if has("timestamp") => TimeAxis::Clock,
            () if has("order") => TimeAxis::Order,
            () => TimeAxis::None,
        };
        if self.builder.is_some() && axis != self.axis {
            return Err(Error::MixedAxes { name: name.to_owned(), expected: self.axis.name(), found: axis.name() });
        }
        self.axis = axis;
        self.builder.get_or_insert_with(|| Builder::new(axis));
        Ok(())
    }

    fn judge(&self, cells: &[Cell<'_>; MAX_FIELDS]) -> Result<Taken, Fault> {
        let [user, session, item, timestamp, order, weight, rating, _] = cells;
        let by_session = *user == Cell::Missing && *session != Cell::Missing;
        let reader = if by_session { session.id("session_id") } else { user.id("user_id") }?;
        let book = item.id("item_id")?;
        let at = match self.axis {
            TimeAxis::Clock => {
                let at = timestamp.timestamp("timestamp")?;
                if at > self.latest {
                    return Err(Fault::new("timestamp", "at most a day after the run", &timestamp.shown()));
                }
                at
            }
            TimeAxis::Order => order.rank("order")?,
            TimeAxis::None => 0,
        };
        let above_zero = |weight: f32| weight.is_finite() && weight > 0.0;
        let weight = weight.number("weight", "a finite number above 0", above_zero)?.unwrap_or(1.0);
        let rating = rating.number("rating", "a finite number", f64::is_finite)?;
        match (rating, self.min_rating) {
            (Some(rating), Some(least)) if rating < least => Ok(Taken::BelowRating),
            _ => Ok(Taken::Row { reader, book, at, weight }),
        }
    }
}
