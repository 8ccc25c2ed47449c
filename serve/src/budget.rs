//! How many bytes of model files are loaded, and how many may be.
//!
//! Counted is what a file has, mapped or read: what a model really costs the machine is more by what is derived from
//! it, and less by the pages that nobody touches.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::error::in_bytes;

/// The bytes of one process.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: Option<u64>,
    held: Arc<AtomicU64>,
}

/// Bytes that are spoken for until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: u64,
    held: Arc<AtomicU64>,
}

/// Why a model has no room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRoom {
    /// Not even alone. Trying again cannot help.
    #[error("it takes {}, and the models of this process may take {}", in_bytes(*.needed), in_bytes(*.limit))]
    Never {
        /// Bytes it takes.
        needed: u64,
        /// Bytes there may be.
        limit: u64,
    },
    /// Not beside the models that are in use now.
    #[error("the models that are in use leave too little of what the models of this process may take")]
    InUse,
}

impl Budget {
    /// At most `limit` bytes; 0 for as many as come.
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit: (limit > 0).then_some(limit), held: Arc::default() }
    }

    /// The most that may be held.
    pub(crate) fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Bytes held now.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::SeqCst)
    }

    /// These bytes, if they fit beside what is held.
    pub(crate) fn take(&self, bytes: u64) -> Option<Held> {
        let limit = self.limit.unwrap_or(u64::MAX);
        let fits = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= limit);
        self.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits).ok()?;
        Some(Held { bytes, held: Arc::clone(&self.held) })
    }
}

impl Held {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_never_exceeds_the_limit_and_comes_back() {
        let budget = Budget::new(10);
        let six = budget.take(6).unwrap();
        assert!(budget.take(5).is_none());
        let four = budget.take(4).unwrap();
        assert_eq!((budget.held(), six.bytes(), budget.take(0).is_some()), (10, 6, true));
        drop(six);
        assert!(budget.take(7).is_none() && budget.take(6).is_some());
        drop(four);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn without_a_limit_everything_fits_and_is_counted() {
        let budget = Budget::new(0);
        let _held = budget.take(u64::MAX / 2).unwrap();
        assert_eq!((budget.limit(), budget.held()), (None, u64::MAX / 2));
    }
}
