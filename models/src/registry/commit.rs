//! Writing: one commit is the create-if-absent of the log's next number, decided by reading back whatever the store
//! leaves in doubt.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::{
    Error, Op, Registry, State, checkpoint,
    log::{Entry, FORMAT, link},
    objects,
};
use crate::store::key;

/// Races lost in a row before a writer gives up.
const MAX_RACES: u32 = 256;
/// The writer as entries name it.
const WRITER: &str = concat!("bookloop/", env!("CARGO_PKG_VERSION"));

/// Who commits, why and when.
#[derive(Debug, Clone)]
pub struct Intent {
    /// Who decided: a person, or the name of the part that did.
    pub actor: String,
    /// Why, in a sentence.
    pub reason: String,
    /// The writer's clock.
    pub at: Timestamp,
    /// The change, ticket or review under which it was decided.
    pub approval: Option<String>,
    /// Set when the same decision may be sent twice.
    pub idempotency_key: Option<String>,
    /// What the decision was taken on, where a program took it.
    pub numbers: Option<serde_json::Value>,
}

impl Intent {
    /// An intent without an approval, an idempotency key and numbers.
    pub fn new(actor: impl Into<String>, reason: impl Into<String>, at: Timestamp) -> Self {
        let (actor, reason) = (actor.into(), reason.into());
        Self { actor, reason, at, approval: None, idempotency_key: None, numbers: None }
    }

    /// The same intent, safe to send twice under `key` (for as long as [`super::recent::WINDOW`] entries).
    #[must_use]
    pub fn once(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// The same intent, with the numbers it was decided on.
    #[must_use]
    pub fn given(mut self, numbers: serde_json::Value) -> Self {
        self.numbers = Some(numbers);
        self
    }

    /// The same intent, decided under a ticket or review.
    #[must_use]
    pub fn under(mut self, approval: Option<String>) -> Self {
        self.approval = approval;
        self
    }
}

/// What a commit did.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The entry in the log, ours or the earlier one under the same idempotency key.
    pub entry: Entry,
    /// Whether it was there before.
    pub repeated: bool,
}

/// Whose entry has the number that was tried for.
enum Appended {
    Ours,
    /// Another writer's, with its bytes where they could be read.
    Lost(Option<Box<(Entry, Bytes)>>),
}

/// The longest wait after a lost race.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How long to wait after losing a race: up to the time that the attempt `took`, doubled with every race in a row up to
/// eight times, so that slow stores see fewer attempts in vain. The nonce is the draw.
fn pause(race: u32, took: Duration, nonce: uuid::Uuid) -> Duration {
    let most = (took.max(Duration::from_millis(2)) * (1 << race.min(3))).min(LONGEST_PAUSE);
    let [high, low, ..] = *nonce.as_bytes();
    most * u32::from(u16::from_be_bytes([high, low])) / u32::from(u16::MAX)
}

impl Registry {
    /// Commits what `plan` asks for, given the state it will be applied to.
    ///
    /// `plan` is called again with the newer state whenever another writer was first. Returns only when the entry is
    /// known to be in the log; an error means that no entry of this call is, save for [`Error::Store`], after which
    /// repeating under the same idempotency key is safe.
    pub async fn commit(
        &self,
        intent: &Intent,
        plan: impl Fn(&State) -> Result<Vec<Op>, Error>,
    ) -> Result<Receipt, Error> {
        let known = self.state();
        let (state, ()) = futures::try_join!(self.refresh(), self.still_holds(&known))?;
        drop(known);
        let mut newest = Some(state);
        for race in 0..MAX_RACES {
            let state = match newest.take() {
                Some(state) => state,
                None => self.refresh().await?,
            };
            if let Some(earlier) = intent.idempotency_key.as_ref().and_then(|key| state.keys.entry(key)) {
                return Ok(Receipt { entry: self.entry(earlier).await?, repeated: true });
            }
            self.may_write(&state).await?;
            if state.genesis_sha256.is_empty() {
                self.found().await?;
                continue;
            }
            let nonce = self.nonces.draw();
            let entry = self.entry_after(&state, intent, nonce, plan(&state)?);
            state.accepts(&entry)?;
            self.check_targets(&state, &entry).await?;
            drop(state);
            let bytes = entry.encode();
            let begun = tokio::time::Instant::now();
            match self.append(&entry, &bytes).await? {
                Appended::Ours => {
                    self.absorb(&entry, &bytes).await;
                    self.keep_checkpoints().await;
                    return Ok(Receipt { entry, repeated: false });
                }
                // Damage, if there is any, is reported by the fold that follows.
                Appended::Lost(Some(winner)) => self.absorb(&winner.0, &winner.1).await,
                Appended::Lost(None) => {}
            }
            tokio::time::sleep(pause(race, begun.elapsed(), nonce)).await;
        }
        Err(Error::Busy { attempts: MAX_RACES })
    }

