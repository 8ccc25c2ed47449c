use std::sync::Arc;

use models::{Artifact, Book, Catalogue, Filter, Readers, Rules, Scorer};

use super::*;
use crate::current::Resident;

/// Books in the order in which the version likes them, each `id:author:title`.
fn version(number: u32, arm: Arm, books: &str, language: Option<&str>) -> Resident {
    let book = |text: &str| {
        let parts: Vec<&str> = text.split(':').collect();
        Book {
            title: Some(parts[2].replace('_', " ")),
            authors: vec![parts[1].into()],
            language: language.map(str::to_owned),
            ..Book::bare(parts[0].parse().unwrap())
        }
    };
    let liked: Vec<Book> = books.split_whitespace().map(book).collect();
    let n = liked.len();
    let mut popularity: Vec<(String, f32)> =
        liked.iter().zip(0_u8..).map(|(book, place)| (book.item_id.to_string(), n as f32 - f32::from(place))).collect();
    popularity.sort_by(|a, b| a.0.cmp(&b.0));
    let popularity = popularity.into_iter().map(|(_, value)| value).collect();
    let artifact = Artifact::new(Catalogue::new(liked), popularity, Scorer::Popularity, Readers::new([])).unwrap();
    Resident { version: number.try_into().unwrap(), arm, digest: String::new(), artifact: Arc::new(artifact) }
}

fn snapshot(stable: &str, canary: &str) -> Snapshot {
    let canary = Some(version(2, Arm::Canary, canary, None));
    Snapshot { canary, ..Snapshot::fixed(version(1, Arm::Stable, stable, Some("en"))) }
}

fn ask(k: usize, rules: Rules) -> Ask {
    Ask { k, rules, reader: "ann".parse().ok(), ..Ask::default() }
}

/// The list, stable beginning each turn, and its reason.
fn told(snapshot: &Snapshot, ask: &Ask, has_time: bool) -> (String, Option<&'static str>) {
    let answer = both(snapshot, ask, 0, || has_time, &mut Scratch::default()).unwrap();
    assert!(answer.interleaved && !answer.assigned.counted && answer.served == Arm::Stable);
    let side = |place: usize| answer.draft.as_ref().map_or(Arm::Stable, |draft| draft[place].side);
    let books = answer.books.iter().enumerate();
    let ids: Vec<&str> = books
        .map(|(place, scored)| snapshot.resident(side(place)).artifact.catalogue().book(scored.row).item_id())
        .collect();
    (ids.join(" "), answer.fallback.map(Fallback::as_str))
}

const STABLE: &str = "a:Ann:Emma_(Highbury,_#1) b:Bob:B c:Cy:C d:Dee:D";
/// e, f and g are unknown to stable.
const CANARY: &str = "e:Ann:E f:Eve:Mist_(Highbury,_#2) c:Cy:C g:Gil:G";

#[test]
fn each_side_brings_books_the_other_has_never_heard_of() {
    let snapshot = snapshot(STABLE, CANARY);
    assert_eq!(told(&snapshot, &ask(4, Rules::default()), true), ("a e b f".into(), None));
    let answer = both(&snapshot, &ask(9, Rules::default()), 0, || true, &mut Scratch::default()).unwrap();
    let teams: Vec<Option<Arm>> = answer.draft.iter().flatten().map(|place| place.team).collect();
    let (s, c) = (Some(Arm::Stable), Some(Arm::Canary));
    // a e b f, c in third place of both, then g and d.
    assert_eq!(teams, [s, c, s, c, None, c, s]);
    assert_eq!((answer.variant(), answer.list_popularity), ("interleaved", None));
}

#[test]
fn caps_hold_for_the_list_that_is_shown() {
    let snapshot = snapshot(STABLE, CANARY);
    let by_author = Rules { max_per_author: Some(1), ..Rules::default() };
    assert_eq!(told(&snapshot, &ask(4, by_author.clone()), true), ("a f b c".into(), None), "e is Ann's second");
    let by_series = Rules { max_per_series: Some(1), ..Rules::default() };
    assert_eq!(told(&snapshot, &ask(4, by_series), true), ("a e b c".into(), None), "f is Highbury's second");
    assert_eq!(told(&snapshot, &ask(9, by_author), true), ("a f b c d g".into(), None));
}

/// One book of an author is let in: where all are by one, one book is all there is.
#[test]
fn a_list_that_caps_cut_short_says_so() {
    let rules = Rules { max_per_author: Some(1), ..Rules::default() };
    let both_by_one = snapshot("a:Ann:A b:Bob:B", "c:Bob:C d:Ann:D");
    assert_eq!(told(&both_by_one, &ask(2, rules.clone()), true), ("a c".into(), None));
    let fewer = snapshot("a:Ann:A", "c:Ann:C d:Ann:D");
    assert_eq!(told(&fewer, &ask(2, rules), true), ("a".into(), Some("filtered-out")));
}

#[test]
fn a_canary_that_is_late_or_has_no_book_leaves_stables_list() {
    let snapshot = snapshot(STABLE, CANARY);
    let late = both(&snapshot, &ask(2, Rules::default()), 0, || false, &mut Scratch::default()).unwrap();
    assert_eq!((late.variant(), late.draft.as_ref(), late.list_popularity.is_some()), ("stable", None, true));
    assert_eq!(told(&snapshot, &ask(2, Rules::default()), false), ("a b".into(), Some("canary-late")));
    let english = Rules { filter: Filter { languages: vec!["en".into()], ..Filter::default() }, ..Rules::default() };
    assert_eq!(told(&snapshot, &ask(2, english), true), ("a b".into(), Some("canary-empty")));
    let latin = Rules { filter: Filter { languages: vec!["la".into()], ..Filter::default() }, ..Rules::default() };
    assert_eq!(told(&snapshot, &ask(2, latin), true), (String::new(), Some("filtered-out")), "neither has one");
}
