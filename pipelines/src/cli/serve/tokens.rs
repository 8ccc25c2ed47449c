//! Flags that have callers' tokens verified here, for places where no mesh does it, and where the keys come from.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ::models::store::choose_cryptography;
use ::serve::{Clock, Expected, KeySource, Refresh, Tokens};
use bytes::Bytes;
use clap::Args;
use futures::{FutureExt, future::BoxFuture};
use url::Url;

use crate::exit;

/// How long the issuer may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest set of keys that is read: a hundred times those of the large issuers.
const MAX_BYTES: usize = 1 << 20;

/// How callers' tokens are verified.
#[derive(Debug, Args)]
pub(super) struct Verified {
    /// Verify callers' bearer tokens with the keys of this JSON Web Key Set, a URL or a file, where no mesh does it. Every
    /// request must then come with the claim tenant in its token; x-jwt-payload is nobody's word.
    ///
    /// RS256, ES256 and EdDSA. Fetched at the start, every 10 minutes, and at most once a minute for an unknown key.
    #[arg(
        long, env = "BOOKLOOP_JWKS", value_name = "URL|FILE", requires_all = ["jwt_issuer", "jwt_audience"],
        conflicts_with = "tenant_header"
    )]
    jwks: Option<String>,
    /// Who must have issued the tokens: their claim iss, exactly.
    #[arg(long, env = "BOOKLOOP_JWT_ISSUER", requires = "jwks")]
    jwt_issuer: Option<String>,
    /// For whom tokens must be issued: their claim aud names one of these.
    #[arg(long, env = "BOOKLOOP_JWT_AUDIENCE", value_delimiter = ',', requires = "jwks")]
    jwt_audience: Vec<String>,
}

impl Verified {
    /// What verifies tokens, with the keys fetched; `None` where nobody asks for it.
    pub(super) async fn open(self, clock: Clock) -> anyhow::Result<Option<Arc<Tokens>>> {
        let (Some(place), Some(issuer)) = (self.jwks, self.jwt_issuer) else { return Ok(None) };
        let is_url = place.starts_with("http://") || place.starts_with("https://");
        let source: Arc<dyn KeySource> =
            if is_url { Web::source(&place)? } else { Arc::new(File(place.clone().into())) };
        let expected = Expected { issuer, audiences: self.jwt_audience };
        let opened = Tokens::open(source, expected, Refresh::default(), clock).await;
        let code = if is_url { exit::UNAVAILABLE } else { exit::BAD_INPUT };
        opened.map(Some).map_err(|words| exit::coded(code, format!("--jwks {place}: {words}")))
    }
}

/// Keys in a file, which may be replaced.
#[derive(Debug)]
struct File(PathBuf);

impl KeySource for File {
    fn fetch(&self) -> BoxFuture<'_, Result<Bytes, String>> {
        tokio::fs::read(&self.0).map(|read| read.map(Bytes::from).map_err(|error| error.to_string())).boxed()
    }
}

/// Keys that an issuer publishes.
#[derive(Debug)]
struct Web {
    client: reqwest::Client,
    url: Url,
}

impl Web {
    fn source(url: &str) -> anyhow::Result<Arc<dyn KeySource>> {
        let unusable = |error: String| exit::coded(exit::USAGE, format!("--jwks {url}: {error}"));
        let parsed = Url::parse(url).map_err(|error| unusable(error.to_string()))?;
        choose_cryptography();
        // Keys are believed for where they come from: nobody else is asked.
        let client = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build();
        Ok(Arc::new(Self { client: client.map_err(|error| unusable(in_words(&error)))?, url: parsed }))
    }
}

impl KeySource for Web {
    fn fetch(&self) -> BoxFuture<'_, Result<Bytes, String>> {
        let failed = |error: reqwest::Error| in_words(&error);
        async move {
            let mut response = self.client.get(self.url.clone()).send().await.map_err(failed)?;
            if response.status() != 200 {
                return Err(format!("expected status 200, found {}", response.status()));
            }
            let mut set = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(failed)? {
                set.extend_from_slice(&chunk);
                if set.len() > MAX_BYTES {
                    return Err(format!("expected at most {MAX_BYTES} bytes, found more"));
                }
            }
            Ok(set.into())
        }
        .boxed()
    }
}

/// The error with its causes: alone it says little more than that a request failed.
fn in_words(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
