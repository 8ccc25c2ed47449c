//! The ordered set of books one artefact knows, kept as columns.
//!
//! Columns instead of one struct per book, because a loaded catalogue of a million books is then a part of the mapped
//! file: nothing is parsed or copied, ids are found by binary search, and a book is read when somebody asks for it.

use std::{cmp::Ordering, fmt};

use crate::{
    artifact::{Malformed, malformed},
    book::Book,
    id::{self, BookId, BookRow},
    shared::Shared,
    shelves::series_of,
    texts::{Lists, Texts},
};

/// Bits of [`Catalogue::flags`].
pub(crate) mod flag {
    /// It can be sold now.
    pub const AVAILABLE: u8 = 1;
    /// The title is known; the other bits likewise say what is known.
    pub const TITLE: u8 = 2;
    pub const LANGUAGE: u8 = 4;
    pub const YEAR: u8 = 8;
    pub const PRICE: u8 = 16;
    /// All of them; the others are zero.
    pub const ALL: u8 = 31;
}

/// The books of one artefact in row order (ascending [`BookId`]), with the way back from an id to its row.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// Strictly ascending.
    pub(crate) ids: Texts,
    /// [`flag`]s of each book.
    pub(crate) flags: Shared<u8>,
    pub(crate) titles: Texts,
    pub(crate) authors: Lists,
    pub(crate) subjects: Lists,
    pub(crate) languages: Texts,
    pub(crate) years: Shared<i32>,
    pub(crate) prices: Shared<f64>,
}

impl Catalogue {
    /// Builds from books in any order; rows follow ascending ids, so the same books always give the same rows.
    ///
    /// Of books with equal ids the last one given wins, as a later catalogue row replaces an earlier one. A price that
    /// is not a finite number is not known.
    pub fn new(books: impl IntoIterator<Item = Book>) -> Self {
        let mut books: Vec<Book> = books.into_iter().collect();
        // Equal ids keep their order, and of neighbours the first is kept: so from the end.
        books.reverse();
        books.sort_by(|a, b| a.item_id.cmp(&b.item_id));
        books.dedup_by(|later, kept| later.item_id == kept.item_id);
        let price = |book: &Book| book.price.filter(|price| price.is_finite());
        let flags = books.iter().map(|book| {
            let known = [
                (book.available, flag::AVAILABLE),
                (book.title.is_some(), flag::TITLE),
                (book.language.is_some(), flag::LANGUAGE),
                (book.year.is_some(), flag::YEAR),
                (price(book).is_some(), flag::PRICE),
            ];
            known.into_iter().filter(|(holds, _)| *holds).fold(0, |bits, (_, bit)| bits | bit)
        });
        Self {
            ids: Texts::collect(books.iter().map(|book| book.item_id.as_str())),
            flags: flags.collect::<Vec<u8>>().into(),
            titles: Texts::collect(books.iter().map(|book| book.title.as_deref().unwrap_or_default())),
            authors: Lists::collect(books.iter().map(|book| book.authors.as_slice())),
            subjects: Lists::collect(books.iter().map(|book| book.subjects.as_slice())),
            languages: Texts::collect(books.iter().map(|book| book.language.as_deref().unwrap_or_default())),
            years: books.iter().map(|book| book.year.unwrap_or_default()).collect::<Vec<i32>>().into(),
            prices: books.iter().map(|book| price(book).unwrap_or_default()).collect::<Vec<f64>>().into(),
        }
    }

