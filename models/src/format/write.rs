//! A model's arrays as the parts of a file.

use std::{borrow::Cow, collections::HashMap};

use bytes::Bytes;
use ndarray::ArrayView2;
use safetensors::{Dtype, View};

use super::{FORMAT, HEAD, Head, MemberHead, ScorerHead, member};
use crate::{
    artifact::{Artifact, Neighbours, Scorer},
    shared::{self, Stored},
    texts::{Lists, Texts},
};

pub(super) fn artifact(artifact: &Artifact) -> Bytes {
    let mut parts = Parts::default();
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
    let head = Head { format: FORMAT, scorer: parts.scorer(artifact.scorer()) };
    let head = serde_json::to_string(&head).expect("the header is plain");
    safetensors::serialize(parts.named, Some(HashMap::from([(HEAD.to_owned(), head)])))
        .expect("shapes were computed from the data")
        .into()
}

/// Named arrays in the making of a file. None is copied before the file is written.
#[derive(Default)]
struct Parts<'a> {
    named: Vec<(String, Part<'a>)>,
    /// What stands before the names of a blend's members.
    prefix: String,
}

impl<'a> Parts<'a> {
    fn scorer(&mut self, scorer: &'a Scorer) -> ScorerHead {
        let mut head = ScorerHead { family: scorer.family().into(), objective: None, walk: None, members: Vec::new() };
        match scorer {
            Scorer::Popularity => {}
            Scorer::Neighbours(neighbours) => self.neighbours(neighbours),
            Scorer::Factors(factors) => {
                self.matrix("factors.books", factors.books());
                let eigenvalues = factors.eigenvalues().as_slice().expect("one dimension is contiguous");
                self.array("factors.eigenvalues", eigenvalues);
                head.objective = Some(factors.objective());
            }
            Scorer::Spectral(spectral) => {
                self.neighbours(spectral.near());
                self.matrix("spectral.sources", spectral.sources());
                self.matrix("spectral.targets", spectral.targets());
            }
            Scorer::Sessions(sessions) => {
                let ((offsets, books), (posting_offsets, postings)) = (sessions.sessions(), sessions.postings());
                self.array("sessions.offsets", offsets);
                self.array("sessions.books", books);
                self.array("sessions.posting_offsets", posting_offsets);
                self.array("sessions.postings", postings);
                self.array("sessions.weights", sessions.weights());
                head.walk = Some(sessions.walk());
            }
            Scorer::Blend(blend) => {
                for (number, part) in blend.members().iter().enumerate() {
                    self.prefix = member(number);
                    head.members.push(MemberHead { weight: part.weight, scorer: self.scorer(&part.scorer) });
                }
                self.prefix.clear();
            }
        }
        head
    }

    fn neighbours(&mut self, neighbours: &'a Neighbours) {
        let (offsets, targets, weights) = neighbours.parts();
        self.array("neighbours.offsets", offsets);
        self.array("neighbours.targets", targets);
        self.array("neighbours.weights", weights);
    }

    fn matrix(&mut self, name: &'static str, matrix: ArrayView2<'a, f32>) {
        let values = matrix.to_slice().expect("matrices are kept row by row");
        self.shaped(name, matrix.shape().to_vec(), values);
    }

    fn array<T: Stored>(&mut self, name: &'static str, values: &'a [T]) {
        self.shaped(name, vec![values.len()], values);
    }

    fn shaped<T: Stored>(&mut self, name: &'static str, shape: Vec<usize>, values: &'a [T]) {
        self.named
            .push((format!("{}{name}", self.prefix), Part { dtype: T::DTYPE, shape, data: shared::stored(values) }));
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
