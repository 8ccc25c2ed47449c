//! Whose request it is: what the mesh says of its caller, and nothing else unless the operator said so.
//!
//! One header, once. The tenant is never taken from a body, a path or a second header of the same name.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use models::TenantName;

use crate::{
    config::{Callers, Options, SHARED},
    error::Refusal,
    wire::claims,
};

/// The claims of a caller whom the mesh knows.
pub(crate) const CLAIMS: HeaderName = HeaderName::from_static("x-jwt-payload");

impl Options {
    /// The name of the tenant a request is for, as far as its caller may say so. Whether it is served is another
    /// question.
    pub(super) fn asked_for<'a>(&'a self, headers: &'a HeaderMap) -> Result<Cow<'a, str>, Refusal> {
        let own = self.tenant.as_str();
        match &self.callers {
            Callers::Anyone if own == SHARED => Ok(own.into()),
            Callers::Anyone => match claim(headers)? {
                Some(claimed) if claimed.as_str() != own => Err(Refusal::UnknownTenant),
                _ => Ok(own.into()),
            },
            Callers::Claim => match claim(headers)? {
                Some(claimed) => Ok(String::from(claimed).into()),
                None if self.tokens.is_some() => {
                    let words = "authorization: expected a bearer token with the claim tenant, found none";
                    Err(Refusal::NoTenant(words.into()))
                }
                None => Err(Refusal::NoTenant(format!("{CLAIMS}: expected the claim tenant, found none"))),
            },
            Callers::Header(_) if headers.contains_key(CLAIMS) => {
                Err(Refusal::NoTenant(format!("{CLAIMS}: expected none, since no mesh sets it here")))
            }
            Callers::Header(name) => {
                let text = once(headers, name)?.and_then(|value| std::str::from_utf8(value).ok());
                let none = || Refusal::NoTenant(format!("{name}: expected the tenant, found none"));
                text.map(Cow::Borrowed).ok_or_else(none)
            }
        }
    }
}

/// The tenant that the mesh names, if it names one.
fn claim(headers: &HeaderMap) -> Result<Option<TenantName>, Refusal> {
    once(headers, &CLAIMS)?.map_or(Ok(None), claims::decode)
}

/// A header that may not come twice: of two, one would be somebody else's word.
pub(crate) fn once<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h [u8]>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Refusal::NoTenant(format!("{name}: expected once, found more than once")));
    }
    Ok(first.map(HeaderValue::as_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"tenant":"acme-books"}` and `{"tenant":"other-books"}`, and an object without a tenant.
    const ACME: &str = "eyJ0ZW5hbnQiOiJhY21lLWJvb2tzIn0";
    const OTHER: &str = "eyJ0ZW5hbnQiOiJvdGhlci1ib29rcyJ9";
    const NOBODY: &str = "e30";

    /// Who is asked for: the tenant, or the first word of the refusal's kind.
    fn told(callers: &Callers, own: &str, headers: &[(&'static str, &str)]) -> String {
        let mut options = Options::new(own.parse().unwrap(), "recommender".parse().unwrap());
        options.callers = callers.clone();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        options.asked_for(&map).map_or_else(|refusal| refusal.kind().1.to_owned(), Cow::into_owned)
    }

    #[test]
    fn one_tenant_is_everyones_unless_a_claim_names_another() {
        let own = |headers: &[(&'static str, &str)]| told(&Callers::Anyone, "acme-books", headers);
        for headers in
            [&[][..], &[("x-jwt-payload", ACME)], &[("x-jwt-payload", NOBODY)], &[("x-tenant", "other-books")]]
        {
            assert_eq!(own(headers), "acme-books", "{headers:?}");
        }
        assert_eq!(own(&[("x-jwt-payload", OTHER)]), "unknown-tenant");
        assert_eq!(own(&[("x-jwt-payload", "!")]), "no-tenant");
        for claim in [ACME, OTHER, "!"] {
            assert_eq!(told(&Callers::Anyone, SHARED, &[("x-jwt-payload", claim)]), SHARED);
        }
    }

    #[test]
    fn where_the_mesh_decides_nothing_else_does() {
        let claimed = |headers: &[(&'static str, &str)]| told(&Callers::Claim, "acme-books", headers);
        assert_eq!(claimed(&[("x-jwt-payload", OTHER), ("x-tenant", "acme-books")]), "other-books");
        for headers in [
            &[][..],
            &[("x-tenant", "acme-books")],
            &[("x-jwt-payload", NOBODY)],
            &[("x-jwt-payload", "")],
            &[("x-jwt-payload", ACME), ("x-jwt-payload", OTHER)],
            &[("x-jwt-payload", ACME), ("x-jwt-payload", ACME)],
        ] {
            assert_eq!(claimed(headers), "no-tenant", "{headers:?}");
        }
    }

    #[test]
    fn a_header_is_believed_only_where_no_claim_can_be() {
        let by_header = Callers::Header(HeaderName::from_static("x-tenant"));
        let named = |headers: &[(&'static str, &str)]| told(&by_header, "acme-books", headers);
        assert_eq!(named(&[("x-tenant", "other-books")]), "other-books");
        for headers in [
            &[][..],
            &[("x-tenant", "acme-books"), ("x-jwt-payload", ACME)],
            &[("x-tenant", "acme-books"), ("x-tenant", "other-books")],
        ] {
            assert_eq!(named(headers), "no-tenant", "{headers:?}");
        }
    }
}