    /// Whether the log still ends in, or goes on from, the last entry that this handle has seen. After a restore to an
    /// earlier entry it does not, and what was decided on the lost ones must not follow there.
    async fn still_holds(&self, known: &State) -> Result<(), Error> {
        if known.last_id == 0 {
            return Ok(());
        }
        objects::checked(&self.store, &key::log(known.last_id), &known.last_sha256).await.map(drop)
    }

    /// The entry that would follow `state`.
    pub(super) fn entry_after(&self, state: &State, intent: &Intent, nonce: uuid::Uuid, ops: Vec<Op>) -> Entry {
        Entry {
            format: FORMAT,
            id: state.last_id + 1,
            prev_sha256: state.last_sha256.clone(),
            writer: WRITER.into(),
            epoch: self.epoch,
            nonce: nonce.to_string(),
            at: intent.at,
            actor: intent.actor.clone(),
            reason: intent.reason.clone(),
            approval: intent.approval.clone(),
            idempotency_key: intent.idempotency_key.clone(),
            numbers: intent.numbers.clone(),
            ops,
        }
    }

    /// Whether this process may write to this registry at all.
    async fn may_write(&self, state: &State) -> Result<(), Error> {
        if state.epoch != self.epoch {
            return Err(Error::Fenced { opened: self.epoch, now: state.epoch });
        }
        if let Some(id) = state.beyond_us {
            return Err(Error::Refused(format!(
                "entry {id} has an op that this build does not know; it may read this registry, not write to it"
            )));
        }
        self.writable.get_or_try_init(|| self.check_writable()).await.map(drop)
    }

    /// An alias may only come to point at a version that the signature policy vouches for.
    pub(super) async fn check_targets(&self, state: &State, entry: &Entry) -> Result<(), Error> {
        if self.trust.keys().is_empty() {
            return Ok(());
        }
        let mut after = state.clone();
        after.advance(entry, String::new())?;
        for op in &entry.ops {
            if let Op::AliasSet { name, to, .. } = op {
                self.check_signature_in(&after, name, *to).await?;
            }
        }
        Ok(())
    }

    /// Sends one entry until the log shows whose it is.
    async fn append(&self, entry: &Entry, bytes: &Bytes) -> Result<Appended, Error> {
        let object = key::log(entry.id);
        let Some(found) = objects::settle(&self.store, &object, bytes).await? else { return Ok(Appended::Ours) };
        let found = match Entry::decode(entry.id, &found) {
            Ok(whole) => Some((whole, found)),
            // Damaged on its way, it may be whole when read again: only a whole entry tells whose it is.
            Err(_) => {
                let whole = objects::entry(&self.store, entry.id).await;
                whole.map_err(|error| match error {
                    // It may be ours. Whoever repeats reads it first, and is told if it is damaged for good.
                    damaged @ Error::Corrupt { .. } => objects::in_doubt(&object, damaged),
                    other => other,
                })?
            }
        };
        let ours = found.as_ref().is_some_and(|(found, _)| found.nonce == entry.nonce);
        Ok(if ours { Appended::Ours } else { Appended::Lost(found.map(Box::new)) })
    }

    /// Folds an entry that is at hand without reading it once more.
    async fn absorb(&self, entry: &Entry, bytes: &[u8]) {
        let _one_at_a_time = self.folding.lock().await;
        self.change(|state| {
            // Otherwise a refresh was faster. An entry that breaks a rule changes nothing here, and the next refresh
            // says so.
            if state.last_id + 1 == entry.id {
                let _ = state.advance(entry, link(bytes));
            }
        });
    }

    /// Writes a checkpoint when one is due. A failure costs time at the next opening, nothing else.
    async fn keep_checkpoints(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        let state = self.state();
        let mut last = self.last_checkpoint.load(Relaxed);
        if !state.last_id.is_multiple_of(checkpoint::EVERY) {
            if state.last_id < last + 2 * checkpoint::EVERY {
                return;
            }
            // Whoever should have written it may have died; or did, and we have not heard.
            match checkpoint::hinted(&self.store).await {
                Ok(hinted) => last = last.max(hinted.unwrap_or(0)),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "checkpoint hint cannot be read");
                    return;
                }
            }
            self.last_checkpoint.fetch_max(last, Relaxed);
            if state.last_id < last + 2 * checkpoint::EVERY {
                return;
            }
        }
        match checkpoint::write(&self.store, &state).await {
            Ok(()) => drop(self.last_checkpoint.fetch_max(state.last_id, Relaxed)),
            Err(error) => {
                tracing::warn!(id = state.last_id, error = &error as &dyn std::error::Error, "checkpoint not written");
            }
        }
    }
}
