//! One JSON object a line.

use std::{
    borrow::Cow,
    io::{self, BufRead, BufReader, Read},
};

use serde_json::{Map, Value};

use super::{Cell, Event, MAX_FIELDS};
use crate::error::Error;

/// The longest line that is read: beyond it the file is not what it says.
const MAX_LINE_BYTES: u64 = 16 << 20;

pub(super) fn stream(
    name: &str,
    reader: impl Read,
    wanted: &[&str],
    visit: &mut dyn FnMut(Event<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = BufReader::with_capacity(1 << 16, reader);
    let mut bytes = Vec::new();
    let mut columns_known = false;
    for line in 1_u64.. {
        bytes.clear();
        let limited = &mut reader.by_ref().take(MAX_LINE_BYTES);
        let n_read = limited.read_until(b'\n', &mut bytes).map_err(|source| Error::reading(name, source))?;
        if n_read == 0 {
            break;
        }
        if n_read as u64 == MAX_LINE_BYTES {
            let problem = format!("line {line} is longer than {MAX_LINE_BYTES} bytes");
            return Err(Error::reading(name, io::Error::new(io::ErrorKind::InvalidData, problem)));
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let Ok(object) = serde_json::from_slice::<Map<String, Value>>(&bytes) else {
            let found = String::from_utf8_lossy(bytes.trim_ascii()).into_owned();
            visit(Event::Broken { line, expected: "one JSON object".to_owned(), found })?;
            continue;
        };
        // The first object that can be read stands for a header.
        if !columns_known {
            columns_known = true;
            visit(Event::Columns(&object.keys().cloned().collect::<Vec<_>>()))?;
        }
        let cell = |field: usize| wanted.get(field).and_then(|key| object.get(*key)).map_or(Cell::Missing, cell);
        let cells: [Cell<'_>; MAX_FIELDS] = std::array::from_fn(cell);
        visit(Event::Row { line, cells: &cells })?;
    }
    Ok(())
}

fn cell(value: &Value) -> Cell<'_> {
    let text = |text: &str| Cell::Text(Cow::Owned(text.as_bytes().to_vec()));
    match value {
        Value::Null => Cell::Missing,
        Value::String(string) => Cell::Text(Cow::Borrowed(string.as_bytes())),
        Value::Number(number) => text(&number.to_string()),
        Value::Bool(flag) => Cell::Flag(*flag),
        Value::Array(values) => {
            let texts: Option<Vec<String>> = values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
            texts.map_or_else(|| Cell::Other(value.to_string()), Cell::List)
        }
        Value::Object(_) => Cell::Other(value.to_string()),
    }
}
