//! What a catalogue says of its books, as a sparse matrix that books without readers can be judged by.
//!
//! Counts are taken over the catalogue alone, which is known before any reader meets a book; nothing here looks at who
//! read what. Each block of features (authors, subjects, series, words of the title, language, decade) has length 1 in
//! every book that has any of it, so that a long title does not drown the author.

use std::collections::{BTreeMap, BTreeSet};

use models::{BookRef, Catalogue};

use crate::matrix::Rows;

/// Books that must share a feature for it to stand on its own; rarer ones share one place per block.
const LEAST_BOOKS: usize = 2;

/// Books by features and back.
#[derive(Debug)]
pub(crate) struct Features {
    /// Books as rows.
    pub by_book: Rows,
    /// Features as rows.
    pub by_feature: Rows,
}

impl Features {
    /// The features of the catalogue's books, which are numbered as `order` gives them.
    ///
    /// Every book has at least the constant feature. Features are numbered in alphabetical order of block and text.
    pub(crate) fn of(catalogue: &Catalogue, order: &[u32]) -> Self {
        let books: Vec<BTreeSet<Token>> =
            order.iter().map(|book| tokens(catalogue.book(models::BookRow(*book)))).collect();
        let mut counts: BTreeMap<&Token, usize> = BTreeMap::new();
        for token in books.iter().flatten() {
            *counts.entry(token).or_default() += 1;
        }
        let rare = |block: Block| Token { block, text: String::new() };
        let own = |token: &Token| if counts[token] < LEAST_BOOKS { rare(token.block) } else { token.clone() };
        let kept: Vec<BTreeMap<Token, usize>> = books
            .iter()
            .map(|tokens| {
                let mut kept = BTreeMap::new();
                for token in tokens {
                    *kept.entry(own(token)).or_default() += 1;
                }
                kept
            })
            .collect();
        let numbers: BTreeMap<&Token, u32> =
            kept.iter().flat_map(BTreeMap::keys).collect::<BTreeSet<_>>().into_iter().zip(0..).collect();
        let mut pairs = Vec::new();
        for (book, tokens) in (0..).zip(&kept) {
            for (token, n) in tokens {
                let block = tokens.iter().filter(|(other, _)| other.block == token.block);
                let squares: usize = block.map(|(_, n)| n * n).sum();
                pairs.push((book, numbers[token], (*n as f64 / (squares as f64).sqrt()) as f32));
            }
        }
        let by_book = Rows::from_sorted(books.len(), &pairs);
        let by_feature = by_book.transposed(numbers.len());
        Self { by_book, by_feature }
    }
}

/// A kind of feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Block {
    Constant,
    Author,
    Subject,
    Series,
    Word,
    Language,
    Decade,
}

/// One feature; an empty text stands for all the rare ones of its block.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Token {
    block: Block,
    text: String,
}

fn tokens(book: BookRef<'_>) -> BTreeSet<Token> {
    let token = |block: Block, text: &str| Token { block, text: text.trim().to_lowercase() };
    let (title, series) = split_title(book.title().unwrap_or_default());
    let words = title.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() > 2);
    let decade = book.year().map(|year| year.div_euclid(10).to_string());
    let mut tokens = BTreeSet::from([token(Block::Constant, "every book")]);
    tokens.extend(book.authors().map(|author| token(Block::Author, author)));
    tokens.extend(book.subjects().map(|subject| token(Block::Subject, subject)));
    tokens.extend(series.map(|series| token(Block::Series, series)));
    tokens.extend(words.map(|word| token(Block::Word, word)));
    tokens.extend(book.language().map(|language| token(Block::Language, language)));
    tokens.extend(decade.map(|decade| token(Block::Decade, &decade)));
    tokens.retain(|token| !token.text.is_empty());
    tokens
}

/// A title such as `Title (Series, #2)` as title and series; a bracket without a number is part of the title.
fn split_title(title: &str) -> (&str, Option<&str>) {
    let parts = title.trim_end().strip_suffix(')').and_then(|open| open.rsplit_once('('));
    let Some((front, inside)) = parts else { return (title, None) };
    match inside.split_once('#') {
        Some((series, _)) => (front, Some(series.trim_end_matches([' ', ',', ';']))),
        None => (title, None),
    }
}

#[cfg(test)]
mod tests {
    use models::Book;

    use super::*;

    #[test]
    fn a_series_is_told_from_a_remark() {
        assert_eq!(split_title("Emma"), ("Emma", None));
        assert_eq!(split_title("Dune Messiah (Dune Chronicles, #2)"), ("Dune Messiah ", Some("Dune Chronicles")));
        assert_eq!(split_title("Selected Tales (illustrated)"), ("Selected Tales (illustrated)", None));
    }

    #[test]
    fn shared_features_stand_alone_rare_ones_together_and_blocks_have_length_one() {
        let book = |id: &str, title: &str, author: &str| {
            let bare = Book::bare(id.parse().unwrap());
            Book { title: Some(title.to_owned()), authors: vec![author.to_owned()], ..bare }
        };
        let catalogue = Catalogue::new([
            book("a", "Sea Wolf", "Ann"),
            book("b", "The sea", "ann "),
            book("c", "Owl Hat Ink Sea", "Bob"),
        ]);
        let features = Features::of(&catalogue, &[2, 0, 1]);
        // In order: the constant; rare authors, ann; rare words, sea.
        assert_eq!(features.by_book.row(0).0, [0, 1, 3, 4]);
        assert_eq!(features.by_book.row(1).0, [0, 2, 3, 4]);
        assert_eq!(features.by_book.row(2).0, [0, 2, 3, 4]);
        // Three rare words and a known one: 3 and 1 over the root of 10.
        let values = features.by_book.row(0).1;
        assert!((values[2] - 3.0 / 10.0_f32.sqrt()).abs() < 1e-6 && (values[3] - 1.0 / 10.0_f32.sqrt()).abs() < 1e-6);
        assert_eq!(features.by_feature.row(2).0, [1, 2]);
    }
}
