//! A version's trial: its beginning, its steps and its end, each one commit that names the trial it was decided on.

use super::{Error, Intent, Op, Receipt, Registry, State, state::Canary};
use crate::{
    id::{ModelName, Version},
    manifest::MODEL_FILE,
};

impl Registry {
    /// Gives a version its first share of readers, under a salt drawn for this trial alone.
    ///
    /// Refused while another trial runs, and for a version in quarantine or with the model file of one that is.
    pub async fn begin_trial(&self, name: &ModelName, trial: Canary, intent: &Intent) -> Result<Receipt, Error> {
        let Canary { version, weight_bp, salt } = trial;
        let artifact = self.artifact_sha256(name, version).await?;
        self.commit(intent, |state| {
            let model = state.model(name)?;
            if let Some(running) = model.canary {
                let (expected, found) = ("no trial".into(), format!("version {} on trial", running.version));
                return Err(Error::Conflict { what: format!("trial of {name}"), expected, found });
            }
            let held = model.versions.iter().find_map(|(number, standing)| {
                let quarantine = standing.quarantine.as_ref()?;
                (quarantine.artifact_sha256 == artifact).then_some((number, quarantine))
            });
            if let Some((number, quarantine)) = held.filter(|(number, _)| **number != version) {
                let reason = &quarantine.reason;
                return Err(Error::Refused(format!(
                    "version {version} of {name} is the model of version {number}, which is in quarantine ({reason})"
                )));
            }
            Ok(vec![Op::Canary { name: name.clone(), version, weight_bp, salt }])
        })
        .await
    }

    /// Changes the share of readers of a trial, if it is still as `from` says. A weight of 0 ends it without blame.
    pub async fn step_trial(
        &self,
        name: &ModelName,
        from: Canary,
        weight_bp: u16,
        intent: &Intent,
    ) -> Result<Receipt, Error> {
        self.commit(intent, |state| {
            expect_trial(state, name, from)?;
            let Canary { version, salt, .. } = from;
            Ok(vec![Op::Canary { name: name.clone(), version, weight_bp, salt }])
        })
        .await
    }

    /// Ends the trial of a version that did harm, and keeps the version from readers until a person releases it.
    ///
    /// Also while no trial runs, and whatever the share has become: harm need not be found at the step it was done in.
    /// Refused for the version in production; a conflict where it is in quarantine already.
    pub async fn quarantine(&self, name: &ModelName, version: Version, intent: &Intent) -> Result<Receipt, Error> {
        let artifact_sha256 = self.artifact_sha256(name, version).await?;
        let op = Op::Quarantine { name: name.clone(), version, artifact_sha256 };
        self.commit(intent, |state| {
            let standing = state.model(name)?.version(name, version)?;
            if let Some(held) = &standing.quarantine {
                let (expected, found) = ("not in quarantine".into(), format!("in quarantine ({})", held.reason));
                return Err(Error::Conflict { what: format!("version {version} of {name}"), expected, found });
            }
            Ok(vec![op.clone()])
        })
        .await
    }

    /// Lets a version out of quarantine; a person's decision. Refused where it is not in quarantine.
    pub async fn release(&self, name: &ModelName, version: Version, intent: &Intent) -> Result<Receipt, Error> {
        let op = Op::Release { name: name.clone(), version };
        self.commit(intent, |_| Ok(vec![op.clone()])).await
    }

    /// Digest of a version's model file.
    async fn artifact_sha256(&self, name: &ModelName, version: Version) -> Result<String, Error> {
        let manifest = self.manifest(name, version).await?;
        let file = manifest
            .file(MODEL_FILE)
            .ok_or_else(|| Error::NotFound(format!("{MODEL_FILE} in the manifest of version {version} of {name}")))?;
        Ok(file.sha256.clone())
    }
}

fn expect_trial(state: &State, name: &ModelName, expected: Canary) -> Result<(), Error> {
    let found = state.model(name)?.canary;
    if found == Some(expected) {
        return Ok(());
    }
    let show = |canary: Option<Canary>| match canary {
        None => "none".to_owned(),
        Some(Canary { version, weight_bp, .. }) => format!("version {version} at {weight_bp} basis points"),
    };
    Err(Error::Conflict { what: format!("trial of {name}"), expected: show(Some(expected)), found: show(found) })
}
