//! A sample of one number: finite, sorted once, so that order inside a sample can change no bit of any result.

use serde::{Deserialize, Serialize};

/// Values that are not finite were offered; a caller counts them as a data-quality fact and leaves them out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("values that are not finite. count={0}")]
pub struct NotFinite(pub usize);

/// Finite values in ascending order; `-0` is stored as `0`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Sample(Vec<f64>);

impl Sample {
    /// Sorts the values. Refuses infinities and values that are not numbers.
    ///
    /// ```
    /// use drift::Sample;
    /// assert_eq!(Sample::new(vec![3.0, 1.0]).unwrap().values(), [1.0, 3.0]);
    /// assert!(Sample::new(vec![f64::NAN]).is_err());
    /// ```
    pub fn new(mut values: Vec<f64>) -> Result<Self, NotFinite> {
        let refused = values.iter().filter(|value| !value.is_finite()).count();
        if refused > 0 {
            return Err(NotFinite(refused));
        }
        for value in &mut values {
            *value += 0.0; // -0 + 0 is +0: one zero, one place in the order.
        }
        values.sort_unstable_by(f64::total_cmp);
        Ok(Self(values))
    }

    /// The values, ascending.
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values of all samples together.
    #[must_use]
    pub fn pool<'a>(samples: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut values: Vec<f64> = samples.into_iter().flat_map(|sample| sample.0.iter().copied()).collect();
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }

    /// Middle value, the mean of the two middle ones for an even count; `None` when empty.
    pub fn median(&self) -> Option<f64> {
        let upper = *self.0.get(self.0.len() / 2)?;
        if self.0.len() % 2 == 1 { Some(upper) } else { Some(f64::midpoint(self.0[self.0.len() / 2 - 1], upper)) }
    }

    /// Population standard deviation (divisor `len`); `None` when empty.
    pub fn standard_deviation(&self) -> Option<f64> {
        if self.0.is_empty() {
            return None;
        }
        let n = self.0.len() as f64;
        let mean = self.0.iter().sum::<f64>() / n;
        Some((self.0.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt())
    }
}

impl TryFrom<Vec<f64>> for Sample {
    type Error = NotFinite;
    fn try_from(values: Vec<f64>) -> Result<Self, NotFinite> {
        Self::new(values)
    }
}

impl From<Sample> for Vec<f64> {
    fn from(sample: Sample) -> Self {
        sample.0
    }
}

/// Both samples merged: calls `visit(value, copies in x, copies in y)` for every distinct value, ascending.
pub(crate) fn for_each_distinct(x: &Sample, y: &Sample, mut visit: impl FnMut(f64, u64, u64)) {
    let (mut i, mut j) = (0, 0);
    let (x, y) = (x.values(), y.values());
    while i < x.len() || j < y.len() {
        let value = match (x.get(i), y.get(j)) {
            (Some(a), Some(b)) => a.min(*b),
            (Some(a), None) => *a,
            (None, Some(b)) => *b,
            (None, None) => unreachable!("the loop ends when both are spent"),
        };
        let copies = |from: &[f64]| from.iter().take_while(|other| **other <= value).count();
        let (in_x, in_y) = (copies(&x[i..]), copies(&y[j..]));
        visit(value, in_x as u64, in_y as u64);
        i += in_x;
        j += in_y;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_a_value_are_visited_together() {
        let x = Sample::new(vec![2.0, 1.0, 2.0]).unwrap();
        let y = Sample::new(vec![2.0, 3.0]).unwrap();
        let mut seen = Vec::new();
        for_each_distinct(&x, &y, |value, a, b| seen.push((value, a, b)));
        assert_eq!(seen, [(1.0, 1, 0), (2.0, 2, 1), (3.0, 0, 1)]);
    }

    #[test]
    fn both_zeros_are_the_same_value() {
        let zeros = Sample::new(vec![0.0, -0.0]).unwrap();
        assert!(zeros.values().iter().all(|zero| zero.is_sign_positive()));
    }

    #[test]
    fn a_stored_sample_is_checked_when_read() {
        let read: Sample = serde_json::from_str("[5, 1]").unwrap();
        assert_eq!(read.values(), [1.0, 5.0]);
        assert_eq!(read.median(), Some(3.0));
        assert_eq!(read.standard_deviation(), Some(2.0));
    }
}
