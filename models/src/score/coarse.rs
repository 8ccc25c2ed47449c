//! Book factors in eight bits with bounds on what that loses: most books are ruled out without reading their factors.
//!
//! A row `y` is `scale * bytes` up to `lost = |y - scale * bytes|`, a reader `x` likewise. By Cauchy and Schwarz
//! `|x.y - sx sy (bx.by)| <= |x - sx bx| |y| + |sx bx| lost`, and the score in `f32` is within `(d + 2) 2^-24 |x||y|` of
//! `x.y`. Books whose upper bound stays below the `k`-th best lower bound cannot be among the best `k`; the rest get
//! their real scores. So the answer is exact, for a quarter of the memory traffic, and for less where norms differ: books
//! lie by falling norm, and where `|x||y|` alone is below the bar nothing further is read.

#![expect(clippy::inline_always, reason = "what is inlined into `widest` is compiled for its instructions")]

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use super::wide::{INT_BOOKS, INT_STEP, IntStep, Work, int_dots, widest};
use crate::id::BookRow;

/// Panels whose integers are computed before they are looked at, so that they stay in the first cache.
const RUN: usize = 64;
/// Adding and taking away this number leaves the nearest whole number in the low bits, ties to even.
const ROUND: f32 = 12_582_912.0;

/// The coarse copy of a model's factors, made when it is first asked for and shared by clones of the model.
#[derive(Clone, Default)]
pub(crate) struct LazyCoarse(Arc<OnceLock<Coarse>>);

impl LazyCoarse {
    /// The copy of these rows of `d` factors, which must be the same ones each time.
    pub(super) fn of(&self, books: &[f32], d: usize) -> &Coarse {
        // On this thread alone: one of a pool that waited for others here could be given work that waits for this.
        self.0.get_or_init(|| Coarse::new(books, d))
    }
}

/// Derived from the factors, so it never tells two models apart.
impl PartialEq for LazyCoarse {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for LazyCoarse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "made" } else { "not made" })
    }
}

/// See the module.
pub(super) struct Coarse {
    /// Row of the book at each place, by falling norm.
    rows: Vec<BookRow>,
    /// Steps of a row.
    steps: usize,
    /// `[panel][step]`, each with [`INT_STEP`] values of [`INT_BOOKS`] books.
    bytes: Vec<IntStep>,
    bounds: Vec<Bounds>,
    /// The largest norm.
    pub longest: f32,
}

/// What is known of the books of a panel besides their bytes; places without a book are zero.
#[derive(Clone, Copy, Default)]
struct Bounds {
    scale: [f32; INT_BOOKS],
    /// Norms, rounded up.
    norm: [f32; INT_BOOKS],
    /// `|y - scale * bytes|`, rounded up.
    lost: [f32; INT_BOOKS],
}

/// A book that may be among the best.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Candidate {
    row: BookRow,
    lower: f32,
    upper: f32,
}

impl Coarse {
    fn new(books: &[f32], d: usize) -> Self {
        let steps = d.div_ceil(INT_STEP);
        let n_books = books.len() / d;
        let n_panels = n_books.div_ceil(INT_BOOKS);
        let norms: Vec<f32> = books.chunks_exact(d).map(|row| up(norm(row, f64::from))).collect();
        let mut rows: Vec<BookRow> = (0..n_books as u32).map(BookRow).collect();
        rows.sort_unstable_by(|a, b| norms[b.index()].total_cmp(&norms[a.index()]).then(a.cmp(b)));
        let mut bytes = vec![[0; INT_BOOKS * INT_STEP]; n_panels * steps];
        let mut bounds = vec![Bounds::default(); n_panels];
        widest(Fill { books, rows: &rows, d, bytes: &mut bytes, bounds: &mut bounds });
        let longest = rows.first().map_or(0.0, |row| norms[row.index()]);
        Self { rows, steps, bytes, bounds, longest }
    }

