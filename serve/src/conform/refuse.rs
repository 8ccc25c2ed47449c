//! Requests that must be refused: one table row gives the point that they are, and the point by which status.

use super::{
    Level, Section,
    check::{Check, Fault, holds},
    exchange::Request,
    subject::Subject,
};

/// A request that breaks a rule.
pub(super) struct Breach {
    pub(super) name: &'static str,
    /// What is wrong with it.
    pub(super) what: &'static str,
    pub(super) level: Level,
    /// The status that says it best.
    pub(super) status: u16,
    pub(super) source: &'static str,
    pub(super) ask: fn(&Subject) -> Result<Request, Fault>,
}

/// That each breach is refused with words, and that it is refused with its status.
pub(super) fn checks(section: Section, breaches: &[Breach]) -> Vec<Check> {
    let both = breaches.iter().flat_map(|breach| {
        let Breach { name, what, level, status, source, ask } = *breach;
        let refused = section.point(level, name, &format!("{what}: refused with {{\"error\": ...}}"), source);
        let by_status = section.should(&format!("{name}-{status}"), &format!("{what}: status {status}"), source);
        [
            refused.reply(ask, |_, reply| reply.error().map(drop)),
            by_status
                .reply(ask, move |_, reply| holds(reply.status == status, format!("status {status}"), reply.shown())),
        ]
    });
    both.collect()
}
