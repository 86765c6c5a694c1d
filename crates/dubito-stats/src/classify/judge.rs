//! How well classes were told apart: balanced accuracy, macro AUROC, confusion, with clustered intervals.

use serde::{Deserialize, Serialize};

use crate::discrimination::{ClassCounts, auroc};
use crate::probability::argmax;
use crate::ranking::{Order, Ranking};
use crate::weighted::{Undefined, Weighted};
use crate::{Bootstrap, Estimate, StatsError, check};

/// What a classifier says of items, each by a model that never saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Classified {
    classes: usize,
    labels: Vec<usize>,
    /// `[items, classes]`, row by row.
    probabilities: Vec<f64>,
    clusters: Vec<u32>,
}

impl Classified {
    /// Items of these classes (`0..classes`), with the probability (or any score) of each class, row by row, and the
    /// cluster (person) that the bootstrap resamples as one. Errors: lists of another length, a label that is no class,
    /// NaN.
    pub fn new(
        classes: usize,
        labels: Vec<usize>,
        probabilities: Vec<f64>,
        clusters: Vec<u32>,
    ) -> Result<Self, StatsError> {
        check::length("probabilities", probabilities.len(), labels.len() * classes)?;
        check::length("clusters", clusters.len(), labels.len())?;
        check::finite("probabilities", &probabilities)?;
        if let Some(i) = labels.iter().position(|&label| label >= classes) {
            let last = classes.saturating_sub(1);
            return Err(StatsError::BadLabel { place: format!("item {i}"), label: labels[i], last });
        }
        Ok(Self { classes, labels, probabilities, clusters })
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The true class of each item.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// The cluster of each item.
    pub fn clusters(&self) -> &[u32] {
        &self.clusters
    }

    /// The probabilities of item `i`; panics where there is none.
    pub fn probabilities(&self, i: usize) -> &[f64] {
        &self.probabilities[i * self.classes..(i + 1) * self.classes]
    }

    /// The most probable class of item `i`, the first of equal ones; panics where there is none.
    pub fn predicted(&self, i: usize) -> usize {
        argmax(self.probabilities(i))
    }

    /// `[true class][predicted class]` items.
    pub fn confusion(&self) -> Vec<Vec<u64>> {
        let mut counts = vec![vec![0; self.classes]; self.classes];
        (0..self.len()).for_each(|i| counts[self.labels[i]][self.predicted(i)] += 1);
        counts
    }
}

/// The mean of the classes' recalls ([`ClassCounts::balanced_accuracy`]); guessing gives one over the number of classes.
pub struct BalancedAccuracy {
    classes: usize,
    pairs: Vec<(usize, usize)>,
}

impl BalancedAccuracy {
    /// Of these items.
    pub fn new(items: &Classified) -> Self {
        let pairs = (0..items.len()).map(|i| (items.labels[i], items.predicted(i))).collect();
        Self { classes: items.classes, pairs }
    }
}

impl Weighted for BalancedAccuracy {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        let mut counts = ClassCounts::new(self.classes);
        for (&(label, predicted), &weight) in self.pairs.iter().zip(weights) {
            counts.add(label, predicted, weight.into());
        }
        counts.balanced_accuracy()
    }
}

/// The mean over the classes that have items of the AUROC of one class against the rest; guessing gives 0.5.
pub struct MacroAuroc(Vec<Ranking>);

impl MacroAuroc {
    /// Of these items.
    pub fn new(items: &Classified) -> Self {
        let of_class = |class: usize| {
            let scores: Vec<f64> = (0..items.len()).map(|i| items.probabilities(i)[class]).collect();
            let hits: Vec<bool> = items.labels.iter().map(|&label| label == class).collect();
            Ranking::new(&scores, &hits)
        };
        Self((0..items.classes).map(of_class).collect())
    }
}

impl Weighted for MacroAuroc {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        let values = self.0.iter().map(|ranking| auroc(&ranking.curve(Some(weights), Order::Falling)));
        let known: Vec<f64> = values.filter_map(Result::ok).collect();
        match known.len() {
            0 => Err(Undefined::NoPositives),
            count => Ok(known.iter().sum::<f64>() / count as f64),
        }
    }
}

/// The mean of several metrics of the same items; undefined where one is.
pub struct MeanOf<'a>(pub Vec<&'a dyn Weighted>);

impl Weighted for MeanOf<'_> {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        let values: Vec<f64> = self.0.iter().map(|metric| metric.value(weights)).collect::<Result<_, _>>()?;
        if values.is_empty() { Err(Undefined::NoItems) } else { Ok(values.iter().sum::<f64>() / values.len() as f64) }
    }
}

/// How well the classes were told apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Share that was predicted right, 0 to 1.
    pub accuracy: Estimate,
    /// [`BalancedAccuracy`].
    pub balanced_accuracy: Estimate,
    /// [`MacroAuroc`].
    pub auroc: Estimate,
}

/// Judge what a classifier says, with intervals from resampled clusters. Errors: bad parameters of the bootstrap.
pub fn judge(items: &Classified, bootstrap: &Bootstrap) -> Result<Judgement, StatsError> {
    let right = crate::weighted::Mean(
        (0..items.len()).map(|i| f64::from(u8::from(items.predicted(i) == items.labels[i]))).collect(),
    );
    let (balanced, macro_auroc) = (BalancedAccuracy::new(items), MacroAuroc::new(items));
    let reason = "there are items of fewer than two classes";
    let of = |metric: &dyn Weighted| with_interval(metric, &items.clusters, bootstrap, reason);
    Ok(Judgement { accuracy: of(&right)?, balanced_accuracy: of(&balanced)?, auroc: of(&macro_auroc)? })
}

/// A metric with its interval from resampled clusters; `reason` says why it is undefined, where it is. Errors: bad
/// parameters of the bootstrap.
pub fn with_interval(
    metric: &dyn Weighted,
    clusters: &[u32],
    bootstrap: &Bootstrap,
    reason: &str,
) -> Result<Estimate, StatsError> {
    bootstrap.check()?;
    let mut estimate = match metric.value(&vec![1; clusters.len()]) {
        Ok(value) => [Estimate::point(value)],
        Err(_) => return Ok(Estimate::undefined(reason)),
    };
    bootstrap.intervals(clusters, &|weights| vec![metric.value(weights).ok()], &mut estimate);
    let [estimate] = estimate;
    Ok(estimate)
}
