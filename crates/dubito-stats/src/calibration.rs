//! Whether probabilities mean what they say: NLL, Brier score, calibration errors, AvU, reliability.
//!
//! Bins are of equal width over [0, 1] and closed on the right: bin `b` of `n` is `(b/n, (b+1)/n]`, and
//! the first holds 0 as well (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017).

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use serde::{Deserialize, Serialize};

use crate::items::Items;
use crate::probability::SignedSum;
use crate::ranking::{Block, Curve};
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

/// What one bin of a calibration error holds: how often something was expected and how often it
/// happened. The sums are exact, so they are the same bits in whatever order items come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    /// Number (weight) of the items.
    pub count: u64,
    /// Number (weight) of the items where the event happened.
    pub events: u64,
    confidence: SignedSum,
    squared_error: SignedSum,
}

impl Bin {
    /// Add an item that counts `weight` times: the confidence that the event happens, and whether it did.
    pub fn add(&mut self, confidence: f64, happened: bool, weight: u64) {
        let happened = u64::from(happened);
        let miss = happened as f64 - confidence;
        self.count += weight;
        self.events += weight * happened;
        self.confidence.add(confidence, weight);
        self.squared_error.add(miss * miss, weight);
    }

    /// Add the items of another bin.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.events += other.events;
        self.confidence = self.confidence.plus(other.confidence);
        self.squared_error = self.squared_error.plus(other.squared_error);
    }

    /// Mean confidence of the items; the bin must hold some.
    pub fn confidence(&self) -> f64 {
        self.confidence.value() / self.count as f64
    }

    /// Share of the items where the event happened; the bin must hold some.
    pub fn rate(&self) -> f64 {
        self.events as f64 / self.count as f64
    }

    /// Share of the items where the event happened less their mean confidence; the bin must hold some.
    fn gap(&self) -> f64 {
        let events = i128::from(self.events);
        SignedSum::whole(events).minus(self.confidence).value() / self.count as f64
    }

    /// Variance of `rate` over samples like this one; `None` where one item says nothing of it.
    fn rate_variance(&self) -> Option<f64> {
        (self.count > 1).then(|| self.rate() * (1.0 - self.rate()) / (self.count - 1) as f64)
    }
}

/// Sort items into `bins` equal-width bins over [0, 1], closed on the right. Each item comes as its
/// confidence, whether the event happened, and its weight.
///
/// [`equal_width_of`] does the same of many items on several threads.
pub fn equal_width(bins: usize, items: impl Iterator<Item = (f64, bool, u64)>) -> Vec<Bin> {
    let mut sums = vec![Bin::default(); bins.max(1)];
    for (confidence, happened, weight) in items {
        sums[bin_of(confidence, bins.max(1))].add(confidence, happened, weight);
    }
    sums
}

/// [`equal_width`] of the items `0..count`, each once, on several threads.
pub fn equal_width_of(bins: usize, count: usize, item: impl Fn(usize) -> (f64, bool) + Sync) -> Vec<Bin> {
    const PART: usize = 1 << 16;
    let part = |part: usize| {
        let items = part * PART..count.min((part + 1) * PART);
        equal_width(bins, items.map(&item).map(|(confidence, happened)| (confidence, happened, 1)))
    };
    let merge = |mut all: Vec<Bin>, more: Vec<Bin>| {
        all.iter_mut().zip(&more).for_each(|(bin, more)| bin.merge(more));
        all
    };
    let none = || vec![Bin::default(); bins.max(1)];
    (0..count.div_ceil(PART)).into_par_iter().map(part).reduce(none, merge)
}

/// Sort a curve whose score is the confidence, and whose *hits are the items where the event did not
/// happen* (errors), into `bins` bins of equal mass: their inner edges are the `1/bins, 2/bins, ...`
/// quantiles of the confidence (inverse of the empirical distribution function, type 1 of Hyndman and
/// Fan, 1996), and each bin is closed on the right. Items of equal confidence are never parted, so bins
/// may be unequal, or empty, where there are ties. The curve is taken in [`Order::Rising`].
///
/// [`Order::Rising`]: crate::ranking::Order::Rising
pub fn equal_mass(bins: usize, curve: &Curve) -> Vec<Bin> {
    let mut mass = EqualMass::new(bins, curve.hits + curve.others);
    curve.blocks(|block| mass.add(block));
    mass.bins
}

