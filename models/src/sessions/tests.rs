use super::*;

const A: BookRow = BookRow(0);
const B: BookRow = BookRow(1);
const C: BookRow = BookRow(2);
const D: BookRow = BookRow(3);

/// Sessions AB, BC, ACD in this order of time; weights are ln(7 pairs / sessions with the book).
fn index(walk: Walk) -> Result<Sessions, Malformed> {
    let sessions = (vec![0, 2, 4, 7], vec![A, B, B, C, A, C, D]);
    let postings = (vec![0, 2, 4, 6, 7], vec![2, 0, 1, 0, 2, 1, 2]);
    let (common, rare) = (3.5_f32.ln(), 7.0_f32.ln());
    Sessions::new(sessions, postings, vec![common, common, common, rare], walk)
}

fn votes(walk: Walk, clicks: &[BookRow]) -> Vec<(BookRow, f32)> {
    let mut votes: Vec<_> = index(walk).unwrap().votes(clicks, &mut SessionScratch::default()).collect();
    votes.sort_by_key(|(book, _)| *book);
    votes
}

fn near(got: &[(BookRow, f32)], want: &[(BookRow, f32)]) {
    assert_eq!(got.len(), want.len(), "{got:?}");
    for (got, want) in got.iter().zip(want) {
        assert!(got.0 == want.0 && (got.1 - want.1).abs() < 1e-4, "{got:?} {want:?}");
    }
}

#[test]
fn the_most_alike_sessions_vote_by_the_newest_click_they_share() {
    // After A, B: the session AB is 2/2 + 1/2 alike, BC 1, ACD 1/2. Votes count .9 where B is shared, .8 where only A is.
    let (common, rare) = (3.5_f32.ln(), 7.0_f32.ln());
    let walk = |neighbours| Walk { clicks: 9, sample: 3, neighbours };
    let two = [(A, 0.9 * 1.5 * common), (B, 0.9 * 2.5 * common), (C, 0.9 * common)];
    near(&votes(walk(2), &[A, B]), &two);
    let third = 0.8 * 0.5;
    let three = [(A, two[0].1 + third * common), two[1], (C, two[2].1 + third * common), (D, third * rare)];
    near(&votes(walk(3), &[A, B]), &three);
    near(&three, &[(A, 2.1923), (B, 2.8187), (C, 1.6286), (D, 0.7784)]);
}

#[test]
fn a_repeated_click_counts_once_at_its_newest_place() {
    let walk = Walk { clicks: 9, sample: 3, neighbours: 3 };
    // Three clicks, two distinct: A is the newest, 3/2; B the one before, 2/2.
    let common = 3.5_f32.ln();
    let got = votes(walk, &[A, B, A]);
    assert!((got[1].1 - common * (0.9 * 2.5 + 0.8)).abs() < 1e-4, "AB is 5/2 alike, BC 1: {got:?}");
}

#[test]
fn only_the_newest_clicks_and_sessions_are_looked_at() {
    let one_click = Walk { clicks: 1, sample: 3, neighbours: 3 };
    assert_eq!(votes(one_click, &[D, B]), votes(one_click, &[B]));
    // A sample of one: ACD is newer than AB, and nothing newer than ACD shares B.
    let one_session = Walk { clicks: 9, sample: 1, neighbours: 3 };
    let books: Vec<BookRow> = votes(one_session, &[B, A]).iter().map(|(book, _)| *book).collect();
    assert_eq!(books, [A, C, D]);
    // From B the newest is BC; A then brings the newer ACD, which takes its place.
    let books: Vec<BookRow> = votes(one_session, &[A, B]).iter().map(|(book, _)| *book).collect();
    assert_eq!(books, [A, C, D]);
}

#[test]
fn no_query_leaves_a_trace_in_the_next() {
    let index = index(Walk { clicks: 9, sample: 3, neighbours: 3 }).unwrap();
    let mut scratch = SessionScratch::default();
    let fresh: Vec<_> = index.votes(&[C], &mut SessionScratch::default()).collect();
    for before in [&[A, B][..], &[], &[D]] {
        index.votes(before, &mut scratch).for_each(drop);
        assert_eq!(index.votes(&[C], &mut scratch).collect::<Vec<_>>(), fresh, "after {before:?}");
    }
    assert_eq!(index.votes(&[], &mut scratch).count(), 0);
}

#[test]
fn an_index_that_does_not_fit_is_refused() {
    let walk = Walk { clicks: 9, sample: 3, neighbours: 3 };
    let refused = |walk| index(walk).unwrap_err().to_string();
    assert_eq!(refused(Walk { clicks: 10, ..walk }), "model part sessions.clicks: expected 1 to 9, found 10");
    assert_eq!(refused(Walk { sample: 0, ..walk }).split(':').next(), Some("model part sessions.sample"));
    let sessions = (vec![0, 1], vec![A]);
    let unknown = Sessions::new(sessions.clone(), (vec![0, 1], vec![1]), vec![1.0], walk).unwrap_err();
    assert_eq!(unknown.to_string(), "model part sessions.postings: expected sessions below 1, found 1");
    let two = (vec![0, 1, 2], vec![A, A]);
    let oldest_first = Sessions::new(two, (vec![0, 2], vec![0, 1]), vec![1.0], walk).unwrap_err();
    assert_eq!(oldest_first.to_string(), "model part sessions.postings: expected newest first, found 0 before 1");
    let weightless = Sessions::new(sessions, (vec![0, 1], vec![0]), vec![0.0], walk).unwrap_err();
    assert_eq!(weightless.to_string(), "model part sessions.weights: expected positive numbers, found 0");
}
