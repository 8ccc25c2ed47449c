//! The readers a model was trained on and their histories.
//!
//! Found by a binary search over the ids instead of a hash map, so that a million of them are there without being
//! read: the arrays are parts of the artefact's file.

use crate::{
    artifact::{Malformed, malformed},
    checks,
    id::{self, BookRow, ReaderId},
    shared::Shared,
    texts::Texts,
};

/// Histories of the readers a model was trained on: known rows, oldest first.
#[derive(Debug, Clone)]
pub struct Readers {
    ids: Texts,
    /// Places ascending by id, then by place, shape `(n_readers,)`.
    by_id: Shared<u32>,
    /// Where each reader's history begins in `rows`, shape `(n_readers + 1,)`.
    offsets: Shared<u64>,
    rows: Shared<BookRow>,
}

impl Readers {
    /// Collects histories; the order of readers is kept. Of readers given twice the later history is the one found.
    pub fn new(histories: impl IntoIterator<Item = (ReaderId, Vec<BookRow>)>) -> Self {
        let (mut offsets, mut rows) = (vec![0], Vec::new());
        let ids = Texts::collect(histories.into_iter().map(|(id, history)| {
            rows.extend_from_slice(&history);
            offsets.push(rows.len() as u64);
            id
        }));
        let mut by_id: Vec<u32> = (0..ids.len() as u32).collect();
        by_id.sort_by(|a, b| ids.bytes(*a as usize).cmp(ids.bytes(*b as usize)));
        Self { ids, by_id: by_id.into(), offsets: offsets.into(), rows: rows.into() }
    }

    /// Wraps the arrays of a file. Whether rows are those of a catalogue is checked when the artefact is put together.
    pub(crate) fn from_parts(
        ids: Texts,
        by_id: Shared<u32>,
        offsets: Shared<u64>,
        rows: Shared<BookRow>,
    ) -> Result<Self, Malformed> {
        let n_readers = ids.len();
        if let Some(id) = (0..n_readers).map(|place| ids.get(place)).find(|id| !id::opaque(id)) {
            return Err(malformed("readers.ids", id::OPAQUE, format!("{id:?}")));
        }
        checks::offsets("readers.offsets", n_readers, &offsets, rows.len())?;
        if by_id.len() != n_readers {
            return Err(malformed("readers.by_id", n_readers, by_id.len()));
        }
        if let Some(place) = by_id.iter().find(|place| **place as usize >= n_readers) {
            return Err(malformed("readers.by_id", format!("places below {n_readers}"), place));
        }
        // Strictly rising pairs differ, so together with their number this makes every place occur once.
        let rises = |pair: &[u32]| (ids.bytes(pair[0] as usize), pair[0]) < (ids.bytes(pair[1] as usize), pair[1]);
        if let Some([before, after, ..]) = by_id.windows(2).find(|pair| !rises(pair)) {
            return Err(malformed("readers.by_id", "places ascending by id", format!("{before} before {after}")));
        }
        Ok(Self { ids, by_id, offsets, rows })
    }

    /// As stored: ids, their order, where histories begin, and rows.
    pub(crate) fn parts(&self) -> (&Texts, &[u32], &[u64], &[BookRow]) {
        (&self.ids, &self.by_id, &self.offsets, &self.rows)
    }

    /// Number of readers.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether none are known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A reader's stored history, oldest first; `None` for a reader the model has not seen.
    pub fn history(&self, reader: &str) -> Option<&[BookRow]> {
        let end = self.by_id.partition_point(|place| self.ids.bytes(*place as usize) <= reader.as_bytes());
        let last = *self.by_id[..end].last()? as usize;
        (self.ids.bytes(last) == reader.as_bytes()).then(|| self.at(last).1)
    }

    /// All readers with their histories, in stored order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[BookRow])> {
        (0..self.len()).map(|place| self.at(place))
    }

    /// The id at a place of the stored order, `0..len`. Panics beyond.
    pub fn id(&self, place: usize) -> ReaderId {
        self.ids.get(place).parse().expect("ids were checked when the readers were collected")
    }

    fn at(&self, place: usize) -> (&str, &[BookRow]) {
        let history = self.offsets[place] as usize..self.offsets[place + 1] as usize;
        (self.ids.get(place), &self.rows[history])
    }
}

impl Default for Readers {
    fn default() -> Self {
        Self::new([])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readers(histories: &[(&str, &[u32])]) -> Readers {
        Readers::new(
            histories.iter().map(|(id, rows)| (id.parse().unwrap(), rows.iter().copied().map(BookRow).collect())),
        )
    }

    #[test]
    fn every_reader_is_found_and_nobody_else() {
        let known = readers(&[("zoe", &[3]), ("ann", &[1, 2]), ("bob", &[])]);
        assert_eq!(known.history("ann"), Some(&[BookRow(1), BookRow(2)][..]));
        assert_eq!(known.history("bob"), Some(&[][..]));
        assert_eq!(known.history("zoe"), Some(&[BookRow(3)][..]));
        for stranger in ["", "a", "anna", "zz"] {
            assert_eq!(known.history(stranger), None, "{stranger}");
        }
        let order: Vec<&str> = known.iter().map(|(id, _)| id).collect();
        assert_eq!(order, ["zoe", "ann", "bob"]);
    }

    #[test]
    fn of_a_reader_given_twice_the_later_history_is_found() {
        let twice = readers(&[("ann", &[1]), ("bob", &[2]), ("ann", &[3])]);
        assert_eq!((twice.len(), twice.history("ann")), (3, Some(&[BookRow(3)][..])));
    }

    #[test]
    fn an_index_that_is_not_the_order_of_ids_is_refused() {
        let from = |by_id: &[u32], offsets: &[u64]| {
            let ids = Texts::collect(["bob", "ann"]);
            Readers::from_parts(ids, by_id.to_vec().into(), offsets.to_vec().into(), vec![BookRow(1)].into())
        };
        assert_eq!(from(&[1, 0], &[0, 1, 1]).unwrap().history("bob"), Some(&[BookRow(1)][..]));
        for wrong in [&[0, 1][..], &[1, 1], &[1], &[1, 2]] {
            assert_eq!(from(wrong, &[0, 1, 1]).unwrap_err().part, "readers.by_id", "{wrong:?}");
        }
        assert_eq!(from(&[1, 0], &[0, 1, 2]).unwrap_err().part, "readers.offsets");
    }
}