    /// A search for the best books of one reader, which has looked at nothing yet.
    ///
    /// `None` where the numbers are too large for the bounds to hold.
    pub fn search(&self, x: &[f32], k: usize) -> Option<Search> {
        let length = up(norm(x, f64::from));
        // Twice the product bounds every intermediate result; far from overflow the error analysis is that of
        // relative roundings and of `tiny`.
        if !(length * self.longest < f32::MAX / 1e6 && length < 1e18 && self.longest < 1e18) {
            return None;
        }
        let coarse = Rounded::of(x);
        let mut query = vec![[0; INT_STEP]; self.steps];
        for (step, values) in query.iter_mut().zip(x.chunks(INT_STEP)) {
            step.iter_mut().zip(values).for_each(|(byte, value)| *byte = coarse.byte(*value));
        }
        // The canonical chain and this module's own arithmetic: (d + 2) and fewer than 14 roundings, all relative to |x||y|.
        let slack = (x.len() + 16) as f32 * (1.0 / 16_777_216.0) * length;
        let kept = norm(x, |value| coarse.kept(value));
        let reader = ReaderBounds {
            length,
            slack,
            scale: coarse.scale,
            of_norm: up(f64::from(up(coarse.lost(x))) + f64::from(slack)),
            of_lost: up(kept),
            tiny: x.len() as f32 * f32::MIN_POSITIVE,
        };
        Some(Search { query, reader, field: Field::new(k, self.rows.len()) })
    }

    /// Runs of books that stay in the first cache while they are looked at; see [`Search::look`].
    pub fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        let parts =
            self.bytes.chunks(RUN * self.steps).zip(self.bounds.chunks(RUN)).zip(self.rows.chunks(RUN * INT_BOOKS));
        parts.map(|((bytes, bounds), rows)| Run { bytes, bounds, rows })
    }
}

/// Some books, by falling norm; those of later runs are no longer.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    bytes: &'a [IntStep],
    bounds: &'a [Bounds],
    rows: &'a [BookRow],
}

/// One reader's candidates so far.
pub(super) struct Search {
    query: Vec<[i8; INT_STEP]>,
    reader: ReaderBounds,
    field: Field,
}

impl Search {
    /// Takes the candidates among a run's `eligible` books. `false` where neither it nor a later run can have one.
    pub fn look(&mut self, run: Run<'_>, eligible: impl Fn(BookRow) -> bool) -> bool {
        let Run { bytes, bounds, rows } = run;
        let ReaderBounds { length, slack, tiny, .. } = self.reader;
        let longest = bounds[0].norm[0];
        if up(f64::from(longest) * f64::from(length)) + longest * slack + tiny < self.field.bar {
            return false;
        }
        let mut dots = [[0; INT_BOOKS]; RUN];
        let dots = &mut dots[..bounds.len()];
        int_dots(bytes, &self.query, dots);
        widest(Look { dots, bounds, reader: &self.reader, field: &mut self.field, rows, eligible: &eligible });
        true
    }

    /// All books that can be among the best `k`, ascending by row; some that are not as well.
    pub fn candidates(self) -> Vec<BookRow> {
        self.field.finish().into_iter().map(|candidate| candidate.row).collect()
    }
}

struct Fill<'a> {
    books: &'a [f32],
    rows: &'a [BookRow],
    d: usize,
    bytes: &'a mut [IntStep],
    bounds: &'a mut [Bounds],
}

impl Work for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let steps = self.d.div_ceil(INT_STEP);
        let panels = self.bytes.chunks_exact_mut(steps).zip(self.bounds).zip(self.rows.chunks(INT_BOOKS));
        for ((bytes, bounds), rows) in panels {
            for (book, row) in rows.iter().enumerate() {
                let row = &self.books[row.index() * self.d..][..self.d];
                let coarse = Rounded::of(row);
                for (step, values) in bytes.iter_mut().zip(row.chunks(INT_STEP)) {
                    let place = &mut step[book * INT_STEP..][..values.len()];
                    place.iter_mut().zip(values).for_each(|(byte, value)| *byte = coarse.byte(*value));
                }
                bounds.scale[book] = coarse.scale;
                bounds.norm[book] = up(norm(row, f64::from));
                bounds.lost[book] = up(coarse.lost(row));
            }
        }
    }
}

/// What is known of a reader besides the bytes.
struct ReaderBounds {
    /// Its norm, rounded up.
    length: f32,
    /// What rounding costs per unit of a book's norm.
    slack: f32,
    scale: f32,
    /// Error per unit of a book's norm.
    of_norm: f32,
    /// Error per unit of what a book lost.
    of_lost: f32,
    /// What results too small for full precision lose, all together.
    tiny: f32,
}

