//! What a reviewed file says an alias should point at, and bringing the registry there: once, and never behind the back
//! of a rollback.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Entry, Error, Intent, Op, Receipt, Registry, State, moves};
use crate::{
    digest,
    id::{Alias, ModelName, TenantName, Version},
};

/// The `apiVersion` this build reads.
pub const API_VERSION: &str = "bookloop/v1";

/// A file of desired aliases.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Desired {
    /// [`API_VERSION`].
    pub api_version: String,
    /// One alias each.
    pub models: Vec<DesiredAlias>,
}

/// Where one alias should point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DesiredAlias {
    /// Whose registry.
    pub tenant: TenantName,
    /// Model.
    pub name: ModelName,
    /// Alias.
    pub alias: Alias,
    /// The version it should point at.
    pub version: Version,
    /// Digest of that version's manifest, `sha256:` and 64 hex digits: what was reviewed is what is served.
    pub digest: String,
    /// The version it pointed at when this was written; absent: none.
    #[serde(default)]
    pub expect: Option<Version>,
    /// Why.
    pub reason: String,
    /// The change under which it was reviewed.
    #[serde(default)]
    pub ticket: Option<String>,
}

/// What applying a line did.
#[derive(Debug, Clone)]
pub enum Applied {
    /// The alias was there already.
    Unchanged,
    /// It moved.
    Moved(Box<Receipt>),
}

impl Registry {
    /// Moves one alias where the file says. A review of the file is the approval that `production` needs.
    ///
    /// A conflict when the alias is neither at `expect` nor at the target, and when this very line was applied before and
    /// the alias has left the target since: a rollback stands until the file is edited.
    pub async fn apply(&self, line: &DesiredAlias, actor: &str, at: Timestamp) -> Result<Applied, Error> {
        if self.check_line(line).await? {
            return Ok(Applied::Unchanged);
        }
        let intent = intent(line, actor, at);
        let receipt = self.commit(&intent, |state| ops(state, line)).await?;
        Ok(Applied::Moved(receipt.into()))
    }

    /// Whether the alias is where the line wants it; an error where [`Registry::apply`] would not bring it there. Changes
    /// nothing.
    pub async fn check_line(&self, line: &DesiredAlias) -> Result<bool, Error> {
        let state = self.refresh().await?;
        let standing = state.model(&line.name)?.version(&line.name, line.version)?;
        let digest = format!("sha256:{}", standing.manifest_sha256);
        if line.digest != digest {
            return Err(Error::Conflict {
                what: format!("digest of version {} of {}", line.version, line.name),
                expected: line.digest.clone(),
                found: digest,
            });
        }
        if is_there(&state, line) {
            return Ok(true);
        }
        if let Some(earlier) = state.keys.entry(&key(line)) {
            return Err(self.moved_since(earlier, line).await?);
        }
        let rehearsal = {
            let intent = intent(line, "rehearsal", Timestamp::UNIX_EPOCH);
            self.entry_after(&state, &intent, uuid::Uuid::nil(), ops(&state, line)?)
        };
        state.accepts(&rehearsal)?;
        self.check_targets(&state, &rehearsal).await?;
        Ok(false)
    }

    /// The conflict of a line whose work was undone.
    async fn moved_since(&self, applied: u64, line: &DesiredAlias) -> Result<Error, Error> {
        let mut words = format!("elsewhere since this line was applied by entry {applied}");
        let moves_it = |op: &Op| match op {
            Op::AliasSet { name, alias, .. } | Op::AliasDelete { name, alias, .. } => {
                *name == line.name && *alias == line.alias
            }
            _ => false,
        };
        let later = self.entries_from(applied + 1).await?;
        if let Some(Entry { id, actor, reason, .. }) = later.iter().find(|entry| entry.ops.iter().any(moves_it)) {
            words = format!("moved away by entry {id} ({actor}: {reason}) after entry {applied} applied this line");
        }
        Ok(Error::Conflict {
            what: format!("alias {} of {}", line.alias, line.name),
            expected: format!("{}; edit the line to apply it again", line.version),
            found: words,
        })
    }
}

fn intent(line: &DesiredAlias, actor: &str, at: Timestamp) -> Intent {
    Intent::new(actor, &line.reason, at).under(line.ticket.clone()).once(key(line))
}

fn key(line: &DesiredAlias) -> String {
    let text = serde_json::to_vec(line).expect("a line has no maps");
    format!("apply-{}", digest::sha256(&text))
}

fn is_there(state: &State, line: &DesiredAlias) -> bool {
    state.models.get(&line.name).and_then(|model| model.aliases.get(&line.alias)) == Some(&line.version)
}

fn ops(state: &State, line: &DesiredAlias) -> Result<Vec<Op>, Error> {
    let (name, version) = (line.name.clone(), line.version);
    let model = state.model(&name)?;
    let current = model.aliases.get(&line.alias).copied();
    if current != line.expect {
        let show = |version: Option<Version>| version.map_or_else(|| "unset".to_owned(), |version| version.to_string());
        return Err(Error::Conflict {
            what: format!("alias {} of {name}", line.alias),
            expected: show(line.expect),
            found: show(current),
        });
    }
    if line.alias != Alias::production() {
        return Ok(vec![Op::AliasSet { name, alias: line.alias.clone(), expect: line.expect, to: version }]);
    }
    let approve = model.version(&name, version)?.approval.is_none();
    let approve = approve.then(|| Op::Approve { name: name.clone(), version });
    Ok(approve.into_iter().chain(moves::promotion(&name, model, version, line.expect)).collect())
}
