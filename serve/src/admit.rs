//! Admission: one permit, taken or refused. Refusing early keeps the answers that are given fast.
//!
//! Scoring runs inline on the runtime's workers, so the run queue is the waiting room. A request takes its permit and
//! then yields once before it scores: everything that has arrived is counted before anything is scored, and what
//! exceeds the room is refused in microseconds instead of being answered late.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Refusal;

/// Readers asked for that one permit covers.
const READERS_PER_PERMIT: usize = 8;

/// The room for requests in flight.
#[derive(Debug, Clone)]
pub struct Admission {
    room: Arc<Semaphore>,
    size: usize,
}

/// A request's place in the room, given back on drop.
#[derive(Debug)]
pub struct Permit(OwnedSemaphorePermit);

impl Admission {
    /// A room for `size` permits.
    pub fn new(size: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(size)), size }
    }

    /// One place, now or not at all. Waits one turn of the run queue so that others may be counted too.
    pub async fn admit(&self) -> Result<Permit, Refusal> {
        let permit = Arc::clone(&self.room).try_acquire_owned().map_err(|_| Refusal::Shed)?;
        tokio::task::yield_now().await;
        Ok(Permit(permit))
    }

    /// Further places for a call that asks for many readers: one permit covers eight.
    ///
    /// A call is never charged more than the whole room, or the largest could not be served even when idle.
    pub fn widen(&self, permit: &mut Permit, readers: usize) -> Result<(), Refusal> {
        let wanted = readers.div_ceil(READERS_PER_PERMIT).clamp(1, self.size) - 1;
        if wanted > 0 {
            let more = Arc::clone(&self.room).try_acquire_many_owned(wanted as u32).map_err(|_| Refusal::Shed)?;
            permit.0.merge(more);
        }
        Ok(())
    }

    /// Permits in use.
    pub fn in_use(&self) -> usize {
        self.size - self.room.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_room_refuses_and_a_freed_place_is_given_again() {
        let admission = Admission::new(2);
        let first = admission.admit().await.unwrap();
        let mut second = admission.admit().await.unwrap();
        assert_eq!(admission.admit().await.unwrap_err(), Refusal::Shed);
        drop(first);
        admission.widen(&mut second, 9).expect("nine readers need two permits, one of which is held");
        assert_eq!(admission.in_use(), 2);
        drop(second);
        assert_eq!(admission.in_use(), 0);
    }

    #[tokio::test]
    async fn the_largest_call_fits_an_idle_room() {
        let admission = Admission::new(3);
        let mut permit = admission.admit().await.unwrap();
        admission.widen(&mut permit, 1024).unwrap();
        assert_eq!(admission.in_use(), 3);
    }
}
