//! Visits as requests: asks a predictor for every reader that comes by, and tells it what they clicked and bought.
//!
//! What is reported is in order of request, whatever the concurrency, so two drives of the same visits against the
//! same predictor differ in latencies only. A request that fails is counted with its reason and never repeated.

pub(super) mod report;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream as streams};
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, Uri, header::CONTENT_TYPE};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use models::{
    BookId, ModelName, TenantName,
    event::{OrderPlaced, OutcomeKind, SCHEMA_VERSION, Topic},
    stream::{self, Message, Producer},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::report::DriveReport;
use super::{Readers, Tick, Visit};

/// Books asked for with every request.
const LIST_LENGTH: u32 = 10;
/// Outcomes sent in one request.
const OUTCOME_BATCH: usize = 200;

/// How fast requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as answers come, `concurrency` at a time; latency counts from sending.
    AsFast,
    /// So many a second, positive, whether or not answers come; latency counts from when a request was due, so waiting
    /// for one of the `concurrency` places is part of it.
    PerSecond(f64),
}

/// Where the requests go.
#[derive(Debug, Clone)]
pub struct DriverOptions {
    /// As in `http://127.0.0.1:8080`.
    pub base_url: String,
    /// Tenant of the orders.
    pub tenant: TenantName,
    /// Model asked.
    pub model: ModelName,
    /// Requests in flight at most, at least 1.
    pub concurrency: usize,
    /// When a request is given up.
    pub timeout: Duration,
}

/// Sends visits to one predictor over kept-alive connections.
pub struct Driver {
    client: Client<HttpConnector, Full<Bytes>>,
    predict: Uri,
    outcomes: Uri,
    options: DriverOptions,
    orders: Option<Arc<dyn Producer>>,
}

/// A predictor's answer to one reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The version that scored.
    pub version: u32,
    /// Arm of the split: `stable` or `canary`.
    pub variant: String,
    /// Books, best first.
    pub list: Vec<BookId>,
}

impl Driver {
    /// A driver for a predictor; orders go to `orders` if given.
    pub fn new(
        options: DriverOptions,
        orders: Option<Arc<dyn Producer>>,
    ) -> Result<Self, hyper::http::uri::InvalidUri> {
        let base = options.base_url.trim_end_matches('/');
        let predict = format!("{base}/v1/models/{}:predict", options.model).parse()?;
        let outcomes = format!("{base}/outcomes").parse()?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(options.concurrency)
            .build_http();
        Ok(Self { client, predict, outcomes, options, orders })
    }

    /// Sends every visit of `tick`, then the clicks and purchases that followed, then the orders.
    ///
    /// Fails only when the orders' stream does.
    pub async fn drive(
        &self,
        tick: &Tick<'_>,
        readers: &dyn Readers,
        pace: Pace,
    ) -> Result<DriveReport, stream::Error> {
        let mut report = DriveReport::default();
        let start = Instant::now();
        let asked: Vec<_> =
            tick.requests().enumerate().map(|(n, (id, visit))| self.timed(id, visit, due(pace, start, n))).collect();
        let answers: Vec<_> = streams::iter(asked).buffered(self.options.concurrency.max(1)).collect().await;
        let mut outcomes = Vec::new();
        for ((request_id, visit), (latency, answer)) in tick.requests().zip(answers) {
            report.requests += 1;
            let answer = match answer {
                Ok(answer) => answer,
                Err(reason) => {
                    report.fail(format!("{request_id}: {reason}"));
                    continue;
                }
            };
            let clicked = readers.click(&visit.reader, &answer.list, &request_id, visit.at);
            report.answers.entry((answer.version, answer.variant)).or_default().add(latency, clicked.is_some());
            let clicked = clicked.map(|place| (OutcomeKind::Click, &answer.list[place]));
            let bought = answer.list.iter().find(|book| Some(*book) == visit.purchase.as_ref());
            let bought = bought.map(|book| (OutcomeKind::Purchase, book));
            for (kind, item_id) in clicked.into_iter().chain(bought) {
                outcomes.push(OutcomeBody {
                    request_id: request_id.clone(),
                    user_id: visit.reader.to_string(),
                    item_id: item_id.to_string(),
                    kind,
                    at: visit.at,
                });
            }
        }
        self.tell(&outcomes, &mut report).await;
        self.order(tick, &mut report).await?;
        Ok(report)
    }

    /// One request from when it is due to its answer.
    async fn timed(
        &self,
        request_id: String,
        visit: &Visit,
        due: Option<Instant>,
    ) -> (Duration, Result<Answer, String>) {
        let from = match due {
            Some(due) => {
                tokio::time::sleep_until(due).await;
                due
            }
            None => Instant::now(),
        };
        let answer = self.ask(&request_id, visit).await;
        (from.elapsed(), answer)
    }

