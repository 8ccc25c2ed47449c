//! Fisher's exact test: the 2 x 2 table whose cells are too small for any limit law.

use statrs::function::factorial::ln_factorial;

use super::probability;

/// Chances of tables at least as extreme as the one seen, with all margins held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tails {
    /// At least as many hits on the current side.
    pub more: f64,
    /// Any table no more likely than the one seen.
    pub two_sided: f64,
}

impl Tails {
    /// Of `reference_hits` among `m` against `current_hits` among `n`. Panics if there are more hits than trials.
    ///
    /// The current side's hits follow the hypergeometric law given both margins; `two_sided` sums every table whose
    /// chance is at most that of the seen one times `1 + 1e-7`, smallest first.
    ///
    /// ```
    /// let got = drift::fisher::Tails::of(2, 10, 7, 10);
    /// assert!((got.more - 0.034_889_3).abs() < 1e-7 && (got.two_sided - 0.069_778_5).abs() < 1e-7);
    /// ```
    pub fn of(reference_hits: u64, m: u64, current_hits: u64, n: u64) -> Self {
        assert!(reference_hits <= m && current_hits <= n, "hits are a part of their trials");
        let hits = reference_hits + current_hits;
        let misses = m + n - hits;
        let ln_total = ln_choose(m + n, n);
        let chance = |x: u64| (ln_choose(hits, x) + ln_choose(misses, n - x) - ln_total).exp();
        let support = n.saturating_sub(misses)..=hits.min(n);
        let seen = chance(current_hits);
        let mut as_rare: Vec<f64> = support.clone().map(chance).filter(|p| *p <= seen * (1.0 + 1e-7)).collect();
        as_rare.sort_unstable_by(f64::total_cmp);
        let mut more: Vec<f64> = support.filter(|x| *x >= current_hits).map(chance).collect();
        more.sort_unstable_by(f64::total_cmp);
        Self { more: probability(more.iter().sum()), two_sided: probability(as_rare.iter().sum()) }
    }
}

fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_of_three_against_none_of_three() {
        // One of the 20 ways to place three hits in six trials.
        let got = Tails::of(0, 3, 3, 3);
        assert!((got.more - 0.05).abs() < 1e-12 && (got.two_sided - 0.1).abs() < 1e-12, "{got:?}");
    }

    #[test]
    fn swapping_sides_keeps_the_two_sided_chance() {
        let (one, other) = (Tails::of(1, 40, 6, 25), Tails::of(6, 25, 1, 40));
        assert!((one.two_sided - other.two_sided).abs() < 1e-12);
    }

    #[test]
    fn no_hits_at_all_are_no_surprise() {
        let got = Tails::of(0, 9, 0, 4);
        assert!((got.more - 1.0).abs() < 1e-12 && (got.two_sided - 1.0).abs() < 1e-12);
    }
}
