//! What clicks on drafted lists prove, over thousands of made-up trials: how often two equal versions are told apart, and
//! how soon two unequal ones are.
//!
//! Each reader comes once, and the evidence is looked at after every click. Every figure is printed as a line of a table.

use models::event::Arm;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serve::{
    draft::draft,
    judge::{Credits, Policy},
};

use crate::judge::{interval, over, row};

/// Books a version chooses from, and the places of a list.
const BOOKS: usize = 30;
const PLACES: usize = 10;
/// Pairs of lists that the readers of one trial are shown.
const PAIRS: usize = 64;

/// Chance that a reader who has looked at a place goes on to the next.
const GOES_ON: f64 = 0.8;

/// Two versions' lists of one reader.
type Pair = [Vec<usize>; 2];

/// Chance that a reader clicks a book they look at.
fn clicks(book: usize) -> f64 {
    0.3 * (BOOKS - book) as f64 / BOOKS as f64
}

/// A reader's list by a version that guesses how much they like each book, `BOOKS - book`, up to an error of `wrong`.
fn list(random: &mut ChaCha8Rng, wrong: f64) -> Vec<usize> {
    let mut guessed: Vec<(f64, usize)> = (0..BOOKS)
        .map(|book| (book as f64 + wrong * (random.random::<f64>() + random.random::<f64>() - 1.0), book))
        .collect();
    guessed.sort_by(|a, b| a.0.total_cmp(&b.0));
    guessed.into_iter().map(|(_, book)| book).take(PLACES).collect()
}

/// A trial of readers who look from the top and click once.
struct Trial {
    random: ChaCha8Rng,
    ids: Vec<String>,
    pairs: Vec<Pair>,
    credits: Credits,
}

impl Trial {
    /// Two versions that err as said.
    fn new(seed: u64, [stable, canary]: [f64; 2]) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let pairs = (0..PAIRS).map(|_| [list(&mut random, stable), list(&mut random, canary)]).collect();
        Self::of(random, pairs)
    }

    /// Two versions that are equal for certain, and not only in the long run: each pair of lists comes turned as well.
    fn of_equals(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut pairs: Vec<Pair> = (0..PAIRS / 2).map(|_| [(); 2].map(|()| list(&mut random, 6.0))).collect();
        let turned: Vec<Pair> = pairs.iter().map(|[a, b]| [b.clone(), a.clone()]).collect();
        pairs.extend(turned);
        Self::of(random, pairs)
    }

    fn of(random: ChaCha8Rng, pairs: Vec<Pair>) -> Self {
        Self { random, ids: (0..BOOKS).map(|book| book.to_string()).collect(), pairs, credits: Credits::default() }
    }

    /// One more reader; whether their click was credited.
    fn reader(&mut self) -> bool {
        let [stable, canary] = &self.pairs[self.random.random_range(0..self.pairs.len())];
        let ids = |list: &[usize]| list.iter().map(|book| self.ids[*book].as_str()).collect::<Vec<_>>();
        let (own, theirs) = (ids(stable), ids(canary));
        let coin: u64 = self.random.random();
        self.credits.readers += 1;
        for place in draft(&own, &theirs, PLACES, coin, |_, _| true) {
            let book = if place.side == Arm::Stable { stable[place.at] } else { canary[place.at] };
            if self.random.random::<f64>() < clicks(book) {
                match place.team {
                    Some(Arm::Canary) => self.credits.wins += 1,
                    Some(Arm::Stable) => self.credits.losses += 1,
                    // Nobody's: the reader may yet click another.
                    None => continue,
                }
                return true;
            }
            if self.random.random::<f64>() > GOES_ON {
                return false;
            }
        }
        false
    }

    /// One more reader, on one of two arms of half of the readers each; whether they clicked.
    fn reader_of_an_arm(&mut self) -> bool {
        let [stable, canary] = &self.pairs[self.random.random_range(0..self.pairs.len())];
        let on_canary: bool = self.random.random();
        self.credits.readers += 1;
        for book in if on_canary { canary } else { stable } {
            if self.random.random::<f64>() < clicks(*book) {
                let clicked = if on_canary { &mut self.credits.wins } else { &mut self.credits.losses };
                *clicked += 1;
                return true;
            }
            if self.random.random::<f64>() > GOES_ON {
                return false;
            }
        }
        false
    }

    /// The readers until the canary is shown to be worse, of at most `most`. `reader` is one of the two kinds: two arms of
    /// one half each are tested as the two sides of a list are.
    fn until_worse(&mut self, most: u64, reader: impl Fn(&mut Self) -> bool) -> Option<u64> {
        let alpha = Policy::default().alpha_interleaved;
        let shown = |credits: &Credits| credits.log_e_worse() >= -alpha.ln();
        (0..most).find(|_| reader(self) && shown(&self.credits)).map(|_| self.credits.readers)
    }
}

