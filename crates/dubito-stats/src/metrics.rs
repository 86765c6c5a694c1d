//! Every metric by its name.

use std::collections::BTreeMap;

use crate::bootstrap::Bootstrap;
use crate::calibration::{CalibrationError, Gap, brier_positive, brier_sum, nll};
use crate::discrimination::{Auroc, AveragePrecision, BalancedAccuracy, Macro};
use crate::probability::{argmax, normalise};
use crate::selective::{Augrc, Aurc};
use crate::weighted::{Mean, Undefined, Weighted};
use crate::{Estimate, Scored, StatsError, Task};

/// Every metric of these items, by name, with intervals where `bootstrap` is given.
///
/// | name | convention |
/// |---|---|
/// | `accuracy` | share of items whose most probable class is the true one; of equal ones the first counts |
/// | `balanced_accuracy` | mean of the classes' recalls, [`BalancedAccuracy`] |
/// | `auroc` | binary: of the positive class' probability, ties one half, [`Auroc`]; otherwise the one-vs-rest [`Macro`] average over the classes that have items |
/// | `auroc_<class>` | not binary: of one class against the rest |
/// | `average_precision` | of the positive class, without interpolation, [`AveragePrecision`]; otherwise the one-vs-rest [`Macro`] average |
/// | `nll` | mean negative log-likelihood in nats, clipped, [`nll`] |
/// | `brier` | binary: of the positive class, 0 to 1, [`brier_positive`]; otherwise summed over the classes, 0 to 2, [`brier_sum`] |
/// | `ece_top15` | expected calibration error of the largest probability, 15 equal bins closed on the right, [`CalibrationError`] |
/// | `ece_pos15` | binary: the same of the positive class' probability |
/// | `mce_top15` | the largest gap of any bin that holds items, [`Gap::Largest`] |
/// | `aurc` | mean selective risk, items ranked by their largest probability, [`Aurc`] |
/// | `augrc` | area under the generalised risk-coverage curve, same ranking, [`Augrc`] |
/// | `total`, `aleatoric`, `between_frames`, `epistemic` | means in nats |
/// | `misclassification_auroc_<doubt>` | AUROC of `total`, `aleatoric`, `epistemic`, or of a small `max_probability`, for the item being misclassified |
///
/// A metric that these items do not define (one class only, no errors, no items) is an [`Estimate`]
/// without a value and with the reason; its name is always there. Intervals are described in
/// [`bootstrap`](crate::bootstrap). The answer is the same bits in whatever order the items come.
///
/// Probabilities within 1e-6 of [0, 1] are clipped, sums within 1e-3 of 1 renormalised
/// (within 1e-6 they are taken as they are: ties stay ties). Errors: a bad
/// task, bad parameters of the bootstrap, or an item with other probabilities, a label that is no
/// class, or an uncertainty that is negative or not finite; the error names the item.
pub fn metrics(
    items: &[Scored],
    task: &Task,
    bootstrap: Option<&Bootstrap>,
) -> Result<BTreeMap<String, Estimate>, StatsError> {
    if let Some(bootstrap) = bootstrap {
        bootstrap.check()?;
    }
    let items = Prepared::new(items, task)?;
    let metrics = list(&items, task);
    let ones = vec![1; items.labels.len()];
    let mut estimates: Vec<Estimate> = metrics
        .iter()
        .map(|metric| match metric.weighted.value(&ones) {
            Ok(value) => Estimate::point(value),
            Err(undefined) => Estimate::undefined(metric.reason(undefined, task)),
        })
        .collect();
    if let Some(bootstrap) = bootstrap {
        let weighted: Vec<&dyn Weighted> = metrics.iter().map(|metric| &*metric.weighted).collect();
        bootstrap.intervals(&items.clusters, &weighted, &mut estimates);
    }
    Ok(metrics.into_iter().map(|metric| metric.name).zip(estimates).collect())
}

/// A metric with its name and the words for what it may lack.
struct Named {
    name: String,
    weighted: Box<dyn Weighted>,
    /// What is the case where there are no positives, and where there are no negatives.
    no_positives: String,
    no_negatives: String,
    needs: String,
}

