//! One row's problem, as both solvers see it, and the way back from their weights to the row's vector.

use pulp::Simd;

use super::kernel::{Scaled, WIDE, load, store};

/// The pairs of one row with the fixed side's vectors.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    /// Rows of the fixed side.
    pub columns: &'a [u32],
    /// Confidence of each pair.
    pub confidences: &'a [f32],
    /// `1 - x0.z` of each pair where the row has a prior, else empty: every target is 1.
    pub targets: &'a [f32],
    /// `D^-1/2`, shape `(width,)`.
    pub shrink: &'a [f32],
    /// The fixed side's vectors, shape `(n, width)`.
    pub vectors: &'a [f32],
}

impl<'a> Row<'a> {
    /// Number of pairs.
    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// The vector of the `i`-th pair, shape `(width,)`.
    #[inline(always)]
    pub(super) fn vector(&self, i: usize) -> &'a [f32] {
        let width = self.shrink.len();
        &self.vectors[self.columns[i] as usize * width..][..width]
    }

    /// The `i`-th row of `H`.
    #[inline(always)]
    pub(super) fn scaled(&self, i: usize) -> Scaled<'a> {
        Scaled { values: self.vector(i), factors: self.shrink, root: self.root(i) }
    }

    /// Root of the `i`-th pair's confidence.
    #[inline(always)]
    pub(super) fn root(&self, i: usize) -> f32 {
        self.confidences[i].sqrt()
    }

    /// What the `i`-th pair's product should add to the prior's.
    #[inline(always)]
    pub(super) fn target(&self, i: usize) -> f32 {
        self.targets.get(i).copied().unwrap_or(1.0)
    }

    /// `x = D^-1 sum over pairs of weight z`, shape `(width,)`.
    #[inline(always)]
    pub(super) fn combine<S: Simd, const N: usize>(&self, simd: S, weights: &[f32], x: &mut [f32]) {
        let (fours, rest) = x.as_chunks_mut::<WIDE>().0.as_chunks_mut::<4>();
        let done = fours.len() * 4;
        for (block, x) in fours.iter_mut().enumerate() {
            self.combine_lines::<S, N, 4>(simd, weights, 4 * block, x);
        }
        for (line, x) in rest.iter_mut().enumerate() {
            self.combine_lines::<S, N, 1>(simd, weights, done + line, std::array::from_mut(x));
        }
    }

    /// `B` lines of the vector from line `first` on.
    #[inline(always)]
    fn combine_lines<S: Simd, const N: usize, const B: usize>(
        &self,
        simd: S,
        weights: &[f32],
        first: usize,
        x: &mut [[f32; WIDE]; B],
    ) {
        let mut sums = [[simd.splat_f32s(0.0); N]; B];
        for (i, weight) in weights.iter().enumerate() {
            let weight = simd.splat_f32s(*weight);
            let lines = &self.vector(i).as_chunks::<WIDE>().0[first..first + B];
            for b in 0..B {
                let line = load::<S, N>(&lines[b]);
                for n in 0..N {
                    sums[b][n] = simd.mul_add_e_f32s(weight, line[n], sums[b][n]);
                }
            }
        }
        let shrink = &self.shrink.as_chunks::<WIDE>().0[first..first + B];
        for b in 0..B {
            let shrink = load::<S, N>(&shrink[b]);
            for n in 0..N {
                sums[b][n] = simd.mul_f32s(sums[b][n], simd.mul_f32s(shrink[n], shrink[n]));
            }
            store::<S, N>(&mut x[b], sums[b]);
        }
    }
}
