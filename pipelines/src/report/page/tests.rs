//! The page of a made-up run: complete, escaped, the same bytes every time.

use super::*;
use crate::report::{AliasMove, CanaryStep, EvidencePoint, MetricRow, Moment, MomentKind, TrafficPoint};

fn start() -> Timestamp {
    "2026-02-02T00:00:00Z".parse().unwrap()
}

fn hours(n: i64) -> Timestamp {
    start() + SignedDuration::from_hours(n)
}

/// Fourteen days of two versions by the hour, the second taking over in four steps from the ninth day on.
fn two_versions() -> Vec<TrafficPoint> {
    let ramp = [(199, 0.10), (205, 0.25), (211, 0.50), (217, 1.0)];
    let share = |h: i32| ramp.iter().rev().find(|(from, _)| h >= *from).map_or(0.0, |(_, share)| *share);
    let mut traffic = Vec::new();
    for h in 0..336 {
        let total = 60.0 + 45.0 * (f64::from(h % 24 - 8) * 0.26).sin();
        for (version, share) in [(1, 1.0 - share(h)), (2, share(h))] {
            let requests = (total * share).round() as u64;
            let p99_ms = (requests > 0).then(|| 2.0 + f64::from(version) * 0.4 + f64::from(h * 7 % 11) * 0.12);
            traffic.push(TrafficPoint { at: hours(h.into()), version, requests, failed: 0, p99_ms });
        }
    }
    traffic
}

/// Seven features every six hours, five of which move on the sixth day and return when the second version takes over.
fn moving_features() -> Vec<EvidencePoint> {
    let features = [
        ("history subjects", 0.05, 5.1),
        ("unknown books", 0.04, 3.2),
        ("list popularity", 0.10, 1.9),
        ("top score", 0.10, 1.3),
        ("reader activity", 0.10, 0.0),
        ("known readers", 0.05, 0.0),
        ("list <subjects>", 0.05, 0.6),
    ];
    let mut evidence = Vec::new();
    for window in 1..56 {
        for ((feature, threshold, push), n) in features.iter().zip(3..) {
            let after = f64::from((window - 20).clamp(0, 4)) / 4.0 * f64::from(u8::from(window < 37));
            let ratio = 0.25 + 0.2 * f64::from(window * n % 7) / 7.0 + push * after;
            evidence.push(EvidencePoint {
                at: hours(i64::from(window) * 6),
                feature: (*feature).into(),
                effect: ratio * threshold,
                threshold: *threshold,
                p: Some(if ratio > 1.0 { 1e-9 } else { 0.3 }),
                moved: ratio > 1.0,
            });
        }
    }
    evidence
}

fn two_aliases_and_a_third() -> Vec<AliasMove> {
    let alias = |h, alias: &str, from, to, actor: &str, reason: &str| AliasMove {
        at: hours(h),
        alias: alias.into(),
        from,
        to: Some(to),
        actor: actor.into(),
        reason: reason.into(),
    };
    vec![
        alias(0, "staging", None, 1, "pipeline", "gate passed"),
        alias(1, "production", None, 1, "duty-editor", "beats popularity, first version"),
        alias(198, "staging", Some(1), 2, "pipeline", "gate passed against version 1"),
        alias(223, "production", Some(1), 2, "canary judge", "four steps without a failure"),
        alias(223, "previous", None, 1, "canary judge", "four steps without a failure"),
    ]
}

fn four_steps() -> Vec<CanaryStep> {
    let step = |h, weight_percent, requests, verdict: &str| CanaryStep {
        at: hours(h),
        weight_percent,
        requests,
        failed: 0,
        p99_ms: Some(3.1),
        verdict: verdict.into(),
    };
    vec![
        step(205, 10.0, 41, "advance to 25 %"),
        step(211, 25.0, 98, "advance to 50 %"),
        step(217, 50.0, 201, "advance to 100 %"),
        step(223, 100.0, 388, "promote"),
    ]
}

