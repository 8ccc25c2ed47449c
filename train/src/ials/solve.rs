//! One half-epoch: the exact least-squares vector of every row, given the other side in its eigenbasis.
//!
//! With `D = diag(a0 e + r)`, confidences `C`, the row's vectors `Z_S` and a prior vector `p` (zero unless given), put
//! `x0 = r D^-1 p`, the answer without any pair, `t = 1 - Z_S x0` and `H = C^1/2 Z_S D^-1/2`, shape `(s, d)`. Then
//! - for `s < d` the dual: `(I + H H') w = C^1/2 t`, `x = x0 + D^-1/2 H' w`, a system of side `s`;
//! - otherwise the primal: `(I + H' H) v = H' C^1/2 t`, `x = x0 + D^-1/2 v`, a system of side `d`.
//!
//! Both are equal by the push-through identity, and their condition is bounded by how much the evidence exceeds the
//! prior, whatever the scale of the factors, which is what makes `f32` enough. The value of a row's part of the
//! objective at its minimum is `t' C^1/2 w` plus what the prior alone costs, so the loss falls out of the solve.

use ndarray::Array2;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{
    Side,
    kernel::WIDE,
    lanes::Lanes,
    panels::{Panels, sum},
    row::Row,
};
use crate::matrix::Rows;

/// Rows solved together; a multiple of every number of lanes.
const UNIT: usize = 16;

/// All rows of one side, solved.
#[derive(Debug)]
pub(super) struct Solved {
    /// Their vectors, shape `(n_rows, width)`.
    pub vectors: Array2<f32>,
    /// Sum over rows of `c (1 - x.z)^2` over pairs, `a0 x'diag(e)x` and `r |x - p|^2`.
    pub value: f64,
    /// Sum over rows of `r |x|^2`.
    pub ridge: f64,
}

/// What all rows of a half-epoch share.
#[derive(Debug, Clone, Copy)]
pub(super) struct HalfEpoch<'a> {
    /// The rows to solve.
    pub rows: &'a Rows,
    /// The other side.
    pub fixed: &'a Side,
    /// Ridge of each row.
    pub ridges: &'a [f64],
    /// `a0`.
    pub unobserved_weight: f64,
    /// Prior vectors in the basis of `fixed`, shape `(n_rows, width)`.
    pub priors: Option<&'a Array2<f32>>,
}

impl HalfEpoch<'_> {
    /// Solves every row. A row without pairs gets `x0`, which is zero without a prior.
    pub(super) fn solve(self) -> Solved {
        let (n_rows, width) = (self.rows.len(), self.fixed.width());
        let mut vectors = Array2::<f32>::zeros((n_rows, width));
        let mut parts = vec![[0.0_f64; 2]; n_rows];
        let all = vectors.as_slice_mut().expect("a fresh matrix is contiguous");
        all.par_chunks_mut(UNIT * width).zip(parts.par_chunks_mut(UNIT)).enumerate().for_each_init(
            || Scratch::new(width),
            |scratch, (unit, (x, parts))| {
                Arch::new().dispatch(Unit { of: self, first: unit * UNIT, x, parts, scratch });
            },
        );
        let total = |part: usize| parts.iter().map(|row| row[part]).sum();
        Solved { value: total(0), ridge: total(1), vectors }
    }
}

/// Buffers of one thread.
#[derive(Debug)]
struct Scratch {
    lanes: Lanes,
    panels: Panels,
    /// `D^-1/2` of each row of a unit, shape `(16, width)`.
    shrink: Vec<f32>,
    /// Targets of the unit's rows, one after the other; empty without priors.
    targets: Vec<f32>,
    /// Weights of one row's pairs.
    weights: Vec<f32>,
    zeros: Vec<f32>,
}

impl Scratch {
    fn new(width: usize) -> Self {
        Self {
            lanes: Lanes::default(),
            panels: Panels::default(),
            shrink: vec![0.0; UNIT * width],
            targets: Vec::new(),
            weights: Vec::new(),
            zeros: vec![0.0; width],
        }
    }
}

/// Up to 16 neighbouring rows.
struct Unit<'a, 'x> {
    of: HalfEpoch<'a>,
    first: usize,
    x: &'x mut [f32],
    parts: &'x mut [[f64; 2]],
    scratch: &'x mut Scratch,
}

impl WithSimd for Unit<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.solve::<S, 1>(simd),
            8 => self.solve::<S, 2>(simd),
            4 => self.solve::<S, 4>(simd),
            _ => self.solve::<S, WIDE>(simd),
        }
    }
}

