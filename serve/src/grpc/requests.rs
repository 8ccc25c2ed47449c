//! What travels with a call beside its message: ids and deadline in, what was done out.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::HeaderMap;
use tonic::Status;

use crate::{
    call::{Call, Trace},
    error::Refusal,
};

/// Put into a call's extensions by the observer.
#[derive(Debug, Clone)]
pub(super) struct Arrived {
    pub(super) call: Call,
    /// When the call's head arrived.
    pub(super) at: std::time::Instant,
    /// Whether the request came packed, so that its answer may.
    pub(super) packed: bool,
    pub(super) done: Slot,
}

/// What a method leaves for the observer, whose answer holds nothing but the answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot(Arc<Mutex<Done>>);

#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) trace: Option<Trace>,
    /// The status that HTTP gives this refusal, and its word.
    pub(super) refused: Option<(u16, &'static str)>,
}

impl Slot {
    /// Notes a refusal and says it in gRPC's words.
    pub(super) fn refuse(&self, refusal: &Refusal) -> Status {
        let (code, kind) = refusal.kind();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).refused = Some((code.as_u16(), kind));
        Status::from(refusal)
    }

    pub(super) fn traced(&self, trace: Trace) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).trace = Some(trace);
    }

    pub(super) fn take(&self) -> Done {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The caller's patience: at most eight digits and a unit. What is not that is no patience of anyone's.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let (unit, digits) = headers.get("grpc-timeout")?.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let n: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(n * 3600),
        b'M' => Duration::from_secs(n * 60),
        b'S' => Duration::from_secs(n),
        b'm' => Duration::from_millis(n),
        b'u' => Duration::from_micros(n),
        b'n' => Duration::from_nanos(n),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn patience_is_digits_and_a_unit() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_static(text));
            timeout(&headers)
        };
        assert_eq!((of("2H"), of("3M"), of("4S")), [7200, 180, 4].map(Duration::from_secs).map(Some).into());
        assert_eq!((of("5m"), of("6u"), of("7n")), [5_000_000, 6000, 7].map(Duration::from_nanos).map(Some).into());
        for bad in ["", "5", "m", "5s", "-5m", "123456789m", "5 m"] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
        assert_eq!(timeout(&HeaderMap::new()), None);
    }
}
