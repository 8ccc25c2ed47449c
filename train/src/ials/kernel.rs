//! The two loops that all the arithmetic of a fit goes through, and the buffers they read.
//!
//! Both are written once over `pulp`'s vectors and compiled for AVX-512, AVX2 with fused multiplication, NEON and plain
//! scalars; the processor is asked at run time. No sum is ever spread over lanes: a lane holds one sum from its first
//! term to its last. So all instruction sets with fused multiplication give equal bytes; the scalar form rounds each
//! product and differs from them in the last bits.

use pulp::Simd;

/// Numbers in one line of a panel, and the multiple that vectors are padded to.
pub(super) const WIDE: usize = 16;

/// One line of a panel: a row's share of 16 neighbouring columns.
pub(super) type Line = [f32; WIDE];

/// A buffer whose slices start at a cache line. Contents are whatever the last use left.
#[derive(Debug, Default)]
pub(super) struct Buffer(Vec<f32>);

impl Buffer {
    /// `len` numbers, of unknown but finite value.
    pub(super) fn slice(&mut self, len: usize) -> &mut [f32] {
        if self.0.len() < len + WIDE {
            self.0 = vec![0.0; len + WIDE];
        }
        let skip = self.0.as_ptr().align_offset(WIDE * size_of::<f32>()).min(WIDE);
        &mut self.0[skip..skip + len]
    }

    /// `len` lines, of unknown but finite value.
    pub(super) fn lines(&mut self, len: usize) -> &mut [Line] {
        self.slice(len * WIDE).as_chunks_mut().0
    }
}

/// A line as `N` vectors; `N` times the lanes of `S` is [`WIDE`].
#[inline(always)]
pub(super) fn load<S: Simd, const N: usize>(line: &Line) -> [S::f32s; N] {
    let vectors = S::as_simd_f32s(line).0;
    std::array::from_fn(|n| vectors[n])
}

/// The other way round.
#[inline(always)]
pub(super) fn store<S: Simd, const N: usize>(line: &mut Line, vectors: [S::f32s; N]) {
    S::as_mut_simd_f32s(line).0.copy_from_slice(&vectors);
}

/// Asks for the cache lines of a row that is read soon: rows lie anywhere in a matrix, and nothing else foresees which.
#[inline(always)]
#[expect(unsafe_code, reason = "the instruction takes a pointer")]
pub(super) fn prefetch(row: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in row.chunks(WIDE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the pointer lies in a slice, and a hint reads and writes nothing. Every x86-64 has the instruction.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}

/// `sums(q, c) += sum over k of left(k, 4 four + q) right(k, c)`, or `-=`: four rows by 16 columns of a product of panels.
#[inline(always)]
pub(super) fn add_products<S: Simd, const N: usize, const MINUS: bool>(
    simd: S,
    mut sums: [[S::f32s; N]; 4],
    left: &[Line],
    four: usize,
    right: &[Line],
) -> [[S::f32s; N]; 4] {
    for (left, right) in left.iter().zip(right) {
        let right: [S::f32s; N] = load::<S, N>(right);
        let left = &left.as_chunks::<4>().0[four % 4];
        for q in 0..4 {
            let factor = simd.splat_f32s(left[q]);
            for n in 0..N {
                sums[q][n] = fused::<S, MINUS>(simd, factor, right[n], sums[q][n]);
            }
        }
    }
    sums
}

/// `sums(p, q) += sum over k of left[p](k) right[q](k)`, or `-=`, each lane a system of its own.
#[inline(always)]
pub(super) fn add_inner<S: Simd, const M: usize, const MINUS: bool>(
    simd: S,
    mut sums: [[S::f32s; 2]; M],
    left: [&[S::f32s]; M],
    right: [&[S::f32s]; 2],
) -> [[S::f32s; 2]; M] {
    let n = right[0].len();
    let (left, right) = (left.map(|row| &row[..n]), right.map(|row| &row[..n]));
    for k in 0..n {
        let right = [right[0][k], right[1][k]];
        for p in 0..M {
            let value = left[p][k];
            sums[p][0] = fused::<S, MINUS>(simd, value, right[0], sums[p][0]);
            sums[p][1] = fused::<S, MINUS>(simd, value, right[1], sums[p][1]);
        }
    }
    sums
}

/// `c + a b` or `c - a b`.
#[inline(always)]
fn fused<S: Simd, const MINUS: bool>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if MINUS { simd.negate_mul_add_e_f32s(a, b, c) } else { simd.mul_add_e_f32s(a, b, c) }
}

