//! The version of `staging` answers too, for nobody: a share of the requests is scored by it once production's answer is
//! on its way, and the two lists are compared.
//!
//! Only while no trial runs, and never counted as one. Requests are handed to one thread of its own through a short queue;
//! when that is full they are dropped and counted. No answer waits for it, and it works a fifth of the time at most.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use models::{Scratch, Version, event::Arm, split};
use serde::Serialize;

use crate::{
    current::Snapshot,
    engine::{self, Answer, Ask},
    judge::{jaccard, rbo},
    metrics::ShadowSeries,
    service::Service,
};

/// Requests that may wait.
const QUEUE: usize = 64;
/// Pauses are so many times as long as the work before them: a fifth of one core.
const REST: u32 = 4;

/// What became of a pair, as a metric label.
const SCORED: &str = "scored";
const EMPTY: &str = "empty";
const FAILED: &str = "failed";

/// How one version would have answered the readers of production, since it became resident in this process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The version that nobody met.
    pub version: Version,
    /// The version that answered.
    pub production: Version,
    /// Requests that both scored.
    pub pairs: u64,
    /// Of these, those it could not score.
    pub failed: u64,
    /// Of these, those for which it had no book.
    pub empty: u64,
    /// Mean share of the books of either list that are in both; of no meaning without pairs.
    pub jaccard: f64,
    /// Mean rank-biased overlap, 0 to 1; of no meaning without pairs.
    pub rbo: f64,
    /// Mean time production needed for these lists, milliseconds.
    pub production_score_ms: f64,
    /// Mean time it needed, milliseconds.
    pub score_ms: f64,
}

/// One request as production answered it.
#[derive(Debug)]
struct Pair {
    compared: Arc<Compared>,
    snapshot: Arc<Snapshot>,
    ask: Ask,
    /// Ids of the books that were listed, best first.
    books: Vec<String>,
    score: Duration,
}

/// Sums over the pairs of two versions.
#[derive(Debug, Clone)]
struct Sums {
    versions: (Version, Version),
    pairs: u64,
    failed: u64,
    empty: u64,
    /// Pairs with a book on either side.
    compared: u64,
    jaccard: f64,
    rbo: f64,
    production: Duration,
    own: Duration,
}

/// How one model's next version compares with production, so far.
#[derive(Debug)]
pub(crate) struct Compared {
    sums: Mutex<Option<Sums>>,
    series: ShadowSeries,
}

/// The hand-off of one process. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct Shadow {
    share_bp: u16,
    queue: SyncSender<Pair>,
}

impl Compared {
    /// Nothing yet.
    pub(crate) fn new(series: ShadowSeries) -> Self {
        Self { sums: Mutex::default(), series }
    }

    fn sums(&self) -> MutexGuard<'_, Option<Sums>> {
        self.sums.lock().expect("no panic happens while this lock is held")
    }
}

impl Shadow {
    /// Starts the thread; `share_bp` of the requests, in basis points, are scored twice.
    pub(crate) fn start(share_bp: u16) -> Self {
        let (queue, pairs) = sync_channel(QUEUE);
        thread::Builder::new()
            .name("shadow".into())
            .spawn(move || work(&pairs))
            .expect("a process that cannot start a thread cannot serve");
        Self { share_bp, queue }
    }

    /// Whether a request's turn has come: decided by its id, the same on every replica.
    pub(crate) fn wants(&self, tenant: &str, request: &str) -> bool {
        split::shadow_bucket(tenant, request) < self.share_bp
    }

    /// Takes a question that production has answered, unless there is no version to compare with; never waits.
    pub(crate) fn offer(
        &self,
        compared: &Arc<Compared>,
        snapshot: &Arc<Snapshot>,
        ask: &Ask,
        answer: &Answer,
        score: Duration,
    ) {
        if snapshot.step.is_some() || snapshot.canary.is_none() || answer.served != Arm::Stable {
            return;
        }
        let catalogue = snapshot.stable.artifact.catalogue();
        let books = answer.books.iter().map(|scored| catalogue.book(scored.row).item_id().to_owned()).collect();
        let (compared, snapshot) = (Arc::clone(compared), Arc::clone(snapshot));
        let pair = Pair { compared, snapshot, ask: ask.clone(), books, score };
        if let Err(TrySendError::Full(pair)) = self.queue.try_send(pair) {
            pair.compared.series.dropped();
        }
    }
}

impl Service {
    /// How the next version would have answered, once it has scored a request for nobody.
    pub fn comparison(&self) -> Option<Comparison> {
        let (sums, snapshot) = (self.compared.sums().clone()?, self.snapshot()?);
        let versions = (snapshot.stable.version, snapshot.canary.as_ref()?.version);
        (sums.versions == versions).then(|| sums.means())
    }
}