impl Named {
    fn reason(&self, undefined: Undefined, task: &Task) -> String {
        let fact = match undefined {
            Undefined::NoItems => return "there are no items".into(),
            Undefined::NoPositives => &self.no_positives,
            Undefined::NoNegatives => &self.no_negatives,
            Undefined::OneClass(class) => &format!("all items are {}", task.classes[class]),
        };
        format!("{fact}: {}", self.needs)
    }
}

/// All metrics of a task, prepared for these items.
fn list(items: &Prepared, task: &Task) -> Vec<Named> {
    let mut list = Vec::new();
    let correct = items.correct();
    let errors: Vec<bool> = correct.iter().map(|c| !c).collect();
    let top = items.max_probability();

    // Metrics that are defined wherever there are items.
    let mut add = |name: &str, weighted: Box<dyn Weighted>| {
        list.push(Named {
            name: name.into(),
            weighted,
            no_positives: String::new(),
            no_negatives: String::new(),
            needs: String::new(),
        });
    };
    add("accuracy", Box::new(Mean(correct.iter().map(|&c| f64::from(u8::from(c))).collect())));
    add("nll", Box::new(Mean(items.each(nll))));
    let brier = match task.positive {
        Some(class) => items.each(|probs, label| brier_positive(probs[class], label == class)),
        None => items.each(brier_sum),
    };
    add("brier", Box::new(Mean(brier)));
    add("ece_top15", Box::new(CalibrationError::new(&top, &correct, 15, Gap::Mean)));
    add("mce_top15", Box::new(CalibrationError::new(&top, &correct, 15, Gap::Largest)));
    if let Some(class) = task.positive {
        let (probability, positive) = (items.probability(class), items.is(class));
        add("ece_pos15", Box::new(CalibrationError::new(&probability, &positive, 15, Gap::Mean)));
    }
    add("aurc", Box::new(Aurc::new(&top, &errors)));
    add("augrc", Box::new(Augrc::new(&top, &errors)));
    for (at, name) in UNCERTAINTIES.iter().enumerate() {
        add(name, Box::new(Mean(items.uncertainty(at))));
    }

    // Metrics that compare classes.
    let all_are = |class: usize| format!("all items are {}", task.classes[class]);
    let needs_classes = |metric: &str| match task.positive {
        Some(_) => format!("{metric} needs both classes"),
        None => format!("{metric} needs items of two classes or more"),
    };
    let mut compare = |name: &str, title: &str, weighted: Box<dyn Weighted>| {
        let (no_positives, no_negatives) = match task.positive {
            Some(class) => (all_are(1 - class), all_are(class)),
            None => (String::new(), String::new()), // macro averages say which class is alone
        };
        list.push(Named { name: name.into(), weighted, no_positives, no_negatives, needs: needs_classes(title) });
    };
    compare(
        "balanced_accuracy",
        "balanced accuracy",
        Box::new(BalancedAccuracy::new(items.labels.clone(), correct.clone(), task.classes.len())),
    );
    let auroc = |class: usize| Auroc::new(&items.probability(class), &items.is(class));
    let average_precision = |class: usize| AveragePrecision::new(&items.probability(class), &items.is(class));
    let classes = 0..task.classes.len();
    match task.positive {
        Some(class) => {
            compare("auroc", "AUROC", Box::new(auroc(class)));
            compare("average_precision", "average precision", Box::new(average_precision(class)));
        }
        None => {
            let (aurocs, precisions) = (classes.clone().map(auroc), classes.clone().map(average_precision));
            compare("auroc", "AUROC", Box::new(Macro::new(aurocs.collect())));
            compare("average_precision", "average precision", Box::new(Macro::new(precisions.collect())));
            for class in classes {
                let name = &task.classes[class];
                list.push(Named {
                    name: format!("auroc_{name}"),
                    weighted: Box::new(auroc(class)),
                    no_positives: format!("no item is {name}"),
                    no_negatives: all_are(class),
                    needs: format!("the AUROC of {name} against the rest needs both"),
                });
            }
        }
    }

    // Whether doubt finds the errors.
    let doubts = [
        ("total", items.uncertainty(0)),
        ("aleatoric", items.uncertainty(1)),
        ("epistemic", items.uncertainty(3)),
        ("max_probability", top.iter().map(|p| -p).collect()),
    ];
    for (name, doubt) in doubts {
        list.push(Named {
            name: format!("misclassification_auroc_{name}"),
            weighted: Box::new(Auroc::new(&doubt, &errors)),
            no_positives: "no item is misclassified".into(),
            no_negatives: "every item is misclassified".into(),
            needs: "the AUROC of doubt for errors needs right and wrong items".into(),
        });
    }
    list
}

