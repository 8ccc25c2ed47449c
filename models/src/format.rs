//! Artefact to bytes and back: one `safetensors` file, readable by any tool that knows that format.
//!
//! Every past format number opens; the newest is written. Nothing in the file is ever executed, and every part is
//! checked again on the way in, because the bytes come from outside.

use std::{borrow::Cow, collections::HashMap};

use bytes::Bytes;
use ndarray::{Array1, Array2};
use safetensors::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};

use crate::{
    artifact::{Artifact, Factors, Malformed, Neighbours, Objective, Readers, Scorer, malformed},
    book::{Book, Catalogue},
    id::{BookRow, ReaderId},
};

/// The artefact format this build writes.
pub const FORMAT: u32 = 1;

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
    family: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    objective: Option<Objective>,
}

/// The bytes of an artefact; equal artefacts give equal bytes.
pub fn encode(artifact: &Artifact) -> Bytes {
    let mut tensors: Vec<(String, Tensor)> = Vec::new();
    let mut put = |name: &str, tensor| tensors.push((name.to_owned(), tensor));
    let lines = |items: Vec<String>| Tensor::bytes(items.join("\n").into_bytes());
    let book_line = |book: &Book| serde_json::to_string(book).expect("a book has no maps with odd keys");
    put("catalogue", lines(artifact.catalogue().books().iter().map(book_line).collect()));
    put("popularity", Tensor::floats(vec![artifact.popularity().len()], artifact.popularity().iter().copied()));
    let mut ids = Vec::new();
    let mut offsets = vec![0_u32];
    let mut rows = Vec::new();
    for (id, history) in artifact.readers().iter() {
        ids.push(id.as_str().to_owned());
        rows.extend(history.iter().map(|row| row.0));
        offsets.push(rows.len() as u32);
    }
    put("readers.ids", lines(ids));
    put("readers.offsets", Tensor::integers(offsets));
    put("readers.rows", Tensor::integers(rows));
    let mut objective = None;
    match artifact.scorer() {
        Scorer::Popularity => {}
        Scorer::Neighbours(neighbours) => {
            let (offsets, targets, weights) = neighbours.parts();
            put("neighbours.offsets", Tensor::integers(offsets.to_vec()));
            put("neighbours.targets", Tensor::integers(targets.iter().map(|row| row.0).collect()));
            put("neighbours.weights", Tensor::floats(vec![weights.len()], weights.iter().copied()));
        }
        Scorer::Factors(factors) => {
            let shape = factors.books().shape().to_vec();
            put("factors.books", Tensor::floats(shape, factors.books().iter().copied()));
            put("factors.eigenvalues", Tensor::floats(vec![factors.d()], factors.eigenvalues().iter().copied()));
            objective = Some(factors.objective());
        }
    }
    let head = Head { format: FORMAT, family: artifact.scorer().family().into(), objective };
    let head = serde_json::to_string(&head).expect("the header is plain");
    safetensors::serialize(tensors, Some(HashMap::from([(HEAD.to_owned(), head)])))
        .expect("shapes were computed from the data")
        .into()
}

/// Reads an artefact, checking every part.
pub fn decode(bytes: &[u8]) -> Result<Artifact, Error> {
    let (_, metadata) = SafeTensors::read_metadata(bytes)?;
    let head = metadata.metadata().as_ref().and_then(|members| members.get(HEAD));
    let head = head.ok_or_else(|| Error::Head { expected: HEAD.into(), found: "no such member".into() })?;
    let head: Head = serde_json::from_str(head)
        .map_err(|error| Error::Head { expected: "format, family".into(), found: error.to_string() })?;
    if head.format != FORMAT {
        return Err(Error::Head { expected: format!("format {FORMAT}"), found: format!("format {}", head.format) });
    }
    let file = Parts(SafeTensors::deserialize(bytes)?);

    let parse = |line: &str| serde_json::from_str(line).map_err(|error| malformed("catalogue", "a book", error));
    let books: Vec<Book> = file.lines("catalogue")?.iter().map(|line| parse(line)).collect::<Result<_, _>>()?;
    let n_books = books.len();
    let catalogue = Catalogue::new(books);
    if catalogue.len() != n_books {
        return Err(malformed("catalogue", format!("{n_books} distinct books"), catalogue.len()).into());
    }
    let popularity = file.floats("popularity")?;
    let readers = decode_readers(&file)?;
    let scorer = match head.family.as_str() {
        "popularity" => Scorer::Popularity,
        "neighbours" => {
            let targets = file.integers("neighbours.targets")?.into_iter().map(BookRow).collect();
            let offsets = file.integers("neighbours.offsets")?;
            Scorer::Neighbours(Neighbours::new(n_books, offsets, targets, file.floats("neighbours.weights")?)?)
        }
        "factors" => {
            let objective = head.objective.ok_or_else(|| malformed("objective", "present for factors", "absent"))?;
            let eigenvalues = Array1::from(file.floats("factors.eigenvalues")?);
            let books = file.floats("factors.books")?;
            let (shape, found) = ((n_books, eigenvalues.len()), books.len());
            let books = Array2::from_shape_vec(shape, books)
                .map_err(|_| malformed("factors.books", format!("{} x {}", shape.0, shape.1), found))?;
            Scorer::Factors(Factors::new(books, eigenvalues, objective)?)
        }
        other => {
            let expected = "family popularity, neighbours or factors".into();
            return Err(Error::Head { expected, found: other.into() });
        }
    };
    Ok(Artifact::new(catalogue, popularity, scorer, readers)?)
}

