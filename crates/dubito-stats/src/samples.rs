//! All samples of one item added up at once, a column for each class: what millions of rows are read through.

use crate::StatsError;
use crate::probability::{FixedSum, argmax, entropy_term};
use crate::vectorised::vectorised;

/// Columns are filled up with zeros to a multiple of this, so that vectors leave no rest.
const VECTOR: usize = 8;

/// Adds up the samples of one item after the other, in the same memory. The results are the same bits as those of
/// adding them one by one, in any order, to [`FixedSum`]s.
#[derive(Clone, Debug, Default)]
pub struct SampleAdder {
    /// `[classes, samples]`, then room for a number of each class, filled up with zeros.
    columns: Vec<f64>,
    /// What each adds to an entropy.
    terms: Vec<f64>,
    /// Of each sample.
    entropies: Vec<f64>,
}

impl SampleAdder {
    /// The sums over normalised samples `[samples, classes]` (others give numbers without meaning) of the probability of
    /// each class, then of the entropies, then of all squared probabilities; written over `sums`, which is two longer
    /// than the classes. Over `votes` goes how many samples predict each class.
    ///
    /// Gives the [jackknifed](crate::epistemic_jackknife) mutual information in nats; where there are fewer than two
    /// samples an error, beside which the sums hold. Another: samples that are not whole, of which nothing is added.
    pub fn add_up(&mut self, samples: &[f64], sums: &mut [FixedSum], votes: &mut [u32]) -> Result<f64, StatsError> {
        let classes = votes.len();
        if classes == 0 || sums.len() != classes + 2 || !samples.len().is_multiple_of(classes) {
            return Err(StatsError::RaggedSamples { classes, found: samples.len() });
        }
        let count = samples.len() / classes;
        let filled = (samples.len() + classes).next_multiple_of(VECTOR);
        self.columns.resize(filled, 0.0);
        self.columns[samples.len()..].fill(0.0);
        self.terms.resize(filled, 0.0);
        self.entropies.resize(count, 0.0);
        vectorised(
            #[inline(always)]
            // Of two classes, the most common number, loops over them are compiled to straight code.
            || match classes {
                2 => self.sum(2, samples, sums, votes),
                classes => self.sum(classes, samples, sums, votes),
            },
        );
        match count {
            0 => Err(StatsError::NoSamples),
            1 => Err(StatsError::BadParameter {
                name: "number of samples",
                value: count.to_string(),
                expected: "two or more, since the jackknife leaves one out",
            }),
            _ => Ok(self.jackknife(classes, count, sums)),
        }
    }

    #[inline(always)]
    fn sum(&mut self, classes: usize, samples: &[f64], sums: &mut [FixedSum], votes: &mut [u32]) {
        let count = samples.len() / classes;
        for (class, column) in self.columns.chunks_exact_mut(count.max(1)).take(classes).enumerate() {
            column.iter_mut().zip(samples.chunks_exact(classes)).for_each(|(p, row)| *p = row[class]);
        }
        self.terms.iter_mut().zip(&self.columns).for_each(|(term, &p)| *term = entropy_term(p));
        self.entropies.fill(0.0);
        for terms in self.terms[..samples.len()].chunks_exact(count.max(1)) {
            self.entropies.iter_mut().zip(terms).for_each(|(entropy, term)| *entropy += term);
        }
        sums.fill(FixedSum::default());
        for (sum, column) in sums.iter_mut().zip(self.columns[..samples.len()].chunks_exact(count.max(1))) {
            sum.add_all(column.iter().copied());
        }
        sums[classes].add_all(self.entropies.iter().copied());
        sums[classes + 1].add_all(self.columns.iter().map(|p| p * p));
        if let [first, second] = votes {
            // Without a branch, since nobody can foretell it.
            let both = self.columns[..count].iter().zip(&self.columns[count..]);
            *second = both.map(|(a, b)| u32::from(b > a)).sum();
            *first = count as u32 - *second;
        } else {
            votes.fill(0);
            samples.chunks_exact(classes).for_each(|row| votes[argmax(row)] += 1);
        }
    }

