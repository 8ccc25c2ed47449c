use models::Book;

use super::*;
use crate::dataset::{Builder, tests::toy};

/// `(reader, book, at)` rows on the order axis.
fn ordered(rows: &[(&str, &str, i64)]) -> Dataset {
    let mut builder = Builder::new(TimeAxis::Order);
    for (reader, book, at) in rows {
        builder.add(&reader.parse().unwrap(), &book.parse().unwrap(), *at, 1.0);
    }
    builder.finish().0
}

fn described(split: &Split) -> Vec<String> {
    let names = |rows: &[BookRow]| {
        let ids = rows.iter().map(|row| split.train.catalogue().book(*row).item_id());
        ids.collect::<Vec<_>>().join(" ")
    };
    let line = |case: &Case| {
        let (history, targets) = (names(&case.history), names(&case.targets));
        format!("{} {:?}: {history} -> {targets} +{}", case.reader, case.segment, case.n_cold_targets)
    };
    split.cases.iter().map(line).collect()
}

const FOUR_READERS: [(&str, &str, i64); 11] = [
    ("ann", "dune", 1),
    ("ann", "emma", 2),
    ("bob", "emma", 3),
    ("cy", "ulysses", 4),
    ("bob", "dune", 5),
    // The future of a 45 % test share:
    ("ann", "dune", 7),
    ("ann", "ulysses", 7),
    ("ann", "new", 8),
    ("dee", "emma", 9),
    ("dee", "dune", 10),
    ("eve", "emma", 11),
];

#[test]
fn the_past_foresees_the_future_and_repeats_are_no_hits() {
    let split = global_time(&ordered(&FOUR_READERS), 0.5).unwrap();
    assert_eq!(split.cut, Some(7));
    // ann re-reads dune (no target), and "new" is unknown in the past. bob and cy do not return; eve has one book.
    assert_eq!(described(&split), ["ann Warm: dune emma -> ulysses +1", "dee FoldedIn: emma -> dune +0"]);
}

#[test]
fn every_click_but_the_first_is_foreseen_from_those_before() {
    let train = ordered(&[("s1", "dune", 1), ("s1", "emma", 2)]);
    let test = ordered(&[("t", "emma", 3), ("t", "new", 4), ("t", "emma", 5), ("t", "dune", 6), ("u", "dune", 7)]);
    let split = next_clicks(&train, &test).unwrap();
    let want = [
        "t#000002 FoldedIn: emma ->  +1",
        "t#000003 FoldedIn: emma -> emma +0",
        "t#000004 FoldedIn: emma emma -> dune +0",
    ];
    assert_eq!(described(&split), want);
    assert!(split.again);
    assert!(next_clicks(&train, &toy(TimeAxis::None, "t: emma dune")).is_err(), "without time there is no next");
}

#[test]
fn readers_of_few_books_can_be_left_out() {
    let of = |least| of_readers_with(&ordered(&FOUR_READERS), least).readers().len();
    assert_eq!((of(1), of(2), of(3)), (5, 3, 1));
}

#[test]
fn nothing_of_the_future_reaches_the_past() {
    let split = global_time(&ordered(&FOUR_READERS), 0.5).unwrap();
    assert!(split.train.newest().unwrap() < split.cut.unwrap());
    assert!(split.train.catalogue().row("new").is_none(), "a book of the future is not even a zero column");
    assert!(split.train.readers().iter().all(|reader| reader.as_str() != "dee"));
    let popularity = crate::popularity::of_books(&split.train, None);
    let dune = split.train.catalogue().row("dune").unwrap();
    assert_eq!(popularity[dune.index()], 2.0, "dee's later reading does not count");
}

#[test]
fn a_cut_before_everything_leaves_nothing_to_learn_from() {
    let dataset = ordered(&FOUR_READERS);
    assert_eq!(described(&at_time(&dataset, 7).unwrap()), described(&global_time(&dataset, 0.5).unwrap()));
    assert!(matches!(at_time(&dataset, 1), Err(Error::CannotSplit(_))));
    assert!(matches!(at_time(&dataset, 12), Err(Error::CannotSplit(_))), "and one after it, nothing to foresee");
}

