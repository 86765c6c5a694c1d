//! How a metric is written so that it can be resampled fast.
//!
//! A metric sorts and bins its items once, when it is made. Its value is then one pass for given
//! weights, where weight 3 means that the item is in the sample three times: exactly what copying it
//! three times and starting over would give. Weights of 1 are the data as they are.
//!
//! These types trust their input: lists of equal length, labels below the number of classes, one weight
//! per item; a wrong length may panic. [`metrics`](crate::metrics()) checks everything
//! first and is the way in for data from outside.
//!
//! To add a metric: write it as a [`Weighted`], give it a name and a row of the table in
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
}

/// The mean of one number per item.
pub struct Mean(pub Vec<f64>);

impl Weighted for Mean {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        let (mut sum, mut total) = (SignedSum::default(), 0u64);
        for (&value, &weight) in self.0.iter().zip(weights) {
            sum.add(value, weight);
            total += u64::from(weight);
        }
        if total > 0 { Ok(sum.value() / total as f64) } else { Err(Undefined::NoItems) }
    }
}

/// Items in falling order of a score, cut into blocks of equal scores.
pub(crate) struct Ranking {
    /// Position of the item and whether the block of ties ends with it.
    order: Vec<(u32, bool)>,
}

impl Ranking {
    /// Rank by falling score; 0 and -0 are tied. Ties keep the items' order, which no metric may use.
    pub(crate) fn falling(scores: &[f64]) -> Self {
        // Adding 0 turns -0 into 0, which `total_cmp` would tell apart.
        let score = |i: u32| scores[i as usize] + 0.0;
        let mut items: Vec<u32> = (0..scores.len() as u32).collect();
        items.sort_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
        let order = items
            .iter()
            .enumerate()
            .map(|(at, &i)| (i, items.get(at + 1).is_none_or(|&next| score(next) != score(i))))
            .collect();
        Self { order }
    }

    /// Call `block(hits, others)` for each block of ties from the highest score on, with the weight of
    /// the items where `hit` is 1 and of those where it is 0. Blocks without weight are left out.
    pub(crate) fn blocks(&self, hit: &[u8], weights: &[u32], mut block: impl FnMut(u64, u64)) {
        let (mut hits, mut all) = (0, 0);
        for &(item, last) in &self.order {
            let weight = u64::from(weights[item as usize]);
            all += weight;
            hits += weight * u64::from(hit[item as usize]);
            if last && all > 0 {
                block(hits, all - hits);
                (hits, all) = (0, 0);
            }
        }
    }
}