/// One row of what is laid side by side: its numbers, and what each is multiplied by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scaled<'a> {
    /// The numbers, a multiple of eight.
    pub values: &'a [f32],
    /// A factor for each.
    pub factors: &'a [f32],
    /// A factor for all.
    pub root: f32,
}

impl Scaled<'_> {
    #[inline(always)]
    fn eight(&self, block: usize) -> [f32; 8] {
        let (values, factors) = (&self.values.as_chunks::<8>().0[block], &self.factors.as_chunks::<8>().0[block]);
        let mut scaled = [0.0; 8];
        for c in 0..8 {
            scaled[c] = values[c] * (factors[c] * self.root);
        }
        scaled
    }
}

/// `to[k * lanes + lane] = from[lane](k)`: rows of a matrix side by side, scaled on the way.
#[inline(always)]
pub(super) fn side_by_side(from: &[Scaled<'_>], to: &mut [f32]) {
    let lanes = from.len();
    let n_blocks = to.len() / lanes / 8;
    if lanes.is_multiple_of(8) {
        for (eight, rows) in from.as_chunks::<8>().0.iter().enumerate() {
            for k in 0..n_blocks {
                let block = transposed(rows, k);
                let to = &mut to[8 * k * lanes..8 * (k + 1) * lanes];
                for step in 0..8 {
                    to[step * lanes + 8 * eight..][..8].copy_from_slice(&block[step]);
                }
            }
        }
    } else {
        for (lane, row) in from.iter().enumerate() {
            for k in 0..n_blocks {
                for (step, value) in row.eight(k).iter().enumerate() {
                    to[(8 * k + step) * lanes + lane] = *value;
                }
            }
        }
    }
}

/// A block of eight by eight, turned over. Spelt out, because compilers take the loop apart number by number.
#[inline(always)]
fn transposed(rows: &[Scaled<'_>; 8], block: usize) -> [[f32; 8]; 8] {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx) = pulp::core_arch::x86::Avx::try_new() {
        return transposed_by_shuffles(avx, rows, block);
    }
    let mut columns = [[0.0; 8]; 8];
    for (r, row) in rows.iter().enumerate() {
        row.eight(block).iter().enumerate().for_each(|(c, value)| columns[c][r] = *value);
    }
    columns
}

/// Pairs, then fours, then halves change places: three rounds of eight shuffles.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn transposed_by_shuffles(avx: pulp::core_arch::x86::Avx, rows: &[Scaled<'_>; 8], block: usize) -> [[f32; 8]; 8] {
    let vector = |eight: [f32; 8]| pulp::cast::<[f32; 8], std::arch::x86_64::__m256>(eight);
    let row = |r: usize| {
        let Scaled { values, factors, root } = rows[r];
        let factors = avx._mm256_mul_ps(vector(factors.as_chunks().0[block]), vector([root; 8]));
        avx._mm256_mul_ps(vector(values.as_chunks().0[block]), factors)
    };
    let (r0, r1, r2, r3, r4, r5, r6, r7) = (row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7));
    let (a0, a1) = (avx._mm256_unpacklo_ps(r0, r1), avx._mm256_unpackhi_ps(r0, r1));
    let (a2, a3) = (avx._mm256_unpacklo_ps(r2, r3), avx._mm256_unpackhi_ps(r2, r3));
    let (a4, a5) = (avx._mm256_unpacklo_ps(r4, r5), avx._mm256_unpackhi_ps(r4, r5));
    let (a6, a7) = (avx._mm256_unpacklo_ps(r6, r7), avx._mm256_unpackhi_ps(r6, r7));
    let (b0, b1) = (avx._mm256_shuffle_ps::<0x44>(a0, a2), avx._mm256_shuffle_ps::<0xEE>(a0, a2));
    let (b2, b3) = (avx._mm256_shuffle_ps::<0x44>(a1, a3), avx._mm256_shuffle_ps::<0xEE>(a1, a3));
    let (b4, b5) = (avx._mm256_shuffle_ps::<0x44>(a4, a6), avx._mm256_shuffle_ps::<0xEE>(a4, a6));
    let (b6, b7) = (avx._mm256_shuffle_ps::<0x44>(a5, a7), avx._mm256_shuffle_ps::<0xEE>(a5, a7));
    let low = |a, b| pulp::cast::<_, [f32; 8]>(avx._mm256_permute2f128_ps::<0x20>(a, b));
    let high = |a, b| pulp::cast::<_, [f32; 8]>(avx._mm256_permute2f128_ps::<0x31>(a, b));
    [low(b0, b4), low(b1, b5), low(b2, b6), low(b3, b7), high(b0, b4), high(b1, b5), high(b2, b6), high(b3, b7)]
}
