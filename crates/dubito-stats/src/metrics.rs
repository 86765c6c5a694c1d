//! Every metric by its name.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::bootstrap::Bootstrap;
use crate::calibration as cal;
use crate::calibration::{Bin, brier_positive, brier_sum, equal_mass, equal_width, nll};
use crate::discrimination as disc;
use crate::discrimination::ClassCounts;
use crate::items::{Doubt, Items, UNCERTAINTIES};
use crate::ranking::{Curve, Order, Ranking};
use crate::selective;
use crate::weighted::{Undefined, mean};
use crate::{Estimate, Scored, StatsError, Task};

/// Number of bins of every binned metric; it is in their names.
const BINS: usize = 15;

/// The normalised entropy up to which `avu` takes an item as certain.
const CERTAIN: f64 = 0.5;

/// Every metric of these items, by name, with intervals where `bootstrap` is given: [`metrics_of`] for a
/// list of items.
///
/// Errors: a bad task, bad parameters of the bootstrap, or a bad item (see [`Items::push_parts`]); the
/// error names the item.
pub fn metrics(
    items: &[Scored],
    task: &Task,
    bootstrap: Option<&Bootstrap>,
) -> Result<BTreeMap<String, Estimate>, StatsError> {
    let mut columns = Items::new(task)?;
    columns.reserve(items.len());
    items.iter().try_for_each(|item| columns.push(item))?;
    metrics_of(&columns, bootstrap)
}

