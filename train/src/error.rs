//! Why training stopped, cut by what the caller does next: correct the data, try again, correct the settings, or
//! report a bug.

use std::io;

use crate::read::BadRow;

/// What the caller does about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The data must be corrected; repeating with the same files cannot help.
    BadInput,
    /// Something could not be reached or read; repeating may help.
    Unavailable,
    /// A setting is out of range; choose another.
    Settings,
    /// A promise inside this crate was broken; please report it.
    Bug,
}

/// Why reading, splitting or fitting stopped. See [`Error::kind`] for the next step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be opened or read.
    #[error("cannot read {name}")]
    Unreadable {
        /// The file, as the caller named it.
        name: String,
        /// What the operating system or the store said.
        #[source]
        source: io::Error,
    },
    /// The file's bytes are not what its name promises: cut short, not compressed, not Parquet.
    #[error("{name} is damaged: {problem}")]
    Damaged {
        /// The file, as the caller named it.
        name: String,
        /// What was found wrong.
        problem: String,
    },
    /// The file has no rows, or there is no file.
    #[error("{name} has no rows")]
    Empty {
        /// The file or folder, as the caller named it.
        name: String,
    },
    /// The file's name does not end as one of the formats we read.
    #[error("{name}: unknown format. expected=.csv, .ndjson, .jsonl (each also .gz, .zst) or .parquet")]
    UnknownFormat {
        /// The file, as the caller named it.
        name: String,
    },
    /// A column we need is not in the header, the first object or the schema.
    #[error("{name}: missing column. expected={expected} found={found}")]
    MissingColumn {
        /// The file, as the caller named it.
        name: String,
        /// The column or columns that would do.
        expected: &'static str,
        /// The columns it has, joined by commas.
        found: String,
    },
    /// Two files of one data set order their rows in different ways.
    #[error("{name}: another time axis than the files before it. expected={expected} found={found}")]
    MixedAxes {
        /// The first file that differs.
        name: String,
        /// The axis of the files before.
        expected: &'static str,
        /// The axis of this file.
        found: &'static str,
    },
    /// More rows were refused than the caller allows.
    #[error("too many bad rows. bad={bad} rows={rows} allowed_share={allowed_share}{}", examples_in_words(.examples))]
    TooManyBadRows {
        /// Rows refused.
        bad: u64,
        /// Rows seen.
        rows: u64,
        /// The share that was allowed.
        allowed_share: f64,
        /// The first three refused rows.
        examples: Vec<BadRow>,
    },
    /// The data cannot be divided into a past and a future that both hold something.
    #[error("cannot split: {0}")]
    CannotSplit(String),
    /// There is not one interaction to learn from.
    #[error("nothing to learn from: no interactions")]
    NothingToLearn,
    /// A setting is out of its range.
    #[error("setting {field}: expected {expected}, found {found}")]
    Setting {
        /// The setting at fault.
        field: &'static str,
        /// Its range, in words.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// A fitted model broke the artefact's rules: a bug of ours.
    #[error("fitted model is malformed")]
    Malformed(#[from] models::artifact::Malformed),
    /// The eigenvalue routine gave up, which a finite symmetric matrix does not make it do.
    #[error("eigendecomposition failed: {0}")]
    Eigen(String),
}

fn examples_in_words(examples: &[BadRow]) -> String {
    examples.iter().flat_map(|row| ["; ".to_owned(), row.to_string()]).collect()
}

impl Error {
    /// What the caller does next.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Unreadable { .. } => Kind::Unavailable,
            Self::Damaged { .. }
            | Self::Empty { .. }
            | Self::UnknownFormat { .. }
            | Self::MissingColumn { .. }
            | Self::MixedAxes { .. }
            | Self::TooManyBadRows { .. }
            | Self::CannotSplit(_)
            | Self::NothingToLearn => Kind::BadInput,
            Self::Setting { .. } => Kind::Settings,
            Self::Malformed(_) | Self::Eigen(_) => Kind::Bug,
        }
    }

    /// A failure while reading `name`: damage when the bytes themselves are at fault, unavailability otherwise.
    pub(crate) fn reading(name: &str, source: io::Error) -> Self {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        match source.kind() {
            UnexpectedEof => Self::Damaged { name: name.to_owned(), problem: format!("it ends too early ({source})") },
            // zstd reports a broken frame as `Other`, with nothing from the operating system behind it.
            InvalidData | InvalidInput => Self::Damaged { name: name.to_owned(), problem: source.to_string() },
            io::ErrorKind::Other if source.raw_os_error().is_none() && name.to_lowercase().ends_with("zst") => {
                Self::Damaged { name: name.to_owned(), problem: source.to_string() }
            }
            _ => Self::Unreadable { name: name.to_owned(), source },
        }
    }
}

/// `value` if it is finite and above zero, else the setting's error.
pub(crate) fn positive(field: &'static str, value: f64) -> Result<f64, Error> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(Error::Setting { field, expected: "a finite number above 0", found: value.to_string() })
}

/// `value` if it lies in `[0, 1]`, else the setting's error.
pub(crate) fn share(field: &'static str, value: f64) -> Result<f64, Error> {
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    Err(Error::Setting { field, expected: "a number in [0, 1]", found: value.to_string() })
}
