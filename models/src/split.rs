//! Which readers meet the canary: a keyed hash of the reader, the same on every replica and after every restart.
//!
//! Here and not in `serve` because exposure records carry the bucket and their readers must be able to recompute it.

use std::{fmt, str::FromStr};

use blake2::{
    Blake2bMac,
    digest::{Mac, consts::U8},
};
use serde::{Deserialize, Serialize};

/// Shares are counted in basis points: 10,000 is everyone.
pub const WHOLE_BP: u16 = 10_000;

/// The key of one experiment's split. A new experiment draws a new salt, so no reader keeps a side by accident.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Salt([u8; 32]);

impl Salt {
    /// From 32 bytes, drawn by the caller.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for Salt {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| format!("salt: expected 64 hex digits, found {text:?}"))?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Salt {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Salt> for String {
    fn from(salt: Salt) -> String {
        salt.to_string()
    }
}

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Salt({self})")
    }
}

/// The reader's bucket, `0..10_000`: the canary answers iff it is below the weight in basis points.
///
/// Nested: a higher weight only adds readers. `BLAKE2b(len tenant, tenant, len reader, reader)` of 8 bytes, keyed by the
/// salt, read little-endian and scaled by multiply-shift (RFC 7693; lengths are `u32` little-endian, text is UTF-8
/// exactly as received).
pub fn bucket(salt: &Salt, tenant: &str, reader: &str) -> u16 {
    scaled(unit(salt, tenant, reader))
}

/// The reader's number in one trial: the hash that [`bucket`] scales. Tells readers apart without keeping their names.
pub fn unit(salt: &Salt, tenant: &str, reader: &str) -> u64 {
    hash(Some(&salt.0), b"bookloop-split-1", [tenant, reader])
}

/// The request's bucket, `0..10_000`: it is scored by the next version too iff it is below the share in basis points.
///
/// As [`bucket`], of tenant and request id, without a key.
pub fn shadow_bucket(tenant: &str, request: &str) -> u16 {
    scaled(hash(None, b"bookloop-shad--1", [tenant, request]))
}

/// The reader's bucket, `0..10_000`, in the draw of those who are given lists of both versions while a trial runs.
///
/// As [`bucket`], but another draw: whoever is taken out of a trial's two arms by it is no other on average than who
/// stays.
pub fn interleave_bucket(salt: &Salt, tenant: &str, reader: &str) -> u16 {
    scaled(hash(Some(&salt.0), b"bookloop-team--1", [tenant, reader]))
}

/// 64 tosses of a fair coin for one request, the lowest bit first.
///
/// The hash of [`bucket`], of tenant and request id, without a key.
pub fn coin(tenant: &str, request: &str) -> u64 {
    hash(None, b"bookloop-coin--1", [tenant, request])
}

/// `BLAKE2b` of 8 bytes over texts, each behind its length.
fn hash(key: Option<&[u8]>, personal: &[u8; 16], texts: [&str; 2]) -> u64 {
    let mut hash = Blake2bMac::<U8>::new_with_salt_and_personal(key, &[], personal)
        .expect("32 bytes of key and 16 of personalisation are within BLAKE2b's limits");
    for text in texts {
        hash.update(&(text.len() as u32).to_le_bytes());
        hash.update(text.as_bytes());
    }
    u64::from_le_bytes(hash.finalize().into_bytes().into())
}

fn scaled(unit: u64) -> u16 {
    ((u128::from(unit) * u128::from(WHOLE_BP)) >> 64) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_equal_the_published_vectors() {
        let a = Salt::new(std::array::from_fn(|i| i as u8));
        let b = Salt::new(std::array::from_fn(|i| 255 - i as u8));
        let c = Salt::new(std::array::from_fn(|i| 0xfe - i as u8));
        assert_ne!(b, c);
        for (salt, tenant, reader, want) in [
            (&a, "acme-books", "u-17", 7404),
            (&a, "shared", "u-17", 856),
            (&a, "ab", "c", 8837),
            (&a, "a", "bc", 9962),
            (&a, "acme-books", "читатель-7", 5926),
            (&a, "acme-books", "u-4597", 999),
            (&a, "acme-books", "u-10927", 1000),
        ] {
            assert_eq!(bucket(salt, tenant, reader), want, "{tenant} {reader}");
        }
        assert_eq!(bucket(&b, "acme-books", "u-17"), 8629);
    }

    #[test]
    fn the_number_behind_the_bucket_is_the_published_hash() {
        let a = Salt::new(std::array::from_fn(|i| i as u8));
        // The hash as published is bytes, read little-endian.
        assert_eq!(unit(&a, "acme-books", "u-17"), u64::from_le_bytes(*b"\xa5\xec\x01\x51\xf3\x19\x8d\xbd"));
    }

    /// Ten thousand requests at a share of a tenth: 1,000 expected, standard deviation 30.
    #[test]
    fn a_share_of_the_requests_is_below_it() {
        let below = (0..10_000).filter(|n| shadow_bucket("acme-books", &format!("request-{n}")) < 1_000).count();
        assert!(below.abs_diff(1_000) < 150, "{below}");
        assert_ne!(shadow_bucket("acme-books", "r"), shadow_bucket("other-books", "r"));
    }

    /// A thousand requests, 64 tosses each: 32,000 heads expected, standard deviation 126.
    #[test]
    fn the_coin_is_fair_and_each_request_has_its_own() {
        let of = |n: u32| coin("acme-books", &format!("request-{n}"));
        let heads: u32 = (0..1000).map(|n| of(n).count_ones()).sum();
        assert!(heads.abs_diff(32_000) < 630, "{heads}");
        assert_ne!(coin("acme-books", "r"), coin("other-books", "r"));
        // The bytes of `BLAKE2b`, 8 of them, personal `bookloop-coin--1`, of both texts behind their lengths.
        assert_eq!(coin("acme-books", "r-1"), u64::from_le_bytes(*b"\xb7\x92\xa7\x43\x45\x3d\x61\xd8"));
    }

    /// Of ten thousand readers a tenth is below 1,000 in both draws: 100 expected, standard deviation 10.
    #[test]
    fn who_is_given_lists_of_both_versions_has_nothing_to_do_with_the_arm() {
        let salt = Salt::new([3; 32]);
        let in_both = |n: &u32| {
            let reader = format!("reader-{n}");
            let drawn = [bucket, interleave_bucket].map(|draw| draw(&salt, "acme-books", &reader) < 1_000);
            drawn == [true, true]
        };
        let both = (0..10_000).filter(in_both).count();
        assert!(both.abs_diff(100) < 50, "{both}");
    }

    #[test]
    fn a_salt_survives_its_text_form() {
        let salt = Salt::new([7; 32]);
        assert_eq!(salt.to_string().parse::<Salt>().unwrap(), salt);
        assert!("07".parse::<Salt>().is_err());
    }
}
