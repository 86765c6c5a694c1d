//! Every metric by its name.

use std::collections::BTreeMap;

use crate::bootstrap::Bootstrap;
use crate::calibration::{CalibrationError, Gap, brier_positive, brier_sum, nll};
use crate::discrimination::{Auroc, AveragePrecision, BalancedAccuracy, Macro};
use crate::items::{Items, UNCERTAINTIES};
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
    let mut columns = Items::new(task)?;
    items.iter().try_for_each(|item| columns.push(item))?;
    metrics_of(&columns, bootstrap)
}

/// Every metric of these items by name: see [`metrics()`]. Errors: bad parameters of the bootstrap.
pub fn metrics_of(items: &Items, bootstrap: Option<&Bootstrap>) -> Result<BTreeMap<String, Estimate>, StatsError> {
    if let Some(bootstrap) = bootstrap {
        bootstrap.check()?;
    }
    let task = items.task();
    let metrics = list(items, task);
    let ones = vec![1; items.len()];
    let mut estimates: Vec<Estimate> = metrics
        .iter()
        .map(|metric| match metric.weighted.value(&ones) {
            Ok(value) => Estimate::point(value),
            Err(undefined) => Estimate::undefined(metric.reason(undefined, task)),
        })
        .collect();
    if let Some(bootstrap) = bootstrap {
        let weighted: Vec<&dyn Weighted> = metrics.iter().map(|metric| &*metric.weighted).collect();
        bootstrap.intervals(items.clusters(), &weighted, &mut estimates);
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
fn list(items: &Items, task: &Task) -> Vec<Named> {
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
    let columns = [items.total(), items.aleatoric(), items.between_frames(), items.epistemic()];
    for (name, column) in UNCERTAINTIES.into_iter().zip(columns) {
        add(name, Box::new(Mean(column.to_vec())));
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
        Box::new(BalancedAccuracy::new(items.each(|_, label| label), correct.clone(), task.classes.len())),
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
        ("total", items.total().to_vec()),
        ("aleatoric", items.aleatoric().to_vec()),
        ("epistemic", items.epistemic().to_vec()),
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
