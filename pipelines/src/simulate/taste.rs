//! What one reader likes: a few genres, two groups of books in each, and, for some, a change of heart.
//!
//! A taste is drawn once from the reader's own stream; what is chosen also depends on fashion and on what was bought.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{
    books::{Fashion, Shelves, genre_size},
    random::{Purpose, below, log_normal, stream, weighted},
};

/// How much likelier a book of a favourite group is than an equally popular one of the same genre.
const GROUP_PULL: f64 = 8.0;
/// Share of purchases outside the favourite genres: presents, whims.
const WHIM: f64 = 0.12;
/// Share of a turned reader's purchases that come from the wave of new books.
const WAVE_PULL: f64 = 0.35;
/// How much likelier a new book of a favourite genre is than an equally popular one of another genre.
const WAVE_GENRE_PULL: f64 = 8.0;
/// Spread of how often readers come by, as the spread of its logarithm.
const ACTIVITY_SPREAD: f64 = 0.5;
/// How much oftener than a reader a bot comes by.
const BOT_ACTIVITY: f64 = 20.0;

/// One favourite genre with its two favourite groups.
#[derive(Debug, Clone, Copy)]
struct Favourite {
    genre: usize,
    share: f64,
    groups: [u32; 2],
}

/// A reader as drawn, or a bot.
#[derive(Debug, Clone)]
pub(super) enum Taste {
    /// Takes any book, as likely as any other.
    Bot,
    /// Likes what they like.
    Person {
        /// Likes under the old fashion.
        old: Likes,
        /// Likes under the new fashion; `None` for readers who do not turn.
        new: Option<Likes>,
        /// How often they come by; the median reader has 1.
        activity: f64,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Likes {
    fashion: Fashion,
    favourites: Vec<Favourite>,
}

/// What a change of taste does to readers, as far as readers can tell.
#[derive(Debug)]
pub(super) struct Turn {
    /// Where each genre's readers go: no genre stays.
    pub(super) next_genre: Vec<usize>,
    /// Share of readers that turn.
    pub(super) reader_share: f64,
}

impl Turn {
    pub(super) fn new(n_genres: usize, reader_share: f64) -> Self {
        // Half way round, because genres come by size: the crowd of a large genre goes to a small one.
        let next_genre = (0..n_genres).map(|genre| (genre + n_genres / 2) % n_genres).collect();
        Self { next_genre, reader_share }
    }
}

impl Taste {
    /// The taste of reader number `number`.
    pub(super) fn of_reader(seed: u64, number: u64, shelves: &Shelves, turn: &Turn) -> Self {
        let mut rng = stream(seed, Purpose::Reader, number);
        let n_genres = shelves.by_genre.len();
        let n_favourites = (1 + below(&mut rng, 3)).min(n_genres);
        let mut groups = || {
            let first = below(&mut rng, shelves.n_groups);
            let second = (first + 1 + below(&mut rng, shelves.n_groups - 1)) % shelves.n_groups;
            [first as u32, second as u32]
        };
        let (old_groups, new_groups) = ([groups(), groups(), groups()], [groups(), groups(), groups()]);
        let turns = rng.random::<f64>() < turn.reader_share;
        let activity = log_normal(&mut rng, ACTIVITY_SPREAD);
        let favourites = favourite_genres(&mut rng, n_favourites, n_genres);
        let shares: Vec<f64> = (0..n_favourites).map(|_| 0.3 + rng.random::<f64>()).collect();
        let total: f64 = shares.iter().sum();
        let likes = |fashion, genre_of: &dyn Fn(usize) -> usize, groups: [[u32; 2]; 3]| Likes {
            fashion,
            favourites: (0..n_favourites)
                .map(|i| Favourite { genre: genre_of(favourites[i]), share: shares[i] / total, groups: groups[i] })
                .collect(),
        };
        Self::Person {
            old: likes(Fashion::Old, &|genre| genre, old_groups),
            new: turns.then(|| likes(Fashion::New, &|genre| turn.next_genre[genre], new_groups)),
            activity,
        }
    }

    pub(super) fn activity(&self) -> f64 {
        match self {
            Self::Bot => BOT_ACTIVITY,
            Self::Person { activity, .. } => *activity,
        }
    }

    /// The likes that hold now; `None` for bots.
    fn likes(&self, shifted: bool) -> Option<&Likes> {
        match self {
            Self::Bot => None,
            Self::Person { old, new, .. } => Some(new.as_ref().filter(|_| shifted).unwrap_or(old)),
        }
    }

    /// The next book bought, as an index; `None` when nothing is left that the reader would buy.
    pub(super) fn choose(
        &self,
        rng: &mut ChaCha8Rng,
        shelves: &Shelves,
        shifted: bool,
        is_bought: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let Some(likes) = self.likes(shifted) else {
            let on_sale = if shifted { shelves.books.len() } else { shelves.books.len() - shelves.wave.len() };
            let book = below(rng, on_sale) as u32;
            return (!is_bought(book)).then_some(book);
        };
        let whim = rng.random::<f64>() < WHIM;
        let from_wave = likes.fashion == Fashion::New && rng.random::<f64>() < WAVE_PULL;
        let shelf = if from_wave && !shelves.wave.is_empty() {
            &shelves.wave
        } else if whim {
            &shelves.by_genre[below(rng, shelves.by_genre.len())]
        } else {
            let shares: Vec<f64> = likes.favourites.iter().map(|favourite| favourite.share).collect();
            let favourite = weighted(rng, &shares).expect("shares of favourites are positive");
            &shelves.by_genre[likes.favourites[favourite].genre]
        };
        let pull = |book: u32| likes.pull(book as usize, shelves);
        let weights: Vec<f64> = shelf.iter().map(|book| if is_bought(*book) { 0.0 } else { pull(*book) }).collect();
        weighted(rng, &weights).map(|place| shelf[place])
    }

    /// How attractive a book is once it is looked at: the probability of a click, in `[0, 1]`.
    pub(super) fn appeal(&self, book: usize, shelves: &Shelves, shifted: bool) -> f64 {
        let Some(likes) = self.likes(shifted) else { return 0.2 };
        let place = &shelves.places[book];
        let standing = place.standing(likes.fashion);
        let favourite = likes.favourites.iter().find(|favourite| favourite.genre == place.genre);
        match favourite {
            Some(favourite) if favourite.groups.contains(&standing.group) => 0.35,
            Some(_) => 0.12,
            None if place.is_new && likes.fashion == Fashion::New => 0.10,
            None => 0.02,
        }
    }
}

impl Likes {
    /// How likely a book is among others of its shelf: popularity, times the pull of favourites.
    fn pull(&self, book: usize, shelves: &Shelves) -> f64 {
        let place = &shelves.places[book];
        let standing = place.standing(self.fashion);
        let favourite = self.favourites.iter().find(|favourite| favourite.genre == place.genre);
        let in_genre = if favourite.is_some() && place.is_new { WAVE_GENRE_PULL } else { 1.0 };
        let in_group = if favourite.is_some_and(|f| f.groups.contains(&standing.group)) { GROUP_PULL } else { 1.0 };
        in_genre * in_group * standing.weight
    }
}

/// Different genres, large ones likelier.
fn favourite_genres(rng: &mut ChaCha8Rng, n: usize, n_genres: usize) -> Vec<usize> {
    let mut weights: Vec<f64> = (0..n_genres).map(genre_size).collect();
    let mut chosen = Vec::with_capacity(n);
    for _ in 0..n {
        let genre = weighted(rng, &weights).expect("fewer are chosen than there are");
        weights[genre] = 0.0;
        chosen.push(genre);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> (Shelves, Turn) {
        (Shelves::new(7, 4, 400, 40, 2026), Turn::new(4, 0.7))
    }

    #[test]
    fn no_genre_keeps_its_readers() {
        let turn = Turn::new(12, 0.7);
        let mut reached = turn.next_genre.clone();
        assert!(turn.next_genre.iter().enumerate().all(|(from, to)| from != *to));
        reached.sort_unstable();
        assert_eq!(reached, (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn the_share_that_turns_is_the_share_asked_for() {
        let (shelves, turn) = shop();
        let turned =
            |number: &u64| matches!(Taste::of_reader(7, *number, &shelves, &turn), Taste::Person { new: Some(_), .. });
        let turned = (0..2_000).filter(turned).count();
        // 2000 draws at 0.7: standard deviation 20.
        assert!((1_320..1_480).contains(&turned), "{turned}");
    }

    #[test]
    fn a_reader_buys_mostly_what_appeals_to_them_and_turns_with_the_fashion() {
        let (shelves, turn) = shop();
        let mut rng = stream(1, Purpose::Day, 0);
        let tastes = (0..200).map(|number| Taste::of_reader(7, number, &shelves, &turn));
        let turned: Vec<Taste> = tastes.filter(|t| matches!(t, Taste::Person { new: Some(_), .. })).collect();
        let mut liked = [0, 0];
        for taste in &turned {
            for (side, shifted) in [false, true].into_iter().enumerate() {
                let book = taste.choose(&mut rng, &shelves, shifted, |_| false).unwrap() as usize;
                liked[side] += usize::from(taste.appeal(book, &shelves, shifted) >= 0.10);
                assert!(shifted || !shelves.places[book].is_new, "nobody reads a new book before the change");
            }
        }
        assert!(liked.iter().all(|n| *n * 10 > turned.len() * 8), "{liked:?} of {}", turned.len());
    }
}
