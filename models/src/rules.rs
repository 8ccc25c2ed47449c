//! What a shop asks of a list besides its length: which books may stand in it, how many by one hand, how unlike.
//!
//! Apart from `score` because callers write rules down and scoring only obeys them.

/// Which books may be listed, by what the catalogue says of them. The default lets through all that can be sold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Whether books that cannot be sold now may be listed too, for pages that take reservations.
    pub include_unavailable: bool,
    /// Languages, one of which a book must be in; any language, also none known, when empty.
    ///
    /// `en` lets through `en-US` too, in whatever case, and not `eng` (basic filtering of RFC 4647).
    pub languages: Vec<String>,
    /// Authors none of whose books may be listed, written as in the catalogue.
    pub exclude_authors: Vec<String>,
    /// Subjects none of whose books may be listed, written as in the catalogue.
    pub exclude_subjects: Vec<String>,
}

/// Everything a list must obey; the default changes nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// Which books may be listed.
    pub filter: Filter,
    /// The most books of one author, from 1; a book counts for each of its authors.
    pub max_per_author: Option<usize>,
    /// The most books of one series, from 1. Known of titles that end as in `Catching Fire (The Hunger Games, #2)`.
    pub max_per_series: Option<usize>,
    /// How much a likeness to books further up counts against a book, in `[0, 1]`: `1 - lambda` of maximal marginal
    /// relevance. 0 ranks by relevance alone.
    pub diversity: f32,
}

impl Rules {
    /// Whether more is asked for than that some books be left out.
    pub(crate) fn rearrange(&self) -> bool {
        self.max_per_author.is_some() || self.max_per_series.is_some() || self.diversity > 0.0
    }
}
