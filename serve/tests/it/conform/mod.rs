//! The judge of servers, judged: everything passes on the real doors, and each point fails on a server that has the one
//! defect it is there to find.

mod defects;
mod wrong;

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde_json::{Value, json};
use serve::conform::{Options, Outcome, Report, grade};
use tokio::net::TcpListener;

use crate::world::Shop;

/// A router behind a real socket, HTTP/1.1 and HTTP/2 alike, for as long as the test lives.
pub(crate) async fn open(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                // Clients that leave are no concern of this test.
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    format!("http://{address}")
}

/// Two dozen readers with two features each: an answer long enough to be packed, and an input with two dimensions.
fn readers() -> Value {
    let names: Vec<String> = (0..24).map(|n| format!("reader-{n}")).collect();
    json!({ "inputs": [
        { "name": "user_id", "datatype": "BYTES", "shape": [24], "data": names },
        { "name": "k", "datatype": "INT32", "shape": [1], "data": [3] },
        { "name": "features", "datatype": "FP32", "shape": [24, 2], "data": vec![0.5; 48] },
    ]})
}

fn with_readers(url: &str) -> Options {
    let mut options = Options::new(url);
    options.inputs = Some(readers());
    options.instances = Some(vec![json!({ "user_id": "ann", "k": 3 })]);
    options
}

/// Ids of the points that were not passed, and why.
fn others(report: &Report) -> Vec<String> {
    let others = report.points.iter().filter(|graded| graded.outcome != Outcome::Pass);
    others.map(|graded| format!("{}: {:?}", graded.point.id, graded.outcome)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_doors_pass_every_point() {
    let url = open(Shop::open().router).await;
    let report = grade(with_readers(&url)).await.unwrap();
    assert_eq!(others(&report), Vec::<String>::new());
    assert_eq!(report.points.len(), serve::conform::points().len());
    assert_eq!((report.unmet(), report.model.as_str()), (Vec::new(), "recommender"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_made_up_from_the_metadata_are_answered() {
    let url = open(Shop::open().router).await;
    let report = grade(Options::new(&url)).await.unwrap();
    let others: Vec<&str> = report.points.iter().filter(|g| g.outcome != Outcome::Pass).map(|g| &*g.point.id).collect();
    assert_eq!(others, ["v2.infer.nested-data", "http.gzip-response"]);
    assert_eq!(report.unmet(), Vec::<&str>::new());
}
