//! Compressed bodies: taken in when a client sends one, given out only when it asked.
//!
//! `deflate` is zlib's format, as HTTP says. What a body unpacks to is bounded like any body.

use std::io::{Read, Write};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use flate2::{Compression, bufread, write};

use crate::error::{Refusal, cut};

/// Shorter answers fit one packet either way.
const WORTH_BYTES: usize = 1024;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
}

impl Coding {
    /// How a request's body is packed, if it is.
    pub(super) fn of_body(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(None) };
        let found = String::from_utf8_lossy(value.as_bytes());
        match found.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(None),
            "gzip" | "x-gzip" => Ok(Some(Self::Gzip)),
            "deflate" => Ok(Some(Self::Deflate)),
            _ => Err(Refusal::Coding { found: cut(&found) }),
        }
    }

    /// What a client takes best; of two it likes equally, gzip.
    pub(super) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let offers = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let mut best = None;
        for offer in offers.flat_map(|value| value.split(',')) {
            let (name, rest) = offer.split_once(';').unwrap_or((offer, ""));
            let coding = match name.trim().to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => Self::Gzip,
                "deflate" => Self::Deflate,
                _ => continue,
            };
            let liking = rest.trim().strip_prefix("q=").map_or(1.0, |q| q.trim().parse::<f32>().unwrap_or(0.0));
            // Three decimals are all that HTTP allows.
            let weight = (liking * 1000.0) as u32;
            let better = |(than, held): (u32, Self)| weight > than || (weight == than && held == Self::Deflate);
            if weight > 0 && best.is_none_or(better) {
                best = Some((weight, coding));
            }
        }
        best.map(|(_, coding)| coding)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// A body unpacked, never to more than `limit` bytes.
    pub(super) fn unpack(self, packed: &[u8], limit: usize) -> Result<Bytes, Refusal> {
        let mut plain = Vec::new();
        let most = limit as u64 + 1;
        let (read, behind) = match self {
            Self::Gzip => {
                let mut reader = bufread::GzDecoder::new(packed);
                (reader.by_ref().take(most).read_to_end(&mut plain), reader.into_inner())
            }
            Self::Deflate => {
                let mut reader = bufread::ZlibDecoder::new(packed);
                (reader.by_ref().take(most).read_to_end(&mut plain), reader.into_inner())
            }
        };
        read.map_err(|_| Refusal::bad(format!("the request body is not {}", self.name())))?;
        if plain.len() > limit {
            return Err(Refusal::TooLarge { limit });
        }
        if !behind.is_empty() {
            return Err(Refusal::bad(format!("{} bytes after the end of the {} body", behind.len(), self.name())));
        }
        Ok(plain.into())
    }

    fn pack(self, plain: &[u8]) -> Vec<u8> {
        let packed = Vec::with_capacity(plain.len() / 2);
        let written = match self {
            Self::Gzip => {
                let mut writer = write::GzEncoder::new(packed, Compression::fast());
                writer.write_all(plain).and_then(|()| writer.finish())
            }
            Self::Deflate => {
                let mut writer = write::ZlibEncoder::new(packed, Compression::fast());
                writer.write_all(plain).and_then(|()| writer.finish())
            }
        };
        written.expect("writing to memory cannot fail")
    }
}

/// Puts a body into an answer whose head is written, packed if the client asked and it is long enough to gain by it.
pub(super) fn respond(mut head: Response<()>, body: Vec<u8>, accepted: Option<Coding>) -> Response {
    let headers = head.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let body = match accepted.filter(|_| body.len() >= WORTH_BYTES) {
        None => body,
        Some(coding) => {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
            coding.pack(&body)
        }
    };
    head.map(|()| Body::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(offer: &'static str) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(offer));
        Coding::accepted(&headers)
    }

    #[test]
    fn the_clients_liking_decides() {
        assert_eq!(accepted("gzip, deflate"), Some(Coding::Gzip));
        assert_eq!(accepted("deflate, GZIP"), Some(Coding::Gzip));
        assert_eq!(accepted("gzip;q=0.5, deflate;q=0.8, br"), Some(Coding::Deflate));
        assert_eq!(accepted("gzip;q=0, br, *"), None);
        assert_eq!(Coding::accepted(&HeaderMap::new()), None);
    }

    #[test]
    fn what_is_packed_comes_back() {
        let plain = b"dune ".repeat(500);
        for coding in [Coding::Gzip, Coding::Deflate] {
            let packed = coding.pack(&plain);
            assert!(packed.len() < 100, "{coding:?}: {} bytes", packed.len());
            assert_eq!(coding.unpack(&packed, 2500).unwrap(), plain);
            assert_eq!(coding.unpack(&packed, 2499).unwrap_err(), Refusal::TooLarge { limit: 2499 });
            let cut = coding.unpack(&packed[..packed.len() - 5], 2500).unwrap_err().to_string();
            assert_eq!(cut, format!("the request body is not {}", coding.name()));
            let more = coding.unpack(&[&packed, b"xy".as_slice()].concat(), 2500).unwrap_err().to_string();
            assert_eq!(more, format!("2 bytes after the end of the {} body", coding.name()));
        }
    }

    #[test]
    fn unknown_codings_are_named() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
        let words = Coding::of_body(&headers).unwrap_err().to_string();
        assert_eq!(words, "content-encoding: expected gzip or deflate, found \"br\"");
    }
}
