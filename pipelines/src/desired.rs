//! `models.yaml`: where aliases should point, as a person reviewed it. Every problem names file, line and field.

use std::collections::BTreeSet;

use models::registry::desired::{API_VERSION, Desired};

use crate::exit;

/// Reads a file of desired aliases and checks what can be checked without a registry; `file` is its name in messages.
pub fn parse(file: &str, text: &str) -> anyhow::Result<Desired> {
    let refused = |place: String, problem: String| exit::coded(exit::BAD_INPUT, format!("{file}{place}: {problem}"));
    let desired: Desired = serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().map(|at| format!(":{}:{}", at.line(), at.column())).unwrap_or_default();
        let words = error.without_snippet().to_string();
        let line = error.location().and_then(|at| text.lines().nth((at.line() as usize).saturating_sub(1)));
        let line = line.map(|line| format!(", in {:?}", line.trim())).unwrap_or_default();
        refused(place, format!("{words}{line}"))
    })?;
    if desired.api_version != API_VERSION {
        let problem = format!("expected {API_VERSION}, found {:?}", desired.api_version);
        return Err(refused(": apiVersion".into(), problem));
    }
    let mut seen = BTreeSet::new();
    for (number, line) in desired.models.iter().enumerate() {
        let field = |name: &str| format!(": models[{number}].{name}");
        let digest = line.digest.strip_prefix("sha256:").filter(|hex| models::digest::is_sha256(hex));
        if digest.is_none() {
            let problem = format!("expected sha256: and 64 lower-case hex digits, found {:?}", line.digest);
            return Err(refused(field("digest"), problem));
        }
        if line.reason.trim().is_empty() {
            return Err(refused(field("reason"), "expected a sentence, found nothing".into()));
        }
        if !seen.insert((&line.tenant, &line.name, &line.alias)) {
            let problem = format!("{}/{} {} is listed twice", line.tenant, line.name, line.alias);
            return Err(refused(field("alias"), problem));
        }
    }
    Ok(desired)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "\
apiVersion: bookloop/v1
models:
- tenant: acme-books
  name: recommender
  alias: production
  version: 12
  digest: sha256:0000000000000000000000000000000000000000000000000000000000000000
  expect: 11
  reason: weekly
  ticket: OPS-412
";

    #[test]
    fn a_sound_file_is_read() {
        let desired = parse("models.yaml", SOUND).unwrap();
        let line = &desired.models[0];
        assert_eq!((line.version.get(), line.expect.unwrap().get()), (12, 11));
        assert_eq!(line.ticket.as_deref(), Some("OPS-412"));
        let without = SOUND.replace("  expect: 11\n", "").replace("  ticket: OPS-412\n", "");
        assert_eq!(parse("models.yaml", &without).unwrap().models[0].expect, None);
        assert!(parse("models.yaml", "apiVersion: bookloop/v1\nmodels: []\n").unwrap().models.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_by_file_line_and_field() {
        for (from, to, says) in [
            ("bookloop/v1", "bookloop/v2", "models.yaml: apiVersion: expected bookloop/v1"),
            ("alias: production", "alias: v12", "models.yaml:5"),
            ("alias: production", "alias: v12", "alias"),
            ("tenant: acme-books", "tenant: Acme", "models.yaml:3"),
            ("version: 12", "version: 0", "models.yaml:6"),
            ("version: 12", "version: twelve", "version: twelve"),
            ("ticket:", "tickets:", "tickets"),
            ("  reason: weekly\n", "", "reason"),
            ("reason: weekly", "reason: ' '", "models[0].reason"),
            ("sha256:0", "sha256:g", "models[0].digest"),
            ("sha256:0", "md5:0", "models[0].digest"),
            ("models:", "models: {", "models.yaml:"),
        ] {
            let error = parse("models.yaml", &SOUND.replacen(from, to, 1)).unwrap_err();
            assert_eq!(exit::code(&error), exit::BAD_INPUT, "{error}");
            assert!(error.to_string().contains(says), "{to}: expected {says:?} in {error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
        let (head, line) = SOUND.split_at(SOUND.find("- tenant").unwrap());
        let twice = parse("models.yaml", &format!("{head}{line}{line}")).unwrap_err();
        assert!(twice.to_string().contains("models[1].alias: acme-books/recommender production is listed twice"));
    }
}