/// [`equal_mass`], block by block.
pub(crate) struct EqualMass {
    pub(crate) bins: Vec<Bin>,
    all: u64,
    below: u64,
    /// The bin that is being filled, and from which number of items on the next one is.
    bin: usize,
    next_from: u64,
}

impl EqualMass {
    /// Of this many items.
    pub(crate) fn new(bins: usize, all: u64) -> Self {
        let bins = vec![Bin::default(); bins.max(1)];
        Self { bins, all, below: 0, bin: 0, next_from: 0 }
    }

    /// Take the next block, in rising order of the confidence.
    pub(crate) fn add(&mut self, block: Block) {
        // In bin b where the share of smaller confidences is in [b/bins, (b+1)/bins).
        if self.below >= self.next_from {
            let bins = self.bins.len() as u128;
            self.bin = (u128::from(self.below) * bins / u128::from(self.all)) as usize;
            self.next_from = ((self.bin as u128 + 1) * u128::from(self.all)).div_ceil(bins) as u64;
        }
        let bin = &mut self.bins[self.bin];
        if block.others > 0 {
            bin.add(block.score, true, block.others);
        }
        if block.hits > 0 {
            bin.add(block.score, false, block.hits);
        }
        self.below += block.hits + block.others;
    }
}

/// The bins that hold items with the share of all items that each holds; an error where none does.
fn filled(bins: &[Bin]) -> Result<impl Iterator<Item = (&Bin, f64)> + Clone, Undefined> {
    let all: u64 = bins.iter().map(|bin| bin.count).sum();
    if all == 0 {
        return Err(Undefined::NoItems);
    }
    Ok(bins.iter().filter(|bin| bin.count > 0).map(move |bin| (bin, bin.count as f64 / all as f64)))
}

/// Expected calibration error (ECE): the mean over items of their bin's absolute difference between mean
/// confidence and share of events, 0 to 1 (Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated
/// Probabilities Using Bayesian Binning", AAAI 2015). It is biased upwards: of a perfect model it is
/// above 0, the more so the fewer items there are; see [`ece_debiased`].
pub fn ece(bins: &[Bin]) -> Result<f64, Undefined> {
    Ok(filled(bins)?.map(|(bin, share)| share * bin.gap().abs()).sum())
}

/// Maximum calibration error (MCE): the largest gap of any bin that holds items, 0 to 1 (Naeini et al.,
/// AAAI 2015).
pub fn mce(bins: &[Bin]) -> Result<f64, Undefined> {
    Ok(filled(bins)?.map(|(bin, _)| bin.gap().abs()).fold(0.0, f64::max))
}

/// Root mean square calibration error: as [`ece`], the gaps squared before and the root taken after the
/// mean, 0 to 1 (Hendrycks, Mazeika and Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR
/// 2019; torchmetrics' `norm="l2"`).
pub fn rms(bins: &[Bin]) -> Result<f64, Undefined> {
    Ok(filled(bins)?.map(|(bin, share)| share * bin.gap().powi(2)).sum::<f64>().sqrt())
}

/// [`rms`] less its bias: from each bin's squared gap the variance `r (1 - r) / (n - 1)` of its share of
/// events is taken away; a bin of one item, which has none, counts 0; a negative sum counts 0 (Kumar,
/// Liang and Ma, "Verified Uncertainty Calibration", NeurIPS 2019, section 5). 0 to 1.
pub fn rms_debiased(bins: &[Bin]) -> Result<f64, Undefined> {
    let squared = |(bin, share): (&Bin, f64)| bin.rate_variance().map_or(0.0, |v| share * (bin.gap().powi(2) - v));
    Ok(filled(bins)?.map(squared).sum::<f64>().max(0.0).sqrt())
}

/// [`ece`] less an estimate of its bias, 0 to 1: what the ECE would grow by, were the shares of events
/// drawn once more around those seen. Each share is taken as normal with variance `r (1 - r) / n`, as in
/// the L1 estimator of Kumar, Liang and Ma (NeurIPS 2019) and its library; its mean absolute gap is that of
/// the folded normal distribution (Leone, Nelson and Nottingham, Technometrics 3, 1961) instead of a
/// simulation. Takes away about two fifths of what chance adds to a perfect model, and nearly all of
/// what it adds to a bad one. A negative value counts 0.
pub fn ece_debiased(bins: &[Bin]) -> Result<f64, Undefined> {
    let corrected = |(bin, share): (&Bin, f64)| {
        let (gap, rate) = (bin.gap().abs(), bin.rate());
        let deviation = (rate * (1.0 - rate) / bin.count as f64).sqrt();
        share * (2.0 * gap - folded_normal_mean(gap, deviation))
    };
    Ok(filled(bins)?.map(corrected).sum::<f64>().max(0.0))
}

