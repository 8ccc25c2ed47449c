use super::*;
use crate::{
    Algorithm,
    dataset::{TimeAxis, tests::toy},
    split,
};

fn popular(train: &str) -> Artifact {
    Algorithm::named("popularity").unwrap().fit(&toy(TimeAxis::None, train), 0, &|_| ()).unwrap()
}

const TRAIN: &str = "ann: a b | bob: a c | cy: a c | dee: d";
const TEST: &str = "ann: c x | dee: b | zoe: a c";

#[test]
fn lists_are_judged_reader_by_reader() {
    let split = split::given(&toy(TimeAxis::None, TRAIN), &toy(TimeAxis::None, TEST)).unwrap();
    let got = evaluate(&popular(TRAIN), &split, 2);
    // Popular order a(3) c(2) b(1) d(1). ann sees c d: c hits, x cannot. dee sees a c: miss. zoe (read a): c b, hit.
    let recalls: Vec<f64> = got.per_reader.iter().map(|reader| reader.recall).collect();
    assert_eq!(recalls, [0.5, 0.0, 1.0]);
    let all = got.all.as_ref().unwrap();
    assert_eq!((all.n_readers, all.recall.mean, all.hit_rate.mean), (3, 0.5, 2.0 / 3.0));
    assert!((all.recall.se.unwrap() - (0.25_f64 / 3.0).sqrt()).abs() < 1e-12);
    assert_eq!(got.warm.as_ref().unwrap().recall.mean, 0.25);
    assert_eq!(got.folded_in.as_ref().unwrap().recall, Estimate { mean: 1.0, se: None });
    assert_eq!((got.coverage, got.n_eligible, got.cold_book_share), (1.0, 4, 0.25));
}

#[test]
fn several_lengths_at_once_are_each_judged_as_alone() {
    let split = split::given(&toy(TimeAxis::None, TRAIN), &toy(TimeAxis::None, TEST)).unwrap();
    let model = Algorithm::named("item-knn").unwrap().fit(&split.train, 0, &|_| ()).unwrap();
    let ats = [3, 1, 2];
    let alone = ats.map(|at| evaluate(&model, &split, at));
    assert_eq!(evaluate_at(&model, &split, &ats), alone);
    assert!(alone[0].fallback_share > alone[1].fallback_share, "longer lists need more filling: {alone:?}");
}

#[test]
fn readers_asked_at_once_are_judged_as_asked_one_by_one() {
    let reader = |r: usize| {
        let books: Vec<String> = (0..12).map(|step| format!("b{}", (r * 7 + step * (3 + r % 5)) % 40)).collect();
        format!("r{r}: {}", books.join(" "))
    };
    let text = (0..90).map(reader).collect::<Vec<_>>().join(" | ");
    let split = split::random_by_reader(&toy(TimeAxis::None, &text), 5, 0.3).unwrap();
    for name in crate::NAMES {
        let model = Algorithm::named(name).unwrap().fit(&split.train, 1, &|_| ()).unwrap();
        let evaluation = evaluate(&model, &split, 5);
        assert_eq!(evaluation.per_reader.len(), split.cases.len());
        for (case, values) in split.cases.iter().zip(&evaluation.per_reader) {
            let query = Query { history: &case.history, k: 5, include_seen: false, exclude: &[] };
            let list = model.recommend(query, &mut models::Scratch::default()).books;
            let hits: Vec<bool> = list.iter().map(|scored| case.targets.contains(&scored.row)).collect();
            assert_eq!(Some(values.ndcg), ndcg_at(5, &hits, case.targets.len()), "{name}");
            assert_eq!(Some(values.recall), recall_at(5, &hits, case.targets.len()), "{name}");
        }
    }
}

#[test]
fn readers_are_grouped_by_the_length_of_their_history() {
    let split = split::given(&toy(TimeAxis::None, TRAIN), &toy(TimeAxis::None, TEST)).unwrap();
    // ann read two books, dee one; of zoe's two the older one is her history.
    let lengths: Vec<usize> = split.cases.iter().map(|case| case.history.len()).collect();
    assert_eq!(lengths, [2, 1, 1]);
    let groups = evaluate(&popular(TRAIN), &split, 2).by_degree;
    let got: Vec<_> = groups.iter().map(|g| (g.from, g.to, g.summary.n_readers, g.summary.recall.mean)).collect();
    assert_eq!(got, [(1, 1, 2, 0.5), (2, 2, 1, 0.5)]);
}

#[test]
fn books_nobody_took_up_are_counted_apart() {
    let split = split::given(&toy(TimeAxis::None, TRAIN), &toy(TimeAxis::None, TEST)).unwrap();
    // x alone is new, and no list can have it.
    let cold = evaluate(&popular(TRAIN), &split, 2).cold_books.unwrap();
    assert_eq!((cold.n_targets, cold.n_readers, cold.recall.mean), (1, 1, 0.0));
}

#[test]
fn lists_are_described_by_what_they_hold() {
    let split = split::given(&toy(TimeAxis::None, TRAIN), &toy(TimeAxis::None, TEST)).unwrap();
    let got = evaluate(&popular(TRAIN), &split, 1).lists;
    // Seven events: a 3, c 2, b 1, d 1. ann sees c, dee sees a, zoe (read a) sees c: two thirds of exposure on c.
    let want = (2.0 * -(2.0_f64 / 7.0).log2() - (3.0_f64 / 7.0).log2()) / 3.0;
    assert!((got.novelty.unwrap() - want).abs() < 1e-12);
    assert_eq!(got.exposure_gini, crate::metrics::gini(&[1, 0, 2, 0]));
    assert_eq!((got.diversity_by_subject, got.miscalibration_by_subject), (None, None), "books without metadata");
}

#[test]
fn a_model_of_another_night_is_judged_on_the_books_it_knows() {
    let split = split::given(&toy(TimeAxis::None, TRAIN), &toy(TimeAxis::None, TEST)).unwrap();
    // This one numbers its books otherwise and has never heard of b, c and d.
    let got = evaluate(&popular("ann: 0 1 a | bob: 0"), &split, 2);
    assert_eq!(got.ndcg(), Some(0.0));
    assert_eq!(got.cold_book_share, 1.0);
}

#[test]
fn models_are_compared_on_the_readers_they_share() {
    let split = split::given(&toy(TimeAxis::None, TRAIN), &toy(TimeAxis::None, TEST)).unwrap();
    let one = evaluate(&popular(TRAIN), &split, 2);
    let mut fewer = one.clone();
    fewer.per_reader.remove(1);
    let compared = one.compared_with(&fewer, 1).unwrap();
    assert_eq!((compared.n, compared.mean), (2, 0.0));
}

#[test]
fn a_stored_evaluation_reads_back_without_its_readers() {
    let split = split::given(&toy(TimeAxis::None, TRAIN), &toy(TimeAxis::None, TEST)).unwrap();
    let mut evaluation = evaluate(&popular(TRAIN), &split, 2);
    let json = serde_json::to_string(&evaluation).unwrap();
    evaluation.per_reader.clear();
    assert_eq!(serde_json::from_str::<Evaluation>(&json).unwrap(), evaluation);
}
