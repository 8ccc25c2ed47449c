//! What befell one reader for the first time: what processes tell each other of a trial.
//!
//! Facts and not sums, because a balancer sends one reader to several processes: sums would count that reader at each.

use models::event::Arm;
use serde::{Deserialize, Serialize};

use crate::judge::Durations;

/// One fact of one reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Row", into = "Row")]
pub(crate) struct Fact {
    /// The reader's number in the trial.
    pub(crate) unit: u64,
    /// The step it happened in.
    pub(crate) step: u16,
    /// The arm the reader was on; of a credit, the arm whose book it was.
    pub(crate) arm: Arm,
    /// When, milliseconds since 1970.
    pub(crate) at_ms: i64,
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The reader's first request on this arm.
    Met(First),
    /// Their first failure, slow answer or short list on the trial.
    Suffered(Trouble),
    /// Their first click.
    Clicked,
    /// Their first list of both versions.
    Drafted,
    /// Their first click on a book that one side put into such a list.
    Credited,
}

/// How a first request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct First {
    pub(crate) bad: bool,
    pub(crate) slow: bool,
    /// The bucket of [`Durations`] that its scoring fell into.
    pub(crate) bucket: u8,
}

/// What a reader can suffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Failed,
    Slow,
    Short,
}

/// A fact as it is stored: `[unit, step, arm, at_ms, kind, first]`.
#[derive(Serialize, Deserialize)]
struct Row(u64, u16, Arm, i64, Kind, u8);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Met,
    Failed,
    Slow,
    Short,
    Clicked,
    Drafted,
    Credited,
}

/// Added to the bucket of a first request that failed, and of one that was slow.
const BAD: u8 = 64;
const SLOW: u8 = 128;

impl From<Fact> for Row {
    fn from(fact: Fact) -> Self {
        let (kind, first) = match fact.what {
            What::Met(First { bad, slow, bucket }) => {
                (Kind::Met, bucket + if bad { BAD } else { 0 } + if slow { SLOW } else { 0 })
            }
            What::Suffered(Trouble::Failed) => (Kind::Failed, 0),
            What::Suffered(Trouble::Slow) => (Kind::Slow, 0),
            What::Suffered(Trouble::Short) => (Kind::Short, 0),
            What::Clicked => (Kind::Clicked, 0),
            What::Drafted => (Kind::Drafted, 0),
            What::Credited => (Kind::Credited, 0),
        };
        Self(fact.unit, fact.step, fact.arm, fact.at_ms, kind, first)
    }
}

impl TryFrom<Row> for Fact {
    type Error = String;
    fn try_from(Row(unit, step, arm, at_ms, kind, first): Row) -> Result<Self, String> {
        let bucket = first % BAD;
        if usize::from(bucket) >= Durations::BUCKETS {
            return Err(format!("bucket: expected less than {}, found {bucket}", Durations::BUCKETS));
        }
        let what = match kind {
            Kind::Met => What::Met(First { bad: first & BAD > 0, slow: first & SLOW > 0, bucket }),
            Kind::Failed => What::Suffered(Trouble::Failed),
            Kind::Slow => What::Suffered(Trouble::Slow),
            Kind::Short => What::Suffered(Trouble::Short),
            Kind::Clicked => What::Clicked,
            Kind::Drafted => What::Drafted,
            Kind::Credited => What::Credited,
        };
        Ok(Self { unit, step, arm, at_ms, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_survives_its_text_and_a_wrong_one_is_refused() {
        let fact = |what| Fact { unit: u64::MAX, step: 2, arm: Arm::Canary, at_ms: -5, what };
        let first = |bad, slow| What::Met(First { bad, slow, bucket: 22 });
        let troubles = [Trouble::Failed, Trouble::Slow, Trouble::Short].map(What::Suffered);
        let firsts = [first(false, false), first(true, false), first(false, true)];
        let rest = [What::Clicked, What::Drafted, What::Credited];
        for what in firsts.into_iter().chain(rest).chain(troubles) {
            let text = serde_json::to_string(&fact(what)).unwrap();
            assert_eq!(serde_json::from_str::<Fact>(&text).unwrap(), fact(what), "{text}");
        }
        assert_eq!(
            serde_json::to_string(&fact(first(true, true))).unwrap(),
            r#"[18446744073709551615,2,"canary",-5,"met",214]"#
        );
        let wrong = serde_json::from_str::<Fact>(r#"[1,0,"stable",0,"met",23]"#).unwrap_err().to_string();
        assert!(wrong.starts_with("bucket: expected less than 23, found 23"), "{wrong}");
    }
}