/// Fourteen days of two versions, a change of taste on the sixth and a canary on the ninth.
fn sample() -> Chronicle {
    let moment = |h, kind, text: &str| Moment { at: hours(h), kind, text: text.into() };
    let metric = |metric: &str, version, value, se| MetricRow { metric: metric.into(), version, value, se };
    Chronicle {
        title: "One turn of the loop <seed 7> & more".into(),
        seed: 7,
        generated: hours(340),
        summary: Summary {
            requests: 20_163,
            failed: 0,
            versions: 2,
            onset: Some(hours(120)),
            suspected: Some(hours(132)),
            confirmed: Some(hours(156)),
            retrain_version: Some(2),
            production_version: Some(2),
            ndcg_before: Some(0.0312),
            ndcg_before_se: Some(0.0021),
            ndcg_after: Some(0.0871),
            ndcg_after_se: Some(0.0034),
            wall_seconds: 71.4,
        },
        moments: vec![
            moment(
                0,
                MomentKind::Training,
                "Version 1 trained on 25 104 purchases of 28 days; nDCG@10 0.0912, popularity 0.0204.",
            ),
            moment(0, MomentKind::Registry, "Version 1 registered as staging."),
            moment(1, MomentKind::Approval, "A person approved version 1: it beats popularity by a wide margin."),
            moment(1, MomentKind::Serving, "The predictor answers with version 1."),
            moment(120, MomentKind::World, "Seven readers in ten turn to other genres, and 80 new books appear."),
            moment(
                132,
                MomentKind::Drift,
                "Suspected: history subjects (effect 0.21, five times the threshold), unknown books and two more.",
            ),
            moment(156, MomentKind::Drift, "Confirmed in 4 windows running."),
            moment(
                156,
                MomentKind::Retrain,
                "Retrain started for acme-books: no training in flight, the last one 6 d ago.",
            ),
            moment(
                198,
                MomentKind::Training,
                "Version 2 trained on 30 233 purchases; passes the gate against version 1.",
            ),
            moment(199, MomentKind::Canary, "Version 2 answers 10 % of readers."),
            moment(223, MomentKind::Promotion, "Version 2 is production, version 1 is kept as previous."),
        ],
        traffic: two_versions(),
        evidence: moving_features(),
        metrics: vec![
            metric("ndcg@10 before the change", 1, 0.0912, Some(0.0031)),
            metric("ndcg@10 after the change", 1, 0.0312, Some(0.0021)),
            metric("ndcg@10 after the change", 2, 0.0871, Some(0.0034)),
            metric("recall@10 after the change", 1, 0.0521, Some(0.004)),
            metric("recall@10 after the change", 2, 0.1412, Some(0.006)),
            metric("coverage@10 after the change", 1, 0.61, None),
            metric("coverage@10 after the change", 2, 0.74, None),
        ],
        aliases: two_aliases_and_a_third(),
        canary: four_steps(),
    }
}

#[test]
fn the_page_tells_everything_and_loads_nothing() {
    let page = html(&sample()).unwrap();
    if let Some(path) = std::env::var_os("SHOW_PAGE") {
        std::fs::write(path, &page).unwrap();
    }
    for heading in ["What happened", "Traffic by version", "Drift evidence", "Canary", "Quality", "Alias history"] {
        assert!(page.contains(heading), "{heading}");
    }
    assert_eq!(page.matches("<svg role=\"img\"").count(), 6);
    assert!(page.contains("suspected after 12 h") && page.contains(">1 d 12 h<"), "delays are told");
    // The SVG name space is a name, not an address that is loaded.
    let links = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for outside in ["http:", "https:", "src=", "<script", "@import", "url("] {
        assert!(!links.contains(outside), "{outside}");
    }
}

#[test]
fn the_same_chronicle_is_the_same_bytes() {
    assert_eq!(html(&sample()).unwrap(), html(&sample()).unwrap());
    let text = serde_json::to_string(&sample()).unwrap();
    assert_eq!(html(&serde_json::from_str(&text).unwrap()).unwrap(), html(&sample()).unwrap());
}

#[test]
fn text_from_the_data_is_escaped_everywhere() {
    let page = html(&sample()).unwrap();
    assert!(page.contains("<title>One turn of the loop &lt;seed 7&gt; &amp; more</title>"));
    let mut hostile = sample();
    let script = "</td><script>alert(1)</script>";
    hostile.moments[0].text = script.into();
    hostile.aliases[0].reason = script.into();
    hostile.canary[0].verdict = script.into();
    hostile.evidence.iter_mut().filter(|p| p.feature == "top score").for_each(|point| point.feature = script.into());
    hostile.metrics.iter_mut().for_each(|row| row.metric = script.into());
    hostile.aliases.iter_mut().for_each(|one| one.alias = script.into());
    assert!(!html(&hostile).unwrap().contains("<script"));
}

#[test]
fn a_run_in_which_nothing_happened_has_a_page() {
    let empty = Chronicle {
        title: "A quiet night".into(),
        summary: Summary { requests: 1_500, versions: 1, ..Summary::default() },
        moments: Vec::new(),
        traffic: Vec::new(),
        evidence: Vec::new(),
        metrics: Vec::new(),
        aliases: Vec::new(),
        canary: Vec::new(),
        ..sample()
    };
    let page = html(&empty).unwrap();
    assert!(page.contains("1\u{202f}500 requests were answered by one version; not one failed."), "{page}");
    assert!(page.contains("no drift was confirmed"));
    assert!(!page.contains("<svg"));
}

#[test]
fn counts_and_spans_read_like_words() {
    assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
    assert_eq!(grouped(42), "42");
    assert_eq!(span(hours(0), hours(54)), "2 d 6 h");
    assert_eq!(span(hours(0), hours(5) + SignedDuration::from_mins(10)), "5 h 10 min");
    assert_eq!(span(hours(5), hours(0)), "0 min");
}
