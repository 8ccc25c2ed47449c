//! Columns of texts and of lists of texts: one run of UTF-8, and where each text begins in it.
//!
//! A million titles are two arrays this way, which a loaded model reads in place, instead of a million allocations.

use crate::{
    artifact::{Malformed, malformed},
    checks,
    shared::Shared,
};

/// A column of texts.
#[derive(Debug, Clone)]
pub(crate) struct Texts {
    /// Where each text begins in `text`, in bytes, and where the last ends; shape `(len + 1,)`.
    offsets: Shared<u64>,
    /// All of them, one after the other.
    text: Shared<u8>,
}

impl Texts {
    /// Wraps a column from a file; `part` names it in errors.
    pub fn new(part: &'static str, offsets: Shared<u64>, text: Shared<u8>) -> Result<Self, Malformed> {
        checks::offsets(part, offsets.len().saturating_sub(1), &offsets, text.len())?;
        let whole = std::str::from_utf8(&text).map_err(|error| malformed(part, "UTF-8", error))?;
        match offsets.iter().find(|offset| !whole.is_char_boundary(**offset as usize)) {
            Some(inside) => Err(malformed(part, "offsets between characters", inside)),
            None => Ok(Self { offsets, text }),
        }
    }

    pub fn collect<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Self {
        let mut text = Vec::new();
        let mut offsets = vec![0];
        for item in items {
            text.extend_from_slice(item.as_ref().as_bytes());
            offsets.push(text.len() as u64);
        }
        Self { offsets: offsets.into(), text: text.into() }
    }

    /// The two arrays as stored: offsets and text.
    pub fn parts(&self) -> (&[u64], &[u8]) {
        (&self.offsets, &self.text)
    }

    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The UTF-8 of one text; its order is the order of texts.
    pub fn bytes(&self, place: usize) -> &[u8] {
        &self.text[self.offsets[place] as usize..self.offsets[place + 1] as usize]
    }

    pub fn get(&self, place: usize) -> &str {
        std::str::from_utf8(self.bytes(place)).expect("the whole column and its offsets were checked")
    }
}

/// A column of lists of texts.
#[derive(Debug, Clone)]
pub(crate) struct Lists {
    /// Where each list begins in `items` and where the last ends; shape `(len + 1,)`.
    offsets: Shared<u64>,
    /// The texts of all lists.
    items: Texts,
}

impl Lists {
    /// Wraps a column from a file; `part` names it in errors.
    pub fn new(part: &'static str, offsets: Shared<u64>, items: Texts) -> Result<Self, Malformed> {
        checks::offsets(part, offsets.len().saturating_sub(1), &offsets, items.len())?;
        Ok(Self { offsets, items })
    }

    pub fn collect<'a>(lists: impl IntoIterator<Item = &'a [String]> + Clone) -> Self {
        let items = Texts::collect(lists.clone().into_iter().flatten());
        let ends = lists.into_iter().scan(0, |end, list| {
            *end += list.len() as u64;
            Some(*end)
        });
        Self { offsets: std::iter::once(0).chain(ends).collect::<Vec<u64>>().into(), items }
    }

    /// As stored: where the lists begin, and their texts.
    pub fn parts(&self) -> (&[u64], &Texts) {
        (&self.offsets, &self.items)
    }

    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub fn get(&self, place: usize) -> impl ExactSizeIterator<Item = &str> + Clone {
        (self.offsets[place] as usize..self.offsets[place + 1] as usize).map(|item| self.items.get(item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(offsets: &[u64], text: &str) -> Result<Texts, Malformed> {
        Texts::new("titles", offsets.to_vec().into(), text.as_bytes().to_vec().into())
    }

    #[test]
    fn what_was_collected_is_found_in_its_place() {
        let texts = Texts::collect(["ö", "", "emma"]);
        assert_eq!((texts.len(), texts.get(0), texts.get(1), texts.get(2)), (3, "ö", "", "emma"));
        let lists = [vec![], vec!["a".to_owned(), "b".into()], vec!["c".into()]];
        let lists = Lists::collect(lists.iter().map(Vec::as_slice));
        let all: Vec<Vec<&str>> = (0..lists.len()).map(|place| lists.get(place).collect()).collect();
        assert_eq!(all, [vec![], vec!["a", "b"], vec!["c"]]);
    }

    #[test]
    fn columns_that_do_not_fit_together_are_refused() {
        assert_eq!(column(&[0, 2, 3], "öa").unwrap().get(1), "a");
        assert_eq!(column(&[0, 1, 3], "öa").unwrap_err().expected, "offsets between characters");
        for wrong in [&[][..], &[0, 2], &[1, 3], &[0, 3, 2, 3], &[0, 4]] {
            assert_eq!(column(wrong, "öa").unwrap_err().part, "titles", "{wrong:?}");
        }
        let not_utf8 = Texts::new("titles", vec![0, 1].into(), vec![0xff].into()).unwrap_err();
        assert_eq!(not_utf8.expected, "UTF-8");
        assert!(Lists::new("authors", vec![0, 2].into(), Texts::collect(["a"])).is_err());
    }
}
