//! CloudEvents around V1: the attributes in headers (binary mode), or event and data in one object (structured mode).
//!
//! With fewer than the four attributes, or a body without one of the six members, a request is an ordinary one and the
//! usual rules decide.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::json;
use crate::error::{Refusal, cut};

/// The only version of the specification there is.
const SPEC_VERSION: &str = "1.0";
/// Attributes that make a request an event in binary mode.
const REQUIRED: [&str; 4] = ["specversion", "id", "type", "source"];
/// Members that make a body an event in structured mode.
const MEMBERS: [&str; 6] = ["specversion", "id", "type", "source", "time", "data"];

/// What answers say of themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    /// `type` of an answer.
    pub kind: String,
    /// `source` of an answer; without one `io.kserve.inference.<model>`.
    pub source: Option<String>,
    /// Whether an answer keeps the request's other attributes and extensions.
    pub merge: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self { kind: "io.kserve.inference.response".into(), source: None, merge: false }
    }
}

/// How an event came, and its attributes.
#[derive(Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) mode: Mode,
    attributes: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Binary,
    Structured,
}

/// The event in the headers, if all four attributes are there. `headers` are names in lower case with their values.
pub(crate) fn from_headers<'h>(headers: impl Iterator<Item = (&'h str, &'h str)>) -> Result<Option<Event>, Refusal> {
    let attributes: Map<String, Value> =
        headers.filter_map(|(name, value)| Some((name.strip_prefix("ce-")?.to_owned(), Value::from(value)))).collect();
    event(Mode::Binary, attributes)
}

/// The event in a body that says it is one, if all six members are there, and the data inside it.
pub(crate) fn from_body(body: &[u8]) -> Result<Option<(Event, Vec<u8>)>, Refusal> {
    let mut attributes: Map<String, Value> = json::object(body)?;
    if MEMBERS.iter().any(|member| !attributes.contains_key(*member)) {
        return Ok(None);
    }
    let data = attributes.remove("data").unwrap_or_default();
    let event = event(Mode::Structured, attributes)?;
    Ok(event.map(|event| (event, data.to_string().into_bytes())))
}

fn event(mode: Mode, attributes: Map<String, Value>) -> Result<Option<Event>, Refusal> {
    if REQUIRED.iter().any(|name| !attributes.contains_key(*name)) {
        return Ok(None);
    }
    match &attributes["specversion"] {
        Value::String(version) if version == SPEC_VERSION => Ok(Some(Event { mode, attributes })),
        other => {
            let found = cut(&other.to_string());
            Err(Refusal::bad(format!("specversion: expected {SPEC_VERSION:?}, found {found}")))
        }
    }
}

impl Event {
    /// The attributes of the answer to this event.
    pub(crate) fn answer(&self, style: &Style, model: &str, id: &str, now: Timestamp) -> Map<String, Value> {
        let mut attributes = if style.merge { self.attributes.clone() } else { Map::new() };
        if self.mode == Mode::Binary {
            attributes.remove("datacontenttype");
        }
        let source = style.source.clone().unwrap_or_else(|| format!("io.kserve.inference.{model}"));
        attributes.insert("type".into(), style.kind.clone().into());
        attributes.insert("source".into(), source.into());
        attributes.insert("specversion".into(), SPEC_VERSION.into());
        attributes.insert("id".into(), id.into());
        attributes.insert("time".into(), now.to_string().into());
        attributes
    }
}

/// An answer in structured mode: its attributes with the body as their data.
pub(crate) fn structured(mut attributes: Map<String, Value>, body: &[u8]) -> Vec<u8> {
    let data: Value = serde_json::from_slice(body).expect("our own answers are JSON");
    attributes.insert("datacontenttype".into(), "application/json".into());
    attributes.insert("data".into(), data);
    Value::Object(attributes).to_string().into_bytes()
}
