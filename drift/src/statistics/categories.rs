//! Counts by category, and the comparison of two such counts when one of them was cut to its head.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Comparison, Status, chi_squared, jensen_shannon};

/// How often each category was seen. Ordered by name, so that equal counts have equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Categories kept by name.
    pub named: BTreeMap<String, u64>,
    /// All others together; 0 when nothing was cut.
    #[serde(default)]
    pub other: u64,
}

impl Counts {
    /// Counts one more of a category.
    pub fn count(&mut self, category: &str) {
        if let Some(count) = self.named.get_mut(category) {
            *count += 1;
        } else {
            self.named.insert(category.to_owned(), 1);
        }
    }

    /// Everything counted.
    pub fn total(&self) -> u64 {
        self.named.values().sum::<u64>() + self.other
    }

    /// Only the `keep` most frequent categories by name (ties by name, ascending), the rest in `other`.
    #[must_use]
    pub fn cut_to(self, keep: usize) -> Self {
        let mut by_count: Vec<(String, u64)> = self.named.into_iter().collect();
        by_count.sort_by_key(|(_, count)| std::cmp::Reverse(*count)); // Stable: names stay ascending.
        let tail = by_count.split_off(keep.min(by_count.len()));
        Self {
            named: by_count.into_iter().collect(),
            other: self.other + tail.iter().map(|(_, count)| count).sum::<u64>(),
        }
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        for (category, count) in &other.named {
            *self.named.entry(category.clone()).or_default() += count;
        }
        self.other += other.other;
    }
}

/// One category's share on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mover {
    /// The category.
    pub category: String,
    /// Its share in the reference, in `[0, 1]`.
    pub before: f64,
    /// Its share now, in `[0, 1]`.
    pub after: f64,
}

/// Two counts brought to the same columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aligned {
    /// Names of the columns, all but the last.
    pub names: Vec<String>,
    /// Reference counts, shape `(names.len() + 1,)`; the last is everything else.
    pub reference: Vec<u64>,
    /// Current counts, same shape.
    pub current: Vec<u64>,
}

impl Aligned {
    /// A category has its own column only when neither side may hide it in its `other`.
    pub fn new(reference: &Counts, current: &Counts) -> Self {
        let mut aligned = Self { names: Vec::new(), reference: Vec::new(), current: Vec::new() };
        let (mut rest_reference, mut rest_current) = (reference.other, current.other);
        let names: std::collections::BTreeSet<&String> = reference.named.keys().chain(current.named.keys()).collect();
        for name in names {
            let (a, b) = (reference.named.get(name), current.named.get(name));
            let visible = (a.is_some() || reference.other == 0) && (b.is_some() || current.other == 0);
            let (a, b) = (a.copied().unwrap_or(0), b.copied().unwrap_or(0));
            if visible {
                aligned.names.push(name.clone());
                aligned.reference.push(a);
                aligned.current.push(b);
            } else {
                rest_reference += a;
                rest_current += b;
            }
        }
        aligned.reference.push(rest_reference);
        aligned.current.push(rest_current);
        aligned
    }

    /// Chi-square p-value with the Jensen-Shannon distance (base 2) as effect, both over the same pooled columns.
    ///
    /// Statistic, method, degenerate and insufficient cases are those of [`chi_squared::homogeneity`].
    pub fn compare(&self) -> Comparison {
        let (reference, current) = chi_squared::pool_rare(&self.reference, &self.current);
        let tested = chi_squared::of_pooled(&reference, &current);
        if tested.status != Status::Ok {
            return tested;
        }
        Comparison {
            effect: jensen_shannon::distance(&reference, &current).unwrap_or(0.0),
            floor: jensen_shannon::floor(reference.len(), tested.m, tested.n),
            ..tested
        }
    }

    /// The named category whose share changed most (ties by name); `None` when a side is empty or none is named.
    pub fn strongest_mover(&self) -> Option<Mover> {
        let (m, n) = (self.reference.iter().sum::<u64>(), self.current.iter().sum::<u64>());
        if m == 0 || n == 0 {
            return None;
        }
        let movers = self.names.iter().zip(self.reference.iter().zip(&self.current)).map(|(name, (a, b))| Mover {
            category: name.clone(),
            before: *a as f64 / m as f64,
            after: *b as f64 / n as f64,
        });
        // `rev` because `max_by` keeps the last of equals, and the first by name should win.
        movers.rev().max_by(|a, b| (a.after - a.before).abs().total_cmp(&(b.after - b.before).abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(named: &[(&str, u64)], other: u64) -> Counts {
        Counts { named: named.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(), other }
    }

    #[test]
    fn a_category_that_was_cut_away_is_compared_inside_other() {
        let reference = counts(&[("crime", 60), ("poetry", 40)], 0).cut_to(1);
        assert_eq!(reference, counts(&[("crime", 60)], 40));
        let aligned = Aligned::new(&reference, &counts(&[("crime", 30), ("poetry", 19), ("travel", 1)], 0));
        assert_eq!(
            (aligned.names, aligned.reference, aligned.current),
            (vec!["crime".into()], vec![60, 40], vec![30, 20])
        );
    }

    #[test]
    fn the_test_is_chi_square_and_the_size_is_jensen_shannon() {
        let reference = counts(&[("a", 50), ("b", 30), ("c", 20)], 0);
        let current = counts(&[("a", 40), ("b", 25), ("c", 35)], 0);
        let aligned = Aligned::new(&reference, &current);
        let got = aligned.compare();
        assert!((got.p.unwrap() - 0.059_114_3).abs() < 5e-8 && (got.effect - 0.143_530_1).abs() < 5e-8);
        let mover = aligned.strongest_mover().unwrap();
        assert_eq!((mover.category.as_str(), mover.before, mover.after), ("c", 0.2, 0.35));
    }
}
