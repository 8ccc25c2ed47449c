//! Parquet: only the wanted columns, a batch at a time.
//!
//! Numbers become text and are judged like text of the other formats, so that one rule holds for all.

use std::{borrow::Cow, io::Read};

use arrow_array::{Array, ArrayRef, StringArray, cast::AsArray, types::Int64Type};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, TimeUnit};
use bytes::Bytes;
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

use super::{Cell, Event, MAX_FIELDS};
use crate::error::Error;

pub(super) fn stream(
    name: &str,
    mut reader: impl Read,
    wanted: &[&str],
    visit: &mut dyn FnMut(Event<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    // The table of contents is at the end, so the whole file is needed at once.
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|source| Error::reading(name, source))?;
    if bytes.is_empty() {
        return Err(Error::Empty { name: name.to_owned() });
    }
    let damaged = |problem: String| Error::Damaged { name: name.to_owned(), problem };
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).map_err(|error| damaged(error.to_string()))?;
    let columns: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    visit(Event::Columns(&columns))?;
    let roots = columns.iter().enumerate().filter(|(_, column)| wanted.contains(&column.as_str()));
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots.map(|(place, _)| place));
    let batches = builder.with_projection(mask).build().map_err(|error| damaged(error.to_string()))?;
    let mut line = 0;
    for batch in batches {
        let batch = batch.map_err(|error| damaged(error.to_string()))?;
        let column = |field: &&str| batch.column_by_name(field).map(Column::new).transpose();
        let columns: Vec<Option<Column>> =
            wanted.iter().map(column).collect::<Result<_, _>>().map_err(|error| damaged(error.to_string()))?;
        for row in 0..batch.num_rows() {
            line += 1;
            let cell =
                |field: usize| columns.get(field).and_then(Option::as_ref).map_or(Cell::Missing, |c| c.cell(row));
            let cells: [Cell<'_>; MAX_FIELDS] = std::array::from_fn(cell);
            visit(Event::Row { line, cells: &cells })?;
        }
    }
    Ok(())
}

/// A column in the shape its cells are made from.
enum Column {
    /// Text, or numbers as text.
    Texts(StringArray),
    /// Lists of text.
    Lists(ArrayRef),
    /// True or false.
    Flags(ArrayRef),
    /// A type that no column of ours has.
    Other(DataType),
}

impl Column {
    fn new(array: &ArrayRef) -> Result<Self, ArrowError> {
        let texts = |array: &ArrayRef| Ok(Self::Texts(cast(array, &DataType::Utf8)?.as_string::<i32>().clone()));
        match array.data_type() {
            DataType::Boolean => Ok(Self::Flags(array.clone())),
            DataType::List(_) => {
                let lists = DataType::new_list(DataType::Utf8, true);
                Ok(Self::Lists(cast(array, &lists)?))
            }
            DataType::Timestamp(_, zone) => {
                let exact = cast(array, &DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))?;
                let millis = cast(&exact, &DataType::Int64)?;
                // With a decimal point and below the year 5138 a number reads as seconds, whatever its size.
                let seconds =
                    |ms: i64| format!("{}{}.{:03}", if ms < 0 { "-" } else { "" }, ms.abs() / 1000, ms.abs() % 1000);
                Ok(Self::Texts(millis.as_primitive::<Int64Type>().iter().map(|ms| ms.map(seconds)).collect()))
            }
            kind if kind.is_integer() || kind.is_floating() => texts(array),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(_, _) => texts(array),
            other => Ok(Self::Other(other.clone())),
        }
    }

    fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Self::Texts(texts) if texts.is_valid(row) => Cell::Text(Cow::Borrowed(texts.value(row).as_bytes())),
            Self::Lists(lists) if lists.is_valid(row) => {
                let list = lists.as_list::<i32>().value(row);
                Cell::List(list.as_string::<i32>().iter().flatten().map(str::to_owned).collect())
            }
            Self::Flags(flags) if flags.is_valid(row) => Cell::Flag(flags.as_boolean().value(row)),
            Self::Other(kind) => Cell::Other(format!("a value of type {kind}")),
            Self::Texts(_) | Self::Lists(_) | Self::Flags(_) => Cell::Missing,
        }
    }
}
