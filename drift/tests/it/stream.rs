//! From events to windows: order, repetition, partitions, lateness and restarts must not change what a window says.

use drift::{Share, WindowBuilder, WindowProfile, WindowSpec, Windower};
use jiff::{SignedDuration, Timestamp};
use models::{
    Book, Catalogue, Version,
    event::{Arm, ModelRef, Outcome, OutcomeKind, Prediction},
};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn catalogue() -> Catalogue {
    Catalogue::new(["dune", "emma", "ubik"].map(|id| {
        let mut book = Book::bare(id.parse().unwrap());
        book.subjects = vec![if id == "emma" { "love" } else { "space" }.into()];
        book
    }))
}

fn version(number: u32) -> Version {
    Version::try_from(number).unwrap()
}

/// Request `id` of a reader whose newest book is `book`, answered by version 1 with one book of score `id`.
fn request(id: u32, reader: &str, book: &str, at: i64) -> Prediction {
    Prediction {
        tenant: "acme-books".parse().unwrap(),
        user_id: reader.parse().unwrap(),
        features: Vec::new(),
        predictions: vec!["dune".parse().unwrap()],
        at: second(at),
        event_id: Some(format!("e{id}")),
        schema_version: 1,
        request_id: Some(format!("q{id}")),
        traceparent: None,
        model: Some(ModelRef {
            name: "books".into(),
            version: version(1),
            alias: "production".into(),
            arm: Arm::Stable,
        }),
        region: None,
        history: vec!["ubik".parse().unwrap(), book.parse().unwrap()],
        scores: vec![id as f32],
        reader_known: Some(id.is_multiple_of(2)),
        list_popularity: Some(0.5),
        fallback: None,
        mode: None,
        teams: Vec::new(),
    }
}

fn click(request: u32, at: i64) -> Outcome {
    Outcome {
        tenant: "acme-books".parse().unwrap(),
        request_id: format!("q{request}"),
        user_id: "ann".parse().unwrap(),
        item_id: "dune".parse().unwrap(),
        kind: OutcomeKind::Click,
        at: second(at),
        event_id: None,
        schema_version: 1,
        model: None,
        rank: Some(1),
    }
}

/// Hours, ten minutes' patience.
fn windower() -> Windower {
    Windower::new(WindowSpec::default())
}

fn feed(windower: &mut Windower, requests: &[Prediction]) {
    let catalogue = catalogue();
    for request in requests {
        windower.prediction(request, &catalogue, second(1_000_000));
    }
}

fn forty_requests() -> Vec<Prediction> {
    (0..40)
        .map(|id| request(id, &format!("r{}", id % 13), ["dune", "emma", "new"][id as usize % 3], i64::from(id)))
        .collect()
}

fn only(mut windows: Vec<WindowProfile>) -> WindowProfile {
    assert_eq!(windows.len(), 1);
    windows.remove(0)
}

#[test]
fn a_window_tells_readers_apart_from_requests() {
    let mut windower = windower();
    feed(&mut windower, &[request(2, "ann", "emma", 5), request(4, "ann", "emma", 6), request(7, "bob", "new", 7)]);
    let window = only(windower.close_all(version(1)));
    assert_eq!((window.requests, window.readers), (3, 2));
    assert_eq!((window.from, window.to), (second(0), second(3600)));
    assert_eq!(window.activity.values(), [1.0, 2.0]);
    assert_eq!(window.unknown_books, Share { hits: 1, of: 2 });
    assert_eq!(window.unknown_readers, Share { hits: 1, of: 2 });
    assert_eq!(window.basket_books.named.into_iter().collect::<Vec<_>>(), [("emma".to_owned(), 1)]);
    assert_eq!(window.basket_subjects.named.into_iter().collect::<Vec<_>>(), [("love".to_owned(), 1)]);
    assert_eq!(window.top_scores.len(), 2);
}

#[test]
fn order_of_the_events_changes_nothing() {
    let mut requests = forty_requests();
    let want = {
        let mut windower = windower();
        feed(&mut windower, &requests);
        only(windower.close_all(version(1)))
    };
    for seed in 0..10 {
        requests.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let mut windower = windower();
        feed(&mut windower, &requests);
        assert_eq!(only(windower.close_all(version(1))), want, "seed {seed}");
    }
}

#[test]
fn repeated_deliveries_count_once_and_are_told() {
    let mut twice = windower();
    feed(&mut twice, &forty_requests());
    feed(&mut twice, &forty_requests());
    let mut got = only(twice.close_all(version(1)));
    assert_eq!(got.quality.duplicates, 40);
    got.quality.duplicates = 0;
    let mut once = windower();
    feed(&mut once, &forty_requests());
    assert_eq!(got, only(once.close_all(version(1))));
}

