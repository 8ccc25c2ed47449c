//! Files to data: one row at a time, bad rows set aside with their reason, damaged files refused by name.
//!
//! The caller hands over named byte streams, so a store's objects and local files come in alike; [`local`] opens files
//! and folders. The name decides the format: `.csv`, `.ndjson` or `.jsonl` (each also `.gz` or `.zst`), `.parquet`.

mod csv;
mod fields;
mod interactions;
mod items;
mod ndjson;
mod parquet;
mod quarantine;

use std::{
    borrow::Cow,
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

pub use interactions::{Interactions, read_interactions};
pub use items::{Items, read_items};
pub use quarantine::{BadRow, MAX_KEPT, Quarantine};

use crate::error::Error;

/// A named stream of bytes; the name decides the format and appears in every message.
pub struct Input {
    /// Path, key or URL, ending in a format we read.
    pub name: String,
    /// The bytes, compressed if the name says so.
    pub reader: Box<dyn Read + Send>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Input {
    /// Names a stream.
    pub fn new(name: impl Into<String>, reader: impl Read + Send + 'static) -> Self {
        Self { name: name.into(), reader: Box::new(reader) }
    }
}

/// What counts as bad, and how much of it is borne.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The time of the run. Rows later than a day after it are bad.
    pub now: jiff::Timestamp,
    /// Rows rated below this are left out; they are not bad. Rows without a rating are kept.
    pub min_rating: Option<f64>,
    /// Share of bad rows above which reading fails, in `[0, 1]`.
    pub max_bad_share: f64,
}

impl Options {
    /// One bad row in a hundred is borne, ratings are not looked at.
    pub fn at(now: jiff::Timestamp) -> Self {
        Self { now, min_rating: None, max_bad_share: 0.01 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Format {
    Csv,
    Ndjson,
    Parquet,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// Whether a file of this name can be read.
pub fn is_supported(name: &str) -> bool {
    format_of(name).is_some()
}

fn format_of(name: &str) -> Option<(Format, Packing)> {
    let name = name.to_ascii_lowercase();
    let (stem, packing) = match name.rsplit_once('.')? {
        (stem, "gz") => (stem, Packing::Gzip),
        (stem, "zst") => (stem, Packing::Zstd),
        _ => (name.as_str(), Packing::Plain),
    };
    match stem.rsplit_once('.')?.1 {
        "csv" => Some((Format::Csv, packing)),
        "ndjson" | "jsonl" => Some((Format::Ndjson, packing)),
        "parquet" if packing == Packing::Plain => Some((Format::Parquet, packing)),
        _ => None,
    }
}

/// A local file, or all supported files below a folder in order of their paths; each is opened when its turn comes.
///
/// In folders, names beginning with `.` or `_` and other formats are passed over. A folder without any supported file
/// is an error.
pub fn local(path: &Path) -> Result<impl Iterator<Item = Result<Input, Error>> + use<>, Error> {
    let name = path.display().to_string();
    let mut files = Vec::new();
    let metadata = std::fs::metadata(path).map_err(|source| Error::Unreadable { name: name.clone(), source })?;
    if metadata.is_dir() {
        collect(path, &mut files)?;
        files.sort();
        if files.is_empty() {
            return Err(Error::Empty { name });
        }
    } else {
        files.push(path.to_owned());
    }
    Ok(files.into_iter().map(|path| {
        let name = path.display().to_string();
        let file = File::open(&path).map_err(|source| Error::Unreadable { name: name.clone(), source })?;
        Ok(Input::new(name, file))
    }))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let unreadable = |source| Error::Unreadable { name: folder.display().to_string(), source };
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(['.', '_']) {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else if is_supported(&name) {
            files.push(path);
        }
    }
    Ok(())
}

/// The most columns a kind of file is read for.
const MAX_FIELDS: usize = 8;

/// One value of a row, before it is judged.
#[derive(Debug, Clone, PartialEq)]
enum Cell<'a> {
    /// Not there, or null.
    Missing,
    /// Text, or a number as text. Bytes, because a CSV file may hold anything.
    Text(Cow<'a, [u8]>),
    /// A list of texts.
    List(Vec<String>),
    /// True or false, where the format has them.
    Flag(bool),
    /// Something no column of ours holds, as text.
    Other(String),
}

/// What a file's reader reports, in order: its columns once, then each row.
enum Event<'a> {
    /// The names of the columns.
    Columns(&'a [String]),
    /// The values of the wanted columns, in the order they were asked for.
    Row { line: u64, cells: &'a [Cell<'a>; MAX_FIELDS] },
    /// A row that cannot be taken apart.
    Broken { line: u64, expected: String, found: String },
}

/// Streams one file: unpacks it, takes it apart and reports what it finds. A file without rows is an error.
fn stream(input: Input, wanted: &[&str], visit: &mut dyn FnMut(Event<'_>) -> Result<(), Error>) -> Result<(), Error> {
    let Input { name, reader } = input;
    let (format, packing) = format_of(&name).ok_or_else(|| Error::UnknownFormat { name: name.clone() })?;
    let buffered = BufReader::with_capacity(1 << 16, reader);
    let reader: Box<dyn Read> = match packing {
        Packing::Plain => Box::new(buffered),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(buffered)),
        Packing::Zstd => {
            Box::new(zstd::Decoder::with_buffer(buffered).map_err(|source| Error::reading(&name, source))?)
        }
    };
    let mut rows = 0_u64;
    let mut counted = |event: Event<'_>| {
        rows += u64::from(!matches!(event, Event::Columns(_)));
        visit(event)
    };
    match format {
        Format::Csv => csv::stream(&name, reader, wanted, &mut counted)?,
        Format::Ndjson => ndjson::stream(&name, reader, wanted, &mut counted)?,
        Format::Parquet => parquet::stream(&name, reader, wanted, &mut counted)?,
    }
    if rows == 0 { Err(Error::Empty { name }) } else { Ok(()) }
}

#[cfg(test)]
#[expect(clippy::needless_raw_string_hashes, reason = "golden texts are updated by a tool that writes them so")]
mod tests;
