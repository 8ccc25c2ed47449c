//! Artefact to bytes and back: one `safetensors` file, readable by any tool that knows that format.
//!
//! Every past format number opens; the newest is written. Nothing in the file is ever executed, and every part is
//! checked again on the way in, because the bytes come from outside. What is large is not copied: the model's arrays
//! are views of the bytes it was decoded from.
//!
//! Formats: 1 kept the catalogue as lines of JSON and the readers' ids as lines; 2 keeps both as columns, so that a
//! catalogue of a million books is not parsed book by book. The families spectral, sessions and blend came with format 2.

mod read;
mod v1;
mod write;

use bytes::Bytes;
use read::Parts;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::{
    artifact::{Artifact, Malformed, Objective},
    sessions::Walk,
};

/// The artefact format this build writes.
pub const FORMAT: u32 = 2;

/// The one metadata member of the file; its value is [`Head`] as JSON. One member only, as the container does not
/// keep the order of several and equal models must give equal bytes.
const HEAD: &str = "bookloop";

/// Why bytes are not an artefact.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The container is broken.
    #[error("not a safetensors file: {0}")]
    Container(#[from] safetensors::SafeTensorError),
    /// Our header is missing or not understood.
    #[error("artefact header: expected {expected}, found {found}")]
    Head {
        /// What this build reads.
        expected: String,
        /// What was there.
        found: String,
    },
    /// A part is missing, of the wrong type or inconsistent.
    #[error(transparent)]
    Part(#[from] Malformed),
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    #[serde(flatten)]
    scorer: ScorerHead,
}

/// What a scorer's arrays do not say.
#[derive(Serialize, Deserialize)]
struct ScorerHead {
    family: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    objective: Option<Objective>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    walk: Option<Walk>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    members: Vec<MemberHead>,
}

#[derive(Serialize, Deserialize)]
struct MemberHead {
    weight: f32,
    #[serde(flatten)]
    scorer: ScorerHead,
}

/// What stands before the names of the arrays of a blend's member.
fn member(number: usize) -> String {
    format!("member{number}.")
}

/// The bytes of an artefact; equal artefacts give equal bytes.
pub fn encode(artifact: &Artifact) -> Bytes {
    write::artifact(artifact)
}

/// Reads an artefact, checking every part. Its large arrays stay parts of `bytes`.
pub fn decode(bytes: &Bytes) -> Result<Artifact, Error> {
    let (_, metadata) = SafeTensors::read_metadata(bytes)?;
    let head = metadata.metadata().as_ref().and_then(|members| members.get(HEAD));
    let head = head.ok_or_else(|| Error::Head { expected: HEAD.into(), found: "no such member".into() })?;
    let head: Head = serde_json::from_str(head)
        .map_err(|error| Error::Head { expected: "format, family".into(), found: error.to_string() })?;
    let parts = Parts::new(bytes)?;
    let (catalogue, readers) = match head.format {
        1 => (v1::catalogue(&parts)?, v1::readers(&parts)?),
        FORMAT => (read::catalogue(&parts)?, read::readers(&parts)?),
        newer => {
            let expected = format!("format 1 to {FORMAT}");
            return Err(Error::Head { expected, found: format!("format {newer}") });
        }
    };
    let scorer = read::scorer(&parts, &head.scorer, catalogue.len())?;
    Ok(Artifact::from_parts(catalogue, parts.array("popularity")?, scorer, readers)?)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::{
        artifact::{Factors, Neighbours, Scorer},
        blend::{Blend, Member},
        book::Book,
        catalogue::Catalogue,
        id::BookRow,
        readers::Readers,
        sessions::Sessions,
        spectral::Spectral,
    };

    fn three_books() -> Catalogue {
        let mut emma = Book::bare("b1".parse().unwrap());
        emma.title = Some("Emma\nand another line".into());
        Catalogue::new([emma, Book::bare("b2".parse().unwrap()), Book::bare("b3".parse().unwrap())])
    }

    fn every_family() -> Vec<Artifact> {
        let objective = Objective { unobserved_weight: 0.1, regularization: 0.2, frequency_exponent: 1.0 };
        let factors = Factors::new(array![[1.0, 0.5], [0.0, -2.0], [3.5, 0.25]], array![1.5, 4.0], objective).unwrap();
        let neighbours = Neighbours::new(3, vec![0, 1, 1, 2], vec![BookRow(1), BookRow(0)], vec![0.5, 0.25]).unwrap();
        let readers = || Readers::new([("ann".parse().unwrap(), vec![BookRow(0), BookRow(2)])]);
        let (sources, targets) = (array![[1.0], [0.0], [2.0]], array![[0.5], [4.0], [0.25]]);
        let spectral = Spectral::new(neighbours.clone(), &sources, &targets).unwrap();
        let neighbours = Scorer::Neighbours(neighbours);
        let members = [(0.25, Scorer::Factors(factors.clone())), (0.75, neighbours.clone())];
        let blend = Blend::new(members.map(|(weight, scorer)| Member { weight, scorer }).into()).unwrap();
        let (factors, spectral) = (Scorer::Factors(factors), Scorer::Spectral(spectral));
        let past = ((vec![0, 2, 3], vec![BookRow(0), BookRow(2), BookRow(2)]), (vec![0, 1, 1, 3], vec![0, 1, 0]));
        let walk = Walk { clicks: 2, sample: 2, neighbours: 1 };
        let sessions = Scorer::Sessions(Sessions::new(past.0, past.1, vec![1.0, 0.5, 0.25], walk).unwrap());
        [Scorer::Popularity, neighbours, factors, spectral, sessions, Scorer::Blend(blend)]
            .map(|scorer| Artifact::new(three_books(), vec![3.0, 2.0, 0.5], scorer, readers()).unwrap())
            .into()
    }

    #[test]
    fn what_was_written_is_read_bit_for_bit() {
        for artifact in every_family() {
            let bytes = encode(&artifact);
            let back = decode(&bytes).unwrap();
            assert_eq!(encode(&back), bytes, "{}", artifact.scorer().family());
            assert_eq!(back.readers().history("ann"), Some(&[BookRow(0), BookRow(2)][..]));
            assert!(back.catalogue().books().eq(artifact.catalogue().books()));
        }
    }

    #[test]
    fn truncated_or_foreign_bytes_are_errors_not_panics() {
        for artifact in every_family() {
            let bytes = encode(&artifact);
            for length in 0..bytes.len() {
                assert!(decode(&bytes.slice(..length)).is_err(), "{length} of {} bytes", bytes.len());
            }
        }
        assert!(decode(&Bytes::from_static(b"PK\x03\x04 not ours")).is_err());
    }

    #[test]
    fn a_flipped_byte_never_panics() {
        for artifact in every_family() {
            let bytes = encode(&artifact);
            for place in 0..bytes.len() {
                let mut changed = bytes.to_vec();
                changed[place] ^= 0x41;
                // Whether it still reads depends on the place; the registry's digest catches every flip.
                let _ = decode(&changed.into());
            }
        }
    }

    #[test]
    fn a_newer_format_is_refused_by_number() {
        let bytes = encode(&every_family()[0]).to_vec();
        let at = bytes.windows(10).position(|text| text == b"format\\\":2").unwrap() + 9;
        let mut newer = bytes;
        newer[at] = b'3';
        let refused = decode(&newer.into()).unwrap_err().to_string();
        assert_eq!(refused, "artefact header: expected format 1 to 2, found format 3");
    }

    #[test]
    fn large_arrays_stay_in_the_bytes_they_came_from() {
        // The container puts floats at a multiple of 8 from its start; what matters is where the whole file begins.
        let file = encode(&every_family()[2]);
        let aligned = file.as_ptr().addr().is_multiple_of(8);
        let back = decode(&file).unwrap();
        let Scorer::Factors(factors) = back.scorer() else { panic!("the third is the factors") };
        let inside = file.as_ptr_range().contains(&factors.books().as_ptr().cast());
        assert_eq!(inside, aligned && cfg!(target_endian = "little"));
    }
}
