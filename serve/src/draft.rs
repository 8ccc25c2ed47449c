//! One list out of two, so that a reader's clicks say which of them they prefer: team-draft interleaving.
//!
//! Apart from `engine` because who gets which place, and whose a click then is, is arithmetic on two lists and a coin.

use std::collections::HashSet;

use models::event::Arm;

/// One place of a drafted list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Whose list the book was taken from.
    pub side: Arm,
    /// Its place in that list, from 0.
    pub at: usize,
    /// Whose a click on it is. `None` where the other list has the book in the same place: it says nothing about the two.
    pub team: Option<Arm>,
}

/// Up to `k` places, best first, no book twice: the side with fewer picks takes its best book that is not there yet, and
/// where both have picked as often a toss says whose turn it is, a set bit of `coin` the canary's.
///
/// `stable` and `canary` are ids, best first, neither with a repeat. A side that has no more books leaves the rest to the
/// other. `fits(side, place)` says whether the list may take a book: what it refuses is passed over, what it
/// lets in is in the list. Bits of `coin` are used from the lowest, and again from there after 64, which is after 128 books
/// at the earliest: each toss is fair, and a reader's clicks count by one of them.
///
/// If both lists are equally good, whose a clicked book is is as good as tossed.
///
/// Source: Radlinski, Kurup and Joachims 2008; books in one place of both lists count for neither, as in Chapelle,
/// Joachims, Radlinski and Yue 2012.
/// ```
/// use models::event::Arm::{Canary, Stable};
/// // Stable begins, then the canary takes its best; now both have one, and the canary begins.
/// let list = serve::draft::draft(&["1", "2", "3", "4"], &["2", "1", "4", "5"], 4, 0b10, |_, _| true);
/// assert_eq!(list.iter().map(|place| (place.side, place.at)).collect::<Vec<_>>(), [
///     (Stable, 0), // 1
///     (Canary, 0), // 2
///     (Canary, 2), // 4: both 2 and 1 are there
///     (Stable, 2), // 3
/// ]);
/// ```
pub fn draft(
    stable: &[&str],
    canary: &[&str],
    k: usize,
    coin: u64,
    mut fits: impl FnMut(Arm, usize) -> bool,
) -> Vec<Place> {
    let most = k.min(stable.len() + canary.len());
    let mut taken: HashSet<&str> = HashSet::with_capacity(most);
    let mut places = Vec::with_capacity(most);
    let (mut next, mut picks, mut tosses) = ([0, 0], [0, 0], 0);
    let mut pick = |side: Arm| {
        let (own, other) = if side == Arm::Stable { (stable, canary) } else { (canary, stable) };
        let from = next[usize::from(side == Arm::Canary)];
        let found = (from..own.len()).find(|at| !taken.contains(own[*at]) && fits(side, *at));
        next[usize::from(side == Arm::Canary)] = found.map_or(own.len(), |at| at + 1);
        let at = found?;
        taken.insert(own[at]);
        let team = (other.get(at) != Some(&own[at])).then_some(side);
        Some(Place { side, at, team })
    };
    while places.len() < k {
        let turns = match picks {
            [stable, canary] if canary < stable => [Arm::Canary, Arm::Stable],
            [stable, canary] if canary > stable => [Arm::Stable, Arm::Canary],
            _ => {
                let toss = coin >> (tosses % u64::BITS) & 1;
                tosses += 1;
                if toss == 1 { [Arm::Canary, Arm::Stable] } else { [Arm::Stable, Arm::Canary] }
            }
        };
        let Some(place) = turns.into_iter().find_map(&mut pick) else { break };
        picks[usize::from(place.side == Arm::Canary)] += 1;
        places.push(place);
    }
    places
}

#[cfg(test)]
mod tests {
    use models::split;
    use proptest::prelude::*;

    use super::*;

    fn list(books: &str) -> Vec<&str> {
        books.split_whitespace().collect()
    }

