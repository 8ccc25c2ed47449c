//! PEM text divided into its blocks, with the line each began on.
//!
//! Apart from the keys because the decoder underneath takes one block and skips foreign text, and a key that was skipped
//! for a typing error would be found out at night.

use super::{KeyError, error::cut};

/// One block, from its begin to its end line.
pub(super) struct Block {
    /// The line it begins on, from 1.
    pub(super) line: usize,
    /// Begin line, body and end line, each ended by a line feed.
    pub(super) text: String,
}

/// The blocks of a file, at least one, all of that label. Blank lines and `#` comments may stand between them.
pub(super) fn blocks(text: &str, expected: &'static str) -> Result<Vec<Block>, KeyError> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_end()));
    while let Some((line, begin)) = lines.next() {
        if begin.is_empty() || begin.starts_with('#') {
            continue;
        }
        let label = begin.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
        let label = label.ok_or(KeyError::Stray { line })?;
        if label != expected {
            return Err(KeyError::Label { line, expected, found: cut(label) });
        }
        let end = format!("-----END {expected}-----");
        let mut block = Block { line, text: format!("{begin}\n") };
        loop {
            let (_, body) = lines.next().ok_or(KeyError::Unfinished { line })?;
            block.text.push_str(body);
            block.text.push('\n');
            if body == end {
                break;
            }
            if body.starts_with("-----") {
                return Err(KeyError::Unfinished { line });
            }
        }
        blocks.push(block);
    }
    if blocks.is_empty() { Err(KeyError::Empty { expected }) } else { Ok(blocks) }
}
