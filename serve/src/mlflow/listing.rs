//! One page of a long list: the order asked for, and the place to go on from.
//!
//! A page token is the last item's sort values, not a count of items: what is registered between two pages neither
//! repeats an item nor hides one.

use std::{cmp::Ordering, collections::BTreeSet};

use super::{error::Error, handlers::Parameters};

/// What a list is sorted by, of one model (whose version is 0) or one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) version: u32,
    /// Milliseconds since 1970.
    pub(super) created: i64,
    /// Milliseconds since 1970.
    pub(super) updated: i64,
}

impl Place {
    fn token(&self) -> String {
        format!("{}.{}.{}.{}", self.created, self.updated, self.version, self.name)
    }

    fn of_token(token: &str) -> Result<Self, Error> {
        let read = || {
            let mut parts = token.splitn(4, '.');
            let created = parts.next()?.parse().ok()?;
            let updated = parts.next()?.parse().ok()?;
            let version = parts.next()?.parse().ok()?;
            Some(Self { name: parts.next()?.into(), version, created, updated })
        };
        read().ok_or_else(|| Error::parameter("page_token", "the next_page_token of an earlier answer", token))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    Name,
    Version,
    Created,
    Updated,
}

/// A total order: what was asked for, then the name ascending, then the version descending.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Order(Vec<(Field, bool)>);

impl Order {
    /// Reads `order_by` clauses such as `name DESC` with the fields of one kind of list.
    fn parse<'a>(clauses: impl Iterator<Item = &'a str>, kind: &Kind) -> Result<Self, Error> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for clause in clauses {
            let mut words = clause.split_whitespace();
            let name = words.next().unwrap_or_default().trim_matches('`');
            let field = kind.fields.iter().find(|(known, _)| *known == name).map(|(_, field)| *field);
            let descending = match words.next().map(str::to_ascii_uppercase).as_deref() {
                None | Some("ASC") => Some(false),
                Some("DESC") => Some(true),
                Some(_) => None,
            };
            let (Some(field), Some(descending), None) = (field, descending, words.next()) else {
                let known: Vec<&str> = kind.fields.iter().map(|(name, _)| *name).collect();
                let expected = format!("one of {} with ASC or DESC", known.join(", "));
                return Err(Error::parameter("order_by", &expected, clause));
            };
            if seen.insert(field) {
                order.push((field, descending));
            }
        }
        if order.is_empty() {
            order.extend_from_slice(kind.usual);
        }
        order.extend([(Field::Name, false), (Field::Version, true)]);
        Ok(Self(order))
    }

    fn compare(&self, a: &Place, b: &Place) -> Ordering {
        let fields = self.0.iter().map(|(field, descending)| {
            let ascending = match field {
                Field::Name => a.name.cmp(&b.name),
                Field::Version => a.version.cmp(&b.version),
                Field::Created => a.created.cmp(&b.created),
                Field::Updated => a.updated.cmp(&b.updated),
            };
            if *descending { ascending.reverse() } else { ascending }
        });
        fields.fold(Ordering::Equal, Ordering::then)
    }
}

/// The limits and words of one kind of list.
#[derive(Debug)]
pub(super) struct Kind {
    /// Items of a page where none are asked for.
    page: usize,
    /// The most that may be asked for.
    most: usize,
    /// Items of a page at most: a bound on the memory of an answer. The token leads to the rest.
    bound: usize,
    fields: &'static [(&'static str, Field)],
    /// The order where none is asked for.
    usual: &'static [(Field, bool)],
}

/// Registered models: by name.
pub(super) const MODELS: Kind = Kind {
    page: 100,
    most: 1000,
    bound: 1000,
    fields: &[
        ("name", Field::Name),
        ("creation_timestamp", Field::Created),
        ("last_updated_timestamp", Field::Updated),
        // What MLflow's own server takes for the same thing.
        ("timestamp", Field::Updated),
    ],
    usual: &[(Field::Name, false)],
};

/// Versions: the last changed first.
pub(super) const VERSIONS: Kind = Kind {
    page: 10_000,
    most: 200_000,
    bound: 10_000,
    fields: &[
        ("name", Field::Name),
        ("version_number", Field::Version),
        ("creation_timestamp", Field::Created),
        ("last_updated_timestamp", Field::Updated),
    ],
    usual: &[(Field::Updated, true)],
};

