//! Whether probabilities mean what they say: NLL, Brier score, calibration errors, reliability.
//!
//! Bins are of equal width over [0, 1] and closed on the right: bin `b` of `n` is `(b/n, (b+1)/n]`, and
//! the first holds 0 as well (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017).

use serde::{Deserialize, Serialize};

use crate::items::Items;
use crate::probability::{FixedSum, SignedSum};
use crate::weighted::{Undefined, Weighted};
use crate::{Scored, StatsError, Task};

/// A probability below this counts as this in the logarithm of the NLL: the distance from 1 to the
/// next `f64`, 2.2e-16, as in scikit-learn. An item can cost 36.04 nats at most.
pub const NLL_FLOOR: f64 = f64::EPSILON;

/// Negative log-likelihood of one item in nats: `-ln` of the probability of the true class, clipped at
/// [`NLL_FLOOR`].
pub fn nll(probs: &[f64], label: usize) -> f64 {
    // Adding 0 turns the -0 of a sure and right item into 0.
    -probs[label].max(NLL_FLOOR).ln() + 0.0
}

/// Brier score of one item, summed over the classes: `sum_k (p_k - [k = label])^2` (Brier, "Verification
/// of Forecasts Expressed in Terms of Probability", Monthly Weather Review 78, 1950), 0 to 2. A binary
/// task reports the positive class alone, [`brier_positive`], half of it.
pub fn brier_sum(probs: &[f64], label: usize) -> f64 {
    probs.iter().enumerate().map(|(class, p)| (p - f64::from(u8::from(class == label))).powi(2)).sum()
}

/// Brier score of one item from the positive class alone: `(p - y)^2`, 0 to 1.
pub fn brier_positive(probability: f64, is_positive: bool) -> f64 {
    (probability - f64::from(u8::from(is_positive))).powi(2)
}

/// How the gaps between confidence and accuracy become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Mean over the items: the expected calibration error (ECE) of Naeini, Cooper and Hauskrecht,
    /// "Obtaining Well Calibrated Probabilities Using Bayesian Binning" (AAAI 2015).
    Mean,
    /// The largest of any bin that holds items: the maximum calibration error (MCE), same source.
    Largest,
}

/// Calibration error over equal-width bins closed on the right: of each bin the absolute difference
/// between the mean confidence and the share of items where the event happened, 0 to 1. The event is
/// "the predicted class is the true one" (top-class) or "the item is positive" (positive-class): the
/// two are different numbers, see [`Confidence`].
pub struct CalibrationError {
    bin: Vec<u32>,
    /// Event minus confidence.
    excess: Vec<f64>,
    bins: usize,
    gap: Gap,
}

impl CalibrationError {
    /// Of the confidence in an event of each item, and whether it happened; `bins` is 1 or more.
    pub fn new(confidence: &[f64], happened: &[bool], bins: usize, gap: Gap) -> Self {
        let bins = bins.max(1);
        Self {
            bin: confidence.iter().map(|&c| bin_of(c, bins) as u32).collect(),
            excess: confidence.iter().zip(happened).map(|(c, &h)| f64::from(u8::from(h)) - c).collect(),
            bins,
            gap,
        }
    }
}

impl Weighted for CalibrationError {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        let mut sums = vec![(SignedSum::default(), 0u64); self.bins];
        for ((&bin, &excess), &weight) in self.bin.iter().zip(&self.excess).zip(weights) {
            let (sum, total) = &mut sums[bin as usize];
            sum.add(excess, weight);
            *total += u64::from(weight);
        }
        let sums: Vec<(f64, f64)> = sums.into_iter().map(|(sum, weight)| (sum.value(), weight as f64)).collect();
        let total: f64 = sums.iter().map(|(_, weight)| weight).sum();
        if total == 0.0 {
            return Err(Undefined::NoItems);
        }
        Ok(match self.gap {
            Gap::Mean => sums.iter().map(|(sum, _)| sum.abs()).sum::<f64>() / total,
            Gap::Largest => sums
                .iter()
                .filter(|(_, weight)| *weight > 0.0)
                .map(|(sum, weight)| sum.abs() / weight)
                .fold(0.0, f64::max),
        })
    }
}

/// Whose probability a reliability diagram shows.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The largest probability, against the share of right predictions.
    Top,
    /// The positive class' probability, against the share of positive items. Binary tasks only.
    Positive,
}

/// One bin of a reliability diagram.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct ReliabilityBin {
    /// Lower edge, not in the bin (but 0 is in the first).
    pub low: f64,
    /// Upper edge, in the bin.
    pub high: f64,
    /// Number of items in the bin.
    pub count: usize,
    /// Mean confidence of the items; `None` in an empty bin.
    pub confidence: Option<f64>,
    /// Share of the items where the event happened; `None` in an empty bin.
    pub accuracy: Option<f64>,
    /// Lower end of the 95 % Wilson interval of `accuracy`; `None` in an empty bin.
    pub accuracy_low: Option<f64>,
    /// Upper end of the 95 % Wilson interval of `accuracy`; `None` in an empty bin.
    pub accuracy_high: Option<f64>,
}

