//! Days of purchases as files that training reads: `interactions.csv.gz` and `items.ndjson.gz`.
//!
//! The bytes depend on the readers only: gzip headers carry no time, rows follow time, books follow the catalogue.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use jiff::Timestamp;
use models::Book;

use super::{Day, Readers, Visit};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Purchases: `user_id,item_id,timestamp`.
    pub interactions: PathBuf,
    /// Books, one JSON object a line.
    pub items: PathBuf,
    /// Number of purchases.
    pub rows: u64,
    /// Time of the first and of the last purchase; `None` when there were none.
    pub span: Option<(Timestamp, Timestamp)>,
}

/// Writes the next `days` days of `readers` (fewer if they end) and the whole catalogue into `folder`, made if missing.
pub fn write_history(readers: &mut dyn Readers, days: u32, folder: &Path) -> io::Result<Written> {
    let days: Vec<Day> = (0..days).map_while(|_| readers.next_day()).collect();
    write(readers.catalogue(), days.iter().flat_map(|day| &day.visits), folder)
}

/// Writes the purchases among `visits`, in the order given, and the catalogue into `folder`, made if missing.
pub fn write<'a>(
    catalogue: &[Book],
    visits: impl IntoIterator<Item = &'a Visit>,
    folder: &Path,
) -> io::Result<Written> {
    std::fs::create_dir_all(folder)?;
    let items = folder.join("items.ndjson.gz");
    let mut out = gzip(&items)?;
    for book in catalogue {
        serde_json::to_writer(&mut out, book)?;
        out.write_all(b"\n")?;
    }
    close(out)?;

    let interactions = folder.join("interactions.csv.gz");
    let mut out = csv::Writer::from_writer(gzip(&interactions)?);
    out.write_record(["user_id", "item_id", "timestamp"])?;
    let (mut rows, mut span) = (0, None);
    for visit in visits {
        let Some(book) = &visit.purchase else { continue };
        out.write_record([visit.reader.as_str(), book.as_str(), &visit.at.to_string()])?;
        rows += 1;
        span = Some((span.map_or(visit.at, |(first, _)| first), visit.at));
    }
    close(out.into_inner().map_err(csv::IntoInnerError::into_error)?)?;
    Ok(Written { interactions, items, rows, span })
}

fn gzip(path: &Path) -> io::Result<GzEncoder<BufWriter<File>>> {
    Ok(GzBuilder::new().mtime(0).write(BufWriter::new(File::create(path)?), Compression::default()))
}

/// Ends the gzip stream and hands the last bytes to the file.
fn close(out: GzEncoder<BufWriter<File>>) -> io::Result<()> {
    out.finish()?.flush()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::simulate::{World, WorldOptions};

    fn world() -> World {
        let start = "2026-01-05T00:00:00Z".parse().unwrap();
        World::new(WorldOptions { n_books: 200, n_readers: 20, visits_per_day: 30.0, ..WorldOptions::small(7, start) })
            .unwrap()
    }

    fn text(path: &Path) -> String {
        let mut text = String::new();
        flate2::read::GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn the_same_readers_are_the_same_bytes() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = write_history(&mut world(), 3, one.path()).unwrap();
        let second = write_history(&mut world(), 3, two.path()).unwrap();
        for (a, b) in [(&first.interactions, &second.interactions), (&first.items, &second.items)] {
            assert_eq!(std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
        }
    }

    #[test]
    fn every_purchase_is_a_row_and_every_book_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let written = write_history(&mut world(), 3, folder.path()).unwrap();
        let mut again = world();
        let days: Vec<Day> = (0..3).filter_map(|_| again.next_day()).collect();
        let bought: Vec<&Visit> = days.iter().flat_map(|day| &day.visits).filter(|v| v.purchase.is_some()).collect();
        let rows = text(&written.interactions);
        assert_eq!(rows.lines().next(), Some("user_id,item_id,timestamp"));
        assert_eq!(rows.lines().count(), bought.len() + 1);
        assert_eq!(written.rows, bought.len() as u64);
        assert_eq!(written.span, Some((bought[0].at, bought.last().unwrap().at)));
        let last: Vec<&str> = rows.lines().last().unwrap().split(',').collect();
        assert_eq!(last[2].parse::<Timestamp>().unwrap(), bought.last().unwrap().at);
        let books: Vec<Book> = text(&written.items).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(books, again.catalogue());
    }
}
