//! Bins for a number, cut at the reference's quantiles and nowhere else.
//!
//! Cutting where the current window has its quantiles would make every window's bins different, and their statistic
//! incomparable over time.

use super::sample::Sample;

/// Bins of about equal reference mass that tests ask for.
pub const N_BINS: usize = 20;

/// Counts of both samples in bins cut at the reference's quantiles: `(reference, current)`, equal lengths.
///
/// About [`N_BINS`] bins. A value holding more than half a bin's mass gets a bin of its own; the outer bins are open
/// to both infinities. An empty reference gives one bin.
pub fn count(reference: &Sample, current: &Sample) -> (Vec<u64>, Vec<u64>) {
    let cuts = cuts(reference);
    (counts(&cuts, reference), counts(&cuts, current))
}

/// Upper ends (inclusive) of all bins but the last, ascending and distinct.
fn cuts(reference: &Sample) -> Vec<f64> {
    let values = reference.values();
    let bin_mass = values.len() as f64 / N_BINS as f64;
    let mut cuts: Vec<f64> = Vec::new();
    let mut held = 0;
    let mut cut_at = |value: f64| {
        if cuts.last().is_none_or(|last| *last < value) {
            cuts.push(value);
        }
    };
    for run in values.chunk_by(|a, b| a >= b) {
        let value = run[0];
        let is_atom = run.len() > 1 && run.len() as f64 > bin_mass / 2.0;
        if is_atom {
            cut_at(value.next_down()); // Everything below it, in front.
            cut_at(value);
            held = 0;
            continue;
        }
        held += run.len();
        if held as f64 >= bin_mass {
            cut_at(value);
            held = 0;
        }
    }
    cuts
}

fn counts(cuts: &[f64], sample: &Sample) -> Vec<u64> {
    let mut counts = vec![0; cuts.len() + 1];
    for value in sample.values() {
        counts[cuts.partition_point(|cut| cut < value)] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frequent_value_has_its_own_bin() {
        let reference = Sample::new([vec![0.0; 50], vec![1.0; 50]].concat()).unwrap();
        let current = Sample::new(vec![-3.0, 0.0, 0.0, 0.5, 1.0, 9.0]).unwrap();
        // Below 0; 0; between; 1; above 1.
        assert_eq!(count(&reference, &current), (vec![0, 50, 0, 50, 0], vec![1, 2, 1, 1, 1]));
    }

    #[test]
    fn distinct_values_fall_into_bins_of_equal_mass() {
        let reference = Sample::new((0..200).map(f64::from).collect()).unwrap();
        let (counts, _) = count(&reference, &reference);
        assert_eq!(counts.iter().sum::<u64>(), 200);
        assert!(counts[..20].iter().all(|bin| *bin == 10), "{counts:?}");
    }
}
