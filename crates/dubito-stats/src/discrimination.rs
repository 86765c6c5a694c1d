//! How well the classes are told apart: accuracy, F1, MCC, AUROC, average precision, EER, TPR at a FPR.
//!
//! The predicted class is the one of the largest probability, the first of them where several are
//! largest (so .5/.5 in a binary task is class 0).
//!
//! The functions of a [`Curve`] take the items in falling order of their score, positives being the
//! hits. With each block of equal scores the threshold sinks below one score more: a point of the
//! receiver operating characteristic (ROC).

use crate::items::Items;
use crate::ranking::{Block, Curve, Order, Ranking};
use crate::weighted::{Undefined, Weighted};

/// The confusion matrix: `confusion(items)[true class][predicted class]` items.
pub fn confusion(items: &Items) -> Vec<Vec<u64>> {
    let mut counts = vec![vec![0; items.classes()]; items.classes()];
    for i in 0..items.len() {
        counts[items.label(i)][items.predicted(i)] += 1;
    }
    counts
}

/// Of each class, how often it was there, was predicted, and both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassCounts {
    /// Items of the class.
    pub items: Vec<u64>,
    /// Items predicted as the class.
    pub predicted: Vec<u64>,
    /// Items of the class predicted as it.
    pub right: Vec<u64>,
}

impl ClassCounts {
    /// No items yet, of this many classes.
    pub fn new(classes: usize) -> Self {
        Self { items: vec![0; classes], predicted: vec![0; classes], right: vec![0; classes] }
    }

    /// Add an item that counts `weight` times: its true class and the predicted one.
    pub fn add(&mut self, label: usize, predicted: usize, weight: u64) {
        self.items[label] += weight;
        self.predicted[predicted] += weight;
        self.right[label] += weight * u64::from(label == predicted);
    }

    /// Add the items of another part.
    pub fn merge(&mut self, other: &Self) {
        let add = |counts: &mut [u64], more: &[u64]| counts.iter_mut().zip(more).for_each(|(c, m)| *c += m);
        add(&mut self.items, &other.items);
        add(&mut self.predicted, &other.predicted);
        add(&mut self.right, &other.right);
    }

    fn all(&self) -> u64 {
        self.items.iter().sum()
    }

    /// The classes that have items: two or more, or an error.
    fn present(&self) -> Result<Vec<usize>, Undefined> {
        let present: Vec<usize> = (0..self.items.len()).filter(|&class| self.items[class] > 0).collect();
        match present.as_slice() {
            [] => Err(Undefined::NoItems),
            [class] => Err(Undefined::OneClass(*class)),
            _ => Ok(present),
        }
    }

    /// Share of the items whose predicted class is the true one, 0 to 1.
    pub fn accuracy(&self) -> Result<f64, Undefined> {
        match self.all() {
            0 => Err(Undefined::NoItems),
            all => Ok(self.right.iter().sum::<u64>() as f64 / all as f64),
        }
    }

    /// Balanced accuracy: the mean over classes of the share of a class' items that were predicted right
    /// (Brodersen et al., "The Balanced Accuracy and Its Posterior Distribution", ICPR 2010), 0 to 1.
    /// Only classes that have items enter the mean, as in scikit-learn; it needs two of them.
    pub fn balanced_accuracy(&self) -> Result<f64, Undefined> {
        let present = self.present()?;
        let recall = |&class: &usize| self.right[class] as f64 / self.items[class] as f64;
        Ok(present.iter().map(recall).sum::<f64>() / present.len() as f64)
    }

    /// F1 of one class: the harmonic mean of its precision and recall, `2 TP / (2 TP + FP + FN)` (van
    /// Rijsbergen, "Information Retrieval", 1979), 0 to 1. Undefined without items of the class.
    pub fn f1(&self, class: usize) -> Result<f64, Undefined> {
        match (self.all(), self.items[class]) {
            (0, _) => Err(Undefined::NoItems),
            (_, 0) => Err(Undefined::NoPositives),
            (_, items) => Ok(2.0 * self.right[class] as f64 / (items + self.predicted[class]) as f64),
        }
    }

    /// The mean of [`f1`](Self::f1) over the classes that have items; it needs two of them.
    pub fn f1_macro(&self) -> Result<f64, Undefined> {
        let present = self.present()?;
        let sum = present.iter().map(|&class| self.f1(class)).sum::<Result<f64, Undefined>>()?;
        Ok(sum / present.len() as f64)
    }

