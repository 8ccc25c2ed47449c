//! Which of the ranked books make a list: caps first, then maximal marginal relevance. Numbers in, places out.

use std::collections::BTreeMap;

use crate::{labels::Labels, top_k::Scored};

/// At most so many books that share a name.
pub(super) struct Cap<'a> {
    pub most: usize,
    pub labels: &'a Labels,
}

/// The places of the first `most` books that no cap rules out, ascending: a book is taken unless one of its names has
/// been taken as often as allowed. Books without a name of that kind are never ruled out.
pub(super) fn under_caps(books: &[Scored], most: usize, caps: &[Cap<'_>]) -> Vec<usize> {
    let mut taken: Vec<BTreeMap<u32, usize>> = vec![BTreeMap::new(); caps.len()];
    let mut places = Vec::new();
    for (place, book) in books.iter().enumerate() {
        if places.len() == most {
            break;
        }
        let full = |(cap, taken): (&Cap<'_>, &BTreeMap<u32, usize>)| {
            cap.labels.of(book.row).iter().any(|name| taken.get(name).is_some_and(|times| *times >= cap.most))
        };
        if caps.iter().zip(&taken).any(full) {
            continue;
        }
        for (cap, taken) in caps.iter().zip(&mut taken) {
            cap.labels.of(book.row).iter().for_each(|name| *taken.entry(*name).or_default() += 1);
        }
        places.push(place);
    }
    places
}

/// The places of `k` candidates, picked one by one: the one with the greatest
/// `(1 - diversity) relevance - diversity likeness`, likeness being that to the most alike of those picked before, 0 for
/// none. Equal ones: the lower place.
///
/// `relevances` are the parts of the list from which is picked one after the other, places counting through all of them;
/// within a part, relevance is scaled to `[0, 1]`. `alike(a, b)` is in `[0, 1]`, `diversity` as well. Cost: `k` times the
/// candidates.
///
/// Source: Carbonell and Goldstein 1998, with `lambda = 1 - diversity`; the scaling is ours, so that `diversity` means the
/// same for every family of models.
pub(super) fn diverse(
    k: usize,
    relevances: [&[f32]; 2],
    diversity: f32,
    alike: impl Fn(usize, usize) -> f32,
) -> Vec<usize> {
    let mut picked: Vec<usize> = Vec::new();
    let mut first = 0;
    for part in relevances {
        let relevance = scaled(part);
        let nearest = |place| picked.iter().map(|other| alike(*other, place)).fold(0.0, f32::max);
        let mut left: Vec<(usize, f32)> = (first..first + part.len()).map(|place| (place, nearest(place))).collect();
        while picked.len() < k && !left.is_empty() {
            let value =
                |(place, likeness): &(usize, f32)| (1.0 - diversity) * relevance[place - first] - diversity * likeness;
            let better = |best: usize, at: usize| if value(&left[at]) > value(&left[best]) { at } else { best };
            let (place, _) = left.remove((1..left.len()).fold(0, better));
            for (other, likeness) in &mut left {
                *likeness = likeness.max(alike(place, *other));
            }
            picked.push(place);
        }
        first += part.len();
    }
    picked
}

/// `(x - min) / (max - min)`; 1 for all where they are equal, or too far apart for a number.
fn scaled(values: &[f32]) -> Vec<f32> {
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let spread = values.iter().copied().fold(f32::NEG_INFINITY, f32::max) - least;
    let scale = |value: &f32| if spread > 0.0 && spread.is_finite() { (value - least) / spread } else { 1.0 };
    values.iter().map(scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::BookRow;

    fn list(rows: &[u32]) -> Vec<Scored> {
        rows.iter().map(|row| Scored { row: BookRow(*row), score: 0.0 }).collect()
    }

    fn labels(named: &[(u32, &'static str)]) -> Labels {
        Labels::collect(6, named.iter().map(|(row, name)| (BookRow(*row), *name)))
    }

    #[test]
    fn an_author_has_as_many_books_as_allowed_and_they_are_the_best() {
        // Rows 0, 1 and 4 by Ann, 1 with Bob, 2 by Bob; nobody knows who wrote 3 and 5.
        let authors = labels(&[(0, "Ann"), (1, "Ann"), (1, "Bob"), (2, "Bob"), (4, "Ann")]);
        let under = |most_each, most| {
            let caps = [Cap { most: most_each, labels: &authors }];
            under_caps(&list(&[0, 1, 2, 3, 4, 5]), most, &caps)
        };
        assert_eq!(under(1, 9), [0, 2, 3, 5], "1 is Ann's second");
        assert_eq!(under(2, 9), [0, 1, 2, 3, 5]);
        assert_eq!(under(2, 3), [0, 1, 2]);
        assert_eq!(under(3, 9), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn two_caps_hold_at_once_and_a_book_ruled_out_counts_for_neither() {
        // Row 1 is refused for its author, so that its series is still free for row 2.
        let (authors, series) = (labels(&[(0, "Ann"), (1, "Ann")]), labels(&[(1, "Dune"), (2, "Dune"), (3, "Dune")]));
        let caps = [Cap { most: 1, labels: &authors }, Cap { most: 1, labels: &series }];
        assert_eq!(under_caps(&list(&[0, 1, 2, 3]), 9, &caps), [0, 2]);
    }

    /// Likeness of three books: a and b .8, a and c .1, b and c .3.
    fn alike(a: usize, b: usize) -> f32 {
        [[1.0, 0.8, 0.1], [0.8, 1.0, 0.3], [0.1, 0.3, 1.0]][a][b]
    }

    #[test]
    fn marginal_relevance_picks_in_the_hand_computed_order() {
        // Scores 5, 4, 1 are scaled to 1, .75, 0. At .4: a first; then b .45 - .32 = .13, c 0 - .04 = -.04.
        let order = |diversity| diverse(3, [&[5.0, 4.0, 1.0], &[]], diversity, alike);
        assert_eq!(order(0.0), [0, 1, 2]);
        assert_eq!(order(0.4), [0, 1, 2]);
        // At .6: b .30 - .48 = -.18, c 0 - .06 = -.06.
        assert_eq!(order(0.6), [0, 2, 1]);
        // At 1 relevance is silent: of equals the first, then whoever is least alike.
        assert_eq!(order(1.0), [0, 2, 1]);
        assert_eq!(diverse(2, [&[5.0, 4.0, 1.0], &[]], 0.6, alike), [0, 2]);
    }

    #[test]
    fn a_part_is_used_up_before_the_next_and_its_picks_still_count() {
        // After a of the first part: b .4 - .48 = -.08, c -.06.
        assert_eq!(diverse(3, [&[7.0], &[9.0, 0.0]], 0.6, alike), [0, 2, 1]);
        assert_eq!(diverse(3, [&[7.0], &[9.0, 0.0]], 0.1, alike), [0, 1, 2]);
    }

    #[test]
    fn equal_and_infinite_scores_are_picked_in_their_order() {
        let unlike = |_, _| 0.0;
        assert_eq!(diverse(3, [&[2.0, 2.0, 2.0], &[]], 0.5, unlike), [0, 1, 2]);
        assert_eq!(diverse(2, [&[f32::INFINITY, 1.0, f32::NEG_INFINITY], &[]], 0.5, unlike), [0, 1]);
        assert!(diverse(2, [&[], &[]], 0.5, unlike).is_empty());
    }
}
