//! What a caller asks of a list besides its length, in the words every door shares.
//!
//! V1 sends the words as members of an instance, V2 as parameters of the request, `/recommend` as names of its query.

use std::collections::BTreeMap;

use models::{Filter, Rules};

use super::{Count, json};
use crate::{
    config::{MAX_DIVERSE_K, MAX_K, MAX_NAMES},
    error::{Refusal, cut},
};

/// The longest author or subject that can be left out, bytes.
const MAX_NAME_BYTES: usize = 256;
/// The longest range of languages, bytes.
const MAX_LANGUAGE_BYTES: usize = 35;

/// Rules as sent, none of them checked; what is not sent asks for nothing.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// `available_only`: whether only books that can be sold are listed, which they are unless this is false.
    pub(super) available_only: Option<bool>,
    /// `languages`: one of which a book must be in.
    pub(super) languages: Option<Vec<String>>,
    /// `exclude_authors`, as the catalogue writes them.
    pub(super) exclude_authors: Option<Vec<String>>,
    /// `exclude_subjects`, as the catalogue writes them.
    pub(super) exclude_subjects: Option<Vec<String>>,
    /// `max_per_author`, from 1.
    pub(super) max_per_author: Option<Count>,
    /// `max_per_series`, from 1.
    pub(super) max_per_series: Option<Count>,
    /// `diversity`, 0 to 1.
    pub(super) diversity: Option<f64>,
}

/// A value of a V2 parameter.
#[derive(Debug)]
pub(super) enum Given {
    Switch(bool),
    Number(serde_json::Number),
    Text(String),
}

impl Sent {
    /// The rules among a request's parameters, lists being JSON inside text; parameters of other names are others'.
    pub(super) fn from_parameters(given: BTreeMap<String, Given>) -> Result<Self, Refusal> {
        let mut sent = Self::default();
        for (name, value) in given {
            let wrong = |expected: &str| Err(Refusal::bad(format!("parameter {name}: expected {expected}")));
            let list = |text: &str| {
                let at =
                    |refusal| Refusal::bad(format!("parameter {name}: expected a list of texts as JSON: {refusal}"));
                json::parse::<Vec<String>>(text.as_bytes()).map(Some).map_err(at)
            };
            match (name.as_str(), value) {
                ("available_only", Given::Switch(value)) => sent.available_only = Some(value),
                ("available_only", _) => return wrong("true or false"),
                ("languages", Given::Text(text)) => sent.languages = list(&text)?,
                ("exclude_authors", Given::Text(text)) => sent.exclude_authors = list(&text)?,
                ("exclude_subjects", Given::Text(text)) => sent.exclude_subjects = list(&text)?,
                ("languages" | "exclude_authors" | "exclude_subjects", _) => {
                    return wrong("a list of texts as JSON inside text");
                }
                ("max_per_author" | "max_per_series", value) => {
                    let whole = if let Given::Number(number) = value { whole(&number) } else { None };
                    let Some(count) = whole else { return wrong(&format!("an integer from 1 to {MAX_K}")) };
                    let place =
                        if name == "max_per_author" { &mut sent.max_per_author } else { &mut sent.max_per_series };
                    *place = Some(Count(count));
                }
                ("diversity", value) => {
                    let number = if let Given::Number(number) = value { number.as_f64() } else { None };
                    let Some(number) = number else { return wrong("a number from 0 to 1") };
                    sent.diversity = Some(number);
                }
                _ => {}
            }
        }
        Ok(sent)
    }

    /// The rules among the names of a query; lists are separated by commas.
    pub(crate) fn from_query(given: &BTreeMap<String, String>) -> Result<Self, Refusal> {
        let wrong = |name: &str, expected: &str, found: &str| {
            Refusal::bad(format!("{name}: expected {expected}, found {:?}", cut(found)))
        };
        let whole = |name: &str| match given.get(name) {
            None => Ok(None),
            Some(text) => match text.parse::<i64>() {
                Ok(number) => Ok(Some(Count(number.into()))),
                Err(_) => Err(wrong(name, &format!("an integer from 1 to {MAX_K}"), text)),
            },
        };
        Ok(Self {
            available_only: match given.get("available_only").map(String::as_str) {
                None => None,
                Some("true") => Some(true),
                Some("false") => Some(false),
                Some(other) => return Err(wrong("available_only", "true or false", other)),
            },
            languages: given.get("languages").map(|text| text.split(',').map(str::to_owned).collect()),
            exclude_authors: None,
            exclude_subjects: None,
            max_per_author: whole("max_per_author")?,
            max_per_series: whole("max_per_series")?,
            diversity: match given.get("diversity") {
                None => None,
                Some(text) => Some(text.parse().map_err(|_| wrong("diversity", "a number from 0 to 1", text))?),
            },
        })
    }

    /// The rules, if a list of `k` books can obey them.
    pub(crate) fn check(self, k: usize) -> Result<Rules, Refusal> {
        let rules = Rules {
            filter: Filter {
                include_unavailable: self.available_only == Some(false),
                languages: languages(self.languages)?,
                exclude_authors: names("exclude_authors", self.exclude_authors)?,
                exclude_subjects: names("exclude_subjects", self.exclude_subjects)?,
            },
            max_per_author: most("max_per_author", self.max_per_author)?,
            max_per_series: most("max_per_series", self.max_per_series)?,
            diversity: diversity(self.diversity)?,
        };
        fits(&rules, k)?;
        Ok(rules)
    }
}

