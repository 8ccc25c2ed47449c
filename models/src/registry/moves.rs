//! Decisions that take more than one op, each in one commit with expected old values.

use super::{Error, Intent, ModelState, Op, Receipt, Registry};
use crate::id::{Alias, ModelName, Version};

impl Registry {
    /// Points an alias at a version, if it still points at `expect`.
    pub async fn set_alias(
        &self,
        name: &ModelName,
        alias: &Alias,
        expect: Option<Version>,
        to: Version,
        intent: &Intent,
    ) -> Result<Receipt, Error> {
        let op = Op::AliasSet { name: name.clone(), alias: alias.clone(), expect, to };
        self.commit(intent, |_| Ok(vec![op.clone()])).await
    }

    /// Makes a version `production` and the one before it `previous`, in one commit, and ends its trial.
    ///
    /// `expect` is the production version the decision was taken against; with `None` whatever is there is replaced,
    /// atomically. Refused unless the version was approved.
    pub async fn promote(
        &self,
        name: &ModelName,
        version: Version,
        expect: Option<Version>,
        intent: &Intent,
    ) -> Result<Receipt, Error> {
        self.commit(intent, |state| Ok(promotion(name, state.model(name)?, version, expect))).await
    }

    /// Returns `production` to the `previous` version and ends any trial; the two aliases change places.
    pub async fn roll_back(&self, name: &ModelName, intent: &Intent) -> Result<Receipt, Error> {
        self.commit(intent, |state| {
            let model = state.model(name)?;
            let at = |alias: Alias| model.aliases.get(&alias).copied();
            let (Some(current), Some(previous)) = (at(Alias::production()), at(Alias::previous())) else {
                return Err(Error::Refused(format!("{name} has no previous production version to return to")));
            };
            let set = |alias, expect, to| Op::AliasSet { name: name.clone(), alias, expect: Some(expect), to };
            let mut ops = vec![set(Alias::production(), current, previous), set(Alias::previous(), previous, current)];
            ops.extend(end_trial(name, model));
            Ok(ops)
        })
        .await
    }
}

/// The ops of a promotion: `previous` to the old production version, `production` to the new, the trial ended.
pub(super) fn promotion(name: &ModelName, model: &ModelState, version: Version, expect: Option<Version>) -> Vec<Op> {
    let production = model.aliases.get(&Alias::production()).copied();
    let mut ops = Vec::new();
    if let Some(old) = production.filter(|old| *old != version) {
        let expect = model.aliases.get(&Alias::previous()).copied();
        ops.push(Op::AliasSet { name: name.clone(), alias: Alias::previous(), expect, to: old });
    }
    let expect = expect.or(production);
    ops.push(Op::AliasSet { name: name.clone(), alias: Alias::production(), expect, to: version });
    ops.extend(end_trial(name, model));
    ops
}

fn end_trial(name: &ModelName, model: &ModelState) -> Option<Op> {
    let trial = model.canary?;
    Some(Op::Canary { name: name.clone(), version: trial.version, weight_bp: 0, salt: trial.salt })
}
