//! Callers' tokens, verified here where no mesh stands before the predictor: a bearer token comes in, and its claims go on
//! as a mesh would have sent them.
//!
//! What follows is as behind a mesh: the claims of a verified token take the place of `x-jwt-payload`, which nobody else
//! may set. A request without a token goes on without claims, and is answered where none are asked for, as by probes.

mod keys;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header::AUTHORIZATION},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::{sync::watch, time::MissedTickBehavior};

pub use self::keys::Expected;
use self::keys::{Fault, Keys};
use crate::{
    config::Clock,
    error::Refusal,
    fleet::{CLAIMS, once},
    wire::claims,
};

/// Where an issuer's keys come from.
pub trait KeySource: fmt::Debug + Send + Sync {
    /// Its JSON Web Key Set as it is now, or why it cannot be had. Must end within seconds.
    fn fetch(&self) -> BoxFuture<'_, Result<Bytes, String>>;
}

/// How often keys are fetched.
#[derive(Debug, Clone, Copy)]
pub struct Refresh {
    /// Between two fetches, whatever comes.
    pub every: Duration,
    /// At least between two fetches because of tokens whose key is not known: such tokens cost nothing to make up.
    pub unknown: Duration,
}

impl Default for Refresh {
    fn default() -> Self {
        Self { every: Duration::from_mins(10), unknown: Duration::from_mins(1) }
    }
}

/// What verifies tokens.
#[derive(Debug)]
pub struct Tokens {
    source: Arc<dyn KeySource>,
    expected: Expected,
    refresh: Refresh,
    clock: Clock,
    keys: ArcSwap<Keys>,
    /// When a token with an unknown key last had them fetched.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

impl Tokens {
    /// Fetches the keys for the first time; an error says why that cannot be done.
    pub async fn open(
        source: Arc<dyn KeySource>,
        expected: Expected,
        refresh: Refresh,
        clock: Clock,
    ) -> Result<Arc<Self>, String> {
        let keys = Keys::read(&source.fetch().await?)?;
        let asked = tokio::sync::Mutex::default();
        Ok(Arc::new(Self { source, expected, refresh, clock, keys: ArcSwap::from_pointee(keys), asked }))
    }

    /// Puts the claims of the caller's token where the mesh would have put them, and nothing else there.
    pub(crate) async fn vouch(self: &Arc<Self>, headers: &mut HeaderMap) -> Result<(), Refusal> {
        headers.remove(CLAIMS);
        let Some(credentials) = once(headers, &AUTHORIZATION)? else { return Ok(()) };
        let token = bearer(credentials).ok_or(Refusal::BadToken("expected Bearer and one token"))?.to_owned();
        let bad = |fault: Fault| Refusal::BadToken(fault.words());
        self.verified(&token).await.map_err(bad)?;
        let claims = token.split('.').nth(1).and_then(|claims| HeaderValue::from_str(claims).ok());
        let claims = claims.ok_or_else(|| bad(Fault::Malformed))?;
        claims::decode(claims.as_bytes()).map_err(|_| Refusal::BadToken("its claim tenant is no name of a tenant"))?;
        headers.insert(CLAIMS, claims);
        Ok(())
    }

    async fn verified(self: &Arc<Self>, token: &str) -> Result<(), Fault> {
        let keys = self.keys.load_full();
        let now = self.clock.now();
        match keys.verify(token, &self.expected, now) {
            Err(Fault::UnknownKey) if self.has_other_than(&keys).await => {
                self.keys.load_full().verify(token, &self.expected, now)
            }
            verdict => verdict,
        }
    }

    /// Whether there are other keys than these, once they were fetched if it is time to.
    async fn has_other_than(self: &Arc<Self>, known: &Arc<Keys>) -> bool {
        let mut asked = self.asked.lock().await;
        let is_time = asked.is_none_or(|at| at.elapsed() >= self.refresh.unknown);
        if is_time && Arc::ptr_eq(known, &self.keys.load_full()) {
            *asked = Some(Instant::now());
            let tokens = Arc::clone(self);
            // A task of its own: a caller who leaves takes the others' keys with them otherwise.
            let fetched = tokio::spawn(async move { tokens.fetch().await });
            fetched.await.expect("fetching returns errors instead of panicking");
        }
        !Arc::ptr_eq(known, &self.keys.load_full())
    }

    /// Fetches the keys; those that are known stay where that fails.
    async fn fetch(&self) {
        match self.source.fetch().await.and_then(|set| Keys::read(&set)) {
            Ok(keys) => self.keys.store(Arc::new(keys)),
            Err(error) => tracing::warn!(error, "keys of tokens cannot be fetched; those that are known stay"),
        }
    }

    /// Fetches the keys now and then, until told to stop.
    pub(crate) async fn follow(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut interval = tokio::time::interval(self.refresh.every);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first is at once, and they were fetched a moment ago.
        interval.tick().await;
        loop {
            tokio::select! {
                _ = interval.tick() => self.fetch().await,
                _ = stop.changed() => return,
            }
        }
    }
}

/// What wraps every handler that may ask for claims.
pub(crate) async fn vouch(State(tokens): State<Arc<Tokens>>, mut request: Request, next: Next) -> Response {
    match tokens.vouch(request.headers_mut()).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// The token of `Bearer TOKEN`; the scheme in any case.
fn bearer(credentials: &[u8]) -> Option<&str> {
    let (scheme, token) = std::str::from_utf8(credentials).ok()?.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' ')).then_some(token)
}
