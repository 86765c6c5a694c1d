//! Scored items of one detector, column by column: what every metric is computed from.

use serde::{Deserialize, Serialize};

use crate::decomposition::{Measures, total_variance};
use crate::probability::{NEAR_ONE, append_normalised, argmax, short_of_one};
use crate::{Scored, StatsError, Task};

/// The names of the uncertainties, in the order of [`Items::push_parts`].
pub const UNCERTAINTIES: [&str; 4] = ["total", "aleatoric", "between_frames", "epistemic"];

/// An uncertainty above this many nats is no entropy (which ends at `ln(classes)`) but a mistake. The
/// bound also keeps exact sums of them within 128 bits.
const MOST_NATS: f64 = 1e6;

/// As many items as an index of 32 bits counts.
const MOST_ITEMS: usize = u32::MAX as usize;

/// Most classes; counts by class are kept in memory many times over.
const MOST_CLASSES: usize = 4096;

/// A measure of doubt of one item: the larger, the more doubtful.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// Entropy of the mean prediction, nats.
    Total,
    /// Mean entropy of the samples, nats.
    Aleatoric,
    /// Mutual information of prediction and model, nats.
    Epistemic,
    /// One minus the largest probability, 0 to `1 - 1/classes` (Hendrycks and Gimpel, "A Baseline for
    /// Detecting Misclassified and Out-of-Distribution Examples in Neural Networks", ICLR 2017).
    MaxProbability,
    /// One minus the difference of the two largest probabilities, 0 to 1.
    Margin,
}

impl Doubt {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Total, Self::Aleatoric, Self::Epistemic, Self::MaxProbability, Self::Margin];

    /// As in the names of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Aleatoric => "aleatoric",
            Self::Epistemic => "epistemic",
            Self::MaxProbability => "max_probability",
            Self::Margin => "margin",
        }
    }
}

/// On what scale the items of a binary task are ranked and thresholds are given.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Probability of the positive class, 0 to 1.
    #[default]
    Probability,
    /// Its log-odds, `ln(p / (1 - p))`: the logit.
    LogOdds,
}

/// The largest log-odds, in size, that a fit sees.
pub(crate) const MOST_FITTED: f64 = 1e6;

/// The largest log-odds, in size, that two probabilities can have: those of 1 and of the smallest `f64`. A probability
/// of 0 counts as that.
const MOST_LOG_ODDS: f64 = 744.440_071_921_381_2;

/// Scored items of one detector, column by column: checked, and with the probabilities normalised.
///
/// An item of a binary task takes 54 bytes (94 with the [measures](Items::push_measures) of its samples, 8 more with
/// its [log-odds](Items::push_log_odds)), so 10 million take 540 MB. The order of the items is kept and changes no
/// result.
///
/// Probabilities of two classes tell each other's rounding: a `P(fake)` of 1 beside a `P(real)` of 1e-30 is ranked
/// above one beside 1e-20. What is given on a finer scale than probabilities, as logits are, is ranked on that.
///
/// Probabilities within 1e-6 of [0, 1] are clipped, sums within 1e-3 of 1 renormalised (within 1e-6 they
/// are taken as they are: ties stay ties), uncertainties a hair below 0 become 0.
///
/// ```
/// use dubito_stats::{Items, Task};
/// let mut items = Items::new(&Task::binary())?;
/// items.push_parts(1, &[0.2, 0.8], [0.50, 0.40, 0.0, 0.10], 7)?;
/// assert_eq!((items.len(), items.label(0), items.probs(0)[1]), (1, 1, 0.8));
/// assert_eq!(items.epistemic(), [0.10]);
/// # Ok::<(), dubito_stats::StatsError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Items {
    task: Task,
    labels: Vec<u16>,
    clusters: Vec<u32>,
    /// `[items, classes]`, row by row.
    probs: Vec<f64>,
    /// One column for each of [`UNCERTAINTIES`].
    uncertainties: [Vec<f64>; 4],
    /// One column for each of [`MEASURES`]; shorter than the others, and then not known, where some item came
    /// without.
    measures: [Vec<f64>; 5],
    /// Log-odds of the positive class; shorter than the others, and then of no use, where some item came without.
    log_odds: Vec<f64>,
}

/// The names of what only an item's samples tell, in the order of [`Items::measures`].
pub const MEASURES: [&str; 5] =
    ["aleatoric_variance", "between_frames_variance", "epistemic_variance", "variation_ratio", "epistemic_jackknife"];

