//! The machine's widest instructions, chosen while running: the one place of scoring that the compiler cannot check.
//!
//! Everything else is plain code that is compiled once for any machine and once more for AVX2 with FMA, by being inlined
//! into [`widest`]. Both give the same bits: sums have a fixed order, and a fused multiply-add is rounded once wherever
//! it runs.

#![expect(unsafe_code, reason = "instructions may be used only where the processor has them, which no type can say")]

/// Books of which [`int_dots`] sums side by side.
pub(super) const INT_BOOKS: usize = 8;
/// Factors of one step of [`int_dots`].
pub(super) const INT_STEP: usize = 4;
/// Values of one step: [`INT_STEP`] of the first book, then of the second, and so on.
pub(super) type IntStep = [i8; INT_BOOKS * INT_STEP];

/// A piece of work that can be compiled for wider instructions: `run` and what it calls must be `#[inline(always)]`.
pub(super) trait Work {
    type Output;
    fn run(self) -> Self::Output;
}

/// Does the work with the widest instructions there are.
pub(super) fn widest<W: Work>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if avx2() {
        // SAFETY: the processor has both sets of instructions.
        return unsafe { x86::run(work) };
    }
    work.run()
}

/// Integer inner products of panels of [`INT_BOOKS`] books with one reader, `out[panel][book]`, exact.
///
/// `panels` holds `query.len()` steps for each place of `out`. No value may be -128.
pub(super) fn int_dots(panels: &[IntStep], query: &[[i8; INT_STEP]], out: &mut [[i32; INT_BOOKS]]) {
    assert_eq!(panels.len(), query.len() * out.len(), "a panel has a step for each step of the query");
    #[cfg(target_arch = "x86_64")]
    if avx2() {
        // SAFETY: the processor has AVX2.
        return unsafe { x86::int_dots(panels, query, out) };
    }
    int_dots_anywhere(panels, query, out);
}

fn int_dots_anywhere(panels: &[IntStep], query: &[[i8; INT_STEP]], out: &mut [[i32; INT_BOOKS]]) {
    for (panel, sums) in panels.chunks_exact(query.len().max(1)).zip(out) {
        *sums = [0; INT_BOOKS];
        for (step, q) in panel.iter().zip(query) {
            for (sum, y) in sums.iter_mut().zip(step.as_chunks::<INT_STEP>().0) {
                *sum += y.iter().zip(q).map(|(y, q)| i32::from(*y) * i32::from(*q)).sum::<i32>();
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi16,
        _mm256_set1_epi32, _mm256_setzero_si256, _mm256_sign_epi8, _mm256_storeu_si256,
    };

    use super::{INT_BOOKS, INT_STEP, IntStep, Work};

    #[target_feature(enable = "avx2,fma")]
    pub fn run<W: Work>(work: W) -> W::Output {
        work.run()
    }

    /// Products of the reader's magnitudes, as unsigned bytes, with the books' bytes under the reader's signs: two of
    /// them are at most `2 * 127 * 127`, which 16 bits hold.
    #[target_feature(enable = "avx2")]
    pub fn int_dots(panels: &[IntStep], query: &[[i8; INT_STEP]], out: &mut [[i32; INT_BOOKS]]) {
        let ones = _mm256_set1_epi16(1);
        let signs = |q: &[i8; INT_STEP]| _mm256_set1_epi32(i32::from_ne_bytes(q.map(|q| q as u8)));
        let signs_and_sizes: Vec<_> =
            query.iter().map(signs).map(|signs| (signs, _mm256_sign_epi8(signs, signs))).collect();
        for (panel, sums) in panels.chunks_exact(query.len().max(1)).zip(out) {
            let mut sum = _mm256_setzero_si256();
            for (step, (signs, sizes)) in panel.iter().zip(&signs_and_sizes) {
                let books = _mm256_sign_epi8(load(step), *signs);
                let pairs = _mm256_maddubs_epi16(*sizes, books);
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
            }
            // SAFETY: eight numbers of 32 bits are 32 bytes, and the store asks for no alignment.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), sum) };
        }
    }

    #[target_feature(enable = "avx2")]
    fn load(step: &IntStep) -> __m256i {
        // SAFETY: a step is 32 bytes, and the load asks for no alignment.
        unsafe { _mm256_loadu_si256(step.as_ptr().cast()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integer_products_are_those_of_plain_sums(
            values in prop::collection::vec(-127i8..=127, 6 * 5 * 32),
            query in prop::collection::vec(-127i8..=127, 5 * INT_STEP),
        ) {
            let (panels, query) = (values.as_chunks::<32>().0, query.as_chunks::<INT_STEP>().0);
            let (mut wide, mut plain) = ([[0; INT_BOOKS]; 6], [[0; INT_BOOKS]; 6]);
            int_dots(panels, query, &mut wide);
            int_dots_anywhere(panels, query, &mut plain);
            prop_assert_eq!(wide, plain);
            let by_hand = |panel: usize, book: usize| -> i32 {
                let value = |j: usize| values[(panel * 5 + j / INT_STEP) * 32 + book * INT_STEP + j % INT_STEP];
                (0..5 * INT_STEP).map(|j| i32::from(value(j)) * i32::from(query[j / INT_STEP][j % INT_STEP])).sum()
            };
            prop_assert_eq!([wide[2][7], wide[5][0]], [by_hand(2, 7), by_hand(5, 0)]);
        }
    }

    #[test]
    fn the_largest_values_do_not_overflow() {
        for (y, q) in [(127, 127), (-127, 127), (127, -127), (-127, -127)] {
            let mut sums = [[0; INT_BOOKS]];
            int_dots(&[[y; 32]; 256], &[[q; INT_STEP]; 256], &mut sums);
            assert_eq!(sums, [[1024 * i32::from(y) * i32::from(q); INT_BOOKS]]);
        }
    }
}