#[test]
fn equal_times_stand_on_one_side() {
    let rows = [("ann", "a", 1), ("ann", "b", 2), ("bob", "a", 2), ("bob", "c", 2), ("ann", "c", 3)];
    let split = global_time(&ordered(&rows), 0.5).unwrap();
    assert_eq!((split.cut, split.train.interactions().len()), (Some(2), 1));
    let at_once = ordered(&[("ann", "a", 5), ("bob", "b", 5)]);
    assert!(matches!(global_time(&at_once, 0.2), Err(Error::CannotSplit(_))));
}

#[test]
fn a_listed_book_is_known_before_it_is_read() {
    let mut builder = Builder::new(TimeAxis::Order);
    builder.list([Book::bare("new".parse().unwrap())]);
    for (reader, book, at) in FOUR_READERS {
        builder.add(&reader.parse().unwrap(), &book.parse().unwrap(), at, 1.0);
    }
    let split = global_time(&builder.finish().0, 0.5).unwrap();
    assert_eq!(described(&split)[0], "ann Warm: dune emma -> ulysses new +0");
}

#[test]
fn a_given_split_is_taken_as_it_is() {
    let train = toy(TimeAxis::None, "ann: a b | bob: b c");
    let test = toy(TimeAxis::None, "ann: c b | zoe: a b c d");
    let split = given(&train, &test).unwrap();
    assert_eq!(described(&split), ["ann Warm: a b -> c +0", "zoe FoldedIn: a c -> b +1"]);
}

#[test]
fn a_random_split_holds_out_a_share_of_each_reader() {
    let dataset = toy(TimeAxis::None, "ann: a b c d e f g h | bob: a b c d | cy: a");
    let split = random_by_reader(&dataset, 3, 0.25).unwrap();
    let sizes: Vec<(usize, usize)> =
        split.cases.iter().map(|case| (case.history.len(), case.targets.len() + case.n_cold_targets)).collect();
    assert_eq!(sizes, [(6, 2), (3, 1)]);
    assert_eq!(described(&split), described(&random_by_reader(&dataset, 3, 0.25).unwrap()));
    assert_ne!(described(&split), described(&random_by_reader(&dataset, 4, 0.25).unwrap()));
}

#[test]
fn held_out_readers_are_strangers_to_the_past() {
    let dataset = toy(TimeAxis::Order, "ann: a b c d e | bob: b c d e a | cy: c d e a b | dee: a b c d e | eve: a");
    let split = held_out_readers(&dataset, 3, 1, 2, 0.8).unwrap();
    assert_eq!((split.validation.cases.len(), split.test.cases.len()), (1, 2));
    for case in split.validation.cases.iter().chain(&split.test.cases) {
        assert!(split.test.train.readers().binary_search(&case.reader).is_err(), "{}", case.reader);
        assert!(case.reader.as_str() != "eve", "one book cannot be both input and target");
        assert_eq!((case.history.len(), case.targets.len(), case.segment), (4, 1, Segment::FoldedIn));
        assert!(!case.history.contains(&case.targets[0]));
    }
    assert!(split.validation.cases[0].reader != split.test.cases[0].reader);
    assert_eq!(split.validation.train.digest(), split.test.train.digest());
    let again = |seed| described(&held_out_readers(&dataset, seed, 1, 2, 0.8).unwrap().test);
    assert_eq!(described(&split.test), again(3));
    assert!((4..12).any(|seed| again(seed) != again(3)));
}

#[test]
fn a_held_out_readers_own_books_are_misses() {
    // Whoever is held out, book x is theirs alone.
    let dataset = toy(TimeAxis::Order, "ann: a x1 | bob: a x2 | cy: a x3");
    let split = held_out_readers(&dataset, 1, 1, 1, 0.5).unwrap();
    for case in split.validation.cases.iter().chain(&split.test.cases) {
        // Either x is folded in, where it is dropped, and a is foreseen, or the other way round.
        assert_eq!(case.targets.len() + case.n_cold_targets, 1);
        assert_eq!(case.history.len(), case.n_cold_targets);
    }
    assert!(matches!(held_out_readers(&dataset, 1, 2, 1, 0.5), Err(Error::CannotSplit(_))), "nobody is left");
    assert!(matches!(held_out_readers(&dataset, 1, 0, 1, 0.5), Err(Error::CannotSplit(_))), "and nothing to choose by");
}