impl Sums {
    fn new(versions: (Version, Version)) -> Self {
        Self {
            versions,
            pairs: 0,
            failed: 0,
            empty: 0,
            compared: 0,
            jaccard: 0.0,
            rbo: 0.0,
            production: Duration::ZERO,
            own: Duration::ZERO,
        }
    }

    fn add(&mut self, result: &str, alike: Option<(f64, f64)>, (production, own): (Duration, Duration)) {
        self.pairs += 1;
        self.failed += u64::from(result == FAILED);
        self.empty += u64::from(result == EMPTY);
        if let Some((rbo, jaccard)) = alike {
            self.compared += 1;
            self.rbo += rbo;
            self.jaccard += jaccard;
        }
        self.production += production;
        self.own += own;
    }

    fn means(&self) -> Comparison {
        let mean = |sum: f64, n: u64| sum / n.max(1) as f64;
        let (production, version) = self.versions;
        Comparison {
            version,
            production,
            pairs: self.pairs,
            failed: self.failed,
            empty: self.empty,
            jaccard: mean(self.jaccard, self.compared),
            rbo: mean(self.rbo, self.compared),
            production_score_ms: mean(self.production.as_secs_f64() * 1e3, self.pairs),
            score_ms: mean(self.own.as_secs_f64() * 1e3, self.pairs),
        }
    }
}

/// Scores what comes until nobody can send any more.
fn work(pairs: &Receiver<Pair>) {
    let mut scratch = Scratch::default();
    while let Ok(pair) = pairs.recv() {
        let Some(candidate) = pair.snapshot.canary.clone() else { continue };
        let begun = Instant::now();
        let listed = engine::list(&candidate.artifact, &pair.ask, &mut scratch);
        let own = begun.elapsed();
        let catalogue = candidate.artifact.catalogue();
        let books = listed.ok().map(|(_, listed)| {
            listed.books.iter().map(|scored| catalogue.book(scored.row).item_id()).collect::<Vec<_>>()
        });
        let production: Vec<&str> = pair.books.iter().map(String::as_str).collect();
        let alike = books.as_ref().and_then(|books| Some((rbo(&production, books)?, jaccard(&production, books)?)));
        let result = books.as_ref().map_or(FAILED, |books| if books.is_empty() { EMPTY } else { SCORED });
        pair.compared.series.pair(result, alike.map(|(rbo, _)| rbo), own);
        let versions = (pair.snapshot.stable.version, candidate.version);
        {
            let mut sums = pair.compared.sums();
            sums.take_if(|sums| sums.versions != versions);
            sums.get_or_insert_with(|| Sums::new(versions)).add(result, alike, (pair.score, own));
        }
        thread::sleep(own * REST);
    }
}

#[cfg(test)]
mod tests {
    use models::{Artifact, Book, Catalogue, Readers, Scorer};

    use super::*;
    use crate::{
        current::{Assignment, Resident},
        metrics::Metrics,
    };

    fn resident(number: u32, arm: Arm) -> Resident {
        let books = Catalogue::new([Book::bare("a".parse().unwrap())]);
        let artifact = Artifact::new(books, vec![1.0], Scorer::Popularity, Readers::new([])).unwrap();
        Resident { version: number.try_into().unwrap(), arm, digest: String::new(), artifact: Arc::new(artifact) }
    }

    /// Nobody takes from the queue, as when a scoring hangs.
    #[test]
    fn a_full_queue_drops_and_counts_and_never_waits() {
        let (queue, _kept) = sync_channel(QUEUE);
        let shadow = Shadow { share_bp: 10_000, queue };
        let model = Metrics::new().of(&"acme-books".parse().unwrap(), &"recommender".parse().unwrap());
        let compared = Arc::new(Compared::new(model.shadow()));
        let canary = Some(resident(2, Arm::Canary));
        let snapshot = Arc::new(Snapshot { canary, ..Snapshot::fixed(resident(1, Arm::Stable)) });
        let ask = Ask { k: 1, ..Ask::default() };
        let assigned = Assignment { arm: Arm::Stable, counted: false };
        let answer = engine::answer(&snapshot, assigned, &ask, &mut Scratch::default()).unwrap();
        for _ in 0..QUEUE + 3 {
            shadow.offer(&compared, &snapshot, &ask, &answer, Duration::ZERO);
        }
        assert_eq!(model.shadow().n_dropped(), 3);
    }

    #[test]
    fn a_share_of_nothing_and_of_everything_are_just_that() {
        let shadow = |share_bp| Shadow { share_bp, queue: sync_channel(1).0 };
        let (none, all) = (shadow(0), shadow(10_000));
        assert!((0..100).all(|n| !none.wants("acme-books", &n.to_string()) && all.wants("acme-books", &n.to_string())));
    }
}
