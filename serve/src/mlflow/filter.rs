//! The filters that registry clients send: conditions on the name, joined by `AND`.

use super::error::Error;

/// The tag by which MLflow keeps prompts among its registered models. Clients exclude it in every search of models.
const PROMPT: &str = "mlflow.prompt.is_prompt";

/// What a name must fulfil.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter(Vec<Condition>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Equal(String),
    /// `%` is any text, `_` any one character.
    Like(Vec<char>),
    /// The same, whatever the case; the pattern is in lower case.
    LikeAnyCase(Vec<char>),
    /// Models, which all are, or prompts, which none is.
    Constant(bool),
}

impl Filter {
    /// Reads a filter; the empty one lets everything pass.
    ///
    /// Anything but the supported conditions is refused with a sentence that names them.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let mut conditions = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (key, after) = key(rest);
            let (operator, after) = operator(after.trim_start());
            let (value, after) = quoted(after.trim_start()).ok_or_else(|| unsupported(text))?;
            conditions.push(condition(&key, &operator, value).ok_or_else(|| unsupported(text))?);
            rest = after.trim_start();
            if rest.is_empty() {
                break;
            }
            let (word, after) = operator_word(rest);
            rest = after.trim_start();
            // A trailing AND promises a condition that does not come.
            if word != "AND" || rest.is_empty() {
                return Err(unsupported(text));
            }
        }
        Ok(Self(conditions))
    }

    /// Whether a name fulfils every condition.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.0.iter().all(|condition| match condition {
            Condition::Equal(wanted) => wanted == name,
            Condition::Like(pattern) => like(pattern, &name.chars().collect::<Vec<_>>()),
            Condition::LikeAnyCase(pattern) => like(pattern, &name.to_lowercase().chars().collect::<Vec<_>>()),
            Condition::Constant(holds) => *holds,
        })
    }
}

fn unsupported(found: &str) -> Error {
    let supported = "conditions name = '...', name LIKE '...' or name ILIKE '...' joined by AND";
    Error::parameter("filter", supported, found)
}

/// The condition, if it is supported.
fn condition(key: &str, operator: &str, value: &str) -> Option<Condition> {
    let prompt = key.strip_prefix("tags.").or_else(|| key.strip_prefix("tag.")) == Some(PROMPT);
    match (key, operator) {
        ("name", "=") => Some(Condition::Equal(value.into())),
        ("name", "LIKE") => Some(Condition::Like(value.chars().collect())),
        ("name", "ILIKE") => Some(Condition::LikeAnyCase(value.to_lowercase().chars().collect())),
        // No model here has the tag, which MLflow reads as `false`.
        (_, "=" | "!=") if prompt => {
            Some(Condition::Constant(matches!((operator, value), ("=", "false") | ("!=", "true"))))
        }
        _ => None,
    }
}

/// A key, without the backticks that clients put around the names of tags.
fn key(text: &str) -> (String, &str) {
    let mut ticked = false;
    let end = text.find(|c: char| {
        ticked ^= c == '`';
        !ticked && (c.is_whitespace() || c == '=' || c == '!')
    });
    let (key, rest) = text.split_at(end.unwrap_or(text.len()));
    (key.replace('`', ""), rest)
}

/// A comparison in upper case: a sign or a word.
fn operator(text: &str) -> (String, &str) {
    match ["!=", "="].into_iter().find(|sign| text.starts_with(sign)) {
        Some(sign) => (sign.into(), &text[sign.len()..]),
        None => operator_word(text),
    }
}

fn operator_word(text: &str) -> (String, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word.to_ascii_uppercase(), rest)
}

/// Text in single or double quotes.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

/// Whether the whole text fits the pattern. Takes at most the product of both lengths in steps.
fn like(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on if the text after the last `%` does not fit: one character further.
    let mut retry = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'%') {
            p += 1;
            retry = Some((p, t));
        } else if pattern.get(p).is_some_and(|c| *c == '_' || *c == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((from_p, from_t)) = retry {
            p = from_p;
            t = from_t + 1;
            retry = Some((p, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filter: &str, passes: &[&str]) {
        let shelf = ["acme-books.recommender", "acme-books.similar", "shared.recommender"];
        let filter = Filter::parse(filter).unwrap();
        let found: Vec<&str> = shelf.into_iter().filter(|name| filter.matches(name)).collect();
        assert_eq!(found, passes);
    }

    #[test]
    fn names_are_compared_as_clients_ask() {
        check("", &["acme-books.recommender", "acme-books.similar", "shared.recommender"]);
        check("name='shared.recommender'", &["shared.recommender"]);
        check("name = \"shared.recommender\" ", &["shared.recommender"]);
        check("name LIKE 'acme-books.%'", &["acme-books.recommender", "acme-books.similar"]);
        check("name like '%.recommender'", &["acme-books.recommender", "shared.recommender"]);
        check("name LIKE 'shared_recommender'", &["shared.recommender"]);
        check("name LIKE '%Similar%'", &[]);
        check("name ILIKE '%Similar%'", &["acme-books.similar"]);
        check("name LIKE 'a%' AND name LIKE '%r'", &["acme-books.recommender", "acme-books.similar"]);
        check("name LIKE 'a%'and name='shared.recommender'", &[]);
    }

    #[test]
    fn there_are_models_and_no_prompts() {
        check("name LIKE 's%' AND tag.`mlflow.prompt.is_prompt` != 'true'", &["shared.recommender"]);
        check("tags.`mlflow.prompt.is_prompt` = 'false' AND name LIKE 's%'", &["shared.recommender"]);
        check("tag.`mlflow.prompt.is_prompt` = 'true'", &[]);
    }

    #[test]
    fn what_is_not_supported_is_refused_not_left_out() {
        for filter in [
            "name",
            "name =",
            "name = x",
            "name = 'x",
            "name = 'x' AND",
            "name = 'x' OR name = 'y'",
            "name != 'x'",
            "name IN ('x')",
            "run_id = 'x'",
            "tags.owner = 'ana'",
            "AND",
            "name = 'x' 'y'",
        ] {
            let error = Filter::parse(filter).unwrap_err().to_string();
            let want = "parameter filter: expected conditions name = '...', name LIKE '...' or name ILIKE '...' \
                        joined by AND, found";
            assert!(error.starts_with(want), "{filter}: {error}");
        }
    }

    #[test]
    fn a_pattern_fits_the_whole_text() {
        let fits =
            |pattern: &str, text: &str| like(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
        for (pattern, text) in [("", ""), ("%", ""), ("%%", "ab"), ("a%c", "abcabc"), ("%b_", "abbc"), ("_é", "né")] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("_", ""), ("a%c", "abcab"), ("%b_", "ab"), ("a", "A")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }
}
