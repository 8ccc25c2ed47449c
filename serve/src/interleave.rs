//! A share of a trial's readers is given lists drafted from those of both versions: whose books they click says which
//! version they prefer, with far fewer readers than two arms need.
//!
//! Who they are is a draw of its own, under the trial's salt, so that the others meet the arms in the shares they were
//! meant to. They are on neither arm, and count for neither's failures, latency or clicks. All steps below 100 %
//! have such readers: there every reader is the canary's, to see it carry all of them. An A/A has none, since two equal
//! lists say nothing of each other. Both versions score within the one request's admission and deadline.

use std::{sync::Arc, time::Instant};

use jiff::Timestamp;
use models::{
    ReaderId, Scratch,
    event::{Arm, Outcome, OutcomeKind},
    split::{self, Salt, WHOLE_BP},
};

use crate::{
    call::{Answered, Call},
    current::Snapshot,
    draft::Place,
    engine::{self, Answer, Ask, Failure},
    judge::Preference,
    outcomes::Joined,
    service::Service,
};

/// Whose the places of one remembered list are.
#[derive(Debug)]
pub(crate) struct Teams {
    /// Key of the trial it was drafted in: a click in a later one says nothing.
    salt: Salt,
    places: Vec<Option<Arm>>,
}

impl Teams {
    /// Those of a drafted list.
    fn of(draft: &[Place], salt: Salt) -> Self {
        Self { salt, places: draft.iter().map(|place| place.team).collect() }
    }

    /// Whose the place of a rank is, from 1, where that says something about the trial of `salt`.
    fn credit(&self, salt: &Salt, rank: Option<u32>) -> Option<Arm> {
        let place = rank.filter(|_| self.salt == *salt)?.checked_sub(1)?;
        *self.places.get(place as usize)?
    }
}

impl Snapshot {
    /// Whether a reader is one of those who are given lists of both versions, `share_bp` of all in basis points: sticky, the
    /// same on every replica with that share.
    pub fn interleaves(&self, tenant: &str, reader: Option<&ReaderId>, share_bp: u16) -> bool {
        let (Some(step), Some(_), Some(reader)) = (&self.step, &self.canary, reader) else { return false };
        share_bp > 0
            && step.weight_bp < WHOLE_BP
            && !self.is_aa()
            && split::interleave_bucket(&step.salt, tenant, reader.as_str()) < share_bp
    }
}

impl Service {
    /// Answers one of a request's questions with a list of both versions. `place` is the question's in its request.
    pub(crate) fn interleaved(
        &self,
        call: &Call,
        snapshot: &Snapshot,
        (place, ask): (usize, &Ask),
        scratch: &mut Scratch,
    ) -> Result<Answer, Failure> {
        // Each reader of a request has a coin of their own: one for all would decide for all of them at once.
        let tenant = self.tenant.as_str();
        let coin = match place {
            0 => split::coin(tenant, &call.request_id),
            _ => split::coin(tenant, &format!("{}/{place}", call.request_id)),
        };
        let begun = Instant::now();
        // The canary is given as much time as stable has taken.
        let has_time = || begun.elapsed() <= call.deadline.saturating_duration_since(Instant::now());
        engine::both(snapshot, ask, coin, has_time, scratch)
    }

    /// Tells the running trial whose lists were drafted, and gives each row what is to be remembered of that.
    pub(crate) fn drafted(&self, answered: &Answered, at: Timestamp) -> Vec<Option<Arc<Teams>>> {
        let Some(step) = &answered.snapshot.step else { return vec![None; answered.rows.len()] };
        let drafted = answered.rows.iter().filter(|(_, answer)| answer.draft.is_some());
        let readers = drafted.filter_map(|(ask, _)| ask.reader.as_ref());
        let units: Vec<u64> =
            readers.map(|reader| split::unit(&step.salt, self.tenant.as_str(), reader.as_str())).collect();
        if !units.is_empty() {
            step.ledger.drafted(step.number, &units, at);
        }
        let teams = |draft: &Vec<Place>| Arc::new(Teams::of(draft, step.salt));
        answered.rows.iter().map(|(_, answer)| answer.draft.as_ref().map(teams)).collect()
    }

    /// Tells the running trial of a click that was joined to an answer: the reader's arm, or the side whose book it is.
    pub(crate) fn acted(&self, outcome: &Outcome, joined: &Joined) {
        let Some(snapshot) = self.current.get().filter(|_| outcome.kind == OutcomeKind::Click) else { return };
        let Some(step) = &snapshot.step else { return };
        let unit = split::unit(&step.salt, outcome.tenant.as_str(), outcome.user_id.as_str());
        match &joined.teams {
            None => step.ledger.clicked(unit, outcome.at),
            Some(teams) => {
                if let Some(team) = teams.credit(&step.salt, outcome.rank) {
                    step.ledger.credited(unit, team, joined.at, outcome.at);
                }
            }
        }
    }

    /// What readers of lists of both versions click, while a trial runs in which somebody is given such lists.
    pub(crate) fn preference(&self) -> Option<Preference> {
        let snapshot = self.current.get()?;
        snapshot.step.as_ref()?.ledger.credits().preference(self.options().policy.alpha_interleaved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_is_credited_to_its_side_in_its_own_trial_only() {
        let place = |side, at, team| Place { side, at, team };
        let draft = [
            place(Arm::Stable, 0, None),
            place(Arm::Canary, 1, Some(Arm::Canary)),
            place(Arm::Stable, 1, Some(Arm::Stable)),
        ];
        let (salt, other) = (Salt::new([1; 32]), Salt::new([2; 32]));
        let teams = Teams::of(&draft, salt);
        let of = |rank| teams.credit(&salt, rank);
        assert_eq!([1, 2, 3, 4].map(|rank| of(Some(rank))), [None, Some(Arm::Canary), Some(Arm::Stable), None]);
        assert_eq!((of(None), of(Some(0)), teams.credit(&other, Some(2))), (None, None, None));
    }
}
