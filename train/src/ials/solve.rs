//! One half-epoch: the exact least-squares vector of every row, given the other side in its eigenbasis.
//!
//! With `D = diag(a0 e + r)`, confidences `C`, the row's vectors `Z_S` and a prior vector `p` (zero unless given), put
//! `x0 = r D^-1 p`, the answer without any pair, `t = 1 - Z_S x0` and `H = C^1/2 Z_S D^-1/2`, shape `(s, d)`. Then
//! - the dual is `(I + H H') w = C^1/2 t`, `x = x0 + D^-1/2 H' w`, a system of side `s`;
//! - the primal is `(I + H' H) v = H' C^1/2 t`, `x = x0 + D^-1/2 v`, a system of side `d`.
//!
//! Both are equal by the push-through identity, and their condition is bounded by how much the evidence exceeds the
//! prior, whatever the scale of the factors, which is what makes `f32` enough. Rows with few pairs are solved by the dual,
//! many at once (`lanes`); the others by conjugate gradients on the primal (`gradients`), and where those do not get to
//! the bottom, by whichever of the two is smaller (`panels`). The value of a row's part of the objective at its minimum
//! is `t' C^1/2 w` plus what the prior alone costs, so the loss falls out of the solve.

use ndarray::Array2;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{
    Side,
    gradients::Gradients,
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
    /// Residual over right side at which gradients stop.
    pub enough: f64,
}

impl HalfEpoch<'_> {
    /// Solves every row into `vectors`, shape `(n_rows, width)`, whose contents do not matter.
    ///
    /// A row without pairs gets zero: that nobody took it up may only mean that nobody could.
    pub(super) fn solve(self, mut vectors: Array2<f32>) -> Solved {
        let (n_rows, width) = (self.rows.len(), self.fixed.width());
        assert_eq!(vectors.dim(), (n_rows, width), "vectors are made for the rows they hold");
        let mut parts = vec![[0.0_f64; 2]; n_rows];
        let all = vectors.as_slice_mut().expect("vectors are in standard layout");
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
    gradients: Gradients,
    panels: Panels,
    /// `D^-1/2` of each row of a unit, shape `(16, width)`.
    shrink: Vec<f32>,
    /// Targets of the unit's rows, one after the other; empty without priors.
    targets: Vec<f32>,
    /// Weights of one row's pairs.
    weights: Vec<f32>,
    /// One row's answer without its prior, shape `(width,)`.
    answer: Vec<f32>,
    zeros: Vec<f32>,
}