impl Items {
    /// No items yet. Errors: a task with fewer than two classes, more than 4,096, a class named twice,
    /// or a positive class that does not exist.
    pub fn new(task: &Task) -> Result<Self, StatsError> {
        task.check()?;
        if task.classes.len() > MOST_CLASSES {
            return Err(StatsError::BadTask {
                problem: format!("expected at most {MOST_CLASSES} classes, found {}", task.classes.len()),
            });
        }
        Ok(Self {
            task: task.clone(),
            labels: Vec::new(),
            clusters: Vec::new(),
            probs: Vec::new(),
            uncertainties: Default::default(),
            measures: Default::default(),
            log_odds: Vec::new(),
        })
    }

    /// Room for this many more items at once; of use where the number is known and memory is short.
    pub fn reserve(&mut self, items: usize) {
        self.labels.reserve_exact(items);
        self.clusters.reserve_exact(items);
        self.probs.reserve_exact(items * self.classes());
        self.uncertainties.iter_mut().for_each(|column| column.reserve_exact(items));
    }

    /// Add an item. Errors: see [`push_parts`](Self::push_parts).
    pub fn push(&mut self, item: &Scored) -> Result<(), StatsError> {
        let uncertainties = [item.total, item.aleatoric, item.between_frames, item.epistemic];
        self.push_parts(item.label, &item.probs, uncertainties, item.cluster)
    }

    /// Add an item by its parts: index of the true class, probability of each class, the
    /// [`UNCERTAINTIES`] in nats, and the [`cluster`](Scored::cluster) that the bootstrap resamples as one.
    ///
    /// Errors name the item by its number, counted from 0, and leave the items as they were: a label that
    /// is no class, probabilities of another number than the classes, outside [0, 1] or not summing to 1,
    /// an uncertainty that is negative, above 1e6 or not a number, more than 2^32 - 1 items.
    pub fn push_parts(
        &mut self,
        label: usize,
        probs: &[f64],
        uncertainties: [f64; 4],
        cluster: u32,
    ) -> Result<(), StatsError> {
        let at = self.len();
        let place = || format!("item {at}");
        let classes = self.classes();
        if at >= MOST_ITEMS {
            return Err(StatsError::BadParameter {
                name: "number of items",
                value: (at + 1).to_string(),
                expected: "at most 4294967295: evaluate them in groups",
            });
        }
        if label >= classes {
            return Err(StatsError::BadLabel { place: place(), label, last: classes - 1 });
        }
        for (field, value) in UNCERTAINTIES.into_iter().zip(uncertainties) {
            // Rounding elsewhere may leave an uncertainty a hair below 0. Written so that NaN is caught.
            if !(-1e-6..=MOST_NATS).contains(&value) {
                return Err(StatsError::BadUncertainty { place: place(), field, value });
            }
        }
        append_normalised(probs, classes, &mut self.probs, place)?;
        // The label is below the number of classes, which fits.
        self.labels.push(label as u16);
        self.clusters.push(cluster);
        for (column, value) in self.uncertainties.iter_mut().zip(uncertainties) {
            column.push(value.max(0.0));
        }
        Ok(())
    }

    /// What the samples of the item that was pushed last say beyond its uncertainties: its variances and
    /// variation ratio, and its [jackknifed](crate::epistemic_jackknife) mutual information in nats (any finite
    /// number below 1e6 in size), where it is known. The metrics of these names are defined where every item has
    /// them. Without an item, or for the second time, nothing happens.
    pub fn push_measures(&mut self, measures: &Measures, jackknife: Option<f64>) {
        let numbers = [
            Some(measures.aleatoric_variance),
            Some(measures.between_frames_variance),
            Some(measures.epistemic_variance),
            Some(measures.variation_ratio),
            jackknife.filter(|value| value.abs() < MOST_NATS),
        ];
        let before = self.len().wrapping_sub(1);
        for (column, number) in self.measures.iter_mut().zip(numbers) {
            // Once an item came without, the column is of no use.
            if let (Some(number), true) = (number, column.len() == before) {
                column.push(number);
            }
        }
    }

    /// The log-odds of the positive class of the item that was pushed last, no NaN: what a binary task's items are then
    /// ranked by, where all have it. Where the detector gives logits, these are finer than probabilities, which are all
    /// 1 from a logit of 37 on. Without an item, or for the second time, nothing happens.
    pub fn push_log_odds(&mut self, log_odds: f64) {
        if self.log_odds.len() == self.len().wrapping_sub(1) && !log_odds.is_nan() {
            self.log_odds.push(log_odds.clamp(f64::MIN, f64::MAX));
        }
    }

