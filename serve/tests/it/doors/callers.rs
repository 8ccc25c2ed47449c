//! Who a caller is: claims that a mesh has verified, and tokens that are verified here. Whoever is answered as a tenant was
//! called so, read by another reader than ours.

use std::{sync::Arc, time::Duration};

use axum::http::HeaderValue;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use serde_json::Value;
use serve::{Callers, Expected, KeySource, Options, Refresh, Tokens};

use super::{STREET, Sent, V1};
use crate::{
    issuer::Issuer,
    world::{Shop, noon, options},
};

const CLAIMS: &str = "x-jwt-payload";
const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "storefront";
/// As far as a clock may be off, seconds.
const LEEWAY: f64 = 30.0;
const ANN: &str = r#"{"instances":[{"user_id":"ann","k":1}]}"#;

/// Options whose own patience does not end, however slowly a case is run; answers keep what their events said.
pub(super) fn patient() -> Options {
    let mut options = options();
    options.limits.deadline = Duration::from_hours(1);
    options.cloud_events.merge = true;
    options
}

#[derive(Debug)]
struct Published(Bytes);

impl KeySource for Published {
    fn fetch(&self) -> BoxFuture<'_, Result<Bytes, String>> {
        let keys = self.0.clone();
        async { Ok(keys) }.boxed()
    }
}

/// A shop that believes claims, and one that believes tokens of the issuer.
pub(super) async fn shops(issuer: &Issuer, shop: impl Fn(Options) -> Shop) -> (Shop, Shop) {
    let keys = Arc::new(Published(issuer.keys().to_string().into()));
    let expected = Expected { issuer: ISSUER.into(), audiences: vec![AUDIENCE.into()] };
    // Unknown keys are not looked for again: there are no others.
    let refresh = Refresh { unknown: Duration::from_hours(1), ..Refresh::default() };
    let tokens = Tokens::open(keys, expected, refresh, options().clock).await.unwrap();
    let claiming = Options { callers: Callers::Claim, ..patient() };
    (shop(claiming.clone()), shop(Options { tokens: Some(tokens), ..claiming }))
}

/// The status that ann's books are answered with for the bearer of a header.
fn status(header: &'static str, value: &[u8]) -> Option<u16> {
    let mut sent = Sent::post(V1, ANN);
    sent.headers.insert(header, HeaderValue::from_bytes(value).ok()?);
    STREET.with(|street| {
        let shop = if header == CLAIMS { &street.claiming } else { &street.verifying };
        Some(street.ask(shop, &sent).status)
    })
}

/// `x-jwt-payload`: JSON that is encoded here, or whatever else the header says.
pub fn claims(case: &[u8]) -> bool {
    if !case.starts_with(b"{") {
        return status(CLAIMS, case) == Some(200);
    }
    if status(CLAIMS, STANDARD.encode(case).as_bytes()) != Some(200) {
        return false;
    }
    let Ok(claims) = serde_json::from_slice::<Value>(case) else { return false };
    assert_eq!(claims["tenant"], "acme-books", "{claims}");
    let again = URL_SAFE_NO_PAD.encode(claims.to_string());
    assert_eq!(status(CLAIMS, again.as_bytes()), Some(200), "{claims}");
    true
}

/// `authorization`: header and claims of a token, one a line, which is signed here; or whatever else is sent as one.
pub fn tokens(case: &[u8]) -> bool {
    if !case.starts_with(b"{") {
        assert_ne!(status("authorization", case), Some(200), "nobody could sign {case:?}");
        return false;
    }
    let Some(end) = case.iter().position(|byte| *byte == b'\n') else { return false };
    let (header, claims) = (&case[..end], &case[end + 1..]);
    let token = STREET.with(|street| street.issuer.sealed("EdDSA", header, claims));
    if status("authorization", format!("Bearer {token}").as_bytes()) != Some(200) {
        return false;
    }
    let forged = STREET.with(|street| street.issuer.sealed("none", header, claims));
    assert_eq!(status("authorization", format!("Bearer {forged}").as_bytes()), Some(401), "unsigned");
    let (Ok(header), Ok(claims)) = (serde_json::from_slice::<Value>(header), serde_json::from_slice::<Value>(claims))
    else {
        return false;
    };
    let now = noon().as_second() as f64;
    let audience = &claims["aud"];
    let is_for_us = audience == AUDIENCE || audience.as_array().is_some_and(|all| all.contains(&AUDIENCE.into()));
    assert!(header["alg"] == "EdDSA" && header.get("crit").is_none_or(Value::is_null), "{header}");
    assert!(claims["tenant"] == "acme-books" && claims["iss"] == ISSUER && is_for_us, "{claims}");
    assert!(claims["exp"].as_f64().unwrap() > now - LEEWAY, "{claims}");
    assert!(claims["nbf"].as_f64().is_none_or(|from| from <= now + LEEWAY), "{claims}");
    true
}