/// Every metric of these items, by name, with intervals where `bootstrap` is given.
///
/// **Discrimination** ([`discrimination`](crate::discrimination))
///
/// | name | convention |
/// |---|---|
/// | `accuracy` | share of items whose most probable class is the true one; of equal ones the first counts |
/// | `balanced_accuracy` | mean of the classes' recalls, [`ClassCounts::balanced_accuracy`] |
/// | `f1` | binary: of the positive class, [`ClassCounts::f1`] |
/// | `f1_macro` | not binary: mean over the classes that have items |
/// | `mcc` | Matthews' correlation, -1 to 1, [`ClassCounts::mcc`] |
/// | `auroc` | binary: of the positive class' probability, ties one half, [`auroc`](disc::auroc); otherwise the one-vs-rest mean over the classes that have items |
/// | `average_precision` | of the positive class, without interpolation, [`average_precision`](disc::average_precision); otherwise the one-vs-rest mean |
/// | `auroc_<class>`, `average_precision_<class>` | not binary: of one class against the rest |
/// | `eer` | binary: interpolated on the ROC, [`eer`](disc::eer) |
/// | `eer_deepfakebench` | binary: as published tables have it, [`eer_deepfakebench`](disc::eer_deepfakebench) |
/// | `tpr_at_fpr1pct`, `tpr_at_fpr01pct` | binary: largest TPR at a FPR of at most 1 % (0.1 %); needs 300 (3,000) negatives, [`tpr_at_fpr`](disc::tpr_at_fpr) |
///
/// **Calibration** ([`calibration`](crate::calibration)); 15 bins, all closed on the right
///
/// | name | convention |
/// |---|---|
/// | `nll` | mean negative log-likelihood in nats, clipped, [`nll`] |
/// | `brier` | binary: of the positive class, 0 to 1, [`brier_positive`]; otherwise summed over the classes, 0 to 2, [`brier_sum`] |
/// | `brier_reliability`, `brier_resolution`, `brier_uncertainty`, `brier_within_bins` | binary: `brier` = reliability - resolution + uncertainty + within bins, over the bins of `ece_pos15`, [`Murphy`](cal::Murphy) |
/// | `ece_top15`, `rms_top15`, `mce_top15` | calibration error of the largest probability, equal-width bins: mean, root mean square, largest; [`ece`](cal::ece), [`rms`](cal::rms), [`mce`](cal::mce) |
/// | `ece_top15_debiased`, `rms_top15_debiased` | the same less what chance adds, [`ece_debiased`](cal::ece_debiased), [`rms_debiased`](cal::rms_debiased) |
/// | `ece_pos15`, `rms_pos15`, `mce_pos15`, `ece_pos15_debiased` | binary: of the positive class' probability |
/// | `ece_adaptive15` | of the largest probability, bins of equal mass, ties never parted, [`equal_mass`] |
/// | `ece_classwise15` | mean over the classes of the ECE of each class' probability (Kull et al., "Beyond Temperature Scaling", NeurIPS 2019) |
/// | `ks_calibration` | of the largest probability, without bins, [`ks_calibration`](cal::ks_calibration) |
/// | `uce15` | uncertainty calibration error: share of errors against the entropy `total` / ln(classes), equal-width bins (Laves et al., "Well-Calibrated Model Uncertainty with Temperature Scaling for Dropout Variational Inference", NeurIPS BDL workshop 2019) |
/// | `avu` | accuracy versus uncertainty: share of items that are right and of an entropy `total` / ln(classes) of at most one half, or neither, [`avu`](cal::avu) |
/// | `avu_area` | the same over all thresholds, [`avu_area`](cal::avu_area) |
///
/// **Selective prediction** ([`selective`](crate::selective)), items ranked by their largest probability
///
/// | name | convention |
/// |---|---|
/// | `aurc` | mean selective risk, [`aurc`](selective::aurc) |
/// | `aurc_trapezoid` | the normalised trapezoid, [`aurc_trapezoid`](selective::aurc_trapezoid) |
/// | `eaurc` | `aurc` less that of the best ranking of as many errors, [`eaurc`](selective::eaurc) |
/// | `augrc` | area under the generalised risk-coverage curve, [`augrc`](selective::augrc) |
///
/// **Doubt**
///
/// | name | convention |
/// |---|---|
/// | `total`, `aleatoric`, `between_frames`, `epistemic` | means in nats |
/// | `max_probability`, `margin` | means of the largest probability, and of its lead on the second |
/// | `misclassification_auroc_<doubt>`, `misclassification_aupr_<doubt>` | AUROC (average precision) of a [`Doubt`] for the item being misclassified, errors being the positives: of `total`, `aleatoric`, `epistemic`, of a small `max_probability`, of a small `margin` |
///
/// A metric that these items do not define (one class only, no errors, no items) is an [`Estimate`]
/// without a value and with the reason; its name is always there. Intervals are described in
/// [`bootstrap`](crate::bootstrap). The answer is the same bits in whatever order the items come.
///
/// Without a bootstrap, what a metric needs is made, used and dropped, so 10 million binary items take
/// less than 1 GB. Errors: bad parameters of the bootstrap.
pub fn metrics_of(items: &Items, bootstrap: Option<&Bootstrap>) -> Result<BTreeMap<String, Estimate>, StatsError> {
    if let Some(bootstrap) = bootstrap {
        bootstrap.check()?;
    }
    let families = families(items, bootstrap.is_some());
    let point = |family: &Family| (family.prepare)()(None);
    // Whatever is prepared is kept only for resampling.
    let (values, prepared): (Vec<Vec<Value>>, Vec<Metrics>) = match bootstrap {
        None => (families.par_iter().map(point).collect(), Vec::new()),
        Some(_) => {
            let prepared: Vec<Metrics> = families.par_iter().map(|family| (family.prepare)()).collect();
            (prepared.iter().map(|metrics| metrics(None)).collect(), prepared)
        }
    };
    let mut estimates: Vec<Estimate> = families
        .iter()
        .flat_map(|family| &family.names)
        .zip(values.into_iter().flatten())
        .map(|(metric, value)| match value {
            Ok(value) => Estimate::point(value),
            Err(undefined) => Estimate::undefined(metric.reason(undefined, items.task())),
        })
        .collect();
    if let Some(bootstrap) = bootstrap {
        let replicate = |weights: &[u32]| -> Vec<Option<f64>> {
            prepared.iter().flat_map(|metrics| metrics(Some(weights))).map(Result::ok).collect()
        };
        bootstrap.intervals(items.clusters(), &replicate, &mut estimates);
    }
    let names = families.into_iter().flat_map(|family| family.names).map(|metric| metric.name);
    Ok(names.zip(estimates).collect())
}

type Value = Result<f64, Undefined>;

/// Metrics that share their preparation, in the order of their names: their values for given weights.
type Metrics<'a> = Box<dyn Fn(Option<&[u32]>) -> Vec<Value> + Send + Sync + 'a>;

/// Metrics that share a ranking, bins or counts.
struct Family<'a> {
    names: Vec<Named>,
    /// Sort and bin once, for many weights.
    prepare: Box<dyn Fn() -> Metrics<'a> + Send + Sync + 'a>,
}

/// A metric's name and the words for what it may lack.
struct Named {
    name: String,
    /// What is the case where there are no positives, and where there are no negatives.
    no_positives: String,
    no_negatives: String,
    needs: String,
}

impl Named {
    /// A metric that is defined wherever there are items.
    fn plain(name: impl Into<String>) -> Self {
        Self { name: name.into(), no_positives: String::new(), no_negatives: String::new(), needs: String::new() }
    }

