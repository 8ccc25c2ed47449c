//! Two replicas behind a balancer that looks at readiness, told to leave one after the other while readers ask.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bookloop_tests::{Http, Predictor, http, open_loop, popular, predict};
use http_body_util::Full;
use hyper::{Request, body::Bytes};

const RESTARTS: usize = 20;
/// Requests a second.
const RATE: u64 = 200;
/// Time between two looks of the balancer at a replica.
const LOOK: Duration = Duration::from_millis(50);

/// A replica as the balancer knows it.
struct Replica {
    url: String,
    ready: AtomicBool,
}

/// The replicas in their places; requests go to the ready ones in turn and are sent once.
struct Balancer {
    places: [Mutex<Arc<Replica>>; 2],
    turn: AtomicUsize,
}

impl Balancer {
    fn at(&self, place: usize) -> Arc<Replica> {
        Arc::clone(&self.places[place].lock().unwrap())
    }

    fn next(&self) -> Option<Arc<Replica>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        (0..2).map(|step| self.at((turn + step) % 2)).find(|replica| replica.ready.load(Ordering::SeqCst))
    }

    async fn watch(self: Arc<Self>, client: Http, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::SeqCst) {
            for place in 0..2 {
                let replica = self.at(place);
                let probe = Request::get(format!("{}/v2/health/ready", replica.url)).body(Full::<Bytes>::default());
                let answer = client.request(probe.unwrap()).await;
                replica.ready.store(answer.is_ok_and(|answer| answer.status().is_success()), Ordering::SeqCst);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn both_ready(&self) {
        let begun = Instant::now();
        while !(0..2).all(|place| self.at(place).ready.load(Ordering::SeqCst)) {
            assert!(begun.elapsed() < Duration::from_secs(20), "a replica did not become ready");
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn started(store: &str) -> (Predictor, Arc<Replica>) {
    let predictor = Predictor::start(&format!("--store {store} --tenant acme-books"));
    let replica = Replica { url: predictor.url.clone(), ready: AtomicBool::new(false) };
    (predictor, Arc::new(replica))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "most of a minute"]
async fn twenty_restarts_behind_a_balancer_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = popular(folder.path(), &["a", "b"]).await;

    let [(mut first, one), (mut second, two)] = [started(&store), started(&store)];
    let balancer = Arc::new(Balancer { places: [Mutex::new(one), Mutex::new(two)], turn: AtomicUsize::new(0) });
    let stop = Arc::new(AtomicBool::new(false));
    let watch = tokio::spawn(Arc::clone(&balancer).watch(http(), Arc::clone(&stop)));
    balancer.both_ready().await;

    let load = tokio::spawn({
        let (client, balancer, stop) = (http(), Arc::clone(&balancer), Arc::clone(&stop));
        async move {
            let answers = open_loop(RATE, stop, |_| {
                let (client, replica) = (client.clone(), balancer.next());
                async move {
                    let replica = replica.ok_or("no replica is ready")?;
                    predict(&client, &replica.url, "ann", 2).await
                }
            });
            answers.await.into_iter().map(|(answer, _)| answer.err()).collect::<Vec<_>>()
        }
    });
    for restart in 0..RESTARTS {
        let leaving = if restart % 2 == 0 { &mut first } else { &mut second };
        let status = tokio::task::block_in_place(|| leaving.terminate());
        assert!(status.success(), "restart {restart}: a predictor that is told to leave ends with {status}");
        let (predictor, replica) = tokio::task::block_in_place(|| started(&store));
        *leaving = predictor;
        *balancer.places[restart % 2].lock().unwrap() = replica;
        balancer.both_ready().await;
    }
    stop.store(true, Ordering::SeqCst);
    watch.await.unwrap();
    let answers = load.await.unwrap();
    let (asked, failures) = (answers.len(), answers.into_iter().flatten().collect::<Vec<_>>());
    println!("{asked} requests through {RESTARTS} restarts, {} failed", failures.len());
    assert_eq!(failures, Vec::<String>::new());
    assert!(asked > RESTARTS * RATE as usize, "readers asked all the time");
}
