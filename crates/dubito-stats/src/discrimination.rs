//! How well the classes are told apart: accuracy, balanced accuracy, AUROC, average precision.
//!
//! The predicted class is the one of the largest probability, the first of them where several are
//! largest (so .5/.5 in a binary task is class 0).

use crate::weighted::{Ranking, Undefined, Weighted};

/// Balanced accuracy: the mean over classes of the share of a class' items that were predicted right
/// (Brodersen et al., "The Balanced Accuracy and Its Posterior Distribution", ICPR 2010), 0 to 1. Only
/// classes that have items enter the mean, as in scikit-learn; it needs two of them.
pub struct BalancedAccuracy {
    labels: Vec<usize>,
    correct: Vec<bool>,
    classes: usize,
}

impl BalancedAccuracy {
    /// Of items with these true classes (each below `classes`), predicted correctly or not.
    pub fn new(labels: Vec<usize>, correct: Vec<bool>, classes: usize) -> Self {
        Self { labels, correct, classes }
    }
}

impl Weighted for BalancedAccuracy {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        let mut counts = vec![(0u64, 0u64); self.classes];
        for ((&label, &correct), &weight) in self.labels.iter().zip(&self.correct).zip(weights) {
            counts[label].0 += u64::from(weight) * u64::from(correct);
            counts[label].1 += u64::from(weight);
        }
        let recalls: Vec<(usize, f64)> = counts
            .iter()
            .enumerate()
            .filter(|(_, (_, all))| *all > 0)
            .map(|(class, &(right, all))| (class, right as f64 / all as f64))
            .collect();
        match recalls.as_slice() {
            [] => Err(Undefined::NoItems),
            [(class, _)] => Err(Undefined::OneClass(*class)),
            many => Ok(many.iter().map(|(_, r)| r).sum::<f64>() / many.len() as f64),
        }
    }
}

/// Area under the receiver operating characteristic: the probability that a positive item has a higher
/// score than a negative one, ties counting one half (midranks; Hanley and McNeil, Radiology 143, 1982),
/// 0 to 1. Needs positives and negatives.
pub struct Auroc {
    ranking: Ranking,
    positive: Vec<u8>,
}

impl Auroc {
    /// Of these scores (higher means more likely positive).
    pub fn new(scores: &[f64], positive: &[bool]) -> Self {
        Self { ranking: Ranking::falling(scores), positive: positive.iter().map(|&p| u8::from(p)).collect() }
    }
}

impl Weighted for Auroc {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        // Twice the number of pairs won (each tie is one half), in whole numbers: no rounding.
        let (mut positives, mut negatives, mut won_twice) = (0u64, 0u64, 0u128);
        self.ranking.blocks(&self.positive, weights, |p, n| {
            won_twice += u128::from(n) * u128::from(2 * positives + p);
            positives += p;
            negatives += n;
        });
        both(positives, negatives)?;
        Ok(won_twice as f64 / 2.0 / (positives as f64 * negatives as f64))
    }
}

/// Average precision: the sum over thresholds of `(recall - previous recall) * precision`, where the
/// thresholds are the distinct scores and nothing is interpolated, as in scikit-learn's
/// `average_precision_score`; 0 to 1. Without positives there is no recall, and without negatives it
/// would be 1 whatever the scores: both are undefined.
pub struct AveragePrecision {
    ranking: Ranking,
    positive: Vec<u8>,
}

impl AveragePrecision {
    /// Of these scores (higher means more likely positive).
    pub fn new(scores: &[f64], positive: &[bool]) -> Self {
        Self { ranking: Ranking::falling(scores), positive: positive.iter().map(|&p| u8::from(p)).collect() }
    }
}

impl Weighted for AveragePrecision {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        let (mut positives, mut negatives, mut sum) = (0u64, 0u64, 0.0);
        self.ranking.blocks(&self.positive, weights, |p, n| {
            positives += p;
            negatives += n;
            if p > 0 {
                sum += p as f64 * positives as f64 / (positives + negatives) as f64;
            }
        });
        both(positives, negatives)?;
        Ok(sum / positives as f64)
    }
}

/// The mean of several metrics over those that are defined: with one metric per class, the
/// one-vs-rest macro average over the classes that have items (as torchmetrics' `average="macro"`).
/// Where only one class has items, none is defined.
pub struct Macro<M> {
    by_class: Vec<M>,
}

impl<M: Weighted> Macro<M> {
    /// The mean of these one-vs-rest metrics, one per class.
    pub fn new(by_class: Vec<M>) -> Self {
        Self { by_class }
    }
}

impl<M: Weighted> Weighted for Macro<M> {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        let (mut sum, mut defined) = (0.0, 0u32);
        for (class, metric) in self.by_class.iter().enumerate() {
            match metric.value(weights) {
                Ok(value) => {
                    sum += value;
                    defined += 1;
                }
                Err(Undefined::NoNegatives) => return Err(Undefined::OneClass(class)),
                Err(Undefined::NoItems) => return Err(Undefined::NoItems),
                Err(_) => {}
            }
        }
        if defined > 0 { Ok(sum / f64::from(defined)) } else { Err(Undefined::NoItems) }
    }
}

/// That there are positives and negatives.
fn both(positives: u64, negatives: u64) -> Result<(), Undefined> {
    match (positives, negatives) {
        (0, 0) => Err(Undefined::NoItems),
        (0, _) => Err(Undefined::NoPositives),
        (_, 0) => Err(Undefined::NoNegatives),
        _ => Ok(()),
    }
}
