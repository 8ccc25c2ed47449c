//! One suite, every family of scorers: what a list under rules must be whatever ranks it.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2};
use proptest::prelude::*;

use super::*;
use crate::{
    artifact::{Factors, Neighbours, Objective, Scorer},
    blend::{Blend, Member},
    book::Book,
    catalogue::{BookRef, Catalogue},
    id::BookRow,
    readers::Readers,
    rules::Filter,
    sessions::{Sessions, Walk},
    spectral::Spectral,
};

/// Numbers in [0, 1) from a fixed hash.
fn noise(seed: usize) -> f32 {
    let mut x = (seed as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((x >> 40) as f32) / 16_777_216.0
}

/// Books in four languages or none, by one or two of seven authors, every fifth not to be sold.
fn shop(n_books: usize) -> Catalogue {
    Catalogue::new((0..n_books).map(|n| {
        let language = [Some("en"), Some("en-GB"), None, Some("de"), Some("EN"), Some("fr")][n % 6];
        let mut authors = vec![format!("author {}", n * n % 7)];
        authors.extend((n % 2 == 0).then(|| format!("author {}", n % 3)));
        Book {
            title: Some(if n % 3 == 0 { format!("Title {n} (Series {}, #1)", n % 4) } else { format!("Title {n}") }),
            authors: if n % 13 == 0 { vec![] } else { authors },
            subjects: vec![format!("subject {}", n % 4), format!("subject {}", n % 5)],
            language: language.map(str::to_owned),
            available: n % 5 != 3,
            ..Book::bare(format!("b{n:05}").parse().unwrap())
        }
    }))
}

fn factors(n_books: usize, d: usize) -> Factors {
    // Quarters only, so that scores tie.
    let values = Array2::from_shape_fn((n_books, d), |(row, j)| (noise(row * d + j) * 8.0).floor() / 4.0 - 1.0);
    let objective = Objective { unobserved_weight: 0.1, regularization: 0.1, frequency_exponent: 0.5 };
    Factors::new(values, Array1::from_elem(d, 2.0), objective).unwrap()
}

fn neighbours(n_books: usize) -> Neighbours {
    let steps = [1, 2, 5, 9];
    let targets = |row: usize| {
        let mut targets: Vec<usize> = steps.iter().map(|step| (row + step) % n_books).collect();
        targets.sort_unstable();
        targets
    };
    let all: Vec<BookRow> = (0..n_books).flat_map(targets).map(|row| BookRow(row as u32)).collect();
    let weights = (0..all.len()).map(|n| 0.25 + (noise(n) * 4.0).floor()).collect();
    Neighbours::new(n_books, (0..=n_books as u32).map(|row| 4 * row).collect(), all, weights).unwrap()
}

fn sessions(n_books: usize) -> Sessions {
    let books = |session: usize| [session % n_books, (session + 1) % n_books, (session + 4) % n_books];
    let n_sessions = 2 * n_books;
    let holding = |book: usize| (0..n_sessions).rev().filter(move |session| books(*session).contains(&book));
    let postings: Vec<Vec<u32>> =
        (0..n_books).map(|book| holding(book).map(|session| session as u32).collect()).collect();
    let ends = postings.iter().scan(0, |end, list| {
        *end += list.len() as u32;
        Some(*end)
    });
    let walk = Walk { clicks: 4, sample: 40, neighbours: 20 };
    let all = (0..n_sessions).flat_map(books).map(|row| BookRow(row as u32)).collect();
    let offsets = (0..=n_sessions as u32).map(|session| 3 * session).collect();
    let posted = (std::iter::once(0).chain(ends).collect(), postings.concat());
    Sessions::new((offsets, all), posted, vec![1.0; n_books], walk).unwrap()
}

/// Every family over a small shop, and factors over one large enough for a coarse copy.
fn every_family() -> Vec<Artifact> {
    let n = 60;
    let matrix = |seed: usize| Array2::from_shape_fn((n, 3), |(row, j)| noise(seed + row * 3 + j) - 0.5);
    let spectral = Spectral::new(neighbours(n), &matrix(0), &matrix(999)).unwrap();
    let members = [(0.5, Scorer::Factors(factors(n, 4))), (0.5, Scorer::Neighbours(neighbours(n)))];
    let blend = Blend::new(members.map(|(weight, scorer)| Member { weight, scorer }).into()).unwrap();
    let small = [
        Scorer::Popularity,
        Scorer::Neighbours(neighbours(n)),
        Scorer::Factors(factors(n, 4)),
        Scorer::Spectral(spectral),
        Scorer::Sessions(sessions(n)),
        Scorer::Blend(blend),
    ];
    let model = |scorer: Scorer, n: usize| {
        let popularity = (0..n).map(|row| (noise(row) * 9.0).floor()).collect();
        Artifact::new(shop(n), popularity, scorer, Readers::new([])).unwrap()
    };
    let large = model(Scorer::Factors(factors(2_200, 16)), 2_200);
    small.into_iter().map(|scorer| model(scorer, n)).chain([large]).collect()
}

/// What a filter's words say, read off one book.
fn lets_through(filter: &Filter, book: BookRef<'_>) -> bool {
    let speaks = |language: &String| {
        let tag = book.language().unwrap_or_default().to_lowercase();
        tag == language.to_lowercase() || tag.starts_with(&format!("{}-", language.to_lowercase()))
    };
    (filter.include_unavailable || book.is_available())
        && (filter.languages.is_empty() || filter.languages.iter().any(speaks))
        && !book.authors().any(|author| filter.exclude_authors.iter().any(|not| not == author))
        && !book.subjects().any(|subject| filter.exclude_subjects.iter().any(|not| not == subject))
}

/// The whole ranking under a filter, in the plainest way: all scores, then the filter, then a sort; then by popularity.
fn whole_ranking(model: &Artifact, query: Query<'_>, filter: &Filter) -> Vec<Scored> {
    let rows = || (0..model.catalogue().len() as u32).map(BookRow);
    let eligible = |row: &BookRow| {
        lets_through(filter, model.catalogue().book(*row))
            && (query.include_seen || !query.history.contains(row))
            && !query.exclude.contains(row)
    };
    let ranked = |scores: &[f32], silent: bool| {
        let each = rows().filter(eligible).map(|row| Scored { row, score: scores[row.index()] });
        let mut list: Vec<Scored> = each.filter(|scored| !silent || scored.score != 0.0).collect();
        list.sort_by(|a, b| b.cmp(a));
        list
    };
    let popular = ranked(model.popularity(), false);
    if query.history.is_empty() || matches!(model.scorer(), Scorer::Popularity) {
        return popular;
    }
    let scores = model.scores(query.history, &mut Scratch::default()).to_vec();
    let mut list = ranked(&scores, model.scorer().is_silent_at_zero());
    let own: Vec<BookRow> = list.iter().map(|scored| scored.row).collect();
    list.extend(
        popular.iter().filter(|scored| !own.contains(&scored.row)).map(|scored| Scored { score: 0.0, ..*scored }),
    );
    list
}

fn bits(list: &[Scored]) -> Vec<(u32, u32)> {
    list.iter().map(|scored| (scored.row.0, scored.score.to_bits())).collect()
}

fn some_of<const N: usize>(words: [&'static str; N]) -> impl Strategy<Value = Vec<String>> {
    prop::sample::subsequence(words.to_vec(), 0..=2).prop_map(|words| words.into_iter().map(str::to_owned).collect())
}

fn filters() -> impl Strategy<Value = Filter> {
    let authors = ["author 0", "author 1", "author 2", "author 4", "nobody"];
    (any::<bool>(), some_of(["en", "de", "FR", "xx"]), some_of(authors), some_of(["subject 0", "subject 3", "none"]))
        .prop_map(|(include_unavailable, languages, exclude_authors, exclude_subjects)| Filter {
            include_unavailable,
            languages,
            exclude_authors,
            exclude_subjects,
        })
}

type Numbers = (Vec<u32>, usize, bool, Vec<u32>);

fn questions() -> impl Strategy<Value = Numbers> {
    let rows = || prop::collection::vec(any::<u32>(), 0..6);
    (rows(), prop_oneof![1_usize..12, 12_usize..90], any::<bool>(), rows())
}

/// Asks every family the same question.
fn ask_all(
    models: &[Artifact],
    (read, k, include_seen, not): &Numbers,
    rules: &Rules,
    mut look: impl FnMut(&Artifact, Query<'_>, Recommendation) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    for model in models {
        let rows = |numbers: &[u32]| -> Vec<BookRow> {
            numbers.iter().map(|n| BookRow(n % model.catalogue().len() as u32)).collect()
        };
        let (history, exclude) = (rows(read), rows(not));
        let query = Query { history: &history, k: *k, include_seen: *include_seen, exclude: &exclude };
        look(model, query, model.recommend_under(query, rules, &mut Scratch::default()))?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn under_a_filter_the_best_of_what_it_lets_through_come_back(asked in questions(), filter in filters()) {
        let models = every_family();
        let rules = Rules { filter: filter.clone(), ..Rules::default() };
        ask_all(&models, &asked, &rules, |model, query, answer| {
            let mut want = whole_ranking(model, query, &filter);
            want.truncate(query.k);
            prop_assert_eq!(bits(&answer.books), bits(&want), "{}", model.scorer().family());
            let unruled = whole_ranking(model, query, &Filter::default()).len();
            prop_assert_eq!(answer.cut_short, want.len() < query.k && want.len() < unruled);
            Ok(())
        })?;
    }

    #[test]
    fn no_book_outside_the_list_scores_higher_in_double_precision(asked in questions(), filter in filters()) {
        let (n, d) = (2_200, 16);
        let factors = factors(n, d);
        let model = Artifact::new(shop(n), vec![0.0; n], Scorer::Factors(factors.clone()), Readers::new([])).unwrap();
        let rules = Rules { filter: filter.clone(), ..Rules::default() };
        ask_all(&[model], &asked, &rules, |model, query, answer| {
            let reader = factors.fold_in(query.history).mapv(f64::from);
            let score = |row: BookRow| factors.books().row(row.index()).mapv(f64::from).dot(&reader);
            // d + 2 roundings of sums of at most |x||y|, on both sides of a comparison; |y| is at most sqrt(d).
            let slack = 2.0 * (d + 2) as f64 * 2.0_f64.powi(-24) * reader.dot(&reader).sqrt() * (d as f64).sqrt();
            let listed: Vec<BookRow> = answer.books.iter().map(|scored| scored.row).collect();
            let least = listed.iter().map(|row| score(*row)).fold(f64::INFINITY, f64::min);
            for scored in whole_ranking(model, query, &filter).iter().filter(|s| !listed.contains(&s.row)) {
                prop_assert!(query.history.is_empty() || score(scored.row) <= least + slack);
            }
            Ok(())
        })?;
    }

    #[test]
    fn caps_take_the_best_they_allow_however_far_down(
        asked in questions(),
        filter in filters(),
        max_per_author in prop_oneof![Just(None), (1_usize..4).prop_map(Some)],
        max_per_series in prop_oneof![Just(None), (1_usize..4).prop_map(Some)],
    ) {
        let models = every_family();
        let rules = Rules { filter: filter.clone(), max_per_author, max_per_series, diversity: 0.0 };
        ask_all(&models, &asked, &rules, |model, query, answer| {
            let mut taken: BTreeMap<String, usize> = BTreeMap::new();
            let mut want = whole_ranking(model, query, &filter);
            want.retain(|scored| {
                let book = model.catalogue().book(scored.row);
                let title = book.title().unwrap();
                let series = title.split_once('(').map(|(_, series)| (series.to_owned(), max_per_series));
                let mut authors: Vec<String> = book.authors().map(str::to_owned).collect();
                authors.dedup();
                let names = authors.into_iter().map(|author| (author, max_per_author)).chain(series);
                let names: Vec<(String, usize)> = names.filter_map(|(name, most)| Some((name, most?))).collect();
                let fits = names.iter().all(|(name, most)| taken.get(name).is_none_or(|times| times < most));
                if fits {
                    for (name, _) in names {
                        *taken.entry(name).or_default() += 1;
                    }
                }
                fits
            });
            want.truncate(query.k);
            prop_assert_eq!(bits(&answer.books), bits(&want), "{}", model.scorer().family());
            Ok(())
        })?;
    }

    #[test]
    fn diversity_changes_the_choice_and_neither_the_filter_nor_the_length(
        asked in questions(),
        filter in filters(),
        diversity in 0.01_f32..=1.0,
    ) {
        let models = every_family();
        let rules = Rules { filter: filter.clone(), diversity, ..Rules::default() };
        ask_all(&models, &asked, &rules, |model, query, answer| {
            let whole = whole_ranking(model, query, &filter);
            prop_assert_eq!(answer.books.len(), query.k.min(whole.len()));
            let mut rows: Vec<BookRow> = answer.books.iter().map(|scored| scored.row).collect();
            let candidates: Vec<(u32, u32)> = bits(&whole[..whole.len().min(5 * query.k)]);
            prop_assert!(bits(&answer.books).iter().all(|book| candidates.contains(book)));
            let own = answer.books[..answer.n_own].iter();
            prop_assert!(answer.origin != Origin::Model || own.len() == rows.len());
            rows.sort_unstable();
            rows.dedup();
            prop_assert_eq!(rows.len(), answer.books.len(), "no book comes twice");
            // Relevance decides who comes first of all.
            prop_assert!(diversity > 0.99 || answer.books.first().map(|s| s.row) == whole.first().map(|s| s.row));
            Ok(())
        })?;
    }
}

#[test]
fn rules_that_ask_for_nothing_change_no_bit() {
    for model in every_family() {
        let history = [BookRow(1), BookRow(7)];
        let query = Query { history: &history, k: 15, include_seen: false, exclude: &[BookRow(2)] };
        let plain = model.recommend(query, &mut Scratch::default());
        assert_eq!(model.recommend_under(query, &Rules::default(), &mut Scratch::default()), plain);
        assert_eq!(model.recommend_many(&[query]), [plain]);
    }
}

#[test]
fn a_list_of_one_author_becomes_a_list_of_several() {
    // After book 0 come 1, 2 and 3, by score; 1 and 2 are Ann's, 3 is Bob's.
    let books = [("a", "Eve"), ("b", "Ann"), ("c", "Ann"), ("d", "Bob")];
    let books = books.map(|(id, author)| Book { authors: vec![author.into()], ..Book::bare(id.parse().unwrap()) });
    let targets = [1, 2, 3].map(BookRow).to_vec();
    let near = Neighbours::new(4, vec![0, 3, 3, 3, 3], targets, vec![1.0, 0.9, 0.5]).unwrap();
    let model = Artifact::new(Catalogue::new(books), vec![1.0; 4], Scorer::Neighbours(near), Readers::new([])).unwrap();
    let listed = |rules: Rules| {
        let query = Query { history: &[BookRow(0)], k: 2, include_seen: false, exclude: &[] };
        let answer = model.recommend_under(query, &rules, &mut Scratch::default());
        (answer.books.iter().map(|scored| scored.row.0).collect::<Vec<_>>(), answer.origin, answer.cut_short)
    };
    assert_eq!(listed(Rules::default()), (vec![1, 2], Origin::Model, false));
    let one_each = Rules { max_per_author: Some(1), ..Rules::default() };
    assert_eq!(listed(one_each.clone()), (vec![1, 3], Origin::Model, false));
    // Scaled: 1, .8, 0. At .6 the second of Ann's is worth .32 - .36 = -.04, Bob's 0; at .5 .40 - .30 against 0.
    assert_eq!(listed(Rules { diversity: 0.6, ..Rules::default() }).0, [1, 3]);
    assert_eq!(listed(Rules { diversity: 0.5, ..Rules::default() }).0, [1, 2]);
    let filter = Filter { exclude_authors: vec!["Bob".into()], ..Filter::default() };
    assert_eq!(listed(Rules { filter, ..one_each }), (vec![1], Origin::Model, true));
}