impl Unit<'_, '_> {
    #[inline(always)]
    fn solve<S: Simd, const N: usize>(self, simd: S) {
        let Self { of, first, x, parts, scratch } = self;
        let width = of.fixed.width();
        let lanes = WIDE / N;
        let n = parts.len();
        let a0 = of.unobserved_weight as f32;
        let energies = &of.fixed.weights[..];
        for (row, shrink) in scratch.shrink.chunks_exact_mut(width).take(n).enumerate() {
            let ridge = of.ridges[first + row] as f32;
            shrink.iter_mut().zip(energies).for_each(|(shrink, e)| *shrink = (a0 * e + ridge).sqrt().recip());
        }
        scratch.targets.clear();
        let vectors = of.fixed.vectors.as_slice().expect("vectors are in standard layout");
        if let Some(priors) = of.priors {
            for row in 0..n {
                let ridge = of.ridges[first + row] as f32;
                let prior = priors.row(first + row);
                let start = scratch.shrink[row * width..][..width].iter().zip(prior).map(|(s, p)| ridge * s * s * p);
                x[row * width..][..width].iter_mut().zip(start).for_each(|(x, start)| *x = start);
                let start = &x[row * width..][..width];
                for column in of.rows.row(first + row).0 {
                    let z = &vectors[*column as usize * width..][..width];
                    scratch.targets.push(1.0 - dot(start, z));
                }
            }
        }
        let mut target_from = 0;
        let rows: [Row<'_>; UNIT] = std::array::from_fn(|row| {
            let row = row.min(n - 1);
            let (columns, confidences) = of.rows.row(first + row);
            let targets = match of.priors {
                Some(_) => &scratch.targets[target_from.min(scratch.targets.len() - columns.len())..][..columns.len()],
                None => &[],
            };
            target_from += columns.len();
            Row { columns, confidences, targets, shrink: &scratch.shrink[row * width..][..width], vectors }
        });
        let mut answer = vec![0.0_f32; width];
        for batch in (0..n).step_by(lanes) {
            let batch_rows = &rows[batch..n.min(batch + lanes)];
            let s = batch_rows.iter().map(Row::len).max().unwrap_or(0).next_multiple_of(4);
            let together = s <= together_up_to(width) && lanes > 1;
            if together && s > 0 {
                scratch.lanes.solve(simd, batch_rows, width, s, &scratch.zeros);
            }
            for (lane, row) in batch_rows.iter().enumerate() {
                let place = batch + lane;
                if row.len() == 0 {
                    parts[place] = [0.0; 2];
                    continue;
                }
                let value;
                if together {
                    value = scratch.lanes.answer(lane, lanes, row, &mut scratch.weights);
                    row.combine::<S, N>(simd, &scratch.weights, &mut answer);
                } else if row.len() < width {
                    let weights;
                    (weights, value) = scratch.panels.dual::<S, N>(simd, row, width, &scratch.zeros);
                    row.combine::<S, N>(simd, weights, &mut answer);
                } else {
                    let solution;
                    (solution, value) = scratch.panels.primal::<S, N>(simd, row, width);
                    answer.iter_mut().zip(solution.iter().zip(row.shrink)).for_each(|(x, (v, shrink))| *x = v * shrink);
                }
                let x = &mut x[place * width..][..width];
                x.iter_mut().zip(&answer).for_each(|(x, answer)| *x += answer);
                parts[place] = [value, of.ridges[first + place] * f64::from(dot(x, x))];
            }
        }
        if let Some(priors) = of.priors {
            for (row, part) in parts.iter_mut().enumerate() {
                part[0] += prior_value(of, first + row, priors.row(first + row).as_slice().expect("standard layout"));
            }
        }
    }
}

/// What a row's prior costs where there are no pairs: `sum over k of a0 e r p^2 / (a0 e + r)`.
fn prior_value(of: HalfEpoch<'_>, row: usize, prior: &[f32]) -> f64 {
    let ridge = of.ridges[row];
    let terms = prior.iter().zip(&of.fixed.eigenvalues).map(|(p, e)| {
        let pull = of.unobserved_weight * e;
        pull * ridge / (pull + ridge) * f64::from(*p).powi(2)
    });
    terms.sum()
}

/// Up to how many pairs rows are solved side by side: their tile should stay within the second-level cache.
fn together_up_to(width: usize) -> usize {
    (8192 / width).clamp(8, 64)
}

/// Inner product of vectors of whole lines, in sixteen lanes with a fixed order of additions.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; WIDE];
    for (a, b) in a.as_chunks::<WIDE>().0.iter().zip(b.as_chunks::<WIDE>().0) {
        for lane in 0..WIDE {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    sum(&lanes)
}
