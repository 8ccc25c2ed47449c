//! What the world promises: the same days again, steady without a change of taste, another world after one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::SignedDuration;

use super::{super::books::Fashion, *};

fn start() -> Timestamp {
    "2026-01-05T00:00:00Z".parse().unwrap()
}

fn after_days(n: i64) -> Timestamp {
    start() + SignedDuration::from_hours(24 * n)
}

fn days(seed: u64, shift: Option<Timestamp>, n: usize) -> (World, Vec<Day>) {
    let options = WorldOptions { shift: shift.map(Shift::strong), ..WorldOptions::small(seed, start()) };
    let mut world = World::new(options).unwrap();
    let days = (0..n).filter_map(|_| world.next_day()).collect();
    (world, days)
}

#[test]
fn the_same_seed_is_the_same_world_and_another_seed_another() {
    let (one, two, other) = (days(7, None, 2), days(7, None, 2), days(8, None, 2));
    assert_eq!(one.0.catalogue(), two.0.catalogue());
    assert_eq!(one.1, two.1);
    assert_ne!(one.1[0].visits[0], other.1[0].visits[0]);
}

#[test]
fn visits_are_as_many_as_asked_for_in_order_of_time_and_mostly_end_in_a_purchase() {
    let (_, days) = days(7, None, 14);
    let visits: Vec<&Visit> = days.iter().flat_map(|day| &day.visits).collect();
    // 21 000 expected, standard deviation 145.
    assert!((20_400..21_600).contains(&visits.len()), "{}", visits.len());
    assert!(visits.is_sorted_by_key(|visit| visit.at));
    let bought = visits.iter().filter(|visit| visit.purchase.is_some()).count();
    assert!((0.57..0.61).contains(&(bought as f64 / visits.len() as f64)), "{bought}");
}

#[test]
fn nobody_buys_a_book_twice_and_visits_tell_the_latest_eight() {
    let (_, days) = days(7, Some(after_days(10)), 20);
    let mut bought: HashMap<&ReaderId, Vec<&BookId>> = HashMap::new();
    for visit in days.iter().flat_map(|day| &day.visits) {
        let so_far = bought.entry(&visit.reader).or_default();
        let latest: Vec<&BookId> = visit.latest.iter().collect();
        // What was bought before day 0 comes first, and is not known here.
        assert!(latest.len() <= 8 && latest.ends_with(&so_far[so_far.len().saturating_sub(latest.len())..]));
        assert!(latest.len() >= so_far.len().min(8));
        if let Some(book) = &visit.purchase {
            assert!(!so_far.contains(&book), "{} bought {book} again", visit.reader);
            so_far.push(book);
        }
    }
}

#[test]
fn a_change_of_taste_leaves_every_earlier_visit_and_book_as_it_was() {
    let ((calm, calm_days), (turned, turned_days)) = (days(7, None, 6), days(7, Some(after_days(4)), 6));
    assert_eq!(calm.catalogue(), &turned.catalogue()[..1_500]);
    assert_eq!(calm_days[..4], turned_days[..4]);
    let new: BTreeSet<&BookId> = turned.catalogue()[1_500..].iter().map(|book| &book.item_id).collect();
    let sold_new =
        |day: &Day| day.visits.iter().filter(|v| v.purchase.as_ref().is_some_and(|b| new.contains(b))).count();
    let sold: Vec<usize> = turned_days.iter().map(sold_new).collect();
    assert_eq!(sold[..4], [0; 4]);
    assert!(sold[4] > 60 && sold[5] > 60, "{sold:?}");
    assert!(turned.catalogue()[1_500..].iter().all(|book| book.year == Some(2026)));
}

/// Purchases by genre, counting each reader's first purchase of each day only.
fn genre_counts(world: &World, days: &[Day]) -> Vec<BTreeMap<String, f64>> {
    let genre: HashMap<&BookId, &String> = world.catalogue().iter().map(|b| (&b.item_id, &b.subjects[0])).collect();
    let count = |day: &Day| {
        let (mut counts, mut seen) = (BTreeMap::new(), BTreeSet::new());
        for visit in &day.visits {
            if let Some(book) = &visit.purchase
                && seen.insert(&visit.reader)
            {
                *counts.entry(genre[book].clone()).or_insert(0.0) += 1.0;
            }
        }
        counts
    };
    days.iter().map(count).collect()
}

/// Pearson's statistic of two samples over 12 classes: chi-square with 11 degrees of freedom if both are alike.
fn chi_square(one: &BTreeMap<String, f64>, two: &BTreeMap<String, f64>) -> f64 {
    let (n, m): (f64, f64) = (one.values().sum(), two.values().sum());
    let class = |genre: &String| {
        let (a, b) = (one.get(genre).copied().unwrap_or(0.0), two[genre]);
        (a * (m / n).sqrt() - b * (n / m).sqrt()).powi(2) / (a + b)
    };
    two.keys().map(class).sum()
}