/// Refuses rules that a list of `k` books is too long for: marginal relevance compares every book with every other.
pub(super) fn fits(rules: &Rules, k: usize) -> Result<(), Refusal> {
    if rules.diversity > 0.0 && k > MAX_DIVERSE_K {
        return Err(Refusal::bad(format!("diversity: expected k of at most {MAX_DIVERSE_K} with it, found {k}")));
    }
    Ok(())
}

fn whole(number: &serde_json::Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn most(name: &str, sent: Option<Count>) -> Result<Option<usize>, Refusal> {
    let Some(Count(number)) = sent else { return Ok(None) };
    let fits = usize::try_from(number).ok().filter(|number| (1..=MAX_K).contains(number));
    let words = || Refusal::bad(format!("{name}: expected an integer from 1 to {MAX_K}, found {number}"));
    fits.map(Some).ok_or_else(words)
}

fn diversity(sent: Option<f64>) -> Result<f32, Refusal> {
    match sent.unwrap_or(0.0) {
        number if (0.0..=1.0).contains(&number) => Ok(number as f32),
        number => Err(Refusal::bad(format!("diversity: expected a number from 0 to 1, found {number}"))),
    }
}

fn languages(sent: Option<Vec<String>>) -> Result<Vec<String>, Refusal> {
    let languages = names("languages", sent)?;
    let tag = |text: &str| {
        text.len() <= MAX_LANGUAGE_BYTES && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match languages.iter().find(|text| !tag(text)) {
        Some(text) => Err(Refusal::bad(format!("languages: expected tags such as en or pt-BR, found {:?}", cut(text)))),
        None => Ok(languages),
    }
}

fn names(name: &str, sent: Option<Vec<String>>) -> Result<Vec<String>, Refusal> {
    let sent = sent.unwrap_or_default();
    if sent.len() > MAX_NAMES {
        return Err(Refusal::bad(format!("{name}: expected at most {MAX_NAMES}, found {}", sent.len())));
    }
    match sent.iter().find(|text| text.is_empty() || text.len() > MAX_NAME_BYTES) {
        Some(text) => {
            let words = format!("{name}: expected 1 to {MAX_NAME_BYTES} bytes each, found {:?}", cut(text));
            Err(Refusal::bad(words))
        }
        None => Ok(sent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(json: &str) -> Result<Rules, String> {
        let given: BTreeMap<String, serde_json::Value> = serde_json::from_str(json).unwrap();
        let value = |value| match value {
            serde_json::Value::Bool(value) => Given::Switch(value),
            serde_json::Value::Number(number) => Given::Number(number),
            other => Given::Text(other.as_str().unwrap().to_owned()),
        };
        let given = given.into_iter().map(|(name, given)| (name, value(given))).collect();
        Sent::from_parameters(given).and_then(|sent| sent.check(10)).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn every_word_is_understood_and_nothing_sent_asks_for_nothing() {
        assert_eq!(parameters("{}"), Ok(Rules::default()));
        assert_eq!(parameters(r#"{"available_only":true,"diversity":0,"colour":"red"}"#), Ok(Rules::default()));
        let all = r#"{"available_only":false,"languages":"[\"en\",\"pt-BR\"]","exclude_authors":"[\"Öhlund, A.\"]",
            "exclude_subjects":"[\"war\"]","max_per_author":2,"max_per_series":1,"diversity":0.25}"#;
        let want = Rules {
            filter: Filter {
                include_unavailable: true,
                languages: vec!["en".into(), "pt-BR".into()],
                exclude_authors: vec!["Öhlund, A.".into()],
                exclude_subjects: vec!["war".into()],
            },
            max_per_author: Some(2),
            max_per_series: Some(1),
            diversity: 0.25,
        };
        assert_eq!(parameters(all), Ok(want));
    }

    #[test]
    fn a_wrong_value_is_told_its_name_and_its_range() {
        for (json, words) in [
            (r#"{"available_only":"yes"}"#, "parameter available_only: expected true or false"),
            (r#"{"languages":"en"}"#, "parameter languages: expected a list of texts as JSON: JSON: expected value"),
            (r#"{"languages":7}"#, "parameter languages: expected a list of texts as JSON inside text"),
            (r#"{"languages":"[\"e n\"]"}"#, "languages: expected tags such as en or pt-BR, found \"e n\""),
            (r#"{"exclude_authors":"[\"\"]"}"#, "exclude_authors: expected 1 to 256 bytes each, found \"\""),
            (r#"{"max_per_author":0}"#, "max_per_author: expected an integer from 1 to 1000, found 0"),
            (r#"{"max_per_series":1.5}"#, "parameter max_per_series: expected an integer from 1 to 1000"),
            (r#"{"diversity":1.01}"#, "diversity: expected a number from 0 to 1, found 1.01"),
            (r#"{"diversity":"much"}"#, "parameter diversity: expected a number from 0 to 1"),
        ] {
            let refused = parameters(json).unwrap_err();
            assert!(refused.starts_with(words), "{json}: {refused}");
        }
        let many = Sent { exclude_subjects: Some(vec!["x".into(); MAX_NAMES + 1]), ..Sent::default() };
        assert_eq!(many.check(10).unwrap_err().to_string(), "exclude_subjects: expected at most 64, found 65");
        let diverse = || Sent { diversity: Some(0.5), ..Sent::default() };
        assert!(diverse().check(MAX_DIVERSE_K).is_ok());
        let refused = diverse().check(MAX_DIVERSE_K + 1).unwrap_err().to_string();
        assert_eq!(refused, "diversity: expected k of at most 100 with it, found 101");
    }
}
