//! One suite, every algorithm: what a model must do whatever it is made of.

use models::{Artifact, Book, BookRow, Query, Scratch, format};
use train::{Algorithm, Builder, Dataset, NAMES, TimeAxis};

/// Those that draw numbers: another seed gives another model. A blend is as random as the members that it keeps.
const RANDOM: [&str; 2] = ["ials", "spectral"];

/// Every name with its usual settings, and with the settings of the others that it knows.
fn every_algorithm() -> Vec<Algorithm> {
    let mut all: Vec<Algorithm> = NAMES.iter().map(|name| Algorithm::named(name).unwrap()).collect();
    for more in [r#""half_life_days": 7.0"#, r#""normalization": 0.75, "centred": true, "regularization": 1.0"#] {
        // A setting that an algorithm does not have is refused, and then there is nothing to hold to the contract.
        let with = |name: &&str| serde_json::from_str(&format!(r#"{{"algorithm": "{name}", {more}}}"#)).ok();
        all.extend(NAMES.iter().filter_map(with));
    }
    all
}

#[test]
fn the_table_holds_every_algorithm_and_its_variants() {
    let names = |wanted: &str| every_algorithm().iter().filter(|algorithm| algorithm.name() == wanted).count();
    assert!(NAMES.iter().all(|name| names(name) >= 1));
    assert_eq!((names("popularity"), names("ease"), names("ease_sparse")), (2, 3, 3));
}

fn learned(algorithm: &Algorithm, dataset: &Dataset, seed: u64) -> Artifact {
    algorithm.fit(dataset, seed, &|_| ()).unwrap()
}

/// Reads `"ann: dune emma | bob: dune"` on a clock, a day between a reader's books.
fn shelves(text: &str) -> Dataset {
    let mut builder = Builder::new(TimeAxis::Clock);
    for reader in text.split('|') {
        let (id, books) = reader.split_once(':').unwrap();
        for (day, book) in books.split_whitespace().enumerate() {
            let at = day as i64 * 86_400_000;
            builder.add(&id.trim().parse().unwrap(), &book.parse().unwrap(), at, 1.0);
        }
    }
    builder.finish().0
}

fn recommended(artifact: &Artifact, reader: &str, k: usize) -> Vec<String> {
    let history = artifact.readers().history(reader).unwrap_or_default();
    let query = Query { history, k, include_seen: false, exclude: &[] };
    let list = artifact.recommend(query, &mut Scratch::default());
    list.books.iter().map(|book| artifact.catalogue().book(book.row).item_id().to_owned()).collect()
}

/// Two circles of readers who share no book, the second larger.
const TWO_CIRCLES: &str = "a1: dune solaris ubik | a2: dune solaris ubik | a3: solaris ubik dune | ann: dune solaris \
    | b1: emma persuasion | b2: persuasion emma | b3: emma persuasion | b4: emma persuasion | b5: emma persuasion | bea: emma";

#[test]
fn a_reader_is_offered_what_readers_like_them_took_up() {
    let dataset = shelves(TWO_CIRCLES);
    for algorithm in every_algorithm().iter().filter(|algorithm| algorithm.name() != "popularity") {
        let artifact = learned(algorithm, &dataset, 1);
        assert_eq!(recommended(&artifact, "ann", 1), ["ubik"], "{algorithm:?}");
        assert_eq!(recommended(&artifact, "bea", 1), ["persuasion"], "{algorithm:?}");
    }
}

#[test]
fn everyone_is_offered_the_most_popular_book_by_popularity() {
    let artifact = learned(&Algorithm::named("popularity").unwrap(), &shelves(TWO_CIRCLES), 1);
    assert_eq!(recommended(&artifact, "ann", 1), ["emma"]);
    assert_eq!(recommended(&artifact, "stranger", 2), ["emma", "persuasion"]);
}

#[test]
fn a_reader_is_not_offered_a_book_they_finished() {
    let dataset = shelves(TWO_CIRCLES);
    for algorithm in every_algorithm() {
        let artifact = learned(&algorithm, &dataset, 1);
        let offered = recommended(&artifact, "ann", 9);
        assert_eq!(offered.len(), 3, "{algorithm:?}: five books less two");
        assert!(!offered.iter().any(|book| book == "dune" || book == "solaris"), "{algorithm:?}");
    }
}

#[test]
fn a_listed_book_nobody_read_is_known_but_comes_last() {
    let mut builder = Builder::new(TimeAxis::None);
    builder.list([Book::bare("aaa-unread".parse().unwrap())]);
    for (reader, book) in [("ann", "dune"), ("bob", "dune"), ("bob", "emma"), ("cy", "emma")] {
        builder.add(&reader.parse().unwrap(), &book.parse().unwrap(), 0, 1.0);
    }
    let dataset = builder.finish().0;
    for algorithm in every_algorithm() {
        let artifact = learned(&algorithm, &dataset, 1);
        assert_eq!(recommended(&artifact, "ann", 5), ["emma", "aaa-unread"], "{algorithm:?}");
    }
}

#[test]
fn what_cannot_be_sold_is_not_offered() {
    let mut builder = Builder::new(TimeAxis::None);
    builder.list([Book { available: false, ..Book::bare("emma".parse().unwrap()) }]);
    for (reader, book) in [("ann", "dune"), ("bob", "dune"), ("bob", "emma"), ("cy", "emma"), ("cy", "ubik")] {
        builder.add(&reader.parse().unwrap(), &book.parse().unwrap(), 0, 1.0);
    }
    let dataset = builder.finish().0;
    for algorithm in every_algorithm() {
        let artifact = learned(&algorithm, &dataset, 1);
        assert_eq!(recommended(&artifact, "ann", 5), ["ubik"], "{algorithm:?}");
        assert_eq!(recommended(&artifact, "stranger", 5), ["dune", "ubik"], "{algorithm:?}");
    }
}

fn assert_finite(algorithm: &Algorithm, dataset: &Dataset, histories: &[&[BookRow]]) {
    let artifact = learned(algorithm, dataset, 1);
    for history in histories {
        let scores = artifact.scores(history, &mut Scratch::default()).to_vec();
        assert!(scores.iter().all(|score| score.is_finite()), "{algorithm:?} for {} books", history.len());
    }
    assert!(recommended(&artifact, "stranger", 3).len() <= 3);
}

#[test]
fn little_or_uniform_data_give_finite_scores() {
    for text in
        ["ann: dune", "ann: a b c", "ann: a | bob: a | cy: a", "ann: a b | bob: a b | cy: a b", "ann: a | bob: b"]
    {
        let dataset = shelves(text);
        for algorithm in every_algorithm() {
            assert_finite(&algorithm, &dataset, &[&[], &[BookRow(0)]]);
        }
    }
}

#[test]
fn one_reader_of_a_thousand_books_gives_finite_scores() {
    let basket: Vec<String> = (0..1_000).map(|book| format!("b{book}")).collect();
    let dataset = shelves(&format!("ann: {} | bob: b1 b2 | cy: b2 b3", basket.join(" ")));
    let all: Vec<BookRow> = (0..1_000).map(BookRow).collect();
    for name in NAMES {
        assert_finite(&Algorithm::named(name).unwrap(), &dataset, &[&[], &all[..1], &all]);
    }
}

#[test]
fn nothing_to_learn_from_is_an_error() {
    let empty = Builder::new(TimeAxis::None).finish().0;
    for algorithm in every_algorithm() {
        assert!(matches!(algorithm.fit(&empty, 1, &|_| ()), Err(train::Error::NothingToLearn)));
    }
}

/// 300 readers of 120 books in six circles, with strays.
fn many() -> Dataset {
    let mut builder = Builder::new(TimeAxis::Clock);
    for reader in 0..300_u32 {
        for step in 0..(3 + reader % 9) {
            let noise = (reader * 31 + step * 17).wrapping_mul(2_654_435_761) >> 16;
            let book = if noise % 5 == 0 { noise % 120 } else { (reader % 6) * 20 + noise % 20 };
            let ids = (format!("r{reader}").parse().unwrap(), format!("b{book}").parse().unwrap());
            builder.add(&ids.0, &ids.1, i64::from(step) * 86_400_000, 1.0);
        }
    }
    builder.finish().0
}

#[test]
fn a_model_read_back_is_the_model_written() {
    let dataset = many();
    for algorithm in every_algorithm() {
        let artifact = learned(&algorithm, &dataset, 5);
        let bytes = format::encode(&artifact);
        let back = format::decode(&bytes).unwrap();
        assert!(format::encode(&back) == bytes, "{algorithm:?}");
        let history = [BookRow(3), BookRow(40), BookRow(41)];
        let bits = |artifact: &Artifact| {
            let scores = artifact.scores(&history, &mut Scratch::default()).to_vec();
            scores.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        assert!(bits(&artifact) == bits(&back), "{algorithm:?}");
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let dataset = many();
    for algorithm in every_algorithm() {
        let [one, two, five] = [1, 2, 5].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| format::encode(&learned(&algorithm, &dataset, 5)))
        });
        assert!(one == two && one == five, "{algorithm:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_model_and_another_seed_another() {
    let dataset = many();
    for algorithm in every_algorithm() {
        let with = |seed| format::encode(&learned(&algorithm, &dataset, seed));
        let first = with(5);
        assert!(first == with(5), "{algorithm:?}");
        assert_eq!(first != with(6), RANDOM.contains(&algorithm.name()), "{algorithm:?}");
    }
}

#[test]
fn a_stored_reader_has_their_books_oldest_first() {
    let dataset = shelves("ann: ubik dune emma | bob: dune");
    for algorithm in every_algorithm() {
        let artifact = learned(&algorithm, &dataset, 1);
        let history = artifact.readers().history("ann").unwrap();
        let ids: Vec<&str> = history.iter().map(|row| artifact.catalogue().book(*row).item_id()).collect();
        assert_eq!(ids, ["ubik", "dune", "emma"], "{algorithm:?}");
    }
}
