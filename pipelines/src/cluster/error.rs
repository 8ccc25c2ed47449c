//! Why the cluster did not do what was asked, by what the caller can do next.

use crate::trigger;

/// Why the cluster did not do it. Each kind is a different next step for the caller.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no way to the cluster as configured. Fix the kubeconfig.
    #[error("cannot connect to a cluster")]
    Config(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another cause already has this name. A person must look: repeating cannot help.
    #[error("workflow {name} belongs to another cause. {what}: expected={expected} found={found}")]
    NameClash {
        /// Name of the Workflow.
        name: String,
        /// What differs.
        what: &'static str,
        /// Ours.
        expected: String,
        /// Theirs.
        found: String,
    },
    /// The account has no right to it. Grant the verb.
    #[error("forbidden: this account may not {verb} {resource} in namespace {namespace}")]
    Forbidden {
        /// The missing verb.
        verb: &'static str,
        /// Of which resource.
        resource: &'static str,
        /// Where.
        namespace: String,
        /// The server's own words.
        #[source]
        source: kube::Error,
    },
    /// There is no such object.
    #[error("not found: {resource} {name}")]
    NotFound {
        /// Of which resource.
        resource: &'static str,
        /// Its name.
        name: String,
    },
    /// The server understood and refused: an unknown resource, an invalid object. Repeating cannot help.
    #[error("the cluster refused to {verb} {resource}")]
    Refused {
        /// What was tried.
        verb: &'static str,
        /// On which resource.
        resource: &'static str,
        /// The server's own words.
        #[source]
        source: kube::Error,
    },
    /// No usable answer, several times. Whether the last request had an effect is unknown; asking again is safe.
    #[error("cluster unavailable: could not {verb} {resource} in {attempts} attempts: {last}")]
    Unavailable {
        /// What was tried.
        verb: &'static str,
        /// On which resource.
        resource: &'static str,
        /// How often.
        attempts: u32,
        /// What happened the last time.
        last: String,
    },
}

impl From<Error> for trigger::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable { .. } => Self::Unavailable(error.into()),
            _ => Self::Refused(error.into()),
        }
    }
}
