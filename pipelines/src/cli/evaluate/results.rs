//! What `evaluate` found, as JSON and as tables.

use models::{Artifact, Scorer};
use serde_json::{Map, Value, json};
use train::{Algorithm, Comparison, Evaluation, bootstrap::holm};

use crate::cli::print;

/// One algorithm on the split.
pub(super) struct Measured {
    pub(super) algorithm: Algorithm,
    /// Whether its settings were found by a search.
    pub(super) tuned: bool,
    /// A blend's members with their shares; empty for everything else.
    pub(super) shares: Vec<(&'static str, f32)>,
    /// One for each length.
    pub(super) evaluations: Vec<Evaluation>,
    pub(super) fit_seconds: f64,
    pub(super) evaluate_seconds: f64,
    pub(super) epochs: usize,
}

/// The families a blend is made of and their shares in it.
pub(super) fn shares(artifact: &Artifact) -> Vec<(&'static str, f32)> {
    let Scorer::Blend(blend) = artifact.scorer() else { return Vec::new() };
    blend.members().iter().map(|member| (member.scorer.family(), member.weight)).collect()
}

/// One result as it is, several as a list with the comparisons.
pub(super) fn as_json(measured: &[Measured], seed: u64) -> Value {
    match measured {
        [one] => one.as_json(),
        several => {
            let comparison = |c: &Compared<'_>| {
                let Compared { best, other, difference, holm } = c;
                json!({ "best": best.name(), "other": other.name(), "ndcg_difference": difference, "p_holm": holm })
            };
            let compared: Vec<Value> = compared(several, seed).iter().map(comparison).collect();
            json!({ "results": several.iter().map(Measured::as_json).collect::<Vec<_>>(), "comparisons": compared })
        }
    }
}

/// A table for each length of the lists, then how the best compares with the others.
pub(super) fn as_tables(measured: &[Measured], seed: u64) -> String {
    let lengths = measured.first().map_or(0, |first| first.evaluations.len());
    let mut parts: Vec<String> = Vec::new();
    for length in 0..lengths {
        let mut table = print::evaluation_table(measured[0].evaluations[length].at);
        for one in measured {
            print::evaluation_rows(&mut table, &one.name(), Some(one.fit_seconds), &one.evaluations[length]);
        }
        parts.push(table.to_string());
    }
    for one in measured.iter().filter(|one| !one.shares.is_empty()) {
        let shares = one.shares.iter().map(|(family, share)| format!("{share:.2} {family}"));
        parts.push(format!("{}: {}", one.name(), shares.collect::<Vec<_>>().join(" + ")));
    }
    for Compared { best, other, difference, holm } in compared(measured, seed) {
        let at = best.evaluations[0].at;
        let Comparison { mean, low, high, .. } = difference;
        let (best, other) = (best.name(), other.name());
        parts.push(format!(
            "{best} minus {other}: NDCG@{at} differs by {mean:+.4} [{low:+.4}, {high:+.4}], p {holm:.4} after Holm"
        ));
    }
    parts.join("\n")
}

/// The best beside one of the others.
struct Compared<'a> {
    best: &'a Measured,
    other: &'a Measured,
    difference: Comparison,
    /// Its p, corrected for the number of others.
    holm: f64,
}

/// The best by NDCG at the first length against each of the others, by paired bootstrap over readers.
fn compared(measured: &[Measured], seed: u64) -> Vec<Compared<'_>> {
    let ndcg = |one: &Measured| one.evaluations[0].ndcg().unwrap_or(f64::NEG_INFINITY);
    // Of equals the first: `max_by` would take the last.
    let Some(best) = measured.iter().rev().max_by(|a, b| ndcg(a).total_cmp(&ndcg(b))) else { return Vec::new() };
    let mut found: Vec<Compared<'_>> = Vec::new();
    for other in measured.iter().filter(|other| !std::ptr::eq(*other, best)) {
        if let Some(difference) = best.evaluations[0].compared_with(&other.evaluations[0], seed) {
            found.push(Compared { best, other, difference, holm: difference.p });
        }
    }
    let adjusted = holm(&found.iter().map(|compared| compared.difference.p).collect::<Vec<_>>());
    found.iter_mut().zip(adjusted).for_each(|(compared, adjusted)| compared.holm = adjusted);
    found
}

impl Measured {
    fn name(&self) -> String {
        let name = self.algorithm.name();
        if self.tuned { format!("{name}, tuned") } else { name.to_owned() }
    }

    fn as_json(&self) -> Value {
        let mut object = Map::new();
        let mut errors = Map::new();
        object.insert("algorithm".into(), json!(self.algorithm.name()));
        object.insert("tuned".into(), json!(self.tuned));
        for evaluation in &self.evaluations {
            let at = evaluation.at;
            if let Some(all) = &evaluation.all {
                for (name, estimate) in [
                    ("recall", all.recall),
                    ("ndcg", all.ndcg),
                    ("mrr", all.mrr),
                    ("hit_rate", all.hit_rate),
                    ("recall_trunc", all.recall_trunc),
                ] {
                    object.insert(format!("{name}@{at}"), json!(estimate.mean));
                    errors.insert(format!("{name}@{at}"), json!(estimate.se));
                }
                object.insert("readers".into(), json!(all.n_readers));
            }
            object.insert(format!("coverage@{at}"), json!(evaluation.coverage));
            object.insert(format!("lists@{at}"), json!(evaluation.lists));
            object.insert(format!("by_degree@{at}"), json!(evaluation.by_degree));
            object.insert(format!("cold_books@{at}"), json!(evaluation.cold_books));
        }
        // The longest list is the hardest to fill.
        if let Some(longest) = self.evaluations.iter().max_by_key(|evaluation| evaluation.at) {
            object.insert("cold_book_share".into(), json!(longest.cold_book_share));
            object.insert("fallback_share".into(), json!(longest.fallback_share));
        }
        object.insert("se".into(), errors.into());
        object.insert("fit_seconds".into(), json!(self.fit_seconds));
        object.insert("evaluate_seconds".into(), json!(self.evaluate_seconds));
        object.insert("epochs".into(), json!(self.epochs));
        if !self.shares.is_empty() {
            object.insert("shares".into(), json!(self.shares));
        }
        object.insert("params".into(), json!(self.algorithm));
        object.into()
    }
}