impl Scratch {
    fn new(width: usize) -> Self {
        Self {
            lanes: Lanes::default(),
            gradients: Gradients::default(),
            panels: Panels::default(),
            shrink: vec![0.0; UNIT * width],
            targets: Vec::new(),
            weights: Vec::new(),
            answer: vec![0.0; width],
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
    fn solve<S: Simd, const N: usize>(mut self, simd: S) {
        self.prepare();
        let Self { of, first, x, parts, scratch } = self;
        let Scratch { lanes: together, gradients, panels, shrink, targets, weights, answer, zeros } = scratch;
        let (width, lanes) = (of.fixed.width(), WIDE / N);
        let vectors = of.fixed.vectors.as_slice().expect("vectors are in standard layout");
        let mut rows = [Row { columns: &[], confidences: &[], targets: &[], shrink, vectors }; UNIT];
        let mut targets = &targets[..];
        for (row, slot) in rows.iter_mut().enumerate().take(parts.len()) {
            (slot.columns, slot.confidences) = of.rows.row(first + row);
            slot.shrink = &shrink[row * width..][..width];
            if of.priors.is_some() {
                (slot.targets, targets) = targets.split_at(slot.len());
            }
        }
        let batches = rows[..parts.len()].chunks(lanes).zip(parts.chunks_mut(lanes)).zip(x.chunks_mut(lanes * width));
        for (batch, ((rows, parts), x)) in batches.enumerate() {
            let s = rows.iter().map(Row::len).max().unwrap_or(0).next_multiple_of(4);
            let is_small = s <= together_up_to(width) && lanes > 1;
            if is_small && s > 0 {
                together.solve(simd, rows, width, s, zeros);
            }
            let each = rows.iter().zip(parts).zip(x.chunks_exact_mut(width)).enumerate();
            for (lane, ((row, part), x)) in each.filter(|(_, ((row, _), _))| row.len() > 0) {
                if is_small {
                    part[0] += together.answer(lane, lanes, row, weights);
                    row.combine::<S, N>(simd, weights, answer);
                } else if let Some((solution, value)) = gradients.solve::<S, N>(simd, row, of.enough) {
                    part[0] += value;
                    let each = solution.as_flattened().iter().zip(row.shrink);
                    answer.iter_mut().zip(each).for_each(|(x, (v, shrink))| *x = v * shrink);
                } else if row.len() < width {
                    let (weights, value) = panels.dual::<S, N>(simd, row, width, zeros);
                    part[0] += value;
                    row.combine::<S, N>(simd, weights, answer);
                } else {
                    let (solution, value) = panels.primal::<S, N>(simd, row, width);
                    part[0] += value;
                    answer.iter_mut().zip(solution.iter().zip(row.shrink)).for_each(|(x, (v, shrink))| *x = v * shrink);
                }
                x.iter_mut().zip(&*answer).for_each(|(x, answer)| *x += answer);
                part[1] = of.ridges[first + batch * lanes + lane] * f64::from(dot(x, x));
            }
        }
    }

    /// Shrinkages, the answers without pairs and what they cost, and the targets that are left.
    #[inline(always)]
    fn prepare(&mut self) {
        let (of, width) = (self.of, self.of.fixed.width());
        let a0 = of.unobserved_weight as f32;
        let ridges = &of.ridges[self.first..][..self.parts.len()];
        for (row, ridge) in ridges.iter().enumerate() {
            let (before, shrink) = self.scratch.shrink.split_at_mut(row * width);
            if row > 0 && ridges[row - 1].to_bits() == ridge.to_bits() {
                shrink[..width].copy_from_slice(&before[before.len() - width..]);
            } else {
                let ridge = *ridge as f32;
                let each = shrink[..width].iter_mut().zip(&of.fixed.weights);
                each.for_each(|(shrink, e)| *shrink = (a0 * e + ridge).sqrt().recip());
            }
        }
        self.x.fill(0.0);
        self.parts.fill([0.0; 2]);
        let Some(priors) = of.priors else { return };
        let vectors = of.fixed.vectors.as_slice().expect("vectors are in standard layout");
        self.scratch.targets.clear();
        let each = self.x.chunks_exact_mut(width).zip(self.scratch.shrink.chunks_exact(width)).zip(ridges);
        for (row, ((x, shrink), ridge)) in each.enumerate() {
            let columns = of.rows.row(self.first + row).0;
            if columns.is_empty() {
                continue;
            }
            let prior = priors.row(self.first + row);
            let start = shrink.iter().zip(prior).map(|(shrink, p)| *ridge as f32 * shrink * shrink * p);
            x.iter_mut().zip(start).for_each(|(x, start)| *x = start);
            for column in columns {
                self.scratch.targets.push(1.0 - dot(x, &vectors[*column as usize * width..][..width]));
            }
            self.parts[row][0] = prior_value(of, *ridge, prior.as_slice().expect("vectors are in standard layout"));
        }
    }
}

/// What a row's prior costs where there are no pairs: `sum over k of a0 e r p^2 / (a0 e + r)`.
fn prior_value(of: HalfEpoch<'_>, ridge: f64, prior: &[f32]) -> f64 {
    let terms = prior.iter().zip(&of.fixed.eigenvalues).map(|(p, e)| {
        let pull = of.unobserved_weight * e;
        pull * ridge / (pull + ridge) * f64::from(*p).powi(2)
    });
    terms.sum()
}

/// Up to how many pairs rows are solved side by side: their tile should stay within the second-level cache, and from about
/// two dozen pairs on gradients take fewer operations.
fn together_up_to(width: usize) -> usize {
    (16_384 / width).clamp(16, 24)
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
