//! A model's arrays as the parts of a file.

use std::{borrow::Cow, collections::HashMap};

use bytes::Bytes;
use safetensors::{Dtype, View};

use super::{FORMAT, HEAD, Head};
use crate::{
    artifact::{Artifact, Scorer},
    shared::{self, Stored},
    texts::{Lists, Texts},
};

pub(super) fn artifact(artifact: &Artifact) -> Bytes {
    let mut parts = Parts(Vec::new());
    let catalogue = artifact.catalogue();
    parts.texts("catalogue.ids.offsets", "catalogue.ids.text", &catalogue.ids);
    parts.array("catalogue.flags", &catalogue.flags);
    parts.texts("catalogue.titles.offsets", "catalogue.titles.text", &catalogue.titles);
    let authors = ("catalogue.authors", "catalogue.author.offsets", "catalogue.author.text");
    parts.lists(authors, &catalogue.authors);
    let subjects = ("catalogue.subjects", "catalogue.subject.offsets", "catalogue.subject.text");
    parts.lists(subjects, &catalogue.subjects);
    parts.texts("catalogue.languages.offsets", "catalogue.languages.text", &catalogue.languages);
    parts.array("catalogue.years", &catalogue.years);
    parts.array("catalogue.prices", &catalogue.prices);
    parts.array("popularity", artifact.popularity());
    let (ids, by_id, offsets, rows) = artifact.readers().parts();
    parts.texts("readers.ids.offsets", "readers.ids.text", ids);
    parts.array("readers.by_id", by_id);
    parts.array("readers.offsets", offsets);
    parts.array("readers.rows", rows);
    let mut objective = None;
    match artifact.scorer() {
        Scorer::Popularity => {}
        Scorer::Neighbours(neighbours) => {
            let (offsets, targets, weights) = neighbours.parts();
            parts.array("neighbours.offsets", offsets);
            parts.array("neighbours.targets", targets);
            parts.array("neighbours.weights", weights);
        }
        Scorer::Factors(factors) => {
            let books = factors.books();
            let values = books.to_slice().expect("factors are kept row by row");
            parts.shaped("factors.books", books.shape().to_vec(), values);
            parts.array("factors.eigenvalues", factors.eigenvalues().as_slice().expect("one dimension is contiguous"));
            objective = Some(factors.objective());
        }
    }
    let head = Head { format: FORMAT, family: artifact.scorer().family().into(), objective };
    let head = serde_json::to_string(&head).expect("the header is plain");
    safetensors::serialize(parts.0, Some(HashMap::from([(HEAD.to_owned(), head)])))
        .expect("shapes were computed from the data")
        .into()
}

/// Named arrays in the making of a file. None is copied before the file is written.
struct Parts<'a>(Vec<(&'static str, Part<'a>)>);

impl<'a> Parts<'a> {
    fn array<T: Stored>(&mut self, name: &'static str, values: &'a [T]) {
        self.shaped(name, vec![values.len()], values);
    }

    fn shaped<T: Stored>(&mut self, name: &'static str, shape: Vec<usize>, values: &'a [T]) {
        self.0.push((name, Part { dtype: T::DTYPE, shape, data: shared::stored(values) }));
    }

    fn texts(&mut self, offsets: &'static str, text: &'static str, texts: &'a Texts) {
        let parts = texts.parts();
        self.array(offsets, parts.0);
        self.array(text, parts.1);
    }

    fn lists(&mut self, (lists, offsets, text): (&'static str, &'static str, &'static str), column: &'a Lists) {
        let parts = column.parts();
        self.array(lists, parts.0);
        self.texts(offsets, text, parts.1);
    }
}

struct Part<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Cow<'a, [u8]>,
}

impl View for Part<'_> {
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