struct Look<'a, F> {
    dots: &'a [[i32; INT_BOOKS]],
    bounds: &'a [Bounds],
    reader: &'a ReaderBounds,
    field: &'a mut Field,
    /// Rows of the books, panel by panel.
    rows: &'a [BookRow],
    eligible: &'a F,
}

impl<F: Fn(BookRow) -> bool> Work for Look<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let ReaderBounds { scale, of_norm, of_lost, tiny, .. } = *self.reader;
        for (panel, (dots, bounds)) in self.dots.iter().zip(self.bounds).enumerate() {
            let (mut middle, mut error) = ([0.0_f32; INT_BOOKS], [0.0_f32; INT_BOOKS]);
            let mut near = false;
            for book in 0..INT_BOOKS {
                middle[book] = dots[book] as f32 * (bounds.scale[book] * scale);
                error[book] = bounds.norm[book] * of_norm + bounds.lost[book] * of_lost + tiny;
                near |= middle[book] + error[book] >= self.field.bar;
            }
            if near {
                for (book, row) in self.rows[panel * INT_BOOKS..].iter().take(INT_BOOKS).enumerate() {
                    let row = *row;
                    let (lower, upper) = (middle[book] - error[book], middle[book] + error[book]);
                    if upper >= self.field.bar && (self.eligible)(row) {
                        self.field.offer(Candidate { row, lower, upper });
                    }
                }
            }
        }
    }
}

/// The candidates so far.
struct Field {
    k: usize,
    /// `k`-th best lower bound of those seen: whatever stays below it is out.
    bar: f32,
    held: Vec<Candidate>,
    /// Length at which `held` is cleared of those below the bar.
    limit: usize,
}

impl Field {
    fn new(k: usize, n_books: usize) -> Self {
        let k = k.min(n_books);
        Self { k, bar: f32::NEG_INFINITY, held: Vec::new(), limit: 2 * k + 64 }
    }

    #[inline(never)]
    fn offer(&mut self, candidate: Candidate) {
        if self.k > 0 {
            self.held.push(candidate);
        }
        if self.held.len() >= self.limit {
            self.clear();
            // Where many are alike, most stay: clearing again after a handful more would never end.
            self.limit = 2 * self.held.len().max(self.k) + 64;
        }
    }

    fn clear(&mut self) {
        if self.held.len() > self.k {
            let (_, kth, _) = self.held.select_nth_unstable_by(self.k - 1, |a, b| b.lower.total_cmp(&a.lower));
            self.bar = self.bar.max(kth.lower);
            self.held.retain(|candidate| candidate.upper >= self.bar);
        }
    }

    fn finish(mut self) -> Vec<Candidate> {
        self.clear();
        self.held.sort_unstable_by_key(|candidate| candidate.row);
        self.held
    }
}

/// A row's scale; see [`ROUND`] for how its bytes come about.
struct Rounded {
    scale: f32,
    per_value: f32,
}

impl Rounded {
    #[inline(always)]
    fn of(row: &[f32]) -> Self {
        let largest = row.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let per_value = 127.0 / largest;
        // A row too small to be divided by is taken as zero; all of it is lost, which the bounds then say.
        if per_value.is_finite() {
            Self { scale: largest / 127.0, per_value }
        } else {
            Self { scale: 0.0, per_value: 0.0 }
        }
    }

    /// In -127 to 127.
    #[inline(always)]
    fn byte(&self, value: f32) -> i8 {
        (value * self.per_value + ROUND).to_bits() as i8
    }

    /// What the byte stands for.
    #[inline(always)]
    fn kept(&self, value: f32) -> f64 {
        f64::from(self.scale) * f64::from(self.byte(value))
    }

    #[inline(always)]
    fn lost(&self, row: &[f32]) -> f64 {
        norm(row, |value| f64::from(value) - self.kept(value))
    }
}

/// Euclidean length of what the values become, in sums side by side.
#[inline(always)]
fn norm(values: &[f32], becomes: impl Fn(f32) -> f64) -> f64 {
    let mut lanes = [0.0; 8];
    let (eights, rest) = values.as_chunks::<8>();
    for eight in eights.iter().map(|eight| &eight[..]).chain([rest]) {
        for (lane, value) in lanes.iter_mut().zip(eight) {
            *lane += becomes(*value).powi(2);
        }
    }
    lanes.iter().sum::<f64>().sqrt()
}

