//! What format 1 kept otherwise: a catalogue as lines of JSON, the ids of readers as lines.

use super::read::Parts;
use crate::{
    artifact::{Malformed, malformed},
    book::Book,
    catalogue::Catalogue,
    checks,
    id::{BookRow, ReaderId},
    readers::Readers,
    shared::Shared,
};

pub(super) fn catalogue(parts: &Parts<'_>) -> Result<Catalogue, Malformed> {
    let text = parts.array("catalogue")?;
    let parse = |line| serde_json::from_str(line).map_err(|error| malformed("catalogue", "a book", error));
    let books: Vec<Book> = lines("catalogue", &text)?.map(parse).collect::<Result<_, _>>()?;
    if let Some(pair) = books.windows(2).find(|pair| pair[0].item_id >= pair[1].item_id) {
        // The scorer's rows follow the order of the lines.
        let found = format!("{:?} before {:?}", pair[0].item_id.as_str(), pair[1].item_id.as_str());
        return Err(malformed("catalogue", "distinct ids, ascending", found));
    }
    Ok(Catalogue::new(books))
}

pub(super) fn readers(parts: &Parts<'_>) -> Result<Readers, Malformed> {
    let rows = parts.array::<BookRow>("readers.rows")?;
    let offsets = parts.array::<u32>("readers.offsets")?;
    let text = parts.array("readers.ids")?;
    let parse = |line: &str| line.parse().map_err(|error| malformed("readers.ids", "a reader id", error));
    let ids: Vec<ReaderId> = lines("readers.ids", &text)?.map(parse).collect::<Result<_, _>>()?;
    checks::offsets("readers.offsets", ids.len(), &offsets, rows.len())?;
    let histories = offsets.windows(2).map(|range| rows[range[0] as usize..range[1] as usize].to_vec());
    Ok(Readers::new(ids.into_iter().zip(histories)))
}

fn lines<'a>(part: &'static str, text: &'a Shared<u8>) -> Result<impl Iterator<Item = &'a str>, Malformed> {
    let text = std::str::from_utf8(text).map_err(|error| malformed(part, "UTF-8", error))?;
    Ok(text.split('\n').filter(move |_| !text.is_empty()))
}
