//! Two versions side by side: numbers, parameters, data, and how much of what readers would see changes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Loaded;
use crate::{
    catalogue::BookRef,
    id::Version,
    manifest::Estimate,
    score::{Query, Scratch},
};

/// What differs between two versions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diff {
    /// The one compared with.
    pub from: Version,
    /// The one compared.
    pub to: Version,
    /// Metrics of either, by name.
    pub metrics: BTreeMap<String, Pair<Estimate>>,
    /// Parameters that differ, by name; the algorithm among them.
    pub params: BTreeMap<String, Pair<serde_json::Value>>,
    /// Facts of the training data that differ, by name.
    pub data: BTreeMap<String, Pair<serde_json::Value>>,
    /// Books of `to` that `from` does not know.
    pub new_books: usize,
    /// Books of `from` that `to` does not know.
    pub gone_books: usize,
    /// How alike their lists are.
    pub lists: Overlap,
}

/// A value on both sides, where there is one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair<T> {
    /// In the version compared with.
    pub from: Option<T>,
    /// In the version compared.
    pub to: Option<T>,
}

/// Agreement of two versions' lists for readers both know.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Overlap {
    /// Length of the lists.
    pub k: usize,
    /// Readers compared.
    pub readers: usize,
    /// Mean share of a list's books that the other list has too, in `[0, 1]`; `None` without a common reader.
    pub mean: Option<f64>,
    /// Share of readers whose first book is the same; `None` without a common reader.
    pub same_first: Option<f64>,
}

/// Compares two loaded versions; lists of `k` books for at most `max_readers` readers, spread over those both know.
pub fn diff(from: &Loaded, to: &Loaded, k: usize, max_readers: usize) -> Diff {
    let (a, b) = (&from.manifest, &to.manifest);
    let names: BTreeSet<&String> = a.metrics.keys().chain(b.metrics.keys()).collect();
    let metric = |name: &String| Pair { from: a.metrics.get(name).copied(), to: b.metrics.get(name).copied() };
    let mut params = changed(&a.params, &b.params);
    if a.algorithm != b.algorithm {
        let pair = Pair { from: Some(a.algorithm.clone().into()), to: Some(b.algorithm.clone().into()) };
        params.insert("algorithm".into(), pair);
    }
    let data = |lineage| serde_json::to_value(lineage).expect("a lineage has no maps with odd keys");
    let books_a: BTreeSet<&str> = from.artifact.catalogue().books().map(BookRef::item_id).collect();
    let books_b: BTreeSet<&str> = to.artifact.catalogue().books().map(BookRef::item_id).collect();
    Diff {
        from: from.version,
        to: to.version,
        metrics: names.into_iter().map(|name| (name.clone(), metric(name))).collect(),
        params,
        data: changed(&data(&a.data), &data(&b.data)),
        new_books: books_b.difference(&books_a).count(),
        gone_books: books_a.difference(&books_b).count(),
        lists: overlap(from, to, k, max_readers),
    }
}

/// Members of two objects that are not equal; values that are no objects are compared as a whole.
fn changed(a: &serde_json::Value, b: &serde_json::Value) -> BTreeMap<String, Pair<serde_json::Value>> {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else {
        let pair = Pair { from: Some(a.clone()), to: Some(b.clone()) };
        return if a == b { BTreeMap::new() } else { BTreeMap::from([("value".into(), pair)]) };
    };
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differing = names.into_iter().filter(|name| a.get(*name) != b.get(*name));
    differing.map(|name| (name.clone(), Pair { from: a.get(name).cloned(), to: b.get(name).cloned() })).collect()
}

fn overlap(from: &Loaded, to: &Loaded, k: usize, max_readers: usize) -> Overlap {
    let known = |reader: &&str| to.artifact.readers().history(reader).is_some();
    let common: Vec<_> = from.artifact.readers().iter().map(|(reader, _)| reader).filter(known).collect();
    let every = common.len().div_ceil(max_readers.max(1)).max(1);
    let mut scratch = Scratch::default();
    let mut list = |loaded: &Loaded, reader: &str| -> Vec<String> {
        let history = loaded.artifact.history_of(Some(reader), &[]);
        let query = Query { history: &history.rows, k, include_seen: false, exclude: &[] };
        let books = loaded.artifact.recommend(query, &mut scratch).books;
        books.iter().map(|scored| loaded.artifact.catalogue().book(scored.row).item_id().to_string()).collect()
    };
    let (mut readers, mut shared, mut same_first) = (0_usize, 0.0, 0_usize);
    for reader in common.into_iter().step_by(every) {
        let (a, b) = (list(from, reader), list(to, reader));
        let longer = a.len().max(b.len()).max(1);
        shared += a.iter().filter(|book| b.contains(book)).count() as f64 / longer as f64;
        same_first += usize::from(a.first() == b.first());
        readers += 1;
    }
    let mean_of = |sum: f64| (readers > 0).then(|| sum / readers as f64);
    Overlap { k, readers, mean: mean_of(shared), same_first: mean_of(same_first as f64) }
}