/// The statistic of each day from 14 on against all days before it.
fn statistics(seed: u64, shift: Option<Timestamp>) -> Vec<f64> {
    let (world, days) = days(seed, shift, 44);
    let counts = genre_counts(&world, &days);
    let against_past = |n: usize| {
        let mut past = BTreeMap::new();
        for (genre, count) in counts[..n].iter().flatten() {
            *past.entry(genre.clone()).or_insert(0.0) += count;
        }
        chi_square(&counts[n], &past)
    };
    (14..44).map(against_past).collect()
}

#[test]
fn without_a_change_days_are_as_alike_as_chance_makes_them() {
    let all: Vec<f64> = (1..=4).flat_map(|seed| statistics(seed, None)).collect();
    // 19.68 and 31.26 are exceeded with probability 0.05 and 0.001: of 120 days, 6 and 0.1 are expected to.
    let over = |limit: f64| all.iter().filter(|x| **x > limit).count();
    println!("days over the 5 % point: {}, over the 0.1 % point: {} of {}", over(19.68), over(31.26), all.len());
    assert!(over(19.68) <= 12 && over(31.26) == 0, "{} {}", over(19.68), over(31.26));
}

#[test]
fn a_change_moves_the_genres_from_its_first_day() {
    let statistics = statistics(7, Some(after_days(30)));
    println!("calm: at most {:.1}; first day after: {:.1}", max(&statistics[..16]), statistics[16]);
    assert!(max(&statistics[..16]) < 35.0, "{statistics:?}");
    assert!(statistics[16] > 60.0, "{statistics:?}");
}

fn max(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::MIN, f64::max)
}

/// Popularity and co-occurrence counted over days of purchases: the simplest recommender that knows readers.
struct Counter<'a> {
    shelves: &'a Shelves,
    histories: HashMap<ReaderId, Vec<usize>>,
    counts: Vec<f64>,
    /// How often two books were bought by one reader within 30 purchases, shape `(n_books, n_books)`.
    pairs: Vec<f32>,
}

impl<'a> Counter<'a> {
    fn learn(world: &'a World, days: &[Day]) -> Self {
        let n = world.catalogue().len();
        let mut counter =
            Self { shelves: &world.shelves, histories: HashMap::new(), counts: vec![0.0; n], pairs: vec![0.0; n * n] };
        for visit in days.iter().flat_map(|day| &day.visits) {
            let Some(book) = &visit.purchase else { continue };
            let book = world.shelves.index(book).unwrap();
            counter.counts[book] += 1.0;
            let history = counter.histories.entry(visit.reader.clone()).or_default();
            for earlier in history.iter().rev().take(30) {
                counter.pairs[earlier * n + book] += 1.0;
                counter.pairs[book * n + earlier] += 1.0;
            }
            history.push(book);
        }
        counter
    }

    /// Share of purchases of known readers that were among the ten books with the highest score.
    fn recall_at_10(&self, days: &[Day], score: impl Fn(&Self, &[usize]) -> Vec<f64>) -> f64 {
        let (mut hits, mut tries) = (0, 0);
        for visit in days.iter().flat_map(|day| &day.visits) {
            let Some(bought) = &visit.purchase else { continue };
            let Some(history) = self.histories.get(&visit.reader) else { continue };
            let mut known = history.clone();
            known.extend(visit.latest.iter().map(|book| self.shelves.index(book).unwrap()));
            let mut scores = score(self, &known);
            for book in &known {
                scores[*book] = -1.0;
            }
            let bought = self.shelves.index(bought).unwrap();
            // A book nobody bought cannot be recommended.
            let better = scores.iter().filter(|score| **score >= scores[bought]).count();
            hits += u32::from(better <= 10 && scores[bought] > 0.0);
            tries += 1;
        }
        f64::from(hits) / f64::from(tries)
    }

    fn popularity(&self, _: &[usize]) -> Vec<f64> {
        self.counts.clone()
    }

    /// Cosine of co-occurrence, summed over the history's newest books.
    fn neighbours(&self, history: &[usize]) -> Vec<f64> {
        let n = self.counts.len();
        let mut scores = vec![0.0; n];
        for earlier in history.iter().rev().take(20).filter(|book| self.counts[**book] > 0.0) {
            let row = &self.pairs[earlier * n..][..n];
            for (score, (pairs, count)) in scores.iter_mut().zip(row.iter().zip(&self.counts)) {
                *score += f64::from(*pairs) / (self.counts[*earlier] * count.max(1.0)).sqrt();
            }
        }
        scores
    }
}

#[test]
fn who_reads_what_together_tells_more_than_what_everyone_reads() {
    let (world, days) = days(7, None, 32);
    let counter = Counter::learn(&world, &days[..28]);
    let popular = counter.recall_at_10(&days[28..], Counter::popularity);
    let neighbours = counter.recall_at_10(&days[28..], Counter::neighbours);
    println!("recall@10 popularity {popular:.4}, neighbours {neighbours:.4}");
    assert!(neighbours > 2.0 * popular, "{neighbours} {popular}");
}

