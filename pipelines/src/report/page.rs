//! The chronicle as one HTML page: pictures inlined, styles inlined, every text from the data escaped by the template.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use minijinja::{AutoEscape, Environment, value::Serde};
use serde::Serialize;

use super::{
    Chronicle, Summary,
    plots::{self, Evidence},
};

const TEMPLATE: &str = include_str!("template.html");

/// The page could not be made; a bug, as a chronicle of any content has a page.
#[derive(Debug, thiserror::Error)]
#[error("the report could not be {step}")]
pub struct Error {
    step: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

fn failed(step: &'static str) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Error {
    move |source| Error { step, source }
}

/// The page of a run. It loads nothing: no script, no font, no picture from anywhere.
pub fn html(chronicle: &Chronicle) -> Result<String, Error> {
    let page = Page::of(chronicle).map_err(failed("drawn"))?;
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    templates.render_str(TEMPLATE, Serde(page)).map_err(|error| failed("rendered")(error.into()))
}

/// What the template is given: texts ready to show, pictures as SVG.
#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    seed: u64,
    generated: String,
    lead: String,
    tiles: Vec<Tile>,
    moments: Vec<MomentLine<'a>>,
    version_keys: Vec<Key>,
    traffic: Option<String>,
    latency: Option<String>,
    evidence: Option<String>,
    feature_keys: Vec<Key>,
    n_grey: usize,
    moved: Vec<MovedRow>,
    canary: Option<String>,
    canary_rows: Vec<CanaryRow<'a>>,
    metrics: Option<String>,
    metric_rows: Vec<Vec<String>>,
    aliases: Option<String>,
    alias_rows: Vec<AliasRow<'a>>,
}

#[derive(Serialize)]
struct Tile {
    label: &'static str,
    value: String,
    note: String,
}

/// One entry of a legend: a colour and what it stands for.
#[derive(Serialize)]
struct Key {
    colour: usize,
    name: String,
}

#[derive(Serialize)]
struct MomentLine<'a> {
    /// The date, on the first moment of a day only.
    date: Option<String>,
    time: String,
    word: &'static str,
    symbol: char,
    text: &'a str,
}

/// The strongest evidence of one feature that moved.
#[derive(Serialize)]
struct MovedRow {
    feature: String,
    at: String,
    effect: String,
    threshold: String,
    p: String,
}

#[derive(Serialize)]
struct CanaryRow<'a> {
    at: String,
    weight: String,
    requests: String,
    failed: String,
    p99: String,
    verdict: &'a str,
}

#[derive(Serialize)]
struct AliasRow<'a> {
    at: String,
    alias: &'a str,
    from: String,
    to: String,
    actor: &'a str,
    reason: &'a str,
}

impl<'a> Page<'a> {
    fn of(chronicle: &'a Chronicle) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let Chronicle { title, seed, generated, summary, moments, traffic, evidence, metrics, aliases, canary } =
            chronicle;
        let versions = versions(chronicle);
        let marks = marks(summary);
        let drawn = plots::drift_evidence(evidence, &marks)?;
        let (svg, coloured, n_grey) =
            drawn.map_or((None, Vec::new(), 0), |Evidence { svg, coloured, n_grey }| (Some(svg), coloured, n_grey));
        let end = last_moment(chronicle);
        Ok(Self {
            title,
            seed: *seed,
            generated: minute(*generated),
            lead: lead(summary),
            tiles: tiles(summary),
            moments: moment_lines(moments),
            version_keys: versions.iter().enumerate().map(|(n, v)| key(n, &format!("version {v}"))).collect(),
            traffic: plots::traffic(traffic, &versions, &marks)?,
            latency: plots::latency(traffic, &versions)?,
            evidence: svg,
            feature_keys: coloured.iter().enumerate().map(|(n, feature)| key(n, feature)).collect(),
            n_grey,
            moved: coloured.iter().filter_map(|feature| strongest(chronicle, feature)).collect(),
            canary: plots::canary_ramp(canary)?,
            canary_rows: canary.iter().map(canary_row).collect(),
            metrics: plots::metric_bars(metrics, &versions)?,
            metric_rows: metrics.iter().map(metric_row).collect(),
            aliases: plots::alias_lanes(aliases, &versions, end)?,
            alias_rows: aliases.iter().map(alias_row).collect(),
        })
    }
}

/// Every version named anywhere, ascending; its place is its colour.
fn versions(chronicle: &Chronicle) -> Vec<u32> {
    let traffic = chronicle.traffic.iter().map(|point| point.version);
    let metrics = chronicle.metrics.iter().map(|row| row.version);
    let aliases = chronicle.aliases.iter().filter_map(|one| one.to);
    let mut versions: Vec<u32> = traffic.chain(metrics).chain(aliases).collect();
    versions.sort_unstable();
    versions.dedup();
    versions
}

fn marks(summary: &Summary) -> Vec<(Timestamp, &'static str)> {
    let marks = [(summary.onset, "taste changes"), (summary.suspected, "suspected"), (summary.confirmed, "confirmed")];
    marks.into_iter().filter_map(|(at, name)| at.map(|at| (at, name))).collect()
}

/// The end of the run in event time, for bars that last until then.
fn last_moment(chronicle: &Chronicle) -> Timestamp {
    let moments = chronicle.moments.iter().map(|moment| moment.at);
    let traffic = chronicle.traffic.iter().map(|point| point.at);
    let aliases = chronicle.aliases.iter().map(|one| one.at);
    moments.chain(traffic).chain(aliases).max().unwrap_or(chronicle.generated)
}

