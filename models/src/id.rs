//! Names: of books and readers (the catalogue's, opaque), of tenants, models, aliases and versions (ours, checked).
//!
//! Apart from everything else so that an identity can never be mistaken for a position: a [`BookId`] names a book for
//! ever, a [`BookRow`] is a place in one artefact's matrices and means nothing outside it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} {found:?}: expected {expected}")]
pub struct InvalidName {
    /// What kind of name it should have been.
    pub what: &'static str,
    /// The rule, in words.
    pub expected: &'static str,
    /// What was given, cut to 80 characters.
    pub found: String,
}

fn refuse(what: &'static str, expected: &'static str, found: &str) -> InvalidName {
    InvalidName { what, expected, found: found.chars().take(80).collect() }
}

/// The longest identifier of a book or a reader that is accepted, in bytes.
pub const MAX_ID_BYTES: usize = 256;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:expr, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.into())) } else { Err(refuse($what, $expected, text)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type!(
    /// A book, as the catalogue names it: opaque text of 1 to [`MAX_ID_BYTES`] bytes, never parsed as a number.
    BookId,
    "book id",
    OPAQUE,
    opaque
);
name_type!(
    /// A reader (or an anonymous session), as the catalogue names them: opaque text, never logged at info level.
    ReaderId,
    "reader id",
    OPAQUE,
    opaque
);
name_type!(
    /// A tenant of the platform: becomes a store prefix, a metric label and part of a Workflow name.
    ///
    /// ```
    /// assert!("acme-books".parse::<models::TenantName>().is_ok());
    /// for bad in ["", "ab", "Acme", "1shop", "shop-", "a/../b"] {
    ///     assert!(bad.parse::<models::TenantName>().is_err(), "{bad}");
    /// }
    /// ```
    TenantName,
    "tenant",
    "3 to 40 of a-z, 0-9 and -, beginning with a letter, not ending with -",
    |text| (3..=40).contains(&text.len()) && dns_label(text)
);
name_type!(
    /// A registered model's name within its tenant.
    ModelName,
    "model name",
    "1 to 40 of a-z, 0-9 and -, beginning with a letter, not ending with -",
    |text| (1..=40).contains(&text.len()) && dns_label(text)
);
name_type!(
    /// A name that points at exactly one version of a model: `staging`, `production`, `previous`, or one of your own.
    ///
    /// `latest` and `v<digits>` are reserved, so that no alias can be read as a version number.
    Alias,
    "alias",
    "1 to 40 of a-z, 0-9 and -, beginning with a letter, not ending with -, neither `latest` nor `v<digits>`",
    |text| {
        let version_like =
            text.strip_prefix('v').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
        (1..=40).contains(&text.len()) && dns_label(text) && text != "latest" && !version_like
    }
);

/// The rule of [`opaque`] in words.
pub(crate) const OPAQUE: &str = "1 to 256 bytes without control characters";

/// Whether a text may be an id of a book or a reader.
pub(crate) fn opaque(text: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn dns_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(|b| *b != b'-')
        && bytes.iter().all(plain)
}

impl Alias {
    /// The version that answers readers.
    pub fn production() -> Self {
        Self("production".into())
    }

    /// The version waiting for a person's decision, served as the canary.
    pub fn staging() -> Self {
        Self("staging".into())
    }

    /// The version `production` pointed at before, the target of a rollback.
    pub fn previous() -> Self {
        Self("previous".into())
    }
}

/// A position in one artefact's matrices, `0..n_books`. Meaningless outside that artefact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct BookRow(pub u32);

impl BookRow {
    /// The row as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A model version: an integer per model name, from 1, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Version(u32);

impl Version {
    /// The first version of every model.
    pub const FIRST: Self = Self(1);
    /// Above every version that will ever be.
    pub const MAX: Self = Self(u32::MAX);

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The version after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("fewer than 2^32 versions of one model"))
    }
}

impl TryFrom<u32> for Version {
    type Error = InvalidName;
    fn try_from(number: u32) -> Result<Self, InvalidName> {
        if number == 0 { Err(refuse("version", "an integer from 1", "0")) } else { Ok(Self(number)) }
    }
}

impl From<Version> for u32 {
    fn from(version: Version) -> u32 {
        version.0
    }
}

impl FromStr for Version {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let number = text.parse::<u32>().map_err(|_| refuse("version", "an integer from 1", text))?;
        Self::try_from(number)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_never_reads_as_a_version() {
        for bad in ["latest", "v1", "v42", "V1", "a b", "", "../x", "prod#1"] {
            assert!(bad.parse::<Alias>().is_err(), "{bad}");
        }
        for good in ["staging", "v", "v1a", "vip"] {
            assert!(good.parse::<Alias>().is_ok(), "{good}");
        }
    }

    #[test]
    fn book_ids_are_text_even_when_they_look_like_numbers() {
        let id: BookId = "007".parse().expect("three digits are text");
        assert_eq!(id.as_str(), "007");
        assert!("a\nb".parse::<BookId>().is_err());
        assert!("x".repeat(257).parse::<BookId>().is_err());
    }

    #[test]
    fn versions_start_at_one() {
        assert!("0".parse::<Version>().is_err());
        assert_eq!("7".parse::<Version>().expect("seven").next().get(), 8);
    }
}
