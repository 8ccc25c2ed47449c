//! Which book of a list a reader opens: they look from the top, ever less patiently, and stop at the first that appeals.

use models::BookId;
use rand::RngExt;
use sha2::{Digest, Sha256};

use super::random::{Purpose, stream};

/// The place clicked, from 0; `None` when the reader leaves the list alone.
///
/// Place `i` (from 0) is looked at with probability `1 / log2(i + 2)` and, once seen, clicked with probability
/// `appeal(book)`, in `[0, 1]`. The draw depends on seed, request id and list only, so neither the order of requests
/// nor their concurrency can change it.
pub(super) fn clicked(seed: u64, list: &[BookId], request_id: &str, appeal: impl Fn(&BookId) -> f64) -> Option<usize> {
    let mut digest = Sha256::new_with_prefix(request_id);
    for book in list {
        // Ids hold no control characters, so a line break keeps neighbours apart.
        digest.update(b"\n");
        digest.update(book.as_str());
    }
    let digest = digest.finalize();
    let number = digest.first_chunk().expect("a digest has 32 bytes");
    let mut rng = stream(seed, Purpose::Click, u64::from_le_bytes(*number));
    list.iter().enumerate().find_map(|(place, book)| {
        let looks = rng.random::<f64>() < 1.0 / (place as f64 + 2.0).log2();
        let likes = rng.random::<f64>() < appeal(book);
        (looks && likes).then_some(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_places_are_clicked_more_often_and_the_same_request_clicks_the_same() {
        let list: Vec<BookId> = (0..10).map(|i| format!("b{i}").parse().unwrap()).collect();
        let click = |n: usize| clicked(7, &list, &format!("sim-0-{n}"), |_| 0.1);
        let mut counts = [0; 10];
        for n in 0..4_000 {
            assert_eq!(click(n), click(n));
            if let Some(place) = click(n) {
                counts[place] += 1;
            }
        }
        // The first place is always looked at: 4000 at one tenth, standard deviation 19.
        assert!((340..460).contains(&counts[0]), "{counts:?}");
        assert!(counts[0] > 3 * counts[9], "{counts:?}");
        assert_eq!(clicked(7, &list, "sim-0-0", |_| 0.0), None);
        assert_eq!(clicked(7, &list, "sim-0-0", |_| 1.0), Some(0));
    }
}
