//! A data set as bytes and back: how one step hands its data to the next.
//!
//! Two objects: the interactions as Parquet, the listed books as NDJSON. Equal data sets give equal bytes.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray,
    cast::AsArray,
    types::{Float32Type, Int64Type},
};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use jiff::Timestamp;
use models::{Book, BookId, ReaderId};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ZstdLevel},
    file::{metadata::KeyValue, properties::WriterProperties},
};

use crate::{
    dataset::{Builder, Dataset, TimeAxis},
    error::Error,
};

/// Metadata key of the time axis.
const AXIS_KEY: &str = "bookloop.axis";
/// Rows converted at a time.
const BATCH_ROWS: usize = 65_536;

/// A data set as two objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Parquet with columns `user_id`, `item_id`, `at` (null without a time axis) and `weight`.
    pub interactions: Bytes,
    /// NDJSON, one listed book a line, by ascending id.
    pub books: Bytes,
}

/// Writes a data set down.
pub fn write(dataset: &Dataset) -> Snapshot {
    let mut books = Vec::new();
    for book in dataset.listed_books() {
        serde_json::to_writer(&mut books, &book.to_book())
            .expect("a book is always JSON, and memory takes every write");
        books.push(b'\n');
    }
    Snapshot { interactions: interactions(dataset), books: books.into() }
}

fn interactions(dataset: &Dataset) -> Bytes {
    let never = "a batch of matching columns is written to memory";
    let schema = Arc::new(Schema::new(vec![
        Field::new("user_id", DataType::Utf8, false),
        Field::new("item_id", DataType::Utf8, false),
        Field::new("at", DataType::Int64, true),
        Field::new("weight", DataType::Float32, false),
    ]));
    let axis = KeyValue::new(AXIS_KEY.to_owned(), dataset.axis().name().to_owned());
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by("bookloop".to_owned())
        .set_key_value_metadata(Some(vec![axis]))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties)).expect(never);
    for rows in dataset.interactions().chunks(BATCH_ROWS) {
        let timed = dataset.axis() != TimeAxis::None;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|row| dataset.readers()[row.reader as usize].as_str()),
            )),
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|row| dataset.catalogue().book(row.book).item_id()),
            )),
            Arc::new(rows.iter().map(|row| timed.then_some(row.at)).collect::<Int64Array>()),
            Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.weight))),
        ];
        let batch = RecordBatch::try_new(schema.clone(), columns).expect(never);
        writer.write(&batch).expect(never);
    }
    writer.into_inner().expect(never).into()
}

/// Sales as Parquet that [`crate::read`] takes: columns `user_id`, `item_id`, `timestamp` (unix milliseconds).
///
/// The same rows in the same order give the same bytes.
pub fn daily(sales: &[(ReaderId, BookId, Timestamp)]) -> Bytes {
    let never = "a batch of matching columns is written to memory";
    let schema = Arc::new(Schema::new(vec![
        Field::new("user_id", DataType::Utf8, false),
        Field::new("item_id", DataType::Utf8, false),
        Field::new("timestamp", DataType::Int64, false),
    ]));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by("bookloop".to_owned())
        .build();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(sales.iter().map(|(reader, ..)| reader.as_str()))),
        Arc::new(StringArray::from_iter_values(sales.iter().map(|(_, book, _)| book.as_str()))),
        Arc::new(Int64Array::from_iter_values(sales.iter().map(|(.., at)| at.as_millisecond()))),
    ];
    let batch = RecordBatch::try_new(schema.clone(), columns).expect(never);
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).expect(never);
    writer.write(&batch).expect(never);
    writer.into_inner().expect(never).into()
}

