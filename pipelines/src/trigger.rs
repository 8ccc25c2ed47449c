//! A cause in, at most one training run out.
//!
//! The registry's log is the memory: it is asked first, because a runner may have forgotten a finished run. The runner
//! is idempotent by the cause's id, so that a crash between starting a run and recording it leads back to the same run.
//! Whether a cause deserves a run at all (persistence, cool-down, budget) is decided before it comes here.

use std::{fmt, str::FromStr, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use models::{
    ModelName, Registry, TenantName,
    manifest::TriggerKind,
    registry::{self, Intent, Op},
};

/// Name of a cause: the same cause twice is the same run.
///
/// Travels as a command-line argument, an annotation and part of a key, hence plain: 1 to 200 of letters, digits and
/// `.`, `_`, `:`, `/`, `+`, `-`, beginning with a letter or digit.
///
/// ```
/// assert!("drift-acme-books-2026-03-01T02:03:04Z".parse::<bookloop::trigger::TriggerId>().is_ok());
/// assert!("--help".parse::<bookloop::trigger::TriggerId>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TriggerId(Box<str>);

/// The text cannot name a cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid trigger id {found:?}: expected 1 to 200 of a-z, A-Z, 0-9 and ._:/+-, beginning with a letter or digit"
)]
pub struct InvalidTriggerId {
    /// What was given, cut to 80 characters.
    pub found: String,
}

impl TriggerId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TriggerId {
    type Err = InvalidTriggerId;

    fn from_str(text: &str) -> Result<Self, InvalidTriggerId> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:/+-".contains(&b);
        let good = (1..=200).contains(&text.len())
            && text.bytes().all(plain)
            && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if good { Ok(Self(text.into())) } else { Err(InvalidTriggerId { found: text.chars().take(80).collect() }) }
    }
}

impl fmt::Display for TriggerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A wish for a training run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrainRequest {
    /// Whose readers.
    pub tenant: TenantName,
    /// Which model.
    pub model: ModelName,
    /// The cause.
    pub trigger_id: TriggerId,
    /// What kind of cause.
    pub kind: TriggerKind,
    /// Who asks: a person, or the name of the part that does.
    pub actor: String,
    /// Why, in a sentence.
    pub reason: String,
    /// The asker's clock.
    pub requested_at: Timestamp,
}

/// A run that a runner answers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Its name, known again by the same runner.
    pub workflow: String,
    /// Whether this very call started it.
    pub fresh: bool,
}

/// What fires: the run, and whether the log knew the cause already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    /// Name of the run.
    pub workflow: String,
    /// `false` for exactly one call per cause: the one that recorded it. Count retrains by this.
    pub repeated: bool,
}

/// Why there is no recorded run. Each kind is a different next step for the caller.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer in time. Fire again with the same id: whatever happened, it leads to one run.
    #[error("runner unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The runner will not, however often it is asked. A person must look.
    #[error("runner refused")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The run may have started but is not recorded. Fire again with the same id.
    #[error(transparent)]
    Registry(#[from] registry::Error),
}

/// A place where training runs happen.
#[async_trait]
pub trait Runner: Send + Sync {
    /// Starts the run of a cause, once: asked again with the same id it answers with the run it started before.
    async fn start(&self, request: &RetrainRequest) -> Result<Started, Error>;

    /// A run of the tenant that has not ended, if any.
    async fn in_flight(&self, tenant: &TenantName) -> Result<Option<String>, Error>;

    /// Whether the tenant's discretionary compute is stopped for lack of budget.
    async fn budget_frozen(&self, tenant: &TenantName) -> Result<bool, Error>;
}

/// Fires causes at a runner and remembers them in a tenant's registry.
pub struct Trigger {
    registry: Arc<Registry>,
    runner: Arc<dyn Runner>,
}

impl Trigger {
    /// A trigger for the tenant whose registry this is.
    pub fn new(registry: Arc<Registry>, runner: Arc<dyn Runner>) -> Self {
        Self { registry, runner }
    }

    /// The run of a cause: started now, or the one it was given before.
    ///
    /// Safe to repeat and to call from several places at once. A run that was started but not recorded, and then
    /// forgotten by the runner, would be started again: that takes a crash here and two days of not trying again.
    pub async fn fire(&self, request: &RetrainRequest) -> Result<Fired, Error> {
        let id = request.trigger_id.as_str();
        if let Some(earlier) = self.registry.refresh().await?.triggers.get(id) {
            return Ok(Fired { workflow: earlier.workflow.clone(), repeated: true });
        }
        let started = self.runner.start(request).await?;
        let intent = Intent::new(&request.actor, &request.reason, request.requested_at).once(format!("trigger-{id}"));
        let op = Op::Trigger {
            name: request.model.clone(),
            trigger_id: id.to_owned(),
            kind: request.kind,
            workflow: started.workflow.clone(),
        };
        let receipt = self.registry.commit(&intent, |_| Ok(vec![op.clone()])).await?;
        let recorded = receipt.entry.ops.into_iter().find_map(|op| match op {
            Op::Trigger { workflow, .. } => Some(workflow),
            _ => None,
        });
        Ok(Fired { workflow: recorded.unwrap_or(started.workflow), repeated: receipt.repeated })
    }

    /// A run of the tenant that has not ended, if any. The runner is asked, not the log: the log does not know ends.
    pub async fn in_flight(&self, tenant: &TenantName) -> Result<Option<String>, Error> {
        self.runner.in_flight(tenant).await
    }

    /// Whether the tenant's discretionary compute is stopped for lack of budget.
    pub async fn budget_frozen(&self, tenant: &TenantName) -> Result<bool, Error> {
        self.runner.budget_frozen(tenant).await
    }
}
