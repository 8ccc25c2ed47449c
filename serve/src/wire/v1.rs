//! V1: `{"instances": [...]}` in, `{"predictions": [...]}` out, one prediction per instance, in order.
//!
//! Three shapes of instance: a reader `{"user_id": "u-17", "k": 10, ...}`, a book to which similar ones are wanted
//! `{"book_id": "1", "k": 5}`, and a bare row of features `[0.1, 0.7]`, which is answered by popularity and recorded. A
//! call holds one shape only, and one bad instance fails the call, because callers index.
//!
//! Readers and books may come with rules: `available_only` (true unless sent), `languages`, `exclude_authors`,
//! `exclude_subjects`, `max_per_author`, `max_per_series` and `diversity`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Count, DEFAULT_K, Id, check_books, check_features, check_k, json, rules::Sent};
use crate::{
    call::Answered,
    config::MAX_INSTANCES,
    engine::{Answer, Ask, Fallback},
    error::Refusal,
};

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    instances: Option<&'a RawValue>,
    #[serde(borrow)]
    inputs: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Instance {
    user_id: Option<Id>,
    book_id: Option<Id>,
    k: Option<Count>,
    history: Option<Vec<Id>>,
    exclude: Option<Vec<Id>>,
    include_seen: Option<bool>,
    features: Option<Vec<f64>>,
    available_only: Option<bool>,
    languages: Option<Vec<String>>,
    exclude_authors: Option<Vec<String>>,
    exclude_subjects: Option<Vec<String>>,
    max_per_author: Option<Count>,
    max_per_series: Option<Count>,
    diversity: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Reader,
    Book,
    Features,
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::Reader => "a reader",
            Self::Book => "a book",
            Self::Features => "a row of features",
        }
    }
}

/// The questions of a `:predict` body.
pub(crate) fn decode(body: &[u8]) -> Result<Vec<Ask>, Refusal> {
    let Body { instances, inputs } = json::object(body)?;
    let (name, list) = match (instances, inputs) {
        (Some(list), _) => ("instances", list),
        (None, Some(list)) => ("inputs", list),
        (None, None) => return Err(Refusal::bad("expected \"instances\" or \"inputs\"")),
    };
    if !list.get().starts_with('[') {
        return Err(Refusal::bad(format!("Expected \"{name}\" to be a list")));
    }
    let json::Elements::<'_, MAX_INSTANCES>(elements) =
        json::parse(list.get().as_bytes()).map_err(|refusal| Refusal::bad(format!("{name}: {refusal}")))?;
    let mut asks = Vec::with_capacity(elements.len());
    let mut first = None;
    for (index, element) in elements.into_iter().enumerate() {
        let at = |refusal: Refusal| Refusal::bad(format!("{name}[{index}]: {refusal}"));
        let (shape, ask) = instance(element.get()).map_err(at)?;
        let first = *first.get_or_insert(shape);
        if shape != first {
            let words = format!("expected {} like {name}[0], found {}", first.name(), shape.name());
            return Err(at(Refusal::bad(words)));
        }
        asks.push(ask);
    }
    Ok(asks)
}

fn instance(json: &str) -> Result<(Shape, Ask), Refusal> {
    match json.as_bytes().first() {
        Some(b'[') => {
            let features = check_features(&json::parse::<Vec<f64>>(json.as_bytes())?)?;
            Ok((Shape::Features, Ask { k: DEFAULT_K, features, ..Ask::default() }))
        }
        Some(b'{') => {
            let found: Instance = json::parse(json.as_bytes())?;
            let k = found.k.map_or(Ok(DEFAULT_K), |Count(k)| check_k(k))?;
            let rules = Sent {
                available_only: found.available_only,
                languages: found.languages,
                exclude_authors: found.exclude_authors,
                exclude_subjects: found.exclude_subjects,
                max_per_author: found.max_per_author,
                max_per_series: found.max_per_series,
                diversity: found.diversity,
            };
            let ask = Ask {
                reader: found.user_id.as_ref().map(Id::reader).transpose()?,
                book: found.book_id.as_ref().map(Id::book).transpose()?,
                k,
                history: check_books("history", &found.history.unwrap_or_default())?,
                exclude: check_books("exclude", &found.exclude.unwrap_or_default())?,
                include_seen: found.include_seen.unwrap_or(false),
                features: check_features(&found.features.unwrap_or_default())?,
                rules: rules.check(k)?,
            };
            match (&ask.reader, &ask.book) {
                (None, Some(_)) => Ok((Shape::Book, ask)),
                (None, None) if ask.history.is_empty() && ask.features.is_empty() => {
                    Err(Refusal::bad("expected user_id, book_id, history or features"))
                }
                _ => Ok((Shape::Reader, ask)),
            }
        }
        _ => Err(Refusal::bad("expected an object or a list of numbers")),
    }
}

