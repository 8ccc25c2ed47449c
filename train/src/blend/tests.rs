use super::*;
use crate::{
    dataset::{Builder, TimeAxis, tests::toy},
    item_knn, popularity, rp3beta,
};

fn two() -> Vec<Algorithm> {
    vec![Algorithm::ItemKnn(item_knn::Params::default()), Algorithm::Rp3Beta(rp3beta::Params::default())]
}

fn fitted(params: &Params, dataset: &Dataset) -> Result<Scorer, Error> {
    fit(params, None, dataset, 3, &|_| ())
}

/// 300 readers who took up the books of one of ten circles, in a fixed but scattered order.
fn circles(axis: TimeAxis) -> Dataset {
    let mut builder = Builder::new(axis);
    for reader in 0..300_u32 {
        for step in 0..12_u32 {
            let noise = (reader * 61 + step * 17).wrapping_mul(2_654_435_761) >> 12;
            let book = (reader % 10) * 15 + noise % 15;
            let ids = (format!("r{reader}").parse().unwrap(), format!("b{book}").parse().unwrap());
            builder.add(&ids.0, &ids.1, i64::from(step) + 1, 1.0);
        }
    }
    builder.finish().0
}

#[test]
fn given_shares_are_kept_and_sum_to_one() {
    let params = Params { members: two(), weights: Some(vec![1.0, 3.0]), ..Params::default() };
    let Scorer::Blend(blend) = fitted(&params, &toy(TimeAxis::None, "r1: A B | r2: A B C | r3: B C")).unwrap() else {
        panic!("both members have a share")
    };
    assert_eq!(blend.members().iter().map(|member| member.weight).collect::<Vec<_>>(), [0.25, 0.75]);
}

#[test]
fn a_member_without_a_share_leaves_the_other_alone() {
    let params = Params { members: two(), weights: Some(vec![0.0, 2.0]), ..Params::default() };
    let dataset = toy(TimeAxis::None, "r1: A B | r2: A B C | r3: B C");
    let alone = two()[1].fit_scorer(None, &dataset, 3, &|_| ()).unwrap();
    match (fitted(&params, &dataset).unwrap(), alone) {
        (Scorer::Neighbours(got), Scorer::Neighbours(want)) => assert_eq!(got, want),
        other => panic!("{other:?}"),
    }
}

#[test]
fn too_little_data_to_judge_prefers_no_member() {
    let params = Params { members: two(), ..Params::default() };
    let Scorer::Blend(blend) = fitted(&params, &toy(TimeAxis::None, "r1: A B | r2: A B")).unwrap() else {
        panic!("no member is preferred")
    };
    assert_eq!(blend.members().iter().map(|member| member.weight).collect::<Vec<_>>(), [0.5, 0.5]);
}

#[test]
fn a_window_shows_that_circles_beat_popularity() {
    for axis in [TimeAxis::Order, TimeAxis::None] {
        let split = window::of(&circles(axis), Window::Newest, 0.2, 3).unwrap();
        assert_eq!(split.cut.is_some(), axis == TimeAxis::Order);
        let members = [Algorithm::Popularity(popularity::Params::default()), two().remove(0)];
        let choice = choose(&members, &split, 3, &|_| ()).unwrap();
        assert!(choice.alone[1] > 2.0 * choice.alone[0], "{choice:?}");
        assert!(choice.weights[1] > 0.5, "{choice:?}");
    }
}

#[test]
fn settings_that_make_no_blend_are_refused() {
    let refused = |params: Params| fitted(&params, &toy(TimeAxis::None, "r1: A B")).unwrap_err().to_string();
    let one = refused(Params { members: two()[..1].to_vec(), ..Params::default() });
    assert_eq!(one, "setting members: expected two algorithms or more, found 1");
    let nested = vec![two().remove(0), Algorithm::Blend(Params::default())];
    let nested = refused(Params { members: nested, ..Params::default() });
    assert_eq!(nested, "setting members: expected algorithms that are no blends, found a blend");
    for weights in [vec![1.0], vec![0.0, 0.0], vec![-1.0, 2.0], vec![f64::NAN, 1.0]] {
        assert!(refused(Params { members: two(), weights: Some(weights), ..Params::default() }).contains("weights"));
    }
    let share = refused(Params { validation_share: 0.0, ..Params::default() });
    assert_eq!(share, "setting validation_share: expected a number above 0 and below 1, found 0");
}
