//! The reader-book matrix as compressed sparse rows in both directions, each pair once.
//!
//! Checked where it is built, so that the algorithms index without looking.

use models::BookRow;

use crate::dataset::{Dataset, TimeAxis};

/// Milliseconds of a day.
pub(crate) const DAY_MS: f64 = 86_400_000.0;

/// One side of the matrix: for each row its columns, ascending, with the confidence of each pair.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    offsets: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Columns and confidences of one row.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[row]..self.offsets[row + 1];
        (&self.columns[range.clone()], &self.values[range])
    }

    /// Number of pairs in one row.
    pub fn degree(&self, row: usize) -> usize {
        self.offsets[row + 1] - self.offsets[row]
    }

    /// Number of pairs in all rows.
    pub fn n_pairs(&self) -> usize {
        self.columns.len()
    }

    /// Sum of the confidences of each row, shape `(n_rows,)`.
    pub fn totals(&self) -> Vec<f64> {
        (0..self.len()).map(|row| self.row(row).1.iter().copied().map(f64::from).sum()).collect()
    }

    /// The same pairs with `change(row, column, confidence)` as their values.
    #[must_use]
    pub fn mapped(&self, change: impl Fn(usize, usize, f32) -> f32) -> Self {
        let mut values = Vec::with_capacity(self.values.len());
        for row in 0..self.len() {
            let (columns, own) = self.row(row);
            values.extend(columns.iter().zip(own).map(|(column, value)| change(row, *column as usize, *value)));
        }
        Self { offsets: self.offsets.clone(), columns: self.columns.clone(), values }
    }

    /// The rows, those with the most pairs first, equal ones in their order.
    fn by_degree(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        order.sort_by_key(|row| std::cmp::Reverse(self.degree(*row as usize)));
        order
    }

    /// Builds from pairs ascending by `(row, column)`.
    pub(crate) fn from_sorted(n_rows: usize, pairs: &[(u32, u32, f32)]) -> Self {
        let mut offsets = vec![0; n_rows + 1];
        for (row, _, _) in pairs {
            offsets[*row as usize + 1] += 1;
        }
        for row in 0..n_rows {
            offsets[row + 1] += offsets[row];
        }
        let (columns, values) = pairs.iter().map(|(_, column, value)| (*column, *value)).unzip();
        Self { offsets, columns, values }
    }

    /// The other direction: columns become rows.
    pub(crate) fn transposed(&self, n_columns: usize) -> Self {
        let mut offsets = vec![0; n_columns + 1];
        for column in &self.columns {
            offsets[*column as usize + 1] += 1;
        }
        for column in 0..n_columns {
            offsets[column + 1] += offsets[column];
        }
        let mut next = offsets.clone();
        let (mut columns, mut values) = (vec![0; self.columns.len()], vec![0.0; self.values.len()]);
        for row in 0..self.len() {
            let (own, confidences) = self.row(row);
            for (column, value) in own.iter().zip(confidences) {
                let place = &mut next[*column as usize];
                (columns[*place], values[*place]) = (row as u32, *value);
                *place += 1;
            }
        }
        Self { offsets, columns, values }
    }
}

/// The pairs of a data set, each once, by reader and by book.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    by_reader: Rows,
    by_book: Rows,
}

impl Matrix {
    /// Takes each (reader, book) once, at its newest interaction, with confidence `weight * 2^(-age / half-life)`.
    ///
    /// Age is counted from the newest interaction of the data set. Without a half-life, or without a clock, the second
    /// factor is 1. Confidences below `1e-6` of the largest weight carry nothing and are raised to that floor, which
    /// keeps later divisions tame.
    pub fn new(dataset: &Dataset, half_life_days: Option<f64>) -> Self {
        let half_life_days = half_life_days.filter(|_| dataset.axis() == TimeAxis::Clock);
        let newest = dataset.newest().unwrap_or(0);
        let mut pairs: Vec<(u32, u32, i64, f32)> =
            dataset.interactions().iter().map(|row| (row.reader, row.book.0, row.at, row.weight)).collect();
        pairs.sort_unstable_by_key(|(reader, book, at, _)| (*reader, *book, std::cmp::Reverse(*at)));
        pairs.dedup_by_key(|(reader, book, _, _)| (*reader, *book));
        let floor = 1e-6 * pairs.iter().map(|pair| pair.3).fold(0.0_f32, f32::max);
        let confidence = |at: i64, weight: f32| match half_life_days {
            Some(days) => weight * (-((newest - at) as f64 / (days * DAY_MS))).exp2() as f32,
            None => weight,
        };
        let sorted: Vec<(u32, u32, f32)> = pairs
            .into_iter()
            .map(|(reader, book, at, weight)| (reader, book, confidence(at, weight).max(floor)))
            .collect();
        let by_reader = Rows::from_sorted(dataset.readers().len(), &sorted);
        let by_book = by_reader.transposed(dataset.catalogue().len());
        Self { by_reader, by_book }
    }

