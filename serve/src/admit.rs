//! Admission: one permit, taken or refused. Refusing early keeps the answers that are given fast.
//!
//! A request takes its permit, yields once and then waits for a turn at scoring: everything that has arrived is counted
//! before anything is scored, and what exceeds the room is refused while others are scored, not after them.
//!
//! A tenant may have a part of the room of its own: its requests then take a place in both, and a flood of them fills
//! that part alone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Refusal;

/// Readers asked for that one permit covers.
const READERS_PER_PERMIT: usize = 8;

/// Places that are taken and given back.
#[derive(Debug, Clone)]
struct Room {
    places: Arc<Semaphore>,
    size: usize,
}

impl Room {
    fn new(size: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(size)), size }
    }

    fn take(&self, places: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_many_owned(places as u32).ok()
    }
}

/// The room for requests in flight, as one tenant meets it.
#[derive(Debug, Clone)]
pub struct Admission {
    room: Room,
    /// The tenant's part, where it is smaller than the room.
    part: Option<Room>,
}

/// A request's places, given back on drop.
#[derive(Debug)]
pub struct Permit {
    room: OwnedSemaphorePermit,
    part: Option<OwnedSemaphorePermit>,
}

impl Admission {
    /// A room for `size` permits.
    pub fn new(size: usize) -> Self {
        Self { room: Room::new(size), part: None }
    }

    /// The same room for one tenant, which never has more than `size` of its permits.
    #[must_use]
    pub fn part(&self, size: usize) -> Self {
        let part = (size < self.room.size).then(|| Room::new(size));
        Self { room: self.room.clone(), part }
    }

    /// One place, now or not at all. Waits one turn of the run queue so that others may be counted too.
    pub async fn admit(&self) -> Result<Permit, Refusal> {
        let permit = self.take(1)?;
        tokio::task::yield_now().await;
        Ok(permit)
    }

    /// Further places for a call that asks for many readers: one permit covers eight.
    ///
    /// A call is never charged more than the whole room or part, or the largest could not be served even when idle.
    pub fn widen(&self, permit: &mut Permit, readers: usize) -> Result<(), Refusal> {
        let size = self.part.as_ref().map_or(self.room.size, |part| part.size);
        let wanted = readers.div_ceil(READERS_PER_PERMIT).clamp(1, size) - 1;
        if wanted > 0 {
            let more = self.take(wanted)?;
            permit.room.merge(more.room);
            if let (Some(part), Some(more)) = (&mut permit.part, more.part) {
                part.merge(more);
            }
        }
        Ok(())
    }

    /// Permits in use, whoever has them.
    pub fn in_use(&self) -> usize {
        self.room.size - self.room.places.available_permits()
    }

    fn take(&self, places: usize) -> Result<Permit, Refusal> {
        let part = match &self.part {
            Some(part) => Some(part.take(places).ok_or(Refusal::TenantShed)?),
            None => None,
        };
        Ok(Permit { room: self.room.take(places).ok_or(Refusal::Shed)?, part })
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

    #[tokio::test]
    async fn a_tenant_that_fills_its_part_leaves_the_rest_to_others() {
        let room = Admission::new(3);
        let (greedy, modest) = (room.part(2), room.part(2));
        let mut held = greedy.admit().await.unwrap();
        greedy.widen(&mut held, 1024).expect("the largest call fits the part");
        assert_eq!(greedy.admit().await.unwrap_err(), Refusal::TenantShed);
        let first = modest.admit().await.unwrap();
        assert_eq!((modest.admit().await.unwrap_err(), room.in_use()), (Refusal::Shed, 3));
        drop((held, first));
        assert_eq!(room.in_use(), 0);
        assert_eq!(modest.take(2).map(|_| room.in_use()).unwrap(), 2, "what was refused by the room holds no part");
    }
}
