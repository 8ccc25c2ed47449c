//! Folded states, stored now and then so that opening an old registry does not read its whole log.
//!
//! A checkpoint is only ever a shortcut: it is sealed, must belong to this registry and must continue into the log;
//! anything else is passed over for an older one or the log itself. A full verification folds it again.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    Error, State,
    log::{FORMAT, link},
    objects, sealed,
};
use crate::store::{Store, key};

/// Entries from one checkpoint to the next.
pub const EVERY: u64 = 64;
/// Checkpoints tried before the log is folded from its start.
const MAX_TRIED: usize = 4;

/// Rises with every op that is added: a state folded with ops we do not know would look complete and not be.
const OPS: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Checkpoint<S> {
    format: u32,
    ops: u32,
    state: S,
}

/// Where the newest checkpoint was when this was written; may be stale, missing or wrong.
#[derive(Serialize, Deserialize)]
struct Hint {
    format: u32,
    id: u64,
}

/// The stored bytes of the checkpoint of `state`; equal states give equal bytes.
pub(super) fn encode(state: &State) -> Bytes {
    sealed::seal(&Checkpoint { format: FORMAT, ops: OPS, state })
}

/// Whether these bytes are the checkpoint of `state`, as this build writes it or as one did that left out the steps of
/// trials.
pub(super) fn is_of(state: &State, bytes: &Bytes) -> bool {
    let earlier = || {
        let mut state = state.clone();
        state.models.values_mut().for_each(|model| model.trial_steps.clear());
        encode(&state)
    };
    *bytes == encode(state) || *bytes == earlier()
}

/// Reads the checkpoint of entry `id` of the registry with this genesis.
pub(super) fn decode(id: u64, genesis_sha256: &str, bytes: &[u8]) -> Result<State, Error> {
    let object = key::checkpoint(id);
    let Checkpoint { ops, state, .. } = sealed::unseal::<Checkpoint<State>>(&object, bytes, FORMAT)?;
    if ops > OPS {
        return Err(Error::Unsupported { object, found: ops, supported: OPS });
    }
    let corrupt = |expected, found| Error::Corrupt { object: object.clone(), expected, found };
    if state.last_id != id {
        return Err(corrupt(format!("the state at {id}"), format!("the state at {}", state.last_id)));
    }
    if state.models.values().any(|model| model.canary.is_some() && model.trial_steps.is_empty()) {
        return Err(corrupt("the steps of a running trial".into(), "none, as an earlier build left them out".into()));
    }
    if state.genesis_sha256 != genesis_sha256 {
        return Err(corrupt(format!("genesis {genesis_sha256}"), state.genesis_sha256));
    }
    Ok(state)
}

/// Stores the checkpoint of `state`, then the hint.
pub(super) async fn write(store: &Store, state: &State) -> Result<(), Error> {
    objects::create(store, &key::checkpoint(state.last_id), &encode(state)).await?;
    let hint = sealed::seal(&Hint { format: FORMAT, id: state.last_id });
    Ok(store.put(key::LAST_CHECKPOINT, hint).await?)
}

/// The entry of the checkpoint that the hint names, if there is a readable hint.
pub(super) async fn hinted(store: &Store) -> Result<Option<u64>, Error> {
    let bytes = store.get(key::LAST_CHECKPOINT).await?;
    let hint = bytes.and_then(|bytes| sealed::unseal::<Hint>(key::LAST_CHECKPOINT, &bytes, FORMAT).ok());
    Ok(hint.map(|hint| hint.id))
}

/// The newest usable checkpoint of the registry with this genesis: the hinted one, else the newest that a listing shows.
pub(super) async fn newest(store: &Store, genesis_sha256: &str) -> Result<Option<State>, Error> {
    let Some(hinted) = hinted(store).await? else { return newest_listed(store, genesis_sha256).await };
    match usable(store, genesis_sha256, hinted).await? {
        Some(state) => Ok(Some(state)),
        None => newest_listed(store, genesis_sha256).await,
    }
}

async fn newest_listed(store: &Store, genesis_sha256: &str) -> Result<Option<State>, Error> {
    let listed = store.list(key::CHECKPOINTS).await?;
    let ids = listed.iter().rev().filter_map(|object| key::number(&object.key)).take(MAX_TRIED);
    for id in ids {
        if let Some(state) = usable(store, genesis_sha256, id).await? {
            return Ok(Some(state));
        }
    }
    Ok(None)
}

/// The state of one checkpoint, unless it is missing, damaged, foreign, or not the state after the log's own entry.
async fn usable(store: &Store, genesis_sha256: &str, id: u64) -> Result<Option<State>, Error> {
    let place = key::checkpoint(id);
    let read = futures::future::try_join(
        objects::read(store, &place, |bytes| decode(id, genesis_sha256, &bytes)),
        objects::entry(store, id),
    );
    let problem = match read.await {
        Ok((Some(state), Some((_, bytes)))) if state.last_sha256 == link(&bytes) => return Ok(Some(state)),
        Ok((None, _)) => "missing".to_owned(),
        Ok((Some(_), _)) => format!("does not continue into entry {id} of the log"),
        Err(error @ Error::Store(_)) => return Err(error),
        Err(error) => error.to_string(),
    };
    tracing::warn!(checkpoint = id, problem, store = store.url(), "checkpoint passed over");
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        registry::{Canary, ModelState, TrialStep},
        split::Salt,
    };

    #[test]
    fn a_checkpoint_from_before_steps_were_kept_is_sound_and_passed_over() {
        let canary = Some(Canary { version: 2.try_into().unwrap(), weight_bp: 1000, salt: Salt::new([7; 32]) });
        let mut state = State::empty("ab");
        let model = "recommender".parse().unwrap();
        state.models.insert(model, ModelState { canary, ..ModelState::default() });
        let earlier = encode(&state);
        let why = decode(0, "ab", &earlier).unwrap_err().to_string();
        assert!(why.contains("the steps of a running trial"), "{why}");
        let step = TrialStep { weight_bp: 1000, since: jiff::Timestamp::UNIX_EPOCH };
        state.models.values_mut().for_each(|model| model.trial_steps.push(step));
        assert!(is_of(&state, &earlier) && is_of(&state, &encode(&state)));
        assert_eq!(decode(0, "ab", &encode(&state)).unwrap(), state);
        state.last_id = 1;
        assert!(!is_of(&state, &earlier));
    }
}
