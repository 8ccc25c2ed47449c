//! What the catalogue says about one book.

use serde::{Deserialize, Serialize};

use crate::id::BookId;

/// One book's metadata. Only the id is required.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Book {
    /// The catalogue's id.
    pub item_id: BookId,
    /// Title as printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Authors, first author first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
    /// Subjects or shelves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// Language code as the catalogue gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Year of first publication; negative before our era.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub year: Option<i32>,
    /// Price in the tenant's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// Whether it can be sold now. If not, it is recommended only to those who ask for such books too.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub available: bool,
}

impl Book {
    /// A book of which nothing but the id is known.
    pub fn bare(item_id: BookId) -> Self {
        Self {
            item_id,
            title: None,
            authors: Vec::new(),
            subjects: Vec::new(),
            language: None,
            year: None,
            price: None,
            available: true,
        }
    }
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_yes(value: &bool) -> bool {
    *value
}
