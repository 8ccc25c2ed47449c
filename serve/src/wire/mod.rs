//! What callers write, as JSON, bytes or messages: bytes to questions, answers to bytes. Protocol types stop here.
//!
//! JSON is read by typed visitors over the raw bytes, and nesting is limited before anything is parsed. Only the
//! attributes of CloudEvents, which may be any, become a tree of values.

pub(crate) mod binary;
pub(crate) mod claims;
pub mod cloudevent;
pub(crate) mod json;
pub(crate) mod outcome;
pub(crate) mod rules;
mod tensor;
pub(crate) mod v1;
pub(crate) mod v2;

use models::{BookId, ReaderId};
use serde::{Deserialize, Deserializer, de};

use crate::{
    config::{MAX_FEATURES, MAX_K, MAX_SENT_BOOKS},
    error::Refusal,
};

/// Books asked for when the caller does not say.
pub(crate) const DEFAULT_K: usize = 10;

/// An identifier: JSON text, or an integer, which is read as its decimal text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Id(String);

impl Id {
    fn book(&self) -> Result<BookId, Refusal> {
        self.0.parse().map_err(|error: models::InvalidName| Refusal::bad(error.to_string()))
    }

    fn reader(&self) -> Result<ReaderId, Refusal> {
        self.0.parse().map_err(|error: models::InvalidName| Refusal::bad(error.to_string()))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Id;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an id as text or integer")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Id, E> {
                Ok(Id(text.to_owned()))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Id, E> {
                Ok(Id(number.to_string()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Id, E> {
                Ok(Id(number.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A number of books as sent, before its range is looked at.
#[derive(Debug, Clone, Copy)]
struct Count(i128);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Count;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "an integer from 1 to {MAX_K}")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Count, E> {
                Ok(Count(number.into()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Count, E> {
                Ok(Count(number.into()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// How many books are wanted, if that is a number of books one can want.
pub(crate) fn check_k(k: i128) -> Result<usize, Refusal> {
    let fits = usize::try_from(k).ok().filter(|k| (1..=MAX_K).contains(k));
    fits.ok_or_else(|| Refusal::bad(format!("k: expected an integer from 1 to {MAX_K}, found {k}")))
}

fn check_books(what: &str, ids: &[Id]) -> Result<Vec<BookId>, Refusal> {
    if ids.len() > MAX_SENT_BOOKS {
        return Err(Refusal::bad(format!("{what}: expected at most {MAX_SENT_BOOKS} books, found {}", ids.len())));
    }
    ids.iter().map(Id::book).collect::<Result<_, _>>().map_err(|refusal| Refusal::bad(format!("{what}: {refusal}")))
}

/// Numbers of context as the records hold them, 32 bits wide.
fn check_features(features: &[f64]) -> Result<Vec<f32>, Refusal> {
    if features.len() > MAX_FEATURES {
        let words = format!("features: expected at most {MAX_FEATURES} numbers, found {}", features.len());
        return Err(Refusal::bad(words));
    }
    let narrow: Vec<f32> = features.iter().map(|value| *value as f32).collect();
    match narrow.iter().position(|value| !value.is_finite()) {
        Some(place) => Err(Refusal::bad(format!("features: number {place} is out of range for 32 bits"))),
        None => Ok(narrow),
    }
}

/// How the kill switch is wanted: `{"popular_only": true}`.
pub(crate) fn decode_kill_switch(body: &[u8]) -> Result<bool, Refusal> {
    #[derive(Deserialize)]
    struct Wanted {
        popular_only: bool,
    }
    Ok(json::object::<Wanted>(body)?.popular_only)
}

/// What the metadata says can be sent and is returned: name, datatype, shape.
pub(crate) type TensorSpec = (&'static str, &'static str, &'static [i64]);