    /// Matthews' correlation coefficient, -1 to 1, 0 being chance (Matthews, Biochimica et Biophysica
    /// Acta 405, 1975; for several classes Gorodkin, "Comparing Two K-category Assignments by a
    /// K-category Correlation Coefficient", Computational Biology and Chemistry 28, 2004). Needs items of
    /// two classes and predictions of two classes; scikit-learn gives 0 instead.
    pub fn mcc(&self) -> Result<f64, Undefined> {
        self.present()?;
        let predicted: Vec<usize> = (0..self.items.len()).filter(|&class| self.predicted[class] > 0).collect();
        if let [class] = predicted.as_slice() {
            return Err(Undefined::OnePrediction(*class));
        }
        let product =
            |a: &[u64], b: &[u64]| a.iter().zip(b).map(|(&a, &b)| u128::from(a) * u128::from(b)).sum::<u128>();
        let all = u128::from(self.all());
        let right = u128::from(self.right.iter().sum::<u64>());
        let covariance = (all * right) as i128 - product(&self.items, &self.predicted) as i128;
        let spread = |counts: &[u64]| (all * all - product(counts, counts)) as f64;
        Ok(covariance as f64 / (spread(&self.items).sqrt() * spread(&self.predicted).sqrt()))
    }
}

/// What one metric has seen of a curve's blocks, which come in falling order of their score. Several can share one
/// walk over many items.
pub(crate) trait OfBlocks {
    /// Take the next block.
    fn add(&mut self, block: Block);
    /// The value, once all blocks were taken.
    fn value(&self) -> f64;
}

/// The value of one metric of a curve.
fn walked(curve: &Curve, mut metric: impl OfBlocks) -> f64 {
    curve.blocks(|block| metric.add(block));
    metric.value()
}

/// Area under the receiver operating characteristic: the probability that a positive item has a higher
/// score than a negative one, ties counting one half (midranks; Hanley and McNeil, Radiology 143, 1982),
/// 0 to 1. Needs positives and negatives.
pub fn auroc(curve: &Curve) -> Result<f64, Undefined> {
    Ok(walked(curve, AurocSum::new(curve.both()?)))
}

/// [`auroc`]: twice the number of pairs won (each tie is one half), in whole numbers: no rounding.
pub(crate) struct AurocSum {
    both: (u64, u64),
    seen: u64,
    won_twice: u128,
}

impl AurocSum {
    pub(crate) fn new(both: (u64, u64)) -> Self {
        Self { both, seen: 0, won_twice: 0 }
    }
}

impl OfBlocks for AurocSum {
    fn add(&mut self, Block { hits, others, .. }: Block) {
        self.won_twice += u128::from(others) * u128::from(2 * self.seen + hits);
        self.seen += hits;
    }

    fn value(&self) -> f64 {
        self.won_twice as f64 / 2.0 / (self.both.0 as f64 * self.both.1 as f64)
    }
}

/// Average precision: the sum over thresholds of `(recall - previous recall) * precision`, where the
/// thresholds are the distinct scores and nothing is interpolated, as in scikit-learn's
/// `average_precision_score`; 0 to 1. Without positives there is no recall, and without negatives it
/// would be 1 whatever the scores: both are undefined.
pub fn average_precision(curve: &Curve) -> Result<f64, Undefined> {
    Ok(walked(curve, PrecisionSum::new(curve.both()?)))
}

/// [`average_precision`].
pub(crate) struct PrecisionSum {
    positives: u64,
    hits: u64,
    kept: u64,
    sum: f64,
}

impl PrecisionSum {
    pub(crate) fn new((positives, _): (u64, u64)) -> Self {
        Self { positives, hits: 0, kept: 0, sum: 0.0 }
    }
}

impl OfBlocks for PrecisionSum {
    fn add(&mut self, block: Block) {
        self.hits += block.hits;
        self.kept += block.hits + block.others;
        self.sum += block.hits as f64 * self.hits as f64 / self.kept as f64;
    }

    fn value(&self) -> f64 {
        self.sum / self.positives as f64
    }
}

/// Equal error rate: where the share of negatives above the threshold (FPR) equals the share of
/// positives that are not (1 - TPR), by straight lines between the points of the ROC, 0 to 1. (The ROC
/// convex hull, which NIST's and ISO/IEC 19795-1's tools may take instead, lies below it.)
pub fn eer(curve: &Curve) -> Result<f64, Undefined> {
    Ok(walked(curve, EerPoint::new(curve.both()?)))
}

/// [`eer`].
pub(crate) struct EerPoint {
    both: (u64, u64),
    /// FPR + TPR - 1, times positives and negatives: rises with every block from minus to plus their product.
    above: i128,
    false_positives: u64,
    rate: Option<f64>,
}

impl EerPoint {
    pub(crate) fn new(both: (u64, u64)) -> Self {
        Self { both, above: -i128::from(both.0) * i128::from(both.1), false_positives: 0, rate: None }
    }
}

