//! Where the nonces of a handle's entries come from: the system's entropy, or a seed where a run must be repeatable.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use uuid::{Builder, Uuid};

/// The step of `SplitMix64` (Steele, Lea and Flood 2014): odd, so that it visits all states.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A source of nonces. The default never repeats, not even between processes.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    /// State of the generator; `None` draws from the system.
    seeded: Option<AtomicU64>,
}

impl Nonces {
    pub(super) fn seeded(seed: u64) -> Self {
        Self { seeded: Some(AtomicU64::new(seed)) }
    }

    pub(super) fn draw(&self) -> Uuid {
        let Some(state) = &self.seeded else { return Uuid::new_v4() };
        let half = || {
            let mut z = state.fetch_add(STEP, Relaxed).wrapping_add(STEP);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        let bytes = (u128::from(half()) << 64) | u128::from(half());
        Builder::from_random_bytes(bytes.to_be_bytes()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_nonces_and_no_seed_repeats_nothing() {
        let (a, b, c) = (Nonces::seeded(7), Nonces::seeded(7), Nonces::seeded(8));
        let first = a.draw();
        assert_eq!(first, b.draw());
        assert_ne!(first, a.draw());
        assert_ne!(first, c.draw());
        assert_ne!(Nonces::default().draw(), Nonces::default().draw());
    }
}