/// A bound in `f32` that is not below the value, which is exact to a part in a billion.
fn up(value: f64) -> f32 {
    (value * (1.0 + 1e-6)) as f32 + f32::MIN_POSITIVE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(coarse: &Coarse, x: &[f32], k: usize, eligible: impl Fn(BookRow) -> bool) -> Option<Vec<Candidate>> {
        let mut search = coarse.search(x, k)?;
        let _ended = coarse.runs().find(|run| !search.look(*run, &eligible));
        Some(search.field.finish())
    }

    #[test]
    fn a_product_in_bytes_has_the_hand_computed_bound() {
        // x (.6, -.2) is (127, -42), y (.5, .25) is (127, 64): 13441 of (.6 / 127)(.5 / 127) is .2500031, exact .25.
        let (x, y) = ([0.6, -0.2], [0.5, 0.25]);
        let (of_x, of_y) = (Rounded::of(&x), Rounded::of(&y));
        assert_eq!((x.map(|v| of_x.byte(v)), y.map(|v| of_y.byte(v))), ([127, -42], [127, 64]));
        let bound = of_x.lost(&x) * norm(&y, f64::from) + norm(&x, |value| of_x.kept(value)) * of_y.lost(&y);
        assert!((bound - 0.002_124).abs() < 1e-6, "{bound}");
        let candidates = field(&Coarse::new(&y, 2), &x, 1, |_| true).unwrap();
        let [Candidate { lower, upper, .. }] = candidates[..] else { panic!("{candidates:?}") };
        assert!((f64::midpoint(f64::from(lower), f64::from(upper)) - 0.250_003_1).abs() < 1e-6);
        assert!((f64::from(upper - lower) / 2.0 - bound).abs() < 1e-5);
    }

    proptest! {
        #[test]
        fn bounds_hold_for_rows_of_any_size(
            values in prop::collection::vec(-1.0_f32..1.0, 11 * 5),
            sizes in prop::collection::vec(-30_i32..12, 11),
        ) {
            let mut rows: Vec<Vec<f32>> = values.chunks_exact(5).map(<[f32]>::to_vec).collect();
            for (row, size) in rows.iter_mut().zip(&sizes) {
                for value in row {
                    *value *= 10.0_f32.powi(*size);
                }
            }
            let (x, books) = (rows.pop().unwrap(), rows.concat());
            let candidates = field(&Coarse::new(&books, 5), &x, 10, |_| true).unwrap();
            prop_assert_eq!(candidates.len(), 10);
            for Candidate { row, lower, upper } in candidates {
                let score = books[row.index() * 5..][..5].iter().zip(&x).fold(0.0_f32, |sum, (y, x)| x.mul_add(*y, sum));
                prop_assert!(lower <= score && score <= upper, "{lower} {score} {upper}");
            }
        }
    }

    /// Norms 1, 2, .. 2000 in one direction: for the best one, all behind the first run are known to be worse unread.
    #[test]
    fn short_rows_are_not_read_and_the_best_is_found_wherever_it_lies() {
        let n = 2_000_u32;
        let norm_of = |row: u32| 1 + row * 7 % n;
        let row_of = |norm: u32| (0..n).find(|row| norm_of(*row) == norm).map(BookRow).unwrap();
        let books: Vec<f32> = (0..n).flat_map(|row| [norm_of(row) as f32, 0.0]).collect();
        let coarse = Coarse::new(&books, 2);
        assert!(coarse.rows.is_sorted_by(|a, b| norm_of(a.0) > norm_of(b.0)));
        let mut search = coarse.search(&[1.0, 0.0], 1).unwrap();
        let n_read = coarse.runs().take_while(|run| search.look(*run, |_| true)).count();
        assert_eq!((n_read, search.candidates().contains(&row_of(2_000))), (1, true));
        // Where all scores are negative the shortest is the best, and nothing may be left out.
        let found = field(&coarse, &[-1.0, 0.0], 1, |_| true).unwrap();
        assert!(found.iter().any(|candidate| candidate.row == row_of(1)));
    }

    #[test]
    fn numbers_near_overflow_have_no_bounds() {
        assert_eq!(field(&Coarse::new(&[1e20, 0.0], 2), &[1.0, 1.0], 1, |_| true), None);
        assert_eq!(field(&Coarse::new(&[1.0, 0.0], 2), &[f32::NAN, 1.0], 1, |_| true), None);
    }
}
