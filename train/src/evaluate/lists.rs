//! What the lists of an evaluation are like: the books' events and labels, looked up once for all readers.

use std::collections::HashMap;

use models::{Artifact, BookRef, BookRow};
use serde::{Deserialize, Serialize};

use crate::{
    metrics::{diversity, gini, miscalibration, novelty},
    split::Split,
};

/// What lists are like besides right or wrong; see [`crate::metrics`] for the formulas. Means are over the readers for
/// whom the value is defined, `None` when it is for nobody, as for labels in a catalogue without metadata.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ListQuality {
    /// Mean surprise of the books in bits, by their share of the training events.
    pub novelty: Option<f64>,
    /// Gini coefficient of how often each book that may be recommended is.
    pub exposure_gini: Option<f64>,
    /// Mean share of subjects that two books of a list do not share.
    pub diversity_by_subject: Option<f64>,
    /// Mean share of authors that two books of a list do not share.
    pub diversity_by_author: Option<f64>,
    /// How far the subjects of a list are from those of the history it answers, in nats.
    pub miscalibration_by_subject: Option<f64>,
}

/// One list's values.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ListValues {
    novelty: Option<f64>,
    by_subject: Option<f64>,
    by_author: Option<f64>,
    miscalibration: Option<f64>,
}

/// What is known of an artefact's books, by row.
pub(super) struct Shelf {
    /// Events of the training window.
    events: Vec<u64>,
    n_events: u64,
    subjects: Vec<Vec<u32>>,
    authors: Vec<Vec<u32>>,
}

impl Shelf {
    pub fn new(artifact: &Artifact, split: &Split) -> Self {
        let catalogue = artifact.catalogue();
        let mut in_train = vec![0_u64; split.train.catalogue().len()];
        split.train.interactions().iter().for_each(|row| in_train[row.book.index()] += 1);
        let events =
            |book: BookRef<'_>| split.train.catalogue().row(book.item_id()).map_or(0, |row| in_train[row.index()]);
        Self {
            events: catalogue.books().map(events).collect(),
            n_events: split.train.interactions().len() as u64,
            subjects: labels(catalogue.books().map(BookRef::subjects)),
            authors: labels(catalogue.books().map(BookRef::authors)),
        }
    }

    /// Whether nobody took up the book in the training window.
    pub fn is_cold(&self, row: BookRow) -> bool {
        self.events[row.index()] == 0
    }

    pub fn judge(&self, history: &[BookRow], list: &[BookRow]) -> ListValues {
        let events: Vec<u64> = list.iter().map(|row| self.events[row.index()]).collect();
        let subjects = of(&self.subjects, list);
        ListValues {
            novelty: novelty(&events, self.n_events),
            by_subject: diversity(&subjects),
            by_author: diversity(&of(&self.authors, list)),
            miscalibration: miscalibration(&of(&self.subjects, history), &subjects),
        }
    }

    /// The means, with `exposures` of the books that may be recommended.
    pub fn summary(values: &[ListValues], exposures: &[u64]) -> ListQuality {
        let mean = |value: fn(&ListValues) -> Option<f64>| {
            let defined: Vec<f64> = values.iter().filter_map(value).collect();
            (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
        };
        ListQuality {
            novelty: mean(|values| values.novelty),
            exposure_gini: gini(exposures),
            diversity_by_subject: mean(|values| values.by_subject),
            diversity_by_author: mean(|values| values.by_author),
            miscalibration_by_subject: mean(|values| values.miscalibration),
        }
    }
}

fn of<'a>(labels: &'a [Vec<u32>], rows: &[BookRow]) -> Vec<&'a [u32]> {
    rows.iter().map(|row| labels[row.index()].as_slice()).collect()
}

/// Numbers instead of texts, by book: distinct and ascending.
fn labels<'a>(books: impl Iterator<Item = impl Iterator<Item = &'a str>>) -> Vec<Vec<u32>> {
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    books
        .map(|texts| {
            let mut labels: Vec<u32> = texts
                .map(|text| {
                    let next = numbers.len() as u32;
                    *numbers.entry(text).or_insert(next)
                })
                .collect();
            labels.sort_unstable();
            labels.dedup();
            labels
        })
        .collect()
}
