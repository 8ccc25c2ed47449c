//! Every format that was ever written still opens, and its models still give the same answers.
//!
//! The files were written by the code of their format and never change. All hold the same shelf of four books: `b4` is
//! the most popular and not for sale, `b3` is known by its id only.

use models::{Artifact, Book, BookId, BookRow, Query, Scratch, blend::standard_deviation, format, score::Origin};

/// The families that each format knew, formats from 1 on.
const FAMILIES: [&[&str]; format::FORMAT as usize] = [
    &["popularity", "neighbours", "factors"],
    // Spectral and blend came while 2 was the newest.
    &["popularity", "neighbours", "factors", "spectral", "blend"],
];

/// Every committed file: its format and family.
fn committed() -> impl Iterator<Item = (u32, &'static str)> {
    (1..).zip(FAMILIES).flat_map(|(number, families)| families.iter().map(move |family| (number, *family)))
}

fn file(format: u32, family: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/model-v{format}-{family}.safetensors", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn shelf() -> [Book; 4] {
    let book = |id: &str, title: Option<&str>| Book { title: title.map(Into::into), ..Book::bare(id.parse().unwrap()) };
    let emma = Book {
        authors: vec!["Jane Austen".into()],
        subjects: vec!["romance".into(), "classics".into()],
        language: Some("en".into()),
        year: Some(1815),
        price: Some(7.5),
        ..book("b1", Some("Emma"))
    };
    let gone = Book { year: Some(-400), available: false, ..book("b4", Some("")) };
    [emma, book("b2", Some("Ödön\nin two lines")), book("b3", None), gone]
}

/// Ids and scores offered to someone who just read `latest`, best first.
fn asked(model: &Artifact, reader: Option<&str>, latest: &str) -> (Vec<(String, f32)>, Origin) {
    let latest: Vec<BookId> = latest.split_whitespace().map(|id| id.parse().unwrap()).collect();
    let history = model.history_of(reader, &latest).rows;
    let answer =
        model.recommend(Query { history: &history, k: 2, include_seen: false, exclude: &[] }, &mut Scratch::default());
    let named = |row| model.catalogue().book(row).item_id().to_owned();
    (answer.books.iter().map(|scored| (named(scored.row), scored.score)).collect(), answer.origin)
}

/// Answers of all three families, solved by hand.
fn check_answers(model: &Artifact, what: &str) {
    let offered = |reader, latest: &str| asked(model, reader, latest).0;
    let list = |books: &[(&str, f32)]| books.iter().map(|(id, score)| ((*id).to_owned(), *score)).collect::<Vec<_>>();
    match model.scorer().family() {
        "popularity" => {
            assert_eq!(offered(None, ""), list(&[("b1", 3.0), ("b2", 2.0)]), "{what}");
            assert_eq!(offered(Some("zoe"), "b1"), list(&[("b2", 2.0)]), "{what}: zoe has read b3");
        }
        // b1 -> b2 .5, b1 -> b3 .25, b3 -> b1 1.
        "neighbours" => {
            assert_eq!(offered(None, "b1"), list(&[("b2", 0.5), ("b3", 0.25)]), "{what}");
            assert_eq!(offered(Some("zoe"), ""), list(&[("b1", 1.0), ("b2", 0.0)]), "{what}");
            assert_eq!(asked(model, Some("zoe"), "").1, Origin::FilledFromPopularity, "{what}");
        }
        // Factors (1,0), (0,1), (1,1), (0,0), rotated; a0 = lambda = .1, nu = 1. After b3, r = .1 (1 + .4) = .14 and
        // ([1.34, 1.1], [1.1, 1.34]) x = (1, 1), so x = (1/2.44, 1/2.44), which b1 and b2 score alike.
        "factors" => {
            let (books, origin) = asked(model, Some("zoe"), "");
            assert_eq!((books[0].0.as_str(), books[1].0.as_str(), origin), ("b1", "b2", Origin::Model), "{what}");
            assert!(books.iter().all(|(_, score)| (score - 1.0 / 2.44).abs() < 1e-6), "{what}: {books:?}");
        }
        // The same neighbours, with sources 1, 0, 2, 0 and targets .5, .25, .125, 1.
        "spectral" => {
            assert_eq!(offered(None, "b1"), list(&[("b2", 0.75), ("b3", 0.375)]), "{what}");
            assert_eq!(offered(Some("zoe"), ""), list(&[("b1", 2.0), ("b2", 0.5)]), "{what}");
        }
        // A quarter of the same neighbours and three quarters of popularity.
        "blend" => {
            let near = 0.25 / standard_deviation(&[0.0, 0.5, 0.25, 0.0]);
            let popular = 0.75 / standard_deviation(&[3.0, 2.0, 0.5, 9.0]);
            for ((id, score), want) in offered(None, "b1")
                .iter()
                .zip([("b2", 0.5 * near + 2.0 * popular), ("b3", 0.25 * near + 0.5 * popular)])
            {
                assert_eq!(id, want.0, "{what}");
                assert!((f64::from(*score) - want.1).abs() < 1e-6, "{what}: {score} {}", want.1);
            }
        }
        other => panic!("{what}: {other}"),
    }
}

#[test]
fn every_past_format_opens() {
    for (number, family) in committed() {
        let what = format!("format {number}, {family}");
        let model = format::decode(&file(number, family).into()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(model.scorer().family(), family);
        assert_eq!(model.popularity().to_vec(), vec![3.0, 2.0, 0.5, 9.0], "{what}");
        assert_eq!(model.popularity_percentile(BookRow(0)).to_bits(), 0.625_f32.to_bits(), "{what}");
        let books: Vec<Book> = model.catalogue().books().map(models::BookRef::to_book).collect();
        assert_eq!(books, shelf(), "{what}");
        let readers: Vec<(&str, &[BookRow])> = model.readers().iter().collect();
        let known = [("zoe", &[BookRow(2)][..]), ("ann", &[BookRow(0), BookRow(2)]), ("bob", &[])];
        assert_eq!(readers, known, "{what}");
        check_answers(&model, &what);
    }
}

#[test]
fn a_model_of_any_format_is_written_as_the_committed_file_of_the_newest() {
    for (number, family) in committed() {
        let model = format::decode(&file(number, family).into()).unwrap();
        assert_eq!(format::encode(&model), file(format::FORMAT, family), "{family} of format {number}");
    }
}

#[test]
fn a_flipped_byte_of_any_past_format_never_panics() {
    for (number, family) in committed() {
        let original = file(number, family);
        for place in 0..original.len() {
            for bit in 0..8 {
                let mut changed = original.clone();
                changed[place] ^= 1 << bit;
                // Whether it still reads depends on the place; the registry's digest catches every flip.
                if let Ok(model) = format::decode(&changed.into()) {
                    asked(&model, Some("zoe"), "b1");
                    model.catalogue().books().for_each(|book| drop(book.to_book()));
                }
            }
        }
    }
}
