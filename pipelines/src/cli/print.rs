//! Tables and JSON for standard output.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, presets};
use jiff::Timestamp;
use train::{Evaluation, Summary};

use crate::night::Judged;

/// A table in the house style: a rule under the head, none elsewhere.
pub(super) fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    let style = presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none());
    table.load_style(style).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(head.iter().copied());
    table
}

/// A moment to the second, UTC.
pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// One line of JSON.
pub(super) fn json(value: &impl serde::Serialize) {
    println!("{}", serde_json::to_string(value).expect("results have no maps with odd keys"));
}

/// The line-up's table; the chosen model is marked.
pub(super) fn evaluations(judged: &Judged) -> Table {
    let at = judged.rows.first().map_or(10, |row| row.evaluation.at);
    let mut table = evaluation_table(at);
    for row in &judged.rows {
        let mark = if row.name == judged.chosen.name { "▶ " } else { "  " };
        evaluation_rows(&mut table, &format!("{mark}{}", row.name), row.fit_seconds, &row.evaluation);
    }
    table
}

/// An empty table of metrics at one list length.
pub(super) fn evaluation_table(at: usize) -> Table {
    let metric = |name: &str| format!("{name}@{at}");
    let head = [
        "model".to_owned(),
        "readers".to_owned(),
        metric("NDCG"),
        metric("Recall"),
        metric("MRR"),
        metric("HR"),
        metric("coverage"),
        "fit s".to_owned(),
    ];
    let mut table = table(&head.iter().map(String::as_str).collect::<Vec<_>>());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A model's rows: all readers, then the segments where there are several.
pub(super) fn evaluation_rows(table: &mut Table, name: &str, fit_seconds: Option<f64>, evaluation: &Evaluation) {
    let mut row = |name: String, summary: &Summary, coverage: String, seconds: String| {
        let show = |estimate: train::evaluate::Estimate| match estimate.se {
            Some(se) => format!("{:.4} ± {se:.4}", estimate.mean),
            None => format!("{:.4}", estimate.mean),
        };
        table.add_row([
            name,
            summary.n_readers.to_string(),
            show(summary.ndcg),
            show(summary.recall),
            show(summary.mrr),
            show(summary.hit_rate),
            coverage,
            seconds,
        ]);
    };
    let seconds = fit_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1}"));
    let Some(all) = &evaluation.all else { return };
    row(name.to_owned(), all, format!("{:.3}", evaluation.coverage), seconds);
    if let (Some(warm), Some(folded_in)) = (&evaluation.warm, &evaluation.folded_in) {
        row("    known readers".to_owned(), warm, String::new(), String::new());
        row("    new readers, folded in".to_owned(), folded_in, String::new(), String::new());
    }
}