    /// Rank the items of a binary task by log-odds where probabilities of the positive class hide ranks: some are 1 and
    /// those of the other class tell them apart. Elsewhere, or with log-odds already, nothing happens.
    pub fn uncover_ranks(&mut self) {
        let Some(class) = self.task.positive else { return };
        let is_hidden = |probs: &[f64]| probs[class] == 1.0 && probs[1 - class] > 0.0;
        if self.scale() == Scale::Probability && self.probs.chunks_exact(2).any(is_hidden) {
            // A probability of 0 ranks below all others, and no lower: a fit would follow it.
            self.log_odds = self.floored_log_odds(self.probability_floor() / 2.0);
        }
    }

    /// Add the items of another part. Error: the parts' tasks differ.
    pub fn append(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.task != other.task {
            return Err(StatsError::BadTask {
                problem: format!(
                    "items of the classes {:?} cannot be added to items of the classes {:?} (or their positive class differs)",
                    other.task.classes, self.task.classes
                ),
            });
        }
        self.labels.extend_from_slice(&other.labels);
        self.clusters.extend_from_slice(&other.clusters);
        self.probs.extend_from_slice(&other.probs);
        for (column, more) in self.uncertainties.iter_mut().zip(&other.uncertainties) {
            column.extend_from_slice(more);
        }
        let before = self.len() - other.len();
        for (column, more) in self.measures.iter_mut().zip(&other.measures) {
            if column.len() == before {
                column.extend_from_slice(more);
            }
        }
        if self.log_odds.len() == before {
            self.log_odds.extend_from_slice(&other.log_odds);
        }
        Ok(())
    }

    /// A group: the items of which `keep`, asked with their index, says so, in the same order.
    pub fn select(&self, keep: impl Fn(usize) -> bool) -> Self {
        let kept: Vec<usize> = (0..self.len()).filter(|&i| keep(i)).collect();
        Self {
            task: self.task.clone(),
            labels: kept.iter().map(|&i| self.labels[i]).collect(),
            clusters: kept.iter().map(|&i| self.clusters[i]).collect(),
            probs: kept.iter().flat_map(|&i| self.probs(i)).copied().collect(),
            uncertainties: self.uncertainties.each_ref().map(|column| kept.iter().map(|&i| column[i]).collect()),
            measures: self.measures.each_ref().map(|column| match column.len() == self.len() {
                true => kept.iter().map(|&i| column[i]).collect(),
                false => Vec::new(),
            }),
            log_odds: match self.log_odds.len() == self.len() {
                true => kept.iter().map(|&i| self.log_odds[i]).collect(),
                false => Vec::new(),
            },
        }
    }

    /// What the classes are.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.task.classes.len()
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Index of the true class of item `i`; panics where there is no such item, like indexing a slice.
    pub fn label(&self, i: usize) -> usize {
        usize::from(self.labels[i])
    }

    /// Mean probability of each class of item `i`; panics where there is no such item.
    pub fn probs(&self, i: usize) -> &[f64] {
        let classes = self.classes();
        &self.probs[i * classes..(i + 1) * classes]
    }

    /// Cluster of item `i`; panics where there is no such item.
    pub fn cluster(&self, i: usize) -> u32 {
        self.clusters[i]
    }

    /// The most probable class of item `i`, the first of them where several are; panics where there is no
    /// such item.
    pub fn predicted(&self, i: usize) -> usize {
        argmax(self.probs(i))
    }

    /// The true class of each item.
    pub fn labels(&self) -> &[u16] {
        &self.labels
    }

    /// The cluster of each item.
    pub fn clusters(&self) -> &[u32] {
        &self.clusters
    }

    /// Entropy of the mean prediction of each item, nats.
    pub fn total(&self) -> &[f64] {
        &self.uncertainties[0]
    }

    /// Mean entropy of the samples of each item, nats.
    pub fn aleatoric(&self) -> &[f64] {
        &self.uncertainties[1]
    }

    /// What a video's frames disagree about, nats; 0 for a frame.
    pub fn between_frames(&self) -> &[f64] {
        &self.uncertainties[2]
    }

