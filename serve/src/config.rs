//! Settings of a predictor, with the defaults a reader of the dashboards may assume.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use axum::http::HeaderName;
use jiff::{SignedDuration, Timestamp};
use models::{ModelName, TenantName};

use crate::{judge::Policy, spans::Spans, tokens::Tokens, wire::cloudevent::Style};

/// The most books one list may have.
pub const MAX_K: usize = 1000;
/// The most readers one call may ask for.
pub const MAX_INSTANCES: usize = 1024;
/// The most books one call may ask for in all its lists together: bounds the memory of an answer.
pub const MAX_LISTED: usize = 128 * MAX_INSTANCES;
/// The most books a caller may send as a reader's history, and the most it may exclude.
pub const MAX_SENT_BOOKS: usize = 1000;
/// The most languages, authors or subjects a caller may name in one rule.
pub const MAX_NAMES: usize = 64;
/// The longest list that may be asked to be diverse.
pub const MAX_DIVERSE_K: usize = 100;
/// The most numbers of context a caller may send per reader.
pub const MAX_FEATURES: usize = 1024;
/// The deepest nesting of JSON that is read.
pub const MAX_DEPTH: usize = 64;

/// Where "now" on records comes from: an argument, so that a rehearsal can wind it by hand.
///
/// Durations are measured by the machine's monotonic clock, never by this one.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that asks `now`.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The machine's wall clock.
    pub fn system() -> Self {
        Self::new(Timestamp::now)
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Who says which tenant a request is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Callers {
    /// Nobody has to: one tenant is served, and whoever comes is taken for one of its. A claim that is there must name
    /// this tenant all the same, save where it is [`SHARED`], which is everyone's.
    #[default]
    Anyone,
    /// The mesh, by the claim `tenant` in `x-jwt-payload`, and nobody else; with [`Options::tokens`] the caller's token in
    /// its place.
    Claim,
    /// The caller, in this header: for places without a mesh, where who can connect may ask for any tenant. A request
    /// that comes with a claim is refused, since no mesh can have set it.
    Header(HeaderName),
}

/// The tenant whose models are everyone's.
pub const SHARED: &str = "shared";

/// Everything about a predictor that is not the models themselves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The tenant of requests that need not name one, see [`Callers::Anyone`].
    pub tenant: TenantName,
    /// The model of paths that name none, such as `/recommend`.
    pub model: ModelName,
    /// Who says which tenant a request is for.
    pub callers: Callers,
    /// What verifies callers' tokens where no mesh does, for [`Callers::Claim`].
    pub tokens: Option<Arc<Tokens>>,
    /// Requests of one tenant admitted at once, counted as [`Limits::in_flight`]; with `None` half of those where
    /// several tenants are served, else all.
    pub tenant_in_flight: Option<usize>,
    /// Bytes of model files loaded at once, every resident version counted; 0 for no limit.
    pub model_bytes: u64,
    /// Where it answers readers. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where it answers gRPC besides the main port, which does so too.
    pub grpc: Option<SocketAddr>,
    /// Where metrics and experiments are shown; with `None` on the main port.
    pub admin: Option<SocketAddr>,
    /// Region written into records, if any.
    pub region: Option<String>,
    /// The name under which this process tells the others of a trial what it saw, in the store: letters, digits and `-`,
    /// drawn once per start, so that no two processes ever share it. With `None` it tells nobody, and a trial is judged by
    /// what was seen here alone.
    pub process: Option<String>,
    /// Time between two rounds in which it tells and hears.
    pub exchange_interval: Duration,
    /// Time between two looks at the registry.
    pub poll_interval: Duration,
    /// What one request may cost.
    pub limits: Limits,
    /// How long leaving takes.
    pub drain: Drain,
    /// How many answers are kept for joining outcomes.
    pub remember: Remember,
    /// How many records may wait for the stream.
    pub events: EventQueue,
    /// Whether the kill switch is on from the start, see [`Fleet::turn_popular_only`](crate::Fleet::turn_popular_only).
    pub popular_only: bool,
    /// Share of the requests that the version of `staging` scores too, for nobody, while no trial runs; basis points.
    pub shadow_bp: u16,
    /// Share of the readers who are given lists of both versions while a trial runs, basis points. All replicas of a model
    /// should have the same.
    pub interleave_bp: u16,
    /// What answers to CloudEvents say of themselves.
    pub cloud_events: Style,
    /// What a trial must show.
    pub policy: Policy,
    /// How long after a reader is first met on a trial their click counts in it.
    pub click_window: SignedDuration,
    /// What time it is, for records.
    pub clock: Clock,
    /// Where requests are told as spans, if anywhere.
    pub spans: Option<Spans>,
}

impl Options {
    /// The defaults, on a free loopback port.
    pub fn new(tenant: TenantName, model: ModelName) -> Self {
        Self {
            tenant,
            model,
            callers: Callers::default(),
            tokens: None,
            tenant_in_flight: None,
            model_bytes: 0,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            grpc: None,
            admin: None,
            region: None,
            process: None,
            exchange_interval: Duration::from_secs(3),
            poll_interval: Duration::from_secs(1),
            limits: Limits::default(),
            drain: Drain::default(),
            remember: Remember::default(),
            events: EventQueue::default(),
            popular_only: false,
            shadow_bp: 0,
            interleave_bp: 0,
            cloud_events: Style::default(),
            policy: Policy::default(),
            click_window: SignedDuration::from_mins(30),
            clock: Clock::system(),
            spans: None,
        }
    }