#[derive(Serialize)]
struct Predictions<'a> {
    predictions: Vec<Prediction<'a>>,
}

#[derive(Serialize)]
struct Prediction<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    book_id: Option<&'a str>,
    k: usize,
    recommendations: Vec<Listed<'a>>,
    model_version: String,
    variant: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<&'static str>,
}

#[derive(Serialize)]
struct Listed<'a> {
    book_id: &'a str,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
}

/// The body of a `:predict` answer.
pub(crate) fn encode(answered: &Answered) -> Vec<u8> {
    let predictions = answered.rows.iter().map(|(ask, answer)| prediction(answered, ask, answer)).collect();
    serde_json::to_vec(&Predictions { predictions }).expect("scores are finite and keys are text")
}

/// The body of a single prediction, for the convenience path.
pub(crate) fn encode_one(answered: &Answered) -> Vec<u8> {
    let (ask, answer) = answered.rows.first().expect("one question was answered");
    serde_json::to_vec(&prediction(answered, ask, answer)).expect("scores are finite and keys are text")
}

fn prediction<'a>(answered: &'a Answered, ask: &'a Ask, answer: &'a Answer) -> Prediction<'a> {
    let listed = answered.listed(answer).map(|(book, score)| {
        let author = (book.authors().len() > 0).then(|| book.authors().collect::<Vec<_>>().join(", "));
        Listed { book_id: book.item_id(), score, title: book.title(), author }
    });
    Prediction {
        user_id: ask.reader.as_ref().map(models::ReaderId::as_str),
        book_id: ask.book.as_ref().map(models::BookId::as_str),
        k: ask.k,
        recommendations: listed.collect(),
        model_version: answered.served(answer).version.to_string(),
        variant: answer.variant(),
        fallback: answer.fallback.map(Fallback::as_str),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> String {
        decode(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn ids_are_text_or_integers_and_never_numbers() {
        let asks = decode(br#"{"inputs":[{"user_id":"007","k":3,"history":[12,"b"]},{"user_id":7}]}"#).unwrap();
        assert_eq!(asks[0].reader.as_ref().unwrap().as_str(), "007");
        assert_eq!(asks[0].history.iter().map(models::BookId::as_str).collect::<Vec<_>>(), ["12", "b"]);
        assert_eq!((asks[1].reader.as_ref().unwrap().as_str(), asks[1].k), ("7", DEFAULT_K));
        assert!(refused(r#"{"instances":[{"user_id":1.5}]}"#).contains("an id as text or integer"));
    }

    #[test]
    fn a_bad_instance_is_named_by_its_index() {
        let nine_hundred = r#"{"instances":[{"user_id":"a"},{"user_id":"b","k":0}]}"#;
        assert_eq!(refused(nine_hundred), "instances[1]: k: expected an integer from 1 to 1000, found 0");
        let mixed = r#"{"instances":[{"user_id":"a"},[0.5]]}"#;
        assert_eq!(refused(mixed), "instances[1]: expected a reader like instances[0], found a row of features");
        assert_eq!(
            refused(r#"{"inputs":[{"book_id":1},{"user_id":"a"}]}"#),
            "inputs[1]: expected a book like inputs[0], found a reader"
        );
        assert_eq!(refused(r#"{"instances":[{}]}"#), "instances[0]: expected user_id, book_id, history or features");
        assert_eq!(refused(r#"{"instances":[7]}"#), "instances[0]: expected an object or a list of numbers");
        assert_eq!(
            refused(r#"{"instances":[[1e39]]}"#),
            "instances[0]: features: number 0 is out of range for 32 bits"
        );
    }

    #[test]
    fn bodies_without_a_list_are_refused() {
        assert_eq!(refused(r#"{"instances":"u-17"}"#), "Expected \"instances\" to be a list");
        assert_eq!(refused("{}"), "expected \"instances\" or \"inputs\"");
        assert_eq!(refused("[1]"), "expected a JSON object");
        assert_eq!(refused(" "), "expected a JSON object, found an empty body");
        assert!(refused(r#"{"instances":["#).starts_with("JSON: EOF"));
        assert!(refused(r#"{"instances":[],"instances":[]}"#).contains("duplicate field"));
        let many = format!(r#"{{"instances":[{}0]}}"#, "0,".repeat(1024));
        assert!(refused(&many).contains("expected at most 1024 elements"));
        assert_eq!(decode(br#"{"instances":[],"other":{}}"#).unwrap(), []);
    }
}
