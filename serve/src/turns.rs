//! Turns at scoring: as many at a time as there are cores.
//!
//! Who waits for a turn is in no run queue: what arrives meanwhile is read between two turns, counted, and refused where
//! there is no room. Long requests are scored beside the threads that read, which they would keep from reading; a short
//! one on the thread that read it, because handing it over and back costs as much as a list.

use std::{sync::Arc, time::Instant};

use tokio::{runtime::Handle, sync::Semaphore, task::spawn_blocking};

use crate::error::Refusal;

/// The turns of one process.
#[derive(Debug)]
pub(crate) struct Turns {
    places: Arc<Semaphore>,
}

impl Turns {
    /// One for each worker of the runtime, within which it must be called.
    pub(crate) fn new() -> Self {
        let size = Handle::current().metrics().num_workers();
        Self { places: Arc::new(Semaphore::new(size)) }
    }

    /// Does the work when its turn comes, on this thread if `here`. It then goes on to its end, whether or not somebody
    /// still waits for it.
    pub(crate) async fn take<T: Send + 'static>(
        &self,
        here: bool,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let turn = Arc::clone(&self.places).acquire_owned().await.expect("nobody closes it");
        if Instant::now() >= deadline {
            return Err(Refusal::Deadline);
        }
        if here {
            return Ok(work());
        }
        let work = move || {
            let _turn = turn;
            work()
        };
        // It fails where the work panicked, which has been reported, or where the runtime is going down.
        spawn_blocking(work).await.map_err(|_| Refusal::Bug)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[tokio::test]
    async fn one_turn_is_given_at_a_time_and_the_reactor_goes_on() {
        // One worker, so one turn.
        let turns = Arc::new(Turns::new());
        let (go, waits) = mpsc::channel::<()>();
        let first = {
            let turns = Arc::clone(&turns);
            tokio::spawn(async move { turns.take(false, soon(), move || waits.recv().is_ok()).await })
        };
        tokio::task::yield_now().await;
        let second = {
            let turns = Arc::clone(&turns);
            tokio::spawn(async move { turns.take(true, soon(), || 2).await })
        };
        // The first holds its turn on another thread; this one is free to run timers.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!first.is_finished() && !second.is_finished());
        go.send(()).unwrap();
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (Ok(true), Ok(2)));
    }

    #[tokio::test]
    async fn a_turn_that_comes_too_late_is_not_used_and_is_given_back() {
        let turns = Turns::new();
        assert_eq!(turns.take(true, Instant::now(), || unreachable!()).await, Err::<(), _>(Refusal::Deadline));
        assert_eq!(turns.take(true, soon(), || 1).await, Ok(1));
    }

    #[tokio::test]
    async fn work_that_panics_is_a_bug_and_gives_its_turn_back() {
        let turns = Turns::new();
        assert_eq!(turns.take(false, soon(), || panic!("on purpose")).await, Err::<(), _>(Refusal::Bug));
        assert_eq!(turns.take(false, soon(), || 1).await, Ok(1));
    }
}
