//! What every array of a model must satisfy, fast enough to be asked of half a gigabyte at each load.
//!
//! Each check first asks the whole array in a form the compiler turns into vector instructions, and looks for the
//! offender only when there is one.

use crate::{
    artifact::{Malformed, malformed},
    id::BookRow,
};

/// Values per vectorised question: a few pages, so that the answer comes while they are in the cache.
const BLOCK: usize = 4096;

/// Offsets of `n_rows` rows into `n_entries` entries: one more than rows, rising from 0 to the end.
pub(crate) fn offsets<T: Copy + PartialOrd + Into<u64>>(
    part: &'static str,
    n_rows: usize,
    offsets: &[T],
    n_entries: usize,
) -> Result<(), Malformed> {
    if offsets.len() != n_rows + 1 {
        return Err(malformed(part, n_rows + 1, offsets.len()));
    }
    let rising = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    let ends = (offsets[0].into(), offsets[n_rows].into());
    if !rising || ends != (0, n_entries as u64) {
        let found = format!("{} to {}{}", ends.0, ends.1, if rising { "" } else { ", falling between" });
        return Err(malformed(part, format!("rising from 0 to {n_entries}"), found));
    }
    Ok(())
}

/// Every row is one of `n_books`.
pub(crate) fn rows(part: &'static str, n_books: usize, rows: &[BookRow]) -> Result<(), Malformed> {
    let outside = |row: &BookRow| row.index() >= n_books;
    let offender = rows.chunks(BLOCK).find(|block| block.iter().fold(false, |found, row| found | outside(row)));
    match offender.and_then(|block| block.iter().find(|row| outside(row))) {
        Some(row) => Err(malformed(part, format!("rows below {n_books}"), row.0)),
        None => Ok(()),
    }
}

/// No infinity and no not-a-number.
pub(crate) fn finite(part: &'static str, values: &[f32]) -> Result<(), Malformed> {
    match values.chunks(BLOCK).find(|block| !all_finite(block)).and_then(|block| block.iter().find(|v| !v.is_finite()))
    {
        Some(value) => Err(malformed(part, "finite numbers", value)),
        None => Ok(()),
    }
}

/// Without its sign a number that is not finite has all eight bits of the exponent set: adding one to the exponent
/// then reaches the highest bit, and only then.
fn all_finite(values: &[f32]) -> bool {
    let highest = values.iter().fold(0, |bits, value| bits | ((value.to_bits() & 0x7fff_ffff) + 0x0080_0000));
    highest & 0x8000_0000 == 0
}

/// Finite and not below zero.
pub(crate) fn not_negative(part: &'static str, values: &[f32]) -> Result<(), Malformed> {
    finite(part, values)?;
    match values.iter().find(|value| **value < 0.0) {
        Some(negative) => Err(malformed(part, "no negative value", negative)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_value_among_many_is_found_and_named() {
        let edge = [f32::MAX, f32::MIN, f32::MIN_POSITIVE, -0.0, 1e-45];
        let mut values: Vec<f32> = edge.into_iter().cycle().take(3 * BLOCK + 5).collect();
        finite("weights", &values).unwrap();
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, BLOCK, 3 * BLOCK + 4] {
                let good = std::mem::replace(&mut values[place], bad);
                assert_eq!(finite("weights", &values).unwrap_err().found, bad.to_string());
                values[place] = good;
            }
        }
    }

    #[test]
    fn a_row_outside_is_found_and_named() {
        let mut all = vec![BookRow(6); BLOCK + 2];
        rows("targets", 7, &all).unwrap();
        all[BLOCK + 1] = BookRow(7);
        assert_eq!(
            rows("targets", 7, &all).unwrap_err().to_string(),
            "model part targets: expected rows below 7, found 7"
        );
    }
}
