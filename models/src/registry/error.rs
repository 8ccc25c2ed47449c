//! Why the registry did not do what was asked. Each kind is a different next step for the caller.

use crate::{format, signature, store};

/// A refused or failed registry operation; nothing was changed unless said otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state is not what the caller believed. Look again and decide again.
    #[error("conflict: {what}. expected={expected} found={found}")]
    Conflict {
        /// What was compared.
        what: String,
        /// What the caller believed.
        expected: String,
        /// What is.
        found: String,
    },
    /// The rules forbid it whatever the timing.
    #[error("refused: {0}")]
    Refused(String),
    /// There is no such thing.
    #[error("not found: {0}")]
    NotFound(String),
    /// A fence was set since this writer opened the registry: another place or process has taken over. Start again.
    #[error("fenced: this writer opened the registry at epoch {opened}, which is now {now}")]
    Fenced {
        /// Epoch when it was opened.
        opened: u64,
        /// Epoch now.
        now: u64,
    },
    /// Other writers won every attempt. Try again later.
    #[error("gave up after losing {attempts} races for the next log entry")]
    Busy {
        /// How many.
        attempts: u32,
    },
    /// Stored bytes are not what was committed. Repeating cannot help; a person must look.
    #[error("corrupt {object}: expected {expected}, found {found}")]
    Corrupt {
        /// Object key.
        object: String,
        /// What the log or manifest says.
        expected: String,
        /// What the store returned.
        found: String,
    },
    /// Written by a newer bookloop. Upgrade this one.
    #[error("{object} has format {found}; this build reads up to {supported}")]
    Unsupported {
        /// Object key.
        object: String,
        /// Its format.
        found: u32,
        /// Ours.
        supported: u32,
    },
    /// The signature policy does not let it be used: unsigned, signed by nobody trusted, or with a bad signature.
    #[error("a version of {name} is not vouched for")]
    Unvouched {
        /// Model.
        name: String,
        /// Which rule of the policy.
        #[source]
        source: signature::Error,
    },
    /// The artefact's digest is right but its content is not an artefact.
    #[error("version {version} of {name} cannot be read")]
    Format {
        /// Model.
        name: String,
        /// Version.
        version: String,
        /// What is wrong with it.
        #[source]
        source: format::Error,
    },
    /// The store failed. When it was a write, repeating is safe.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// Whether stored bytes are at fault, not the caller or the connection.
    pub fn is_integrity(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Unsupported { .. } | Self::Unvouched { .. } | Self::Format { .. })
    }
}