/// The run in one or two sentences.
fn lead(summary: &Summary) -> String {
    let served = match summary.failed {
        0 => "not one failed".to_owned(),
        failed => format!("{} failed", grouped(failed)),
    };
    let versions = if summary.versions == 1 { "one version".into() } else { format!("{} versions", summary.versions) };
    let served = format!("{} requests were answered by {versions}; {served}.", grouped(summary.requests));
    let noticed = match (summary.onset, summary.confirmed) {
        (Some(onset), Some(confirmed)) => {
            format!(
                " The readers' taste changed on {}; {} later the change was confirmed",
                date(onset),
                span(onset, confirmed)
            )
        }
        (Some(onset), None) => format!(" The readers' taste changed on {}; the change was not confirmed", date(onset)),
        (None, Some(confirmed)) => format!(" Drift was confirmed on {} although nothing had changed", date(confirmed)),
        (None, None) => return format!("{served} The readers' taste did not change, and no drift was confirmed."),
    };
    let learnt = match (summary.retrain_version, summary.production_version) {
        (Some(made), Some(used)) if made == used => {
            format!(", and version {made}, trained for it, took over production.")
        }
        (Some(made), _) => format!(", and version {made} was trained for it."),
        (None, _) => ".".into(),
    };
    format!("{served}{noticed}{learnt}")
}

fn tiles(summary: &Summary) -> Vec<Tile> {
    let mut tiles = vec![
        Tile {
            label: "Requests",
            value: grouped(summary.requests),
            note: format!("{} failed", grouped(summary.failed)),
        },
        Tile {
            label: "Versions",
            value: summary.versions.to_string(),
            note: summary.production_version.map_or_else(String::new, |v| format!("version {v} in production")),
        },
    ];
    if let (Some(onset), Some(confirmed)) = (summary.onset, summary.confirmed) {
        let suspected = summary.suspected.map(|at| format!("suspected after {}", span(onset, at)));
        let note = suspected.unwrap_or_else(|| "from change to confirmation".into());
        tiles.push(Tile { label: "Drift confirmed after", value: span(onset, confirmed), note });
    }
    if let (Some(before), Some(after)) = (summary.ndcg_before, summary.ndcg_after) {
        let se = |se: Option<f64>| se.map_or_else(String::new, |se| format!(" ± {se:.4}"));
        tiles.push(Tile {
            label: "nDCG@10 after the change",
            value: format!("{before:.4} → {after:.4}"),
            note: format!(
                "old{}, retrained{} (standard errors)",
                se(summary.ndcg_before_se),
                se(summary.ndcg_after_se)
            ),
        });
    }
    tiles.push(Tile {
        label: "Wall clock",
        value: format!("{:.0} s", summary.wall_seconds),
        note: "for the whole run".into(),
    });
    tiles
}

fn moment_lines(moments: &[super::Moment]) -> Vec<MomentLine<'_>> {
    let mut day = None;
    let line = |moment: &'_ super::Moment| {
        let today = date(moment.at);
        let is_new = day.as_ref() != Some(&today);
        day = Some(today.clone());
        (is_new.then_some(today), moment.at.to_zoned(TimeZone::UTC).strftime("%H:%M").to_string())
    };
    let dated: Vec<_> = moments.iter().map(line).collect();
    let lines = moments.iter().zip(dated);
    lines
        .map(|(moment, (date, time))| MomentLine {
            date,
            time,
            word: moment.kind.word(),
            symbol: moment.kind.symbol(),
            text: &moment.text,
        })
        .collect()
}

fn strongest(chronicle: &Chronicle, feature: &str) -> Option<MovedRow> {
    let own = chronicle.evidence.iter().filter(|point| point.feature == feature && point.moved);
    let point = own.max_by(|a, b| (a.effect / a.threshold).total_cmp(&(b.effect / b.threshold)))?;
    Some(MovedRow {
        feature: feature.into(),
        at: minute(point.at),
        effect: format!("{:.3}", point.effect),
        threshold: format!("{:.3}", point.threshold),
        p: point.p.map_or_else(|| "–".into(), |p| if p < 1e-4 { format!("{p:.0e}") } else { format!("{p:.4}") }),
    })
}

fn canary_row(step: &super::CanaryStep) -> CanaryRow<'_> {
    CanaryRow {
        at: minute(step.at),
        weight: format!("{} %", step.weight_percent),
        requests: grouped(step.requests),
        failed: grouped(step.failed),
        p99: step.p99_ms.map_or_else(|| "–".into(), |ms| format!("{ms:.1}")),
        verdict: &step.verdict,
    }
}

fn metric_row(row: &super::MetricRow) -> Vec<String> {
    let se = row.se.map_or_else(|| "–".into(), |se| format!("{se:.4}"));
    vec![row.metric.clone(), row.version.to_string(), format!("{:.4}", row.value), se]
}

fn alias_row(one: &super::AliasMove) -> AliasRow<'_> {
    let version = |version: Option<u32>| version.map_or_else(|| "–".into(), |v| format!("v{v}"));
    AliasRow {
        at: minute(one.at),
        alias: &one.alias,
        from: version(one.from),
        to: version(one.to),
        actor: &one.actor,
        reason: &one.reason,
    }
}

fn key(colour: usize, name: &str) -> Key {
    Key { colour: colour % plots::N_COLOURS, name: name.into() }
}

fn minute(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%-d %b %Y, %H:%M").to_string()
}

fn date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%A, %-d %B").to_string()
}

/// A stretch of time in its two largest units: `2 d 6 h`, `5 h 10 min`.
fn span(from: Timestamp, to: Timestamp) -> String {
    let minutes = to.duration_since(from).max(SignedDuration::ZERO).as_mins();
    match (minutes / 1_440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) => format!("{days} d"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// A count with thin spaces between thousands.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).unwrap_or_default()).collect();
    groups.join("\u{202f}")
}

#[cfg(test)]
mod tests;
