use std::sync::Arc;

use models::{
    Book, Catalogue, Factors, Neighbours, Objective, Readers, Scorer, Version, registry::TrialStep, split::Salt,
};

use super::*;
use crate::{
    canary::{Setting, Step},
    config::Options,
    plan::Trial,
};

fn catalogue(ids: &str) -> Catalogue {
    Catalogue::new(ids.split(' ').map(|id| Book::bare(id.parse().unwrap())))
}

/// a -> b .5, a -> c .2, b -> c .1; d is the most popular. Ann has read a.
fn neighbours() -> Artifact {
    let rows = vec![BookRow(1), BookRow(2), BookRow(2)];
    let scorer = Neighbours::new(4, vec![0, 2, 3, 3, 3], rows, vec![0.5, 0.2, 0.1]).unwrap();
    let readers = Readers::new([("ann".parse().unwrap(), vec![BookRow(0)])]);
    Artifact::new(catalogue("a b c d"), vec![1.0, 2.0, 3.0, 9.0], Scorer::Neighbours(scorer), readers).unwrap()
}

/// Finite factors whose products overflow: a reader of a is solved to 1 / 0.1, times 3e38.
fn overflowing() -> Artifact {
    let books = ndarray::arr2(&[[0.1], [3e38], [3e38], [3e38]]);
    let objective = Objective { unobserved_weight: 1e-30, regularization: 1e-30, frequency_exponent: 0.0 };
    let factors = Factors::new(books, ndarray::Array1::from_elem(1, 1e-30), objective).unwrap();
    let popularity = vec![1.0, 2.0, 3.0, 9.0];
    Artifact::new(catalogue("a b c d"), popularity, Scorer::Factors(factors), Readers::new([])).unwrap()
}

fn resident(number: u32, arm: Arm, artifact: Artifact) -> Resident {
    Resident { version: number.try_into().unwrap(), arm, digest: String::new(), artifact: Arc::new(artifact) }
}

fn first_step(version: Version, weight_bp: u16) -> Arc<Step> {
    let options = Options::new("acme-books".parse().unwrap(), "recommender".parse().unwrap());
    let steps = vec![TrialStep { weight_bp, since: jiff::Timestamp::UNIX_EPOCH }];
    let trial = Trial { salt: Salt::new([1; 32]), steps, is_aa: false };
    let setting = Setting { model: &options.model, stable: Version::FIRST, version, options: &options };
    Step::of(&trial, &setting, None).unwrap()
}

fn snapshot(canary: Artifact, weight_bp: u16) -> Snapshot {
    let version: Version = 2.try_into().unwrap();
    Snapshot {
        epoch: 1,
        stable: resident(1, Arm::Stable, neighbours()),
        canary: Some(resident(2, Arm::Canary, canary)),
        step: Some(first_step(version, weight_bp)),
    }
}

fn ask(reader: &str, history: &str, k: usize) -> Ask {
    let history = history.split_whitespace().map(|id| id.parse().unwrap()).collect();
    Ask { reader: reader.parse().ok(), k, history, ..Ask::default() }
}

fn told(snapshot: &Snapshot, ask: &Ask) -> (String, Option<&'static str>, Arm) {
    let assigned = snapshot.assign("acme-books", ask.reader.as_ref());
    let answer = answer(snapshot, assigned, ask, &mut Scratch::default()).unwrap();
    let catalogue = snapshot.resident(answer.served).artifact.catalogue();
    let ids: Vec<&str> = answer.books.iter().map(|scored| catalogue.book(scored.row).item_id()).collect();
    (ids.join(" "), answer.fallback.map(Fallback::as_str), answer.served)
}

#[test]
fn a_stored_history_and_a_sent_one_lead_to_the_same_list() {
    let snapshot = snapshot(neighbours(), 0);
    assert_eq!(told(&snapshot, &ask("ann", "", 2)), ("b c".into(), None, Arm::Stable));
    assert_eq!(told(&snapshot, &ask("bob", "a", 2)), ("b c".into(), None, Arm::Stable));
}

#[test]
fn an_unknown_reader_gets_the_popular_books_and_is_told_so() {
    let snapshot = snapshot(neighbours(), 0);
    assert_eq!(told(&snapshot, &ask("bob", "", 2)), ("d c".into(), Some("cold-reader"), Arm::Stable));
    assert_eq!(told(&snapshot, &ask("ann", "", 3)), ("b c d".into(), Some("sparse-history"), Arm::Stable));
}

#[test]
fn similar_books_follow_from_the_book_alone() {
    let snapshot = snapshot(neighbours(), 10_000);
    let similar = |id: &str| Ask { book: id.parse().ok(), k: 1, ..Ask::default() };
    assert_eq!(told(&snapshot, &similar("b")), ("c".into(), None, Arm::Stable));
    assert_eq!(told(&snapshot, &similar("zz")), ("d".into(), Some("unknown-book"), Arm::Stable));
}

#[test]
fn excluded_books_do_not_appear() {
    let snapshot = snapshot(neighbours(), 0);
    let asked = Ask { exclude: vec!["b".parse().unwrap(), "zz".parse().unwrap()], ..ask("ann", "", 1) };
    assert_eq!(told(&snapshot, &asked).0, "c");
}

#[test]
fn a_list_that_rules_cut_short_says_so_unless_the_canary_is_to_blame() {
    let rules = Rules {
        filter: models::Filter { languages: vec!["en".into()], ..models::Filter::default() },
        ..Rules::default()
    };
    let asked = Ask { rules, ..ask("bob", "a", 2) };
    assert_eq!(told(&snapshot(neighbours(), 0), &asked), (String::new(), Some("filtered-out"), Arm::Stable));
    let asked = Ask { rules: Rules { max_per_author: Some(1), ..Rules::default() }, ..ask("bob", "a", 2) };
    let broken = snapshot(overflowing(), 10_000);
    assert_eq!(told(&broken, &asked), ("b c".into(), Some("canary-not-finite"), Arm::Stable));
}

#[test]
fn a_canary_that_scores_infinity_is_answered_for_by_stable_and_keeps_the_blame() {
    let snapshot = snapshot(overflowing(), 10_000);
    let asked = ask("bob", "a", 2);
    assert_eq!(told(&snapshot, &asked), ("b c".into(), Some("canary-not-finite"), Arm::Stable));
    let assigned = snapshot.assign("acme-books", asked.reader.as_ref());
    assert_eq!(assigned, Assignment { arm: Arm::Canary, counted: true });
    let pinned = snapshot.pinned(2.try_into().unwrap()).unwrap();
    assert_eq!(answer(&snapshot, pinned, &asked, &mut Scratch::default()), Err(Failure::NotFinite));
}

#[test]
fn a_panic_while_scoring_becomes_a_value() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let failed = guarded(&mut Scratch::default(), |_| panic!("a bug in a scorer"));
    std::panic::set_hook(hook);
    assert_eq!(failed, Err(Failure::Panicked));
}

#[test]
fn no_reader_and_no_trial_both_mean_stable_uncounted() {
    let running = snapshot(neighbours(), 10_000);
    let uncounted = Assignment { arm: Arm::Stable, counted: false };
    assert_eq!(running.assign("acme-books", None), uncounted);
    let idle = Snapshot { step: None, ..snapshot(neighbours(), 10_000) };
    assert_eq!(idle.assign("acme-books", "ann".parse().ok().as_ref()), uncounted);
}
