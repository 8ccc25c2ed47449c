//! CSV with a header, one record at a time.

use std::{borrow::Cow, io::Read};

use csv::{ByteRecord, ErrorKind, ReaderBuilder};

use super::{Cell, Event, MAX_FIELDS};
use crate::error::Error;

pub(super) fn stream(
    name: &str,
    reader: impl Read,
    wanted: &[&str],
    visit: &mut dyn FnMut(Event<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    // Flexible, so that a row with a field too many is one bad row and not the end of the file.
    let mut rows = ReaderBuilder::new().flexible(true).buffer_capacity(1 << 16).from_reader(reader);
    let header = rows.byte_headers().map_err(|error| failed(name, error))?;
    let columns: Vec<String> = header.iter().map(|column| String::from_utf8_lossy(column).trim().to_owned()).collect();
    if columns.is_empty() {
        return Err(Error::Empty { name: name.to_owned() });
    }
    visit(Event::Columns(&columns))?;
    let places: Vec<Option<usize>> =
        wanted.iter().map(|wanted| columns.iter().position(|column| column == wanted)).collect();
    let mut record = ByteRecord::new();
    while rows.read_byte_record(&mut record).map_err(|error| failed(name, error))? {
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() != columns.len() {
            let (expected, found) = (format!("{} fields", columns.len()), format!("{} fields", record.len()));
            visit(Event::Broken { line, expected, found })?;
            continue;
        }
        let cell = |field: usize| {
            let value = places.get(field).copied().flatten().and_then(|place| record.get(place));
            value.map_or(Cell::Missing, |value| Cell::Text(Cow::Borrowed(value)))
        };
        let cells: [Cell<'_>; MAX_FIELDS] = std::array::from_fn(cell);
        visit(Event::Row { line, cells: &cells })?;
    }
    Ok(())
}

fn failed(name: &str, error: csv::Error) -> Error {
    let words = error.to_string();
    match error.into_kind() {
        ErrorKind::Io(source) => Error::reading(name, source),
        _ => Error::Damaged { name: name.to_owned(), problem: words },
    }
}
