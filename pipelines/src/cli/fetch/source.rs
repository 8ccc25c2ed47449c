//! What is fetched, as a URL names it.

use std::str::FromStr;

use ::models::{Alias, InvalidName, ModelName, TenantName, Version, registry::State};

use crate::exit;

/// A model's version in a tenant's registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) tenant: TenantName,
    pub(super) model: ModelName,
    which: Which,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    Alias(Alias),
    Version(Version),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected bookloop://TENANT/MODEL@ALIAS or @VERSION, found {text:?}");
        let (tenant, rest) =
            text.strip_prefix("bookloop://").and_then(|rest| rest.split_once('/')).ok_or_else(expected)?;
        let (model, which) = rest.split_once('@').ok_or_else(expected)?;
        let wrong = |error: InvalidName| format!("{text:?}: {error}");
        // No alias reads as a version.
        let which = match which.parse() {
            Ok(version) => Which::Version(version),
            Err(_) => Which::Alias(which.parse().map_err(wrong)?),
        };
        Ok(Self { tenant: tenant.parse().map_err(wrong)?, model: model.parse().map_err(wrong)?, which })
    }
}

impl Source {
    /// The version meant, as the registry stands.
    pub(super) fn version(&self, state: &State) -> anyhow::Result<Version> {
        let Self { tenant, model, which } = self;
        match which {
            Which::Version(version) => Ok(*version),
            Which::Alias(alias) => state.model(model)?.aliases.get(alias).copied().ok_or_else(|| {
                exit::coded(exit::BAD_INPUT, format!("alias {alias} of {tenant}/{model} points at no version"))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_names_tenant_model_and_version() {
        let source = |text: &str| text.parse::<Source>();
        let named = source("bookloop://acme-books/recommender@production").unwrap();
        assert_eq!((named.tenant.as_str(), named.model.as_str()), ("acme-books", "recommender"));
        assert_eq!(named.which, Which::Alias(Alias::production()));
        let numbered = source("bookloop://acme-books/recommender@7").unwrap();
        assert_eq!(numbered.which, Which::Version(7.try_into().unwrap()));
        for (bad, words) in [
            ("s3://acme-books/recommender@7", "expected bookloop://"),
            ("bookloop://acme-books/recommender", "expected bookloop://"),
            ("bookloop://acme-books@7", "expected bookloop://"),
            ("bookloop://../recommender@7", "tenant"),
            ("bookloop://acme-books/a/b@7", "model"),
            ("bookloop://acme-books/recommender@0", "alias"),
            ("bookloop://acme-books/recommender@v7", "alias"),
            ("bookloop://acme-books/recommender@latest", "alias"),
        ] {
            let error = source(bad).unwrap_err();
            assert!(error.contains(words), "{bad}: {error}");
        }
    }
}
