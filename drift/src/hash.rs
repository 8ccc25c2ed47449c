//! A hash that is the same on every machine and in every release: it chooses which event speaks for a reader.
//!
//! Not for secrets, and not the standard library's, whose values may change between toolchains.

/// 64-bit FNV-1a over the parts, a separator after each, finished by [`mix`].
pub(crate) fn stable(parts: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for byte in part.bytes().chain([0xff]) {
            // 0xff never occurs in UTF-8, so ("ab", "c") and ("a", "bc") differ.
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    mix(hash)
}

/// Spreads every input bit over the whole word (the finaliser of `SplitMix64`).
pub(crate) fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(stable(&["ab", "c"]), stable(&["a", "bc"]));
    }

    #[test]
    fn the_value_never_changes() {
        // Stored windows and profiles carry these values.
        assert_eq!(stable(&[]), mix(0xcbf2_9ce4_8422_2325));
        assert_eq!(mix(1), 0x5692_161d_100b_05e5);
    }
}