    fn reason(&self, undefined: Undefined, task: &Task) -> String {
        let fact = match undefined {
            Undefined::NoItems => return "there are no items".into(),
            Undefined::FewItems { found, needed } => {
                return format!("there are fewer than {needed} items ({found}): {}", self.needs);
            }
            Undefined::FewNegatives { found, needed } => {
                let negatives = task.positive.map_or("negatives", |class| task.classes[1 - class].as_str());
                return format!(
                    "only {found} items are {negatives}: a rate of false positives so small needs at least {needed}, or chance decides"
                );
            }
            Undefined::NoPositives => &self.no_positives,
            Undefined::NoNegatives => &self.no_negatives,
            Undefined::OneClass(class) => &format!("all items are {}", task.classes[class]),
            Undefined::OnePrediction(class) => &format!("all items are predicted as {}", task.classes[class]),
        };
        format!("{fact}: {}", self.needs)
    }
}

/// Metrics that compare classes.
fn comparing(task: &Task, metrics: &[(&str, &str)]) -> Vec<Named> {
    let all_are = |class: usize| format!("all items are {}", task.classes[class]);
    let named = |(name, title): &(&str, &str)| match task.positive {
        Some(class) => Named {
            name: name.to_string(),
            no_positives: all_are(1 - class),
            no_negatives: all_are(class),
            needs: format!("{title} needs both classes"),
        },
        // Means over classes say which class is alone.
        None => Named { needs: format!("{title} needs items of two classes or more"), ..Named::plain(*name) },
    };
    metrics.iter().map(named).collect()
}

fn plain(names: &[&str]) -> Vec<Named> {
    names.iter().map(|name| Named::plain(*name)).collect()
}

/// All metrics of these items. `many` says that they are wanted for many weights.
fn families(items: &Items, many: bool) -> Vec<Family<'_>> {
    let task = items.task();
    // The slow ones first, so that threads end together.
    let mut all: Vec<Family> =
        [Doubt::MaxProbability, Doubt::Total, Doubt::Aleatoric, Doubt::Epistemic].map(|d| doubt(items, d)).into();
    match task.positive {
        Some(class) => {
            all.push(binary(items, class));
            all.push(positive_bins(items, class));
        }
        None => {
            all.push(doubt(items, Doubt::Margin));
            all.push(one_vs_rest(items, many));
        }
    }
    all.extend([counts(items), top_bins(items), classwise(items), entropy_bins(items)]);
    all.push(mean_of(items, "nll", |items, i| nll(items.probs(i), items.label(i))));
    all.push(match task.positive {
        Some(class) => {
            mean_of(items, "brier", move |items, i| brier_positive(items.probs(i)[class], items.label(i) == class))
        }
        None => mean_of(items, "brier", |items, i| brier_sum(items.probs(i), items.label(i))),
    });
    all.push(mean_of(items, "max_probability", Items::max_probability));
    all.push(mean_of(items, "margin", Items::margin));
    let columns = [items.total(), items.aleatoric(), items.between_frames(), items.epistemic()];
    for (name, column) in UNCERTAINTIES.into_iter().zip(columns) {
        all.push(Family {
            names: plain(&[name]),
            prepare: Box::new(move || Box::new(move |weights| vec![mean(column, weights)])),
        });
    }
    all
}

fn mean_of<'a>(
    items: &'a Items,
    name: &str,
    number: impl Fn(&Items, usize) -> f64 + Copy + Send + Sync + 'a,
) -> Family<'a> {
    let prepare = move || -> Metrics<'a> {
        let column: Vec<f64> = (0..items.len()).map(|i| number(items, i)).collect();
        Box::new(move |weights| vec![mean(&column, weights)])
    };
    Family { names: plain(&[name]), prepare: Box::new(prepare) }
}

fn counts(items: &Items) -> Family<'_> {
    let task = items.task();
    let mut names = plain(&["accuracy"]);
    let f1 = if task.positive.is_some() { ("f1", "F1") } else { ("f1_macro", "F1") };
    names.extend(comparing(task, &[("balanced_accuracy", "balanced accuracy"), f1]));
    let mcc = "Matthews' correlation needs two classes among the items and among the predictions";
    names.push(Named { needs: mcc.into(), ..Named::plain("mcc") });
    let values = move |weights: Option<&[u32]>| {
        let counts = ClassCounts::new(items, weights);
        let f1 = task.positive.map_or_else(|| counts.f1_macro(), |class| counts.f1(class));
        vec![counts.accuracy(), counts.balanced_accuracy(), f1, counts.mcc()]
    };
    Family { names, prepare: Box::new(move || Box::new(values)) }
}

