//! A small bookshop in numbers: seeded readers, straight to window profiles, without a single event in between.

use drift::{Counts, Quality, Sample, Share, TrainingProfile, WindowProfile};
use jiff::Timestamp;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal, Poisson};

pub(crate) const N_BOOKS: usize = 300;
pub(crate) const N_SUBJECTS: usize = 12;

pub(crate) fn hour(hour: i64) -> Timestamp {
    Timestamp::from_second(hour * 3600).unwrap()
}

/// What readers do this hour. The default is an ordinary hour.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mood {
    /// Share of baskets that come from the rarest subject.
    pub(crate) new_taste: f64,
    /// Share of baskets that come from the three most popular books.
    pub(crate) head: f64,
    pub(crate) unknown_books: f64,
    pub(crate) score: f64,
    pub(crate) extra_requests: f64,
}

impl Default for Mood {
    fn default() -> Self {
        Self { new_taste: 0.0, head: 0.0, unknown_books: 0.05, score: 0.0, extra_requests: 0.5 }
    }
}

pub(crate) struct World {
    pub(crate) random: ChaCha8Rng,
    cumulative: Vec<f64>,
    pub(crate) n_readers: u64,
}

impl World {
    /// Book `b` is bought in proportion to `1 / (b + 5)` and belongs to subject `b % 12`, so subject 11 is the rarest.
    pub(crate) fn new(seed: u64, n_readers: u64) -> Self {
        let mut sum = 0.0;
        let cumulative = (0..N_BOOKS)
            .map(|book| {
                sum += 1.0 / (book as f64 + 5.0);
                sum
            })
            .collect();
        Self { random: ChaCha8Rng::seed_from_u64(seed), cumulative, n_readers }
    }

    fn book(&mut self, mood: Mood) -> usize {
        let choice = self.random.random::<f64>();
        if choice < mood.new_taste {
            return self.random.random_range(0..N_BOOKS / N_SUBJECTS) * N_SUBJECTS + N_SUBJECTS - 1;
        }
        if choice < mood.new_taste + mood.head {
            return self.random.random_range(0..3);
        }
        let point = self.random.random::<f64>() * self.cumulative[N_BOOKS - 1];
        self.cumulative.partition_point(|sum| *sum < point)
    }

    fn baskets(&mut self, n: u64, mood: Mood) -> (Counts, Counts) {
        let (mut books, mut subjects) = (Counts::default(), Counts::default());
        for _ in 0..n {
            let book = self.book(mood);
            books.count(&format!("book-{book:03}"));
            subjects.count(&format!("subject-{:02}", book % N_SUBJECTS));
        }
        (books, subjects)
    }

    fn share(&mut self, chance: f64, of: u64) -> Share {
        let hits = (0..of).filter(|_| self.random.random::<f64>() < chance).count() as u64;
        Share { hits, of }
    }

    pub(crate) fn training(&mut self, n: u64) -> TrainingProfile {
        let (books, subjects) = self.baskets(n, Mood::default());
        TrainingProfile {
            format: 1,
            trained_to: hour(0),
            first: Some(hour(-100 * 24)),
            last: Some(hour(-1)),
            recent_from: Some(hour(-25 * 24)),
            events: n,
            readers: n,
            books: N_BOOKS as u64,
            basket_books: books.cut_to(200),
            basket_subjects: subjects,
            growth: Some(self.share(Mood::default().unknown_books, n)),
            activity: [(1, n)].into(),
        }
    }

    pub(crate) fn window(&mut self, at: i64, mood: Mood) -> WindowProfile {
        let n = self.n_readers;
        let unknown_books = self.share(mood.unknown_books, n);
        let (basket_books, basket_subjects) = self.baskets(n - unknown_books.hits, mood);
        let extra = Poisson::new(mood.extra_requests).unwrap();
        let activity: Vec<f64> = (0..n).map(|_| 1.0 + extra.sample(&mut self.random)).collect();
        let mut normal = |mean: f64, deviation: f64| {
            let law = Normal::new(mean, deviation).unwrap();
            Sample::new((0..n).map(|_| law.sample(&mut self.random)).collect()).unwrap()
        };
        let (top_scores, list_popularity) = (normal(1.0 + mood.score, 0.3), normal(0.6, 0.1));
        WindowProfile {
            from: hour(at),
            to: hour(at + 1),
            requests: activity.iter().sum::<f64>() as u64,
            readers: n,
            clicks: 0,
            purchases: 0,
            quality: Quality::default(),
            basket_books,
            basket_subjects,
            unknown_books,
            unknown_readers: self.share(0.2, n),
            clicked: self.share(0.15, n),
            activity: Sample::new(activity).unwrap(),
            top_scores,
            list_popularity,
            rows: Vec::new(),
        }
    }
}