/// The items of the page that was asked for, and the token of the next one.
///
/// `places` are all items that pass the filter, in any order.
pub(super) fn page<T>(
    kind: &Kind,
    parameters: &Parameters,
    mut places: Vec<(Place, T)>,
) -> Result<(Vec<T>, Option<String>), Error> {
    let size = match parameters.one("max_results")? {
        None => kind.page,
        Some(text) => {
            let asked = text.parse::<usize>().ok().filter(|n| (1..=kind.most).contains(n));
            asked.ok_or_else(|| Error::parameter("max_results", &format!("1 to {}", kind.most), text))?
        }
    };
    let order = Order::parse(parameters.all("order_by"), kind)?;
    let after = parameters.one("page_token")?.map(Place::of_token).transpose()?;
    places.sort_by(|(a, _), (b, _)| order.compare(a, b));
    let begin =
        after.map_or(0, |after| places.partition_point(|(place, _)| order.compare(place, &after) != Ordering::Greater));
    let end = places.len().min(begin.saturating_add(size.min(kind.bound)));
    let token = (begin < end && end < places.len()).then(|| places[end - 1].0.token());
    Ok((places.drain(begin..end).map(|(_, item)| item).collect(), token))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four versions as name, version, created, updated.
    fn shelf() -> Vec<(Place, String)> {
        let rows = [("a.x", 1, 10, 40), ("a.x", 2, 20, 20), ("b.x", 1, 20, 20), ("b.x", 10, 30, 30)];
        let place = |(name, version, created, updated): (&str, _, _, _)| {
            (Place { name: name.into(), version, created, updated }, format!("{name}/{version}"))
        };
        rows.into_iter().rev().map(place).collect()
    }

    fn pages(query: &[(&str, &str)]) -> Vec<String> {
        let mut seen = Vec::new();
        let mut token = None;
        loop {
            let mut query: Vec<(String, String)> = query.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            query.extend(token.take().map(|token| ("page_token".to_owned(), token)));
            let (items, next) = page(&VERSIONS, &Parameters::new(query), shelf()).unwrap();
            seen.push(items.join(" "));
            match next {
                Some(next) => token = Some(next),
                None => return seen,
            }
        }
    }

    #[test]
    fn every_item_is_on_one_page_in_the_order_asked_for() {
        assert_eq!(pages(&[]), ["a.x/1 b.x/10 a.x/2 b.x/1"]);
        assert_eq!(pages(&[("max_results", "3")]), ["a.x/1 b.x/10 a.x/2", "b.x/1"]);
        assert_eq!(pages(&[("max_results", "2"), ("order_by", "name DESC")]), ["b.x/10 b.x/1", "a.x/2 a.x/1"]);
        assert_eq!(
            pages(&[("order_by", "creation_timestamp"), ("order_by", "version_number asc")]),
            ["a.x/1 b.x/1 a.x/2 b.x/10"]
        );
    }

    #[test]
    fn what_comes_between_two_pages_repeats_nothing() {
        let query = |token: Option<String>| {
            let mut query = vec![("max_results".to_owned(), "2".to_owned()), ("order_by".into(), "name".into())];
            query.extend(token.map(|token| ("page_token".to_owned(), token)));
            Parameters::new(query)
        };
        let (first, token) = page(&VERSIONS, &query(None), shelf()).unwrap();
        assert_eq!(first, ["a.x/2", "a.x/1"]);
        let mut grown = shelf();
        grown.push((Place { name: "a.x".into(), version: 3, created: 50, updated: 50 }, "a.x/3".into()));
        let (second, _) = page(&VERSIONS, &query(token), grown).unwrap();
        assert_eq!(second, ["b.x/10", "b.x/1"]);
    }

    #[test]
    fn parameters_that_cannot_be_used_are_named() {
        for (name, value, expected) in [
            ("max_results", "0", "parameter max_results: expected 1 to 200000, found \"0\""),
            ("max_results", "many", "parameter max_results: expected 1 to 200000, found \"many\""),
            ("page_token", "5", "parameter page_token: expected the next_page_token of an earlier answer, found \"5\""),
            (
                "order_by",
                "run_id",
                "parameter order_by: expected one of name, version_number, creation_timestamp, \
                 last_updated_timestamp with ASC or DESC, found \"run_id\"",
            ),
            (
                "order_by",
                "name up",
                "parameter order_by: expected one of name, version_number, creation_timestamp, \
                 last_updated_timestamp with ASC or DESC, found \"name up\"",
            ),
        ] {
            let error = page(&VERSIONS, &Parameters::new(vec![(name.into(), value.into())]), shelf()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
