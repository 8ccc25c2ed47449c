//! Several models as one: a weighted sum of their scores, each on its own scale.

use crate::artifact::{Malformed, Scorer, malformed};

/// A weighted sum of members: `score(j) = sum over members of weight score_m(j) / sd_m`.
///
/// `sd_m` is the standard deviation of the member's scores over the whole catalogue for this very history, so that the
/// weights mean the same whatever the members' scales; subtracting the means as well would move all books alike and
/// change no list. A member whose scores are all equal has nothing to say and adds nothing.
#[derive(Debug, Clone)]
pub struct Blend {
    members: Vec<Member>,
}

/// One model of a [`Blend`].
#[derive(Debug, Clone)]
pub struct Member {
    /// Its share in the sum, above zero.
    pub weight: f32,
    /// How it scores.
    pub scorer: Scorer,
}

impl Blend {
    /// Checks and wraps: two members or more, each with a positive finite weight, none a blend itself, all of one size.
    pub fn new(members: Vec<Member>) -> Result<Self, Malformed> {
        if members.len() < 2 {
            return Err(malformed("blend", "two members or more", members.len()));
        }
        for member in &members {
            if !member.weight.is_finite() || member.weight <= 0.0 {
                return Err(malformed("blend.weight", "a positive number", member.weight));
            }
            if matches!(member.scorer, Scorer::Blend(_)) {
                return Err(malformed("blend", "members that are no blends", "a blend"));
            }
        }
        let mut sizes = members.iter().filter_map(|member| member.scorer.n_books());
        if let Some(first) = sizes.next()
            && let Some(other) = sizes.find(|size| *size != first)
        {
            return Err(malformed("blend", format!("members of {first} books"), other));
        }
        Ok(Self { members })
    }

    /// The members, in the order they are summed.
    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

/// Standard deviation of all values, dividing by their number; 0 for none.
///
/// Sums in `f64`, every eighth value by itself, so that equal scores give equal scales on every machine.
pub fn standard_deviation(values: &[f32]) -> f64 {
    let n = values.len().max(1) as f64;
    let mean = sum(values, f64::from) / n;
    (sum(values, |value| (f64::from(value) - mean).powi(2)) / n).sqrt()
}

fn sum(values: &[f32], term: impl Fn(f32) -> f64) -> f64 {
    let (eights, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for eight in eights {
        sums.iter_mut().zip(eight).for_each(|(sum, value)| *sum += term(*value));
    }
    sums.iter().sum::<f64>() + rest.iter().map(|value| term(*value)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::{
        artifact::{Neighbours, Objective},
        id::BookRow,
    };

    fn neighbours(n_books: usize) -> Scorer {
        let offsets = std::iter::once(0).chain(std::iter::repeat_n(1, n_books)).collect();
        Scorer::Neighbours(Neighbours::new(n_books, offsets, vec![BookRow(1)], vec![0.5]).unwrap())
    }

    fn factors() -> Scorer {
        let objective = Objective { unobserved_weight: 0.1, regularization: 0.2, frequency_exponent: 1.0 };
        let factors = crate::Factors::new(array![[1.0], [2.0], [3.0]], array![14.0], objective).unwrap();
        Scorer::Factors(factors)
    }

    #[test]
    fn members_that_do_not_fit_are_refused() {
        let member = |weight, scorer| Member { weight, scorer };
        let refused = |members| Blend::new(members).unwrap_err().to_string();
        assert_eq!(refused(vec![]), "model part blend: expected two members or more, found 0");
        let zero = refused(vec![member(1.0, factors()), member(0.0, neighbours(3))]);
        assert_eq!(zero, "model part blend.weight: expected a positive number, found 0");
        let sizes = refused(vec![member(1.0, factors()), member(1.0, Scorer::Popularity), member(1.0, neighbours(2))]);
        assert_eq!(sizes, "model part blend: expected members of 3 books, found 2");
        let whole = Blend::new(vec![member(1.0, factors()), member(1.0, neighbours(3))]).unwrap();
        let nested = refused(vec![member(1.0, factors()), member(1.0, Scorer::Blend(whole))]);
        assert_eq!(nested, "model part blend: expected members that are no blends, found a blend");
    }

    #[test]
    fn the_spread_is_taken_around_the_mean() {
        // Mean 3; squares 4, 0, 4; (8 / 3)^1/2.
        let spread = standard_deviation(&[1.0, 3.0, 5.0]);
        assert!((spread - (8.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        // Four ones, nine threes, four fives: mean 3; eight squares of 4 over 17.
        let many = [[1.0; 4].as_slice(), &[3.0; 9], &[5.0; 4]].concat();
        assert!((standard_deviation(&many) - (32.0_f64 / 17.0).sqrt()).abs() < 1e-12);
        assert!(standard_deviation(&[]).abs() < f64::MIN_POSITIVE);
    }
}