impl OfBlocks for EerPoint {
    fn add(&mut self, Block { hits, others, .. }: Block) {
        if self.rate.is_some() {
            return;
        }
        let (positives, negatives) = self.both;
        let step = i128::from(others) * i128::from(positives) + i128::from(hits) * i128::from(negatives);
        let next = self.above + step;
        if next >= 0 {
            let share = -self.above as f64 / step as f64;
            self.rate = Some((self.false_positives as f64 + share * others as f64) / negatives as f64);
        }
        self.above = next;
        self.false_positives += others;
    }

    fn value(&self) -> f64 {
        // The last point is above.
        self.rate.unwrap_or(1.0)
    }
}

/// Equal error rate as DeepfakeBench computes it (Yan et al., "DeepfakeBench: A Comprehensive Benchmark
/// of Deepfake Detection", NeurIPS 2023): the FPR at the first point of scikit-learn's `roc_curve` where
/// |FNR - FPR| is smallest, 0 to 1. Nothing is interpolated, so with few items it is off [`eer`] by up to
/// a step of the ROC; for comparing with published tables only.
pub fn eer_deepfakebench(curve: &Curve) -> Result<f64, Undefined> {
    Ok(walked(curve, EerDeepfakeBench::new(curve.both()?)))
}

/// [`eer_deepfakebench`].
pub(crate) struct EerDeepfakeBench {
    both: (u64, u64),
    /// The smallest gap so far, and the rate there. The ROC begins at (0, 0), where |FNR - FPR| is 1.
    best: (f64, f64),
    point: (u64, u64),
    step: Option<(u64, u64)>,
    is_first: bool,
}

impl EerDeepfakeBench {
    pub(crate) fn new(both: (u64, u64)) -> Self {
        Self { both, best: (1.0, 0.0), point: (0, 0), step: None, is_first: true }
    }

    /// The better of the best point so far and of the last one.
    fn considered(&self) -> (f64, f64) {
        let (positives, negatives) = self.both;
        let fpr = self.point.1 as f64 / negatives as f64;
        let gap = ((1.0 - self.point.0 as f64 / positives as f64) - fpr).abs();
        if gap < self.best.0 { (gap, fpr) } else { self.best }
    }
}

impl OfBlocks for EerDeepfakeBench {
    fn add(&mut self, Block { hits, others, .. }: Block) {
        // `roc_curve` leaves out a point where the steps to and from it are the same, but for the first and
        // the last one.
        if let Some(last) = self.step {
            if self.is_first || last != (hits, others) {
                self.best = self.considered();
            }
            self.is_first = false;
        }
        self.point = (self.point.0 + hits, self.point.1 + others);
        self.step = Some((hits, others));
    }

    fn value(&self) -> f64 {
        self.considered().1
    }
}

/// The largest true-positive rate of any threshold whose false-positive rate is at most `fpr` (above 0,
/// below 1), 0 to 1. With fewer than `3 / fpr` negatives it is undefined: where none of them lies above
/// a threshold, the FPR may still be `fpr` (the "rule of three", Hanley and Lippman-Hand, JAMA 249, 1983).
pub fn tpr_at_fpr(curve: &Curve, fpr: f64) -> Result<f64, Undefined> {
    Ok(walked(curve, TprAtFpr::new(curve.both()?, fpr)?))
}

/// [`tpr_at_fpr`].
pub(crate) struct TprAtFpr {
    positives: u64,
    /// The most negatives that may lie above the threshold.
    most: u64,
    hits: u64,
    others: u64,
    best: u64,
}

impl TprAtFpr {
    pub(crate) fn new((positives, negatives): (u64, u64), fpr: f64) -> Result<Self, Undefined> {
        let needed = (3.0 / fpr - 1e-6).ceil() as u64;
        if negatives < needed {
            return Err(Undefined::FewNegatives { found: negatives, needed });
        }
        // The largest number whose share is at most `fpr`, as floating point has it.
        let fits = |others: &u64| *others as f64 / negatives as f64 <= fpr;
        let near = (fpr * negatives as f64) as u64;
        let most = (near.saturating_sub(1)..=near + 1).rev().find(fits).unwrap_or(0);
        Ok(Self { positives, most, hits: 0, others: 0, best: 0 })
    }
}

impl OfBlocks for TprAtFpr {
    fn add(&mut self, block: Block) {
        self.hits += block.hits;
        self.others += block.others;
        if self.others <= self.most {
            self.best = self.hits;
        }
    }

    fn value(&self) -> f64 {
        self.best as f64 / self.positives as f64
    }
}

/// [`auroc`] of a list of scores.
pub struct Auroc(Ranking);

impl Auroc {
    /// Of these scores (higher means more likely positive).
    pub fn new(scores: &[f64], positive: &[bool]) -> Self {
        Self(Ranking::new(scores, positive))
    }
}

impl Weighted for Auroc {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        auroc(&self.0.curve(Some(weights), Order::Falling))
    }
}
