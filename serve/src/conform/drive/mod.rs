//! Carries the points' requests to a server and its answers back. All that conformance does with a network is here.

mod call;
mod carry;
mod learn;
mod line;

use std::time::Duration;

use serde_json::Value;

use self::carry::Carrier;
use super::{
    Graded, Outcome, Report, Section,
    check::Check,
    checks,
    exchange::{Answer, Exchange},
    sample,
};

/// What to grade, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the server is, as in `http://127.0.0.1:8080`; what follows the authority goes in front of every path.
    pub url: String,
    /// Where it speaks gRPC; looked for at [`Options::url`] if not given.
    pub grpc: Option<String>,
    /// The model to ask; the only one that the server lists if not given.
    pub model: Option<String>,
    /// A V2 request to send; made up from the metadata if not given.
    pub inputs: Option<Value>,
    /// V1 instances to send; made up from the V2 request if not given.
    pub instances: Option<Vec<Value>>,
    /// Beginnings of the ids of the points that are wanted, as in `v2.infer` or `grpc`; all if empty.
    pub only: Vec<String>,
    /// When an answer is given up.
    pub timeout: Duration,
    /// Sent with every request, over gRPC too.
    pub headers: Vec<(String, String)>,
}

impl Options {
    /// Everything by default: all points, the only model, requests made up, ten seconds for an answer.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            grpc: None,
            model: None,
            inputs: None,
            instances: None,
            only: Vec::new(),
            timeout: Duration::from_secs(10),
            headers: Vec::new(),
        }
    }
}

/// Why nothing was graded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address of a server.
    #[error("{setting}: expected http://HOST:PORT, found {found:?}")]
    Address {
        /// Which setting.
        setting: &'static str,
        /// As given.
        found: String,
    },
    /// No header that could be sent.
    #[error("header {name:?}: expected a name and visible ASCII as its value")]
    Header {
        /// As given.
        name: String,
    },
    /// No point's id begins so.
    #[error("only: expected the beginning of an id, as in {}; found {found:?}", prefixes())]
    Only {
        /// As given.
        found: String,
    },
    /// No request.
    #[error("inputs: {problem}")]
    Inputs {
        /// What is wrong with it.
        problem: String,
    },
    /// The server lists no model, or several, and none was named.
    #[error("model: expected a name, because the server lists {listed:?}")]
    Model {
        /// As the server says.
        listed: Vec<String>,
    },
    /// The server does not answer.
    #[error("{url} does not answer: {reason}")]
    Unreachable {
        /// As given.
        url: String,
        /// What was met instead.
        reason: String,
    },
}

fn prefixes() -> String {
    Section::ALL.map(Section::prefix).join(", ")
}

/// Grades a server.
///
/// Every point is asked and judged on its own; what is asked twice is sent once. A point whose question cannot be put
/// is skipped or not offered, with the reason.
pub async fn grade(options: Options) -> Result<Report, Error> {
    let wanted = wanted(&options.only)?;
    if let Some(problem) = options.inputs.as_ref().and_then(sample::problem) {
        return Err(Error::Inputs { problem });
    }
    let carrier = Carrier::new(&options)?;
    let subject = learn::learn(&carrier, &options).await?;
    let mut points = Vec::with_capacity(wanted.len());
    let mut asked: Vec<(Exchange, Vec<Answer>)> = Vec::new();
    for check in wanted {
        let outcome = match (check.ask)(&subject) {
            Err(fault) => Err(fault).into(),
            Ok(exchange) => {
                let answers = match asked.iter().position(|(known, _)| *known == exchange) {
                    Some(place) => &asked[place].1,
                    None => {
                        let answers = carrier.carry(&exchange).await;
                        asked.push((exchange, answers));
                        &asked.last().expect("it was put there").1
                    }
                };
                Outcome::from((check.judge)(&subject, answers))
            }
        };
        points.push(Graded { point: check.point, outcome });
    }
    let grpc = options.grpc.unwrap_or_else(|| options.url.clone());
    Ok(Report { url: options.url, grpc, model: subject.model, points })
}

/// The checks whose ids begin as wanted.
fn wanted(only: &[String]) -> Result<Vec<Check>, Error> {
    let begins =
        |id: &str, with: &str| id.strip_prefix(with).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let mut checks = checks();
    let of_none = |found: &&String| !checks.iter().any(|check| begins(&check.point.id, found));
    if let Some(found) = only.iter().find(of_none) {
        return Err(Error::Only { found: found.clone() });
    }
    checks.retain(|check| only.is_empty() || only.iter().any(|with| begins(&check.point.id, with)));
    Ok(checks)
}