    /// Every setting that cannot work, one sentence each; empty when all can.
    pub fn problems(&self) -> Vec<String> {
        let durations = [
            ("poll_interval", self.poll_interval),
            ("exchange_interval", self.exchange_interval),
            ("limits.deadline", self.limits.deadline),
            ("limits.load", self.limits.load),
            ("limits.header_read", self.limits.header_read),
            ("limits.body_read", self.limits.body_read),
            ("limits.idle", self.limits.idle),
        ];
        let counts = [
            ("limits.body_bytes", self.limits.body_bytes),
            ("limits.in_flight", self.limits.in_flight),
            ("tenant_in_flight", self.tenant_in_flight.unwrap_or(1)),
            ("remember.answers", self.remember.answers),
            ("events.records", self.events.records),
            ("events.bytes", self.events.bytes),
        ];
        let zero_duration = durations.iter().filter(|(_, value)| value.is_zero()).map(|(name, _)| *name);
        let zero_count = counts.iter().filter(|(_, value)| *value == 0).map(|(name, _)| *name);
        let mut problems: Vec<String> =
            zero_duration.chain(zero_count).map(|name| format!("{name}: expected more than 0, found 0")).collect();
        problems.extend(self.policy.problems().into_iter().map(|problem| format!("policy.{problem}")));
        if !self.click_window.is_positive() {
            problems.push(format!("click_window: expected more than 0, found {} s", self.click_window.as_secs()));
        }
        if self.tokens.is_some() && self.callers != Callers::Claim {
            problems.push("callers: expected a claim where tokens are verified".into());
        }
        if let Some(name) = self.process.as_ref().filter(|name| !is_process(name)) {
            problems.push(format!("process: expected 1 to 100 letters, digits and -, found {name:?}"));
        }
        let doors = [("listen", Some(self.listen)), ("grpc", self.grpc), ("admin", self.admin)];
        for (place, (name, address)) in doors.iter().enumerate() {
            let Some(address) = address.filter(|address| address.port() != 0) else { continue };
            for (other, _) in doors[..place].iter().filter(|(_, other)| *other == Some(address)) {
                problems.push(format!("{name}: expected another address than {other}, found {address} twice"));
            }
        }
        problems
    }
}

/// Whether a process may go by this name: part of a key of every store.
fn is_process(name: &str) -> bool {
    (1..=100).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// What one request may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest request body, bytes.
    pub body_bytes: usize,
    /// Requests admitted at once, one permit per eight readers asked for; more are refused.
    pub in_flight: usize,
    /// Longest time from the request's head to its answer; callers may ask for less, never for more.
    pub deadline: Duration,
    /// Longest time an operator waits for a model to be loaded by hand; the load goes on without them.
    pub load: Duration,
    /// Longest time a client may take to send a request's head.
    pub header_read: Duration,
    /// Longest time a client may take to send a body.
    pub body_read: Duration,
    /// How long an idle connection is kept; longer than the proxies in front keep theirs (65 s).
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 2 * 1024 * 1024,
            in_flight: 256,
            deadline: Duration::from_secs(2),
            load: Duration::from_mins(5),
            header_read: Duration::from_secs(5),
            body_read: Duration::from_secs(5),
            idle: Duration::from_secs(70),
        }
    }
}

/// How long leaving takes. The sum stays below the orchestrator's grace period of 30 s.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// Between "not ready" and closing the door, so that balancers look away first.
    pub delay: Duration,
    /// For requests in flight after that.
    pub in_flight: Duration,
    /// For records still waiting after that.
    pub flush: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        let [delay, in_flight, flush] = [10, 10, 5].map(Duration::from_secs);
        Self { delay, in_flight, flush }
    }
}

/// How many answers of each model are kept so that clicks and purchases can be joined to them.
#[derive(Debug, Clone, Copy)]
pub struct Remember {
    /// Requests kept at most; the oldest go first.
    pub answers: usize,
    /// How long, by [`Options::clock`].
    pub age: Duration,
}

impl Default for Remember {
    fn default() -> Self {
        Self { answers: 100_000, age: Duration::from_hours(48) }
    }
}

/// How many records may wait for the stream, and how they are gathered.
#[derive(Debug, Clone, Copy)]
pub struct EventQueue {
    /// Records at most.
    pub records: usize,
    /// Their estimated size at most, bytes.
    pub bytes: usize,
    /// How long the first record of a batch waits for company.
    pub linger: Duration,
}

impl Default for EventQueue {
    fn default() -> Self {
        Self { records: 8192, bytes: 16 * 1024 * 1024, linger: Duration::from_millis(50) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_named_at_once() {
        let mut options = Options::new("acme-books".parse().unwrap(), "recommender".parse().unwrap());
        assert_eq!(options.problems(), Vec::<String>::new());
        options.limits.in_flight = 0;
        options.poll_interval = Duration::ZERO;
        options.policy.alpha_harm = 2.0;
        options.click_window = SignedDuration::ZERO;
        options.process = Some("pod/7".into());
        options.listen = SocketAddr::from(([127, 0, 0, 1], 8080));
        options.admin = Some(options.listen);
        assert_eq!(
            options.problems(),
            [
                "poll_interval: expected more than 0, found 0",
                "limits.in_flight: expected more than 0, found 0",
                "policy.alpha_harm: expected more than 0 and less than 1, found 2",
                "click_window: expected more than 0, found 0 s",
                "process: expected 1 to 100 letters, digits and -, found \"pod/7\"",
                "admin: expected another address than listen, found 127.0.0.1:8080 twice",
            ]
        );
        options.grpc = options.admin;
        let twice = |names: &str| format!("{names}, found 127.0.0.1:8080 twice");
        assert_eq!(
            options.problems()[5..],
            [
                twice("grpc: expected another address than listen"),
                twice("admin: expected another address than listen"),
                twice("admin: expected another address than grpc"),
            ]
        );
    }
}
