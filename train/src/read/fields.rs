//! What a value of each column must look like.

use std::{borrow::Cow, str::FromStr};

use jiff::Timestamp;
use models::InvalidName;

use super::{Cell, quarantine::Fault};

/// Below this a whole number of a timestamp is seconds (until the year 5138), from it on milliseconds (since 1973).
const SECONDS_BELOW: i64 = 100_000_000_000;

impl Cell<'_> {
    /// As it is shown to people.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Missing => "nothing".to_owned(),
            Self::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::List(texts) => format!("{texts:?}"),
            Self::Flag(flag) => flag.to_string(),
            Self::Other(text) => text.clone(),
        }
    }

    /// The text without surrounding blanks; `None` when missing or empty.
    fn text(&self, field: &'static str) -> Result<Option<&str>, Fault> {
        match self {
            Self::Missing => Ok(None),
            Self::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
                Err(_) => Err(Fault::new(field, "UTF-8 text", &self.shown())),
            },
            Self::List(_) | Self::Flag(_) | Self::Other(_) => Err(Fault::new(field, "text", &self.shown())),
        }
    }

    /// An identifier; required.
    pub(super) fn id<Id: FromStr<Err = InvalidName>>(&self, field: &'static str) -> Result<Id, Fault> {
        let text = self.text(field)?.ok_or_else(|| Fault::new(field, "an identifier", "nothing"))?;
        text.parse().map_err(|refused: InvalidName| Fault::new(field, refused.expected, &refused.found))
    }

    /// Optional text.
    pub(super) fn optional_text(&self, field: &'static str) -> Result<Option<String>, Fault> {
        Ok(self.text(field)?.map(str::to_owned))
    }

    /// An optional number that satisfies `accept`.
    pub(super) fn number<N: FromStr + Copy>(
        &self,
        field: &'static str,
        expected: &str,
        accept: impl Fn(N) -> bool,
    ) -> Result<Option<N>, Fault> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        match text.parse::<N>() {
            Ok(number) if accept(number) => Ok(Some(number)),
            _ => Err(Fault::new(field, expected, text)),
        }
    }

    /// A time in unix seconds, unix milliseconds or RFC 3339, as milliseconds; required.
    pub(super) fn timestamp(&self, field: &'static str) -> Result<i64, Fault> {
        let expected = "unix seconds, unix milliseconds or an RFC 3339 time";
        let fault = |found: &str| Fault::new(field, expected, found);
        let text = self.text(field)?.ok_or_else(|| fault("nothing"))?;
        if let Ok(whole) = text.parse::<i64>() {
            return Ok(if whole.unsigned_abs() < SECONDS_BELOW.unsigned_abs() { whole * 1000 } else { whole });
        }
        if let Ok(number) = text.parse::<f64>() {
            let seconds = number.abs() < SECONDS_BELOW as f64;
            return if number.is_finite() && number.abs() < 9e18 {
                Ok((if seconds { number * 1000.0 } else { number }).round() as i64)
            } else {
                Err(fault(text))
            };
        }
        text.parse::<Timestamp>().map(Timestamp::as_millisecond).map_err(|_| fault(text))
    }

    /// A rank in time; required.
    pub(super) fn rank(&self, field: &'static str) -> Result<i64, Fault> {
        self.number(field, "a whole number", |_: i64| true)?
            .ok_or_else(|| Fault::new(field, "a whole number", "nothing"))
    }

    /// True or false; `None` when missing.
    pub(super) fn flag(&self, field: &'static str) -> Result<Option<bool>, Fault> {
        if let Self::Flag(flag) = self {
            return Ok(Some(*flag));
        }
        match self.text(field)?.map(str::to_ascii_lowercase).as_deref() {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(Fault::new(field, "true, false, 1 or 0", other)),
        }
    }

    /// A list: as such, or text divided at any of `separators`; empty when missing.
    pub(super) fn list(&self, field: &'static str, separators: &[&str]) -> Result<Vec<String>, Fault> {
        if let Self::List(texts) = self {
            return Ok(texts.clone());
        }
        let mut parts = vec![Cow::Borrowed(self.text(field)?.unwrap_or_default())];
        for separator in separators {
            parts =
                parts.iter().flat_map(|part| part.split(separator)).map(|part| Cow::Owned(part.to_owned())).collect();
        }
        Ok(parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(text: &str) -> Cell<'_> {
        Cell::Text(Cow::Borrowed(text.as_bytes()))
    }

    #[test]
    fn seconds_milliseconds_and_calendar_times_are_told_apart() {
        for same in ["1593536687", "1593536687000", "1593536687.0", " 1593536687 ", "2020-06-30T17:04:47Z"] {
            assert_eq!(cell(same).timestamp("timestamp"), Ok(1_593_536_687_000), "{same}");
        }
        assert_eq!(cell("-86400").timestamp("timestamp"), Ok(-86_400_000));
        for bad in ["yesterday", "", "NaN", "inf", "1e300", "2020-06-30"] {
            assert!(cell(bad).timestamp("timestamp").is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_are_divided_at_their_separators() {
        let authors = cell("J.K. Rowling, Mary GrandPré|Someone;Else");
        let want = ["J.K. Rowling", "Mary GrandPré", "Someone", "Else"];
        assert_eq!(authors.list("authors", &[", ", ";", "|"]).unwrap(), want);
        assert_eq!(Cell::Missing.list("authors", &["|"]).unwrap(), [""; 0]);
    }

    #[test]
    fn an_id_is_text_and_nothing_else() {
        assert_eq!(cell(" 007 ").id::<models::BookId>("item_id").unwrap().as_str(), "007");
        for bad in
            [Cell::Missing, cell(""), cell("a\u{7}b"), Cell::Flag(true), Cell::Text(Cow::Borrowed(&[0xff, 0xfe]))]
        {
            assert!(bad.id::<models::BookId>("item_id").is_err(), "{bad:?}");
        }
    }
}
