//! Request bodies: bytes counted while they arrive, never more than the limit in memory, packed or unpacked.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, header},
};
use http_body_util::BodyExt;

use super::compress::Coding;
use crate::{config::Limits, error::Refusal};

/// After a refused body, how much more is read and thrown away, so that a client which is still sending gets to read
/// the refusal instead of a reset connection.
const LINGER_BYTES: usize = 16 * 1024 * 1024;
/// And for how long.
const LINGER: Duration = Duration::from_secs(1);

/// The whole body, unpacked, if it is short enough and arrives in time. Any content type, or none.
pub(crate) async fn read(request: Request, limits: &Limits) -> Result<Bytes, Refusal> {
    let (head, body) = request.into_parts();
    let coding = Coding::of_body(&head.headers)?;
    let bytes = receive(&head.headers, body, limits).await?;
    match coding {
        None => Ok(bytes),
        Some(coding) => coding.unpack(&bytes, limits.body_bytes),
    }
}

/// The whole body as it was sent.
pub(crate) async fn receive(headers: &HeaderMap, mut body: Body, limits: &Limits) -> Result<Bytes, Refusal> {
    let limit = limits.body_bytes;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let declared = length.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    if declared > limit as u64 {
        tokio::spawn(linger(body));
        return Err(Refusal::TooLarge { limit });
    }
    let whole = async {
        let mut bytes = Vec::with_capacity(declared as usize);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Refusal::bad("the request body broke off"))?;
            if let Ok(data) = frame.into_data() {
                if bytes.len() + data.len() > limit {
                    return Err(Refusal::TooLarge { limit });
                }
                bytes.extend_from_slice(&data);
            }
        }
        Ok(Bytes::from(bytes))
    };
    let read = tokio::time::timeout(limits.body_read, whole).await;
    match read.unwrap_or(Err(Refusal::SlowBody { seconds: limits.body_read.as_secs() })) {
        Err(refusal @ Refusal::TooLarge { .. }) => {
            tokio::spawn(linger(body));
            Err(refusal)
        }
        read => read,
    }
}

async fn linger(mut body: Body) {
    let mut left = LINGER_BYTES;
    let discard = async {
        // The refusal goes out first: while nobody reads, the client cannot send.
        tokio::time::sleep(LINGER / 20).await;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    // Whether the rest came or time ran out, the connection is closed next.
    let _either = tokio::time::timeout(LINGER, discard).await;
}
