//! Laws that hold for every input: nothing differs from itself, order is no information, sides can be swapped.

use drift::{
    Comparison, Counts, Sample, Share,
    categories::Aligned,
    chi_squared, jensen_shannon, ks, psi,
    two_proportions::{self, Side},
    wasserstein,
};
use proptest::prelude::*;

fn sample(values: &[f64]) -> Sample {
    Sample::new(values.to_vec()).unwrap()
}

/// Small integers, so that ties are common, and fractions, so that they are not.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![(-3_i32..4).prop_map(f64::from), -5.0..5.0];
    prop::collection::vec(value, 1..60)
}

fn counts() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((0_u64..40, 0_u64..40), 1..12)
}

/// Exactly: the law is about identity, not about closeness.
fn is_zero(effect: f64) -> bool {
    effect.abs() < f64::MIN_POSITIVE
}

fn is_sound(test: &Comparison) -> bool {
    let p_fits = test.p.is_none_or(|p| (0.0..=1.0).contains(&p));
    p_fits && test.statistic.is_finite() && test.effect.is_finite() && test.effect >= 0.0 && test.floor.is_finite()
}

proptest! {
    #[test]
    fn nothing_differs_from_itself(values in values(), table in counts(), hits in 0_u64..20, more in 0_u64..20) {
        let x = sample(&values);
        prop_assert!(is_zero(ks::two_sample(&x, &x).effect));
        prop_assert!(ks::two_sample(&x, &x).p.unwrap() > 1.0 - 1e-9);
        prop_assert!(is_zero(wasserstein::compare(&x, &x).effect));
        let row: Vec<u64> = table.iter().map(|(a, _)| *a).collect();
        prop_assert!(is_zero(psi::compare(&row, &row).effect));
        prop_assert!(is_zero(chi_squared::homogeneity(&row, &row).effect));
        prop_assert!(is_zero(jensen_shannon::distance(&row, &row).unwrap_or(0.0)));
        let share = Share { hits, of: hits + more };
        prop_assert!(is_zero(two_proportions::compare(share, share, Side::Both).effect));
    }

    #[test]
    fn order_inside_a_sample_changes_no_bit(values in values(), others in values()) {
        let mut back = values.clone();
        back.reverse();
        let (x, y) = (sample(&values), sample(&others));
        prop_assert_eq!(ks::two_sample(&sample(&back), &y), ks::two_sample(&x, &y));
        prop_assert_eq!(wasserstein::compare(&sample(&back), &y), wasserstein::compare(&x, &y));
    }

    #[test]
    fn swapping_sides_keeps_p_and_effect(values in values(), others in values(), table in counts()) {
        let gap = |a: &[f64], b: &[f64]| ks::Gap::between(&sample(a), &sample(b));
        let (forth, back) = (gap(&values, &others), gap(&others, &values));
        prop_assert_eq!(forth.exact_p().to_bits(), back.exact_p().to_bits());
        let (a, b): (Vec<u64>, Vec<u64>) = table.into_iter().unzip();
        let (forth, back) = (chi_squared::homogeneity(&a, &b), chi_squared::homogeneity(&b, &a));
        prop_assert_eq!(forth.status, back.status);
        prop_assert!((forth.p.unwrap_or(2.0) - back.p.unwrap_or(2.0)).abs() < 1e-9);
        prop_assert!((forth.effect - back.effect).abs() < 1e-9);
    }

    #[test]
    fn no_input_gives_a_number_that_is_none(values in values(), others in values(), table in counts()) {
        let (x, y) = (sample(&values), sample(&others));
        prop_assert!(is_sound(&ks::two_sample(&x, &y)));
        prop_assert!(is_sound(&wasserstein::compare(&x, &y)));
        let (a, b): (Vec<u64>, Vec<u64>) = table.into_iter().unzip();
        prop_assert!(is_sound(&chi_squared::homogeneity(&a, &b)));
        prop_assert!(is_sound(&psi::compare(&a, &b)));
        let named = |row: &[u64]| Counts {
            named: row.iter().enumerate().map(|(at, count)| (format!("c{at}"), *count)).collect(),
            other: 0,
        };
        prop_assert!(is_sound(&Aligned::new(&named(&a), &named(&b).cut_to(3)).compare()));
        let share = |row: &[u64]| Share { hits: row[0], of: row[0] + row.last().unwrap() };
        prop_assert!(is_sound(&two_proportions::compare(share(&a), share(&b), Side::Rise)));
    }

    #[test]
    fn a_stretched_scale_leaves_the_gap_alone(values in values(), others in values()) {
        let stretch = |values: &[f64]| sample(&values.iter().map(|x| x.powi(3) + x).collect::<Vec<_>>());
        let (plain, stretched) = (
            ks::Gap::between(&sample(&values), &sample(&others)),
            ks::Gap::between(&stretch(&values), &stretch(&others)),
        );
        prop_assert_eq!(plain.h, stretched.h);
    }
}