    /// The list with the side of each book: `s` or `c`, in capitals where a click on it counts.
    fn told(stable: &str, canary: &str, k: usize, coin: u64) -> String {
        let (stable, canary) = (list(stable), list(canary));
        let places = draft(&stable, &canary, k, coin, |_, _| true);
        let tell = |place: &Place| match (place.side, place.team) {
            (Arm::Stable, Some(Arm::Stable)) => format!("S{}", stable[place.at]),
            (Arm::Canary, Some(Arm::Canary)) => format!("C{}", canary[place.at]),
            (Arm::Stable, None) => format!("s{}", stable[place.at]),
            (Arm::Canary, None) => format!("c{}", canary[place.at]),
            (_, Some(_)) => panic!("{place:?} is credited to the other side"),
        };
        places.iter().map(tell).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sides_take_turns_and_each_takes_its_best_that_is_left() {
        assert_eq!(told("1 2 3 4", "2 1 4 5", 4, 0b10), "S1 C2 C4 S3");
        assert_eq!(told("1 2 3 4", "2 1 4 5", 4, 0b01), "C2 S1 S3 C4");
        assert_eq!(told("1 2 3 4", "2 1 4 5", 3, 0b11), "C2 S1 C4");
        assert_eq!(told("1 2 3", "4 5 6", 6, 0b101), "C4 S1 S2 C5 C6 S3");
    }

    #[test]
    fn a_side_without_books_leaves_the_rest_to_the_other() {
        assert_eq!(told("1", "2 3 4 5", 5, 0), "S1 C2 C3 C4 C5");
        assert_eq!(told("1 2 3", "", 2, u64::MAX), "S1 S2");
        assert_eq!(told("", "", 3, 0), "");
        assert_eq!(told("1 2", "3 4", 0, 0), "");
        assert_eq!(told("1 2", "3 4", 9, 0), "S1 C3 S2 C4", "shorter than asked for");
    }

    #[test]
    fn books_in_one_place_of_both_lists_are_nobodys() {
        assert_eq!(told("1 2 3", "1 2 3", 3, 0b01), "c1 s2 s3");
        assert_eq!(told("1 2 3", "1 3 2", 3, 0b00), "s1 C3 S2");
    }

    #[test]
    fn what_does_not_fit_is_passed_over_for_good() {
        let (stable, canary) = (list("1 2 3 4"), list("5 6 7 8"));
        let mut asked = Vec::new();
        let places = draft(&stable, &canary, 4, 0, |side, at| {
            asked.push((side, at));
            (side, at) != (Arm::Stable, 0) && (side, at) != (Arm::Canary, 1)
        });
        let books: Vec<&str> = places
            .iter()
            .map(|place| if place.side == Arm::Stable { stable[place.at] } else { canary[place.at] })
            .collect();
        assert_eq!(books, ["2", "5", "3", "7"]);
        assert_eq!(asked.len(), 6, "each book once: {asked:?}");
    }

    #[test]
    fn a_list_longer_than_the_coin_is_drafted_all_the_same() {
        let ids: Vec<String> = (0..1000).map(|id| id.to_string()).collect();
        let (stable, canary): (Vec<&str>, Vec<&str>) =
            (ids.iter().map(String::as_str).collect(), ids.iter().rev().map(String::as_str).collect());
        let places = draft(&stable, &canary, 1000, split::coin("acme-books", "r-1"), |_, _| true);
        assert_eq!((places.len(), places.iter().filter(|place| place.side == Arm::Stable).count()), (1000, 500));
    }

    /// Each toss gives one place of each pair to either side: over 2,000 requests the first place, and each other, is the
    /// canary's 1,000 times with a standard deviation of 22; five of them.
    #[test]
    fn each_side_owns_half_of_every_place_over_many_requests() {
        let (stable, canary) = (list("1 2 3 4 5 6"), list("7 8 9 a b c"));
        let mut owned = [0_i32; 6];
        for request in 0..2000 {
            let coin = split::coin("acme-books", &format!("request-{request}"));
            for (owned, place) in owned.iter_mut().zip(draft(&stable, &canary, 6, coin, |_, _| true)) {
                *owned += i32::from(place.team == Some(Arm::Canary));
            }
        }
        assert!(owned.iter().all(|canary| (canary - 1000).abs() <= 112), "{owned:?}");
    }

    proptest! {
        #[test]
        fn no_book_comes_twice_and_none_is_lost(
            stable in prop::collection::hash_set(0_u8..30, 0..20),
            canary in prop::collection::hash_set(0_u8..30, 0..20),
            k in 0_usize..30,
            coin: u64,
        ) {
            let names: Vec<String> = (0..30).map(|id| id.to_string()).collect();
            let ids = |ids: &HashSet<u8>| ids.iter().map(|id| names[usize::from(*id)].as_str()).collect::<Vec<_>>();
            let (stable, canary) = (ids(&stable), ids(&canary));
            let places = draft(&stable, &canary, k, coin, |_, _| true);
            let book = |place: &Place| if place.side == Arm::Stable { stable[place.at] } else { canary[place.at] };
            let listed: HashSet<&str> = places.iter().map(book).collect();
            prop_assert_eq!(listed.len(), places.len());
            let all: HashSet<&str> = stable.iter().chain(&canary).copied().collect();
            prop_assert_eq!(listed.len(), k.min(all.len()));
            let picks = |side| places.iter().filter(|place| place.side == side).count();
            let left = |own: &[&str]| own.iter().any(|id| !listed.contains(id));
            if left(&stable) && left(&canary) {
                prop_assert!(picks(Arm::Stable).abs_diff(picks(Arm::Canary)) <= 1);
            }
        }

        #[test]
        fn turning_every_toss_turns_the_sides(coin: u64, k in 0_usize..9) {
            let (ours, theirs) = (list("1 2 3 4 5"), list("2 6 1 5 7"));
            let turned: Vec<Place> = draft(&theirs, &ours, k, !coin, |_, _| true);
            let other = |arm| if arm == Arm::Stable { Arm::Canary } else { Arm::Stable };
            let back = turned.into_iter().map(|it| Place { side: other(it.side), team: it.team.map(other), ..it });
            prop_assert_eq!(draft(&ours, &theirs, k, coin, |_, _| true), back.collect::<Vec<_>>());
        }
    }
}
