//! Which versions should be resident, given what the registry says. A pure reading of the folded log.

use models::{
    Alias, Version,
    registry::{ModelState, Status, TrialStep},
    split::Salt,
};

/// What should be in memory and who should meet it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The version of `production`, if it may be served.
    pub stable: Option<Version>,
    /// The version of `staging`, if it is another one, may be served and is not in quarantine. Resident at weight 0 too, so that a canary
    /// starts without a load.
    pub staging: Option<Version>,
    /// The trial, if it is of `staging`, or of the version in production: then that is resident alone, in both parts.
    pub trial: Option<Trial>,
}

/// The split of a running canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// Key of the split.
    pub salt: Salt,
    /// Its steps, the running one last; at least one.
    pub steps: Vec<TrialStep>,
    /// Whether the version in production is tried against itself: an A/A, in which nothing may be found.
    pub is_aa: bool,
}

/// Reads the plan off a model's state.
pub fn plan(model: &ModelState) -> Plan {
    let servable = |alias: Alias| {
        let version = *model.aliases.get(&alias)?;
        let known = model.versions.get(&version)?;
        (known.status != Status::Revoked).then_some(version)
    };
    let stable = servable(Alias::production());
    let free = |version: &Version| model.versions.get(version).is_some_and(|known| known.quarantine.is_none());
    let staging = servable(Alias::staging()).filter(|version| Some(*version) != stable && free(version));
    let canary = model.canary.filter(|_| !model.trial_steps.is_empty());
    let is_aa = canary.is_some_and(|canary| Some(canary.version) == stable);
    let staging = staging.filter(|_| !is_aa);
    let trial = canary.filter(|canary| is_aa || Some(canary.version) == staging);
    let trial = trial.map(|canary| Trial { salt: canary.salt, steps: model.trial_steps.clone(), is_aa });
    Plan { stable, staging, trial }
}

#[cfg(test)]
mod tests {
    use models::registry::{Canary, Quarantine, VersionState};

    use super::*;

    fn version(number: u32) -> Version {
        number.try_into().unwrap()
    }

    /// Versions 1 to 3, of which `revoked` is; aliases as given.
    fn model(production: u32, staging: u32, revoked: u32, canary: Option<u32>) -> ModelState {
        let state = |number: u32| VersionState {
            status: if number == revoked { Status::Revoked } else { Status::Active },
            ..VersionState::new("", jiff::Timestamp::UNIX_EPOCH, "night")
        };
        let canary = canary.map(|at| Canary { version: version(at), weight_bp: 1000, salt: Salt::new([0; 32]) });
        ModelState {
            versions: (1..=3).map(|number| (version(number), state(number))).collect(),
            aliases: [(Alias::production(), version(production)), (Alias::staging(), version(staging))].into(),
            canary,
            trial_steps: vec![TrialStep { weight_bp: 1000, since: jiff::Timestamp::UNIX_EPOCH }],
        }
    }

    #[test]
    fn staging_is_resident_before_it_meets_anyone() {
        let plan = plan(&model(1, 2, 0, None));
        assert_eq!(plan, Plan { stable: Some(version(1)), staging: Some(version(2)), trial: None });
    }

    #[test]
    fn a_trial_of_another_version_than_staging_is_ignored() {
        assert!(plan(&model(1, 2, 0, Some(2))).trial.is_some());
        assert_eq!(plan(&model(1, 3, 0, Some(2))).trial, None);
        assert_eq!(plan(&model(2, 2, 0, Some(1))), Plan { stable: Some(version(2)), ..Plan::default() });
    }

    #[test]
    fn production_tried_against_itself_needs_no_second_version() {
        let plan = plan(&model(1, 2, 0, Some(1)));
        assert_eq!((plan.stable, plan.staging), (Some(version(1)), None));
        assert!(plan.trial.unwrap().is_aa);
    }

    #[test]
    fn a_version_in_quarantine_is_not_even_resident() {
        let mut held = model(1, 2, 0, Some(2));
        let (artifact_sha256, actor, reason) = ("ab".into(), "judge".into(), "failures".into());
        let at = jiff::Timestamp::UNIX_EPOCH;
        held.versions.get_mut(&version(2)).unwrap().quarantine =
            Some(Quarantine { artifact_sha256, actor, reason, at });
        assert_eq!(plan(&held), Plan { stable: Some(version(1)), ..Plan::default() });
    }

    #[test]
    fn a_revoked_version_is_never_planned() {
        let revoked = plan(&model(1, 2, 2, Some(2)));
        assert_eq!(revoked, Plan { stable: Some(version(1)), ..Plan::default() });
        assert_eq!(plan(&model(3, 3, 3, None)), Plan::default());
    }
}
