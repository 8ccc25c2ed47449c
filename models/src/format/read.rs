//! The parts of a file as arrays, and the arrays as a model.

use std::rc::Rc;

use bytes::Bytes;
use ndarray::Array1;
use safetensors::SafeTensors;

use super::{Error, ScorerHead, member};
use crate::{
    artifact::{Factors, Malformed, Neighbours, Scorer, malformed},
    blend::{Blend, Member},
    catalogue::Catalogue,
    readers::Readers,
    sessions::Sessions,
    shared::{Shared, Stored},
    spectral::Spectral,
    texts::{Lists, Texts},
};

/// Typed access to the parts of a file.
pub(super) struct Parts<'a> {
    bytes: &'a Bytes,
    tensors: Rc<SafeTensors<'a>>,
    /// What stands before the names of a blend's members.
    prefix: String,
}

impl<'a> Parts<'a> {
    pub fn new(bytes: &'a Bytes) -> Result<Self, Error> {
        Ok(Self { bytes, tensors: Rc::new(SafeTensors::deserialize(bytes)?), prefix: String::new() })
    }

    /// The parts of a blend's member.
    fn of_member(&self, number: usize) -> Self {
        Self { bytes: self.bytes, tensors: Rc::clone(&self.tensors), prefix: member(number) }
    }

    /// A part's values, in place where the machine can read them there.
    pub fn array<T: Stored>(&self, name: &'static str) -> Result<Shared<T>, Malformed> {
        let tensor =
            self.tensors.tensor(&format!("{}{name}", self.prefix)).map_err(|_| malformed(name, "present", "absent"))?;
        if tensor.dtype() != T::DTYPE {
            return Err(malformed(name, format!("{:?}", T::DTYPE), format!("{:?}", tensor.dtype())));
        }
        let bytes = self.bytes.slice_ref(tensor.data());
        let n_bytes = bytes.len();
        Shared::from_stored(bytes).ok_or_else(|| malformed(name, "whole values", format!("{n_bytes} bytes")))
    }

    fn texts(&self, offsets: &'static str, text: &'static str) -> Result<Texts, Malformed> {
        Texts::new(text, self.array(offsets)?, self.array(text)?)
    }
}

pub(super) fn catalogue(parts: &Parts<'_>) -> Result<Catalogue, Malformed> {
    let authors = parts.texts("catalogue.author.offsets", "catalogue.author.text")?;
    let subjects = parts.texts("catalogue.subject.offsets", "catalogue.subject.text")?;
    let columns = Catalogue {
        ids: parts.texts("catalogue.ids.offsets", "catalogue.ids.text")?,
        flags: parts.array("catalogue.flags")?,
        titles: parts.texts("catalogue.titles.offsets", "catalogue.titles.text")?,
        authors: Lists::new("catalogue.authors", parts.array("catalogue.authors")?, authors)?,
        subjects: Lists::new("catalogue.subjects", parts.array("catalogue.subjects")?, subjects)?,
        languages: parts.texts("catalogue.languages.offsets", "catalogue.languages.text")?,
        years: parts.array("catalogue.years")?,
        prices: parts.array("catalogue.prices")?,
    };
    columns.checked()
}

pub(super) fn readers(parts: &Parts<'_>) -> Result<Readers, Malformed> {
    let ids = parts.texts("readers.ids.offsets", "readers.ids.text")?;
    let (by_id, offsets) = (parts.array("readers.by_id")?, parts.array("readers.offsets")?);
    Readers::from_parts(ids, by_id, offsets, parts.array("readers.rows")?)
}

pub(super) fn scorer(parts: &Parts<'_>, head: &ScorerHead, n_books: usize) -> Result<Scorer, Error> {
    match head.family.as_str() {
        "popularity" => Ok(Scorer::Popularity),
        "neighbours" => Ok(Scorer::Neighbours(neighbours(parts, n_books)?)),
        "factors" => {
            let objective = head.objective.ok_or_else(|| malformed("objective", "present for factors", "absent"))?;
            let eigenvalues = Array1::from(parts.array::<f32>("factors.eigenvalues")?.to_vec());
            let books = parts.array("factors.books")?;
            Ok(Scorer::Factors(Factors::from_parts(n_books, books, eigenvalues, objective)?))
        }
        "spectral" => {
            let (sources, targets) = (parts.array("spectral.sources")?, parts.array("spectral.targets")?);
            let q = sources.len() / n_books.max(1);
            Ok(Scorer::Spectral(Spectral::from_parts(neighbours(parts, n_books)?, sources, targets, q)?))
        }
        "sessions" => {
            let walk = head.walk.ok_or_else(|| malformed("walk", "present for sessions", "absent"))?;
            let sessions = (parts.array("sessions.offsets")?, parts.array("sessions.books")?);
            let postings = (parts.array("sessions.posting_offsets")?, parts.array("sessions.postings")?);
            let weights = parts.array("sessions.weights")?;
            Ok(Scorer::Sessions(Sessions::from_parts(sessions, postings, weights, walk)?))
        }
        "blend" => {
            let members = head.members.iter().enumerate().map(|(number, member)| {
                // A blend in a blend would let the header's depth decide how deep this goes.
                if member.scorer.family == "blend" {
                    return Err(malformed("blend", "members that are no blends", "a blend").into());
                }
                let scorer = scorer(&parts.of_member(number), &member.scorer, n_books)?;
                Ok(Member { weight: member.weight, scorer })
            });
            Ok(Scorer::Blend(Blend::new(members.collect::<Result<_, Error>>()?)?))
        }
        other => {
            let expected = "family popularity, neighbours, factors, spectral, sessions or blend".into();
            Err(Error::Head { expected, found: other.into() })
        }
    }
}

fn neighbours(parts: &Parts<'_>, n_books: usize) -> Result<Neighbours, Malformed> {
    let offsets = parts.array("neighbours.offsets")?;
    let (targets, weights) = (parts.array("neighbours.targets")?, parts.array("neighbours.weights")?);
    Neighbours::from_parts(n_books, offsets, targets, weights)
}