/// Trials of two equal versions: how many were ever ended.
fn ended(trials: u64, readers: u64) -> usize {
    let seen = over(trials, |seed| Trial::of_equals(seed).until_worse(readers, Trial::reader).is_some());
    let hits = seen.into_iter().filter(|ended| *ended).count();
    let (low, high) = interval(hits, trials as usize);
    println!(
        "| equal versions, {readers} readers of both lists, looked at after every click: ended (alpha .01) | {hits} of {trials} | {:.2} % | {:.2} to {:.2} % |",
        100.0 * hits as f64 / trials as f64,
        100.0 * low,
        100.0 * high
    );
    hits
}

#[test]
fn of_two_thousand_equal_versions_watched_all_along_at_most_one_in_a_hundred_is_ended() {
    let hits = ended(2000, 400);
    assert!(hits <= 20, "{hits} of 2000, alpha .01");
}

#[test]
#[ignore = "minutes: the same over 10,000 readers each"]
fn equal_versions_are_ended_no_more_often_in_long_trials() {
    let hits = ended(2000, 10_000);
    assert!(hits <= 20, "{hits} of 2000, alpha .01");
}

/// A reader who clicks clicks the canary's with chance `share`; the clicks until it is shown to be worse, by 200 trials.
fn clicks_until_worse(share: f64) -> (usize, u64) {
    let needed = -Policy::default().alpha_interleaved.ln();
    let seen = over(200, |seed| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut credits = Credits::default();
        (1..=20_000_u64).find(|_| {
            let won = random.random::<f64>() < share;
            credits.wins += u64::from(won);
            credits.losses += u64::from(!won);
            credits.log_e_worse() >= needed
        })
    });
    row(&format!("readers who click: {:.0} % on the canary's books", 100.0 * share), seen)
}

/// A click adds `ln 2 + .4 ln .4 + .6 ln .6` = .0201 at best where 40 % are the canary's, and .0050 where 45 % are; ln 100 and
/// the price of six alternatives, at most ln 6, are wanted.
#[test]
fn a_version_that_wins_two_clicks_of_five_is_ended_after_some_hundreds_of_clicks() {
    let (hits, median) = clicks_until_worse(0.4);
    assert_eq!(hits, 200);
    assert!((229..=400).contains(&median), "4.6 / .0201 = 229, 6.4 / .0201 = 318: {median}");
    let (hits, fewer) = clicks_until_worse(0.45);
    assert!(hits == 200 && (3 * median..8 * median).contains(&fewer), "a quarter of the evidence a click: {fewer}");
}

#[test]
fn a_version_that_guesses_worse_is_ended_by_its_readers_and_one_that_guesses_better_is_not() {
    let seen = over(200, |seed| Trial::new(seed, [6.0, 18.0]).until_worse(20_000, Trial::reader));
    let (hits, median) = row("readers of both lists: errors of 18 places against 6", seen);
    assert!(hits >= 190, "{hits} of 200");
    let seen = over(20, |seed| Trial::new(seed, [6.0, 18.0]).until_worse(400_000, Trial::reader_of_an_arm));
    let (_, of_arms) = row("the same versions on two arms of half of the readers each", seen);
    assert!(of_arms > 4 * median, "{of_arms} against {median}");
    let seen = over(200, |seed| Trial::new(seed, [18.0, 6.0]).until_worse(2_000, Trial::reader));
    let (hits, _) = row("readers of both lists: errors of 6 places against 18", seen);
    assert_eq!(hits, 0);
}
