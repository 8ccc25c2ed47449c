use ndarray::array;

use super::*;
use crate::{
    artifact::Objective,
    blend::{Blend, Member},
    book::Book,
    catalogue::{BookRef, Catalogue},
    readers::Readers,
    spectral::Spectral,
};

fn catalogue(ids: &str) -> Catalogue {
    Catalogue::new(ids.split(' ').map(|id| Book::bare(id.parse().unwrap())))
}

/// Three books with factors (1,0), (0,1), (1,1): Gram eigenvalues 1 and 3.
fn three_factors() -> Factors {
    let half = 0.5_f32.sqrt();
    // Rotation Q' = [(1,-1), (1,1)] / sqrt 2 applied to each book.
    let rotated = array![[half, half], [-half, half], [0.0, 2.0 * half]];
    let objective = Objective { unobserved_weight: 0.1, regularization: 0.1, frequency_exponent: 1.0 };
    Factors::new(rotated, array![1.0, 3.0], objective).unwrap()
}

#[test]
fn fold_in_gives_the_hand_computed_scores() {
    // One book (1,1): r = .1 (1 + .3) = .13, ([1.33, 1.1], [1.1, 1.33]) x = (1, 1), so x = (.411523, .411523).
    let one = three_factors();
    let scores = one.books().dot(&one.fold_in(&[BookRow(2)]));
    for (got, want) in scores.iter().zip([0.411_523, 0.411_523, 0.823_045]) {
        assert!((got - want).abs() < 1e-5, "{got} {want}");
    }
    // Books (1,0) and (1,1), the primal side since s = d: x = (.7771, .1015) in the original basis.
    let scores = one.books().dot(&one.fold_in(&[BookRow(0), BookRow(2)]));
    for (got, want) in scores.iter().zip([0.7771, 0.1015, 0.8786]) {
        assert!((got - want).abs() < 1e-4, "{got} {want}");
    }
}

#[test]
fn the_solver_solves() {
    let x = solve_in_place(array![[4.0, 2.0], [2.0, 5.0]], array![8.0, 12.0]);
    assert!((x[0] - 1.0).abs() < 1e-12 && (x[1] - 2.0).abs() < 1e-12);
}

fn neighbours() -> Artifact {
    // a -> b .5, a -> c .2; b -> c .1; d has no neighbours and is the most popular.
    let rows = vec![BookRow(1), BookRow(2), BookRow(2)];
    let scorer = Neighbours::new(4, vec![0, 2, 3, 3, 3], rows, vec![0.5, 0.2, 0.1]).unwrap();
    let readers = Readers::new([("ann".parse().unwrap(), vec![BookRow(0)])]);
    Artifact::new(catalogue("a b c d"), vec![1.0, 2.0, 3.0, 9.0], Scorer::Neighbours(scorer), readers).unwrap()
}

fn ask(artifact: &Artifact, history: &[BookRow], k: usize, include_seen: bool) -> (String, Origin) {
    let query = Query { history, k, include_seen, exclude: &[] };
    let answer = artifact.recommend(query, &mut Scratch::default());
    let ids: Vec<&str> = answer.books.iter().map(|scored| artifact.catalogue().book(scored.row).item_id()).collect();
    (ids.join(" "), answer.origin)
}

#[test]
fn places_without_evidence_are_filled_by_popularity() {
    let model = neighbours();
    assert_eq!(ask(&model, &[BookRow(0)], 2, false), ("b c".into(), Origin::Model));
    assert_eq!(ask(&model, &[BookRow(0)], 3, false), ("b c d".into(), Origin::FilledFromPopularity));
    assert_eq!(ask(&model, &[], 2, false), ("d c".into(), Origin::Popularity));
}

#[test]
fn seen_books_return_only_when_asked_for() {
    let model = neighbours();
    assert_eq!(ask(&model, &[BookRow(1)], 9, false).0, "c d a");
    assert_eq!(ask(&model, &[BookRow(1)], 9, true).0, "c d b a");
}

#[test]
fn unavailable_and_excluded_books_never_appear() {
    let mut shelf: Vec<Book> = catalogue("a b c").books().map(BookRef::to_book).collect();
    shelf[1].available = false;
    let popular =
        Artifact::new(Catalogue::new(shelf), vec![1.0, 3.0, 2.0], Scorer::Popularity, Readers::new([])).unwrap();
    let query = Query { history: &[], k: 9, include_seen: false, exclude: &[BookRow(2)] };
    let answer = popular.recommend(query, &mut Scratch::default());
    assert_eq!(answer.books, [Scored { row: BookRow(0), score: 1.0 }]);
    assert_eq!(answer.origin, Origin::Model, "a popularity model answers by popularity on purpose");
}