fn decode_readers(file: &Parts<'_>) -> Result<Readers, Malformed> {
    let rows = file.integers("readers.rows")?;
    let offsets = file.integers("readers.offsets")?;
    let ids = file.lines("readers.ids")?;
    let rising = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    let ends = (offsets.first().copied(), offsets.last().copied());
    if offsets.len() != ids.len() + 1 || !rising || ends != (Some(0), Some(rows.len() as u32)) {
        return Err(malformed("readers.offsets", format!("{} rising to {}", ids.len() + 1, rows.len()), offsets.len()));
    }
    let mut histories = Vec::with_capacity(ids.len());
    for (id, range) in ids.iter().zip(offsets.windows(2)) {
        let id: ReaderId = id.parse().map_err(|error| malformed("readers.ids", "a reader id", error))?;
        histories.push((id, rows[range[0] as usize..range[1] as usize].iter().copied().map(BookRow).collect()));
    }
    Ok(Readers::new(histories))
}

/// Typed access to the parts of a file, little-endian as the container prescribes.
struct Parts<'a>(SafeTensors<'a>);

impl<'a> Parts<'a> {
    fn data(&self, name: &'static str, dtype: Dtype) -> Result<&'a [u8], Malformed> {
        let tensor = self.0.tensor(name).map_err(|_| malformed(name, "present", "absent"))?;
        if tensor.dtype() != dtype {
            return Err(malformed(name, format!("{dtype:?}"), format!("{:?}", tensor.dtype())));
        }
        Ok(tensor.data())
    }

    fn floats(&self, name: &'static str) -> Result<Vec<f32>, Malformed> {
        let (values, _) = self.data(name, Dtype::F32)?.as_chunks::<4>();
        Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
    }

    fn integers(&self, name: &'static str) -> Result<Vec<u32>, Malformed> {
        let (values, _) = self.data(name, Dtype::U32)?.as_chunks::<4>();
        Ok(values.iter().map(|value| u32::from_le_bytes(*value)).collect())
    }

    fn lines(&self, name: &'static str) -> Result<Vec<&'a str>, Malformed> {
        let data = self.data(name, Dtype::U8)?;
        let text = std::str::from_utf8(data).map_err(|error| malformed(name, "UTF-8", error))?;
        Ok(if text.is_empty() { Vec::new() } else { text.split('\n').collect() })
    }
}

struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Tensor {
    fn bytes(data: Vec<u8>) -> Self {
        Self { dtype: Dtype::U8, shape: vec![data.len()], data }
    }

    fn floats(shape: Vec<usize>, values: impl Iterator<Item = f32>) -> Self {
        Self { dtype: Dtype::F32, shape, data: values.flat_map(f32::to_le_bytes).collect() }
    }

    fn integers(values: Vec<u32>) -> Self {
        let shape = vec![values.len()];
        Self { dtype: Dtype::U32, shape, data: values.into_iter().flat_map(u32::to_le_bytes).collect() }
    }
}

impl View for Tensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

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
        [Scorer::Popularity, Scorer::Neighbours(neighbours), Scorer::Factors(factors)]
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
            assert_eq!(back.catalogue().books(), artifact.catalogue().books());
        }
    }

    #[test]
    fn truncated_or_foreign_bytes_are_errors_not_panics() {
        for artifact in every_family() {
            let bytes = encode(&artifact);
            for length in 0..bytes.len() {
                assert!(decode(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
            }
        }
        assert!(decode(b"PK\x03\x04 not ours").is_err());
    }

    #[test]
    fn a_flipped_byte_never_panics() {
        for artifact in every_family() {
            let bytes = encode(&artifact);
            for place in 0..bytes.len() {
                let mut changed = bytes.to_vec();
                changed[place] ^= 0x41;
                // Whether it still reads depends on the place; the registry's digest catches every flip.
                let _ = decode(&changed);
            }
        }
    }
}
