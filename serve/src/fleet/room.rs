//! Room for a model that is about to be loaded: who is let go for it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Desk, Fleet};
use crate::{
    budget::{Held, NoRoom},
    service::Service,
};

/// Between two tries to make room.
const TRY_AGAIN: Duration = Duration::from_millis(10);

impl Fleet {
    /// Room for the files of a model that `asking` is about to load. Models that no request holds are let go for it,
    /// the one that was asked for longest ago first; others are waited for, as long as a request may take.
    pub(crate) async fn make_room(&self, needed: u64, asking: &Service) -> Result<Held, NoRoom> {
        let budget = &self.process.budget;
        if let Some(limit) = budget.limit().filter(|limit| needed > *limit) {
            return Err(NoRoom::Never { needed, limit });
        }
        let until = Instant::now() + self.process.options.limits.deadline;
        loop {
            if let Some(held) = budget.take(needed) {
                return Ok(held);
            }
            let others = self.others(asking);
            for desk in &others {
                desk.try_free().await;
            }
            if let Some(held) = budget.take(needed) {
                return Ok(held);
            }
            if let_one_go(&others).await {
                continue;
            }
            if Instant::now() >= until {
                return Err(NoRoom::InUse);
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// The places of all models but one, that which was asked for longest ago first.
    fn others(&self, than: &Service) -> Vec<Arc<Desk>> {
        let mut others = self.desks();
        others.retain(|desk| !std::ptr::eq(&raw const *desk.service, than));
        others.sort_by_key(|desk| desk.service.used_ms());
        others
    }
}

/// Lets go of the first that can be; says whether one could.
async fn let_one_go(desks: &[Arc<Desk>]) -> bool {
    for desk in desks {
        if desk.try_let_go().await {
            return true;
        }
    }
    false
}