#[test]
fn partitions_merge_to_what_one_would_have_seen() {
    let (catalogue, requests) = (catalogue(), forty_requests());
    let build = |part: &[Prediction]| {
        let mut builder = WindowBuilder::default();
        for request in part {
            builder.prediction(request, &catalogue);
        }
        builder
    };
    let mut merged = build(&requests[25..]);
    merged.merge(build(&requests[..25]));
    let close = |builder: WindowBuilder| builder.close(second(0), second(3600), version(1));
    assert_eq!(close(merged), close(build(&requests)));
}

#[test]
fn a_window_closes_when_the_watermark_passes_its_end() {
    let mut windower = windower();
    feed(&mut windower, &[request(1, "ann", "dune", 3599), request(2, "ann", "dune", 4199)]);
    assert!(windower.close_ready(version(1)).is_empty());
    feed(&mut windower, &[request(3, "bob", "dune", 4200)]);
    assert_eq!(only(windower.close_ready(version(1))).to, second(3600));
    // Its straggler is counted at the next window.
    feed(&mut windower, &[request(4, "cid", "dune", 3000)]);
    let next = only(windower.close_all(version(1)));
    assert_eq!((next.requests, next.quality.late), (2, 1));
}

#[test]
fn one_event_from_the_far_future_ends_no_window() {
    let (mut windower, catalogue) = (windower(), catalogue());
    windower.prediction(&request(1, "ann", "dune", 100), &catalogue, second(120));
    windower.prediction(&request(2, "ann", "dune", 900_000), &catalogue, second(121));
    assert!(windower.close_ready(version(1)).is_empty());
    assert_eq!(only(windower.close_all(version(1))).quality.ahead, 1);
}

#[test]
fn a_click_after_the_hour_still_belongs_to_its_request() {
    let clicks = [click(2, 3700), click(9, 10)];
    for click_first in [false, true] {
        let mut windower = windower();
        let requests = [request(2, "ann", "dune", 3590), request(7, "bob", "dune", 3000)];
        if !click_first {
            feed(&mut windower, &requests);
        }
        for click in &clicks {
            windower.outcome(click, second(1_000_000));
        }
        if click_first {
            feed(&mut windower, &requests);
        }
        let windows = windower.close_all(version(1));
        assert_eq!(windows.iter().map(|window| window.clicks).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(windows[0].clicked, Share { hits: 1, of: 2 });
    }
}

#[test]
fn a_list_of_two_versions_is_neither_versions_click() {
    let mut windower = windower();
    let mut both = request(1, "ann", "dune", 10);
    (both.mode, both.teams) = (Some("interleave".into()), vec![Some(Arm::Stable)]);
    feed(&mut windower, &[both, request(2, "bob", "dune", 11)]);
    windower.outcome(&click(1, 20), second(1_000_000));
    let window = only(windower.close_all(version(1)));
    assert_eq!((window.requests, window.clicks), (2, 1));
    assert_eq!(window.clicked, Share { hits: 0, of: 1 });
}

#[test]
fn a_canarys_lists_do_not_blur_the_watched_version() {
    let mut canary = request(9, "cid", "emma", 3);
    canary.model.as_mut().unwrap().version = version(2);
    let mut windower = windower();
    feed(&mut windower, &[request(2, "ann", "dune", 1), canary]);
    let window = only(windower.close_all(version(1)));
    assert_eq!(window.top_scores.values(), [2.0]);
    assert_eq!(window.basket_books.total(), 2); // What readers want does not depend on who answers.
}

#[test]
fn defects_of_the_records_are_counted() {
    let mut empty = request(1, "ann", "dune", 1);
    empty.predictions.clear();
    let mut bare = request(2, "bob", "dune", 2);
    (bare.model, bare.reader_known) = (None, None);
    let mut broken = request(3, "cid", "dune", 3);
    (broken.scores, broken.fallback) = (vec![f32::NAN], Some("popular".into()));
    let mut windower = windower();
    feed(&mut windower, &[empty, bare, broken]);
    let quality = only(windower.close_all(version(1))).quality;
    assert_eq!((quality.empty_lists, quality.bare_records, quality.not_finite, quality.fallbacks), (1, 1, 1, 1));
}

#[test]
fn a_restart_between_any_two_events_changes_nothing() {
    let requests: Vec<Prediction> = forty_requests()
        .into_iter()
        .zip(0..)
        .map(|(r, i)| Prediction { at: r.at + SignedDuration::from_mins(i * 5), ..r })
        .collect();
    let mut steady = windower();
    let mut restarted = windower();
    let (mut want, mut got) = (Vec::new(), Vec::new());
    for request in &requests {
        feed(&mut steady, std::slice::from_ref(request));
        want.extend(steady.close_ready(version(1)));
        feed(&mut restarted, std::slice::from_ref(request));
        restarted = serde_json::from_str(&serde_json::to_string(&restarted).unwrap()).unwrap();
        got.extend(restarted.close_ready(version(1)));
    }
    assert_eq!(got, want);
    assert!(want.len() >= 3);
}