    /// The same pairs with readers and books numbered anew, those with the most pairs first, and for each new book row
    /// the old one, shape `(n_books,)`.
    ///
    /// Neighbouring rows are then of like size, and what many rows point to lies close together.
    pub(crate) fn by_degree(self) -> (Self, Vec<u32>) {
        let (readers, books) = (self.by_reader.by_degree(), self.by_book.by_degree());
        let mut place_of = vec![0_u32; books.len()];
        for (place, book) in books.iter().enumerate() {
            place_of[*book as usize] = place as u32;
        }
        let (columns, values) = (Vec::with_capacity(self.n_pairs()), Vec::with_capacity(self.n_pairs()));
        let mut by_reader = Rows { offsets: vec![0], columns, values };
        for reader in readers {
            let (columns, values) = self.by_reader.row(reader as usize);
            by_reader.columns.extend(columns.iter().map(|column| place_of[*column as usize]));
            by_reader.values.extend(values);
            by_reader.offsets.push(by_reader.columns.len());
        }
        drop(self);
        let by_book = by_reader.transposed(books.len());
        // Turned back, so that the columns of each reader ascend again.
        let by_reader = by_book.transposed(by_reader.len());
        (Self { by_reader, by_book }, books)
    }

    /// Readers as rows, books as columns.
    pub fn by_reader(&self) -> &Rows {
        &self.by_reader
    }

    /// Books as rows, readers as columns.
    pub fn by_book(&self) -> &Rows {
        &self.by_book
    }

    /// Number of distinct readers of each book, shape `(n_books,)`.
    pub fn readers_of(&self, book: BookRow) -> usize {
        self.by_book.degree(book.index())
    }

    /// Number of pairs.
    pub fn n_pairs(&self) -> usize {
        self.by_reader.n_pairs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Builder, tests::toy};

    #[test]
    fn a_pair_counts_once_and_both_directions_agree() {
        let matrix = Matrix::new(&toy(TimeAxis::Order, "ann: dune emma dune | bob: emma"), None);
        assert_eq!(matrix.n_pairs(), 3);
        assert_eq!(matrix.by_reader().row(0), (&[0, 1][..], &[1.0, 1.0][..]));
        assert_eq!(matrix.by_book().row(1), (&[0, 1][..], &[1.0, 1.0][..]));
        assert_eq!(matrix.readers_of(BookRow(0)), 1);
    }

    #[test]
    fn numbered_by_degree_the_busiest_come_first() {
        // emma has three readers, dune and ulysses one each; bob has two books, ann and cid one.
        let matrix = Matrix::new(&toy(TimeAxis::None, "ann: emma | bob: dune emma | cid: emma | dan: ulysses"), None);
        let (sorted, books) = matrix.by_degree();
        assert_eq!(books, [1, 0, 2]);
        let columns: Vec<&[u32]> = (0..4).map(|reader| sorted.by_reader().row(reader).0).collect();
        assert_eq!(columns, [&[0, 1][..], &[0], &[0], &[2]]);
        assert_eq!(sorted.by_book().row(0).0, [0, 1, 2]);
    }

    #[test]
    fn confidence_halves_with_each_half_life() {
        let mut builder = Builder::new(TimeAxis::Clock);
        for (book, day) in [("dune", 0), ("emma", 10), ("ulysses", 20)] {
            builder.add(&"ann".parse().unwrap(), &book.parse().unwrap(), day * 86_400_000, 1.0);
        }
        let dataset = builder.finish().0;
        assert_eq!(Matrix::new(&dataset, Some(10.0)).by_reader().row(0).1, [0.25, 0.5, 1.0]);
        assert_eq!(Matrix::new(&dataset, None).by_reader().row(0).1, [1.0, 1.0, 1.0]);
    }
}