/// `E |N(mean, deviation^2)|`.
fn folded_normal_mean(mean: f64, deviation: f64) -> f64 {
    if deviation == 0.0 {
        return mean.abs();
    }
    let z = mean / deviation;
    deviation * (2.0 / std::f64::consts::PI).sqrt() * (-z * z / 2.0).exp()
        + mean * libm::erf(z * std::f64::consts::FRAC_1_SQRT_2)
}

/// Kolmogorov-Smirnov calibration error: the largest absolute difference between the cumulative
/// confidence and the cumulative share of right items, the items in rising order of their confidence,
/// 0 to 1; it needs no bins (Gupta et al., "Calibration of Neural Networks Using Splines", ICLR 2021).
/// Ties are added together. The curve's score is the confidence, its hits are the errors.
pub fn ks_calibration(curve: &Curve) -> Result<f64, Undefined> {
    curve.items()?;
    let mut gap = KsGap::default();
    curve.blocks(|block| gap.add(block));
    gap.value()
}

/// [`ks_calibration`], block by block.
#[derive(Default)]
pub(crate) struct KsGap {
    items: u64,
    ahead: SignedSum,
    largest: SignedSum,
}

impl KsGap {
    pub(crate) fn add(&mut self, block: Block) {
        let mut confidence = SignedSum::default();
        confidence.add(block.score, block.hits + block.others);
        self.ahead = self.ahead.plus(SignedSum::whole(i128::from(block.others)).minus(confidence));
        self.largest = self.largest.max(self.ahead.size());
        self.items += block.hits + block.others;
    }

    pub(crate) fn value(&self) -> Result<f64, Undefined> {
        if self.items > 0 { Ok(self.largest.value() / self.items as f64) } else { Err(Undefined::NoItems) }
    }
}

/// Murphy's decomposition of the Brier score of one event over bins: `brier = reliability - resolution +
/// uncertainty + within_bins` (Murphy, "A New Vector Partition of the Probability Score", Journal of
/// Applied Meteorology 12, 1973). Murphy has one forecast per bin; the forecasts of a bin of some width
/// differ, and what that adds is `within_bins` (Stephenson, Coelho and Jolliffe, "Two Extra Components in
/// the Brier Score Decomposition", Weather and Forecasting 23, 2008: variance minus twice the covariance
/// with the event, within bins), so that the parts add up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Murphy {
    /// Mean squared gap between confidence and share of events, 0 to 1; 0 is best.
    pub reliability: f64,
    /// How much the shares of events of the bins differ from that of all, 0 to 1/4; large is best.
    pub resolution: f64,
    /// `r (1 - r)` for the share `r` of events among all items, 0 to 1/4: none of the model's doing.
    pub uncertainty: f64,
    /// What the differences of confidence within bins add; below 0 where they are right.
    pub within_bins: f64,
}

/// [`Murphy`]'s decomposition over these bins.
pub fn murphy(bins: &[Bin]) -> Result<Murphy, Undefined> {
    let filled = filled(bins)?;
    let all: u64 = bins.iter().map(|bin| bin.count).sum();
    let rate = bins.iter().map(|bin| bin.events).sum::<u64>() as f64 / all as f64;
    let mut squared_error = SignedSum::default();
    bins.iter().for_each(|bin| squared_error = squared_error.plus(bin.squared_error));
    let reliability: f64 = filled.clone().map(|(bin, share)| share * bin.gap().powi(2)).sum();
    let resolution: f64 = filled.map(|(bin, share)| share * (bin.rate() - rate).powi(2)).sum();
    let uncertainty = rate * (1.0 - rate);
    let within_bins = squared_error.value() / all as f64 - reliability + resolution - uncertainty;
    Ok(Murphy { reliability, resolution, uncertainty, within_bins })
}

/// How the gaps between confidence and accuracy become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Mean over the items: [`ece`].
    Mean,
    /// The largest of any bin that holds items: [`mce`].
    Largest,
    /// Root of the mean square over the items: [`rms`].
    RootMeanSquare,
}

