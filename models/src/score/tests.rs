use ndarray::array;
use proptest::prelude::*;
use rayon::prelude::*;

use super::*;
use crate::{
    artifact::{Factors, Neighbours, Objective},
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

/// Factors whose values are few, so that many scores tie or nearly tie; book 3 is not available.
fn coarse_grained(values: &[i8], d: usize, jitter: f32) -> Artifact {
    let n_books = values.len() / d;
    let value = |(place, value): (usize, &i8)| f32::from(*value) / 3.0 + jitter * ((place % 11) as f32 - 5.0);
    let books: Vec<f32> = values[..n_books * d].iter().enumerate().map(value).collect();
    let objective = Objective { unobserved_weight: 0.1, regularization: 0.1, frequency_exponent: 0.5 };
    let books = ndarray::Array2::from_shape_vec((n_books, d), books).unwrap();
    let factors = Factors::new(books, Array1::from_elem(d, 2.0), objective).unwrap();
    let mut shelf: Vec<Book> = (0..n_books).map(|n| Book::bare(format!("b{n:05}").parse().unwrap())).collect();
    if let Some(book) = shelf.get_mut(3) {
        book.available = false;
    }
    let popularity = (0..n_books).map(|n| (n % 5) as f32).collect();
    Artifact::new(Catalogue::new(shelf), popularity, Scorer::Factors(factors), Readers::new([])).unwrap()
}

/// What a full sort of all scores answers.
fn by_sorting(artifact: &Artifact, query: Query<'_>) -> Vec<Scored> {
    let mut scratch = Scratch::default();
    let scores = if query.history.is_empty() {
        artifact.popularity().to_vec()
    } else {
        artifact.scores(query.history, &mut scratch).to_vec()
    };
    let rows = (0..scores.len() as u32).map(BookRow);
    let mut all: Vec<Scored> = rows.zip(scores).map(|(row, score)| Scored { row, score }).collect();
    all.retain(|scored| {
        artifact.catalogue().book(scored.row).is_available()
            && (query.include_seen || !query.history.contains(&scored.row))
            && !query.exclude.contains(&scored.row)
    });
    all.sort_by(|a, b| b.cmp(a));
    all.truncate(query.k);
    all
}

fn bits(list: &[Scored]) -> Vec<(u32, u32)> {
    list.iter().map(|scored| (scored.row.0, scored.score.to_bits())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn one_by_one_and_all_at_once_give_the_lists_of_a_full_sort(
        (values, d) in prop_oneof![
            (prop::collection::vec(-2i8..3, 1..700), 1_usize..9),
            // Enough books for a coarse copy.
            (prop::collection::vec(-2i8..3, 33_000..36_000), 1_usize..20),
        ],
        jitter in prop_oneof![Just(0.0_f32), Just(1e-7), Just(1e-3)],
        asked in prop::collection::vec(
            (prop::collection::vec(any::<u32>(), 0..12), 0_usize..40, any::<bool>(), prop::collection::vec(any::<u32>(), 0..4)),
            1..20,
        ),
    ) {
        let d = d.min(values.len());
        let artifact = coarse_grained(&values, d, jitter);
        let n_books = artifact.catalogue().len() as u32;
        let rows = |numbers: &[u32]| numbers.iter().map(|n| BookRow(n % n_books)).collect::<Vec<_>>();
        let asked: Vec<_> = asked.iter().map(|(read, k, seen, not)| (rows(read), k * k * k, *seen, rows(not))).collect();
        let queries: Vec<Query<'_>> = asked
            .iter()
            .map(|(history, k, include_seen, exclude)| Query { history, k: *k, include_seen: *include_seen, exclude })
            .collect();
        let many = artifact.recommend_many(&queries);
        prop_assert_eq!(many.len(), queries.len());
        for (query, answer) in queries.iter().zip(&many) {
            let alone = artifact.recommend(*query, &mut Scratch::default());
            prop_assert_eq!(bits(&alone.books), bits(&by_sorting(&artifact, *query)));
            prop_assert_eq!(bits(&alone.books), bits(&answer.books));
            prop_assert_eq!(&alone, answer);
        }
    }
}

#[test]
fn every_scorer_answers_many_as_it_answers_one() {
    let model = neighbours();
    let popular =
        Artifact::new(catalogue("a b c d"), vec![1.0, 2.0, 3.0, 9.0], Scorer::Popularity, Readers::new([])).unwrap();
    let histories: Vec<Vec<BookRow>> =
        [&[0][..], &[], &[1], &[3], &[2, 0]].map(|h| h.iter().map(|r| BookRow(*r)).collect()).into();
    for artifact in [model, popular] {
        for k in 0..6 {
            let query = |history| Query { history, k, include_seen: false, exclude: &[BookRow(1)] };
            let queries: Vec<Query<'_>> = histories.iter().map(|history| query(history.as_slice())).collect();
            let alone = queries.iter().map(|query| artifact.recommend(*query, &mut Scratch::default()));
            assert_eq!(artifact.recommend_many(&queries), alone.collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_shorter_list_of_the_same_answer_needs_less_filling() {
    let model = neighbours();
    let query = Query { history: &[BookRow(0)], k: 3, include_seen: false, exclude: &[] };
    let answer = model.recommend(query, &mut Scratch::default());
    assert_eq!((answer.origin, answer.n_own), (Origin::FilledFromPopularity, 2));
    assert_eq!([1, 2, 3].map(|k| answer.origin_of_first(k) == Origin::Model), [true, true, false]);
}

#[test]
fn scores_beyond_all_numbers_are_told() {
    // Ridge .0013: the reader of book a is (.1, .1) / (.02 + .0013) = (4.7, 4.7), and 4.7 times 3e38 is infinite.
    let objective = Objective { unobserved_weight: 0.1, regularization: 0.001, frequency_exponent: 1.0 };
    let factors = Factors::new(array![[0.1, 0.1], [3e38, 0.0], [0.0, -3e38]], array![0.0, 0.0], objective).unwrap();
    let model = Artifact::new(catalogue("a b c"), vec![1.0; 3], Scorer::Factors(factors), Readers::new([])).unwrap();
    let query = Query { history: &[BookRow(0)], k: 3, include_seen: true, exclude: &[] };
    let list = model.recommend(query, &mut Scratch::default()).books;
    let scores: Vec<f32> = list.iter().map(|scored| scored.score).collect();
    assert!(scores[0] == f32::INFINITY && scores[1] < 1.0 && scores[2] == f32::NEG_INFINITY, "{scores:?}");
    assert_eq!(model.recommend_many(&[query])[0].books, list);
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

#[test]
fn a_pool_that_asks_one_by_one_is_not_held_up_by_the_first_answer() {
    let values: Vec<i8> = (0..40_000_usize).map(|n| (n * n % 5) as i8 - 2).collect();
    let model = coarse_grained(&values, 8, 1e-3);
    let ask = |reader: u32| ask(&model, &[BookRow(reader), BookRow(reader + 9)], 5, false).0;
    let lists: Vec<String> = (0..64_u32).into_par_iter().map(ask).collect();
    assert_eq!(lists, (0..64).map(ask).collect::<Vec<_>>());
}