/// What the positive class' probability ranks.
fn binary(items: &Items, class: usize) -> Family<'_> {
    let names = comparing(
        items.task(),
        &[
            ("auroc", "AUROC"),
            ("average_precision", "average precision"),
            ("eer", "the equal error rate"),
            ("eer_deepfakebench", "the equal error rate"),
            ("tpr_at_fpr1pct", "TPR at a FPR"),
            ("tpr_at_fpr01pct", "TPR at a FPR"),
        ],
    );
    let prepare = move || -> Metrics {
        let ranking = Ranking::new(items.len(), |i| items.probs(i)[class], |i| items.label(i) == class);
        Box::new(move |weights| {
            let curve = ranking.curve(weights, Order::Falling);
            vec![
                disc::auroc(&curve),
                disc::average_precision(&curve),
                disc::eer(&curve),
                disc::eer_deepfakebench(&curve),
                disc::tpr_at_fpr(&curve, 0.01),
                disc::tpr_at_fpr(&curve, 0.001),
            ]
        })
    };
    Family { names, prepare: Box::new(prepare) }
}

/// Each class against the rest, and the means over the classes.
fn one_vs_rest(items: &Items, many: bool) -> Family<'_> {
    let task = items.task();
    let mut names = comparing(task, &[("auroc", "AUROC"), ("average_precision", "average precision")]);
    for (metric, title) in [("auroc", "AUROC"), ("average_precision", "average precision")] {
        names.extend(task.classes.iter().map(|class| Named {
            name: format!("{metric}_{class}"),
            no_positives: format!("no item is {class}"),
            no_negatives: format!("all items are {class}"),
            needs: format!("the {title} of {class} against the rest needs both"),
        }));
    }
    let classes = task.classes.len();
    let rank = |class: usize| Ranking::new(items.len(), |i| items.probs(i)[class], |i| items.label(i) == class);
    let prepare = move || -> Metrics {
        // For one use they are made one after the other, so that only one is in memory.
        let kept: Option<Vec<Ranking>> = many.then(|| (0..classes).map(rank).collect());
        Box::new(move |weights| {
            let of_class = |class: usize| {
                let made;
                let ranking = match &kept {
                    Some(kept) => &kept[class],
                    None => {
                        made = rank(class);
                        &made
                    }
                };
                let curve = ranking.curve(weights, Order::Falling);
                (disc::auroc(&curve), disc::average_precision(&curve))
            };
            let (aurocs, precisions): (Vec<Value>, Vec<Value>) = (0..classes).map(of_class).unzip();
            let mut values = vec![macro_mean(&aurocs), macro_mean(&precisions)];
            values.extend(aurocs);
            values.extend(precisions);
            values
        })
    };
    Family { names, prepare: Box::new(prepare) }
}

/// The mean over the classes that have items (as torchmetrics' `average="macro"`). Where only one class
/// has items, none is defined.
fn macro_mean(by_class: &[Value]) -> Value {
    let (mut sum, mut defined) = (0.0, 0u32);
    for (class, value) in by_class.iter().enumerate() {
        match value {
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

/// Whether doubt finds the errors; and, of the largest probability, all that its ranking tells.
fn doubt(items: &Items, doubt: Doubt) -> Family<'_> {
    let misclassification = |doubt: Doubt| {
        let words = |metric: &str, title: &str| Named {
            name: format!("misclassification_{metric}_{}", doubt.name()),
            no_positives: "no item is misclassified".into(),
            no_negatives: "every item is misclassified".into(),
            needs: format!("the {title} of doubt for errors needs right and wrong items"),
        };
        [words("auroc", "AUROC"), words("aupr", "average precision")]
    };
    let mut names: Vec<Named> = misclassification(doubt).into();
    let is_binary = items.classes() == 2;
    if doubt == Doubt::MaxProbability {
        names.extend(plain(&["aurc", "eaurc", "augrc", "ece_adaptive15", "ks_calibration"]));
        let trapezoid = "the trapezoid rule needs two coverages".to_string();
        names.push(Named { needs: trapezoid, ..Named::plain("aurc_trapezoid") });
        if is_binary {
            // Of two classes the margin is 2 max - 1, the same ranking.
            names.extend(misclassification(Doubt::Margin));
        }
    }
    let prepare = move || -> Metrics {
        // Small probabilities are doubtful, large entropies.
        let (score, order): (fn(&Items, usize) -> f64, Order) = match doubt {
            Doubt::MaxProbability => (Items::max_probability, Order::Rising),
            Doubt::Margin => (Items::margin, Order::Rising),
            Doubt::Total => (|items, i| items.total()[i], Order::Falling),
            Doubt::Aleatoric => (|items, i| items.aleatoric()[i], Order::Falling),
            Doubt::Epistemic => (|items, i| items.epistemic()[i], Order::Falling),
        };
        let ranking = Ranking::new(items.len(), |i| score(items, i), |i| items.is_error(i));
        Box::new(move |weights| {
            let curve = ranking.curve(weights, order);
            let mut values = vec![disc::auroc(&curve), disc::average_precision(&curve)];
            if doubt == Doubt::MaxProbability {
                values.extend(of_confidence(&curve));
                if is_binary {
                    values.extend_from_within(..2);
                }
            }
            values
        })
    };
    Family { names, prepare: Box::new(prepare) }
}

/// What the curve from the least confident item on tells.
fn of_confidence(curve: &Curve) -> [Value; 6] {
    let sure_first = curve.reversed();
    [
        selective::aurc(&sure_first),
        selective::eaurc(&sure_first),
        selective::augrc(&sure_first),
        cal::ece(&equal_mass(BINS, curve)),
        cal::ks_calibration(curve),
        selective::aurc_trapezoid(&sure_first),
    ]
}

/// Items of some weight: the number `of` each, whether its event happened, and its weight.
fn weighed<'a>(
    items: &'a Items,
    weights: Option<&'a [u32]>,
    of: impl Fn(usize) -> (f64, bool) + 'a,
) -> impl Iterator<Item = (f64, bool, u64)> + 'a {
    (0..items.len()).map(move |i| {
        let (number, happened) = of(i);
        (number, happened, weights.map_or(1, |weights| u64::from(weights[i])))
    })
}