/// Calibration error over equal-width bins closed on the right. The event is
/// "the predicted class is the true one" (top-class) or "the item is positive" (positive-class): the
/// two are different numbers, see [`Confidence`].
pub struct CalibrationError {
    confidence: Vec<f64>,
    happened: Vec<bool>,
    bins: usize,
    gap: Gap,
}

impl CalibrationError {
    /// Of the confidence in an event of each item, and whether it happened; `bins` is 1 or more.
    pub fn new(confidence: &[f64], happened: &[bool], bins: usize, gap: Gap) -> Self {
        Self { confidence: confidence.to_vec(), happened: happened.to_vec(), bins, gap }
    }
}

impl Weighted for CalibrationError {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        let items = self.confidence.iter().zip(&self.happened).zip(weights);
        let bins = equal_width(self.bins, items.map(|((&c, &h), &weight)| (c, h, u64::from(weight))));
        match self.gap {
            Gap::Mean => ece(&bins),
            Gap::Largest => mce(&bins),
            Gap::RootMeanSquare => rms(&bins),
        }
    }
}

/// Accuracy versus uncertainty (AvU): the share of items that are right and certain, or wrong and
/// uncertain, 0 to 1, larger is better (Krishnan and Tickoo, "Improving Model Calibration with Accuracy
/// versus Uncertainty Optimization", NeurIPS 2020).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Avu {
    threshold: f64,
    good: u64,
    all: u64,
    area: SignedSum,
}

impl Avu {
    /// No items yet. An item is certain where its uncertainty is at most `threshold`.
    pub fn new(threshold: f64) -> Self {
        Self { threshold, good: 0, all: 0, area: SignedSum::default() }
    }

    /// Add an item that counts `weight` times: its uncertainty, 0 to 1, and whether it is right.
    pub fn add(&mut self, uncertainty: f64, right: bool, weight: u64) {
        self.all += weight;
        self.good += weight * u64::from(right == (uncertainty <= self.threshold));
        self.area.add(if right { 1.0 - uncertainty } else { uncertainty }, weight);
    }

    /// Add the items of another part, of the same threshold.
    pub fn merge(&mut self, other: &Self) {
        self.all += other.all;
        self.good += other.good;
        self.area = self.area.plus(other.area);
    }

    /// AvU at the threshold.
    pub fn value(&self) -> Result<f64, Undefined> {
        if self.all > 0 { Ok(self.good as f64 / self.all as f64) } else { Err(Undefined::NoItems) }
    }

    /// The area under AvU over all thresholds from 0 to 1, exactly: an item of uncertainty `u` is certain at a
    /// share `1 - u` of them, so it is the mean of `1 - u` (right items) and `u` (wrong ones); 0 to 1.
    pub fn area(&self) -> Result<f64, Undefined> {
        if self.all > 0 { Ok(self.area.value() / self.all as f64) } else { Err(Undefined::NoItems) }
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
    let task = items.task();
    let found = match (kind, task.positive) {
        (Confidence::Top, _) => equal_width_of(bins, items.len(), |i| (items.max_probability(i), !items.is_error(i))),
        (Confidence::Positive, Some(class)) => {
            equal_width_of(bins, items.len(), |i| (items.probs(i)[class], items.label(i) == class))
        }
        (Confidence::Positive, None) => {
            return Err(bad("kind", "positive".into(), "top, because a multi-class task has no positive class"));
        }
    };
    Ok(found
        .into_iter()
        .enumerate()
        .map(|(at, bin)| {
            let some = bin.count > 0;
            let interval = some.then(|| wilson95(bin.events as usize, bin.count as usize));
            ReliabilityBin {
                low: edge(at, bins),
                high: edge(at + 1, bins),
                count: bin.count as usize,
                confidence: some.then(|| bin.confidence()),
                accuracy: some.then(|| bin.rate()),
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
pub(crate) fn bin_of(confidence: f64, bins: usize) -> usize {
    let product = confidence * bins as f64;
    let guess = (product as usize).min(bins - 1);
    // The product may round across an edge: near one, the edges decide.
    let behind = product - guess as f64;
    if behind > 1e-6 && behind < 1.0 - 1e-6 {
        guess
    } else if guess > 0 && confidence <= edge(guess, bins) {
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