/// The fields of [`Scored`] that are uncertainties.
const UNCERTAINTIES: [&str; 4] = ["total", "aleatoric", "between_frames", "epistemic"];

/// Checked items in an order of their own, column by column.
///
/// The order is by content (cluster first), so that sums come out the same, to the last bit, however
/// the items were ordered, and the items of a cluster lie side by side.
pub(crate) struct Prepared {
    classes: usize,
    labels: Vec<usize>,
    clusters: Vec<u32>,
    /// `[items, classes]`, row by row.
    probs: Vec<f64>,
    /// `[items, 4]`, row by row.
    uncertainties: Vec<f64>,
}

impl Prepared {
    pub(crate) fn new(items: &[Scored], task: &Task) -> Result<Self, StatsError> {
        task.check()?;
        let classes = task.classes.len();
        let mut rows = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let place = || format!("item {at}");
            if item.label >= classes {
                return Err(StatsError::BadLabel { place: place(), label: item.label, last: classes - 1 });
            }
            let mut row = Vec::with_capacity(classes + 4);
            normalise(&item.probs, classes, &mut row, place)?;
            let values = [item.total, item.aleatoric, item.between_frames, item.epistemic];
            for (field, value) in UNCERTAINTIES.into_iter().zip(values) {
                // Rounding elsewhere may leave an uncertainty a hair below 0.
                if !value.is_finite() || value < -1e-6 {
                    return Err(StatsError::BadUncertainty { place: place(), field, value });
                }
                row.push(value.max(0.0));
            }
            rows.push((item.cluster, item.label, row));
        }
        rows.sort_by(|(cluster, label, row), (other_cluster, other_label, other)| {
            let content = || row.iter().zip(other).map(|(a, b)| a.total_cmp(b)).find(|o| o.is_ne());
            (cluster, label)
                .cmp(&(other_cluster, other_label))
                .then_with(|| content().unwrap_or(std::cmp::Ordering::Equal))
        });
        Ok(Self {
            classes,
            labels: rows.iter().map(|(_, label, _)| *label).collect(),
            clusters: rows.iter().map(|(cluster, _, _)| *cluster).collect(),
            probs: rows.iter().flat_map(|(_, _, row)| &row[..classes]).copied().collect(),
            uncertainties: rows.iter().flat_map(|(_, _, row)| &row[classes..]).copied().collect(),
        })
    }

    /// A number for each item from its probabilities and its label.
    fn each<T>(&self, mut f: impl FnMut(&[f64], usize) -> T) -> Vec<T> {
        self.probs.chunks_exact(self.classes).zip(&self.labels).map(|(probs, &label)| f(probs, label)).collect()
    }

    /// Whether each item's most probable class is the true one.
    pub(crate) fn correct(&self) -> Vec<bool> {
        self.each(|probs, label| argmax(probs) == label)
    }

    /// The largest probability of each item.
    pub(crate) fn max_probability(&self) -> Vec<f64> {
        self.each(|probs, _| probs[argmax(probs)])
    }

    /// The probability of one class.
    pub(crate) fn probability(&self, class: usize) -> Vec<f64> {
        self.each(|probs, _| probs[class])
    }

    /// Whether each item is of this class.
    pub(crate) fn is(&self, class: usize) -> Vec<bool> {
        self.labels.iter().map(|&label| label == class).collect()
    }

    /// One of [`UNCERTAINTIES`].
    fn uncertainty(&self, which: usize) -> Vec<f64> {
        self.uncertainties.chunks_exact(4).map(|row| row[which]).collect()
    }
}