#[test]
fn a_book_read_long_ago_is_not_offered_again() {
    let ids: Vec<String> = (0..300).map(|i| format!("b{i:03}")).collect();
    let shelf = Catalogue::new(ids.iter().map(|id| Book::bare(id.parse().unwrap())));
    let all: Vec<BookRow> = (0..299).map(BookRow).collect();
    let readers = Readers::new([("ann".parse().unwrap(), all)]);
    let model = Artifact::new(shelf, vec![1.0; 300], Scorer::Popularity, readers).unwrap();
    let history = model.history_of(Some("ann"), &[]);
    assert_eq!(ask(&model, &history.rows, 9, false).0, "b299");
}

#[test]
fn histories_join_with_the_newest_place_kept() {
    let model = neighbours();
    let sent: Vec<BookId> = ["c", "a", "nowhere"].iter().map(|id| id.parse().unwrap()).collect();
    let joined = model.history_of(Some("ann"), &sent);
    assert_eq!(joined, KnownHistory { rows: vec![BookRow(2), BookRow(0)], reader_known: true, unknown_books: 1 });
    assert!(!model.history_of(Some("bob"), &sent).reader_known);
}

#[test]
fn a_spectral_model_adds_what_is_near_and_what_is_smooth() {
    let near = Neighbours::new(3, vec![0, 1, 1, 1], vec![BookRow(1)], vec![0.5]).unwrap();
    let spectral = Spectral::new(near, &array![[1.0], [0.0], [2.0]], &array![[0.0], [1.0], [0.25]]).unwrap();
    let model = Artifact::new(catalogue("a b c"), vec![1.0; 3], Scorer::Spectral(spectral), Readers::new([])).unwrap();
    // After a and c the reader is 1 + 2 = 3: a 0, b .5 + 3, c .75.
    let scores = model.scores(&[BookRow(0), BookRow(2)], &mut Scratch::default()).to_vec();
    assert_eq!(scores, [0.0, 3.5, 0.75]);
}

#[test]
fn members_of_a_blend_count_by_weight_whatever_their_scale() {
    let to = |weights: [f32; 2]| {
        let rows = vec![BookRow(1), BookRow(2)];
        Scorer::Neighbours(Neighbours::new(3, vec![0, 2, 2, 2], rows, weights.into()).unwrap())
    };
    // From a, one member says b 3, c 0; the other, a thousand times as loud, b 0, c 3,000: alike once both are divided
    // by their spreads, (9/3 - 1)^1/2 = 2^1/2 and a thousand times that.
    let blend = |first, second| {
        let members = [(first, to([3.0, 0.0])), (second, to([0.0, 3000.0]))];
        let members = members.map(|(weight, scorer)| Member { weight, scorer });
        let scorer = Scorer::Blend(Blend::new(members.into()).unwrap());
        let model = Artifact::new(catalogue("a b c"), vec![1.0; 3], scorer, Readers::new([])).unwrap();
        model.scores(&[BookRow(0)], &mut Scratch::default()).to_vec()
    };
    for (weights, want) in [((0.5, 0.5), [0.0, 0.5, 0.5]), ((0.9, 0.1), [0.0, 0.9, 0.1])] {
        let got = blend(weights.0, weights.1);
        for (got, want) in got.iter().zip(want.map(|w| w * 3.0 / 2.0_f32.sqrt())) {
            assert!((got - want).abs() < 1e-6, "{weights:?}: {got} {want}");
        }
    }
}

#[test]
fn a_member_without_an_opinion_changes_nothing() {
    let quiet = Scorer::Neighbours(Neighbours::new(4, vec![0; 5], vec![], vec![]).unwrap());
    let Scorer::Neighbours(spoken) = neighbours().scorer().clone() else { panic!("these are neighbours") };
    let members = [(0.5, quiet), (0.5, Scorer::Neighbours(spoken))].map(|(weight, scorer)| Member { weight, scorer });
    let scorer = Scorer::Blend(Blend::new(members.into()).unwrap());
    let model = Artifact::new(catalogue("a b c d"), vec![1.0, 2.0, 3.0, 9.0], scorer, Readers::new([])).unwrap();
    assert_eq!(ask(&model, &[BookRow(0)], 3, false), ("b c d".into(), Origin::FilledFromPopularity));
}
