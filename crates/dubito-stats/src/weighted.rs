//! How a metric is written so that it can be resampled fast.
//!
//! A metric sorts and bins its items once, when it is made. Its value is then one pass for given
//! weights, where weight 3 means that the item is in the sample three times: exactly what copying it
//! three times and starting over would give. Weights of 1 are the data as they are.
//!
//! These types trust their input: lists of equal length, labels below the number of classes, one weight
//! per item; a wrong length may panic. [`Items`](crate::Items) checks everything first and is the way in
//! for data from outside.
//!
//! To add a metric: write it as a function of a [`Curve`](crate::ranking::Curve), of
//! [`bins`](crate::calibration::Bin) or of counts, give it a name and a row of the table in
//! [`metrics`](mod@crate::metrics), and an independent value in `tests/golden/metrics.py`.

use crate::probability::SignedSum;

/// A metric of a fixed list of items.
pub trait Weighted: Sync {
    /// The metric where item `i` counts `weights[i]` times. `weights` has one entry for each item.
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined>;
}

/// Why a metric has no value for these weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undefined {
    /// Nothing has any weight.
    NoItems,
    /// Nothing of what the metric looks for (the positive class, the errors) has any weight.
    NoPositives,
    /// All that has weight is what the metric looks for.
    NoNegatives,
    /// All that has weight is of this class, and the metric compares classes.
    OneClass(usize),
    /// All that has weight is predicted as this class, and the metric compares predictions.
    OnePrediction(usize),
    /// Fewer items than the metric needs.
    FewItems {
        /// Their weight.
        found: u64,
        /// What is needed.
        needed: u64,
    },
    /// Fewer negatives than the metric needs.
    FewNegatives {
        /// Their weight.
        found: u64,
        /// What is needed.
        needed: u64,
    },
    /// The items do not hold what the metric is computed from.
    NotKnown,
}

/// The mean of one number per item, each below 1e6 in size.
pub struct Mean(pub Vec<f64>);

impl Weighted for Mean {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        let (mut sum, mut total) = (SignedSum::default(), 0u64);
        for (&value, &weight) in self.0.iter().zip(weights) {
            sum.add(value, u64::from(weight));
            total += u64::from(weight);
        }
        if total > 0 { Ok(sum.value() / total as f64) } else { Err(Undefined::NoItems) }
    }
}