#[test]
fn after_a_change_a_model_trained_with_a_few_days_of_it_does_clearly_better() {
    let (world, days) = days(7, Some(after_days(28)), 38);
    let recall = |learnt: usize, on: std::ops::Range<usize>| {
        Counter::learn(&world, &days[..learnt]).recall_at_10(&days[on], Counter::neighbours)
    };
    let (calm, old, retrained) = (recall(24, 24..28), recall(28, 34..38), recall(34, 34..38));
    println!("recall@10 before {calm:.4}, old model after {old:.4}, retrained after {retrained:.4}");
    assert!(old < 0.6 * calm, "{old} {calm}");
    assert!(retrained > 1.5 * old, "{retrained} {old}");
}

/// Largest distance between the distributions of two samples (Kolmogorov and Smirnov).
fn distance(one: &mut [f64], two: &mut [f64]) -> f64 {
    one.sort_unstable_by(f64::total_cmp);
    two.sort_unstable_by(f64::total_cmp);
    let share = |sample: &[f64], x: f64| sample.partition_point(|y| *y <= x) as f64 / sample.len() as f64;
    let points: Vec<f64> = one.iter().chain(two.iter()).copied().collect();
    points.iter().map(|x| (share(one, *x) - share(two, *x)).abs()).fold(0.0, f64::max)
}

#[test]
fn without_a_change_books_and_histories_stay_as_they_were() {
    let (world, days) = days(7, None, 42);
    let weight = |book: &BookId| world.shelves.places[world.shelves.index(book).unwrap()].standing(Fashion::Old).weight;
    let visits = |days: &[Day]| -> Vec<Visit> { days.iter().flat_map(|day| day.visits.clone()).collect() };
    for (from, to) in [(0, 14), (14, 28)] {
        let (past, later) = (visits(&days[from..to]), visits(&days[to..to + 14]));
        let bought =
            |visits: &[Visit]| visits.iter().filter_map(|v| v.purchase.as_ref()).map(weight).collect::<Vec<_>>();
        let newest = |visits: &[Visit]| visits.iter().filter_map(|v| v.latest.last()).map(weight).collect::<Vec<_>>();
        let lengths = |visits: &[Visit]| visits.iter().map(|v| v.latest.len() as f64).collect::<Vec<_>>();
        let apart = [
            distance(&mut bought(&past), &mut bought(&later)),
            distance(&mut newest(&past), &mut newest(&later)),
            distance(&mut lengths(&past), &mut lengths(&later)),
        ];
        println!("days {from} to {to} and the two weeks after: bought, newest, length {apart:.3?}");
        assert!(apart.iter().all(|distance| *distance < 0.06), "{apart:.3?}");
    }
}

#[test]
fn bots_come_often_and_never_turn_but_nobody_else_is_ever_present() {
    let (_, days) = days(7, None, 10);
    let mut visits: BTreeMap<&str, u32> = BTreeMap::new();
    for visit in days.iter().flat_map(|day| &day.visits) {
        *visits.entry(visit.reader.as_str()).or_default() += 1;
    }
    let bots = [visits["reader-000000"], visits["reader-000001"]];
    let busiest_reader = visits.range("reader-000002"..).map(|(_, n)| *n).max().unwrap();
    assert!(bots.iter().all(|n| *n > 2 * busiest_reader), "{bots:?} {busiest_reader}");
}

#[test]
fn readers_click_what_they_like_and_the_same_request_clicks_the_same() {
    let (world, days) = days(7, None, 10);
    let (mut liked, mut random) = (0, 0);
    let books: Vec<BookId> = world.catalogue().iter().map(|book| book.item_id.clone()).collect();
    let last = &days[9];
    for (n, visit) in last.visits.iter().enumerate().filter(|(_, visit)| visit.latest.len() == 8) {
        let click = |list: &[BookId]| {
            let place = world.click(&visit.reader, list, &format!("sim-9-{n}"), visit.at);
            assert_eq!(place, world.click(&visit.reader, list, &format!("sim-9-{n}"), visit.at));
            usize::from(place.is_some())
        };
        liked += click(&visit.latest);
        random += click(&books[n % 1_400..][..8]);
    }
    assert!(liked > 2 * random, "{liked} {random}");
}

#[test]
fn options_that_make_no_world_are_refused_by_name() {
    let refused = |options| World::new(options).unwrap_err().to_string();
    let fine = || WorldOptions::small(7, start());
    assert_eq!(refused(WorldOptions { genres: 13, ..fine() }), "simulation genres: expected 2 to 12, found 13");
    assert_eq!(
        refused(WorldOptions { visits_per_day: f64::NAN, ..fine() }),
        "simulation visits_per_day: expected a number from 1 to 1000000, found NaN"
    );
    assert!(World::new(WorldOptions { n_readers: 0, ..fine() }).is_err());
}
