//! Whether tonight's model may be published.
//!
//! A pure decision over measurements. What was not measured does not pass.

use serde::{Deserialize, Serialize};

use crate::{bootstrap::Comparison, evaluate::Evaluation};

/// Fewer common readers than this say nothing about two models.
pub const MIN_COMMON_READERS: usize = 30;

/// Who competes.
#[derive(Debug, Clone, Copy)]
pub struct Contest<'a> {
    /// Tonight's model.
    pub challenger: &'a Evaluation,
    /// The most popular books, on the same cases.
    pub popularity: &'a Evaluation,
    /// The model in use, on the same cases, if there is one.
    pub incumbent: Option<&'a Evaluation>,
    /// The least NDCG that is acceptable at all.
    pub floor: f64,
    /// Seed of the comparisons' resampling.
    pub seed: u64,
}

/// Why a model is not published. Each is another next step for the person who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No reader could be judged, or a score is not a number: look at the data.
    NotMeasured,
    /// Below the floor: look at the data, or lower the floor.
    BelowFloor,
    /// Worse than the most popular books: look at the settings.
    WorseThanPopularity,
    /// Worse than the model in use: nothing to do, it stays.
    WorseThanIncumbent,
}

/// What the gate decided, with the numbers it decided on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Why the model is kept back; `None` publishes it.
    pub kept: Option<Reason>,
    /// What was looked at, a sentence each, the deciding one last.
    pub sentences: Vec<String>,
    /// Challenger minus popularity, NDCG.
    pub versus_popularity: Option<Comparison>,
    /// Challenger minus incumbent, NDCG.
    pub versus_incumbent: Option<Comparison>,
}

impl Decision {
    /// Whether the model is published.
    pub fn publishes(&self) -> bool {
        self.kept.is_none()
    }
}

/// Publishes unless the challenger was not measured, is below the floor, or is worse than a rival beyond chance.
///
/// Worse beyond chance: the 95 % interval of the paired difference lies wholly below 0. With fewer than
/// [`MIN_COMMON_READERS`] common readers the incumbent is not compared, and the decision says so.
pub fn decide(contest: Contest<'_>) -> Decision {
    let Contest { challenger, popularity, incumbent, floor, seed } = contest;
    let mut decision = Decision { kept: None, sentences: Vec::new(), versus_popularity: None, versus_incumbent: None };
    let at = challenger.at;
    let Some(ndcg) = challenger.ndcg().filter(|ndcg| ndcg.is_finite()) else {
        return decision.keep(Reason::NotMeasured, format!("NDCG@{at} could not be measured: no reader was judged"));
    };
    // Written so that a floor that is not a number refuses too.
    let reaches_floor = ndcg >= floor;
    if !reaches_floor {
        return decision.keep(Reason::BelowFloor, format!("NDCG@{at} {ndcg:.4} does not reach the floor {floor:.4}"));
    }
    decision.sentences.push(format!("NDCG@{at} {ndcg:.4} reaches the floor {floor:.4}"));

    let Some(versus) = challenger.compared_with(popularity, seed) else {
        return decision.keep(Reason::NotMeasured, "popularity was not measured on the same readers".to_owned());
    };
    decision.versus_popularity = Some(versus);
    let sentence = in_words("popularity", at, versus);
    if versus.high < 0.0 {
        return decision.keep(Reason::WorseThanPopularity, sentence);
    }
    decision.sentences.push(sentence);

    let Some(incumbent) = incumbent else {
        decision.sentences.push("no model is in use yet".to_owned());
        return decision;
    };
    match challenger.compared_with(incumbent, seed) {
        Some(versus) if versus.n >= MIN_COMMON_READERS => {
            decision.versus_incumbent = Some(versus);
            let sentence = in_words("the model in use", at, versus);
            if versus.high < 0.0 {
                return decision.keep(Reason::WorseThanIncumbent, sentence);
            }
            decision.sentences.push(sentence);
        }
        few => {
            let n = few.map_or(0, |versus| versus.n);
            decision.sentences.push(format!(
                "too few readers to compare with the model in use: {n} in common, {MIN_COMMON_READERS} needed"
            ));
        }
    }
    decision
}

impl Decision {
    fn keep(mut self, reason: Reason, sentence: String) -> Self {
        self.kept = Some(reason);
        self.sentences.push(sentence);
        self
    }
}

fn in_words(rival: &str, at: usize, versus: Comparison) -> String {
    let Comparison { n, mean, low, high, p } = versus;
    let verdict = match () {
        () if high < 0.0 => "worse than",
        () if low > 0.0 => "better than",
        () => "not distinguishable from",
    };
    format!(
        "{verdict} {rival}: NDCG@{at} differs by {mean:+.4} (95 % interval {low:+.4} to {high:+.4}, p {p:.4}, {n} readers)"
    )
}

