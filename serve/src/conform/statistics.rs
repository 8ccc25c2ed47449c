//! Statistics: counts of what was answered, which rise as something is.

use serde_json::{Value, json};

use super::{
    Section::Statistics,
    check::{Check, Fault, holds, not_offered, shown, wrong},
    exchange::{Exchange, How, Reply, Request},
    subject::named,
};

const SOURCE: &str = "Triton: extension_statistics";

pub(super) fn checks() -> Vec<Check> {
    vec![
        Statistics.extension("model", "GET /v2/models/{m}/stats tells the model's counts", SOURCE).reply(
            |subject| Ok(Request::get(subject.path("/stats"))),
            |subject, reply| {
                let rows = rows(reply)?;
                let own = rows.iter().find(|row| row["name"] == json!(subject.model));
                let row = own.ok_or_else(|| wrong(format!("a row of {:?}", subject.model), shown(&json!(rows))))?;
                for name in ["inference_count", "execution_count"] {
                    holds(row[name].is_u64(), format!("{name}: a count"), shown(&row[name]))?;
                }
                let success = &row["inference_stats"]["success"];
                let counted = success["count"].is_u64() && success["ns"].is_u64();
                holds(counted, "inference_stats.success: count and ns", shown(success))
            },
        ),
        Statistics.extension("all", "GET /v2/models/stats tells every model's counts", SOURCE).reply(
            |_| Ok(Request::get("/v2/models/stats")),
            |subject, reply| {
                let rows = rows(reply)?;
                let named = rows.iter().any(|row| row["name"] == json!(subject.model));
                holds(named, format!("a row of {:?}", subject.model), shown(&json!(rows)))
            },
        ),
        Statistics.extension("rise", "an inference raises the counts", SOURCE).check(
            |subject| {
                let stats = || Request::get(subject.path("/stats"));
                let infer = Request::json(subject.path("/infer"), &named(subject.sample()?));
                Ok(Exchange::of(How::InTurn, [stats(), infer, stats()]))
            },
            |_, answers| {
                let before = executions(answers[0].http()?)?;
                answers[1].http()?.ok()?;
                let after = executions(answers[2].http()?)?;
                holds(after > before, format!("more than {before} executions"), after.to_string())
            },
        ),
    ]
}

fn rows(reply: &Reply) -> Result<Vec<Value>, Fault> {
    if [404, 405, 501].contains(&reply.status) {
        return not_offered(format!("the path answers {}", reply.status));
    }
    match reply.object()?["model_stats"].take() {
        Value::Array(rows) => Ok(rows),
        other => Err(wrong("model_stats: a list", shown(&other))),
    }
}

/// Over all versions: which of them answers is the server's choice.
fn executions(reply: &Reply) -> Result<u64, Fault> {
    Ok(rows(reply)?.iter().filter_map(|row| row["execution_count"].as_u64()).sum())
}
