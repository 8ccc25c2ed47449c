use super::*;

#[test]
fn every_point_has_an_id_of_its_own_below_its_section() {
    let points = points();
    let mut ids: Vec<&str> = points.iter().map(|point| point.id.as_str()).collect();
    ids.sort_unstable();
    let n = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), n);
    for point in &points {
        let name = point.id.strip_prefix(point.section.prefix()).and_then(|rest| rest.strip_prefix('.'));
        let plain =
            |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        assert!(name.is_some_and(plain), "{}", point.id);
        assert!(!point.promise.is_empty() && !point.source.is_empty(), "{}", point.id);
    }
    assert!(points.is_sorted_by_key(|point| Section::ALL.iter().position(|section| *section == point.section)));
}

#[test]
fn what_could_not_be_tried_is_not_met() {
    let graded = |point: Point, outcome: Outcome| Graded { point, outcome };
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| Section::V1.must(name, "p", "s"));
    let reason = String::new();
    let points = vec![
        graded(a, Outcome::Pass),
        graded(b, Outcome::Skipped { reason: reason.clone() }),
        graded(c, Outcome::NotOffered { reason: reason.clone() }),
        graded(d, Outcome::Fail { expected: reason.clone(), found: reason.clone() }),
        graded(Section::V1.should("e", "p", "s"), Outcome::Fail { expected: reason.clone(), found: reason }),
    ];
    let report = Report { url: String::new(), grpc: String::new(), model: String::new(), points };
    assert_eq!(report.unmet(), ["v1.b", "v1.d"]);
    assert_eq!(report.tally(Level::Must), Tally { pass: 1, fail: 1, not_offered: 1, skipped: 1 });
    assert_eq!(report.tally(Level::Should), Tally { fail: 1, ..Tally::default() });
    let json = serde_json::to_value(&report.points[1]).unwrap();
    assert_eq!((&json["id"], &json["level"], &json["outcome"]), (&"v1.b".into(), &"must".into(), &"skipped".into()));
}
