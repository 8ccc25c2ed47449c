//! What is watched: a closed list, so that a metric label or a notice can never carry a name nobody knows.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One watched fact of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Feature {
    /// Newest book of the request's history, against the book shares of the training data.
    #[serde(rename = "basket.book")]
    BasketBook,
    /// First subject of that book, against the subject shares of the training data.
    #[serde(rename = "basket.subject")]
    BasketSubject,
    /// Share of readers whose newest book the model does not know, against the training data's natural growth.
    #[serde(rename = "basket.unknown_share")]
    BasketUnknownShare,
    /// Share of readers the model has not seen in training.
    #[serde(rename = "reader.unknown_share")]
    ReaderUnknownShare,
    /// Requests per active reader of the window.
    #[serde(rename = "reader.activity")]
    ReaderActivity,
    /// Score of the first book of the list.
    #[serde(rename = "list.top_score")]
    ListTopScore,
    /// Mean popularity percentile of the list.
    #[serde(rename = "list.popularity")]
    ListPopularity,
    /// Share of requests that were clicked.
    #[serde(rename = "outcome.click_rate")]
    OutcomeClickRate,
    /// Several numbers of a reader at once, told apart by a classifier; a second opinion, not a trigger by default.
    #[serde(rename = "reader.mix")]
    ReaderMix,
}

/// What kind of difference a feature shows, which decides its test and the unit of its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Shares of categories: chi-square, effect Jensen-Shannon distance.
    Categories,
    /// Share of readers that did: two proportions, effect the absolute difference.
    Share,
    /// A number per reader: Kolmogorov-Smirnov distance.
    Number,
    /// Several numbers at once: classifier, effect `2 AUC - 1`.
    Several,
}

impl Feature {
    /// Every feature, in the order of reports.
    pub const ALL: [Self; 9] = [
        Self::BasketBook,
        Self::BasketSubject,
        Self::BasketUnknownShare,
        Self::ReaderUnknownShare,
        Self::ReaderActivity,
        Self::ListTopScore,
        Self::ListPopularity,
        Self::OutcomeClickRate,
        Self::ReaderMix,
    ];

    /// The name in notices, metrics and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BasketBook => "basket.book",
            Self::BasketSubject => "basket.subject",
            Self::BasketUnknownShare => "basket.unknown_share",
            Self::ReaderUnknownShare => "reader.unknown_share",
            Self::ReaderActivity => "reader.activity",
            Self::ListTopScore => "list.top_score",
            Self::ListPopularity => "list.popularity",
            Self::OutcomeClickRate => "outcome.click_rate",
            Self::ReaderMix => "reader.mix",
        }
    }

    /// Its kind of difference.
    pub fn kind(self) -> Kind {
        match self {
            Self::BasketBook | Self::BasketSubject => Kind::Categories,
            Self::BasketUnknownShare | Self::ReaderUnknownShare | Self::OutcomeClickRate => Kind::Share,
            Self::ReaderActivity | Self::ListTopScore | Self::ListPopularity => Kind::Number,
            Self::ReaderMix => Kind::Several,
        }
    }

    /// Whether the training data can say what is normal. The rest is compared with the first windows after the
    /// watched version took over.
    pub fn is_known_from_training(self) -> bool {
        matches!(self, Self::BasketBook | Self::BasketSubject | Self::BasketUnknownShare)
    }
}

impl Kind {
    /// The effect's name in a sentence.
    pub fn effect_words(self) -> &'static str {
        match self {
            Self::Categories => "JS",
            Self::Share => "share",
            Self::Number => "KS",
            Self::Several => "2 AUC - 1",
        }
    }

    /// The smallest effect above noise worth acting on, unless a policy says otherwise.
    pub fn default_delta(self) -> f64 {
        match self {
            Self::Categories => 0.08,
            Self::Share => 0.02,
            Self::Number => 0.05,
            Self::Several => 0.10,
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_is_stored_under_its_public_name() {
        for feature in Feature::ALL {
            assert_eq!(serde_json::to_string(&feature).unwrap(), format!("{:?}", feature.as_str()));
        }
    }
}
