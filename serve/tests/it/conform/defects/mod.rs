//! One defect a row, and the ids of the points that must find it: those fail and no others.

mod grpc;
mod http;
mod protocol;
mod refusals;

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt, stream};
use serve::conform::{Outcome, grade, points};

use super::{
    open, with_readers,
    wrong::{Asked, Spoil, Told, server},
};

/// A defect, and what finds it. A `*` in an id stands for anything.
pub(super) struct Defect {
    pub(super) name: &'static str,
    pub(super) spoil: Spoil,
    pub(super) fails: &'static [&'static str],
}

pub(super) const fn told(name: &'static str, change: fn(&Asked, &mut Told), fails: &'static [&'static str]) -> Defect {
    Defect { name, spoil: Spoil::Told(change), fails }
}

pub(super) const fn asked(name: &'static str, change: fn(&mut Asked), fails: &'static [&'static str]) -> Defect {
    Defect { name, spoil: Spoil::Asked(change), fails }
}

fn all() -> impl Iterator<Item = &'static Defect> {
    [protocol::DEFECTS, refusals::DEFECTS, http::DEFECTS, grpc::DEFECTS].into_iter().flatten().copied().flatten()
}

fn fits(pattern: &str, id: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == id,
        Some((front, back)) => {
            id.strip_prefix(front).is_some_and(|rest| (0..=rest.len()).any(|cut| fits(back, &rest[cut..])))
        }
    }
}

fn expanded(patterns: &[&str]) -> BTreeSet<String> {
    let ids = points().into_iter().map(|point| point.id);
    ids.filter(|id| patterns.iter().any(|pattern| fits(pattern, id))).collect()
}

/// The ids that fail on a server with this defect.
async fn found(spoil: Spoil) -> BTreeSet<String> {
    let url = open(server(spoil)).await;
    let mut options = with_readers(&url);
    // Lists of models may be what is wrong, and so may be what says that gRPC is spoken.
    (options.model, options.grpc) = (Some("recommender".into()), Some(url));
    options.timeout = Duration::from_mins(1);
    if matches!(spoil, Spoil::Hangs) {
        options.timeout = Duration::from_secs(3);
        options.only = vec!["http.oversized".into(), "http.oversized-413".into()];
    }
    let report = grade(options).await.unwrap();
    let failed = report.points.into_iter().filter(|graded| matches!(graded.outcome, Outcome::Fail { .. }));
    failed.map(|graded| graded.point.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_defect_is_found_by_its_points_and_by_no_others() {
    let judged = stream::iter(all()).map(|defect| async move { (found(defect.spoil).await, defect) });
    let mut wrong = Vec::new();
    for (found, Defect { name, fails, .. }) in judged.buffered(4).collect::<Vec<_>>().await {
        let expected = expanded(fails);
        let missed: Vec<_> = expected.difference(&found).collect();
        let more: Vec<_> = found.difference(&expected).collect();
        if !(missed.is_empty() && more.is_empty()) || fails.is_empty() {
            wrong.push(format!("{name}: not found by {missed:?}; found by {more:?} besides"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn there_is_a_defect_for_every_point() {
    let found: BTreeSet<String> = all().flat_map(|defect| expanded(defect.fails)).collect();
    let never: Vec<_> = points().into_iter().map(|point| point.id).filter(|id| !found.contains(id)).collect();
    assert!(never.is_empty(), "{never:#?}");
    let dead = |pattern: &&&str| expanded(&[**pattern]).is_empty();
    let dead: Vec<_> = all().flat_map(|defect| defect.fails).filter(dead).collect();
    assert!(dead.is_empty(), "no point is called {dead:?}");
}