#[cfg(test)]
#[expect(clippy::needless_raw_string_hashes, reason = "golden texts are updated by a tool that writes them so")]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::{
        evaluate::{Estimate, ReaderValues, Summary},
        split::Segment,
    };

    /// A model with NDCG `value(reader)` for each of `n` readers.
    fn model(n: usize, value: fn(usize) -> f64) -> Evaluation {
        let reader = |i: usize| ReaderValues {
            reader: format!("r{i:03}").parse().unwrap(),
            segment: Segment::Warm,
            recall: 0.0,
            recall_trunc: 0.0,
            ndcg: value(i),
            mrr: 0.0,
            hit_rate: 0.0,
        };
        let mean = Estimate { mean: (0..n).map(value).sum::<f64>() / n as f64, se: None };
        let all = Summary { n_readers: n, recall: mean, recall_trunc: mean, ndcg: mean, mrr: mean, hit_rate: mean };
        Evaluation {
            at: 10,
            all: (n > 0).then_some(all),
            n_eligible: 1,
            per_reader: (0..n).map(reader).collect(),
            ..Evaluation::default()
        }
    }

    fn check(challenger: &Evaluation, incumbent: Option<&Evaluation>, floor: f64, want: &Expect) {
        let popularity = model(challenger.per_reader.len(), |_| 0.1);
        let decision = decide(Contest { challenger, popularity: &popularity, incumbent, floor, seed: 1 });
        want.assert_eq(&format!("{:?}: {}\n", decision.kept, decision.sentences.join("; ")));
    }

    #[test]
    fn the_first_good_model_is_published() {
        check(
            &model(40, |_| 0.3),
            None,
            0.0,
            &expect![[r#"
            None: NDCG@10 0.3000 reaches the floor 0.0000; better than popularity: NDCG@10 differs by +0.2000 (95 % interval +0.2000 to +0.2000, p 0.0002, 40 readers); no model is in use yet
        "#]],
        );
    }

    #[test]
    fn what_was_not_measured_does_not_pass() {
        check(
            &model(0, |_| 0.3),
            None,
            0.0,
            &expect![[r#"
            Some(NotMeasured): NDCG@10 could not be measured: no reader was judged
        "#]],
        );
        check(
            &model(40, |_| f64::NAN),
            None,
            0.0,
            &expect![[r#"
            Some(NotMeasured): NDCG@10 could not be measured: no reader was judged
        "#]],
        );
        check(
            &model(40, |_| 0.3),
            None,
            f64::NAN,
            &expect![[r#"
            Some(BelowFloor): NDCG@10 0.3000 does not reach the floor NaN
        "#]],
        );
    }

    #[test]
    fn a_model_below_the_floor_is_kept_back() {
        check(
            &model(40, |_| 0.3),
            None,
            0.35,
            &expect![[r#"
            Some(BelowFloor): NDCG@10 0.3000 does not reach the floor 0.3500
        "#]],
        );
    }

    #[test]
    fn a_model_worse_than_popularity_is_kept_back() {
        check(
            &model(40, |i| if i % 2 == 0 { 0.0 } else { 0.1 }),
            None,
            0.0,
            &expect![[r#"
            Some(WorseThanPopularity): NDCG@10 0.0500 reaches the floor 0.0000; worse than popularity: NDCG@10 differs by -0.0500 (95 % interval -0.0650 to -0.0350, p 0.0002, 40 readers)
        "#]],
        );
    }

    #[test]
    fn a_model_worse_than_the_one_in_use_is_kept_back() {
        check(
            &model(40, |i| 0.3 + 0.001 * (i % 5) as f64),
            Some(&model(40, |_| 0.4)),
            0.0,
            &expect![[r#"
            Some(WorseThanIncumbent): NDCG@10 0.3020 reaches the floor 0.0000; better than popularity: NDCG@10 differs by +0.2020 (95 % interval +0.2016 to +0.2024, p 0.0002, 40 readers); worse than the model in use: NDCG@10 differs by -0.0980 (95 % interval -0.0984 to -0.0976, p 0.0002, 40 readers)
        "#]],
        );
    }

    #[test]
    fn a_model_as_good_as_the_one_in_use_replaces_it() {
        let incumbent = model(40, |i| if i % 2 == 0 { 0.2 } else { 0.4 });
        check(
            &model(40, |i| if i % 3 == 0 { 0.2 } else { 0.4 }),
            Some(&incumbent),
            0.0,
            &expect![[r#"
            None: NDCG@10 0.3300 reaches the floor 0.0000; better than popularity: NDCG@10 differs by +0.2300 (95 % interval +0.2000 to +0.2600, p 0.0002, 40 readers); not distinguishable from the model in use: NDCG@10 differs by +0.0300 (95 % interval -0.0100 to +0.0700, p 0.1818, 40 readers)
        "#]],
        );
    }

    #[test]
    fn too_few_common_readers_are_no_evidence() {
        check(
            &model(40, |_| 0.3),
            Some(&model(29, |_| 0.9)),
            0.0,
            &expect![[r#"
            None: NDCG@10 0.3000 reaches the floor 0.0000; better than popularity: NDCG@10 differs by +0.2000 (95 % interval +0.2000 to +0.2000, p 0.0002, 40 readers); too few readers to compare with the model in use: 29 in common, 30 needed
        "#]],
        );
    }
}