    /// The same catalogue, if its columns, which come from a file, are those of one.
    pub(crate) fn checked(self) -> Result<Self, Malformed> {
        let n_books = self.ids.len();
        let lengths = [
            ("catalogue.flags", self.flags.len()),
            ("catalogue.titles", self.titles.len()),
            ("catalogue.authors", self.authors.len()),
            ("catalogue.subjects", self.subjects.len()),
            ("catalogue.languages", self.languages.len()),
            ("catalogue.years", self.years.len()),
            ("catalogue.prices", self.prices.len()),
        ];
        if let Some((part, found)) = lengths.into_iter().find(|(_, length)| *length != n_books) {
            return Err(malformed(part, n_books, found));
        }
        if let Some(id) = (0..n_books).map(|row| self.ids.get(row)).find(|id| !id::opaque(id)) {
            return Err(malformed("catalogue.ids", id::OPAQUE, format!("{id:?}")));
        }
        if let Some(row) = (1..n_books).find(|row| self.ids.bytes(row - 1) >= self.ids.bytes(*row)) {
            let found = format!("{:?} before {:?}", self.ids.get(row - 1), self.ids.get(row));
            return Err(malformed("catalogue.ids", "distinct ids, ascending", found));
        }
        if let Some(flags) = self.flags.iter().find(|flags| **flags & !flag::ALL != 0) {
            return Err(malformed("catalogue.flags", format!("bits of {:#b}", flag::ALL), format!("{flags:#b}")));
        }
        match self.prices.iter().find(|price| !price.is_finite()) {
            Some(price) => Err(malformed("catalogue.prices", "finite numbers", price)),
            None => Ok(self),
        }
    }

    /// Number of books.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All books, by row.
    pub fn books(&self) -> impl ExactSizeIterator<Item = BookRef<'_>> {
        (0..self.len()).map(|row| BookRef { catalogue: self, row })
    }

    /// The book in a row. Panics if the row belongs to a larger catalogue.
    pub fn book(&self, row: BookRow) -> BookRef<'_> {
        assert!(row.index() < self.len(), "row {} of a catalogue of {} books", row.0, self.len());
        BookRef { catalogue: self, row: row.index() }
    }

    /// The row of a book, if it is known here.
    pub fn row(&self, id: &str) -> Option<BookRow> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.ids.bytes(middle).cmp(id.as_bytes()) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Some(BookRow(middle as u32)),
                Ordering::Greater => high = middle,
            }
        }
        None
    }
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::new([])
    }
}

/// One book of a catalogue, read where it is stored; the fields are those of [`Book`].
#[derive(Clone, Copy)]
pub struct BookRef<'a> {
    catalogue: &'a Catalogue,
    row: usize,
}

impl<'a> BookRef<'a> {
    /// The catalogue's id.
    pub fn item_id(self) -> &'a str {
        self.catalogue.ids.get(self.row)
    }

    /// The catalogue's id, to keep.
    pub fn to_id(self) -> BookId {
        self.item_id().parse().expect("ids were checked when the catalogue was made")
    }

    /// Title as printed.
    pub fn title(self) -> Option<&'a str> {
        self.has(flag::TITLE).then(|| self.catalogue.titles.get(self.row))
    }

    /// Authors, first author first.
    pub fn authors(self) -> impl ExactSizeIterator<Item = &'a str> {
        self.catalogue.authors.get(self.row)
    }

    /// The series its title ends with, where that ends as in `Catching Fire (The Hunger Games, #2)`.
    pub fn series(self) -> Option<&'a str> {
        self.title().and_then(series_of)
    }

    /// Subjects or shelves.
    pub fn subjects(self) -> impl ExactSizeIterator<Item = &'a str> {
        self.catalogue.subjects.get(self.row)
    }

    /// Language code as the catalogue gives it.
    pub fn language(self) -> Option<&'a str> {
        self.has(flag::LANGUAGE).then(|| self.catalogue.languages.get(self.row))
    }

    /// Year of first publication; negative before our era.
    pub fn year(self) -> Option<i32> {
        self.has(flag::YEAR).then(|| self.catalogue.years[self.row])
    }

    /// Price in the tenant's currency.
    pub fn price(self) -> Option<f64> {
        self.has(flag::PRICE).then(|| self.catalogue.prices[self.row])
    }

    /// Whether it can be sold now. If not, it is recommended only to those who ask for such books too.
    pub fn is_available(self) -> bool {
        self.has(flag::AVAILABLE)
    }

    /// Everything known about it, to keep.
    pub fn to_book(self) -> Book {
        Book {
            item_id: self.to_id(),
            title: self.title().map(str::to_owned),
            authors: self.authors().map(str::to_owned).collect(),
            subjects: self.subjects().map(str::to_owned).collect(),
            language: self.language().map(str::to_owned),
            year: self.year(),
            price: self.price(),
            available: self.is_available(),
        }
    }

    fn has(self, bit: u8) -> bool {
        self.catalogue.flags[self.row] & bit != 0
    }
}