    /// What the samples disagree about, nats.
    pub fn epistemic(&self) -> &[f64] {
        &self.uncertainties[3]
    }

    /// The column of each of [`MEASURES`], where every item has it.
    pub fn measures(&self) -> [Option<&[f64]>; 5] {
        self.measures.each_ref().map(|column| (column.len() == self.len()).then_some(column.as_slice()))
    }

    /// Variance of the event under the mean prediction of item `i`, [`total_variance`]; panics where there is no
    /// such item.
    pub fn total_variance(&self, i: usize) -> f64 {
        total_variance(self.probs(i))
    }

    /// On what scale [`score`](Self::score) is: that of the log-odds, where a binary task's items have them.
    pub fn scale(&self) -> Scale {
        let is_known = self.task.positive.is_some() && !self.is_empty() && self.log_odds.len() == self.len();
        if is_known { Scale::LogOdds } else { Scale::Probability }
    }

    /// The score of item `i` of a binary task by which it is ranked and compared with a threshold, as it was given: the
    /// larger, the more it speaks for the positive class. Of other tasks the probability of the last class. Panics
    /// where there is no such item.
    pub fn score(&self, i: usize) -> f64 {
        self.score_on(self.scale(), i)
    }

    /// The same on one of the scales, so that items of different ones can be compared with one threshold.
    pub fn score_on(&self, scale: Scale, i: usize) -> f64 {
        match scale {
            Scale::Probability => self.probs(i)[self.positive()],
            Scale::LogOdds => self.log_odds(i),
        }
    }

    /// The [score](Self::score) of each item.
    pub fn scores(&self) -> Vec<f64> {
        match self.scale() {
            Scale::LogOdds => self.log_odds.clone(),
            Scale::Probability => self.probs.iter().skip(self.positive()).step_by(self.classes()).copied().collect(),
        }
    }

    /// The score of item `i` for one of two classes on one of the scales; of more classes its probability.
    pub(crate) fn event_score(&self, scale: Scale, class: usize, i: usize) -> f64 {
        match scale {
            Scale::Probability => self.probs(i)[class],
            Scale::LogOdds if class == self.positive() => self.log_odds(i),
            Scale::LogOdds => -self.log_odds(i),
        }
    }

    /// [`log_odds`](Self::log_odds) for costs and fits. Where they are not given, probabilities of 0 and 1 count as
    /// [`POSTERIOR_FLOOR`](crate::forensic::POSTERIOR_FLOOR) away from themselves, or as the smallest probability that
    /// any item gives a class, where that is less. Those that are given saturate at a million, which only nonsense passes.
    pub fn bounded_log_odds(&self) -> Vec<f64> {
        if self.scale() == Scale::LogOdds {
            return self.log_odds.iter().map(|given| given.clamp(-MOST_FITTED, MOST_FITTED)).collect();
        }
        self.floored_log_odds(self.probability_floor())
    }

    /// The smallest probability above 0 that any item gives a class, or the floor of posteriors where that is less.
    fn probability_floor(&self) -> f64 {
        let above_0 = self.probs.iter().copied().filter(|&p| p > 0.0);
        above_0.fold(crate::forensic::POSTERIOR_FLOOR, f64::min)
    }

    fn floored_log_odds(&self, floor: f64) -> Vec<f64> {
        let class = self.positive();
        let of = |i: usize| {
            let p = self.probs(i);
            log_odds(p[class].max(floor), p[1 - class].max(floor))
        };
        (0..self.len()).map(of).collect()
    }

    fn positive(&self) -> usize {
        self.task.positive.unwrap_or(self.classes() - 1)
    }

    /// Log-odds of the positive class of item `i` of a binary task: as they were given, or from both probabilities, so
    /// that neither end is rounded away. Finite: a probability of 0 counts as the smallest number above it. Panics where
    /// there is no such item.
    pub fn log_odds(&self, i: usize) -> f64 {
        if self.log_odds.len() == self.len() {
            return self.log_odds[i];
        }
        let (p, class) = (self.probs(i), self.positive());
        let rest: f64 = p.iter().enumerate().filter(|(other, _)| *other != class).map(|(_, &p)| p).sum();
        log_odds(p[class], rest)
    }