    async fn ask(&self, request_id: &str, visit: &Visit) -> Result<Answer, String> {
        let body = PredictBody {
            instances: [Instance { user_id: visit.reader.as_str(), k: LIST_LENGTH, history: &visit.latest }],
        };
        let body = serde_json::to_vec(&body).expect("texts and numbers are JSON");
        let answered = self.post(&self.predict, Some(request_id), body).await?;
        answer(&answered)
    }

    /// Posts JSON; an answer other than 200 is a failure with the beginning of its body.
    async fn post(&self, uri: &Uri, request_id: Option<&str>, body: Vec<u8>) -> Result<Bytes, String> {
        let mut request = Request::post(uri).header(CONTENT_TYPE, "application/json");
        if let Some(id) = request_id {
            request = request.header("X-Request-Id", id).header("X-Correlation-ID", id);
        }
        let request = request.body(Full::from(body)).map_err(|error| error.to_string())?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| with_causes(&error))?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(|error| with_causes(&error))?.to_bytes();
            Ok::<_, String>((status, body))
        };
        let timeout = self.options.timeout;
        let (status, body) =
            tokio::time::timeout(timeout, exchange).await.map_err(|_| format!("no answer within {timeout:?}"))??;
        if status == StatusCode::OK {
            return Ok(body);
        }
        let said: String = String::from_utf8_lossy(&body).chars().take(200).collect();
        Err(format!("status {}: {said}", status.as_u16()))
    }

    async fn tell(&self, outcomes: &[OutcomeBody], report: &mut DriveReport) {
        for batch in outcomes.chunks(OUTCOME_BATCH) {
            let body = serde_json::to_vec(batch).expect("texts and times are JSON");
            match self.post(&self.outcomes, None, body).await {
                Ok(_) => report.outcomes += batch.len() as u64,
                Err(reason) => {
                    report.outcomes_failed += batch.len() as u64;
                    report.keep(format!("outcomes: {reason}"));
                }
            }
        }
    }

    async fn order(&self, tick: &Tick<'_>, report: &mut DriveReport) -> Result<(), stream::Error> {
        let Some(orders) = &self.orders else { return Ok(()) };
        let messages = order_messages(tick, &self.options.tenant);
        if messages.is_empty() {
            return Ok(());
        }
        report.orders += messages.len() as u64;
        orders.send(messages).await
    }
}

/// A tick's purchases as records of the orders' stream; the event id is `order-` and the request id.
fn order_messages(tick: &Tick<'_>, tenant: &TenantName) -> Vec<Message> {
    let message = |(request_id, visit): (String, &Visit)| {
        let order = OrderPlaced {
            tenant_id: tenant.clone(),
            event_id: format!("order-{request_id}"),
            user_id: visit.reader.clone(),
            items: vec![visit.purchase.clone()?],
            at: visit.at,
            schema_version: SCHEMA_VERSION,
        };
        Some(Message::json(Topic::Orders, tenant.as_str(), &order))
    };
    tick.requests().filter_map(message).collect()
}

/// When request `n` is due; `None` if as soon as there is a place.
fn due(pace: Pace, start: Instant, n: usize) -> Option<Instant> {
    match pace {
        Pace::AsFast => None,
        Pace::PerSecond(rate) => Some(start + Duration::from_secs_f64(n as f64 / rate)),
    }
}

#[derive(Serialize)]
struct PredictBody<'a> {
    instances: [Instance<'a>; 1],
}

#[derive(Serialize)]
struct Instance<'a> {
    user_id: &'a str,
    k: u32,
    history: &'a [BookId],
}

#[derive(Serialize)]
struct OutcomeBody {
    request_id: String,
    user_id: String,
    item_id: String,
    kind: OutcomeKind,
    at: jiff::Timestamp,
}

/// The first prediction of an answer's body.
fn answer(body: &[u8]) -> Result<Answer, String> {
    #[derive(Deserialize)]
    struct Body {
        predictions: Vec<Prediction>,
    }
    #[derive(Deserialize)]
    struct Prediction {
        recommendations: Vec<Recommended>,
        model_version: Number,
        variant: String,
    }
    #[derive(Deserialize)]
    struct Recommended {
        book_id: BookId,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Number(u32),
        Text(String),
    }
    let body: Body = serde_json::from_slice(body).map_err(|error| format!("unreadable answer: {error}"))?;
    let [prediction] = <[Prediction; 1]>::try_from(body.predictions)
        .map_err(|predictions| format!("{} predictions for one reader", predictions.len()))?;
    let version = match prediction.model_version {
        Number::Number(version) => version,
        Number::Text(text) => text.parse().map_err(|_| format!("version {text:?} is not a number"))?,
    };
    let list = prediction.recommendations.into_iter().map(|recommended| recommended.book_id).collect();
    Ok(Answer { version, variant: prediction.variant, list })
}

/// An error with what caused it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests;