impl fmt::Debug for BookRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_book().fmt(f)
    }
}

impl PartialEq for BookRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.to_book() == other.to_book()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(id: &str, title: &str) -> Book {
        Book { title: Some(title.into()), ..Book::bare(id.parse().unwrap()) }
    }

    #[test]
    fn rows_follow_ids_and_lead_back() {
        let shelf = Catalogue::new([book("c", "C"), book("a", "A"), book("b", "B")]);
        let ids: Vec<&str> = shelf.books().map(BookRef::item_id).collect();
        assert_eq!(ids, ["a", "b", "c"]);
        assert_eq!(["a", "b", "c"].map(|id| shelf.row(id)), [0, 1, 2].map(|row| Some(BookRow(row))));
        assert_eq!(["", "aa", "d"].map(|id| shelf.row(id)), [None; 3]);
        assert_eq!(Catalogue::default().row("a"), None);
    }

    #[test]
    fn of_equal_ids_the_last_book_given_is_kept() {
        let shelf = Catalogue::new([book("a", "old"), book("b", "B"), book("a", "newer"), book("a", "new")]);
        let titles: Vec<&str> = shelf.books().filter_map(BookRef::title).collect();
        assert_eq!(titles, ["new", "B"]);
    }

    #[test]
    fn what_is_known_comes_back_and_nothing_else() {
        let full = Book {
            item_id: "full".parse().unwrap(),
            title: Some("Öl!".into()),
            authors: vec!["Upton Sinclair".into(), "N. N.".into()],
            subjects: vec!["oil".into()],
            language: Some("de".into()),
            year: Some(-1),
            price: Some(0.0),
            available: false,
        };
        let empty_title = book("title", "");
        let bare = Book::bare("bare".parse().unwrap());
        let shelf = Catalogue::new([full.clone(), empty_title.clone(), bare.clone()]);
        let back: Vec<Book> = shelf.books().map(BookRef::to_book).collect();
        assert_eq!(back, [bare, full, empty_title]);
        let priced = |price| Catalogue::new([Book { price: Some(price), ..book("a", "A") }]);
        assert_eq!(priced(f64::NAN).book(BookRow(0)).price(), None);
    }

    #[test]
    fn columns_of_another_catalogue_are_refused() {
        let shelf = || Catalogue::new([book("a", "A"), book("b", "B")]);
        let refused = |catalogue: Catalogue| catalogue.checked().unwrap_err().part;
        assert!(shelf().checked().is_ok());
        assert_eq!(refused(Catalogue { ids: Texts::collect(["b", "a"]), ..shelf() }), "catalogue.ids");
        assert_eq!(refused(Catalogue { ids: Texts::collect(["a", "a"]), ..shelf() }), "catalogue.ids");
        assert_eq!(refused(Catalogue { ids: Texts::collect(["a", "b\n"]), ..shelf() }), "catalogue.ids");
        assert_eq!(refused(Catalogue { years: vec![1].into(), ..shelf() }), "catalogue.years");
        assert_eq!(refused(Catalogue { flags: vec![1, 32].into(), ..shelf() }), "catalogue.flags");
        assert_eq!(refused(Catalogue { prices: vec![0.0, f64::INFINITY].into(), ..shelf() }), "catalogue.prices");
    }
}