/// The bins of a reliability diagram, empty ones included, in rising order (DeGroot and Fienberg, "The
/// Comparison and Evaluation of Forecasters", The Statistician 32, 1983).
///
/// The interval of each bin is Wilson's score interval at 95 % (Wilson, JASA 22, 1927). It takes the
/// items as independent, which frames of one video are not: read it on videos, or as a lower bound of
/// the doubt. Errors: bad items (as in [`metrics`](crate::metrics())), no bins, or
/// [`Confidence::Positive`] in a task without a positive class.
pub fn reliability(
    items: &[Scored],
    task: &Task,
    bins: usize,
    kind: Confidence,
) -> Result<Vec<ReliabilityBin>, StatsError> {
    let mut columns = Items::new(task)?;
    items.iter().try_for_each(|item| columns.push(item))?;
    reliability_of(&columns, bins, kind)
}

/// [`reliability`] of columns. Errors: no bins, or [`Confidence::Positive`] in a task without a positive
/// class.
pub fn reliability_of(items: &Items, bins: usize, kind: Confidence) -> Result<Vec<ReliabilityBin>, StatsError> {
    const MOST_BINS: usize = 10_000;
    let bad = |name, value: String, expected| StatsError::BadParameter { name, value, expected };
    if !(1..=MOST_BINS).contains(&bins) {
        return Err(bad("bins", bins.to_string(), "a number from 1 to 10000"));
    }
    let (confidence, happened) = match (kind, items.task().positive) {
        (Confidence::Top, _) => (items.max_probability(), items.correct()),
        (Confidence::Positive, Some(class)) => (items.probability(class), items.is(class)),
        (Confidence::Positive, None) => {
            return Err(bad("kind", "positive".into(), "top, because a multi-class task has no positive class"));
        }
    };
    let mut sums = vec![(0usize, 0usize, FixedSum::default()); bins];
    for (&confidence, &happened) in confidence.iter().zip(&happened) {
        let (count, events, sum) = &mut sums[bin_of(confidence, bins)];
        *count += 1;
        *events += usize::from(happened);
        sum.add(confidence);
    }
    Ok(sums
        .into_iter()
        .enumerate()
        .map(|(bin, (count, events, sum))| {
            let interval = (count > 0).then(|| wilson95(events, count));
            ReliabilityBin {
                low: edge(bin, bins),
                high: edge(bin + 1, bins),
                count,
                confidence: (count > 0).then(|| sum.mean(count as u64)),
                accuracy: (count > 0).then(|| events as f64 / count as f64),
                accuracy_low: interval.map(|(low, _)| low),
                accuracy_high: interval.map(|(_, high)| high),
            }
        })
        .collect())
}

/// Lower edge of bin `bin`.
fn edge(bin: usize, bins: usize) -> f64 {
    bin as f64 / bins as f64
}

/// The bin that holds `confidence` (0 to 1): the `b` with `edge(b) < confidence <= edge(b + 1)`.
fn bin_of(confidence: f64, bins: usize) -> usize {
    // The product may round across an edge: it is a first guess, the edges decide.
    let guess = ((confidence * bins as f64).ceil() as usize).clamp(1, bins) - 1;
    if guess > 0 && confidence <= edge(guess, bins) {
        guess - 1
    } else if guess + 1 < bins && confidence > edge(guess + 1, bins) {
        guess + 1
    } else {
        guess
    }
}

/// Wilson's score interval at 95 % for `events` of `count` (1 or more).
fn wilson95(events: usize, count: usize) -> (f64, f64) {
    const Z: f64 = 1.959_963_984_540_054; // 97.5 % point of the standard normal distribution
    let (n, rate) = (count as f64, events as f64 / count as f64);
    let spread = Z / (1.0 + Z * Z / n) * (rate * (1.0 - rate) / n + Z * Z / (4.0 * n * n)).sqrt();
    let centre = (rate + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    // At no event (all events) the end is 0 (1), but for rounding.
    let low = if events == 0 { 0.0 } else { (centre - spread).max(0.0) };
    let high = if events == count { 1.0 } else { (centre + spread).min(1.0) };
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::{bin_of, edge};

    #[test]
    fn an_edge_belongs_to_the_bin_below() {
        for bins in [1, 2, 3, 7, 10, 15, 100, 1000] {
            for bin in 0..bins {
                let high = edge(bin + 1, bins);
                assert_eq!(bin_of(high, bins), bin, "{bins} bins");
                if bin + 1 < bins {
                    assert_eq!(bin_of(high.next_up(), bins), bin + 1, "{bins} bins");
                }
            }
            assert_eq!(bin_of(0.0, bins), 0);
        }
    }
}
