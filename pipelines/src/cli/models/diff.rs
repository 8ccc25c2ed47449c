//! `bookloop models diff`: two versions side by side.

use ::models::{
    Registry, Version,
    manifest::Estimate,
    registry::{Diff, Pair, diff},
};
use clap::Args;
use comfy_table::Table;
use serde_json::Value;

use super::{Place, Shared, keys, print};

/// Two versions side by side: metrics, parameters, data, and how alike their lists are.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Version to compare with.
    #[arg(long, env = "BOOKLOOP_FROM", value_name = "VERSION")]
    from: Version,
    /// Version to compare.
    #[arg(long, env = "BOOKLOOP_TO", value_name = "VERSION")]
    to: Version,
    /// Length of the compared lists.
    #[arg(long, env = "BOOKLOOP_K", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    k: u16,
    /// Readers whose lists are compared, spread over those that both versions know.
    #[arg(long, env = "BOOKLOOP_READERS", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    readers: u32,
    #[command(flatten)]
    trusted: keys::Trusted,
}

const EXAMPLES: &str = "\
Examples:
  bookloop models diff --store file:///var/lib/bookloop --tenant acme-books --from 3 --to 4
  bookloop models diff --store file:///var/lib/bookloop --tenant acme-books --from 3 --to 4 --k 20 --readers 1000 --json";

impl Arguments {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let registry = Registry::open(self.place.root()?).await?.trusting(self.trusted.trust()?);
        let from = registry.load(&self.place.model, self.from).await?;
        let to = registry.load(&self.place.model, self.to).await?;
        let diff = diff(&from, &to, usize::from(self.k), self.readers as usize);
        if shared.json {
            print::json(&diff);
        } else {
            println!("{}", table(&diff));
        }
        Ok(())
    }
}

fn table(diff: &Diff) -> Table {
    let head = ["", &format!("version {}", diff.from), &format!("version {}", diff.to), "difference"];
    let mut table = print::table(&head);
    for (name, pair) in &diff.metrics {
        table.add_row([name.clone(), estimate(pair.from), estimate(pair.to), difference(pair)]);
    }
    for (what, pairs) in [("param", &diff.params), ("data", &diff.data)] {
        for (name, Pair { from, to }) in pairs {
            let change = match (from.as_ref().and_then(Value::as_f64), to.as_ref().and_then(Value::as_f64)) {
                (Some(from), Some(to)) => format!("{:+}", to - from),
                _ => String::new(),
            };
            table.add_row([format!("{what} {name}"), value(from.as_ref()), value(to.as_ref()), change]);
        }
    }
    table.add_row(["books only here".to_owned(), diff.gone_books.to_string(), diff.new_books.to_string()]);
    let lists = &diff.lists;
    let share = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0));
    let readers = format!("{} readers", lists.readers);
    table.add_row([format!("books shared by the best {}", lists.k), share(lists.mean), String::new(), readers.clone()]);
    table.add_row(["first book the same".to_owned(), share(lists.same_first), String::new(), readers]);
    table
}

fn estimate(found: Option<Estimate>) -> String {
    match found {
        Some(Estimate { mean, se: Some(se), .. }) => format!("{mean:.4} ± {se:.4}"),
        Some(Estimate { mean, .. }) => format!("{mean:.4}"),
        None => "-".into(),
    }
}

/// The difference of two means, its standard error as of independent ones: the readers of two nights are rarely the same.
fn difference(pair: &Pair<Estimate>) -> String {
    let (Some(from), Some(to)) = (pair.from, pair.to) else { return String::new() };
    let mean = to.mean - from.mean;
    match (from.se, to.se) {
        (Some(a), Some(b)) => format!("{mean:+.4} ± {:.4}", a.hypot(b)),
        _ => format!("{mean:+.4}"),
    }
}

fn value(found: Option<&Value>) -> String {
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_has_the_error_of_both_sides() {
        let side = |mean, se| Some(Estimate { mean, se, n: 100 });
        let pair = Pair { from: side(0.2, Some(0.003)), to: side(0.25, Some(0.004)) };
        assert_eq!(difference(&pair), "+0.0500 ± 0.0050");
        assert_eq!(difference(&Pair { from: side(0.2, None), to: side(0.1, Some(0.1)) }), "-0.1000");
        assert_eq!(difference(&Pair { from: None, to: side(0.1, None) }), "");
    }
}