    /// What ranks the items for one class against the rest, and whether each is of it. Higher means more likely of the
    /// class; of several classes it is the probability or, very near to 1, above 1 and of no unit.
    pub(crate) fn class(&self, class: usize) -> (Vec<f64>, Vec<bool>) {
        let is_of = self.labels.iter().map(|&label| usize::from(label) == class).collect();
        if let Some(positive) = self.task.positive {
            let mut scores = self.scores();
            if positive != class {
                scores.iter_mut().for_each(|score| *score = -*score);
            }
            return (scores, is_of);
        }
        let score = |i: usize| finer_near_one(self.probs(i)[class], short_of_one(self.probs(i), class));
        ((0..self.len()).map(score).collect(), is_of)
    }

    /// What ranks items as their largest probability does, finer near 1; [`confidence_of`](Self::confidence_of) gives
    /// back the probability.
    pub(crate) fn confidence(&self, i: usize) -> f64 {
        match self.scale() {
            Scale::LogOdds => self.log_odds[i].abs(),
            Scale::Probability => -short_of_one(self.probs(i), self.predicted(i)),
        }
    }

    /// The largest probability of items of this [`confidence`](Self::confidence).
    pub(crate) fn confidence_of(&self, confidence: f64) -> f64 {
        match self.scale() {
            Scale::LogOdds => 1.0 / (1.0 + (-confidence).exp()),
            Scale::Probability => 1.0 + confidence,
        }
    }

    /// Whether each item's most probable class is not the true one.
    pub(crate) fn errors(&self) -> Vec<bool> {
        (0..self.len()).map(|i| self.is_error(i)).collect()
    }

    /// Whether the most probable class of item `i` is not the true one; panics where there is no such item.
    pub fn is_error(&self, i: usize) -> bool {
        self.predicted(i) != self.label(i)
    }

    /// The largest probability of item `i`; panics where there is no such item.
    pub fn max_probability(&self, i: usize) -> f64 {
        self.probs(i)[self.predicted(i)]
    }

    /// The difference of the two largest probabilities of item `i`, 0 to 1. Of two classes it is
    /// `2 max - 1`, so that it ranks items exactly as the largest probability does. Panics where there is
    /// no such item.
    pub fn margin(&self, i: usize) -> f64 {
        margin(self.probs(i))
    }

    /// What ranks items as their margin does, finer near 1.
    pub(crate) fn margin_rank(&self, i: usize) -> f64 {
        finer_near_one(self.margin(i), self.doubt(i, Doubt::Margin))
    }

    /// One measure of doubt of item `i`; panics where there is no such item.
    pub fn doubt(&self, i: usize, doubt: Doubt) -> f64 {
        match doubt {
            Doubt::Total => self.total()[i],
            Doubt::Aleatoric => self.aleatoric()[i],
            Doubt::Epistemic => self.epistemic()[i],
            Doubt::MaxProbability => short_of_one(self.probs(i), self.predicted(i)),
            Doubt::Margin => {
                let (probs, best) = (self.probs(i), self.predicted(i));
                let second = if probs.len() == 2 { short_of_one(probs, best) } else { second(probs, best) };
                (short_of_one(probs, best) + second).min(1.0)
            }
        }
    }
}

/// Log-odds of an event from its probability and that of everything else, each with the digits that it has.
pub fn log_odds(event: f64, rest: f64) -> f64 {
    let log = |p: f64| if p > 0.0 { p.ln() } else { -MOST_LOG_ODDS };
    log(event) - log(rest)
}

/// A number of 0 to 1 or, where what it is short of 1 by is very little, a number above 1: ranks as it does, ties stay ties,
/// and what is all 1 when rounded is told apart.
fn finer_near_one(value: f64, short: f64) -> f64 {
    /// Bits of a number are in the order of the numbers; a halving is this many.
    const HALVING: f64 = 4_503_599_627_370_496.0; // 2^52
    if short >= NEAR_ONE {
        return value;
    }
    let halvings = NEAR_ONE.to_bits().saturating_sub(short.to_bits()) as f64 / HALVING;
    1.0 + halvings / 64.0
}

/// The difference of the two largest probabilities, [`Items::margin`].
pub(crate) fn margin(probs: &[f64]) -> f64 {
    let best = argmax(probs);
    if probs.len() == 2 {
        return (2.0 * probs[best] - 1.0).max(0.0);
    }
    probs[best] - second(probs, best)
}

/// The largest probability but that of the class `best`.
fn second(probs: &[f64], best: usize) -> f64 {
    probs.iter().enumerate().filter(|(class, _)| *class != best).map(|(_, &p)| p).fold(0.0, f64::max)
}