/// Reads a data set back; `name` stands for the snapshot in messages.
pub fn read(name: &str, snapshot: &Snapshot) -> Result<Dataset, Error> {
    let damaged = |problem: String| Error::Damaged { name: name.to_owned(), problem };
    let builder = ParquetRecordBatchReaderBuilder::try_new(snapshot.interactions.clone())
        .map_err(|error| damaged(error.to_string()))?;
    let metadata = builder.metadata().file_metadata().key_value_metadata();
    let axis = metadata.into_iter().flatten().find(|entry| entry.key == AXIS_KEY).and_then(|e| e.value.as_deref());
    let axis = match axis {
        Some("clock") => TimeAxis::Clock,
        Some("order") => TimeAxis::Order,
        Some("none") => TimeAxis::None,
        other => return Err(damaged(format!("time axis: expected clock, order or none, found {other:?}"))),
    };
    let mut dataset = Builder::new(axis);
    for batch in builder.build().map_err(|error| damaged(error.to_string()))? {
        add(&mut dataset, &batch.map_err(|error| damaged(error.to_string()))?).map_err(damaged)?;
    }
    for line in snapshot.books.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let book: Book = serde_json::from_slice(line).map_err(|error| damaged(format!("book: {error}")))?;
        dataset.list([book]);
    }
    Ok(dataset.finish().0)
}

fn add(dataset: &mut Builder, batch: &RecordBatch) -> Result<(), String> {
    let column = |name: &str, kind: &DataType| {
        let column = batch.column_by_name(name).filter(|column| column.data_type() == kind);
        column.ok_or_else(|| format!("column {name}: expected {kind}, found none"))
    };
    let readers = column("user_id", &DataType::Utf8)?.as_string::<i32>();
    let books = column("item_id", &DataType::Utf8)?.as_string::<i32>();
    let times = column("at", &DataType::Int64)?.as_primitive::<Int64Type>();
    let weights = column("weight", &DataType::Float32)?.as_primitive::<Float32Type>();
    for row in 0..batch.num_rows() {
        let reader = readers.value(row).parse().map_err(|error| format!("row {row}: {error}"))?;
        let book = books.value(row).parse().map_err(|error| format!("row {row}: {error}"))?;
        let weight = weights.value(row);
        if !(weight.is_finite() && weight > 0.0) {
            return Err(format!("row {row}: weight: expected a finite number above 0, found {weight}"));
        }
        dataset.add(&reader, &book, if times.is_valid(row) { times.value(row) } else { 0 }, weight);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::tests::toy;

    fn with_books(axis: TimeAxis) -> Dataset {
        let mut builder = Builder::new(axis);
        let mut listed = Book::bare("emma".parse().unwrap());
        listed.title = Some("Emma".to_owned());
        builder.list([listed, Book::bare("unread".parse().unwrap())]);
        for (reader, book, at, weight) in [("ann", "emma", 3, 0.5), ("bob", "dune", 2, 1.0), ("ann", "dune", 9, 2.0)] {
            builder.add(&reader.parse().unwrap(), &book.parse().unwrap(), at, weight);
        }
        builder.finish().0
    }

    #[test]
    fn what_is_written_is_read_back() {
        for axis in [TimeAxis::Clock, TimeAxis::Order, TimeAxis::None] {
            let dataset = with_books(axis);
            let snapshot = write(&dataset);
            let back = read("snapshot", &snapshot).unwrap();
            assert_eq!(back.axis(), axis);
            assert_eq!(back.interactions(), dataset.interactions());
            assert_eq!((back.digest(), back.readers()), (dataset.digest(), dataset.readers()));
            assert!(back.catalogue().books().eq(dataset.catalogue().books()));
            assert_eq!(write(&back), snapshot, "equal data, equal bytes");
        }
    }

    #[test]
    fn a_damaged_snapshot_is_refused_by_name() {
        let whole = write(&toy(TimeAxis::Order, "ann: dune"));
        let cut = Snapshot { interactions: whole.interactions.slice(..whole.interactions.len() / 2), ..whole.clone() };
        let broken_books = Snapshot { books: Bytes::from_static(b"{\"item_id\": 1}\n"), ..whole };
        for damaged in [cut, broken_books] {
            let error = read("nightly/data", &damaged).unwrap_err();
            assert!(matches!(&error, Error::Damaged { name, .. } if name == "nightly/data"), "{error}");
        }
    }
}
