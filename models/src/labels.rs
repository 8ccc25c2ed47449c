//! Names that books share, such as authors: which books a name has, and which names a book has.
//!
//! Numbers stand for the names, so that asking whether two books share one compares a few integers.

use crate::{id::BookRow, texts::Texts};

/// The distinct names of one kind in a catalogue; a name's number is its place in ascending order.
#[derive(Debug)]
pub(crate) struct Labels {
    names: Texts,
    /// Where each name's books begin in `books`, shape `(n_names + 1,)`.
    book_offsets: Vec<u32>,
    /// Rows, ascending within a name.
    books: Vec<BookRow>,
    /// Where each book's names begin in `numbers`, shape `(n_books + 1,)`.
    offsets: Vec<u32>,
    /// Numbers of names, ascending within a book.
    numbers: Vec<u32>,
}

impl Labels {
    /// The names of `n_books` books; blank ones are none, and a name given twice for a book is given once.
    pub fn collect<'a>(n_books: usize, named: impl Iterator<Item = (BookRow, &'a str)>) -> Self {
        let mut pairs: Vec<(&str, BookRow)> =
            named.filter(|(_, name)| !name.trim().is_empty()).map(|(row, name)| (name, row)).collect();
        pairs.sort_unstable();
        pairs.dedup();
        let groups = || pairs.chunk_by(|a, b| a.0 == b.0);
        let ends = groups().scan(0, |end, group| {
            *end += group.len() as u32;
            Some(*end)
        });
        let mut offsets = vec![0_u32; n_books + 1];
        for (_, row) in &pairs {
            offsets[row.index() + 1] += 1;
        }
        for row in 0..n_books {
            offsets[row + 1] += offsets[row];
        }
        let mut free = offsets.clone();
        let mut numbers = vec![0; pairs.len()];
        for (number, group) in groups().enumerate() {
            for (_, row) in group {
                numbers[free[row.index()] as usize] = number as u32;
                free[row.index()] += 1;
            }
        }
        Self {
            names: Texts::collect(groups().map(|group| group[0].0)),
            book_offsets: std::iter::once(0).chain(ends).collect(),
            books: pairs.iter().map(|(_, row)| *row).collect(),
            offsets,
            numbers,
        }
    }

    /// Numbers of a book's names, ascending.
    pub fn of(&self, row: BookRow) -> &[u32] {
        &self.numbers[self.offsets[row.index()] as usize..self.offsets[row.index() + 1] as usize]
    }

    /// The books of a name, written exactly so; none for a name no book has.
    pub fn books(&self, name: &str) -> &[BookRow] {
        let (mut low, mut high) = (0, self.names.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.names.bytes(middle) < name.as_bytes() { low = middle + 1 } else { high = middle }
        }
        let found = low < self.names.len() && self.names.get(low) == name;
        if found { self.books_of(low) } else { &[] }
    }

    /// The books of all names that fit; a book with two of them comes twice.
    pub fn books_where(&self, fits: impl Fn(&str) -> bool) -> impl Iterator<Item = BookRow> {
        let fitting = (0..self.names.len()).filter(move |number| fits(self.names.get(*number)));
        fitting.flat_map(|number| self.books_of(number).iter().copied())
    }

    fn books_of(&self, number: usize) -> &[BookRow] {
        &self.books[self.book_offsets[number] as usize..self.book_offsets[number + 1] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_books_and_books_to_names() {
        let named = [(2, "Emma"), (0, "Öl"), (2, "Dune"), (2, "Emma"), (1, " "), (0, "Dune")];
        let labels = Labels::collect(4, named.into_iter().map(|(row, name)| (BookRow(row), name)));
        let books = |name| labels.books(name).iter().map(|row| row.0).collect::<Vec<_>>();
        assert_eq!(
            ["Dune", "Emma", "Öl", "Eve", "", "Ü"].map(books),
            [vec![0, 2], vec![2], vec![0], vec![], vec![], vec![]]
        );
        assert_eq!([0, 1, 2, 3].map(|row| labels.of(BookRow(row)).to_vec()), [vec![0, 2], vec![], vec![0, 1], vec![]]);
        let short: Vec<u32> = labels.books_where(|name| name.len() == 4).map(|row| row.0).collect();
        assert_eq!(short, [0, 2, 2]);
    }
}