fn top_bins(items: &Items) -> Family<'_> {
    let names = plain(&["ece_top15", "rms_top15", "mce_top15", "ece_top15_debiased", "rms_top15_debiased"]);
    let values = move |weights: Option<&[u32]>| {
        let top = weighed(items, weights, |i| {
            let predicted = items.predicted(i);
            (items.probs(i)[predicted], predicted == items.label(i))
        });
        let bins = equal_width(BINS, top);
        vec![cal::ece(&bins), cal::rms(&bins), cal::mce(&bins), cal::ece_debiased(&bins), cal::rms_debiased(&bins)]
    };
    Family { names, prepare: Box::new(move || Box::new(values)) }
}

fn positive_bins(items: &Items, class: usize) -> Family<'_> {
    let names = plain(&[
        "ece_pos15",
        "rms_pos15",
        "mce_pos15",
        "ece_pos15_debiased",
        "brier_reliability",
        "brier_resolution",
        "brier_uncertainty",
        "brier_within_bins",
    ]);
    let values = move |weights: Option<&[u32]>| {
        let positive = weighed(items, weights, |i| (items.probs(i)[class], items.label(i) == class));
        let bins = equal_width(BINS, positive);
        let mut values = vec![cal::ece(&bins), cal::rms(&bins), cal::mce(&bins), cal::ece_debiased(&bins)];
        match cal::murphy(&bins) {
            Ok(m) => values.extend([m.reliability, m.resolution, m.uncertainty, m.within_bins].map(Ok)),
            Err(undefined) => values.extend([Err(undefined); 4]),
        }
        values
    };
    Family { names, prepare: Box::new(move || Box::new(values)) }
}

fn classwise(items: &Items) -> Family<'_> {
    let values = move |weights: Option<&[u32]>| {
        let of_class = |class: usize| -> Vec<Bin> {
            equal_width(BINS, weighed(items, weights, |i| (items.probs(i)[class], items.label(i) == class)))
        };
        let sum: Value = (0..items.classes()).map(|class| cal::ece(&of_class(class))).sum();
        vec![sum.map(|sum| sum / items.classes() as f64)]
    };
    Family { names: plain(&["ece_classwise15"]), prepare: Box::new(move || Box::new(values)) }
}

fn entropy_bins(items: &Items) -> Family<'_> {
    let most = (items.classes() as f64).ln();
    let entropy = move |i: usize| (items.total()[i] / most).min(1.0);
    let values = move |weights: Option<&[u32]>| {
        let right = || weighed(items, weights, |i| (entropy(i), !items.is_error(i)));
        let bins = equal_width(BINS, weighed(items, weights, |i| (entropy(i), items.is_error(i))));
        vec![cal::ece(&bins), cal::avu(right(), CERTAIN), cal::avu_area(right())]
    };
    Family { names: plain(&["uce15", "avu", "avu_area"]), prepare: Box::new(move || Box::new(values)) }
}
