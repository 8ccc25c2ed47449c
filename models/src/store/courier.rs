//! How requests travel to a cloud store: how long each may take, and which answers are final.
//!
//! The library knows one limit for every request and forgets most of what a service says. Here an upload gets time by
//! its size, and an answer that no repetition can cure becomes an error that says so, whichever cloud it came from.

use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
    },
};

/// Longest silence from the store: until the first byte of an answer, then between two reads of it.
///
/// Ten times the slowest answers of the large stores; a predictor that waits longer is better served by its old model.
pub(super) const SILENCE: Duration = Duration::from_secs(20);
/// Uploads up to this size fit into [`SILENCE`] on any line worth having.
const BULKY_ABOVE: u64 = 1 << 20;
/// The slowest upload that is still worth waiting for, bytes a second: a gibibyte in 17 minutes.
const SLOWEST_UPLOAD: u64 = 1 << 20;

/// The library's own client, twice: one watches for silence, one is given time by the size of what it sends.
#[derive(Debug, Default)]
pub(super) struct Courier(ReqwestConnector);

impl HttpConnector for Courier {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let bulky = options.clone().with_timeout_disabled().with_read_timeout_disabled();
        Ok(HttpClient::new(Clients { quick: self.0.connect(options)?, bulky: self.0.connect(&bulky)? }))
    }
}

#[derive(Debug)]
struct Clients {
    quick: HttpClient,
    bulky: HttpClient,
}

/// Time for a request that sends `bytes`, answer included.
fn allowance(bytes: u64) -> Duration {
    SILENCE + Duration::from_secs(bytes / SLOWEST_UPLOAD)
}

#[async_trait]
impl HttpService for Clients {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let bytes = request.body().content_length() as u64;
        let response = if bytes <= BULKY_ABOVE {
            self.quick.execute(request).await?
        } else {
            tokio::time::timeout(allowance(bytes), self.bulky.execute(request))
                .await
                .map_err(|late| HttpError::new(HttpErrorKind::Timeout, late))??
        };
        judge(response).await
    }
}

/// The service understood and will answer the same next time.
#[derive(Debug, thiserror::Error)]
#[error("{status} {code}: {message}")]
pub(super) struct Refusal {
    status: u16,
    /// The service's own word for it, such as `AccessDenied`; `-` if it gave none.
    code: String,
    message: String,
}

/// No container of that name: a missing bucket must not pass for a missing object.
const NO_CONTAINER: [&str; 2] = ["NoSuchBucket", "ContainerNotFound"];
/// Malformed as the service received it, not as it was sent: damage or delay on the way.
const DAMAGED: [&str; 6] = [
    "RequestTimeout",
    "IncompleteBody",
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
    "Md5Mismatch",
];
/// Bytes of a refusal that has no structure which are worth showing.
const SHOWN: usize = 200;

/// Passes on what the library should judge: success, "no such object", conflicts, throttling, failures.
async fn judge(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let status = response.status().as_u16();
    let suspect = match status {
        408 | 409 | 412 | 416 | 429 => false,
        // 501 is the answer of look-alikes that know no conditional put; the library would repeat it as a failure.
        400..=499 | 501 => true,
        // Another region's bucket: there is nowhere to follow to.
        300..=399 => status != 304 && !response.headers().contains_key("location"),
        _ => false,
    };
    if !suspect {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let collected = body.bytes_stream().try_fold(Vec::new(), |mut all, chunk| async move {
        all.extend_from_slice(&chunk);
        Ok(all)
    });
    let body = collected.await?;
    let text = String::from_utf8_lossy(&body);
    let header = parts.headers.get("x-ms-error-code").and_then(|code| code.to_str().ok());
    let code = header.or_else(|| element(&text, "Code")).unwrap_or("-").to_owned();
    let passes = match status {
        404 => !NO_CONTAINER.contains(&code.as_str()),
        400 => DAMAGED.contains(&code.as_str()),
        _ => false,
    };
    if passes {
        return Ok(HttpResponse::from_parts(parts, body.into()));
    }
    let message = element(&text, "Message").map_or_else(|| text.chars().take(SHOWN).collect(), str::to_owned);
    Err(HttpError::new(HttpErrorKind::Unknown, Refusal { status, code, message }))
}

/// The text of the first XML element called `name`: all three clouds describe errors with `Code` and `Message`.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_given_time_by_its_size() {
        assert_eq!(allowance(0), Duration::from_secs(20));
        assert_eq!(allowance(100 << 20), SILENCE + Duration::from_secs(100));
    }

    #[test]
    fn the_code_and_message_of_a_refusal_are_read_from_its_xml() {
        let xml = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        assert_eq!((element(xml, "Code"), element(xml, "Message")), (Some("AccessDenied"), Some("Access Denied")));
        assert_eq!((element("", "Code"), element("<Code>x", "Code")), (None, None));
    }
}
