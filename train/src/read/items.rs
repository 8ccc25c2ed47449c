//! Rows of the catalogue, into books.

use std::collections::BTreeMap;

use models::{Book, BookId};

use super::{Cell, Event, Input, MAX_FIELDS, Options, Quarantine, quarantine::Fault, stream};
use crate::error::{Error, share};

/// The columns that are looked at, in the order of the cells.
const FIELDS: [&str; 8] = ["item_id", "title", "authors", "subjects", "language", "year", "price", "available"];

/// What was read.
#[derive(Debug)]
pub struct Items {
    /// The books by ascending id, each once.
    pub books: Vec<Book>,
    /// Rows seen.
    pub rows: u64,
    /// Rows that were replaced by a later row of the same id.
    pub duplicates: u64,
    /// Rows that were refused.
    pub bad: Quarantine,
}

/// Reads a list of books from any number of files. Only `item_id` is required; of rows with one id the last wins.
///
/// Text of `authors` is divided at `", "`, `;` and `|`, text of `subjects` at `;` and `|`; both may be lists.
/// `available` is true, false, 1 or 0 and true when absent.
pub fn read_items(inputs: impl IntoIterator<Item = Result<Input, Error>>, options: &Options) -> Result<Items, Error> {
    share("max_bad_share", options.max_bad_share)?;
    let mut books: BTreeMap<BookId, Book> = BTreeMap::new();
    let (mut rows, mut duplicates, mut bad) = (0, 0, Quarantine::default());
    for input in inputs {
        let input = input?;
        let name = input.name.clone();
        stream(input, &FIELDS, &mut |event| {
            match event {
                Event::Columns(columns) if columns.iter().any(|column| column == "item_id") => return Ok(()),
                Event::Columns(columns) => {
                    let found = columns.join(", ");
                    return Err(Error::MissingColumn { name: name.clone(), expected: "item_id", found });
                }
                Event::Row { line, cells } => match book(cells) {
                    Ok(book) => duplicates += u64::from(books.insert(book.item_id.clone(), book).is_some()),
                    Err(fault) => bad.add(&name, line, fault),
                },
                Event::Broken { line, expected, found } => bad.add(&name, line, Fault::new("row", expected, &found)),
            }
            rows += 1;
            Ok(())
        })?;
    }
    bad.check(rows, options.max_bad_share)?;
    Ok(Items { books: books.into_values().collect(), rows, duplicates, bad })
}

fn book(cells: &[Cell<'_>; MAX_FIELDS]) -> Result<Book, Fault> {
    let [item_id, title, authors, subjects, language, year, price, available] = cells;
    // Tools that know no missing integers write years with a fraction of zero.
    let whole = |year: f64| year.fract() == 0.0 && year.abs() < 1e5;
    Ok(Book {
        item_id: item_id.id("item_id")?,
        title: title.optional_text("title")?,
        authors: authors.list("authors", &[", ", ";", "|"])?,
        subjects: subjects.list("subjects", &[";", "|"])?,
        language: language.optional_text("language")?,
        year: year.number("year", "a whole number", whole)?.map(|year| year as i32),
        price: price.number("price", "a finite number from 0", |price: f64| price.is_finite() && price >= 0.0)?,
        available: available.flag("available")?.unwrap_or(true),
    })
}
