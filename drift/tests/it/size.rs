//! Fixed-size tests reject a true null at 5 % no more often than 5 %: counted, inside the 99 % binomial band. Cautious
//! is allowed where values are discrete, liberal never.

use drift::{Comparison, Sample, Share, chi_squared, ks, two_proportions};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Poisson};

const NULLS: u32 = 4000;

/// 0.05 plus 2.58 standard deviations of 4000 coin throws.
const AT_MOST: f64 = 0.05 + 2.58 * 0.003_446;

fn check(what: &str, at_least: f64, mut null: impl FnMut(&mut ChaCha8Rng) -> Comparison) {
    let mut random = ChaCha8Rng::seed_from_u64(17);
    let rejected = (0..NULLS).filter(|_| null(&mut random).p.is_some_and(|p| p <= 0.05)).count();
    let size = rejected as f64 / f64::from(NULLS);
    println!("{what}: size {size:.4}");
    assert!((at_least..=AT_MOST).contains(&size), "{what}: {size}");
}

fn uniform(n: usize, random: &mut ChaCha8Rng) -> Sample {
    Sample::new((0..n).map(|_| random.random::<f64>()).collect()).unwrap()
}

fn poisson(n: usize, mean: f64, random: &mut ChaCha8Rng) -> Sample {
    let law = Poisson::new(mean).unwrap();
    Sample::new((0..n).map(|_| law.sample(random)).collect()).unwrap()
}

/// `n` draws from `k` categories, category `c` in proportion to `1 / (c + 1)`.
fn categories(n: u64, k: usize, random: &mut ChaCha8Rng) -> Vec<u64> {
    let weights: Vec<f64> = (0..k).map(|c| 1.0 / (c as f64 + 1.0)).collect();
    let total: f64 = weights.iter().sum();
    let mut counts = vec![0; k];
    for _ in 0..n {
        let mut point = random.random::<f64>() * total;
        let at = weights.iter().position(|weight| {
            point -= weight;
            point < 0.0
        });
        counts[at.unwrap_or(k - 1)] += 1;
    }
    counts
}

#[test]
fn kolmogorov_smirnov_keeps_its_level() {
    check("KS 20 x 30", 0.03, |random| ks::two_sample(&uniform(20, random), &uniform(30, random)));
    check("KS 100 x 100", 0.02, |random| ks::two_sample(&uniform(100, random), &uniform(100, random)));
    check("KS 300 x 100", 0.03, |random| ks::two_sample(&uniform(300, random), &uniform(100, random)));
}

#[test]
fn kolmogorov_smirnov_keeps_its_level_with_ties() {
    check("tied KS 100 x 100", 0.01, |random| ks::two_sample(&poisson(100, 0.7, random), &poisson(100, 0.7, random)));
    check("tied KS 1000 x 200", 0.02, |random| ks::two_sample(&poisson(1000, 4.0, random), &poisson(200, 4.0, random)));
}

#[test]
fn chi_square_keeps_its_level_with_rare_categories() {
    for (m, n, k) in [(100, 100, 3), (20, 100, 10), (1000, 200, 10), (1000, 100, 50), (500, 500, 200)] {
        check(&format!("chi-square {m} x {n}, {k} categories"), 0.02, |random| {
            chi_squared::homogeneity(&categories(m, k, random), &categories(n, k, random))
        });
    }
}

#[test]
fn shares_keep_their_level_when_hits_are_rare() {
    for (m, n, chance) in [(20, 20, 0.3), (1000, 100, 0.02), (500, 500, 0.2)] {
        check(&format!("shares {m} x {n} at {chance}"), 0.0, |random| {
            let mut share =
                |of: u64| Share { hits: (0..of).filter(|_| random.random::<f64>() < chance).count() as u64, of };
            let (reference, current) = (share(m), share(n));
            two_proportions::compare(reference, current, two_proportions::Side::Both)
        });
    }
}
