//! Exit codes: what a shell, a Workflow or a person does next.

use models::{registry, store, stream};

use crate::{cluster, trigger};

/// A gate was not met; the model in use stays. Not an error to retry.
pub const GATE: u8 = 10;
/// The registry is not in the state the command was given for.
pub const CONFLICT: u8 = 11;
/// The input is bad; the message says where.
pub const BAD_INPUT: u8 = 12;
/// Stored bytes are not what was committed.
pub const INTEGRITY: u8 = 13;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// A service we need is unavailable; trying again may help.
pub const UNAVAILABLE: u8 = 69;
/// A bug in bookloop.
pub const BUG: u8 = 70;

/// An error whose exit code is known where it arises.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Coded {
    /// What to exit with.
    pub code: u8,
    /// What to say.
    pub message: String,
}

/// An error with a code.
pub fn coded(code: u8, message: impl Into<String>) -> anyhow::Error {
    Coded { code, message: message.into() }.into()
}

/// The exit code of any error, by the first cause that has one; a bug if none has.
pub fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(of_cause).unwrap_or(BUG)
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(coded) = cause.downcast_ref::<Coded>() {
        return Some(coded.code);
    }
    if let Some(error) = cause.downcast_ref::<registry::Error>() {
        return match error {
            registry::Error::Conflict { .. }
            | registry::Error::Refused(_)
            | registry::Error::Fenced { .. }
            | registry::Error::Busy { .. } => Some(CONFLICT),
            registry::Error::NotFound(_) => Some(BAD_INPUT),
            registry::Error::Corrupt { .. }
            | registry::Error::Unsupported { .. }
            | registry::Error::Unvouched { .. }
            | registry::Error::Format { .. } => Some(INTEGRITY),
            registry::Error::Store(error) => Some(of_store(error)),
        };
    }
    if let Some(error) = cause.downcast_ref::<store::Error>() {
        return Some(of_store(error));
    }
    if let Some(error) = cause.downcast_ref::<stream::Error>() {
        return match error {
            stream::Error::Store(error) => Some(of_store(error)),
            stream::Error::Kafka { .. } => Some(UNAVAILABLE),
            stream::Error::Setting { .. } => Some(USAGE),
        };
    }
    if let Some(error) = cause.downcast_ref::<train::Error>() {
        return Some(match error.kind() {
            train::Kind::BadInput => BAD_INPUT,
            train::Kind::Unavailable => UNAVAILABLE,
            train::Kind::Settings => USAGE,
            train::Kind::Bug => BUG,
        });
    }
    if let Some(error) = cause.downcast_ref::<cluster::Error>() {
        return Some(match error {
            cluster::Error::Config(_) => USAGE,
            cluster::Error::NameClash { .. } => CONFLICT,
            cluster::Error::NotFound { .. } => BAD_INPUT,
            cluster::Error::Forbidden { .. } | cluster::Error::Refused { .. } | cluster::Error::Unavailable { .. } => {
                UNAVAILABLE
            }
        });
    }
    if let Some(error) = cause.downcast_ref::<trigger::Error>() {
        return match error {
            trigger::Error::Unavailable(_) => Some(UNAVAILABLE),
            // The refusal's own cause follows in the chain and decides.
            trigger::Error::Refused(_) | trigger::Error::Registry(_) => None,
        };
    }
    cause.downcast_ref::<models::InvalidName>().map(|_| USAGE)
}

fn of_store(error: &store::Error) -> u8 {
    match error {
        store::Error::BadUrl { .. }
        | store::Error::Settings { .. }
        | store::Error::BadKey { .. }
        | store::Error::NotSafe { .. } => USAGE,
        store::Error::Denied { .. } | store::Error::Unavailable { .. } => UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_first_cause_with_a_code_decides() {
        let conflict = registry::Error::Busy { attempts: 3 };
        let wrapped = Err::<(), _>(conflict).context("while promoting").unwrap_err();
        assert_eq!(code(&wrapped), CONFLICT);
        assert_eq!(code(&anyhow::anyhow!("no idea")), BUG);
        assert_eq!(code(&coded(GATE, "worse").context("outer")), GATE);
        let url = models::Store::open("gopher://x").unwrap_err();
        assert_eq!(code(&url.into()), USAGE);
    }
}