    /// Of two or more samples, after [`sum`](Self::sum): `T I - (T - 1) / T sum_t I(without t)`. The entropies without
    /// one sample are of order-free sums and that sample, and add up exactly: in any order the same bits. The mean
    /// entropies without one sample need no loop, as they add up to the sum of the entropies.
    fn jackknife(&mut self, classes: usize, count: usize, sums: &[FixedSum]) -> f64 {
        let (n, entropies) = (count as f64, sums[classes].mean(1));
        let mut without_one = FixedSum::default();
        vectorised(
            #[inline(always)]
            || {
                let share = 1.0 / (n - 1.0);
                let (columns, means) = self.columns.split_at_mut(classes * count);
                for ((sum, column), mean) in sums.iter().zip(columns.chunks_exact_mut(count)).zip(means) {
                    *mean = sum.mean(count as u64);
                    let sum = sum.mean(1);
                    // Rounding may leave a hair outside of [0, 1].
                    column.iter_mut().for_each(|p| *p = ((sum - *p) * share).clamp(0.0, 1.0));
                }
                self.terms.iter_mut().zip(&self.columns).for_each(|(term, &p)| *term = entropy_term(p));
                without_one.add_all(self.terms[..classes * count].iter().copied());
            },
        );
        let whole: f64 = self.terms[classes * count..][..classes].iter().sum();
        n * (whole - entropies / n) - (n - 1.0) / n * (without_one.mean(1) - entropies)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::SampleAdder;
    use crate::probability::{FixedSum, argmax, entropy};

    /// Samples of so many classes: spread, sure, and (the first) undecided.
    fn samples(classes: usize, count: usize) -> Vec<f64> {
        let row = |at: usize| -> Vec<f64> {
            let weight = |class: usize| match at {
                0 => 1.0,
                1 => f64::from(u8::from(class == 0)),
                _ => ((at * 7919 + class * 104_729) % 1009) as f64 + 1e-3,
            };
            let sum: f64 = (0..classes).map(weight).sum();
            (0..classes).map(|class| weight(class) / sum).collect()
        };
        (0..count).flat_map(row).collect()
    }

    /// The mutual information, of numbers as they come.
    fn information(rows: &[&[f64]]) -> f64 {
        let (n, classes) = (rows.len() as f64, rows[0].len());
        let mean: Vec<f64> = (0..classes).map(|class| rows.iter().map(|row| row[class]).sum::<f64>() / n).collect();
        entropy(&mean) - rows.iter().map(|row| entropy(row)).sum::<f64>() / n
    }

    #[test]
    fn adding_up_is_adding_one_by_one() {
        let mut adder = SampleAdder::default(); // the same memory for all of them, longer and shorter
        for (classes, count) in [(2, 50), (2, 1), (3, 20), (2, 2), (7, 9), (2, 700), (2, 0), (3, 8)] {
            let samples = samples(classes, count);
            let rows: Vec<&[f64]> = samples.chunks_exact(classes).collect();
            let (mut sums, mut votes) = (vec![FixedSum::default(); classes + 2], vec![0; classes]);
            for row in &rows {
                row.iter().zip(&mut sums).for_each(|(&p, sum)| sum.add(p));
                sums[classes].add(entropy(row));
                row.iter().for_each(|p| sums[classes + 1].add(p * p));
                votes[argmax(row)] += 1;
            }
            let (mut found, mut found_votes) = (sums.clone(), vec![9; classes]);
            let jackknife = adder.add_up(&samples, &mut found, &mut found_votes);
            assert_eq!((found, found_votes), (sums, votes), "{count} samples of {classes} classes");
            assert_eq!(jackknife.is_ok(), count >= 2);
            if let Ok(jackknife) = jackknife {
                let n = count as f64;
                let without = |at: usize| information(&[&rows[..at], &rows[at + 1..]].concat());
                let want = n * information(&rows) - (n - 1.0) / n * (0..count).map(without).sum::<f64>();
                assert!((jackknife - want).abs() < 1e-12 * n, "{jackknife}, not {want}");
            }
        }
    }

    #[test]
    fn what_is_not_whole_is_an_error() {
        let mut sums: [FixedSum; 4] = Default::default();
        assert!(SampleAdder::default().add_up(&[0.5; 3], &mut sums, &mut [0; 2]).is_err());
        assert!(SampleAdder::default().add_up(&[0.5; 4], &mut sums[..3], &mut [0; 2]).is_err());
    }
}
