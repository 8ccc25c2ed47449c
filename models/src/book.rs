//! What the catalogue says about a book, and the ordered set of books one artefact knows.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::id::{BookId, BookRow};

/// One book's metadata. Only the id is required.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Book {
    /// The catalogue's id.
    pub item_id: BookId,
    /// Title as printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Authors, first author first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
    /// Subjects or shelves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// Language code as the catalogue gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Year of first publication; negative before our era.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub year: Option<i32>,
    /// Price in the tenant's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// Whether it can be sold now. Unavailable books are never recommended.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub available: bool,
}

impl Book {
    /// A book of which nothing but the id is known.
    pub fn bare(item_id: BookId) -> Self {
        Self {
            item_id,
            title: None,
            authors: Vec::new(),
            subjects: Vec::new(),
            language: None,
            year: None,
            price: None,
            available: true,
        }
    }
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_yes(value: &bool) -> bool {
    *value
}

/// The books of one artefact in row order (ascending [`BookId`]), with the way back from an id to its row.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    books: Vec<Book>,
    rows: HashMap<BookId, BookRow>,
}

impl Catalogue {
    /// Builds from books in any order; rows follow ascending ids, so the same books always give the same rows.
    ///
    /// Of books with equal ids the last one given wins, as a later catalogue row replaces an earlier one.
    pub fn new(books: impl IntoIterator<Item = Book>) -> Self {
        let mut by_id = std::collections::BTreeMap::new();
        for book in books {
            by_id.insert(book.item_id.clone(), book);
        }
        let books: Vec<Book> = by_id.into_values().collect();
        let rows = books.iter().enumerate().map(|(row, book)| (book.item_id.clone(), BookRow(row as u32))).collect();
        Self { books, rows }
    }

    /// Number of books.
    pub fn len(&self) -> usize {
        self.books.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.books.is_empty()
    }

    /// All books, by row.
    pub fn books(&self) -> &[Book] {
        &self.books
    }

    /// The book in a row. Panics if the row belongs to a larger catalogue.
    pub fn book(&self, row: BookRow) -> &Book {
        &self.books[row.index()]
    }

    /// The row of a book, if it is known here.
    pub fn row(&self, id: &str) -> Option<BookRow> {
        self.rows.get(id).copied()
    }
}
