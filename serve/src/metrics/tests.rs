use models::event::Arm;

use super::*;
use crate::current::{Resident, Snapshot};

fn live(number: u32) -> Snapshot {
    let artifact = models::Artifact::new(
        models::Catalogue::new([models::Book::bare("a".parse().unwrap())]),
        vec![1.0],
        models::Scorer::Popularity,
        models::Readers::new([]),
    );
    let stable = Resident {
        version: number.try_into().unwrap(),
        arm: Arm::Stable,
        digest: "0123456789abcdef".into(),
        artifact: Arc::new(artifact.unwrap()),
    };
    Snapshot { epoch: u64::from(number), stable, canary: None, step: None }
}

fn model() -> ModelMetrics {
    Metrics::new().of(&"acme-books".parse().unwrap(), &"recommender".parse().unwrap())
}

fn read(model: &ModelMetrics) -> String {
    let (is_ready, staleness) = (true, Duration::ZERO);
    model.read(&ModelReadings { live: Some((2500, 7)), preference: None, is_ready, staleness, bytes: 12 });
    model.all.text(&Readings {
        state: State::Ready,
        popular_only: false,
        permits_in_use: 0,
        model_bytes: 12,
        events: EventCounts { offered: 3, delivered: 2, queued: 1, ..EventCounts::default() },
    })
}

fn answered(model: &ModelMetrics, number: u32) {
    let (total, score) = (Duration::from_millis(500), Duration::from_micros(90));
    let scored = Scored { version: number.try_into().unwrap(), arm: "stable", total, score };
    model.scored(scored, Protocol::V1, 200);
}

#[test]
fn names_units_and_labels_are_those_of_the_dashboards() {
    let model = model();
    model.swapped(&live(7));
    answered(&model, 7);
    model.all.refused(Protocol::V2, 401, "no-tenant");
    let text = read(&model);
    for line in [
        r#"bookloop_requests_total{tenant="acme-books",model="recommender",version="7",arm="stable",protocol="v1",code="200"} 1"#,
        r#"bookloop_requests_total{tenant="none",model="none",version="none",arm="none",protocol="v2",code="401"} 1"#,
        r#"bookloop_request_duration_seconds_bucket{le="0.25",tenant="acme-books",model="recommender",version="7",arm="stable"} 0"#,
        r#"bookloop_request_duration_seconds_bucket{le="0.5",tenant="acme-books",model="recommender",version="7",arm="stable"} 1"#,
        r#"bookloop_model_info{tenant="acme-books",model="recommender",version="7",digest="0123456789ab",role="production"} 1"#,
        r#"bookloop_state{state="ready"} 1"#,
        r#"bookloop_experiment_weight_ratio{tenant="acme-books",model="recommender"} 0.25"#,
        r#"bookloop_model_bytes{tenant="acme-books",model="recommender"} 12"#,
        "bookloop_events_offered_total 3",
        "bookloop_event_queue_length 1",
    ] {
        assert!(text.lines().any(|found| found == line), "missing {line} in\n{text}");
    }
}

#[test]
fn a_model_that_was_let_go_shows_no_version() {
    let (model, other) = (model(), "other".parse().unwrap());
    let other = model.all.of(&"acme-books".parse().unwrap(), &other);
    model.swapped(&live(7));
    other.swapped(&live(8));
    model.let_go();
    let text = read(&model);
    assert!(!text.contains(r#"model="recommender",version="7",digest"#) && text.contains(r#"version="8",digest"#));
    assert!(text.contains(r#"bookloop_swaps_total{tenant="acme-books",model="recommender",result="let-go"} 1"#));
}

#[test]
fn series_of_long_gone_versions_go_away() {
    let model = model();
    for number in 1..=KEPT_VERSIONS as u32 + 1 {
        model.swapped(&live(number));
        answered(&model, number);
    }
    let text = read(&model);
    assert!(!text.contains(r#"version="1""#), "the oldest of 17 is forgotten");
    assert!(text.contains(r#"version="2""#));
}
